"""What a running QEMU says of texts that were meant to become options of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import pytest
from anyvirt.api import Connection, Invalid, State, VirtError
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL
from anyvirt_qemu.site import Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PIECES: Final = (
    ",", ",,", "=", ",id=evil", ",readonly=on", "'", '"', "\\", "\n", "\t", "%s", "%d", "$(x)", "`x`", "{", "}", ";",
    "nbd:evil", '","id":"evil', '{"driver":"evil"}', "json:{}", "-device", " -device evil", ":", "..", "é", "\u2028",
    ",,,id=evil", "fd=99", "|", "a", "[", "]", "host:x",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
GUEST: Final = """<domain type='qemu'>
  <name>{name}</name><title>{title}</title>
  <memory unit='MiB'>32</memory>
  <sysinfo type='smbios'><system><entry name='serial'>{serial}</entry></system></sysinfo>
  <sysinfo type='fwcfg'><entry name='opt/own'>{serial}</entry></sysinfo>
  <os><type arch='x86_64' machine='q35'>hvm</type><smbios mode='sysinfo'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file'><driver type='raw'/><source file='{image}'/><target dev='vda'/><serial>{disk}</serial></disk>
    <disk type='file'><driver type='raw'/><source file='{image}.b'/><target dev='sda' bus='scsi'/>
      <vendor>{vendor}</vendor><product>{product}</product></disk>
    <controller type='scsi' model='virtio-scsi'/>
    <serial type='file'><source path='{image}.log'/></serial>
    <channel type='unix'><target type='virtio' name='{channel}'/></channel>
    <channel type='unix'><source mode='bind' path='{image}.s'/><target type='virtio' name='plain'/></channel>
    <graphics type='vnc' socket='{image}.vnc' passwd='{password}'/>
    <memballoon model='none'/>
  </devices>
</domain>"""
TEXTS: Final = {
    "name": "benign", "title": "benign", "serial": "benign", "disk": "benign", "vendor": "benign",
    "product": "benign", "channel": "benign", "password": "benign", "image": "benign",
}  # fmt: skip
DISKS: Final = "/machine/peripheral/virtio-disk0"
UNIT: Final = "/machine/peripheral/scsi0-0-0-0"


def view(connection: Connection, site: Site, folder: Path, texts: dict[str, str]) -> dict[str, Any]:
    """Start a guest with these texts, and what its QEMU says of them; and of everything that has a name."""
    image = folder / texts["image"].replace("/", "-")
    for path in (image, image.with_name(f"{image.name}.b")):
        path.write_bytes(bytes(1 << 20))
    given = {name: escape(text, {"'": "&apos;", "\n": "&#10;", "\t": "&#9;"}) for name, text in texts.items()}
    given["image"] = escape(str(image), {"'": "&apos;", "\n": "&#10;", "\t": "&#9;"})
    domain = connection.domain_create(GUEST.format(**given), paused=True)
    try:
        assert domain.state().state is State.PAUSED
        with site.run(domain.ref.key) as run:
            assert run is not None
            with Monitor(run.place.place(CONTROL), "guest") as monitor:
                return asked(monitor, str(image))
    finally:
        domain.destroy()
        for path in folder.glob("*"):
            path.unlink()


def asked(monitor: Monitor, image: str) -> dict[str, Any]:
    """The texts where QEMU has them, and the names of all its parts."""
    batch = [
        Command("query-name"),
        Command("qom-get", {"path": DISKS, "property": "serial"}),
        Command("qom-get", {"path": UNIT, "property": "vendor"}),
        Command("qom-get", {"path": UNIT, "property": "product"}),
        Command("query-named-block-nodes", {"flat": True}),
        Command("query-chardev"),
        Command("query-vnc"),
        Command("qom-list", {"path": "/machine/peripheral"}),
        Command("qom-list", {"path": "/objects"}),
    ]
    answers: list[Any] = [None if isinstance(one, VirtError) else one for one in monitor.execute_many(batch)]
    name, serial, vendor, product, nodes, chardevs, screen, devices, objects = answers
    ports = sorted(row["name"] for row in devices if row["type"] == "child<virtserialport>")
    channels = [monitor.execute("qom-get", path=f"/machine/peripheral/{port}", property="name") for port in ports]
    return {
        "name": name["name"],
        "disk": serial,
        "vendor": vendor,
        "product": product,
        "channel": channels[0],
        "files": sorted({row["file"].removeprefix(image) for row in nodes if row.get("file") and row["drv"] == "file"}),
        "lines": sorted(row["label"] for row in chardevs),
        "screen": screen.get("auth"),
        "parts": sorted(row["name"] for row in (*devices, *objects)),
        "nodes": sorted(row["node-name"] for row in nodes),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a short name, for sockets in it."""
    made = tmp_path / "h"
    made.mkdir()
    return made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(sorted(TEXTS)), text=HOSTILE)
def test_a_hostile_text_is_the_value_of_its_own_property_in_a_running_qemu_or_refused(
    place: str, text: str, connection: Connection, site: Site, folder: Path
) -> None:
    benign = view(connection, site, folder, TEXTS)
    assert benign["screen"] == "vnc"
    try:
        found = view(connection, site, folder, TEXTS | {place: text})
    except Invalid:
        return
    assert {key: value for key, value in found.items() if key != place} == {
        key: value for key, value in benign.items() if key != place
    }
    if place in found:
        assert found[place] == text


def test_the_longest_of_all_hostile_texts_are_refused_or_whole(
    connection: Connection, site: Site, folder: Path
) -> None:
    for text in ("," * 4096, "=" * 70_000, os.fsdecode(b"a\xff")):
        for place in ("name", "disk", "channel"):
            try:
                found = view(connection, site, folder, TEXTS | {place: text})
            except (Invalid, UnicodeEncodeError):
                continue
            assert found[place] == text
