"""The test host itself: what is on it, whose turn it is, and its clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from anyvirt.api import (
    Answer,
    Busy,
    Change,
    Event,
    Lifecycle,
    NotFound,
    Reason,
    Ref,
    Row,
    State,
    Status,
    Store,
    VirtError,
)

from anyvirt_test.shape import Shape

T = TypeVar("T")


class Locks(Protocol):
    """One lock per object; core has them for threads (``MemoryLocks``) and for processes (``Scope.locks``)."""

    def hold(self, key: str, purpose: str) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class Run:
    """How a guest is: what the store keeps of it beside its definition.

    :param used: ticks that it ran before ``since``.
    :param since: the tick when its processors last began; None while they stand still.
    :param job: what long work has it, such as ``save``.
    :param boot: boot of the machine that the test host lives on.
    """

    state: State = State.SHUTOFF
    reason: Reason = Reason.UNKNOWN
    id: int | None = None
    used: int = 0
    since: int | None = None
    job: str = ""
    boot: str = ""

    @classmethod
    def of(cls, text: str, boot: str) -> Run:
        """What ``text`` wrote; a guest that ran before the machine's last boot runs no longer."""
        if not text:
            return cls()
        data = json.loads(text)
        if data["boot"] != boot:
            return cls()
        return cls(**{**data, "state": State(data["state"]), "reason": Reason(data["reason"])})

    @property
    def text(self) -> str:
        """The run as the store keeps it."""
        return json.dumps({**asdict(self), "state": self.state.value, "reason": self.reason.value})

    @property
    def status(self) -> Status:
        """State and reason."""
        return Status(self.state, self.reason)

    @property
    def active(self) -> bool:
        """Whether there is something to destroy."""
        return self.state is not State.SHUTOFF

    def ticks(self, now: int) -> int:
        """How long its processors ran."""
        return self.used + (now - self.since if self.since is not None else 0)


@dataclass(frozen=True, slots=True)
class Guest:
    """One domain: its definition and how it is."""

    row: Row
    run: Run

    @property
    def ref(self) -> Ref:
        """The guest's handle is its UUID."""
        return Ref("domain", self.row.uuid, name=self.row.name, uuid=self.row.uuid)


class World:
    """Everything on one test host; the store is the only truth about it.

    :param folder: for what guests print.
    :param boot: the machine's boot id; empty where nothing outlives the process.
    :param close: lets go of what ends with the connection.
    """

    def __init__(
        self,
        store: Store,
        locks: Locks,
        folder: Callable[[], Path],
        boot: str = "",
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.store, self.locks, self.folder, self.boot, self.close = store, locks, folder, boot, close

    def tick(self) -> int:
        """The time, one second after the last time that anybody asked: figures grow, and tests know by how much."""
        return self.store.next_id("tick")

    def guests(self) -> list[Guest]:
        """Every domain, by name."""
        return [self._guest(row) for row in self.store.rows("domain")]

    def guest(self, ref: Ref) -> Guest:
        """The domain as it is now.

        :raises NotFound: there is none.
        """
        found = self.store.get_many("domain", [ref.key])
        if not found:
            raise NotFound(ref)
        return self._guest(found[0])

    def answers(self, refs: Sequence[Ref], ask: Callable[[Guest], T]) -> Iterator[tuple[Ref, Answer[T]]]:
        """What ``ask`` says of each domain; an error of one is that one's answer."""
        found = {row.uuid: row for row in self.store.get_many("domain", [ref.key for ref in refs])}
        for ref in refs:
            answer: Answer[T]
            try:
                answer = Answer(ask(self._guest(found[ref.key]))) if ref.key in found else Answer(error=NotFound(ref))
            except VirtError as error:
                answer = Answer(error=error)
            yield ref, answer

    @contextmanager
    def hold(self, ref: Ref, purpose: str) -> Iterator[Guest]:
        """Take the guest's lock, and look at it only then.

        :raises Busy: somebody else is at it, or long work has it.
        """
        with self.locks.hold(ref.key, purpose):
            guest = self.guest(ref)
            if guest.run.job and purpose != guest.run.job and purpose not in {"destroy", "recover"}:
                raise Busy(guest.ref, holder="a job", purpose=guest.run.job, hint="wait for it, or cancel it")
            yield guest

    def become(self, guest: Guest, status: Status, *events: Event, **changes: Any) -> None:
        """Put the guest into a state, and write the events into the log together with it."""
        now = self.tick()
        since = now if status.state is State.RUNNING else None
        run = replace(guest.run, used=guest.run.ticks(now), since=since, boot=self.boot, **changes)
        run = replace(run, state=status.state, reason=status.reason)
        if not run.active:
            run = Run(reason=status.reason, boot=self.boot)
        if guest.row.transient and not run.active:
            self.store.undefine("domain", guest.row.uuid, event=events)
        else:
            self.store.set_run("domain", guest.row.uuid, run.text, event=events)

    def launch(
        self, ref: Ref, xml: str, shape: Shape, status: Status, *events: Event, transient: bool = False
    ) -> Guest:
        """Give a guest a number and run what ``xml`` says; later definitions leave that alone."""
        number = self.store.next_id()
        since = self.tick() if status.state is State.RUNNING else None
        run = Run(status.state, status.reason, number, since=since, boot=self.boot)
        told = [replace(event, run=str(number)) for event in events]
        live = json.dumps({"xml": xml, "shape": shape.data()}).encode()
        self.store.set_blob("domain", ref.key, "live", live)
        if transient:
            self.store.define("domain", ref.key, str(ref), xml, transient=True, run=run.text, event=told)
        else:
            self.store.set_run("domain", ref.key, run.text, event=told)
        return self.guest(ref)

    def live(self, guest: Guest) -> str:
        """The definition that the running guest was launched with."""
        found = self.store.blob("domain", guest.row.uuid, "live")
        return str(json.loads(found)["xml"]) if found else guest.row.xml or ""

    def shape(self, guest: Guest) -> Shape:
        """What the guest is made of; the running one's where it runs."""
        uuid = guest.row.uuid
        if guest.run.active and (live := self.store.blob("domain", uuid, "live")):
            return Shape.of(json.loads(live)["shape"])
        if kept := self.store.blob("domain", uuid, "shape"):
            return Shape.of(json.loads(kept))
        shape = Shape.read(guest.row.xml or "")
        self.keep_shape(uuid, shape)
        return shape

    def keep_shape(self, uuid: str, shape: Shape) -> None:
        """Keep what a definition says, so that starting and counting need not read it again."""
        self.store.set_blob("domain", uuid, "shape", json.dumps(shape.data()).encode())

    def _guest(self, row: Row) -> Guest:
        return Guest(row, Run.of(row.run, self.boot))


def said(guest: Guest | Ref, change: Change, detail: str, run: int | None = None) -> Lifecycle:
    """A life-cycle event of a guest."""
    if isinstance(guest, Guest):
        number = guest.run.id if run is None else run
        return Lifecycle(ref=guest.ref, change=change, detail=detail, run="" if number is None else str(number))
    return Lifecycle(ref=guest, change=change, detail=detail)
