"""Deep fields are read and changed by path."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from anyvirt.errors import Invalid, Problem
from anyvirt.model.change import add, change, get, patch, remove
from anyvirt.model.cpu import Cell, CpuFeature, CpuSpec
from anyvirt.model.devices.disk import Disk, DiskBus
from anyvirt.model.devices.interface import Interface
from anyvirt.model.devices.memballoon import Memballoon
from anyvirt.model.devices.watchdog import Watchdog
from anyvirt.model.diff import Difference, diff
from anyvirt.model.domain import Domain
from anyvirt.model.os import InitVariable, Os
from anyvirt.model.rest import Xml
from anyvirt.model.security import IdMap, IdRange, SevLaunch
from anyvirt.model.snapshot import Snapshot
from anyvirt.model.source import Source
from anyvirt.model.storage import Pool
from anyvirt.model.strict import unknown
from anyvirt.model.tune import CpuTune, VcpuPin
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from model_samples import made

WEB = Domain(
    name="web",
    memory=1 << 30,
    os=Os(initargs=("--a", "--b"), initenvs=(InitVariable(name="A", value="1"),)),
    cpu=CpuSpec(cells=(Cell(id=0), Cell(id=1)), features=(CpuFeature(name="avx"),)),
    disks=(Disk(target="vda", source=Source(file="/a")), Disk(target="vdb")),
    interfaces=(Interface(model="virtio"), Interface(model="e1000")),
)


def refused(*arguments: Any, verb: Any = change) -> Problem:
    with pytest.raises(Invalid) as caught:
        verb(*arguments)
    (problem,) = caught.value.problems
    return problem


def test_a_deep_field_is_changed_and_nothing_else() -> None:
    new = change(WEB, "/devices/disk[vda]/source/@file", "/b")
    assert get(new, "/devices/disk[vda]/source/@file") == "/b"
    assert [tuple(item) for item in diff(WEB, new)] == [("/devices/disk[vda]/source/@file", "/a", "/b")]
    assert new.disks[1] is WEB.disks[1]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", WEB),
        ("/", WEB),
        ("/memory", 1 << 30),
        ("/vcpu/@current", None),
        ("/clock/@offset", None),
        ("/clock/timer", None),
        ("/devices/disk[vda]", WEB.disks[0]),
        ("/devices/disk", WEB.disks),
        ("/devices/interface[1]/model/@type", "e1000"),
        ("/cpu/numa/cell[1]/@id", 1),
        ("/os/initarg[1]", "--b"),
        ("/os/initenv[A]", InitVariable(name="A", value="1")),
        ("/features/acpi", None),
    ],
)
def test_get_gives_what_stands_at_a_path(path: str, value: Any) -> None:
    assert get(WEB, path) == value


def test_a_number_counts_where_keys_are_none() -> None:
    assert get(WEB, "/devices/disk[1]") is WEB.disks[1]
    assert get(WEB, "/devices/disk[#1]") is WEB.disks[1]
    cells = WEB.replace(cpu=CpuSpec(cells=(Cell(id=5), Cell(id=1))))
    assert get(cells, "/cpu/numa/cell[1]/@id") == 1
    assert refused(cells, "/cpu/numa/cell[0]", None).code == "config.missing"
    assert get(cells, "/cpu/numa/cell[#0]/@id") == 5


def test_what_must_be_there_for_a_value_appears() -> None:
    new = change(WEB, "/clock/@offset", "utc")
    assert new.clock is not None
    assert new.clock.offset == "utc"
    assert change(new, "/clock", None).clock is None


def test_values_become_what_their_field_has() -> None:
    new = change(WEB, "/devices/disk[vdb]/target/@bus", "virtio")
    assert new.disks[1].bus is DiskBus.VIRTIO
    assert change(WEB, "/memory", 4 << 30).memory == 4 << 30
    assert change(WEB, "/memory", "4096").memory == 4 << 20
    assert change(WEB, "/vcpu/@cpuset", {1, 2}).vcpu_cpuset == frozenset({1, 2})
    assert change(WEB, "/vcpu/@cpuset", "0-2").vcpu_cpuset == frozenset({0, 1, 2})
    assert change(WEB, "/devices/interface[0]/mac/@address", "52:54:0:A:B:C").interfaces[0].mac == "52:54:00:0a:0b:0c"
    assert change(WEB, "/metadata", "<metadata><x/></metadata>").metadata == Xml("<metadata><x/></metadata>")
    acpi = change(WEB, "/features/acpi", True)
    assert acpi.features is not None
    assert acpi.features.acpi is True
    off = change(acpi, "/features/acpi", False)
    assert off.features is not None
    assert off.features.acpi is False


def test_the_text_of_an_element_is_changed_by_the_path_of_the_element() -> None:
    new = change(WEB, "/os/initenv[A]", "2")
    assert get(new, "/os/initenv[A]") == InitVariable(name="A", value="2")


def test_members_of_a_list_are_put_and_taken_by_name() -> None:
    new = change(WEB, "/devices/disk[vdc]", Disk(target="vdc"))
    assert [disk.target for disk in new.disks] == ["vda", "vdb", "vdc"]
    assert [disk.target for disk in change(new, "/devices/disk[vda]", None).disks] == ["vdb", "vdc"]
    assert change(WEB, "/devices/disk", [Disk(target="hda")]).disks == (Disk(target="hda"),)
    assert change(WEB, "/devices/disk", None).disks == ()
    assert change(WEB, "/os/initarg[0]", "--c").os == WEB.os.replace(initargs=("--c", "--b"))  # type: ignore[union-attr]


def test_devices_find_their_list_by_their_class() -> None:
    new = add(WEB, Disk(target="vdc"), Watchdog(), Memballoon())
    assert [disk.target for disk in new.disks] == ["vda", "vdb", "vdc"]
    assert len(new.watchdogs) == 1
    assert new.memballoon == Memballoon()
    assert add(WEB, CpuFeature(name="avx2"), under="/cpu").cpu.features[-1].name == "avx2"  # type: ignore[union-attr]
    assert add(WEB, VcpuPin(vcpu=0), under="/cputune").cputune == CpuTune(vcpupins=(VcpuPin(vcpu=0),))


def test_what_is_there_already_is_not_added_again() -> None:
    problem = refused(WEB, Disk(target="vda"), verb=add)
    assert (problem.code, problem.path) == ("config.duplicate", "/devices/disk[vda]")
    assert refused(add(WEB, Memballoon()), Memballoon(), verb=add).code == "config.duplicate"


def test_what_no_list_takes_is_not_added() -> None:
    assert "no place for CpuFeature" in refused(WEB, CpuFeature(name="x"), verb=add).text
    problem = refused(IdMap(), IdRange(start=0), verb=add)
    assert problem.hint == "change one of /uid, /gid"


def test_several_members_go_at_once_by_the_numbers_that_they_had() -> None:
    assert remove(WEB, "/devices/interface[0]", "/devices/interface[1]", "/devices/disk[vda]") == WEB.replace(
        interfaces=(), disks=WEB.disks[1:]
    )
    assert remove(WEB, "/os/initarg[0]", "/os/initarg[1]").os == WEB.os.replace(initargs=())  # type: ignore[union-attr]
    assert remove(WEB, "/cpu").cpu is None
    assert remove(WEB, "/devices/disk", "/devices/interface[0]") == WEB.replace(disks=(), interfaces=WEB.interfaces[1:])


def test_nothing_cannot_be_removed() -> None:
    assert refused(WEB, "/clock", verb=remove).code == "config.missing"
    assert refused(WEB, "/devices/sound", verb=remove).code == "config.missing"


@pytest.mark.parametrize(
    ("path", "value", "code", "where", "hint"),
    [
        ("/devices/dsik[vda]", None, "xml.unknown-element", "/devices/dsik[vda]", "did you mean 'disk'?"),
        ("/vcpuz", 1, "xml.unknown-element", "/vcpuz", "did you mean 'vcpu'?"),
        ("/vcpu/@curent", 1, "xml.unknown-attribute", "/vcpu/@curent", "did you mean '@current'?"),
        ("/devices/disk[vda]/target/dev", "x", "xml.unknown-element", "/devices/disk[vda]/target/dev", "'@dev'?"),
        ("/clock/@ofset", "utc", "xml.unknown-attribute", "/clock/@ofset", "did you mean '@offset'?"),
        ("/devices/disk[vdz]", None, "config.missing", "/devices/disk[vdz]", "did you mean 'vd"),
        ("/devices/interface[2]", None, "config.missing", "/devices/interface[2]", "known: [0], [1]"),
        ("/devices/disk/source/@file", "/b", "config.missing", "/devices/disk", "there are [vda], [vdb]"),
        ("/devices/disk", Disk(), "xml.value", "/devices/disk", "give a tuple, or write [..] behind it"),
        ("/devices/disk[vda]", 5, "xml.value", "/devices/disk[vda]", ""),
        ("/devices/disk[vda]/target/@bus", "virtoi", "xml.value", "/devices/disk[vda]/target/@bus", "did you mean"),
        ("/memory", -1, "xml.value", "/memory", "must be: size"),
        ("/memory", 1.5, "xml.value", "/memory", "must be: size"),
        ("/uuid", 7, "xml.value", "/uuid", "must be: UUID"),
        ("/metadata", "<metadata>", "xml.value", "/metadata", "must be: any XML"),
        ("/name", None, "config.missing", "/name", "Name, unique on the host"),
        ("/cpu[0]", None, "xml.unknown-element", "/cpu[0]", "write it without [0]"),
        ("/devices", None, "xml.unknown-element", "/devices", "name one"),
        ("/memory/x", 1, "xml.unknown-element", "/memory/x", ""),
        ("/@type/x", 1, "xml.unknown-element", "/@type/x", ""),
        ("/launchSecurity/policy", 1, "config.missing", "/launchSecurity", "put one here: SevLaunch, S390Launch"),
        ("memory", 1, "config.invalid", "memory", "write it as"),
        ("/devices/disk[vda", 1, "config.invalid", "/devices/disk[vda", "write it as"),
        ("", Disk(), "xml.value", "/", ""),
    ],
)
def test_what_cannot_be_is_refused_by_path_with_a_way_out(
    path: str, value: Any, code: str, where: str, hint: str
) -> None:
    problem = refused(WEB, path, value)
    assert (problem.code, problem.path) == (code, where)
    assert hint in problem.hint
    assert problem.text


def test_the_attribute_that_decides_the_class_cannot_be_changed() -> None:
    x = WEB.replace(launch_security=SevLaunch())
    assert "SevLaunch" in refused(x, "/launchSecurity/@type", "s390-pv").text
    assert change(x, "/launchSecurity/policy", 3).launch_security == SevLaunch(policy=3)


def test_unknown_content_stays_where_it_was() -> None:
    text = "<domain><name>d</name><x/><devices><disk><target dev='vda'/><y/></disk></devices></domain>"
    new = change(parse(text, Domain), "/devices/disk[vda]/serial", "s")
    assert [problem.path for problem in unknown(new)] == ["/x", "/devices/disk[vda]/y"]
    assert "<y/>" in dump(new)


def test_differences_of_unknown_content_are_refused() -> None:
    one, two = (parse(f"<domain><name>d</name><x a='{number}'/></domain>", Domain) for number in (1, 2))
    assert refused(one, diff(one, two), verb=patch).path == "/x"


PAIRS = {
    "nothing": (WEB, WEB),
    "scalars": (WEB, WEB.replace(memory=None, title="t", vcpu=2)),
    "a new one in the middle": (WEB, WEB.replace(disks=(WEB.disks[0], Disk(target="vdc"), WEB.disks[1]))),
    "another order": (WEB, WEB.replace(disks=(Disk(target="x"), *WEB.disks[::-1]))),
    "one of two without a key": (WEB, WEB.replace(interfaces=(Interface(), WEB.interfaces[1]))),
    "another order without a key": (WEB, WEB.replace(interfaces=(Interface(mtu=5), *WEB.interfaces[::-1]))),
    "equal keys": (
        WEB.replace(disks=(Disk(target="a"), Disk(target="a", serial="1"), Disk(target="0"))),
        WEB.replace(disks=(Disk(target="0", serial="2"), Disk(target="a", serial="3"))),
    ),
    "text of an element": (WEB, change(WEB, "/os/initenv[A]", "")),
    "lists of texts": (WEB, WEB.replace(os=Os(initargs=("c",)))),
    "elements": (WEB.replace(cpu=None), WEB.replace(os=None)),
    "lists in lists": (
        WEB.replace(interfaces=(Interface(mtu=1), *(Interface(model=f"m{n}") for n in range(3)))),
        WEB.replace(interfaces=(Interface(model="m1", mtu=9), Interface(model="m2"))),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_differences_of_two_models_lead_from_one_to_the_other(name: str) -> None:
    old, new = PAIRS[name]
    assert patch(old, diff(old, new)) == new
    assert patch(new, diff(new, old)) == old


@pytest.mark.parametrize("cls", [Domain, Snapshot, Pool])
def test_the_differences_of_any_two_models_lead_from_one_to_the_other(cls: type[Any]) -> None:
    chance = Random(7)
    for _ in range(30):
        old, new = made(cls, chance, share=0.2), made(cls, chance, share=0.2)
        assert patch(old, diff(old, new)) == new


def test_an_order_of_other_members_is_refused() -> None:
    wrong = Difference("/devices/disk", ("vda", "vdb"), ("vda", "vdc"))
    assert refused(WEB, [wrong], verb=patch).code == "config.invalid"


def test_only_elements_are_added() -> None:
    assert refused(Domain(name="d"), 5, verb=add).text == "must be an element, not 5"
