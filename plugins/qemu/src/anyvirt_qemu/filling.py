"""Defaults of a definition's parts, device by device, as libvirt's QEMU driver has them; addresses come later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import (
    Audio,
    BootDevice,
    Clock,
    ClockOffset,
    ConsoleTarget,
    CpuMode,
    CpuSpec,
    DiskBus,
    DiskDevice,
    DiskDriver,
    Input,
    InputType,
    LifecycleAction,
    Listen,
    Memballoon,
    Os,
    OsBoot,
    OsType,
    SerialTarget,
    Source,
    SourceType,
    Video,
    VideoType,
    assign,
)

from anyvirt_qemu.machines import Family, chosen
from anyvirt_qemu.plan import Caps, Machine

BUSES: Final = {"hd": "ide", "sd": "scsi", "vd": "virtio", "fd": "fdc", "xvd": "xen", "ubd": "uml"}
MIB: Final = 1 << 20
UNLIMITED: Final = 9007199254740991 << 10
# memory of video cards: fields and bytes, where they are not given
VIDEO_MEMORY: Final = {
    "vga": {"vram": 16 * MIB},
    "cirrus": {"vram": 16 * MIB},
    "vmvga": {"vram": 16 * MIB},
    "bochs": {"vram": 16 * MIB},
    "qxl": {"ram": 64 * MIB, "vram": 64 * MIB, "vgamem": 16 * MIB},
}
PORTS: Final = {
    "nbd": 10809, "sheepdog": 7000, "gluster": 24007, "iscsi": 3260, "http": 80, "https": 443,
    "ftp": 21, "ftps": 990, "tftp": 69, "ssh": 22, "vxhs": 9999, "nfs": 2049,
}  # fmt: skip
MODELS: Final = {
    "isa-serial": "isa-serial",
    "usb-serial": "usb-serial",
    "pci-serial": "pci-serial",
    "isa-debug": "isa-debugcon",
    "spapr-vio-serial": "spapr-vty",
    "sclp-serial": "sclpconsole",
}
# cards that are there for what they carry, not for being emulated
UNMODELLED: Final = frozenset({"hostdev"})
NET_MODELS: Final = frozenset({
    "virtio", "virtio-transitional", "virtio-non-transitional", "e1000", "e1000e", "igb", "rtl8139", "pcnet",
    "ne2k_pci", "i82559er", "usb-net", "spapr-vlan", "lan9118", "smc91c111",
})  # fmt: skip
SERVERS: Final = frozenset({"vnc", "spice"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site may decide otherwise.

    :param spare_ports: empty PCIe ports that a new guest gets, for devices that are plugged later.
    :param vnc_socket: a screen without an address is served on a unix socket of the guest's own, not on TCP.
    """

    spare_ports: int = 4
    vnc_socket: bool = True


def identity(d: assign.Drafts, caps: Caps, machine: Machine, *, stored: bool) -> None:
    """Size, boot, clock, life cycle: what stands before the devices.

    :param stored: a definition whose size others have settled, which stays.
    """
    os = d.os or Os()
    ordered = any(x.boot for field in ("disks", "interfaces", "hostdevs", "redirdevs") for x in d.many(field))
    changes: dict[str, Any] = {}
    if os.type is None:
        changes["type"] = OsType.HVM
    if os.arch is None:
        changes["arch"] = caps.arch
    if os.machine != machine.name:
        changes["machine"] = machine.name
    if not os.boots and not ordered and (os.type or "hvm") == "hvm" and os.kernel is None:
        changes["boots"] = (OsBoot(dev=BootDevice.HD),)
    changes |= _firmware(os)
    if changes or d.os is None:
        d.os = os.replace(**changes)
    _processors(d)
    _memory(d, stored=stored)
    _tuning(d)
    hyperv = d.features.hyperv if d.features is not None else None
    if hyperv is not None and hyperv.mode is None:
        d.features = d.features.replace(hyperv=hyperv.replace(mode="custom"))
    if d.clock is None or d.clock.offset is None:
        d.clock = (d.clock or Clock()).replace(offset=ClockOffset.UTC)
    for field, action in (
        ("on_poweroff", LifecycleAction.DESTROY),
        ("on_reboot", LifecycleAction.RESTART),
        ("on_crash", LifecycleAction.DESTROY),
    ):
        if getattr(d, field) is None:
            setattr(d, field, action)
    if d.emulator is None:
        d.emulator = caps.binary
    cpu(d, machine)


