"""What a definition leaves open and this driver fills in, visibly, when it is defined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any, Final

from anyvirt.api import (
    BackingStore,
    CharDevice,
    CharType,
    Clock,
    ClockOffset,
    Console,
    ConsoleTarget,
    Controller,
    ControllerType,
    Disk,
    DiskBus,
    DiskDevice,
    DiskDriver,
    Domain,
    Input,
    InputType,
    Interface,
    Invalid,
    LifecycleAction,
    Memballoon,
    Os,
    OsType,
    Problem,
    Serial,
    SerialTarget,
    SourceType,
    Video,
    VideoType,
)

from anyvirt_qemu.address import placed
from anyvirt_qemu.devices.net import GENERATED
from anyvirt_qemu.plan import Caps, Machine

BUSES: Final = {"hd": "ide", "sd": "scsi", "vd": "virtio", "fd": "fdc", "xvd": "xen"}
CARDS: Final = ("rtl8139", "e1000")
VRAM: Final = 16 << 20
FIRST_CID: Final = 3
USER_ALIAS: Final = "ua-"
# lists of devices, by field of the domain
DEVICES: Final = (
    "disks", "controllers", "interfaces", "serials", "parallels", "consoles", "channels", "inputs", "tpms", "sounds",
    "videos", "watchdogs", "rngs", "panics",
)  # fmt: skip
Random = Callable[[int], bytes]


def complete(
    domain: Domain,
    caps: Caps,
    random: Random,
    *,
    old: Domain | None = None,
    taken: Collection[str] = (),
    cids: Collection[int] = (),
) -> Domain:
    """The definition with everything filled in that a start needs, all of it visible in its XML.

    :param random: gives that many random bytes; ``os.urandom``, or something that repeats itself in a test.
    :param old: the definition that this one replaces: devices that stay keep their addresses.
    :param taken: MAC addresses of other guests.
    :param cids: vsock addresses of other guests.
    :raises Invalid: no such machine type, another architecture, no room for a device.
    """
    domain = inactive(domain)
    machine = _machine(domain, caps)
    domain = _identity(domain, caps, machine, random, old)
    domain = domain.replace(
        disks=tuple(_disk(x) for x in domain.disks),
        inputs=domain.inputs or _inputs(),
        videos=_videos(domain),
        memballoon=domain.memballoon or Memballoon(model="virtio"),
    )
    if old is not None:
        domain = _inherited(domain, old, machine)
    macs = {*taken, *(x.mac for x in domain.interfaces if x.mac)}
    interfaces = [_card(card, caps, random, macs) for card in domain.interfaces]
    serials, consoles = _consoles(domain)
    vsock = domain.vsock
    if vsock is not None and vsock.cid is None:
        had = old.vsock.cid if old is not None and old.vsock is not None else None
        free = (n for n in range(FIRST_CID, 2**32) if n not in cids)
        vsock = vsock.replace(cid=next(free) if had is None or had in cids else had)
    domain = domain.replace(
        interfaces=tuple(interfaces),
        serials=serials,
        consoles=consoles,
        vsock=vsock,
        controllers=_controllers(domain, caps, machine),
    )
    return placed(domain, machine, scsi_model="lsilogic" if caps.has_device("lsi53c895a") else "virtio-scsi")


def inactive(domain: Domain) -> Domain:
    """The definition without what is so only while a guest runs."""
    changes: dict[str, Any] = {"id": None}
    for field in DEVICES:
        devices = getattr(domain, field)
        if devices:
            changes[field] = tuple(_stopped(x) for x in devices)
    for field in ("memballoon", "vsock"):
        device = getattr(domain, field)
        if device is not None:
            changes[field] = _stopped(device)
    changes["graphics"] = tuple(x.replace(port=-1) if x.autoport and (x.port or 0) > 0 else x for x in domain.graphics)
    return domain.replace(**changes)


def _stopped(x: Any) -> Any:
    changes: dict[str, Any] = {}
    if x.alias and not x.alias.startswith(USER_ALIAS):
        changes["alias"] = None
    if isinstance(x, Disk):
        changes |= _stopped_disk(x)
    elif isinstance(x, CharDevice):
        changes |= _stopped_char(x)
    elif isinstance(x, Interface) and x.target and x.target.startswith(GENERATED):
        changes["target"] = None
    return x.replace(**changes) if changes else x


def _stopped_disk(x: Disk) -> dict[str, Any]:
    changes: dict[str, Any] = {} if x.mirror is None else {"mirror": None}
    if x.source is not None and x.source.index is not None:
        changes["source"] = x.source.replace(index=None)
    if x.backing_store is not None and x.backing_store.index is not None:
        changes["backing_store"] = _unnumbered(x.backing_store)
    return changes


def _stopped_char(x: CharDevice) -> dict[str, Any]:
    changes: dict[str, Any] = {} if x.tty is None else {"tty": None}
    if x.type == "pty" and x.sources:
        changes["sources"] = ()
    target: Any = getattr(x, "target", None)
    if getattr(target, "state", None) is not None:
        changes["target"] = target.replace(state=None)
    return changes


def _unnumbered(x: BackingStore) -> BackingStore:
    below = _unnumbered(x.backing_store) if x.backing_store is not None else None
    return x.replace(index=None, backing_store=below)


def _machine(domain: Domain, caps: Caps) -> Machine:
    os = domain.os or Os()
    problems = []
    if os.arch is not None and os.arch != caps.arch:
        text = f"this QEMU ({caps.binary}) runs guests of {caps.arch}, not {os.arch}"
        problems.append(Problem("unsupported.config", "/os/type/@arch", None, text, "name another emulator"))
    machine = caps.machine(os.machine or "")
    if machine is None:
        text = f"this QEMU ({caps.binary}) has no machine type {os.machine or '(default)'}"
        hint = "anyvirt host capabilities lists those there are"
        problems.append(Problem("unsupported.config", "/os/type/@machine", None, text, hint))
    elif not machine.bus:
        text = f"machine {machine.name} has no PCI, and this driver places devices on PCI"
        problems.append(Problem("unsupported.config", "/os/type/@machine", None, text, "use q35 or pc"))
    if problems or machine is None:
        raise Invalid(problems)
    return machine


def _identity(domain: Domain, caps: Caps, machine: Machine, random: Random, old: Domain | None) -> Domain:
    os = domain.os or Os()
    uuid = domain.uuid or (old.uuid if old is not None else None) or _uuid(random)
    clock = domain.clock or Clock(offset=ClockOffset.UTC)
    return domain.replace(
        uuid=uuid,
        vcpu=domain.vcpu or 1,
        current_memory=domain.memory if domain.current_memory is None else domain.current_memory,
        os=os.replace(type=os.type or OsType.HVM, arch=os.arch or caps.arch, machine=machine.name),
        clock=clock if clock.offset else clock.replace(offset=ClockOffset.UTC),
        on_poweroff=domain.on_poweroff or LifecycleAction.DESTROY,
        on_reboot=domain.on_reboot or LifecycleAction.RESTART,
        on_crash=domain.on_crash or LifecycleAction.DESTROY,
        emulator=domain.emulator or caps.binary,
    )


def _uuid(random: Random) -> str:
    octets = bytearray(random(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _inherited(domain: Domain, old: Domain, machine: Machine) -> Domain:
    """Devices that the old definition has, too, keep their places; and controllers that this one does not mention."""
    if old.os is None or old.os.machine != machine.name:
        return domain
    changes: dict[str, Any] = {}
    for field in ("disks", "interfaces", "controllers", "inputs", "videos", "sounds", "channels", "rngs", "watchdogs"):
        before = list(getattr(old, field))
        kept = []
        for x in getattr(domain, field):
            match = next((y for y in before if _same(field, x, y)), None)
            if match is not None:
                before.remove(match)
            kept.append(x if match is None else _placed_as(field, x, match))
        changes[field] = tuple(kept)
        if field == "controllers":
            changes[field] = (*kept, *before)
    for field in ("memballoon", "vsock"):
        x, y = getattr(domain, field), getattr(old, field)
        if x is not None and y is not None and x.address is None and x.model == y.model:
            changes[field] = x.replace(address=y.address)
    return domain.replace(**changes)


def _placed_as(field: str, x: Any, old: Any) -> Any:
    changes: dict[str, Any] = {}
    if x.address is None and old.address is not None:
        changes["address"] = old.address
    if field == "interfaces" and x.mac is None:
        changes["mac"] = old.mac
    return x.replace(**changes) if changes else x


def _same(field: str, x: Any, y: Any) -> bool:
    match field:
        case "disks":
            return bool(x.target == y.target and (x.bus is None or x.bus == y.bus))
        case "interfaces":
            same_mac = x.mac is None or x.mac == y.mac
            return bool(same_mac and x.type == y.type and (x.model is None or x.model == y.model))
        case "controllers":
            return bool(x.type == y.type and (x.index or 0) == (y.index or 0) and x.model in {None, y.model})
        case "inputs":
            return bool((x.type, x.bus) == (y.type, y.bus))
        case "channels":
            return bool(x.target == y.target)
    return bool(x.model in {None, y.model})


def _disk(x: Disk) -> Disk:
    device = x.device or DiskDevice.DISK
    driver = x.driver or DiskDriver()
    if driver.name is None:
        driver = driver.replace(name="qemu")
    if driver.type is None and (x.source is not None or device == "disk"):
        driver = driver.replace(type="raw")
    bus = x.bus
    if bus is None:
        letters = (x.target or "").rstrip("abcdefghijklmnopqrstuvwxyz") or (x.target or "")[:2]
        prefix = next((p for p in BUSES if (x.target or "").startswith(p)), letters)
        bus = DiskBus(BUSES[prefix]) if prefix in BUSES else None
    return x.replace(
        type=x.type or SourceType.FILE,
        device=device,
        driver=driver,
        bus=bus,
        readonly=x.readonly or device == "cdrom",
    )


def _card(x: Interface, caps: Caps, random: Random, taken: set[str]) -> Interface:
    mac = x.mac
    while mac is None:
        made = ":".join(f"{octet:02x}" for octet in (0x52, 0x54, 0, *random(3)))
        if made not in taken:
            taken.add(made)
            mac = made
    model = x.model or next((name for name in CARDS if caps.has_device(name)), "virtio")
    return x.replace(mac=mac, model=model)


def _consoles(domain: Domain) -> tuple[tuple[Serial, ...], tuple[Console, ...]]:
    """Serial ports with numbers; the first console of a guest is its first serial port, and each implies the other."""
    serials = list(domain.serials)
    consoles = [_console(x) for x in domain.consoles]
    first = consoles[0] if consoles else None
    is_serial = first is not None and first.target is not None and first.target.type == "serial"
    if first is not None and is_serial and not serials:
        serials.append(Serial(type=first.type, sources=first.sources, log=first.log, log_append=first.log_append))
    for number, x in enumerate(serials):
        target = x.target or SerialTarget()
        kind = target.type or "isa-serial"
        port = number if target.port is None else target.port
        model = target.model or (kind if kind in {"isa-serial", "pci-serial", "usb-serial"} else None)
        serials[number] = x.replace(
            type=x.type or CharType.PTY, target=target.replace(type=kind, port=port, model=model)
        )
    if serials and not is_serial:
        consoles.insert(0, _mirror(serials[0]))
    elif first is not None and is_serial:
        consoles[0] = _mirror(serials[0]).replace(alias=first.alias)
    numbered = []
    for number, console in enumerate(consoles):
        target_ = console.target or ConsoleTarget()
        numbered.append(console.replace(target=target_.replace(port=number if target_.port is None else target_.port)))
    return tuple(serials), tuple(numbered)


def _console(x: Console) -> Console:
    target = x.target or ConsoleTarget()
    return x.replace(type=x.type or CharType.PTY, target=target.replace(type=target.type or "serial"))


def _mirror(x: Serial) -> Console:
    return Console(
        type=x.type, sources=x.sources, log=x.log, log_append=x.log_append, target=ConsoleTarget(type="serial", port=0)
    )


def _inputs() -> tuple[Input, ...]:
    return tuple(Input(type=kind, bus="ps2") for kind in (InputType.MOUSE, InputType.KEYBOARD))


def _videos(domain: Domain) -> tuple[Video, ...]:
    videos = domain.videos or ((Video(model=VideoType.VGA),) if domain.graphics else ())
    done = []
    for number, x in enumerate(videos):
        model = x.model or VideoType.VGA
        memory = VRAM if model in {"vga", "cirrus", "vmvga"} and x.vram is None else x.vram
        primary = True if number == 0 and model != "none" and not any(v.primary for v in videos) else x.primary
        done.append(x.replace(model=model, vram=memory, primary=primary))
    return tuple(done)


def _numbered(controllers: Sequence[Controller]) -> list[Controller]:
    """Those without a number get the first that is free among their kind; 0 of PCI is the root's.

    A USB companion has the number of the controller that it belongs to.
    """
    taken: set[tuple[ControllerType | None, int | None]] = {(x.type, x.index) for x in controllers}
    done: list[Controller] = []
    for x in controllers:
        index = x.index
        if index is None and (x.model or "").startswith("ich9-uhci"):
            index = next((y.index for y in reversed(done) if y.model == "ich9-ehci1"), 0)
        elif index is None:
            first = 1 if x.type == "pci" and x.model not in {"pci-root", "pcie-root"} else 0
            index = next(n for n in count(first) if (x.type, n) not in taken)
        taken.add((x.type, index))
        done.append(x if index == x.index else x.replace(index=index))
    return done


def _controllers(domain: Domain, caps: Caps, machine: Machine) -> tuple[Controller, ...]:
    """Those given, with models, and those that every guest of this machine has."""
    given = _numbered(domain.controllers)
    xhci = "qemu-xhci" if caps.has_device("qemu-xhci") else "nec-xhci"
    usb = xhci if machine.bus == "pcie" else "piix3-uhci"
    if not any(x.type == "usb" for x in given):
        given.append(Controller(type=ControllerType.USB, index=0, model=usb))
    if machine.bus == "pcie" and not any(x.type == "sata" and not x.index for x in given):
        given.append(Controller(type=ControllerType.SATA, index=0))
    if not any(x.type == "pci" and not x.index for x in given):
        given.insert(0, Controller(type=ControllerType.PCI, index=0, model=f"{machine.bus}-root"))
    models = {"usb": usb, "scsi": "lsilogic" if caps.has_device("lsi53c895a") else "virtio-scsi"}
    return tuple(x.replace(model=models[x.type]) if x.model is None and x.type in models else x for x in given)
