"""Faults as errors. The classes are the vendor's, made here by their names; each hierarchy is the documented one."""

from __future__ import annotations

import pytest
from anyvirt.api import Busy, Denied, Exists, Failed, Invalid, NotFound, Ref, Unreachable, Unsupported, WrongState
from anyvirt_esx.faults import coded

REF = Ref("domain", "vm-42", name="web")


def fault(*names: str, **fields: object) -> Exception:
    """One whose classes are these, its own first; pyVmomi names them ``vim.fault.NAME``."""
    cls: type[Exception] = Exception
    for name in ("MethodFault", *reversed(names)):
        cls = type(f"vim.fault.{name}", (cls,), {})
    made = cls()
    made.__dict__.update(fields)
    return made


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (("InvalidLogin", "VimFault"), Denied),
        (("InvalidPowerState", "InvalidState", "VimFault"), WrongState),
        (("VAppTaskInProgress", "TaskInProgress", "VimFault"), Busy),
        (("ManagedObjectNotFound", "RuntimeFault"), NotFound),
        (("DuplicateName", "VimFault"), Exists),
        (("MethodNotFound", "InvalidRequest", "RuntimeFault"), Unsupported),
        (("InvalidRequest", "RuntimeFault"), Invalid),
        (("HostNotReachable", "HostCommunication", "RuntimeFault"), Unreachable),
        (("NoDiskFound", "VimFault"), Failed),
    ],
)
def test_the_nearest_class_decides(names: tuple[str, ...], error: type[Exception]) -> None:
    found = coded(fault(*names, msg="the vendor's words"), "start", REF)
    assert type(found) is error
    assert found.details == {**found.details, "fault": names[0], "text": "the vendor's words"}


def test_a_missing_privilege_names_itself() -> None:
    found = coded(fault("NoPermission", "SecurityError", privilegeId="VirtualMachine.Interact.PowerOn"), "start", REF)
    assert "VirtualMachine.Interact.PowerOn" in str(found)
    assert found.details["privilege"] == "VirtualMachine.Interact.PowerOn"


def test_a_wrong_power_state_is_told_in_our_words() -> None:
    found = coded(fault("InvalidPowerState", existingState="poweredOn", requestedState="poweredOff"), "undefine", REF)
    assert isinstance(found, WrongState)
    assert (found.actual, list(found.needed)) == ("running", ["shut off"])
    assert "web" in str(found)
