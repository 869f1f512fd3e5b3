"""States, reasons, operations, and the one table of what is allowed when.

Names and meanings are libvirt's (``virDomainState`` and its reasons, libvirt 9.0.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from anyvirt.errors import WrongState

if TYPE_CHECKING:
    from anyvirt.ref import Ref


class State(Enum):
    """What a domain does; ``UNKNOWN`` where the hypervisor's word fits none."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    SHUTDOWN = "in shutdown"
    SHUTOFF = "shut off"
    CRASHED = "crashed"
    PMSUSPENDED = "pmsuspended"

    @property
    def active(self) -> bool | None:
        """Whether the domain uses the hypervisor; None when that is not known."""
        return None if self is State.UNKNOWN else self is not State.SHUTOFF


class Reason(Enum):
    """Why a domain is in its state."""

    UNKNOWN = "unknown"
    BOOTED = "booted"
    MIGRATED = "migrated"
    RESTORED = "restored"
    FROM_SNAPSHOT = "from snapshot"
    UNPAUSED = "unpaused"
    MIGRATION_CANCELED = "migration canceled"
    SAVE_CANCELED = "save canceled"
    WAKEUP = "wakeup"
    CRASHED = "crashed"
    POSTCOPY = "post-copy"
    POSTCOPY_FAILED = "post-copy failed"
    USER = "user"
    MIGRATION = "migrating"
    SAVE = "saving"
    DUMP = "dumping"
    IOERROR = "I/O error"
    WATCHDOG = "watchdog"
    SHUTTING_DOWN = "shutting down"
    SNAPSHOT = "creating snapshot"
    STARTING_UP = "starting up"
    SHUTDOWN = "shutdown"
    DESTROYED = "destroyed"
    SAVED = "saved"
    FAILED = "failed"
    DAEMON = "daemon"
    PANICKED = "panicked"


# libvirt's numbers: state -> (number, reasons in order of their number)
NUMBERS: Final[dict[State, tuple[int, tuple[Reason, ...]]]] = {
    State.UNKNOWN: (0, (Reason.UNKNOWN,)),
    State.RUNNING: (
        1,
        (
            Reason.UNKNOWN,
            Reason.BOOTED,
            Reason.MIGRATED,
            Reason.RESTORED,
            Reason.FROM_SNAPSHOT,
            Reason.UNPAUSED,
            Reason.MIGRATION_CANCELED,
            Reason.SAVE_CANCELED,
            Reason.WAKEUP,
            Reason.CRASHED,
            Reason.POSTCOPY,
            Reason.POSTCOPY_FAILED,
        ),
    ),
    State.BLOCKED: (2, (Reason.UNKNOWN,)),
    State.PAUSED: (
        3,
        (
            Reason.UNKNOWN,
            Reason.USER,
            Reason.MIGRATION,
            Reason.SAVE,
            Reason.DUMP,
            Reason.IOERROR,
            Reason.WATCHDOG,
            Reason.FROM_SNAPSHOT,
            Reason.SHUTTING_DOWN,
            Reason.SNAPSHOT,
            Reason.CRASHED,
            Reason.STARTING_UP,
            Reason.POSTCOPY,
            Reason.POSTCOPY_FAILED,
        ),
    ),
    State.SHUTDOWN: (4, (Reason.UNKNOWN, Reason.USER)),
    State.SHUTOFF: (
        5,
        (
            Reason.UNKNOWN,
            Reason.SHUTDOWN,
            Reason.DESTROYED,
            Reason.CRASHED,
            Reason.MIGRATED,
            Reason.SAVED,
            Reason.FAILED,
            Reason.FROM_SNAPSHOT,
            Reason.DAEMON,
        ),
    ),
    State.CRASHED: (6, (Reason.UNKNOWN, Reason.PANICKED)),
    State.PMSUSPENDED: (7, (Reason.UNKNOWN,)),
}


