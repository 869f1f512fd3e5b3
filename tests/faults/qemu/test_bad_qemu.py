"""A QEMU that hangs, dies or lies: no call outlasts its deadline, and other guests are none the wiser."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyvirt.api import Reason, State, Status, VirtError
from anyvirt.client._generated_sync import Domain
from qemu_stage import liar
from qemu_stage.scene import Scene

TIME = 1.0
SLACK = 1.5


@contextmanager
def in_time(seconds: float = TIME) -> Iterator[None]:
    """The block ends by its deadline, with some slack for a busy machine."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + SLACK


@pytest.fixture
def hung(scene: Scene) -> Iterator[tuple[Domain, list[Domain]]]:
    """One guest whose QEMU does not move, and two healthy ones."""
    with scene.open() as connection:
        guests = [connection.domain_define(scene.xml(f"guest{number}")) for number in range(3)]
        guests[0].start()
        (pid,) = scene.qemus()
        for guest in guests[1:]:
            guest.start()
        os.kill(pid, signal.SIGSTOP)
        yield guests[0], guests[1:]


CALLS: dict[str, Callable[[Domain], object]] = {
    "suspend": lambda guest: guest.suspend(timeout=TIME),
    "reset": lambda guest: guest.reset(timeout=TIME),
    "shutdown": lambda guest: guest.shutdown(timeout=TIME),
    "reboot": lambda guest: guest.reboot(timeout=TIME),
}


def test_nothing_that_is_asked_of_a_hung_qemu_outlasts_its_deadline(
    scene: Scene, hung: tuple[Domain, list[Domain]]
) -> None:
    guest, healthy = hung
    for name, call in CALLS.items():
        with in_time(TIME * 2), pytest.raises(VirtError):  # a reboot takes back what it began
            call(guest)
        assert guest.state(timeout=TIME).state is State.RUNNING, name
    with in_time():
        refs = [guest.ref, *(other.ref for other in healthy)]
        answers = guest.connection.stats(refs, timeout=TIME)
    for other in healthy:
        stats = answers[other.ref].get()
        assert stats.block is not None
        assert stats.block[0].read_requests is not None
    with in_time(0.5):
        healthy[0].suspend()
    with in_time(0.5):
        assert healthy[0].state() == Status(State.PAUSED, Reason.USER)
    with in_time(5):
        guest.undefine(timeout=5)  # needs no answer either: it is transient now
    with in_time(5):
        guest.destroy(timeout=5)
    for other in healthy:
        other.destroy()
        other.undefine()
    scene.agree(guest.connection)


def test_a_guest_can_be_destroyed_while_somebody_waits_for_its_reboot(scene: Scene) -> None:
    errors: list[BaseException] = []
    with scene.open() as first, scene.open() as second:
        guest = first.domain_define(scene.xml("guest"))
        guest.start()

        def reboot() -> None:
            try:
                guest.reboot(timeout=20)
            except VirtError as error:
                errors.append(error)

        waiting = threading.Thread(target=reboot)
        waiting.start()
        time.sleep(0.5)
        with in_time(1):
            second.lookup("guest").destroy()
        with in_time(1):
            waiting.join(10)
        assert [type(error).__name__ for error in errors] == ["Failed"]
        assert guest.state() == Status(State.SHUTOFF, Reason.DESTROYED)


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The emulator that misbehaves as its ``.mode`` says; what is learned of it is forgotten with the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "emulator.py"
    real = shutil.which("qemu-system-x86_64")
    text = Path(liar.__file__).read_text().replace("/usr/bin/qemu-system-x86_64", str(real))
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    path.with_suffix(".mode").write_text("real")
    return path


def test_a_start_with_a_qemu_that_dies_or_lies_fails_in_time_and_leaves_nothing(scene: Scene, emulator: Path) -> None:
    with scene.open() as connection:
        xml = scene.xml("guest").replace("<devices>", f"<devices><emulator>{emulator}</emulator>")
        guest = connection.domain_define(xml)
        guest.preflight()  # it has been asked what it can
        for mode in ("gone", "dies", "rubbish", "liar", "endless", "mute"):
            emulator.with_suffix(".mode").write_text(mode)
            with in_time(), pytest.raises(VirtError) as caught:
                guest.start(timeout=TIME)
            if mode == "gone":
                assert "the moon is in the wrong quarter" in str(caught.value) + str(caught.value.details)
            # what the call began is taken back behind the deadline's back, if need be
            assert guest.wait_for([State.SHUTOFF], timeout=5) == Status(State.SHUTOFF, Reason.FAILED), mode
            scene.quiet()
            assert not processes(emulator), mode
            scene.agree(connection)
        emulator.with_suffix(".mode").write_text("real")
        guest.start()
        assert guest.state() == Status(State.RUNNING, Reason.BOOTED)
        guest.destroy()


def processes(emulator: Path) -> list[str]:
    """What still runs of an emulator."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(emulator) in words.split(b"\0")[:3]:
            found.append(entry.name)
    return found
