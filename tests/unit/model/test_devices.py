"""Devices are read with their types; what is outside a type is named with its place and a way out."""

from __future__ import annotations

import pytest
from anyvirt.model.devices.hostdev import Hostdev, HostdevType
from anyvirt.model.devices.redirdev import Redirfilter
from anyvirt.model.domain import Domain
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse


def guest(devices: str) -> Domain:
    return parse(f"<domain type='kvm'><name>g</name><devices>{devices}</devices></domain>", Domain)


@pytest.mark.parametrize(
    ("devices", "path", "way"),
    [
        ("<disk><target dev='sda'/><wwn>123</wwn></disk>", "disk[sda]/wwn", "20000000c9831b4b"),
        ("<disk><target dev='sda'/><vendor>too long a name</vendor></disk>", "disk[sda]/vendor", "SEAGATE"),
        ("<disk><target dev='sda'/><boot loadparm='LOADPARM1'/></disk>", "disk[sda]/boot/@loadparm", "SYSTEM1"),
        ("<disk><driver type='qcow3'/><target dev='sda'/></disk>", "disk[sda]/driver/@type", "qcow2"),
        ("<controller type='pci' model='pcie-rootport'/>", "controller[0]/@model", "pcie-root-port"),
        ("<serial type='pty'><target type='isa-seriell'/></serial>", "serial[0]/target/@type", "isa-serial"),
        ("<interface type='user'><vlan><tag id='4096'/></vlan></interface>", "interface[0]/vlan/tag[0]/@id", "4095"),
        ("<interface type='user'><ip address='10.0.0'/></interface>", "interface[0]/ip[0]/@address", "192.168.122.1"),
        ("<graphics type='vnc' listen='a b'/>", "graphics[vnc]/@listen", "server.example.org"),
        ("<graphics type='vnc' passwdValidTo='tomorrow'/>", "graphics[vnc]/@passwdValidTo", "2026-06-20T01:34:37"),
        ("<filesystem fmode='0988'/>", "filesystem[0]/@fmode", "octal"),
        ("<hostdev mode='subsystem' type='usbx'/>", "hostdev[0]/@type", "usb"),
        (
            "<hostdev type='scsi_host'><source wwpn='naa.1'/></hostdev>",
            "hostdev[0]/source/@wwpn",
            "naa.5123456789abcde0",
        ),
        ("<hub type='usb'><address type='usb' port='a'/></hub>", "hub[0]/address/@port", "1"),
        ("<redirfilter><usbdev vendor='-2'/></redirfilter>", "redirfilter/usbdev[0]/@vendor", "hexadecimal"),
    ],
)
def test_a_value_outside_its_type_is_kept_and_refused_with_a_way_out(devices: str, path: str, way: str) -> None:
    domain = guest(devices)
    (problem,) = unknown(domain)
    assert (problem.code, problem.path) == ("xml.value", f"/devices/{path}")
    assert way in f"{problem.text} {problem.hint}"
    assert parse(dump(domain)) == domain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<filesystem fmode='644'/>", "<filesystem fmode='0644'/>"),
        ("<filesystem><source usage='1024'/></filesystem>", "<filesystem><source usage='1' units='MiB'/></filesystem>"),
        ("<graphics type='vnc' listen='::0'/>", "<graphics type='vnc' listen='::'/>"),
        (
            "<interface><ip address='2001:DB8::1' prefix='64'/></interface>",
            "<interface><ip address='2001:db8:0::1' prefix='64'/></interface>",
        ),
        (
            "<hostdev type='usb'><source><address bus='014' device='0x10'/></source></hostdev>",
            "<hostdev type='usb'><source><address bus='12' device='16'/></source></hostdev>",
        ),
        (
            "<hostdev type='usb'><source><vendor id='4660'/></source></hostdev>",
            "<hostdev type='usb'><source><vendor id='0x1234'/></source></hostdev>",
        ),
        (
            "<memory model='dimm'><target><size unit='GiB'>1</size></target></memory>",
            "<memory model='dimm'><target><size>1048576</size></target></memory>",
        ),
    ],
)
def test_spellings_of_one_value_are_equal(one: str, other: str) -> None:
    first, second = guest(one), guest(other)
    assert unknown(first) == unknown(second) == ()
    assert first == second
    assert dump(first, canonical=True) == dump(second, canonical=True)
    assert dump(first) != dump(second)


def test_a_host_device_says_what_it_is() -> None:
    text = """<hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio'/>
      <source writeFiltering='no'><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/>
    </hostdev>"""
    x = parse(text, Hostdev)
    match x:
        case Hostdev(type=HostdevType.PCI, source=source) if source and source.address:
            assert (source.address.bus, source.address.slot, source.address.function) == (6, 18, 5)
        case _:
            pytest.fail(f"{x!r} is no PCI device")
    assert x.managed is True
    assert x.source is not None
    assert x.source.write_filtering is False


def test_minus_one_in_a_filter_of_redirection_stands_for_any() -> None:
    x = parse(
        "<redirfilter><usbdev class='0x08' vendor='0x1234' product='-1' version='-1' allow='yes'/></redirfilter>",
        Redirfilter,
    )
    (rule,) = x.rules
    assert (rule.class_code, rule.vendor, rule.product, rule.version, rule.allow) == (8, 0x1234, -1, "-1", True)
    assert "product='-1'" in dump(x, canonical=True)
