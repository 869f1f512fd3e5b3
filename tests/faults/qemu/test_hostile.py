"""Hostile documents through the front door: refused with a code, or taken exactly as they are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from anyvirt.api import VirtError
from anyvirt_qemu.qmp.monitor import Monitor
from qemu_stage.scene import Scene

MEGABYTE = 1 << 20
BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>{}]>".format(
    "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
)
HOSTILE = {
    "entities": BOMB + "<domain type='qemu'><name>&j;</name></domain>",
    "file": "<!DOCTYPE d [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><domain type='qemu'><name>&f;</name></domain>",
    "depth": "<domain type='qemu'>" + "<metadata>" * 100_000,
    "closed depth": "<domain type='qemu'>" + "<a>" * 50_000 + "</a>" * 50_000 + "</domain>",
    "10 MB of attributes": "<domain type='qemu' " + " ".join(f"a{n}='{'x' * 90}'" for n in range(100_000)) + "/>",
    "one attribute of 10 MB": f"<domain type='qemu' a='{'x' * 10 * MEGABYTE}'/>",
    "cut off": "<domain type='qemu'><name>guest",
    "nothing": "",
    "no xml": "\x7fELF\x02\x01\x01",
    "other encoding": "<?xml version='1.0' encoding='utf-7'?><domain/>",
}
NAMES = {
    "newline": "a&#10;b",
    "slash": "a/b",
    "NUL": "a\0b",
    "dots": "..",
    "dot": ".",
    "up": "../../etc/passwd",
    "empty": "",
    "long": "n" * 5000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_document_is_refused_with_a_code_and_in_time(scene: Scene, what: str) -> None:
    with scene.open() as connection:
        began = time.monotonic()
        with pytest.raises(VirtError) as caught:
            connection.domain_define(HOSTILE[what], timeout=10)
        assert time.monotonic() - began < 5
        assert "root:" not in str(caught.value), "nothing of the host's files is told"
        assert connection.domain_list() == ()


@pytest.mark.parametrize("what", NAMES)
def test_a_name_that_is_none_is_refused(scene: Scene, what: str) -> None:
    with scene.open() as connection:
        with pytest.raises(VirtError):
            connection.domain_define(scene.xml("NAME").replace(">NAME<", f">{NAMES[what]}<"))
        assert connection.domain_list() == ()


def test_text_with_commas_and_signs_reaches_the_guest_exactly_as_it_is(scene: Scene) -> None:
    name = "a,b=c,,d %n$ 'q' \u00e9"
    disk = scene.folder / "d,readonly=on,,x=.img"
    disk.write_bytes(bytes(1 << 20))
    xml = scene.xml("NAME").replace(str(scene.disk), str(disk)).replace(">NAME<", f">{name}<")
    with scene.open() as connection:
        guest = connection.domain_define(xml)
        assert guest.name == name
        guest.start()
        run = Path(*scene.state.glob(f"*/run/qemu/{guest.uuid}"))
        with Monitor(str(run / "r3"), name) as monitor:
            assert monitor.execute("query-name")["name"] == name
            nodes = monitor.execute("query-named-block-nodes")
        assert str(disk) in {node["file"] for node in nodes}
        assert not any(node["ro"] for node in nodes)
        guest.destroy()
        scene.agree(connection)
