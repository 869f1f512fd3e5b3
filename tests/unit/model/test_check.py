"""Rules between fields."""

from __future__ import annotations

import pytest
from anyvirt.errors import CODES
from anyvirt.model.check import check, check_name
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse

GOOD = """\
<domain type='kvm'>
<name>{name}</name>
{top}
<memory>1024</memory>
{cpu}
<os><type>hvm</type>{os}</os>
<devices>
{devices}
</devices>
</domain>"""


def problems(
    *, name: str = "d", top: str = "", cpu: str = "", os: str = "", devices: str = ""
) -> list[tuple[str, int | None]]:
    found = check(parse(GOOD.format(name=name, top=top, cpu=cpu, os=os, devices=devices), Domain))
    assert all(problem.code in CODES and problem.text for problem in found)
    return [(problem.path, problem.line) for problem in found]


def test_a_good_document_has_no_problems() -> None:
    assert problems(cpu="<vcpu current='1'>2</vcpu>", devices="<disk><target dev='vda'/></disk>") == []


@pytest.mark.parametrize(
    ("parts", "path", "line"),
    [
        ({"top": "<uuid>00000000-0000-0000-0000-000000000000</uuid>"}, "/uuid", 3),
        ({"top": "<title>a\nb</title>"}, "/title", 3),
        ({"top": "<maxMemory slots='4'>512</maxMemory>"}, "/maxMemory", 3),
        ({"top": "<maxMemory>4096</maxMemory>"}, "/maxMemory/@slots", 3),
        ({"cpu": "<vcpu>0</vcpu>"}, "/vcpu", 5),
        ({"cpu": "<vcpu current='3'>2</vcpu>"}, "/vcpu/@current", 5),
        ({"cpu": "<cpu><feature name='vmx'/><feature name='vmx'/></cpu>"}, "/cpu/feature[vmx]", 5),
        ({"cpu": "<cpu><numa><cell id='1' cpus='0' memory='1'/></numa></cpu>"}, "/cpu/numa", 5),
        (
            {"cpu": "<cpu><numa><cell id='0' cpus='0-1' memory='1'/><cell id='1' cpus='1' memory='1'/></numa></cpu>"},
            "/cpu/numa/cell[1]/@cpus",
            5,
        ),
        ({"os": "<cmdline>quiet</cmdline>"}, "/os/cmdline", 6),
        ({"os": "<initrd>/i</initrd>"}, "/os/initrd", 6),
        (
            {"os": "<boot dev='hd'/>", "devices": "<disk><target dev='vda'/><boot order='1'/></disk>"},
            "/os/boot",
            6,
        ),
        (
            {
                "devices": "<disk><target dev='vda'/><boot order='1'/></disk>\n<interface type='user'>"
                "<boot order='1'/></interface>"
            },
            "/devices/interface[0]/boot/@order",
            9,
        ),
        (
            {"devices": "<disk><target dev='a'/></disk>\n<disk><target dev='a'/></disk>"},
            "/devices/disk[a]/target/@dev",
            9,
        ),
        ({"devices": "<disk/>"}, "/devices/disk[0]/target/@dev", 8),
        (
            {
                "devices": "<disk><target dev='a'/><iotune><total_bytes_sec>1</total_bytes_sec>"
                "<read_bytes_sec>1</read_bytes_sec></iotune></disk>"
            },
            "/devices/disk[a]/iotune/total_bytes_sec",
            8,
        ),
        (
            {"devices": "<interface type='user'><mac address='53:54:00:00:00:01'/></interface>"},
            "/devices/interface[53:54:00:00:00:01]/mac/@address",
            8,
        ),
        ({"devices": "<interface type='bridge'/>"}, "/devices/interface[0]/source/@bridge", 8),
        (
            {
                "devices": "<disk><target dev='a'/><alias name='ua-x'/></disk>\n<disk><target dev='b'/>"
                "<alias name='ua-x'/></disk>"
            },
            "/devices/disk[b]/alias/@name",
            9,
        ),
        (
            {"devices": "<controller type='usb' index='0'/>\n<controller type='usb' index='0'/>"},
            "/devices/controller[usb,0]",
            9,
        ),
        (
            {
                "devices": "<rng><address type='pci' slot='3'/></rng>\n<rng>"
                "<address type='pci' slot='0x3' function='0'/></rng>"
            },
            "/devices/rng[1]/address",
            9,
        ),
        (
            {"devices": "<video><model primary='yes'/></video>\n<video><model primary='yes'/></video>"},
            "/devices/video/model/@primary",
            9,
        ),
        ({"devices": "<video><model type='none'/></video>\n<video/>"}, "/devices/video/model/@type", 8),
        (
            {"devices": "<filesystem><target dir='/a'/></filesystem>\n<filesystem><target dir='/a'/></filesystem>"},
            "/devices/filesystem[/a]",
            9,
        ),
    ],
)
def test_each_rule_names_path_and_line(parts: dict[str, str], path: str, line: int) -> None:
    assert problems(**parts) == [(path, line)]


def test_everything_is_listed_at_once() -> None:
    found = check(parse("<domain><devices><disk/><interface type='network'/></devices></domain>", Domain))
    assert {problem.path for problem in found} == {
        "/name",
        "/@type",
        "/memory",
        "/os",
        "/devices/disk[0]/target/@dev",
        "/devices/interface[0]/source/@network",
    }


@pytest.mark.parametrize(
    "name",
    ["", "a\nb", "a/b", "../x", ".", "..", "x" * 256, "\u00e9" * 128, "a\0b", " "],
    ids=lambda name: repr(name)[:12],
)
def test_names_that_no_host_should_hold(name: str) -> None:
    assert list(check_name(name))


@pytest.mark.parametrize("name", ["web", "a,b", "x" * 255, "caf\u00e9", "a b", "-c", "$(reboot)", "a=b"])
def test_names_that_are_only_odd_are_left_alone(name: str) -> None:
    assert list(check_name(name)) == []


def test_current_memory_above_memory_is_no_error_because_it_is_clamped() -> None:
    assert problems(top="<currentMemory>4096</currentMemory>") == []


def test_memory_may_come_from_numa_cells_and_no_hypervisor_needs_a_memory_of_0() -> None:
    assert check(parse("<domain type='kvm'><name>d</name><memory>0</memory><os><type>hvm</type></os></domain>", Domain))
    cells = "<cpu><numa><cell id='0' cpus='0' memory='1'/></numa></cpu>"
    assert check(parse(f"<domain type='kvm'><name>d</name><os><type>hvm</type></os>{cells}</domain>", Domain)) == ()


def test_usb_companions_share_an_index() -> None:
    both = (
        "<controller type='usb' index='0' model='ich9-ehci1'/>"
        "<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>"
    )
    assert problems(devices=both) == []


def test_the_first_console_may_repeat_the_first_serial_port() -> None:
    address = "<address type='pci' slot='4'/>"
    assert problems(devices=f"<serial type='pty'>{address}</serial><console type='pty'>{address}</console>") == []
