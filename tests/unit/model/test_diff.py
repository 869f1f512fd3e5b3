"""Differences field by field."""

from __future__ import annotations

from typing import Any

import pytest
from anyvirt.model.devices.disk import Disk
from anyvirt.model.devices.interface import Interface
from anyvirt.model.diff import diff
from anyvirt.model.domain import Domain
from anyvirt.model.source import Source
from anyvirt.model.xml import parse

WEB = Domain(
    name="web",
    memory=1 << 30,
    disks=(Disk(target="vda", source=Source(file="/a")), Disk(target="vdb")),
    interfaces=(Interface(model="virtio"), Interface(model="e1000")),
)


def changes(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    return [tuple(change) for change in diff(old, new)]


def test_a_deep_field_is_named_by_keys() -> None:
    new = WEB.replace(disks=(WEB.disks[0].replace(source=Source(file="/b")), WEB.disks[1]))
    assert changes(WEB, new) == [("/devices/disk[vda]/source/@file", "/a", "/b")]
    assert changes(new, WEB) == [("/devices/disk[vda]/source/@file", "/b", "/a")]


def test_scalars_at_the_top() -> None:
    assert changes(WEB, WEB.replace(memory=2 << 30, title="t")) == [
        ("/title", None, "t"),
        ("/memory", 1 << 30, 2 << 30),
    ]


def test_elements_come_and_go_whole() -> None:
    disk = Disk(target="vdc")
    assert changes(WEB, WEB.replace(disks=(*WEB.disks, disk))) == [("/devices/disk[vdc]", None, disk)]
    assert changes(WEB, WEB.replace(disks=WEB.disks[1:])) == [("/devices/disk[vda]", WEB.disks[0], None)]


def test_a_new_order_is_a_change_of_the_list() -> None:
    assert changes(WEB, WEB.replace(disks=WEB.disks[::-1])) == [("/devices/disk", ("vda", "vdb"), ("vdb", "vda"))]


def test_elements_without_a_key_are_paired_when_equal_and_then_by_position() -> None:
    first, second = WEB.interfaces
    assert changes(WEB, WEB.replace(interfaces=(second,))) == [("/devices/interface[0]", first, None)]
    assert changes(WEB, WEB.replace(interfaces=(first.replace(mtu=9000), second))) == [
        ("/devices/interface[0]/mtu/@size", None, 9000)
    ]


def test_spelling_units_order_and_indentation_never_differ() -> None:
    one = parse(
        "<domain type='kvm' id='1'><name>d</name><memory unit='MiB'>1</memory><devices><disk/></devices></domain>"
    )
    two = parse("<domain id='1' type='kvm'>\n<devices><disk/></devices><memory>1024</memory>\n<name>d</name></domain>")
    assert diff(one, two) == ()


def test_unknown_content_differs_by_name() -> None:
    one = parse("<domain><name>d</name><x a='1'/><vcpu y='1'>1</vcpu></domain>")
    two = parse("<domain><name>d</name><x a='2'/><vcpu y='2'>1</vcpu></domain>")
    assert changes(one, two) == [("/vcpu/@y", "1", "2"), ("/x", '<x a="1"/>', '<x a="2"/>')]
    assert changes(one, parse("<domain><name>d</name><vcpu>1</vcpu></domain>")) == [
        ("/vcpu/@y", "1", None),
        ("/x", '<x a="1"/>', None),
    ]


def test_what_is_equal_has_no_difference_and_what_differs_has_one() -> None:
    one = parse("<domain><name>d</name><x/><devices><disk/></devices></domain>")
    two = parse("<domain><name>d</name><devices><disk/></devices><x/></domain>")
    assert one != two
    assert diff(one, two)


def test_different_classes_cannot_be_compared() -> None:
    with pytest.raises(TypeError, match="cannot compare Domain with Disk"):
        diff(WEB, Disk())
