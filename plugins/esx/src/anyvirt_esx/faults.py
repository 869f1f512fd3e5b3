"""Faults of vSphere as coded errors, by their class and those that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import (
    Busy,
    Cancelled,
    Denied,
    Exists,
    Failed,
    Invalid,
    NotFound,
    Ref,
    Unreachable,
    Unsupported,
    VirtError,
    WrongState,
)

POWER: Final = {"poweredOn": "running", "poweredOff": "shut off", "suspended": "paused"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One fault, and what was asked of what."""

    fault: BaseException
    operation: str
    what: Ref | str

    @property
    def text(self) -> str:
        own = str(getattr(self.fault, "msg", "") or "").strip().rstrip(".")
        return f"{names(self.fault)[0]}: {own}" if own else names(self.fault)[0]


def coded(fault: BaseException, operation: str, what: Ref | str) -> VirtError:
    """The error that stands for a fault; its ``details`` keep the vendor's class and text.

    :param operation: what was asked, as the error names it.
    :param what: the object that it was asked of.
    """
    made = next((FAULTS[name] for name in names(fault) if name in FAULTS), _failed)
    error = made(_Case(fault, operation, what))
    error.details = {**error.details, **native(fault)}
    return error


def names(fault: BaseException) -> list[str]:
    """The classes of a fault, its own first, without the vendor's dots: ``InvalidPowerState``, ``InvalidState`` ..."""
    return [cls.__name__.rpartition(".")[2] for cls in type(fault).__mro__]


def native(fault: BaseException) -> Mapping[str, Any]:
    """The vendor's own class and words, and the privilege that lacks."""
    found = {"fault": names(fault)[0], "text": str(getattr(fault, "msg", "") or "")}
    privilege = getattr(fault, "privilegeId", None)
    return {**found, "privilege": str(privilege)} if privilege else found


def _failed(case: _Case) -> VirtError:
    return Failed(f"{case.operation} of {str(case.what)!r} was refused: {case.text}")


def _denied(case: _Case) -> VirtError:
    privilege = getattr(case.fault, "privilegeId", None)
    lacks = f": the privilege {privilege} is missing" if privilege else f": {case.text}"
    return Denied(f"{case.operation} of {str(case.what)!r} is not allowed{lacks}", hint="log in as a user who may")


def _log_on(case: _Case) -> VirtError:
    return Denied(f"{case.what} refuses the log-in: {case.text}", hint="check user and password")


def _wrong_power(case: _Case) -> VirtError:
    actual, needed = (str(getattr(case.fault, name, "") or "") for name in ("existingState", "requestedState"))
    return WrongState(
        POWER.get(actual, actual or "unknown"),
        [POWER.get(needed, needed)] if needed else [],
        case.operation,
        what=case.what,
    )


def _wrong(case: _Case) -> VirtError:
    return WrongState(case.text, [], case.operation, what=case.what)


def _gone(case: _Case) -> VirtError:
    return NotFound(case.what)


def _taken(case: _Case) -> VirtError:
    return Exists("domain", str(getattr(case.fault, "name", "") or case.what))


def _held(case: _Case) -> VirtError:
    return Busy(case.what, holder=case.text, hint="wait for the task that runs")


def _cannot(case: _Case) -> VirtError:
    return Unsupported("esx", f"{case.operation} of {str(case.what)!r}: {case.text}")


def _argument(case: _Case) -> VirtError:
    name = getattr(case.fault, "invalidProperty", "") or ""
    return Invalid(f"{case.operation} of {str(case.what)!r}: {case.text} {name}".strip())


def _no_tools(case: _Case) -> VirtError:
    return Failed(
        f"{case.operation} of {str(case.what)!r}: VMware Tools do not run in the guest", hint="destroy or reset it"
    )


def _away(case: _Case) -> VirtError:
    return Unreachable(str(case.what), "host", details={"operation": case.operation})


def _cancelled(case: _Case) -> VirtError:
    return Cancelled(f"{case.operation} of {case.what}")


# The first class that stands here decides, from the fault's own one down to the root.
FAULTS: Final[dict[str, Callable[[_Case], VirtError]]] = {
    "InvalidLogin": _log_on,
    "NoPermission": _denied,
    "SecurityError": _denied,
    "NotAuthenticated": _denied,
    "InvalidPowerState": _wrong_power,
    "ToolsUnavailable": _no_tools,
    "TaskInProgress": _held,
    "ResourceInUse": _held,
    "ConcurrentAccess": _held,
    "FileLocked": _held,
    "InvalidState": _wrong,
    "ManagedObjectNotFound": _gone,
    "DuplicateName": _taken,
    "AlreadyExists": _taken,
    "MethodNotFound": _cannot,
    "NotImplemented": _cannot,
    "NotSupported": _cannot,
    "MethodDisabled": _cannot,
    "RestrictedVersion": _cannot,
    "NotEnoughLicenses": _cannot,
    "InvalidArgument": _argument,
    "InvalidName": _argument,
    "InvalidRequest": _argument,
    "HostCommunication": _away,
    "HostConnectFault": _away,
    "HostNotConnected": _away,
    "RequestCanceled": _cancelled,
}
