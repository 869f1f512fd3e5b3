"""What happened: one typed value for each kind of event.

Names and details are libvirt's (``virDomainEventID``, libvirt 9.0.0). Every event
has a resume ``token``: whoever kept the last one can ask for what came after it,
and gets a ``Gap`` where that cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Final

from anyvirt.model.state import Reason, State, Status
from anyvirt.ref import Ref


class Change(Enum):
    """What a life-cycle event says."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    STOPPED = "stopped"
    SHUTDOWN = "shutdown"
    PMSUSPENDED = "pmsuspended"
    CRASHED = "crashed"


class PoolChange(Enum):
    """What a pool's life-cycle event says, in the order of libvirt's numbers."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    STOPPED = "stopped"
    CREATED = "created"  # what it is in was built
    DELETED = "deleted"  # what it is in was removed


class VolumeChange(Enum):
    """What a volume's life-cycle event says; libvirt has none."""

    CREATED = "created"
    DELETED = "deleted"
    RESIZED = "resized"


class SecretChange(Enum):
    """What a secret's life-cycle event says, in the order of libvirt's numbers."""

    DEFINED = "defined"
    UNDEFINED = "undefined"


# change -> (libvirt's number, details in order of their number)
DETAILS: Final[dict[Change, tuple[int, tuple[str, ...]]]] = {
    Change.DEFINED: (0, ("added", "updated", "renamed", "from snapshot")),
    Change.UNDEFINED: (1, ("removed", "renamed")),
    Change.STARTED: (2, ("booted", "migrated", "restored", "from snapshot", "wakeup")),
    Change.SUSPENDED: (
        3,
        (
            "paused",
            "migrated",
            "I/O error",
            "watchdog",
            "restored",
            "from snapshot",
            "API error",
            "post-copy",
            "post-copy failed",
        ),
    ),
    Change.RESUMED: (4, ("unpaused", "migrated", "from snapshot", "post-copy", "post-copy failed")),
    Change.STOPPED: (5, ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot")),
    Change.SHUTDOWN: (6, ("finished", "guest", "host")),
    Change.PMSUSPENDED: (7, ("memory", "disk")),
    Change.CRASHED: (8, ("panicked", "crashloaded")),
}

# why a domain is paused, off or running -> the detail of the event that tells of it
SUSPENDED_BY: Final = {Reason.USER: "paused", Reason.IOERROR: "I/O error", Reason.WATCHDOG: "watchdog"}
STOPPED_BY: Final = {
    Reason.SHUTDOWN: "shutdown",
    Reason.DESTROYED: "destroyed",
    Reason.CRASHED: "crashed",
    Reason.SAVED: "saved",
    Reason.FAILED: "failed",
    Reason.MIGRATED: "migrated",
    Reason.FROM_SNAPSHOT: "from snapshot",
}
STARTED_BY: Final = {
    Reason.WAKEUP: "wakeup",
    Reason.RESTORED: "restored",
    Reason.MIGRATED: "migrated",
    Reason.FROM_SNAPSHOT: "from snapshot",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to ``ref`` at ``at`` (``time.time()``).

    :param run: the run of the domain that it belongs to, where it belongs to one.
    :param token: where to go on from; opaque, and empty on an event that was not read from a log.
    """

    kind: ClassVar[str] = "event"
    changes: ClassVar[type[Enum] | None] = None  # of a kind that has a field ``change``, what that may be
    ref: Ref | None = None
    at: float = 0.0
    run: str = ""
    token: str = ""

    def detail_row(self) -> dict[str, Any]:
        """The fields of this kind alone, as plain data for a log."""
        values = ((name, getattr(self, name)) for name in self._own())
        return {name: value.value if isinstance(value, Enum) else value for name, value in values}

    @classmethod
    @cache
    def _own(cls) -> tuple[str, ...]:
        """The names of the fields of this kind alone."""
        return tuple(f.name for f in fields(cls)[len(fields(Event)) :])  # the common ones come first


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle(Event):
    """A domain was defined, started, stopped ...; ``detail`` is one of ``DETAILS[change]``."""

    kind: ClassVar[str] = "lifecycle"
    changes: ClassVar[type[Enum] | None] = Change
    change: Change
    detail: str = ""

    @property
    def numbers(self) -> tuple[int, int]:
        """Libvirt's numbers of event and detail."""
        number, details = DETAILS[self.change]
        return number, details.index(self.detail) if self.detail in details else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot(Event):
    """The guest was reset or rebooted itself."""

    kind: ClassVar[str] = "reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcChange(Event):
    """The guest set its clock; ``offset`` in seconds from the host's."""

    kind: ClassVar[str] = "rtc-change"
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogFired(Event):
    """The guest's watchdog fired; ``action``: none, pause, reset, poweroff, shutdown, debug, inject-nmi."""

    kind: ClassVar[str] = "watchdog"
    action: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class IoError(Event):
    """A disk failed; ``action``: none, pause or report; ``reason``: enospc, eio, eother or empty."""

    kind: ClassVar[str] = "io-error"
    path: str = ""
    alias: str = ""
    action: str = "none"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalloonChange(Event):
    """The guest's memory changed to ``actual`` bytes."""

    kind: ClassVar[str] = "balloon-change"
    actual: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrayChange(Event):
    """A CD drive's tray was opened or closed."""

    kind: ClassVar[str] = "tray-change"
    alias: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRemoved(Event):
    """The guest let go of a device."""

    kind: ClassVar[str] = "device-removed"
    alias: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLifecycle(Event):
    """The guest opened or closed a channel's port."""

    kind: ClassVar[str] = "agent-lifecycle"
    alias: str = ""
    connected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Autostart(Event):
    """The autostart flag of a domain or a pool was set."""

    kind: ClassVar[str] = "autostart"
    on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange(Event):
    """A job began or ended; ``state``: running, done, failed or cancelled."""

    kind: ClassVar[str] = "job"
    job: str = ""
    hook: str = ""
    state: str = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLifecycle(Event):
    """A storage pool was defined, started, stopped, built ..."""

    kind: ClassVar[str] = "pool-lifecycle"
    changes: ClassVar[type[Enum] | None] = PoolChange
    change: PoolChange


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRefresh(Event):
    """A storage pool was looked through for what is in it."""

    kind: ClassVar[str] = "pool-refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLifecycle(Event):
    """A volume was made, deleted or given another size; its pool is the parent of ``ref``."""

    kind: ClassVar[str] = "volume-lifecycle"
    changes: ClassVar[type[Enum] | None] = VolumeChange
    change: VolumeChange


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretLifecycle(Event):
    """A secret was defined or undefined."""

    kind: ClassVar[str] = "secret-lifecycle"
    changes: ClassVar[type[Enum] | None] = SecretChange
    change: SecretChange


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValueChange(Event):
    """A secret was given a value; which one is not told."""

    kind: ClassVar[str] = "secret-value-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """Events may be missing since ``since`` (``time.time()``); what is so now has to be asked.

    :param reason: ``unknown token``, ``pruned``, ``torn line``, ``no room``, ``queue full``,
        ``lost connection``, ``truncated``, ``begun late``.
    """

    kind: ClassVar[str] = "gap"
    since: float | None = None
    reason: str = ""


KINDS: Final[dict[str, type[Event]]] = {
    cls.kind: cls
    for cls in (
        Lifecycle,
        Reboot,
        RtcChange,
        WatchdogFired,
        IoError,
        BalloonChange,
        TrayChange,
        DeviceRemoved,
        AgentLifecycle,
        Autostart,
        JobChange,
        PoolLifecycle,
        PoolRefresh,
        VolumeLifecycle,
        SecretLifecycle,
        SecretValueChange,
        Gap,
    )
}


def stamped(event: Event, *, token: str, at: float | None = None) -> Event:
    """``event`` with its place in a log."""
    return replace(event, token=token, at=event.at if at is None else at)


def so_now(ref: Ref, status: Status, *, run: str = "", at: float = 0.0) -> Lifecycle | None:
    """How a domain is, told as the event that would have brought it there; None where nobody knows.

    What a driver tells of each domain after a ``Gap``. The detail is empty where the reason is not known.
    """
    state, reason = status.state, status.reason
    if state in {State.RUNNING, State.BLOCKED}:
        told = (Change.STARTED, STARTED_BY.get(reason, "booted"))
    elif state is State.PAUSED:
        told = (Change.SUSPENDED, SUSPENDED_BY.get(reason, "paused"))
    elif state is State.PMSUSPENDED:
        told = (Change.PMSUSPENDED, "memory")
    elif state is State.CRASHED:
        told = (Change.CRASHED, "panicked")
    elif state is State.SHUTDOWN:
        told = (Change.SHUTDOWN, "finished")
    elif state is State.SHUTOFF:
        told = (Change.STOPPED, STOPPED_BY.get(reason, ""))
    else:
        return None
    return Lifecycle(ref=ref, at=at, run=run, change=told[0], detail=told[1])


class Begun(Iterator[Event]):
    """A stream of events that says where it begins, so that a resume token knows its place before it told anything.

    :param stream: the events.
    :param token: the place that it begins at.
    """

    def __init__(self, stream: Iterator[Event], token: str) -> None:
        self._stream, self.token = stream, token

    def __next__(self) -> Event:
        return next(self._stream)
