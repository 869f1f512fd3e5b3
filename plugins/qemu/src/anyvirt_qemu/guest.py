"""One guest on this host: its run directory, what was written down about the run, and the state that follows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from anyvirt.api import Denied, NotFound, ProcessId, Reason, State, Status

from anyvirt_qemu.closing import Closing
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.qmp.wire import Event
from anyvirt_qemu.run_dir import RECORD, RunDir

STATUS: Final = "status.json"
LOG: Final = "qemu.log"
FORMAT: Final = 1

# starting: nothing of it counts yet; telling: the world may have heard of it; booting: it has, and the processors
# may still stand; running
Phase = Literal["starting", "telling", "booting", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the manager writes down about a run; as JSON in ``status.json``.

    :param run: id of this run, never used again.
    :param number: the domain's numeric id.
    :param paused: it was started with its processors stopped.
    :param xml: the live definition.
    :param ending: why somebody began to end it, such as ``destroyed``; told when it is gone.
    :param rebooting: the process that waits for it to power off, to reset it then.
    :param consoles: alias -> ``{"kind", "type", "log", "path"}``; path is the pty or the socket.
    :param disks: target -> ``{"alias", "path", "format", "node", "protocol"}``.
    :param nets: alias -> ``{"name", "mac", "kind"}`` of interfaces with a device on this host; kind is ``tap`` for one
        that goes with QEMU, ``macvtap``, or ``own`` for another that was there before.
    :param sockets: absolute paths at which QEMU listens, which it may leave behind.
    :param left: what was done to the host for it, in order; what ``hosting.take_back`` needs to undo it.
    """

    run: str
    uuid: str
    name: str
    number: int
    phase: Phase
    paused: bool
    xml: str
    boot: str
    began: float
    accelerator: str = ""
    binary: str = ""
    ending: str = ""
    rebooting: Mapping[str, str | int] = field(default_factory=dict)
    uid: int | None = None
    consoles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    disks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()
    left: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def told(self) -> bool:
        """Whether anybody may have heard of its start, and has to hear of its end."""
        return self.phase != "starting"

    @property
    def up(self) -> bool:
        """Whether its start is irrevocable: from here on it is finished, not taken back."""
        return self.phase in {"booting", "running"}

    def to_bytes(self) -> bytes:
        """As it is written."""
        fields = {name: getattr(self, name) for name in type(self).__slots__}  # asdict would copy them deeply first
        return json.dumps({"format": FORMAT, **fields}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """As it was written; fields of later versions are left out of account.

        :raises ValueError: it is no record.
        """
        found = json.loads(data)
        values = {name: found[name] for name in cls.__slots__ if name in found}
        values |= {name: tuple(values.get(name, ())) for name in ("sockets", "left", "warnings")}
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


class Run(Closing):
    """A run of a guest, alive or not; an open run directory with its record. Close it.

    :param record: None where the starter was killed before it wrote one.
    :param process: None where QEMU was never launched.
    """

    def __init__(self, place: RunDir, record: Record | None, process: ProcessId | None) -> None:
        self.place, self.record, self.process = place, record, process

    @classmethod
    def open(cls, root: Path, uuid: str) -> Self | None:
        """The run of the guest, or None where it has none."""
        try:
            place = RunDir.open(root, uuid)
        except NotFound:
            return None
        try:
            return cls(place, _record(place), _process(place))
        except BaseException:
            place.close()
            raise

    def close(self) -> None:
        """Close the directory; nothing else happens."""
        self.place.close()

    @property
    def told(self) -> bool:
        """Whether anybody may have heard of its start; a record that cannot be read leaves that open."""
        return self.record.told if self.record is not None else self.place.read(STATUS) is not None

    def alive(self) -> bool | None:
        """Whether QEMU runs; None where that cannot be told (another pid namespace): then nothing may be changed."""
        return False if self.process is None else self.process.alive()

    def launched(self) -> None:
        """Wait for a launcher that is left of a start that was cut off, and see whom it has started.

        :raises Busy: it hangs.
        """
        if self.process is None:
            self.place.launched()
            self.process = _process(self.place)
            if self.process is None and self.record is not None:  # the launcher had them, and nobody else
                from anyvirt_host.local import tap

                tap.gone(net["name"] for net in self.record.nets.values() if net.get("kind") == "tap")

    def note(self, **changes: Any) -> None:
        """Change the record, on disk first."""
        assert self.record is not None
        record = replace(self.record, **changes)
        self.place.write(STATUS, record.to_bytes())
        self.record = record

    def events(self, *, ended: bool = False) -> Iterator[Event]:
        """What QEMU has told since it was started; nothing where its journal is not to be trusted."""
        try:
            fd = journal.open_out(self.place.q, uid=self.record.uid if self.record else None)
        except (NotFound, Denied):
            return
        try:
            for entry in journal.read(fd, ended=ended):
                if isinstance(entry.what, Event):
                    yield entry.what
        finally:
            os.close(fd)

    def status(self, events: Iterable[Event] | None = None) -> Status:
        """State and reason, from the record, the process and the journal; asks QEMU nothing.

        :param events: what is in the journal, where the caller has read it.
        """
        alive = self.alive()
        if alive is None:
            return Status(State.UNKNOWN, detail="it runs in another pid namespace")
        if not alive or self.record is None:
            return Status(State.SHUTOFF, stopped(self.events(ended=True), self.record))
        return running(self.events() if events is None else events, self.record)


def running(events: Iterable[Event], record: Record) -> Status:
    """The status of a QEMU that is alive."""
    now = Status(State.PAUSED, Reason.USER if record.up else Reason.STARTING_UP)
    cause, resumed = Reason.USER, False
    for event in events:
        reason = _causes(event)
        if reason is not None:
            cause = reason
        if event.name == "RESUME":
            first = not resumed and not record.paused
            now = Status(State.RUNNING, Reason.BOOTED if first else Reason.UNPAUSED)
            cause, resumed = Reason.USER, True
        elif event.name == "STOP" and now.state is not State.SHUTDOWN:
            crashed = cause is Reason.PANICKED
            now = Status(State.CRASHED if crashed else State.PAUSED, cause)
        elif event.name == "SUSPEND":
            now = Status(State.PMSUSPENDED)
        elif event.name == "WAKEUP":
            now = Status(State.RUNNING, Reason.WAKEUP)
        elif event.name == "SHUTDOWN":
            now = Status(State.SHUTDOWN, Reason.USER)
    return now


def _causes(event: Event) -> Reason | None:
    """Why the STOP that follows comes."""
    if event.name == "BLOCK_IO_ERROR" and event.data.get("action") == "stop":
        return Reason.IOERROR
    if event.name == "WATCHDOG" and event.data.get("action") == "pause":
        return Reason.WATCHDOG
    if event.name == "GUEST_PANICKED":
        return Reason.PANICKED
    return None


def stopped(events: Iterable[Event], record: Record | None) -> Reason:
    """Why a QEMU that is gone has ended."""
    if record is not None and record.ending:
        return Reason(record.ending)
    if record is None or not record.up:
        return Reason.FAILED
    last = None
    panicked = False
    for event in events:
        if event.name == "SHUTDOWN":
            last = event
        panicked |= event.name == "GUEST_PANICKED"
    if last is None or panicked:
        return Reason.CRASHED
    return Reason.SHUTDOWN if last.data.get("guest") else Reason.DESTROYED


def _record(place: RunDir) -> Record | None:
    data = place.read(STATUS)
    if data is None:
        return None
    try:
        return Record.from_bytes(data)
    except ValueError:
        return None


def _process(place: RunDir) -> ProcessId | None:
    data = place.read(RECORD)
    if data is None:
        return None
    try:
        return ProcessId.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError):
        return None
