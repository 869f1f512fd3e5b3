"""A line that somebody typed, read and started: QEMU itself shows what it asked for."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest
from anyvirt.api import Connection, State, convert, converted
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL
from anyvirt_qemu.site import Site

ASKED = ("qtree", "usernet", "block", "memory_size_summary")
LINE = """#!/bin/sh
cd {folder}
exec qemu-system-x86_64 -M {machine} -m 64 -smp 2 -name typed -hda disk.img \\
  -drive if=none,id=d1,file={folder}/data.img,format=raw,cache=none \\
  -device virtio-blk-pci,drive=d1,num-queues=2,serial=abc,request-merging=off \\
  -nic user,model=virtio-net-pci,mac=52:54:00:12:34:56,hostfwd=tcp:127.0.0.1:{port}-:22 \\
  -usb -device usb-tablet -vga std -vnc 127.0.0.1:77,to=99 -serial stdio \\
  -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r,max-bytes=512 \\
  -device i6300esb -watchdog-action pause -smbios type=1,serial=s,,1 -device edu -daemonize
"""


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_line_that_was_typed_runs(machine: str, connection: Connection, site: Site, tmp_path: Path) -> None:
    for name in ("disk.img", "data.img"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 20)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    line = LINE.format(folder=tmp_path, machine=machine, port=port)
    found = converted(line.encode(), "qemu-argv", "domain")
    assert any("-daemonize" in note for note in found.notes)
    domain = connection.domain_create(found.data.decode(), paused=True)
    assert domain.state().state is State.PAUSED
    with site.run(domain.ref.key) as run:
        assert run is not None
        with Monitor(run.place.place(CONTROL), "typed") as monitor:
            say = {name: monitor.execute("human-monitor-command", **{"command-line": f"info {name}"}) for name in ASKED}
    tree = say["qtree"]
    for device in ("virtio-blk-pci", "virtio-net-pci", "usb-tablet", "VGA", "virtio-rng-pci", "i6300esb", "edu"):
        assert f"dev: {device}," in tree
    for value in ("request-merging = false", 'serial = "abc"', "num-queues = 2 ", "max-bytes = 512 "):
        assert value in tree
    assert "HOST_FORWARD" in say["usernet"]
    assert str(port) in say["usernet"]
    assert str(tmp_path / "disk.img") in say["block"]
    assert "67108864" in say["memory_size_summary"]


def test_the_line_of_a_definition_is_that_of_its_start(connection: Connection, site: Site, tmp_path: Path) -> None:
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(1 << 20)
    text = (
        "<domain type='qemu'><name>written</name><memory unit='MiB'>32</memory>"
        "<uuid>0e1a6a2c-0000-4000-8000-000000000001</uuid><os><type machine='q35'>hvm</type></os><devices>"
        f"<disk type='file'><driver type='raw'/><source file='{tmp_path}/disk.img'/><target dev='vda'/></disk>"
        "<interface type='user'><mac address='52:54:00:12:34:56'/></interface></devices></domain>"
    )
    written = convert(text.encode(), "domain", "qemu-argv").decode().splitlines()[-1]
    domain = connection.domain_create(text, paused=True)
    with site.run(domain.ref.key) as run:
        assert run is not None
        assert run.process is not None
        words = Path(f"/proc/{run.process.pid}/cmdline").read_text().split("\0")
        folder = run.place.guest_path
    assert [word for word in words if word] == [word.replace("/RUN", folder) for word in shlex.split(written)]
