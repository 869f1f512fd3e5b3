"""A property that a device of the QEMU at hand lacks is refused by the device's path and the property's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Invalid
from anyvirt.api import open as opened
from anyvirt_qemu.readiness import properties

GUEST = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>guest</name><memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type></os>
  <devices><disk type='file'><source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices>
  <qemu:override><qemu:device alias='virtio-disk0'><qemu:frontend>
    <qemu:property name='{name}' type='unsigned' value='1'/>
  </qemu:frontend></qemu:device></qemu:override>
</domain>"""


@pytest.fixture
def connection(qemu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    with opened("qemu:///session") as found:
        yield found


def test_what_a_device_lacks_is_refused_by_its_path_and_name(connection: Connection, qemu: str, tmp_path: Path) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(bytes(512))
    fine = connection.domain_define(GUEST.format(image=image, name="num-queues"))
    assert list(fine.preflight()) == []
    fine.undefine()
    guest = connection.domain_define(GUEST.format(image=image, name="num-quirks"))
    with pytest.raises(Invalid) as refusal:
        guest.start()
    (problem,) = refusal.value.problems
    assert (problem.code, problem.path) == ("unsupported.config", "/devices/disk[vda]")
    assert problem.text == f"virtio-blk-pci of this QEMU ({qemu}) has no property num-quirks"


def test_a_qemu_is_asked_once_for_each_device(qemu: str, tmp_path: Path) -> None:
    properties._known.clear()
    found = properties.known_of(qemu, tmp_path, {"virtio-blk-pci", "made-up-device"})
    assert "num-queues" in found["virtio-blk-pci"]
    assert found["made-up-device"] == []
    (file,) = tmp_path.glob("properties-*.json")
    kept = json.loads(file.read_text("utf-8"))
    kept["value"]["virtio-blk-pci"].append("put-in-by-hand")
    file.write_text(json.dumps(kept), "utf-8")
    properties._known.clear()
    assert "put-in-by-hand" in properties.known_of(qemu, tmp_path, {"virtio-blk-pci"})["virtio-blk-pci"]
    assert "discard_granularity" in properties.known_of(qemu, tmp_path, {"ide-hd"})["ide-hd"]
    properties._known.clear()
