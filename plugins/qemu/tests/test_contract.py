"""The contract suite on a real QEMU, as whoever runs it: root has the system's guests, everybody else a session's.

The guest is a kernel of a few bytes that says ``up``, echoes what is typed and heeds the power button.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Connection, Deadline, Ref, ShutdownMode, State, Unreachable, within
from anyvirt.client._generated_sync import Domain
from anyvirt.testing import proves
from anyvirt.testing.contract import *  # noqa: F403
from anyvirt.testing.guests import Guests, GuestXml
from anyvirt_qemu.guest import Run
from anyvirt_qemu.qmp.monitor import Monitor

# PM1_EN = PWRBTN; print "up"; then for ever: a byte that came goes back; PWRBTN in PM1_STS is power-off; else sti, hlt
CODE = bytes.fromhex(
    "ba0206b80001ef bafb03b003ee baf803b075eeb070ee"
    "bafd03eca8017407baf803eceeebf1 ba0006edf6c4017504fbf4ebe4 ba0406b80020eff4ebfd"
)
ENTRY = 0x280  # behind the header of Linux's boot protocol


def kernel() -> bytes:
    """What QEMU takes for a Linux: a header, and code that runs in real mode."""
    image = bytearray(1024 + 512)
    image[0x1F1] = 1  # sectors of set-up code
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x200:0x202] = bytes((0xEB, ENTRY - 0x202))
    image[0x202:0x208] = b"HdrS\x04\x02"
    image[0x211] = 1  # loaded high
    image[ENTRY : ENTRY + len(CODE)] = CODE
    return bytes(image)


@pytest.fixture
def connection_uri(qemu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where a user's libvirt has its definitions
    own = "libvirt" in request.node.name  # the machine's own libvirt is not for tests
    return "qemu:///session" if own or os.geteuid() else "qemu:///system"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def cannot() -> dict[str, str]:
    """Pools by themselves are proved on ``storage:///``, which is the same code; here they meet guests."""
    return {"pool_define": "proved on storage:///"}


@pytest.fixture
def echoes() -> bytes:
    return b"echo mark-one\n"


@pytest.fixture
def guest_xml(tmp_path: Path) -> GuestXml:
    place = tmp_path / "kernel"
    place.write_bytes(kernel())

    def made(name: str, **wishes: Any) -> str:
        disk = (
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{wishes.get('disk')}'/>"
            "<target dev='vda' bus='virtio'/></disk>"
        )
        emulator = f"<emulator>{wishes['emulator']}</emulator>" if wishes.get("emulator") else ""
        own = "".join(f"<{tag}>{wishes[tag]}</{tag}>" for tag in ("uuid", "title") if wishes.get(tag))
        return (
            f"<domain type='qemu'><name>{name}</name>{own}<memory unit='MiB'>{wishes.get('memory', 32)}</memory>"
            f"<vcpu>1</vcpu><os><type machine='q35'>hvm</type><kernel>{place}</kernel></os><features><acpi/></features>"
            f"{wishes.get('unknown', '')}<devices>{emulator}{disk if wishes.get('disk') else ''}<serial type='pty'/>"
            "</devices></domain>"
        )

    return made


class Ready(Guests):
    """Guests that are asked for nothing before they have said that they are up."""

    def running(self, *, paused: bool = False, **wishes: Any) -> Domain:
        domain = super().running(paused=paused, **wishes)
        if not paused:
            with domain.console(readonly=True, replay=True) as console, within(Deadline(20)):
                seen = b""
                while b"up" not in seen:
                    seen += console.read()
        return domain


@pytest.fixture
def guests(connection: Connection, guest_xml: GuestXml, request: pytest.FixtureRequest) -> Iterator[Guests]:
    kind = Ready if "reboot" in request.node.name else Guests
    made = kind(connection, guest_xml, None)
    yield made
    made.remove()


@pytest.fixture
def blocked(guest_xml: GuestXml, tmp_path: Path) -> str:
    return guest_xml("contract-blocked", disk=tmp_path / "missing.img")


@pytest.fixture
def importable(tmp_path: Path) -> Callable[[str], Path]:
    folder = tmp_path / "config/libvirt/qemu"
    folder.mkdir(parents=True)

    def put(xml: str) -> Path:
        path = folder / "one.xml"
        path.write_text(xml)
        return path

    return put