def _processors(d: assign.Drafts) -> None:
    """How many there are, and who chooses where they run: with the memory, unless somebody has pinned them."""
    if d.vcpu is None:
        d.vcpu = 1
    tune = d.cputune
    pinned = d.vcpu_cpuset is not None or (
        tune is not None and (tune.vcpupins or tune.emulatorpin is not None or tune.iothreadpins)
    )
    if d.numatune is not None and d.numatune.placement == "auto" and not pinned:
        d.vcpu_placement = "auto"
    elif d.vcpu_placement is None:
        d.vcpu_placement = "static"


def _firmware(os: Os) -> dict[str, Any]:
    """Keys that are enrolled are there for secure boot."""
    features = {x.name: x for x in os.firmware_features}
    keys = features.get("enrolled-keys")
    if keys is None or not keys.enabled or "secure-boot" in features:
        return {}
    return {"firmware_features": (*os.firmware_features, keys.replace(name="secure-boot"))}


def _memory(d: assign.Drafts, *, stored: bool) -> None:
    """The memory of all NUMA cells and modules together, where there are cells."""
    cells = d.cpu.cells if d.cpu is not None else ()
    whole = sum(cell.memory or 0 for cell in cells)
    if whole and (d.memory is None or not stored):
        whole += sum(x.size or 0 for x in d.many("memory_devices"))
        if d.memory != whole:
            d.memory = whole
    if d.current_memory is None or (d.memory is not None and d.current_memory > d.memory):
        d.current_memory = d.memory


def _tuning(d: assign.Drafts) -> None:
    """Limits that say that there are none are left out; pins stand in the order of what they pin."""
    if d.memtune is not None:
        limits = ("hard_limit", "soft_limit", "min_guarantee", "swap_hard_limit")
        none = {field: None for field in limits if (getattr(d.memtune, field) or 0) >= UNLIMITED}
        if none:
            kept = d.memtune.replace(**none)
            d.memtune = kept if any(getattr(kept, field) is not None for field in limits) else None
    if d.cputune is not None:
        pins = tuple(sorted(d.cputune.iothreadpins, key=lambda pin: pin.iothread or 0))
        if pins != d.cputune.iothreadpins:
            d.cputune = d.cputune.replace(iothreadpins=pins)


def cpu(d: assign.Drafts, machine: Machine) -> None:
    """The CPU that QEMU would choose, by name, so that another QEMU shows the same; and how it is checked."""
    x = d.cpu
    if x is not None and x == CpuSpec():
        x = d.cpu = None
    changes: dict[str, Any] = {}
    if x is None or (x.model is None and x.mode in {None, CpuMode.CUSTOM}):
        if machine.cpu is not None:
            changes = {"mode": CpuMode.CUSTOM, "match": "exact", "model": machine.cpu, "model_fallback": "forbid"}
            changes["check"] = "none" if x is None or x.check is None else x.check
    elif x.mode in {CpuMode.HOST_PASSTHROUGH, CpuMode.MAXIMUM}:
        changes = {"check": x.check or "none", "migratable": True if x.migratable is None else x.migratable}
    else:
        changes = {"check": x.check or "partial"}
        if x.mode in {None, CpuMode.CUSTOM}:
            changes |= {"mode": CpuMode.CUSTOM, "match": x.match or "exact"}
            changes["model_fallback"] = x.model_fallback or "allow"
    if x is not None and x.cells:
        changes["cells"] = _cells(x.cells, d.vcpu)
    if changes:
        d.cpu = (x or CpuSpec()).replace(**changes)


def _cells(cells: tuple[Any, ...], vcpus: int) -> tuple[Any, ...]:
    """NUMA cells with numbers, in the order of these; virtual CPUs in no cell belong to the first."""
    taken = {cell.id for cell in cells if cell.id is not None}
    free = (n for n in range(len(cells) + len(taken)) if n not in taken)
    numbered = [cell if cell.id is not None else cell.replace(id=next(free)) for cell in cells]
    numbered.sort(key=lambda cell: cell.id or 0)
    placed = frozenset().union(*(cell.cpus or () for cell in cells))
    left = frozenset(range(vcpus)) - placed if placed else frozenset()
    if left:
        numbered[0] = numbered[0].replace(cpus=(numbered[0].cpus or frozenset()) | left)
    return tuple(numbered)


