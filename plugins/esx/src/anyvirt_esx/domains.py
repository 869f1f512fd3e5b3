"""Virtual machines as domains: which there are, how they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from anyvirt.api import Answer, DomainFacts, NotFound, Ref, State, Status, impl

from anyvirt_esx.feed import Machine
from anyvirt_esx.inventory import Inventory

T = TypeVar("T")


class Domains:
    """Each hook is one request, for one machine or thousands."""

    inventory: Inventory

    @impl
    def domain_list(self) -> Iterator[Ref]:
        return (machine.ref for machine in self.inventory.machines().values() if not machine.template)

    @impl
    def domain_lookup(self, text: str) -> Sequence[Ref]:
        wanted = text.lower()
        return [
            machine.ref
            for machine in self.inventory.machines().values()
            if not machine.template
            and (
                text in (machine.ref.name, machine.key)
                or wanted in (machine.ref.uuid, (machine.instance or "").lower())
                or (machine.number is not None and text == str(machine.number))
            )
        ]

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State | Status]]]:
        return self._answers(refs, _status)

    @impl
    def domain_facts(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[DomainFacts]]]:
        return self._answers(refs, _facts)

    def _answers(self, refs: Sequence[Ref], of: Callable[[Machine], T]) -> Iterator[tuple[Ref, Answer[T]]]:
        machines = self.inventory.machines() if refs else {}
        for ref in refs:
            found = machines.get(ref.key)
            yield ref, Answer(error=NotFound(ref)) if found is None else Answer(of(found))


def _status(machine: Machine) -> State | Status:
    """The server has no reasons; its own word is kept where no state fits it."""
    status = machine.status
    return status if status.detail else status.state


def _facts(machine: Machine) -> DomainFacts:
    return DomainFacts(id=machine.number, managed_save=machine.power == "suspended")
