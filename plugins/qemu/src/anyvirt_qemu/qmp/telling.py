"""What QEMU's events mean, as ours; no input or output here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from anyvirt.api import (
    STOPPED_BY,
    SUSPENDED_BY,
    AgentLifecycle,
    BalloonChange,
    Change,
    DeviceRemoved,
    Event,
    IoError,
    Lifecycle,
    Reason,
    Reboot,
    Ref,
    RtcChange,
    TrayChange,
    WatchdogFired,
)

from anyvirt_qemu.guest import Record
from anyvirt_qemu.qmp.wire import Event as Word

# QEMU's word for what it does about a failed disk -> libvirt's
ACTIONS: Final = {"stop": "pause", "ignore": "none", "report": "report"}
ENDED_FROM_OUTSIDE: Final = frozenset({"host-signal", "host-qmp-quit"})
ENOSPC: Final = "No space left on device"
EIO: Final = "Input/output error"


class Teller:
    """Takes one run's events in their order and gives for each at most one of ours.

    What the acting process tells itself is left to it: the first ``RESUME`` of a
    start that was not to be paused is a part of that start.
    """

    def __init__(self, ref: Ref, record: Record) -> None:
        self.ref, self.run = ref, record.run
        self._record = record
        self._cause = Reason.USER
        self._starting = not record.paused
        self._crashed = False

    def feed(self, word: Word) -> Event | None:
        """What this event of QEMU's means; None where it means nothing to a user."""
        cause = _cause(word)
        if cause is not None:
            self._cause = cause
        at = 0.0 if word.at is None else word.at / 1e9
        found = self._lifecycle(word)
        if found is None and word.name in _OTHERS:
            found = _OTHERS[word.name](self._record, word.data)
        if found is None:
            return None
        cls, fields = found
        event: Event = cls(ref=self.ref, at=at, run=self.run, **fields)
        return event

    def _lifecycle(self, word: Word) -> _Told | None:
        name = word.name
        if name == "RESUME":
            first, self._starting = self._starting, False
            self._cause, self._crashed = Reason.USER, False
            return None if first else _life(Change.RESUMED, "unpaused")
        if name == "STOP":
            crashed = self._crashed or self._cause is Reason.PANICKED
            return None if crashed else _life(Change.SUSPENDED, SUSPENDED_BY.get(self._cause, "paused"))
        if name == "GUEST_PANICKED":
            self._crashed = True
            return _life(Change.CRASHED, "panicked")
        if name == "SHUTDOWN" and word.data.get("reason") in ENDED_FROM_OUTSIDE:
            return None  # whoever ended it tells of the end
        if name == "SHUTDOWN":
            guest = word.data.get("guest")
            return _life(Change.SHUTDOWN, "guest" if guest else "finished" if guest is None else "host")
        simple = _SIMPLE.get(name)
        return None if simple is None else _life(*simple)


_Told = tuple[type[Event], dict[str, Any]]
_SIMPLE: Final = {
    "SUSPEND": (Change.PMSUSPENDED, "memory"),
    "SUSPEND_DISK": (Change.PMSUSPENDED, "disk"),
    "WAKEUP": (Change.STARTED, "wakeup"),
    "GUEST_CRASHLOADED": (Change.CRASHED, "crashloaded"),
}


def _life(change: Change, detail: str) -> _Told:
    return Lifecycle, {"change": change, "detail": detail}


def _cause(word: Word) -> Reason | None:
    """Why the STOP that follows comes."""
    action = word.data.get("action")
    if word.name == "BLOCK_IO_ERROR" and action == "stop":
        return Reason.IOERROR
    if word.name == "WATCHDOG" and action == "pause":
        return Reason.WATCHDOG
    if word.name == "GUEST_PANICKED":
        return Reason.PANICKED
    return None


def _io_error(record: Record, data: Mapping[str, Any]) -> _Told:
    node, device = data.get("node-name"), data.get("device")
    path = alias = ""
    for disk in record.disks.values():
        if (node and node in {disk.get("node"), disk.get("protocol")}) or (device and device == disk.get("alias")):
            path, alias = disk.get("path", ""), disk.get("alias", "")
    reason = data.get("reason")
    word = "enospc" if data.get("nospace") or reason == ENOSPC else "eio" if reason == EIO else ""
    if not word and reason:
        word = "eother"
    return IoError, {
        "path": path,
        "alias": alias,
        "action": ACTIONS.get(str(data.get("action")), "none"),
        "reason": word,
    }


def _tray(_record: Record, data: Mapping[str, Any]) -> _Told:
    return TrayChange, {"alias": str(data.get("id", "")), "open": data.get("tray-open") is True}


def _removed(_record: Record, data: Mapping[str, Any]) -> _Told | None:
    alias = data.get("device")
    return (DeviceRemoved, {"alias": alias}) if isinstance(alias, str) else None


def _port(_record: Record, data: Mapping[str, Any]) -> _Told:
    return AgentLifecycle, {"alias": str(data.get("id", "")), "connected": data.get("open") is True}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


_OTHERS: Final[dict[str, Callable[[Record, Mapping[str, Any]], _Told | None]]] = {
    "RESET": lambda _record, _data: (Reboot, {}),
    "RTC_CHANGE": lambda _record, data: (RtcChange, {"offset": _number(data.get("offset"))}),
    "WATCHDOG": lambda _record, data: (WatchdogFired, {"action": str(data.get("action", "none"))}),
    "BALLOON_CHANGE": lambda _record, data: (BalloonChange, {"actual": _number(data.get("actual"))}),
    "BLOCK_IO_ERROR": _io_error,
    "DEVICE_TRAY_MOVED": _tray,
    "DEVICE_DELETED": _removed,
    "VSERPORT_CHANGE": _port,
}


def ended(ref: Ref, run: str, reason: Reason, at: float) -> Lifecycle:
    """The end of a run, as an event."""
    return Lifecycle(ref=ref, at=at, run=run, change=Change.STOPPED, detail=STOPPED_BY.get(reason, "failed"))
