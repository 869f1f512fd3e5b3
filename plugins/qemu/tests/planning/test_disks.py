"""Disks, shares and host devices: what is refused and why, and what never reaches a command line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Invalid
from anyvirt_qemu.planning.plan import NodeUse, Plan, Storage

Guest = Callable[..., str]
Planned = Callable[..., Plan]
NET = "<disk type='network'><source protocol='{}' name='{}'>{}</source><target dev='vda'/></disk>"
HOST = "<host name='h'/>"
FILE = "<disk type='file'{}><driver type='{}'/><source file='/a'>{}</source><target dev='{}'/>{}</disk>"
SCSI = "<disk type='file' device='lun'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"
LOCK = "<encryption format='luks'><secret type='passphrase' usage='{}'/>{}</encryption>"
HOSTDEV = "<hostdev mode='subsystem' type='{}'><source>{}</source></hostdev>"
SPREAD = (
    "<disk type='file'><driver><iothreads><iothread id='1'/></iothreads></driver><source file='/a'/>"
    "<target dev='vda'/></disk>"
)
SOURCE = "/devices/disk[vda]/source"


def refused(planned: Planned, text: str, **options: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        planned(text, **options)
    return {problem.path: f"{problem.code} {problem.text}" for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("devices", "path", "text"),
    [
        (FILE.format("", "raw", LOCK.format("unknown", ""), "vda", ""), f"{SOURCE}/encryption/secret[0]", "no value"),
        (FILE.format("", "raw", LOCK.format("secret-1", "<cipher name='aes' size='256' mode='cbc'/>"), "vda", ""),
         f"{SOURCE}/encryption/cipher", "header"),
        (FILE.format("", "vmdk", LOCK.format("secret-1", ""), "vda", "<backingStore/>"),
         f"{SOURCE}/encryption/@format", "not encrypted"),
        ("<disk type='file'><source file='/a' fdgroup='others'/><target dev='vda'/></disk>",
         f"{SOURCE}/@fdgroup", "handed over"),
        ("<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>",
         "/devices/disk[vda]/@type", "no storage pool"),
        (NET.format("sheepdog", "x", HOST), f"{SOURCE}/@protocol", "any more"),
        (NET.format("nbd", "x", HOST * 2), f"{SOURCE}/host", "one server"),
        (NET.format("iscsi", "target/x", HOST), f"{SOURCE}/@name", "no target with a unit"),
        (NET.format("rbd", "image", ""), f"{SOURCE}/@name", "no image in a pool"),
        (NET.format("nfs", "/x", HOST + "<identity user='nobody'/>"), f"{SOURCE}/identity/@user", "no number"),
        (NET.format("gluster", "volume", HOST), f"{SOURCE}/@name", "no image in a volume"),
        (FILE.format(" device='cdrom'", "raw", "", "vda", ""), "/devices/disk[vda]/target/@bus", "has no cdrom"),
        (FILE.format("", "raw", "", "sda' bus='sd", ""), "/devices/disk[sda]/target/@bus", "SD cards"),
        (FILE.format("", "raw", LOCK.format("secret-1", ""), "vda", "<transient/>"),
         "/devices/disk[vda]/transient", "lie open"),
        (FILE.format("", "raw", "", "vda", "<transient shareBacking='yes'/>"),
         "/devices/disk[vda]/transient", "alone"),
        (FILE.format("", "qcow2", "", "vda", "<backingStore/><shareable/>"),
         "/devices/disk[vda]/shareable", "several guests"),
        (FILE.format("", "raw", "", "sda' bus='sata", "<readonly/>"), "/devices/disk[sda]/readonly", "always written"),
        (FILE.format("", "raw", "", "nvme0n1", "<serial>A-1</serial>"),
         "/devices/disk[nvme0n1]/serial", "of the NVMe controller"),
        (FILE.format("", "raw", "", "nvme0n1", "") + "<controller type='nvme'><serial>a,b=c</serial></controller>",
         "/devices/controller[nvme,0]/serial", "cannot be shown"),
        (FILE.format("", "dir", "", "vda", ""), "/devices/disk[vda]/driver/@type", "no image format dir"),
        (SCSI, "/devices/disk[sda]/@device", "only block devices"),
        ("<disk type='dir'><driver type='fat'/><source dir='/a'/><target dev='vda'/></disk>",
         "/devices/disk[vda]/readonly", "cannot be written"),
        ("<disk type='file'><driver iothread='3'/><source file='/a'/><target dev='vda'/></disk>",
         "/devices/disk[vda]/driver/@iothread", "no I/O thread 3"),
        ("<filesystem><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>",
         "/devices/filesystem[t]/@type", "see the guest's memory"),
        (HOSTDEV.format("scsi", "<adapter name='scsi_host9'/><address bus='0' target='0' unit='0'/>"),
         "/devices/hostdev[0]/source/address", "no SCSI unit 9:0:0:0"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_its_path(
    devices: str, path: str, text: str, planned: Planned, guest: Guest
) -> None:
    found = refused(planned, guest(devices))
    assert path in found, found
    assert text in found[path]


@pytest.mark.parametrize(
    ("devices", "lacking", "path"),
    [
        (NET.format("rbd", "p/i", ""), "blockdev.rbd", f"{SOURCE}/@protocol"),
        (FILE.format("", "vmdk", "", "vda", "<backingStore/>"), "blockdev.vmdk", "/devices/disk[vda]/driver/@type"),
        (NET.format("nbd", "x", HOST).replace("name='x'", "name='x' tls='yes' tlsHostname='other'"),
         "blockdev.nbd.tls-hostname", f"{SOURCE}/@tlsHostname"),
        (FILE.format("", "qcow2' discard_no_unref='on", "", "vda", "<backingStore/>"),
         "qcow2.discard-no-unref", "/devices/disk[vda]/driver/@discard_no_unref"),
        ("<disk type='file'><driver io='io_uring'/><source file='/a'/><target dev='vda'/></disk>",
         "aio.io_uring", "/devices/disk[vda]/driver/@io"),
        (SPREAD, "virtio-blk.iothread-vq-mapping", "/devices/disk[vda]/driver/iothreads/iothread"),
    ],
)  # fmt: skip
def test_what_this_qemu_lacks_is_told_by_its_path(
    devices: str, lacking: str, path: str, planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest(devices, extra="<iothreads>1</iothreads>")
    planned(text)
    found = refused(planned, text, caps=caps(lacking=frozenset({lacking})))
    assert found[path].startswith("unsupported.config this QEMU")


def test_a_secret_is_on_no_command_line_and_in_no_text_of_the_plan(planned: Planned, guest: Guest) -> None:
    devices = FILE.format("", "raw", LOCK.format("mine", ""), "vda", "")
    cookie = "<cookies><cookie name='session'>hidden-cookie</cookie></cookies>"
    web = NET.format("https", "x.iso", HOST + cookie).replace("vda", "vdb").replace("</disk>", "<readonly/></disk>")
    plan = planned(guest(devices + web), storage=Storage(secrets={"mine": b"hidden-key"}))
    shown = " ".join(plan.argv) + repr(plan.steps) + repr(plan.fds)
    for value in (b"hidden-key", b"session=hidden-cookie"):
        assert value.decode() not in " ".join(plan.argv)
        assert base64.b64encode(value).decode() not in shown
    held = [base64.b64decode(value) for value in plan.secrets.values()]
    assert sorted(held) == [b"hidden-key", b"session=hidden-cookie"]
    numbers = {use.target: use.number for use in plan.fds if use.kind == "secret"}
    objects = [json.loads(word) for word in plan.argv if word.startswith('{"qom-type":"secret"')]
    assert {one["id"]: one["file"] for one in objects} == {n: f"/dev/fd/{number}" for n, number in numbers.items()}


def test_what_was_found_below_a_listed_image_is_added_to_it(planned: Planned, guest: Guest) -> None:
    store = "<backingStore type='file'><format type='qcow2'/><source file='/b'/></backingStore>"
    text = guest(FILE.format("", "qcow2", "", "vda", store))
    found = (NodeUse("", "file", "/b", "qcow2"), NodeUse("", "host_device", "/dev/c", "raw"))
    plan = planned(text, chains={"vda": found})
    assert [node.path for node in plan.disks[0].nodes] == ["/a", "/b", "/dev/c"]
    assert "nobody has looked" in str(refused(planned, text))


def test_only_the_top_image_detects_zeroes_and_all_keep_the_rules_for_discards(planned: Planned, guest: Guest) -> None:
    driver = "<driver type='qcow2' discard='unmap' detect_zeroes='unmap'/>"
    store = "<backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"
    text = guest(FILE.format("", "qcow2", "", "vda", store).replace("<driver type='qcow2'/>", driver))
    nodes = [json.loads(word) for word in planned(text).argv if '"node-name"' in word and '"file":' in word]
    assert [(node.get("discard"), node.get("detect-zeroes")) for node in nodes] == [("unmap", None), ("unmap", "unmap")]


def test_what_a_guest_writes_to_a_transient_disk_goes_to_an_image_that_is_removed(
    planned: Planned, guest: Guest
) -> None:
    text = guest(FILE.format("", "raw", "", "vda", "<transient/>"))
    assert "no place" in str(refused(planned, text, storage=Storage()))
    plan = planned(text, storage=Storage(overlays="/o"))
    (use,) = plan.overlays
    assert (use.path, use.below, use.format) == (f"/o/{plan.domain.uuid}-vda.qcow2", "/a", "raw")
    assert use.path in plan.sockets
    assert [step.command for step in plan.steps] == ["blockdev-add", "blockdev-snapshot"]
    assert plan.steps[0].arguments["backing"] is None
    assert [node.path for node in plan.disks[0].nodes] == [use.path, "/a"]
    device = next(json.loads(word) for word in plan.argv if word.startswith('{"id":"virtio-disk0"'))
    assert device["drive"] == plan.disks[0].nodes[1].node == plan.steps[1].arguments["node"]


def test_names_of_servers_and_images_stay_inside_their_json(planned: Planned, guest: Guest) -> None:
    name = "x,readonly=on&quot;},{&quot;driver&quot;:&quot;file&quot;"
    text = guest(NET.format("nbd", name, "<host transport='unix' socket='/s,id=evil'/>"))
    node = next(json.loads(word) for word in planned(text).argv if word.startswith('{"driver":"nbd"'))
    assert node["export"] == 'x,readonly=on"},{"driver":"file"'
    assert node["server"] == {"type": "unix", "path": "/s,id=evil"}
