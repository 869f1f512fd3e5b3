"""Whatever devices a guest has: completed twice is completed once, no two sit in one place, and none is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from anyvirt.api import (
    CcidAddress,
    Domain,
    DriveAddress,
    Invalid,
    PciAddress,
    UsbAddress,
    VirtioSerialAddress,
    dump,
    parse,
)
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

Guest = Callable[..., str]
Complete = Callable[..., Domain]

DISK = "<disk device='{}'><source file='/a'/><target dev='{}{{}}' bus='{}'/></disk>"
CONTROLLERS = {
    "two": "<controller type='scsi' model='virtio-scsi'/>" * 2,
    "scsi": "<controller type='scsi' model='virtio-scsi'/>",
    "lsi": "<controller type='scsi' model='lsilogic'/>",
    "sata": "<controller type='sata' index='1'/>",
    "serial": "<controller type='virtio-serial' ports='8'/>",
    "xhci": "<controller type='usb' model='nec-xhci'/>",
    "usb2": "".join(f"<controller type='usb' model='ich9-{part}'/>" for part in ("ehci1", "uhci1", "uhci2", "uhci3")),
    "bridge": "<controller type='pci' model='pci-bridge'/>",
    "port": "<controller type='pci' model='pcie-root-port'/>",
}
DEVICES = {
    "virtio disk": DISK.format("disk", "vd", "virtio"),
    "scsi disk": DISK.format("disk", "sd", "scsi"),
    "sata disk": DISK.format("disk", "sd", "sata"),
    "usb disk": DISK.format("disk", "sd", "usb"),
    "floppy": DISK.format("floppy", "fd", "fdc"),
    "virtio card": "<interface type='user'><model type='virtio'/></interface>",
    "old card": "<interface type='user'><model type='e1000'/></interface>",
    "new card": "<interface type='user'><model type='e1000e'/></interface>",
    "transitional card": "<interface type='user'><model type='virtio-transitional'/></interface>",
    "tablet": "<input type='tablet' bus='usb'/>",
    "virtio tablet": "<input type='tablet' bus='virtio'/>",
    "serial": "<serial type='pty'/>",
    "console": "<console type='pty'><target type='virtio'/></console>",
    "agent": "<channel type='unix'><target type='virtio' name='org.{}'/></channel>",
    "screen": "<graphics type='vnc'/>",
    "second screen": "<video><model type='qxl'/></video>",
    "sound": "<sound model='ich9'/>",
    "old sound": "<sound model='ac97'/>",
    "dice": "<rng model='virtio'><backend model='builtin'/></rng>",
    "watchdog": "<watchdog model='i6300esb'/>",
    "hub": "<hub type='usb'/>",
    "host": "<hostdev type='pci'><source><address domain='0' bus='1' slot='{}' function='0'/></source></hostdev>",
    "vfs": "<filesystem><source dir='/a'/><target dir='tag{}'/></filesystem>",
    "pvpanic": "<panic model='pvpanic'/>",
}
machines = st.sampled_from(["pc", "q35"])
some = st.lists(st.sampled_from(sorted(DEVICES)), max_size=12)
brought = st.lists(st.sampled_from(sorted(CONTROLLERS)), max_size=3, unique=True)


def xml(kinds: list[str], controllers: list[str], machine: str) -> str:
    """The devices, with a letter or number of its own for each of a kind."""
    bridges = [kind for kind in controllers if (kind == "port") == (machine == "q35") or kind not in {"port", "bridge"}]
    text = "".join(CONTROLLERS[kind] for kind in bridges)
    for place, kind in enumerate(kinds):
        number = kinds[:place].count(kind)
        letters = {"floppy": chr(97 + number)}
        text += DEVICES[kind].format(letters.get(kind, chr(97 + place)) if "disk" in DEVICES[kind] else number)
    return text


def places(domain: Domain) -> Iterator[tuple[Any, ...]]:
    """Where each device sits; of disks by bus, too, as each bus has its own controllers."""
    for field in type(domain)._fields:
        value = getattr(domain, field)
        for x in value if type(value) is tuple else (value,):
            at = getattr(x, "address", None)
            if isinstance(at, PciAddress):
                yield "pci", at.bus, at.slot, at.function
            elif isinstance(at, UsbAddress):
                yield "usb", at.bus, at.port
            elif isinstance(at, DriveAddress):
                yield x.bus, at.controller, at.bus, at.target, at.unit
            elif isinstance(at, VirtioSerialAddress):
                yield "virtio-serial", at.controller, at.port
            elif isinstance(at, CcidAddress):
                yield "ccid", at.controller, at.slot


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kinds=some, controllers=brought, machine=machines)
@example(kinds=[], controllers=["usb2"], machine="pc")
def test_completed_twice_is_completed_once_and_nobody_shares_a_place(
    kinds: list[str], controllers: list[str], machine: str, complete: Complete, guest: Guest
) -> None:
    source = guest(xml(kinds, controllers, machine), machine=machine)
    try:
        once = complete(source)
    except Invalid:  # two that want one place, such as a third floppy: refused, and of no interest here
        assume(False)
    assert complete(once) == once
    assert dump(complete(parse(dump(once), Domain))) == dump(once)
    assert complete(once, old=once) == once
    assert complete(source, old=once) == once
    found = list(places(once))
    assert len(set(found)) == len(found)
    buses = {x.index for x in once.controllers if x.type == "pci"}
    assert {place[1] for place in found if place[0] == "pci"} <= buses
    heads = {
        (x.address.bus, x.address.slot)
        for x in once.controllers
        if isinstance(x.address, PciAddress) and not x.address.function and x.address.multifunction
    }
    shared = {place[1:3] for place in found if place[0] == "pci" and place[3]}
    assert shared - heads <= {(0, 1), (0, 0x1F)}  # of the chipset


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kinds=some, more=st.sampled_from(sorted(DEVICES)), controllers=brought, machine=machines)
def test_a_device_more_moves_none_of_those_there_are(
    kinds: list[str], more: str, controllers: list[str], machine: str, complete: Complete, guest: Guest
) -> None:
    try:
        old = complete(guest(xml(kinds, controllers, machine), machine=machine))
        new = complete(guest(xml([*kinds, more], controllers, machine), machine=machine), old=old)
    except Invalid:  # two that want one place, such as a third floppy: refused, and of no interest here
        assume(False)
    assert set(places(old)) <= set(places(new))
    assert {x.mac for x in old.interfaces} <= {x.mac for x in new.interfaces}