def devices(d: assign.Drafts, caps: Caps, family: Family, policy: Policy) -> None:
    """Each device with what it leaves open, and the devices that every guest has."""
    for x in d.disks:
        _disk(x)
    _sort(d.disks)
    for x in d.interfaces:
        if x.model is None and x.type not in UNMODELLED:
            x.model = "virtio" if x.type == "vdpa" else chosen(family.cards, caps)
        elif x.model is not None and x.model.lower() in NET_MODELS:
            x.model = x.model.lower()
    _characters(d, family)
    _inputs(d, family)
    for x in d.graphics:
        _graphics(x, policy)
    _videos(d, caps, family)
    shown = {x.type for x in d.graphics}
    if not d.audios and shown != {"egl-headless"}:
        d.add("audios", Audio(id=1, type="spice" if "spice" in shown else "none"))
    if d.memballoon is None and family.balloon:
        d.memballoon = Memballoon(model="virtio")
    _others(d, family)


def _others(d: assign.Drafts, family: Family) -> None:
    for x in d.filesystems:
        x.type = x.type or "mount"
        if x.source_socket is None:
            x.accessmode = x.accessmode or "passthrough"
    for x in d.sounds:
        x.model = x.model or "ich6"
    for x in d.rngs:
        if x.backend in {None, "random"} and x.path is None and x.backend_type is None:
            x.backend, x.path = "random", "/dev/urandom"
        x.model = x.model or "virtio"
    for x in d.tpms:
        x.model = x.model or ("tpm-spapr" if family.name == "pseries" else "tpm-tis")
        if x.type == "emulator" and x.version is None:
            x.version = "2.0"
    for x in d.watchdogs:
        x.action = x.action or "reset"
    for x in d.panics:
        x.model = x.model or family.panic
    for x in d.shmems:
        _shared_memory(x)
    for x in d.many("hostdevs"):
        if x.mode is None:
            x.mode = "subsystem"
        if x.managed is None and x.mode == "subsystem":
            x.managed = False
    for x in d.many("vsock"):
        x.model = x.model or "virtio"


def _shared_memory(x: assign.Draft) -> None:
    x.model = x.model or "ivshmem-plain"
    if x.model != "ivshmem-plain" and x.server:
        x.msi = True
        x.msi_ioeventfd = True if x.msi_ioeventfd is None else x.msi_ioeventfd
    elif x.size is None and not x.server:
        x.size = 4 * MIB


def _disk(x: assign.Draft) -> None:
    device = x.device or DiskDevice.DISK
    if x.device is None:
        x.device = device
    if x.type is None:
        x.type = SourceType.FILE
    driver = x.driver or DiskDriver()
    image = driver.type or (None if x.type == "volume" else "raw")
    if driver.name is None or driver.type != image:
        x.driver = driver.replace(name=driver.name or "qemu", type=image)
    if x.source is not None:
        source = _source(x.source)
        if source is not x.source:
            x.source = source
    if x.bus is None:
        bus = "fdc" if device == "floppy" else assign.bus_of(x.target or "", BUSES)
        x.bus = None if bus is None else DiskBus(bus)
    if device == "cdrom" and not x.readonly:
        x.readonly = True


def _sort(disks: list[assign.Draft]) -> None:
    """Put each disk before the first of its bus whose name comes later: sda before sdb."""
    done: list[assign.Draft] = []
    last: dict[str, int] = {}
    for x in disks:
        index = assign.target_index(x.target or "")
        if index is None:
            done.append(x)
        elif index < last.get(x.bus, index):
            numbers = ((n, assign.target_index(y.target or "")) for n, y in enumerate(done) if y.bus == x.bus)
            done.insert(next(n for n, other in numbers if other is not None and other > index), x)
        else:
            last[x.bus] = index
            done.append(x)
    disks[:] = done


