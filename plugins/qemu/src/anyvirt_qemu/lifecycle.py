"""Starting, stopping and what lies between: each change under the guest's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Document,
    Exists,
    Invalid,
    NotFound,
    Op,
    Problem,
    Reason,
    Ref,
    ShutdownMode,
    State,
    Unreachable,
    WrongState,
    impl,
    require,
)

from anyvirt_qemu.definitions import Definitions
from anyvirt_qemu.site import KIND, document

if TYPE_CHECKING:
    from anyvirt.api import Domain, LaunchPlan, Row

    from anyvirt_qemu.guest import Run
    from anyvirt_qemu.planning.plan import Plan

WAYS: Final = frozenset({ShutdownMode.ACPI, ShutdownMode.AGENT})


class Lifecycle(Definitions):
    """Hooks of a guest's life."""

    @impl
    def domain_preflight(self, ref: Ref) -> Sequence[Problem]:
        return self._prepared(document(self._site.row(ref).xml).model, stored=True)[1]

    @impl
    def domain_plan(self, ref: Ref, paused: bool) -> LaunchPlan:
        row = self._site.row(ref)
        require(self._site.status(row), Op.START, ref)
        self._own(row)
        return self._shown(document(row.xml).model, paused, stored=True)

    @impl
    def domain_plan_create(self, config: Document[Domain], paused: bool) -> LaunchPlan:
        with self.completing(config) as domain:
            self._refuse_second(Ref(KIND, str(domain.uuid), name=domain.name, uuid=str(domain.uuid)))
        return self._shown(domain, paused)

    @impl
    def domain_start(self, ref: Ref, paused: bool) -> None:
        site = self._site
        with site.hold(ref, "start") as row:
            require(site.status(row), Op.START, ref)
            self._own(row)
            self._start(row, document(row.xml).model, paused, stored=True)

    @impl
    def domain_create(self, config: Document[Domain], paused: bool) -> Ref:
        site = self._site
        with ExitStack() as choosing:
            domain = choosing.enter_context(self.completing(config))
            uuid, name = str(domain.uuid), domain.name
            ref = Ref(KIND, uuid, name=name, uuid=uuid)
            with site.scope.locks.hold(uuid, "create"):
                site.settle(uuid)
                self._refuse_second(ref)
                self._checked(domain)
                site.step("define-transient")
                site.store.define(KIND, uuid, name, Document.of(domain).text, transient=True)
                choosing.close()  # everybody sees its addresses now
                row = site.row(ref)
                try:
                    self._start(row, domain, paused)
                except BaseException:
                    self._forget(row)
                    raise
        return ref

    @impl(accepts={"mode": WAYS})
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None) -> None:
        with self._running(ref, Op.SHUTDOWN) as run:
            if not self._through_agent(run, mode, "powerdown"):
                self._command(run, "system_powerdown")

    @impl(accepts={"mode": WAYS})
    def domain_reboot(self, ref: Ref, mode: ShutdownMode | None) -> None:
        from anyvirt_qemu.rebooting import Reboot

        with self._running(ref, Op.REBOOT) as run:
            if self._through_agent(run, mode, "reboot"):
                return
            begun = Reboot(self._site, ref, run)
        with begun:
            begun.finish()

    @impl
    def domain_reset(self, ref: Ref) -> None:
        with self._running(ref, Op.RESET) as run:
            self._command(run, "system_reset")

    @impl
    def domain_suspend(self, ref: Ref) -> None:
        with self._running(ref, Op.SUSPEND) as run:
            if run.status().state is not State.PAUSED:
                self._command(run, "stop")

    @impl
    def domain_resume(self, ref: Ref) -> None:
        with self._running(ref, Op.RESUME) as run:
            self._command(run, "cont")

    @impl
    def domain_destroy(self, ref: Ref, graceful: bool) -> None:
        from anyvirt_qemu import ending

        site = self._site
        with site.scope.locks.hold(ref.key, "destroy"):
            row = site.row(ref)
            with site.run(row.uuid) as run:
                if run is not None and run.alive() and run.record is not None:  # however far its start had come
                    ending.end(site, row, run, Reason.DESTROYED, graceful=graceful)
                    return
            site.settle(ref.key)
            require(site.status(site.row(ref)), Op.DESTROY, ref)

    # -- inside -----------------------------------------------------------------------------

    def _start(self, row: Row, domain: Domain, paused: bool, *, stored: bool = False) -> None:
        planned, problems, accelerator = self._prepared(domain, stored=stored)
        if problems or planned is None:
            raise Invalid(problems)
        from anyvirt_qemu.starting import start

        start(self._site, row, planned, paused=paused, accelerator=accelerator)

    def _checked(self, domain: Domain) -> None:
        problems = self._prepared(domain)[1]
        if problems:
            raise Invalid(problems)

    def _shown(self, domain: Domain, paused: bool, *, stored: bool = False) -> LaunchPlan:
        from anyvirt_qemu.readiness import dry_run

        planned, problems, accelerator = self._prepared(domain, stored=stored)
        if planned is None:
            return dry_run.unplanned(problems)
        return dry_run.shown(planned, accelerator, problems, paused=paused)

    def _prepared(self, domain: Domain, *, stored: bool = False) -> tuple[Plan | None, list[Problem], str]:
        """See ``prepare``; of a stored definition without lines, which nobody has a file with."""
        from anyvirt_qemu.readiness.preparing import prepare

        planned, problems, accelerator = prepare(self._site, domain)
        if stored:
            problems = [replace(problem, line=None) for problem in problems]
        return planned, problems, accelerator

    def _refuse_second(self, ref: Ref) -> None:
        try:
            row = self._site.row(ref)
        except NotFound:
            return
        if row.name != ref.name:
            raise Exists("domain", ref.name or "", holder=f"{row.name}, which has its UUID")
        status = self._site.status(row)
        if status.state is not State.SHUTOFF:
            raise WrongState(status.state.value, ["shut off"], "create", what=ref, hint="it runs already")

    def _forget(self, row: Row) -> None:
        with suppress(NotFound):
            if self._site.store.get(KIND, row.uuid).transient:
                self._site.store.undefine(KIND, row.uuid)

    def _own(self, row: Row) -> None:
        from anyvirt_qemu.foreign import held

        holder = held(self._site).get(row.uuid)
        if holder:
            raise Busy(row.name, holder=holder, purpose="running it", hint="stop it there first")

    @contextmanager
    def _running(self, ref: Ref, op: Op) -> Iterator[Run]:
        site = self._site
        with site.hold(ref, op.value) as row:
            require(site.status(row), op, ref)
            with site.run(row.uuid) as run:
                if run is None or run.record is None:
                    raise WrongState("shut off", ["running"], op.value, what=ref, hint="it has just ended")
                yield run

    def _command(self, run: Run, name: str, **arguments: Any) -> Any:
        assert run.record is not None
        from anyvirt_qemu.qmp.monitor import Monitor
        from anyvirt_qemu.run_dir import CONTROL

        with Monitor(run.place.place(CONTROL), run.record.name) as monitor:
            return monitor.execute(name, **arguments)

    def _through_agent(self, run: Run, mode: ShutdownMode | None, wish: str) -> bool:
        """Ask the guest's agent, where that is wanted or the guest has opened its channel; False where not."""
        from anyvirt_qemu.qmp import agent

        if mode is ShutdownMode.ACPI:
            return False
        assert run.record is not None
        alias = agent.channel(document(run.record.xml).model)
        place = run.record.consoles.get(alias or "", {}).get("path", "")
        opened = False
        if place:
            found = self._command(run, "query-chardev")
            opened = any(row.get("label") == f"char{alias}" and row.get("frontend-open") for row in found)
        if not opened:
            if mode is ShutdownMode.AGENT:
                hint = f"give the domain a channel {agent.CHANNEL} and run qemu-guest-agent in it, or use mode acpi"
                raise Unreachable(f"the agent of {run.record.name}", "connect", hint=hint)
            return False
        socket = place if place.startswith("/") else run.place.place(place)
        with agent.Agent(socket, run.record.name) as talk:
            talk.shutdown(wish)
        return True
