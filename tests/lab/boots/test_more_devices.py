"""A second q35 machine: what is too much for the first, or would be in its way."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import guest as small_guest
import pytest
from anyvirt.client._generated_sync import Connection
from boot_stage.definition import definition, image
from boot_stage.machine import Kinds, Machine

PASST = shutil.which("passt")
MIB = 1 << 20
CELL = (
    "<cell id='{0}' cpus='{0}' memory='256' unit='MiB'><distances><sibling id='0' value='{1}'/>"
    "<sibling id='1' value='{2}'/></distances></cell>"
)


def memory(model: str, path: Path, rest: str = "") -> str:
    return (
        f"<memory model='{model}'><source><path>{path}</path></source>"
        f"<target><size unit='MiB'>128</size>{rest}</target></memory>"
    )


def devices(folder: Path) -> str:
    """Images say which they are; what is to be slow is of random bytes."""
    (folder / "slow").write_bytes(os.urandom(4 * MIB))
    for name in ("dropped", "far"):
        (folder / name).write_bytes(f"from {name}\n".encode().ljust(MIB, b"\0"))
    for name in ("nvdimm", "pmem"):
        with (folder / name).open("wb") as file:
            file.truncate(128 * MIB)
    (folder / "folder").mkdir()
    (folder / "folder" / "hello.txt").write_text("a file in a folder of the host\n")
    label = "<node>0</node><label><size unit='KiB'>256</size></label>"
    backend = "<backend type='passt'/>" if PASST else ""
    return (
        "<controller type='pci' model='pcie-expander-bus' index='1'><target busNr='180'><node>1</node></target>"
        "</controller><controller type='pci' model='pcie-root-port' index='2'><address type='pci' bus='1' slot='0'/>"
        "</controller><controller type='scsi' model='lsisas1068'/><iommu model='intel'/>"
        + image(
            folder / "slow",
            "<target dev='vda' bus='virtio'/><iotune><read_bytes_sec>2097152</read_bytes_sec></iotune>",
        )
        + image(folder / "dropped", "<target dev='vdb' bus='virtio'/><transient/>")
        + image(folder / "far", "<target dev='vdc' bus='virtio'/><address type='pci' bus='2' slot='0'/>")
        + f"<disk type='dir'><driver name='qemu' type='fat'/><source dir='{folder}/folder'/>"
        "<target dev='vdd' bus='virtio'/><readonly/></disk>"
        f"<interface type='user'>{backend}<mac address='52:54:00:00:03:01'/><model type='virtio'/></interface>"
        "<interface type='user'><mac address='52:54:00:00:03:02'/><model type='virtio'/><mtu size='1400'/>"
        "<link state='down'/></interface><video><model type='virtio'/></video><graphics type='vnc'/>"
        + memory("virtio-pmem' access='shared", folder / "pmem")  # first: the label leaves what is behind it askew
        + memory("nvdimm", folder / "nvdimm", label)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("more")


@pytest.fixture(scope="module")
def machine(connection: Connection, folder: Path, full: small_guest.Guest) -> Iterator[Machine]:
    os_ = (
        f"<kernel>{full.kernel}</kernel><initrd>{full.initrd}</initrd><cmdline>{full.cmdline} intel_iommu=on</cmdline>"
    )
    more = (
        "<maxMemory slots='4' unit='MiB'>2048</maxMemory><cpu mode='maximum'><feature policy='require' name='rdrand'/>"
        f"<feature policy='disable' name='smep'/><numa>{CELL.format(0, 10, 31)}{CELL.format(1, 31, 10)}</numa></cpu>"
    )
    xml = definition("more", os_, devices(folder), memory=512, vcpus=2, more=more)
    with Machine(connection, xml, full) as made:
        made.booted().run("sh /etc/more")
        yield made


def disk_of(machine: Machine, content: str) -> str:
    """The name that the guest has given to the disk with that content."""
    look = "for b in /sys/block/vd?; do head -c 16 /dev/${b##*/} | grep -q 'from %s' && echo ${b##*/}; done"
    return machine.run(look % content).strip()


def test_what_is_written_to_a_transient_disk_never_reaches_its_image(
    machine: Machine, kinds: Kinds, folder: Path
) -> None:
    name = disk_of(machine, "dropped")
    said = machine.run(f"echo changed | dd of=/dev/{name} conv=notrunc,fsync 2>/dev/null; head -n 1 /dev/{name}")
    assert said.strip() == "changed"
    assert (folder / "dropped").read_bytes().startswith(b"from dropped")
    kinds.note("transient disk", said, machine)


def test_a_disk_is_as_slow_as_it_is_to_be(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("[ $(cat /sys/block/vda/size) = 8192 ] && time dd if=/dev/vda of=/dev/null bs=1M")
    took = re.search(r"real\s+0m (\d+\.\d+)s", said)
    assert took is not None
    assert float(took[1]) > 1  # 4 MiB at 2 MiB a second
    kinds.note("limited disk", said, machine)


def test_a_folder_of_the_host_as_a_fat_disk(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("grep -a -o -m1 'a file in a folder of the host' /dev/vdd1 /dev/vdc1 2>/dev/null")
    assert "a file in a folder of the host" in said
    kinds.note("folder as a FAT disk", said, machine)


def test_a_bridge_of_another_cell_and_how_far_it_is(machine: Machine, kinds: Kinds) -> None:
    far = disk_of(machine, "far")
    said = machine.run(f"cat /sys/block/{far}/device/../numa_node; cat /sys/devices/system/node/node?/distance")
    assert said.splitlines() == ["1", "10 31", "31 10"]
    kinds.note("PCI expander at a cell, distances", said, machine)


def test_an_iommu_is_found_and_used(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("ls /sys/class/iommu; dmesg | grep -o 'DMAR: IOMMU enabled'")
    assert said.splitlines() == ["dmar0", "DMAR: IOMMU enabled"]
    kinds.note("IOMMU", said, machine)


def test_features_of_the_processor_are_there_or_not(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("grep -m1 -o -w -E 'rdrand|smep' /proc/cpuinfo")
    assert said.strip() == "rdrand"
    kinds.note("CPU features", said, machine)


def test_persistent_memory_of_both_kinds(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("ls /sys/block | grep pmem; cat /sys/bus/nd/devices/region?/size")
    assert said.split()[:2] == ["pmem0", "pmem1"]
    kinds.note("nvdimm, virtio-pmem", said, machine)


def test_a_card_on_passt_and_one_without_a_cable(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cd /sys/class/net/eth1; cat address mtu carrier; cd")
    assert said.split() == ["52:54:00:00:03:02", "1400", "0"]
    kinds.note("card with its link down, MTU", said, machine)
    if not PASST:
        pytest.skip("passt is not installed")
    said = machine.run("until ip -4 addr show eth0 | grep -o 'inet [0-9.]*'; do usleep 100000; done")
    assert not said.startswith("inet 10.0.2.")  # which is QEMU's own
    kinds.note("passt", said, machine)


def test_a_picture_of_virtio(machine: Machine, kinds: Kinds) -> None:
    said = machine.run("cat /sys/bus/pci/devices/*/device | grep 0x1050; ls /sys/bus/pci/devices/*/boot_vga")
    assert said.startswith("0x1050\n")
    kinds.note("virtio video", said, machine)
