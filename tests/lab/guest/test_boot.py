"""The small Linux guest itself, on QEMU and with nothing of anyvirt's between."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guest as small_guest
import pytest

PATIENCE = 40.0  # seconds; the guest shows its prompt after 3 on a machine that has nothing else to do


class Machine:
    """One QEMU with the guest in it: its serial port and its monitor."""

    def __init__(self, folder: Path, guest: small_guest.Guest) -> None:
        self.disk = folder / "disk.img"
        self.disk.touch()
        with self.disk.open("r+b") as image:
            image.truncate(1 << 20)
        self.process = subprocess.Popen(self._argv(folder, guest), stdin=subprocess.DEVNULL)
        self._serial = _connect(folder / "serial")
        monitor = _connect(folder / "monitor")
        self._lines = monitor.makefile("r")
        self._monitor = monitor
        self._seen = b""
        self._lines.readline()
        self.command("qmp_capabilities")

    def _argv(self, folder: Path, guest: small_guest.Guest) -> list[str]:
        ends = {name: f"socket,id={name},path={folder / name},server=on,wait=off" for name in ("serial", "monitor")}
        disk = {"driver": "raw", "node-name": "disk", "file": {"driver": "file", "filename": str(self.disk)}}
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "192", "-smp", "2"),
            *("-nodefaults", "-display", "none", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd)),
            *("-append", guest.cmdline, "-chardev", ends["serial"], "-serial", "chardev:serial"),
            *("-chardev", ends["monitor"], "-mon", "chardev=monitor,mode=control"),
            *("-blockdev", json.dumps(disk), "-device", json.dumps({"driver": "virtio-blk-pci", "drive": "disk"})),
            *("-netdev", "user,id=net", "-device", json.dumps({"driver": "virtio-net-pci", "netdev": "net"})),
            *("-device", json.dumps({"driver": "virtio-balloon-pci"})),
        ]

    def command(self, name: str) -> Any:
        self._monitor.sendall(json.dumps({"execute": name}).encode() + b"\n")
        for line in self._lines:
            answer = json.loads(line)
            if "event" not in answer:
                return answer["return"]
        return pytest.fail(f"the monitor closed instead of answering {name}")

    def type(self, line: str) -> None:
        self._serial.sendall(line.encode() + b"\r")

    def until(self, text: str) -> str:
        """What the serial port showed up to and with ``text``."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self._seen:
            self._serial.settimeout(max(0.01, end - time.monotonic()))
            data = self._serial.recv(4096)
            assert data, f"the guest ended; it had shown {self._seen!r}"
            self._seen += data
        shown, _, self._seen = self._seen.partition(text.encode())
        return shown.decode(errors="replace") + text

    def end(self) -> None:
        self._serial.close()
        self._lines.close()
        self._monitor.close()
        self.process.kill()
        self.process.wait()


def _connect(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(PATIENCE)
    for _ in range(500):
        try:
            end.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.01)
        else:
            return end
    return pytest.fail(f"QEMU did not open {path}")


@pytest.fixture
def guest() -> small_guest.Guest:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    if shutil.which("apt-get") is None:
        pytest.skip("no apt to fetch the guest's packages with")
    return small_guest.build()


@pytest.fixture
def machine(tmp_path: Path, guest: small_guest.Guest) -> Iterator[Machine]:
    machine = Machine(tmp_path, guest)
    yield machine
    machine.end()


@pytest.fixture
def booted(machine: Machine, guest: small_guest.Guest) -> Machine:
    machine.until(guest.prompt)
    return machine


def test_the_guest_lives_from_its_first_prompt_to_its_power_button(booted: Machine, guest: small_guest.Guest) -> None:
    booted.type("printf 'from the guest' | dd of=/dev/vda conv=fsync 2>/dev/null && echo it is wr''itten; tty")
    booted.until("it is written")
    assert "/dev/ttyS0" in booted.until(guest.prompt)
    assert booted.disk.read_bytes()[:14] == b"from the guest"
    booted.type("until ip -4 addr show eth0 | grep -o '10.0.2.15'; do sleep 1; done; ls /sys/bus/virtio/drivers")
    shown = booted.until(guest.prompt)
    assert "10.0.2.15" in shown
    for driver in ("virtio_blk", "virtio_net", "virtio_balloon", "virtio_console", "virtio_rng"):
        assert driver in shown
    booted.type("reboot")
    booted.until("Restarting system")
    booted.until(guest.prompt)
    booted.command("system_powerdown")
    booted.until("power button")
    assert booted.process.wait(10) == 0
