"""Defaults of a definition's devices, kind by kind, as libvirt's QEMU driver has them; addresses come later."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import (
    Audio,
    ConsoleTarget,
    DiskBus,
    DiskDevice,
    DiskDriver,
    Input,
    InputType,
    Listen,
    Memballoon,
    Panic,
    SerialTarget,
    Source,
    SourceType,
    Video,
    VideoType,
    assign,
)

from anyvirt_qemu.planning.filling import MIB, Policy
from anyvirt_qemu.planning.machines import Family, chosen
from anyvirt_qemu.planning.plan import Caps

BUSES: Final = {"hd": "ide", "sd": "scsi", "vd": "virtio", "fd": "fdc", "xvd": "xen", "ubd": "uml", "nvme": "nvme"}
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


def devices(d: assign.Drafts, caps: Caps, family: Family, policy: Policy) -> None:
    """Each device with what it leaves open, and the devices that every guest has."""
    for x in d.disks:
        _disk(x)
    d.disks[:] = assign.put_forward(d.disks, _rank)  # sda before sdb
    for x in d.interfaces:
        if x.model is None and x.type not in UNMODELLED:
            x.model = "virtio" if x.type == "vdpa" else chosen(family.cards, caps)
        elif x.model is not None and x.model.lower() in NET_MODELS:
            x.model = x.model.lower()
        if x.type == "direct" and x.source is not None and x.source.mode is None:
            x.source = x.source.replace(mode="vepa")
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
    _passed(d, caps)


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
        if x.type == "passthrough" and x.device is None:
            x.device = "/dev/tpm0"
    for x in d.watchdogs:
        x.action = x.action or "reset"
    if family.panics and not d.panics:
        d.add("panics", Panic(model=family.panic))
    for x in d.panics:
        x.model = x.model or family.panic
    for x in d.shmems:
        _shared_memory(x)
    for x in d.many("vsock"):
        x.model = x.model or "virtio"


def _passed(d: assign.Drafts, caps: Caps) -> None:
    """Devices that come from elsewhere: of the host, or of whoever watches."""
    for x in d.many("hostdevs"):
        if x.mode is None:
            x.mode = "subsystem"
        if x.managed is None and x.mode == "subsystem":
            x.managed = False
        if x.type == "mdev" and x.model == "vfio-pci" and x.display is None and caps.has_device("vfio-pci"):
            x.display = False
    for x in d.many("redirdevs"):
        x.bus = x.bus or "usb"


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
    if x.encryption is not None and x.encryption.engine is None:
        x.encryption = x.encryption.replace(engine="qemu")
    if x.bus is None:
        bus = "fdc" if device == "floppy" else assign.bus_of(x.target or "", BUSES)
        x.bus = None if bus is None else DiskBus(bus)
    if device == "cdrom" and not x.readonly:
        x.readonly = True


def _rank(x: assign.Draft) -> tuple[str, int] | None:
    index = assign.target_index(x.target or "")
    return None if index is None else (x.bus or "", index)


def _source(source: Source) -> Source:
    """Ports of servers, and who decrypts."""
    changes: dict[str, Any] = {}
    port = PORTS.get(source.protocol or "")
    tcp = [host for host in source.hosts if host.transport in {None, "tcp"}]
    if any(host.transport is not None or (port and host.port is None) for host in tcp):
        changes["hosts"] = tuple(
            host.replace(port=host.port or port, transport=None) if host in tcp else host for host in source.hosts
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
            x.target = target.replace(type=target.type or ("virtio" if family.transport == "ccw" else "serial"))
        x.type = x.type or "pty"
    assign.pairing.pair(d)
    for field in ("serials", "parallels", "consoles"):
        _numbered(d.many(field), SerialTarget if field != "consoles" else ConsoleTarget)
    for x in d.serials:
        target = x.target
        # what definitions for a PC say means the usual port on other machines
        kind = family.serial[0] if target.type in {None, "isa-serial"} and not target.model else target.type
        model = target.model or (family.serial[1] if kind == family.serial[0] else MODELS.get(kind)) or None
        if (target.type, target.model) != (kind, model):
            x.target = target.replace(type=kind, model=model)
    for x in d.channels:
        target = x.target
        if x.type == "spicevmc" and target is not None and target.type == "virtio" and target.name is None:
            x.target = target.replace(name="com.redhat.spice.0")
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
            plugged = x.type != "passthrough" and family.transport == "pci"
            x.bus = "ps2" if ps2 else "usb" if plugged else "virtio"
    if family.ps2:
        for kind in (InputType.MOUSE, InputType.KEYBOARD):
            if not any(x.type == kind and x.bus == "ps2" for x in found):
                d.add("inputs", Input(type=kind, bus="ps2"))


def _graphics(x: assign.Draft, policy: Policy) -> None:
    """Where a server listens: said once in the list, and its first address again in the short form."""
    if x.type not in SERVERS:
        return
    if not x.listens:
        x.listens = (_listen(x, policy),)
    first = x.listens[0]
    if first.type == "address":
        x.listen = first.address
    elif first.type == "socket" and first.socket is not None:
        x.socket = first.socket
    if first.type not in {"address", "network"}:
        return
    free = {None, -1}
    if x.autoport is None:
        x.autoport = x.port in free and x.tls_port in free
    if x.autoport and x.type == "vnc":
        x.port = -1
    elif x.autoport:
        x.port = x.tls_port = None


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
