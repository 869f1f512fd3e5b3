"""The facts of a definition, read without a model: the same that the model has."""

from __future__ import annotations

import pytest
from anyvirt.api import Domain, parse
from anyvirt_qemu.summary import DiskFacts, NetFacts, gist, recall, summarise

DOCUMENT = """<?xml version='1.0'?>
<domain type='qemu'>
  <name>one</name><metadata><memory>5</memory><x:disk xmlns:x='u'><target dev='no'/></x:disk></metadata>
  <memory unit='GiB'>2</memory><currentMemory unit='MB'>500</currentMemory>
  <vcpu current='2'>4</vcpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a b&amp;c'/>
      <backingStore type='file'><format type='raw'/><source file='/base'/></backingStore>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='block' device='disk'><source dev='/dev/x'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><alias name='net0'/></interface>
  </devices>
</domain>"""


def test_the_facts_are_those_that_the_model_has() -> None:
    found = summarise(DOCUMENT)
    model: Domain = parse(DOCUMENT)  # type: ignore[assignment]
    assert model.vcpu is not None
    assert (found.vcpus, found.max_vcpus) == (2, 4)
    assert (found.memory, found.max_memory) == (500_000_000, 2 << 30)
    assert found.disks == (
        DiskFacts("vda", "/a b&c", "qcow2"),
        DiskFacts("vdb", "/dev/x", "raw"),
        DiskFacts("sda", "", "raw"),
    )
    assert [disk.target for disk in found.disks] == [disk.target for disk in model.disks]
    assert found.nets == (NetFacts("net0", "52:54:00:00:00:01"),)


def test_a_gist_gives_back_the_facts_of_its_document() -> None:
    for text in (DOCUMENT, "<domain type='qemu'><name>x</name><memory>1024</memory></domain>"):
        model: Domain = parse(text)  # type: ignore[assignment]
        assert recall(gist(model)) == summarise(text)


@pytest.mark.parametrize("text", ["", "[0]", "[99,1]"])
def test_the_gist_of_another_version_is_left_to_the_document(text: str) -> None:
    assert recall(text) is None


def test_what_is_not_said_is_not_known() -> None:
    found = summarise("<domain><devices/></domain>")
    assert (found.vcpus, found.max_vcpus, found.memory, found.max_memory) == (1, 1, None, None)
    assert not found.disks
    assert not found.nets


def test_memory_without_a_unit_is_in_kib_and_current_is_the_whole_unless_given() -> None:
    found = summarise("<domain><memory>1024</memory><vcpu>3</vcpu></domain>")
    assert (found.memory, found.max_memory, found.vcpus) == (1 << 20, 1 << 20, 3)


@pytest.mark.parametrize(
    ("balloon", "alias"),
    [
        ("", ""),
        ("<memballoon model='none'><alias name='balloon0'/></memballoon>", ""),
        ("<memballoon model='virtio'><stats period='5'/><alias name='ua-b'/></memballoon>", "ua-b"),
    ],
    ids=["none", "left out", "own name"],
)
def test_a_balloon_is_known_by_its_alias_where_there_is_one(balloon: str, alias: str) -> None:
    assert summarise(f"<domain><devices>{balloon}</devices></domain>").balloon == alias


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<domain>",
        "<domain/><domain/>",
        "<!DOCTYPE d [<!ENTITY a 'b'>]><domain><name>&a;</name></domain>",
        "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain>&x;</domain>",
    ],
)
def test_what_is_no_plain_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        summarise(text)
