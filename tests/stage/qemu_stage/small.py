"""The small Linux guest as anyvirt runs it: what it prints is the witness."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import guest as small_guest
import pytest
from anyvirt.api import Deadline, State, Status, Stream, within
from anyvirt.client._generated_sync import Connection, Domain

URI: Final = "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
PATIENCE: Final = 60.0  # the guest shows its prompt after 3 on a machine that has nothing else to do
ESCAPES: Final = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
DISK_BYTES: Final = 64 << 20


def built(*, agent: bool = False) -> small_guest.Guest:
    """The guest's kernel and initramfs; skips the test where they cannot be had.

    :param agent: with QEMU's guest agent in it.
    """
    for tool in ("qemu-system-x86_64", "qemu-img"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if shutil.which("apt-get") is None:
        pytest.skip("no apt to fetch the guest's packages with")
    return small_guest.build(agent=agent)


def small_xml(guest: small_guest.Guest, disk: Path, name: str, *, cards: str = "", more: str = "") -> str:
    """Its definition: direct kernel boot, one qcow2 disk, a console on a terminal."""
    return (
        f"<domain type='kvm'><name>{name}</name><title>The small guest</title><memory unit='MiB'>160</memory>"
        "<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>"
        f"<kernel>{guest.kernel}</kernel><initrd>{guest.initrd}</initrd><cmdline>{guest.cmdline}</cmdline></os>"
        "<features><acpi/></features><devices>"
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>"
        f"<target dev='vda' bus='virtio'/></disk>{cards}<serial type='pty'/>{more}"
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"
    )


class Small:
    """One such guest, defined; ``booted`` brings it to its prompt."""

    patience = PATIENCE

    def __init__(
        self,
        connection: Connection,
        folder: Path,
        *,
        name: str = "small",
        cards: str = "",
        more: str = "",
        agent: bool = False,
    ) -> None:
        self.connection, self.name = connection, name
        self.guest = built(agent=agent)
        self.disk = folder / f"{name}.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.disk, str(DISK_BYTES)], check=True)
        self.xml = small_xml(self.guest, self.disk, name, cards=cards, more=more)
        self.domain: Domain = connection.domain_define(self.xml)
        self._console: Stream | None = None
        self._seen = b""

    def started(self) -> Small:
        """Start it where it is off."""
        if self.state().state is State.SHUTOFF:
            self.hang_up()
            self.domain.start()
        return self

    def booted(self) -> Small:
        """Start it where it is off; it is at its prompt then."""
        self.started()
        if self._console is None:
            self._console = self.domain.console(replay=True)
            self.until(self.guest.prompt)
        return self

    def hang_up(self) -> None:
        """Leave its console."""
        if self._console is not None:
            self._console.close()
        self._console, self._seen = None, b""

    def until(self, text: str) -> str:
        """What its console showed up to and with ``text``."""
        assert self._console is not None
        with within(Deadline(self.patience)):
            while text.encode() not in self._seen:
                piece = self._console.read()
                assert piece, f"its console ended; it had shown {self._seen!r}"
                self._seen = ESCAPES.sub(b"", self._seen + piece)
        shown, _, self._seen = self._seen.partition(text.encode())
        return shown.decode(errors="replace") + text

    def type(self, line: str) -> None:
        """Type a line on its console."""
        assert self._console is not None
        self._console.write(line.encode() + b"\n")

    def run(self, command: str) -> str:
        """What a command in it printed."""
        self.type(command)
        shown = self.until(self.guest.prompt).removesuffix(self.guest.prompt)
        return shown.partition("\r\n")[2].replace("\r\n", "\n")

    def uptime(self) -> float:
        """Seconds that have passed in the guest."""
        return float(self.run("cat /proc/uptime").split()[0])

    def state(self) -> Status:
        """Its status, asked anew."""
        return self.domain.state()

    def off(self) -> Status:
        """Wait until it is off."""
        status = self.domain.wait_for([State.SHUTOFF], timeout=self.patience)
        self.hang_up()
        return status

    def pid(self) -> int:
        """Its QEMU, as the host shows it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            started = any(b"qemu-system" in word for word in words.split(b"\0")[:4])  # a loader may stand before it
            if started and os.fsencode(self.disk) in words:
                found.append(int(entry.name))
        assert len(found) == 1, found
        return found[0]

    def end(self) -> None:
        """Whatever it does, it is gone afterwards."""
        self.hang_up()
        if self.state().state is not State.SHUTOFF:
            self.domain.destroy()
        self.domain.undefine()
