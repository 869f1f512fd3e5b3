"""Machines that run: start, stop, suspend."""

from __future__ import annotations

from typing import Any

from anyvirt.api import Op, Ref, ShutdownMode, State, impl, require

from anyvirt_esx.inventory import Inventory
from anyvirt_esx.tasks import Tasks


class Power:
    """Each change looks at the state first; the server looks again, and its refusal is the same error."""

    inventory: Inventory
    tasks: Tasks

    @impl
    def domain_start(self, ref: Ref) -> None:
        self._do(ref, Op.START, "PowerOnVM_Task")

    @impl(accepts={"mode": {ShutdownMode.AGENT}})
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None) -> None:  # noqa: ARG002 - there is one way
        self._tell(ref, Op.SHUTDOWN, "ShutdownGuest")

    @impl(accepts={"mode": {ShutdownMode.AGENT}})
    def domain_reboot(self, ref: Ref, mode: ShutdownMode | None) -> None:  # noqa: ARG002 - there is one way
        self._tell(ref, Op.REBOOT, "RebootGuest")

    @impl
    def domain_reset(self, ref: Ref) -> None:
        self._do(ref, Op.RESET, "ResetVM_Task")

    @impl
    def domain_destroy(self, ref: Ref) -> None:
        self._do(ref, Op.DESTROY, "PowerOffVM_Task")

    @impl
    def domain_suspend(self, ref: Ref) -> None:
        if self._state(ref, Op.SUSPEND) is not State.PAUSED:
            self._begin(ref, Op.SUSPEND, "SuspendVM_Task")

    @impl
    def domain_resume(self, ref: Ref) -> None:
        self._do(ref, Op.RESUME, "PowerOnVM_Task")

    @impl
    def domain_undefine(self, ref: Ref) -> None:
        """Its files stay where they are."""
        self._tell(ref, Op.UNDEFINE, "UnregisterVM")

    def _do(self, ref: Ref, op: Op, method: str) -> None:
        self._state(ref, op)
        self._begin(ref, op, method)

    def _tell(self, ref: Ref, op: Op, method: str) -> None:
        """Ask for what has no task: it is done, or the guest was asked, when the answer comes."""
        self._state(ref, op)
        line = self.inventory.line
        line.run(lambda: line.ask(op.value, ref, getattr(self._object(ref), method)))

    def _begin(self, ref: Ref, op: Op, method: str) -> None:
        self.tasks.do(op.value, ref, getattr(self._object(ref), method))

    def _state(self, ref: Ref, op: Op) -> State:
        machine = self.inventory.machine(ref)
        require(machine.status, op, machine.ref)
        return machine.status.state

    def _object(self, ref: Ref) -> Any:
        return self.inventory.line.object("VirtualMachine", ref.key)
