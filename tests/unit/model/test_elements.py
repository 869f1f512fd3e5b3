"""Models as Python values."""

from __future__ import annotations

import copy
import re

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.address import PciAddress
from anyvirt.model.devices.disk import Disk, DiskBus, DiskDevice, DiskDriver
from anyvirt.model.devices.interface import Interface, InterfaceSource, InterfaceType
from anyvirt.model.domain import Domain
from anyvirt.model.os import BootDevice, Os, OsBoot, OsType
from anyvirt.model.rest import Xml
from anyvirt.model.source import Source, SourceType
from anyvirt.model.words import DomainType
from anyvirt.model.write import dump
from anyvirt.model.xml import parse

GUEST = Domain(
    type=DomainType.KVM,
    name="web",
    memory=2 << 30,
    vcpu=2,
    os=Os(type=OsType.HVM, arch="x86_64", machine="q35", boots=(OsBoot(dev=BootDevice.HD),)),
    disks=(
        Disk(type=SourceType.FILE, source=Source(file="/img/web.qcow2"), driver=DiskDriver(type="qcow2"), target="vda"),
    ),
    interfaces=(Interface(type=InterfaceType.USER, mac="52:54:00:00:00:01", model="virtio"),),
)


def test_a_guest_in_ten_lines_is_written_as_libvirt_writes_it() -> None:
    assert (
        dump(GUEST)
        == """\
<domain type='kvm'>
  <name>web</name>
  <memory unit='KiB'>2097152</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file'>
      <driver type='qcow2'/>
      <source file='/img/web.qcow2'/>
      <target dev='vda'/>
    </disk>
    <interface type='user'>
      <mac address='52:54:00:00:00:01'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
"""
    )


def test_values_are_frozen_and_say_how_to_change_them() -> None:
    with pytest.raises(AttributeError, match=r"use \.replace\(name=\.\.\.\)"):
        GUEST.name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del GUEST.name
    assert not hasattr(GUEST, "__dict__")


def test_a_missing_required_field_is_named_with_its_sentence() -> None:
    with pytest.raises(TypeError, match=r"Domain needs name= \(Name, unique on the host\)"):
        Domain()  # type: ignore[call-arg]


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Disk has no field 'targt'; did you mean 'target'\?"):
        Disk(targt="vda")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Domain has no field 'naem'; did you mean 'name'\?"):
        Domain(naem="web")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Domain has no field 'mem'"):
        GUEST.replace(mem=1)


def test_replace_gives_a_new_value_and_leaves_the_old_one() -> None:
    bigger = GUEST.replace(memory=4 << 30)
    assert (GUEST.memory, bigger.memory) == (2 << 30, 4 << 30)
    assert bigger.replace(memory=2 << 30) == GUEST
    assert hash(bigger.replace(memory=2 << 30)) == hash(GUEST)
    assert GUEST.__replace__(name="x").name == "x"


def test_lists_become_tuples() -> None:
    assert Domain(name="x", disks=[Disk(target="vda")]).disks == (Disk(target="vda"),)


def test_any_iterable_becomes_a_tuple_and_none_an_empty_one() -> None:
    disks = (Disk(target=name) for name in ("vda", "vdb"))
    assert [disk.target for disk in GUEST.replace(disks=disks).disks] == ["vda", "vdb"]
    assert GUEST.replace(disks=None).disks == ()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("disks", Disk(target="vda"), "Domain.disks takes a list, not Disk(target='vda')"),
        ("disks", "vda", "Domain.disks takes a list, not 'vda'"),
        ("disks", [{"target": "vda"}], "Domain.disks takes Disk, not {'target': 'vda'}"),
        ("disks", [Interface()], "Domain.disks takes Disk, not Interface()"),
        ("disks", [None], "Domain.disks takes Disk, not None"),
        ("os", 5, "Domain.os takes Os, not 5"),
    ],
)
def test_a_part_of_another_kind_is_refused_where_it_is_put_in(field: str, value: object, said: str) -> None:
    for put in (GUEST.replace, lambda **given: Domain(name="x", **given)):
        with pytest.raises(TypeError, match=re.escape(said)):
            put(**{field: value})