@dataclass(frozen=True, slots=True)
class Status:
    """A state with its reason; ``detail`` keeps the hypervisor's own word."""

    state: State
    reason: Reason = Reason.UNKNOWN
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state.value} ({self.reason.value})" if self.reason is not Reason.UNKNOWN else self.state.value

    @property
    def numbers(self) -> tuple[int, int]:
        """Libvirt's numbers of state and reason."""
        number, reasons = NUMBERS[self.state]
        return number, reasons.index(self.reason) if self.reason in reasons else 0


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What is so of a domain beside its state, cheap to ask for.

    :param id: the number of the running domain; None when it does not run.
    :param foreign: who else manages it, in words; empty for one of our own.
    """

    id: int | None = None
    persistent: bool = True
    autostart: bool | None = None
    title: str | None = None
    managed_save: bool | None = None
    foreign: str = ""


class Op(Enum):
    """What can be asked of a domain that exists."""

    START = "start"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    RESET = "reset"
    DESTROY = "destroy"
    SUSPEND = "suspend"
    RESUME = "resume"
    UNDEFINE = "undefine"
    RENAME = "rename"
    SAVE = "save"
    CONSOLE = "console"


# Where an operation leads at once. SHUTDOWN and REBOOT only ask the guest, so they lead nowhere
# by themselves. A suspend of a paused domain succeeds and changes nothing, as libvirt has it.
TRANSITIONS: Final[dict[tuple[State, Op], Status]] = {
    (State.SHUTOFF, Op.START): Status(State.RUNNING, Reason.BOOTED),
    (State.RUNNING, Op.SHUTDOWN): Status(State.RUNNING),
    (State.BLOCKED, Op.SHUTDOWN): Status(State.BLOCKED),
    (State.RUNNING, Op.REBOOT): Status(State.RUNNING),
    (State.BLOCKED, Op.REBOOT): Status(State.BLOCKED),
    (State.RUNNING, Op.RESET): Status(State.RUNNING),
    (State.BLOCKED, Op.RESET): Status(State.RUNNING),
    (State.PAUSED, Op.RESET): Status(State.PAUSED),
    (State.CRASHED, Op.RESET): Status(State.CRASHED),
    (State.RUNNING, Op.SUSPEND): Status(State.PAUSED, Reason.USER),
    (State.BLOCKED, Op.SUSPEND): Status(State.PAUSED, Reason.USER),
    (State.PAUSED, Op.SUSPEND): Status(State.PAUSED, Reason.USER),
    (State.PAUSED, Op.RESUME): Status(State.RUNNING, Reason.UNPAUSED),
    (State.CRASHED, Op.RESUME): Status(State.RUNNING, Reason.UNPAUSED),
    (State.SHUTOFF, Op.RENAME): Status(State.SHUTOFF),
    **{(state, Op.DESTROY): Status(State.SHUTOFF, Reason.DESTROYED) for state in State if state is not State.SHUTOFF},
    **{(state, Op.UNDEFINE): Status(state) for state in State},
    (State.RUNNING, Op.SAVE): Status(State.SHUTOFF, Reason.SAVED),
    (State.BLOCKED, Op.SAVE): Status(State.SHUTOFF, Reason.SAVED),
    (State.PAUSED, Op.SAVE): Status(State.SHUTOFF, Reason.SAVED),
    **{
        (state, Op.CONSOLE): Status(state)
        for state in (State.RUNNING, State.BLOCKED, State.PAUSED, State.SHUTDOWN, State.CRASHED, State.PMSUSPENDED)
    },
}

# Everything that is not allowed, spelled out: a new state or operation has to be decided for each pair.
REFUSALS: Final[frozenset[tuple[State, Op]]] = frozenset(
    (state, op)
    for state, ops in {
        State.UNKNOWN: "START SHUTDOWN REBOOT RESET SUSPEND RESUME RENAME SAVE CONSOLE",
        State.RUNNING: "START RESUME RENAME",
        State.BLOCKED: "START RESUME RENAME",
        State.PAUSED: "START SHUTDOWN REBOOT RENAME",
        State.SHUTDOWN: "START SHUTDOWN REBOOT RESET SUSPEND RESUME RENAME SAVE",
        State.SHUTOFF: "SHUTDOWN REBOOT RESET DESTROY SUSPEND RESUME SAVE CONSOLE",
        State.CRASHED: "START SHUTDOWN REBOOT SUSPEND RENAME SAVE",
        State.PMSUSPENDED: "START SHUTDOWN REBOOT RESET SUSPEND RESUME RENAME SAVE",
    }.items()
    for op in (Op[name] for name in ops.split())
)


_ACTIVE: Final = [state for state in State if state.active]


def require(state: State | Status, op: Op, what: Ref | str = "") -> Status:
    """The status that ``op`` leads to from ``state``.

    Called in the driver's side of a call, under the guest's lock.

    :raises WrongState: where the table refuses the pair; it names the states that would do.
    """
    now = state.state if isinstance(state, Status) else state
    after = TRANSITIONS.get((now, op))
    if after is None:
        needed = [s.value for s, o in TRANSITIONS if o is op]
        words = "active" if len(needed) >= len(_ACTIVE) else ""
        raise WrongState(now.value, needed, op.value, words=words, what=what, hint=_hint(now, op))
    return after


def _hint(now: State, op: Op) -> str:
    if now is State.SHUTOFF:
        return "it is off already" if op in {Op.DESTROY, Op.SHUTDOWN} else "start it first"
    if now is State.PAUSED:
        return "resume it first"
    if op in {Op.START, Op.RENAME}:
        return "shut it down or destroy it first"
    return ""
