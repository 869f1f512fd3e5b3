"""What QEMU's events mean."""

from __future__ import annotations

from typing import Any

import pytest
from anyvirt.api import IoError, Lifecycle, Reason, Ref
from anyvirt_qemu.guest import Record
from anyvirt_qemu.qmp.telling import Teller, ended
from anyvirt_qemu.qmp.wire import Event

REF = Ref("domain", "7", name="one")
DISK = {"alias": "virtio-disk0", "path": "/img", "format": "qcow2", "node": "n1", "protocol": "n1-file"}


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "run": "r", "uuid": "7", "name": "one", "number": 1, "phase": "running", "paused": False, "xml": "", "boot": "",
        "began": 0.0, "disks": {"vda": DISK},
    }  # fmt: skip
    return Record(**{**values, **changes})


def told(*words: str | Event, paused: bool = False) -> list[str]:
    """What these events mean, in words."""
    teller = Teller(REF, record(paused=paused))
    out = []
    for word in words:
        event = teller.feed(Event(word) if isinstance(word, str) else word)
        if event is not None:
            out.append(f"{event.change.value}.{event.detail}" if isinstance(event, Lifecycle) else event.kind)
    return out


PAUSE = Event("WATCHDOG", {"action": "pause"})
FULL = Event("BLOCK_IO_ERROR", {"action": "stop", "node-name": "n1", "nospace": True, "device": ""})
REPORTED = Event("BLOCK_IO_ERROR", {"action": "report", "node-name": "n1-file", "reason": "Input/output error"})
PANIC = Event("GUEST_PANICKED", {"action": "pause"})


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (("RESUME",), []),
        (("RESUME", "STOP", "RESUME"), ["suspended.paused", "resumed.unpaused"]),
        (("RESUME", PAUSE, "STOP"), ["watchdog", "suspended.watchdog"]),
        (("RESUME", FULL, "STOP", "RESUME", "STOP"), [
            "io-error", "suspended.I/O error", "resumed.unpaused", "suspended.paused"]),
        (("RESUME", REPORTED, "STOP"), ["io-error", "suspended.paused"]),
        (("RESUME", PANIC, "STOP"), ["crashed.panicked"]),
        (("RESUME", PANIC, "STOP", "RESUME", "STOP"), ["crashed.panicked", "resumed.unpaused", "suspended.paused"]),
        (("GUEST_CRASHLOADED",), ["crashed.crashloaded"]),
        (("RESUME", "RESET"), ["reboot"]),
        (("SUSPEND", "WAKEUP"), ["pmsuspended.memory", "started.wakeup"]),
        (("SUSPEND_DISK", Event("SHUTDOWN", {"guest": True})), ["pmsuspended.disk", "shutdown.guest"]),
        ((Event("SHUTDOWN", {"guest": False, "reason": "host-ui"}),), ["shutdown.host"]),
        ((Event("SHUTDOWN", {"guest": False, "reason": "host-signal"}),), []),  # destroyed: whoever did it tells
        (("SHUTDOWN",), ["shutdown.finished"]),
        (("POWERDOWN", "NIC_RX_FILTER_CHANGED", "JOB_STATUS_CHANGE"), []),
        ((Event("RTC_CHANGE", {"offset": 5}), Event("BALLOON_CHANGE", {"actual": 9})), [
            "rtc-change", "balloon-change"]),
        ((Event("DEVICE_DELETED", {"path": "/x"}), Event("DEVICE_DELETED", {"device": "a", "path": "/x"})), [
            "device-removed"]),
        ((Event("DEVICE_TRAY_MOVED", {"id": "cd", "tray-open": True}),), ["tray-change"]),
        ((Event("VSERPORT_CHANGE", {"id": "channel0", "open": True}),), ["agent-lifecycle"]),
    ],
)  # fmt: skip
def test_events_mean_what_the_ones_before_make_of_them(words: tuple[str | Event, ...], meaning: list[str]) -> None:
    assert told(*words) == meaning


def test_the_first_resume_of_a_paused_start_is_the_users() -> None:
    assert told("RESUME", paused=True) == ["resumed.unpaused"]


def test_a_failed_disk_is_told_by_path_alias_action_and_reason() -> None:
    teller = Teller(REF, record())
    event = teller.feed(FULL)
    assert event == IoError(ref=REF, run="r", path="/img", alias="virtio-disk0", action="pause", reason="enospc")
    later = teller.feed(REPORTED)
    assert isinstance(later, IoError)
    assert (later.path, later.action, later.reason) == ("/img", "report", "eio")
    unknown = teller.feed(Event("BLOCK_IO_ERROR", {"action": "ignore", "node-name": "n7", "reason": "Stale handle"}))
    assert isinstance(unknown, IoError)
    assert (unknown.path, unknown.action, unknown.reason) == ("", "none", "eother")


@pytest.mark.parametrize("data", [{"offset": "x"}, {"actual": None}, {"id": 5}, {"device": []}, {"action": {}}])
@pytest.mark.parametrize(
    "name", ["RTC_CHANGE", "BALLOON_CHANGE", "DEVICE_TRAY_MOVED", "DEVICE_DELETED", "WATCHDOG", "BLOCK_IO_ERROR"]
)
def test_data_that_is_not_as_it_should_be_does_no_harm(name: str, data: dict[str, Any]) -> None:
    Teller(REF, record()).feed(Event(name, data))


def test_events_have_qemus_time_and_the_run() -> None:
    event = Teller(REF, record()).feed(Event("RESET", {}, 1_500_000_000))
    assert event is not None
    assert (event.at, event.run, event.ref) == (1.5, "r", REF)


def test_the_end_of_a_run_says_why() -> None:
    assert ended(REF, "r", Reason.CRASHED, 1.0).detail == "crashed"