def test_a_value_that_its_field_cannot_take_is_told_by_its_whole_path_when_it_is_written() -> None:
    wrong = [Disk(target="vda", bus="virtoi"), Disk(target="vdb", source=Source(file=5), readonly="no")]  # type: ignore[arg-type]
    with pytest.raises(Invalid) as caught:
        dump(GUEST.replace(disks=wrong, memory=True, title="a\0b"))
    assert sorted(problem.path for problem in caught.value.problems) == [
        "/devices/disk[vda]/target/@bus",
        "/devices/disk[vdb]/readonly",
        "/devices/disk[vdb]/source/@file",
        "/memory",
        "/title",
    ]


def test_the_repr_shows_what_is_set_and_can_be_read_back() -> None:
    disk = Disk(target="vda", bus=DiskBus.VIRTIO, readonly=True, address=PciAddress(slot=3))
    assert repr(disk) == "Disk(target='vda', bus=DiskBus.VIRTIO, readonly=True, address=PciAddress(slot=3))"
    assert eval(repr(disk)) == disk


def test_copies_are_the_value_itself() -> None:
    assert copy.copy(GUEST) is GUEST
    assert copy.deepcopy(GUEST) is GUEST


def test_patterns_match_on_fields() -> None:
    match GUEST.disks[0]:
        case Disk(target="vda", source=Source(file=str() as path)):
            assert path == "/img/web.qcow2"
        case _:
            pytest.fail("no match")


def test_a_pattern_with_a_value_matches_on_what_identifies_the_element() -> None:
    match GUEST:
        case Domain("web", disks=(Disk("vda", source=source), *_)):  # type: ignore[misc]
            assert source == Source(file="/img/web.qcow2")
        case _:
            pytest.fail("no match")
    assert vars(Disk)["__match_args__"] == ("target",)
    assert vars(Os)["__match_args__"] == ()


def test_elements_of_different_classes_are_never_equal() -> None:
    assert Disk() != Interface()
    assert Disk() != "disk"


def test_a_word_outside_its_set_is_refused_when_written_with_all_others() -> None:
    wrong = GUEST.replace(
        type="kwm",
        disks=(Disk(device="tape", target="vda"),),  # type: ignore[arg-type]
        interfaces=(Interface(mac="zz", source=InterfaceSource(port=-1)),),
    )
    with pytest.raises(Invalid) as caught:
        dump(wrong)
    texts = [str(problem) for problem in caught.value.problems]
    assert len(texts) == 4
    assert "'kwm' is not" in texts[0]
    assert "use one of disk, cdrom, floppy, lun" in texts[1]
    assert {problem.code for problem in caught.value.problems} == {"xml.value"}


@pytest.mark.parametrize("name", ["a\0b", "a\x1bb", "\ud800", "\uffff"])
def test_characters_that_xml_cannot_carry_are_refused_by_path(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        dump(Domain(name=name))
    assert [(p.code, p.path) for p in caught.value.problems] == [("xml.value", "/name")]


@pytest.mark.parametrize(
    "text", ["a<b>&'\"", "two\nlines", "tab\there", "cr\rlf\r\n", "  blanks  ", "\u00e9\U0001f600"]
)
def test_text_of_any_kind_is_escaped(text: str) -> None:
    x = Domain(name=text, description=text, disks=(Disk(target=text, serial=text),))
    assert parse(dump(x)) == x


def test_metadata_must_be_one_whole_element() -> None:
    for text in ("<metadata>", "<other/>", "<metadata/><metadata/>", "plain", "<metadata>&x;</metadata>"):
        with pytest.raises(Invalid) as caught:
            dump(Domain(name="x", metadata=Xml(text)))
        assert caught.value.problems[0].path == "/metadata"


def test_enums_compare_with_their_words() -> None:
    assert str(DiskDevice.CDROM) == "cdrom"
    assert DiskDevice("cdrom") is DiskDevice.CDROM
    assert dump(Disk(device="cdrom")) == dump(Disk(device=DiskDevice.CDROM))  # type: ignore[arg-type]