def _source(source: Source) -> Source:
    """Ports of servers, and who decrypts."""
    changes: dict[str, Any] = {}
    port = PORTS.get(source.protocol or "")
    if port and any(host.port is None and host.transport in {None, "tcp"} for host in source.hosts):
        changes["hosts"] = tuple(
            host.replace(port=port) if host.port is None and host.transport in {None, "tcp"} else host
            for host in source.hosts
        )
    encryption = source.encryption
    if encryption is not None and encryption.engine is None:
        changes["encryption"] = encryption.replace(engine="qemu")
    return source.replace(**changes) if changes else source


def _characters(d: assign.Drafts, family: Family) -> None:
    """Serial ports with numbers; the first console of a guest is its first serial port, and each implies the other."""
    for x in d.consoles:
        target = x.target or ConsoleTarget()
        if x.target is None or target.type is None:
            x.target = target.replace(type=target.type or "serial")
        x.type = x.type or "pty"
    assign.pairing.pair(d)
    for field in ("serials", "parallels", "consoles"):
        _numbered(d.many(field), SerialTarget if field != "consoles" else ConsoleTarget)
    for x in d.serials:
        target = x.target
        kind = target.type or family.serial[0]
        model = target.model or (family.serial[1] if kind == family.serial[0] else MODELS.get(kind))
        if (target.type, target.model) != (kind, model):
            x.target = target.replace(type=kind, model=model)
    for field in ("serials", "parallels", "consoles", "channels", "smartcards", "redirdevs"):
        for x in d.many(field):
            _character(x)


def _numbered(ports: list[assign.Draft], make: Any) -> None:
    taken = {x.target.port for x in ports if x.target is not None and x.target.port is not None}
    number = 0
    for x in ports:
        if x.target is None or x.target.port is None:
            while number in taken:
                number += 1
            taken.add(number)
            x.target = (x.target or make()).replace(port=number)


def _character(x: assign.Draft) -> None:
    if x.type == "tcp" and x.protocol is None:
        x.protocol = "raw"
    if x.type == "unix" and x.sources and all(source.path is None for source in x.sources):
        x.sources = ()


def _inputs(d: assign.Drafts, family: Family) -> None:
    found = d.inputs
    for x in found:
        if x.bus is None and x.type != "evdev":
            ps2 = family.ps2 and x.type in {InputType.MOUSE, InputType.KEYBOARD}
            x.bus = "ps2" if ps2 else "virtio" if x.type == "passthrough" else "usb"
    if family.ps2:
        for kind in (InputType.MOUSE, InputType.KEYBOARD):
            if not any(x.type == kind and x.bus == "ps2" for x in found):
                d.add("inputs", Input(type=kind, bus="ps2"))


def _graphics(x: assign.Draft, policy: Policy) -> None:
    if x.type not in SERVERS:
        return
    if not x.listens:
        x.listens = (_listen(x, policy),)
    kind = x.listens[0].type
    if x.type == "vnc" and kind in {"address", "network"} and x.autoport is None and x.port in {None, -1}:
        x.autoport = True
    if x.type == "vnc" and kind in {"address", "network"} and x.autoport:
        x.port = -1


def _listen(x: assign.Draft, policy: Policy) -> Listen:
    if x.socket:
        return Listen(type="socket", socket=x.socket)
    if x.listen:
        return Listen(type="address", address=x.listen)
    asked = x.autoport or x.port is not None or x.tls_port is not None
    if x.type == "spice" and not asked:
        return Listen(type="none")
    return Listen(type="socket" if policy.vnc_socket and not asked else "address")


def _videos(d: assign.Drafts, caps: Caps, family: Family) -> None:
    if not d.videos and d.graphics:
        d.add("videos", Video())
    videos = d.videos
    for x in videos:
        if x.model is None:
            x.model = VideoType(chosen(family.videos, caps) or "vga")
        for field, size in VIDEO_MEMORY.get(x.model, {}).items():
            if getattr(x, field) is None:
                setattr(x, field, size)
        if x.heads is None and x.model != "none":
            x.heads = 1
    first = next((n for n, x in enumerate(videos) if x.primary), 0)
    if first:
        videos.insert(0, videos.pop(first))
    if videos and videos[0].primary is None and videos[0].model != "none":
        videos[0].primary = True
