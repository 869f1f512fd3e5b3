"""Domains that run: start, stop, pause, and how they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from anyvirt.api import (
    Answer,
    Change,
    Document,
    Event,
    Exists,
    Invalid,
    LaunchCommand,
    LaunchPlan,
    Op,
    Reason,
    Reboot,
    Ref,
    ShutdownMode,
    State,
    Status,
    WrongState,
    impl,
    require,
)

from anyvirt_test.console import Consoles
from anyvirt_test.domain import blockers, identified
from anyvirt_test.shape import Shape
from anyvirt_test.world import Guest, World, said

if TYPE_CHECKING:
    from anyvirt.api import Domain

BOOTED = Status(State.RUNNING, Reason.BOOTED)
PAUSED = Status(State.PAUSED, Reason.USER)
MODES = frozenset({ShutdownMode.ACPI, ShutdownMode.AGENT})


class Power:
    """Each change takes the guest's lock first, looks at the state then, and asks the one table."""

    world: World
    consoles: Consoles

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State | Status]]]:
        return self.world.answers(refs, lambda guest: guest.run.status)

    @impl
    def domain_start(self, ref: Ref, paused: bool) -> None:
        with self.world.hold(ref, "start") as guest:
            require(guest.run.status, Op.START, guest.ref)
            self._boot(guest.ref, guest.row.xml or "", self.world.shape(guest), paused=paused)

    @impl
    def domain_create(self, config: Document[Domain], paused: bool) -> Ref:
        config, ref = identified(config)
        with self.world.locks.hold(ref.key, "create"):
            self._free(ref)
            self._boot(ref, config.text, Shape.of_model(config.model), paused=paused, transient=True)
        return ref

    @impl
    def domain_plan(self, ref: Ref, paused: bool) -> LaunchPlan:
        guest = self.world.guest(ref)
        require(guest.run.status, Op.START, guest.ref)
        return self._planned(guest.ref, self.world.shape(guest), paused=paused)

    @impl
    def domain_plan_create(self, config: Document[Domain], paused: bool) -> LaunchPlan:
        config, ref = identified(config)
        self._free(ref)
        return self._planned(ref, Shape.of_model(config.model), paused=paused)

    @impl(accepts={"mode": MODES})
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None) -> None:
        with self.world.hold(ref, "shutdown") as guest:
            require(guest.run.status, Op.SHUTDOWN, guest.ref)
            events = said(guest, Change.SHUTDOWN, "guest"), said(guest, Change.STOPPED, "shutdown")
            self._stop(guest, Status(State.SHUTOFF, Reason.SHUTDOWN), asked(mode, "shut down"), *events)

    @impl(accepts={"mode": MODES})
    def domain_reboot(self, ref: Ref, mode: ShutdownMode | None) -> None:
        self._begin_again(ref, Op.REBOOT, asked(mode, "reboot"))

    @impl
    def domain_reset(self, ref: Ref) -> None:
        self._begin_again(ref, Op.RESET, "reset")

    @impl
    def domain_destroy(self, ref: Ref, graceful: bool) -> None:
        with self.world.hold(ref, "destroy") as guest:
            after = require(guest.run.status, Op.DESTROY, guest.ref)
            words = "terminated" if graceful else "killed"
            self._stop(guest, after, words, said(guest, Change.STOPPED, "destroyed"))

    @impl
    def domain_suspend(self, ref: Ref) -> None:
        with self.world.hold(ref, "suspend") as guest:
            after = require(guest.run.status, Op.SUSPEND, guest.ref)
            if guest.run.state is not State.PAUSED:
                self.world.become(guest, after, said(guest, Change.SUSPENDED, "paused"))

    @impl
    def domain_resume(self, ref: Ref) -> None:
        with self.world.hold(ref, "resume") as guest:
            after = require(guest.run.status, Op.RESUME, guest.ref)
            self.world.become(guest, after, said(guest, Change.RESUMED, "unpaused"))

    def _planned(self, ref: Ref, shape: Shape, *, paused: bool) -> LaunchPlan:
        """Nothing runs on this host for a guest: it is only told of."""
        told = [LaunchCommand("boot", {"name": str(ref), "memory": shape.memory, "vcpus": shape.vcpus})]
        if not paused:
            told.append(LaunchCommand("run"))
        return LaunchPlan(commands=tuple(told), blockers=tuple(blockers(self.world, shape)))

    def _free(self, ref: Ref) -> None:
        """See that what has this name or UUID is the same domain, and does not run."""
        for guest in self.world.guests():
            same = guest.row.name == ref.name, guest.row.uuid == ref.key
            if all(same) and guest.run.active:
                raise WrongState(guest.run.state.value, ["shut off"], "create", what=guest.ref)
            if any(same) and not all(same):
                raise Exists("domain", str(ref), holder=f"{guest.row.name!r}, UUID {guest.row.uuid}")

    def _boot(self, ref: Ref, xml: str, shape: Shape, *, paused: bool, transient: bool = False) -> None:
        if problems := blockers(self.world, shape):
            raise Invalid(problems)
        events = [said(ref, Change.STARTED, "booted")]
        if paused:
            events.append(said(ref, Change.SUSPENDED, "paused"))
        status = PAUSED if paused else BOOTED
        self.consoles.boot(self.world.launch(ref, xml, shape, status, *events, transient=transient))

    def _stop(self, guest: Guest, status: Status, words: str, *events: Event) -> None:
        self.consoles.end(guest, words)
        self.world.become(guest, status, *events)

    def _begin_again(self, ref: Ref, op: Op, words: str) -> None:
        with self.world.hold(ref, op.value) as guest:
            after = require(guest.run.status, op, guest.ref)
            kept = replace(after, reason=guest.run.reason) if after.state is guest.run.state else after
            self.world.become(guest, kept, Reboot(ref=guest.ref, run=str(guest.run.id)))
            self.consoles.say(guest, f"\r\n{words}\r\n".encode())
            self.consoles.boot(guest)


def asked(mode: ShutdownMode | None, what: str) -> str:
    """What the guest prints when it is asked to do something."""
    return f"{'agent' if mode is ShutdownMode.AGENT else 'power button'}: {what}"
