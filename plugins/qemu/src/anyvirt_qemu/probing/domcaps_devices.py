"""Devices that guests of one machine type can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import (
    ChannelSupport,
    ChannelTypes,
    CharType,
    ConsoleSupport,
    ConsoleTypes,
    CryptoBackends,
    CryptoModels,
    CryptoSupport,
    CryptoTypes,
    DiskBus,
    DiskBuses,
    DiskDevice,
    DiskDevices,
    DiskModels,
    DiskSupport,
    FilesystemDrivers,
    FilesystemSupport,
    GraphicsSupport,
    GraphicsType,
    GraphicsTypes,
    HostdevBackends,
    HostdevCapabilities,
    HostdevModes,
    HostdevPolicies,
    HostdevSubsystems,
    HostdevSupport,
    InterfaceBackends,
    InterfaceSupport,
    PanicModels,
    PanicSupport,
    RedirdevBuses,
    RedirdevSupport,
    RngBackends,
    RngModels,
    RngSupport,
    TpmBackends,
    TpmModels,
    TpmSupport,
    TpmType,
    TpmVersions,
    VideoModels,
    VideoSupport,
    VideoType,
)

from anyvirt_qemu.devices.char import AGENTS
from anyvirt_qemu.devices.chardev import MAKERS
from anyvirt_qemu.devices.controller import SCSI
from anyvirt_qemu.devices.graphics import WINDOWS
from anyvirt_qemu.devices.tpm import MODELS
from anyvirt_qemu.devices.video import CARDS, DRAWN
from anyvirt_qemu.planning.machines import Family
from anyvirt_qemu.planning.plan import Machine
from anyvirt_qemu.probing.capability import Capability
from anyvirt_qemu.probing.caps import Caps

VARIANTS: Final = ("virtio", "virtio-transitional", "virtio-non-transitional")
TRANSPORTS: Final = ("pci", "ccw", "device")
# what QEMU calls a back end of a character device, where a definition has another word
BACKENDS: Final = {"unix": "socket", "tcp": "socket", "dev": "serial"}
CRYPTO: Final = {"builtin": "cryptodev-backend-builtin", "lkcf": "cryptodev-backend-lkcf"}
PANICS: Final = {"isa": "pvpanic", "pvpanic": "pvpanic-pci"}
EMULATOR: Final = "swtpm"


@dataclass(frozen=True, slots=True)
class Place:
    """A machine type of a QEMU on a host.

    :param programs: which of the programs that devices need are installed.
    """

    caps: Caps
    found: Capability
    machine: Machine
    family: Family
    programs: frozenset[str]

    @property
    def pci(self) -> bool:
        """There is a PCI bus."""
        return self.machine.bus != "" or self.family.root_driver != "" or self.caps.arch == "s390x"

    def virtio(self, name: str) -> bool:
        """Whether QEMU has a virtio device in any form."""
        return any(self.caps.has_device(f"{name}-{transport}") for transport in TRANSPORTS)

    def variants(self, name: str) -> tuple[Any, ...]:
        """The models of a virtio device."""
        older = [one for one in VARIANTS[1:] if self.caps.has_device(f"{name}-pci{one.removeprefix('virtio')}")]
        return (VARIANTS[0], *older) if self.pci else VARIANTS[:1]

    def have(self, words: Mapping[str, str]) -> tuple[Any, ...]:
        """The words whose device QEMU has."""
        return tuple(word for word, device in words.items() if self.caps.has_device(device))


def disks(at: Place) -> DiskSupport:
    """Disks."""
    has = at.caps.has_device
    floppies = at.family.ps2 and has("floppy")
    scsi = any(has(device) for device in (*SCSI.values(), "virtio-scsi-pci", "virtio-scsi-ccw", "spapr-vscsi"))
    buses = {
        DiskBus.IDE: at.family.ide and has("ide-hd"),
        DiskBus.FDC: floppies,
        DiskBus.SCSI: scsi and has("scsi-hd"),
        DiskBus.VIRTIO: at.virtio("virtio-blk"),
        DiskBus.USB: has("usb-storage"),
        DiskBus.SATA: (at.family.sata or (at.pci and has("ich9-ahci"))) and has("ide-hd"),
    }
    devices = (DiskDevice.DISK, DiskDevice.CDROM, *((DiskDevice.FLOPPY,) if floppies else ()), DiskDevice.LUN)
    return DiskSupport(
        supported=True,
        enums=(
            DiskDevices(values=devices),
            DiskBuses(values=tuple(bus for bus, there in buses.items() if there)),
            DiskModels(values=at.variants("virtio-blk")),
        ),
    )


def graphics(at: Place) -> GraphicsSupport:
    """Ways to see the screen."""
    there = [kind for kind in WINDOWS if at.caps.has_feature(f"display.{kind}")]
    there += ["vnc"] if "query-vnc" in at.found.commands else []
    there += ["spice"] if at.caps.has_feature("spice") else []
    kinds = tuple(kind for kind in GraphicsType if kind in there)
    return GraphicsSupport(supported=bool(kinds), enums=(GraphicsTypes(values=kinds),))


def videos(at: Place) -> VideoSupport:
    """Video cards."""
    cards = {**CARDS, "qxl": "qxl"} if at.pci else {"ramfb": CARDS["ramfb"]}
    there = set(at.have(cards))
    if any(at.caps.has_device(name) for name in (*DRAWN["qemu"], "virtio-gpu-ccw", "virtio-gpu-device")):
        there.add("virtio")
    return VideoSupport(
        supported=True,
        enums=(VideoModels(values=tuple(kind for kind in VideoType if kind in {*there, "none"})),),
    )


def hostdevs(at: Place, *, vfio: bool) -> HostdevSupport:
    """Devices of the host."""
    rows = {"usb": "usb-host", "pci": "vfio-pci", "scsi": "scsi-generic", "mdev": "vfio-pci"}
    kinds = list(at.have(rows))
    if at.virtio("vhost-scsi"):
        kinds.insert(-1, "scsi_host")
    return HostdevSupport(
        supported=bool(kinds),
        enums=(
            HostdevModes(values=("subsystem",)),
            HostdevPolicies(values=("default", "mandatory", "requisite", "optional")),
            HostdevSubsystems(values=tuple(kinds)),
            HostdevCapabilities(),
            HostdevBackends(values=("default", "vfio") if vfio and "pci" in kinds else ()),
        ),
    )


def rngs(at: Place) -> RngSupport:
    """Sources of random numbers."""
    words: tuple[Any, ...] = ("random", "egd", "builtin")
    backends = tuple(word for word in words if at.caps.has_object(f"rng-{word}"))
    there = at.virtio("virtio-rng") and bool(backends)
    enums = (RngModels(values=at.variants("virtio-rng")), RngBackends(values=backends))
    return RngSupport(supported=there, enums=enums if there else ())


def filesystems(at: Place) -> FilesystemSupport:
    """Shared folders."""
    kinds: list[Any] = ["path"] if at.virtio("virtio-9p") and at.caps.has_option("fsdev") else []
    kinds += ["virtiofs"] if at.virtio("vhost-user-fs") else []
    return FilesystemSupport(supported=bool(kinds), enums=(FilesystemDrivers(values=tuple(kinds)),) if kinds else ())


def tpms(at: Place, versions: tuple[str, ...]) -> TpmSupport:
    """Trusted platform modules."""
    words: tuple[Any, ...] = tuple(model for model in MODELS if model in at.found.told("tpm-models"))
    types = set(at.found.told("tpm-types"))
    kinds = {TpmType.PASSTHROUGH: "passthrough" in types, TpmType.EXTERNAL: "emulator" in types}
    kinds[TpmType.EMULATOR] = "emulator" in types and EMULATOR in at.programs
    backends = tuple(kind for kind in TpmType if kinds[kind])
    if not words or not backends:
        return TpmSupport(supported=False)
    known: Any = tuple(version for version in ("1.2", "2.0") if version in versions)
    more = (TpmVersions(values=known),) if known else ()
    return TpmSupport(supported=True, enums=(TpmModels(values=words), TpmBackends(values=backends), *more))


def redirdevs(at: Place) -> RedirdevSupport:
    """Devices that a client lends."""
    there = at.caps.has_device("usb-redir")
    return RedirdevSupport(supported=there, enums=(RedirdevBuses(values=("usb",)),) if there else ())


def channels(at: Place) -> ChannelSupport:
    """Channels."""
    return ChannelSupport(supported=at.virtio("virtio-serial"), enums=(ChannelTypes(values=_chars(at)),))


def consoles(at: Place) -> ConsoleSupport:
    """Consoles."""
    kinds = tuple(kind for kind in _chars(at) if kind not in AGENTS)
    return ConsoleSupport(supported=True, enums=(ConsoleTypes(values=kinds),))


def cryptos(at: Place) -> CryptoSupport:
    """Devices that encrypt."""
    backends: tuple[Any, ...] = tuple(word for word, name in CRYPTO.items() if at.caps.has_object(name))
    there = at.virtio("virtio-crypto") and bool(backends)
    enums = (CryptoModels(values=("virtio",)), CryptoTypes(values=("qemu",)), CryptoBackends(values=backends))
    return CryptoSupport(supported=there, enums=enums if there else ())


def interfaces(at: Place) -> InterfaceSupport:
    """Network cards."""
    passt = at.caps.has_feature("netdev.stream") and "passt" in at.programs
    return InterfaceSupport(
        supported=True, enums=(InterfaceBackends(values=("default", "passt") if passt else ("default",)),)
    )


def panics(at: Place) -> PanicSupport:
    """Devices that tell of a crash."""
    words: set[Any] = set(at.have({word: name for word, name in PANICS.items() if word != "isa" or at.family.ps2}))
    if at.family.panics:
        words.add(at.family.panic)
    if at.caps.arch in {"x86_64", "i686"}:
        words.add("hyperv")
    order: tuple[Any, ...] = ("isa", "pseries", "hyperv", "s390", "pvpanic")
    found = tuple(word for word in order if word in words)
    return PanicSupport(supported=bool(found), enums=(PanicModels(values=found),) if found else ())


def _chars(at: Place) -> tuple[CharType, ...]:
    """Kinds of character devices that this driver and this QEMU have."""
    names = {str(row["name"]) for row in at.found.told("chardev-backends")}
    spice = at.caps.has_feature("spice")
    there = {kind for kind in MAKERS if BACKENDS.get(kind, kind) in names}
    there |= {kind for kind in ("spicevmc", "spiceport") if spice}
    return tuple(kind for kind in CharType if kind in there)