@pytest.fixture
def observe(tmp_path: Path) -> Callable[[Ref], State]:
    """What QEMU says on a monitor that nobody else uses, where the host shows a QEMU of that guest."""
    words = {"running": State.RUNNING, "paused": State.PAUSED, "prelaunch": State.PAUSED, "shutdown": State.SHUTDOWN}

    def seen(ref: Ref) -> State:
        if not _pids(ref):
            return State.SHUTOFF
        (run,) = tmp_path.glob(f"state/*/run/qemu/{ref.key}")
        with Monitor(str(run / "r3"), ref.key) as monitor:
            return words[monitor.execute("query-status")["status"]]

    return seen


@pytest.fixture
def stick() -> Callable[[Connection, Ref], Connection]:
    def stuck(connection: Connection, ref: Ref) -> Connection:
        for pid in _pids(ref):
            os.kill(pid, signal.SIGSTOP)
        return connection

    return stuck


@pytest.fixture
def litter(connection: Connection, guests: Guests) -> Callable[[], Callable[[], bool]]:
    """A guest whose QEMU was killed: its run directory stays until somebody settles it."""
    runs = connection.session.host.scope.folder("qemu", run=True)

    def leave() -> Callable[[], bool]:
        ref = guests.running().ref
        for pid in _pids(ref):
            os.kill(pid, signal.SIGKILL)
        run = Run.open(runs, ref.key)
        assert run is not None
        with run:
            while run.alive():  # a process that ends has lost its command line before it is dead
                time.sleep(0.01)

        def gone() -> bool:
            run = Run.open(runs, ref.key)
            if run is not None:
                run.close()
            return run is None

        return gone

    return leave


def _pids(ref: Ref) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        started = any(b"qemu-system" in word for word in words[:4])  # a loader may stand before it
        if started and any(ref.key.encode() in word for word in words):
            found.append(int(entry.name))
    return found


@proves("domain_shutdown.mode")
def test_the_power_button_is_not_pressed_where_the_agent_was_to_be_asked(guests: Guests) -> None:
    domain = guests.running()
    with pytest.raises(Unreachable):
        domain.shutdown(ShutdownMode.AGENT)


@proves("domain_reboot.mode")
def test_the_power_button_is_not_pressed_for_a_reboot_through_the_agent(guests: Guests) -> None:
    domain = guests.running()
    with pytest.raises(Unreachable):
        domain.reboot(ShutdownMode.AGENT)


# SIGTERM is held back for ever: a mask outlives exec, and QEMU changes it no more.
DEAF = """#!{python}
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.execv({qemu!r}, [{qemu!r}, *sys.argv[1:]])
"""


@proves("domain_destroy.graceful")
def test_a_graceful_destroy_leaves_a_qemu_that_does_not_heed_it_alone(
    guests: Guests, observe: Callable[[Ref], State], qemu: str, tmp_path: Path
) -> None:
    deaf = tmp_path / "qemu-system-x86_64"
    deaf.write_text(DEAF.format(python=sys.executable, qemu=qemu))
    deaf.chmod(0o755)
    domain = guests.running(emulator=deaf)
    (pid,) = _pids(domain.ref)
    with pytest.raises(Busy, match=str(pid)) as refusal:
        domain.destroy(graceful=True, timeout=3)
    assert "without graceful" in refusal.value.hint
    assert observe(domain.ref) is State.RUNNING
    assert domain.state().state is State.RUNNING
    domain.destroy(timeout=3)
    assert not _pids(domain.ref)


@proves("domain_undefine.keep_nvram")
@pytest.mark.parametrize("keep", [True, False])
def test_firmware_variables_stay_where_that_is_wanted(guests: Guests, tmp_path: Path, keep: bool) -> None:
    domain = guests.stopped()
    (state,) = tmp_path.glob("state/*/qemu")
    variables = state / "nvram" / f"{domain.uuid}.fd"
    variables.parent.mkdir(exist_ok=True)
    variables.write_bytes(b"variables")  # as a start with firmware leaves them
    domain.undefine(keep_nvram=keep)
    assert variables.exists() is keep


@proves("domain_undefine.keep_tpm")
@pytest.mark.parametrize("keep", [True, False])
def test_the_state_of_a_tpm_stays_where_that_is_wanted(guests: Guests, tmp_path: Path, keep: bool) -> None:
    domain = guests.stopped()
    (state,) = tmp_path.glob("state/*/qemu")
    kept = state / "tpm" / domain.ref.key / "2.0"
    kept.mkdir(parents=True)  # as a start with an emulated TPM leaves it
    domain.undefine(keep_tpm=keep)
    assert kept.exists() is keep
