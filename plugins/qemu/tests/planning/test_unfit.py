"""What does not go together on QEMU is refused by path, and what goes together beside it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anyvirt.api import Invalid
from anyvirt_qemu.planning.plan import Plan

Guest = Callable[..., str]
Planned = Callable[..., Plan]
DISK = "<disk type='file'>{driver}<source file='/a'>{inside}</source><target dev='{dev}' bus='{bus}'/>{more}</disk>"
NUMA = "<cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>"
MODULE = "<memory model='virtio-mem'><target><size unit='MiB'>512</size><node>0</node><block unit='KiB'>{}</block>"
MODULE += "<requested unit='MiB'>0</requested></target></memory>"
SECURE = "<loader readonly='yes' secure='yes' type='pflash'>/c</loader><nvram>/n</nvram></os>"
TPM = "<tpm model='{}'><backend type='emulator' version='{}'/></tpm>"


def disk(dev: str = "vda", bus: str = "virtio", driver: str = "", inside: str = "", more: str = "") -> str:
    return DISK.format(dev=dev, bus=bus, driver=driver, inside=inside, more=more)


def tune(text: str) -> str:
    return disk(more=f"<iotune>{text}</iotune>")


# devices that are refused, the code, the path, and what is right in their place
DEVICES = [
    ("<disk type='network' device='cdrom'><target dev='sda' bus='sata'/></disk>", "config.missing",
     "/devices/disk[sda]/source", "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"),
    (disk(driver="<driver name='qemu' io='native' cache='writeback'/>"), "config.conflict",
     "/devices/disk[vda]/driver/@io", disk(driver="<driver name='qemu' io='native' cache='none'/>")),
    (disk(driver="<driver name='qemu' copy_on_read='on'/>", more="<readonly/>"), "config.conflict",
     "/devices/disk[vda]/driver/@copy_on_read", disk(driver="<driver name='qemu' copy_on_read='on'/>")),
    (tune("<total_bytes_sec_max>9000</total_bytes_sec_max>"), "config.missing",
     "/devices/disk[vda]/iotune/total_bytes_sec_max",
     tune("<total_bytes_sec>5000</total_bytes_sec><total_bytes_sec_max>9000</total_bytes_sec_max>")),
    (disk(inside="<seclabel model='dac' relabel='no'/>" * 2), "config.duplicate",
     "/devices/disk[vda]/source/seclabel[dac]/@model", disk(inside="<seclabel model='dac' relabel='no'/>")),
    ("<graphics type='spice'/><graphics type='spice'/>", "config.duplicate", "/devices/graphics[spice]/@type",
     "<graphics type='spice'/><graphics type='vnc'/><graphics type='vnc'/>"),
    ("<graphics type='vnc' passwd='123456789'/>", "config.range", "/devices/graphics[vnc]/@passwd",
     "<graphics type='vnc' passwd='12345678'/>"),
    ("<video><model type='cirrus' ram='65536'/></video>", "config.conflict", "/devices/video[0]/model/@ram",
     "<video><model type='qxl' ram='65536'/></video>"),
    ("<video><model type='vga' vram='100'/></video>", "config.range", "/devices/video[0]/model/@vram",
     "<video><model type='vga' vram='16384'/></video>"),
    ("<video><model type='qxl' vgamem='9000'/></video>", "config.range", "/devices/video[0]/model/@vgamem",
     "<video><model type='qxl' vgamem='8192'/></video>"),
    ("<panic model='isa'/><panic model='isa'/>", "config.duplicate", "/devices/panic[isa]/@model",
     "<panic model='isa'/>"),
    (TPM.format("tpm-crb", "1.2"), "config.conflict", "/devices/tpm[0]/backend/@version", ""),
    ("<shmem name='s'><model type='ivshmem-plain'/><size unit='KiB'>512</size></shmem>", "config.range",
     "/devices/shmem[s]/size", "<shmem name='s'><model type='ivshmem-plain'/><size unit='KiB'>1024</size></shmem>"),
    ("<iommu model='intel'><driver intremap='on'/></iommu>", "config.conflict", "/devices/iommu/driver/@intremap",
     "<iommu model='intel'><driver intremap='off'/></iommu>"),
    ("<iommu model='intel'><driver eim='on'/></iommu>", "config.conflict", "/devices/iommu/driver/@eim",
     "<iommu model='intel'/>"),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "code", "path", "right"), DEVICES, ids=[row[2] for row in DEVICES])
def test_devices_that_do_not_go_together_are_refused(
    planned: Planned, guest: Guest, devices: str, code: str, path: str, right: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        planned(guest(devices))
    assert (code, path) in {(one.code, one.path) for one in refusal.value.problems}
    assert all(one.hint for one in refusal.value.problems)
    assert planned(guest(right)).argv


def test_a_card_has_what_its_model_can_have(planned: Planned, guest: Guest) -> None:
    card = "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='{}'/><driver {}/>{}</interface>"
    place = "/devices/interface[52:54:00:00:00:01]"
    ip = "<ip family='ipv4' address='10.0.{}.1' prefix='24'/>"
    for devices, path in (
        (card.format("e1000", "iommu='on'", ""), f"{place}/driver/@iommu"),
        (card.format("virtio", "rx_queue_size='300'", ""), f"{place}/driver/@rx_queue_size"),
        (card.format("virtio", "", ip.format(1) + ip.format(2)), f"{place}/ip[10.0.2.1]/@address"),
    ):
        with pytest.raises(Invalid) as refusal:
            planned(guest(devices))
        assert path in {one.path for one in refusal.value.problems}
    assert planned(guest(card.format("virtio", "rx_queue_size='512'", ip.format(1)))).argv


def test_secure_boot_needs_the_machine_and_the_mode_that_it_stands_on(planned: Planned, guest: Guest) -> None:
    smm = guest().replace("<acpi/>", "<acpi/><smm state='on'/>")
    for text, words in (
        (guest().replace("</os>", SECURE), "system management mode"),
        (smm.replace("'q35'", "'pc'").replace("</os>", SECURE), "machine type q35"),
    ):
        with pytest.raises(Invalid) as refusal:
            planned(text)
        assert words in next(one.text for one in refusal.value.problems if one.path == "/os/loader/@secure")
    assert planned(smm.replace("</os>", SECURE)).argv


MIXED = "<numatune><memory mode='restrictive' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>"
MANY = "<vcpu>{}</vcpu>"
PAGES = "<memoryBacking><hugepages/>{}</memoryBacking>"
FRAMES = [
    (MANY.format(256), "/vcpu", MANY.format(255)),
    (PAGES.format("<source type='anonymous'/>"), "/memoryBacking/source/@type", PAGES.format("")),
    (PAGES.format("<allocation mode='ondemand'/>"), "/memoryBacking/allocation/@mode", PAGES.format("")),
    ("<cpu mode='host-passthrough'><maxphysaddr mode='emulate'/></cpu>", "/cpu/maxphysaddr/@bits",
     "<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='42'/></cpu>"),
    (MIXED + NUMA, "/numatune/memnode[0]/@mode", f"<numatune><memory mode='strict' nodeset='0'/></numatune>{NUMA}"),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "path", "right"), FRAMES, ids=[row[1] for row in FRAMES])
def test_parts_of_the_machine_that_do_not_go_together_are_refused(
    planned: Planned, guest: Guest, extra: str, path: str, right: str
) -> None:
    from anyvirt_qemu.planning.plan import Paths

    places = Paths(guest="/run/q", nvram="/n", memory="/ram", hugepages={2 << 20: "/huge"})
    with pytest.raises(Invalid) as refusal:
        planned(guest(extra=extra), paths=places)
    assert path in {one.path for one in refusal.value.problems}
    assert planned(guest(extra=right), paths=places).argv


def test_a_module_grows_by_powers_of_two(planned: Planned, guest: Guest) -> None:
    text = guest(MODULE.format(3072), extra=NUMA).replace(
        "<memory ", "<maxMemory slots='4' unit='GiB'>4</maxMemory><memory ", 1
    )
    with pytest.raises(Invalid) as refusal:
        planned(text)
    assert "/devices/memory[0]/target/block" in {one.path for one in refusal.value.problems}
    assert planned(text.replace("3072", "2048")).argv
