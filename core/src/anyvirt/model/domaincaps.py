"""What guests of one machine type can have."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from anyvirt.model.cpu import CpuFeature
from anyvirt.model.devices.char import CharType
from anyvirt.model.devices.disk import DiskBus, DiskDevice
from anyvirt.model.devices.graphics import GraphicsType
from anyvirt.model.devices.tpm import TpmType
from anyvirt.model.devices.video import VideoType
from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, OnOff, Size, Words, YesNo
from anyvirt.model.words import Arch, DomainType

VirtioModel = Literal["virtio", "virtio-transitional", "virtio-non-transitional"]
HYPERV: Final = (
    "relaxed vapic spinlocks vpindex runtime synic stimer reset vendor_id frequencies reenlightenment tlbflush ipi "
    "evmcs avic"
)
HyperVFeature = Annotated[str, Words({word: word for word in HYPERV.split()})]


class Group(Element):
    """A kind of thing that guests may have."""

    supported: YesNo | None = at("@supported", "Guests can have it", default=None)


class LoaderTypes(Element, tag="enum", when=("name", "type")):
    """How firmware can be mapped."""

    values: Many[Literal["rom", "pflash"]] = at("value", "Ways", default=())


class LoaderReadonly(Element, tag="enum", when=("name", "readonly")):
    """Whether firmware can be read-only."""

    values: Many[YesNo] = at("value", "Whether it can", default=())


class LoaderSecure(Element, tag="enum", when=("name", "secure")):
    """Whether firmware can enforce signed boot."""

    values: Many[YesNo] = at("value", "Whether it can", default=())


class LoaderSupport(Group, tag="loader"):
    """Firmware that is given by its path."""

    paths: Many[str] = at("value", "Firmware that the host has", default=())
    enums: Many[LoaderTypes | LoaderReadonly | LoaderSecure] = at("enum", "What it can be", default=())


class Firmwares(Element, tag="enum", when=("name", "firmware")):
    """Firmware that can be chosen automatically."""

    values: Many[Literal["bios", "efi"]] = at("value", "Kinds of firmware", default=())


class OsSupport(Group, tag="os"):
    """Booting."""

    enums: Many[Firmwares] = at("enum", "What it can be", default=())
    loader: LoaderSupport | None = at("loader", "Firmware that is given by its path", default=None)


class UsableModel(Element, tag="model"):
    """A CPU model that can be named."""

    name: str = at(".", "Name", default="", key=True)
    usable: Literal["yes", "no", "unknown"] | None = at("@usable", "This host can give it", default=None)
    deprecated: YesNo | None = at("@deprecated", "It will be gone some day", default=None)
    vendor: str | None = at("@vendor", "Vendor, such as Intel, or unknown", default=None)
    canonical: str | None = at("@canonical", "The model that the name stands for", default=None)


class ModelBlockers(Element, tag="blockers"):
    """What a CPU model needs and the host lacks."""

    model: str | None = at("@model", "The model", default=None, key=True)
    features: Many[CpuFeature] = at("feature", "What is missing", default=())


class PassthroughMigratable(Element, tag="enum", when=("name", "hostPassthroughMigratable")):
    """Whether what cannot be migrated can be left out."""

    values: Many[OnOff] = at("value", "Whether it can", default=())


class PassthroughMode(Group, tag="mode", when=("name", "host-passthrough")):
    """The host's CPU as it is."""

    enums: Many[PassthroughMigratable] = at("enum", "What it can be", default=())


class MaximumMigratable(Element, tag="enum", when=("name", "maximumMigratable")):
    """Whether what cannot be migrated can be left out."""

    values: Many[OnOff] = at("value", "Whether it can", default=())


class MaximumMode(Group, tag="mode", when=("name", "maximum")):
    """All that the hypervisor can give."""

    enums: Many[MaximumMigratable] = at("enum", "What it can be", default=())


class HostModelMode(Group, tag="mode", when=("name", "host-model")):
    """The named model that is nearest to the host's CPU."""

    model: str | None = at("model", "Its name", default=None)
    model_fallback: Literal["allow", "forbid"] | None = at("model/@fallback", "May a near model serve", default=None)
    vendor: str | None = at("vendor", "Its vendor", default=None)
    maxphysaddr_mode: Literal["emulate", "passthrough"] | None = at(
        "maxphysaddr/@mode", "Where the width of addresses comes from", default=None
    )
    maxphysaddr_bits: Count | None = at("maxphysaddr/@bits", "Width of addresses", default=None)
    maxphysaddr_limit: Count | None = at("maxphysaddr/@limit", "Width of addresses at most", default=None)
    features: Many[CpuFeature] = at("feature", "Features beside the model", default=())


class CustomMode(Group, tag="mode", when=("name", "custom")):
    """A model by name."""

    models: Many[UsableModel] = at("model", "Models that can be named", default=())
    blockers: Many[ModelBlockers] = at("blockers", "What models lack here", default=())


class MemorySources(Element, tag="enum", when=("name", "sourceType")):
    """Where memory can come from."""

    values: Many[Literal["file", "anonymous", "memfd"]] = at("value", "Kinds of source", default=())


class MemoryBackingSupport(Group, tag="memoryBacking"):
    """What memory can be made of."""

    enums: Many[MemorySources] = at("enum", "What it can be", default=())


class DiskDevices(Element, tag="enum", when=("name", "diskDevice")):
    """Kinds of disks."""

    values: Many[DiskDevice] = at("value", "Kinds", default=())


class DiskBuses(Element, tag="enum", when=("name", "bus")):
    """Controllers that disks hang from."""

    values: Many[DiskBus] = at("value", "Buses", default=())


class DiskModels(Element, tag="enum", when=("name", "model")):
    """Models of virtio disks."""

    values: Many[VirtioModel] = at("value", "Models", default=())


class DiskSupport(Group, tag="disk"):
    """Disks."""

    enums: Many[DiskDevices | DiskBuses | DiskModels] = at("enum", "What it can be", default=())


class GraphicsTypes(Element, tag="enum", when=("name", "type")):
    """Ways to see the screen."""

    values: Many[GraphicsType] = at("value", "Kinds", default=())


class GraphicsSupport(Group, tag="graphics"):
    """Ways to see the screen."""

    enums: Many[GraphicsTypes] = at("enum", "What it can be", default=())


class VideoModels(Element, tag="enum", when=("name", "modelType")):
    """Models of video cards."""

    values: Many[VideoType] = at("value", "Models", default=())


class VideoSupport(Group, tag="video"):
    """Video cards."""

    enums: Many[VideoModels] = at("enum", "What it can be", default=())


class HostdevModes(Element, tag="enum", when=("name", "mode")):
    """How devices are given."""

    values: Many[Literal["subsystem", "capabilities"]] = at("value", "Ways", default=())


class HostdevPolicies(Element, tag="enum", when=("name", "startupPolicy")):
    """What happens when a device is missing."""

    values: Many[Literal["default", "mandatory", "requisite", "optional"]] = at("value", "Policies", default=())


class HostdevSubsystems(Element, tag="enum", when=("name", "subsysType")):
    """Kinds of devices."""

    values: Many[Literal["usb", "pci", "scsi", "scsi_host", "mdev"]] = at("value", "Kinds", default=())


class HostdevCapabilities(Element, tag="enum", when=("name", "capsType")):
    """Kinds of devices of containers."""

    values: Many[Literal["storage", "misc", "net"]] = at("value", "Kinds", default=())


class HostdevBackends(Element, tag="enum", when=("name", "pciBackend")):
    """What gives PCI devices."""

    values: Many[Literal["default", "kvm", "vfio", "xen"]] = at("value", "Back ends", default=())


class HostdevSupport(Group, tag="hostdev"):
    """Devices of the host that are given to guests."""

    enums: Many[HostdevModes | HostdevPolicies | HostdevSubsystems | HostdevCapabilities | HostdevBackends] = at(
        "enum", "What it can be", default=()
    )


class RngModels(Element, tag="enum", when=("name", "model")):
    """Models of the device."""

    values: Many[VirtioModel] = at("value", "Models", default=())


class RngBackends(Element, tag="enum", when=("name", "backendModel")):
    """Where the numbers come from."""

    values: Many[Literal["random", "egd", "builtin"]] = at("value", "Back ends", default=())


class RngSupport(Group, tag="rng"):
    """Sources of random numbers."""

    enums: Many[RngModels | RngBackends] = at("enum", "What it can be", default=())


class FilesystemDrivers(Element, tag="enum", when=("name", "driverType")):
    """What shares them."""

    values: Many[Literal["path", "handle", "loop", "nbd", "ploop", "virtiofs", "mtp"]] = at(
        "value", "Drivers", default=()
    )


class FilesystemSupport(Group, tag="filesystem"):
    """Shared file systems."""

    enums: Many[FilesystemDrivers] = at("enum", "What it can be", default=())


class TpmModels(Element, tag="enum", when=("name", "model")):
    """Models of the device."""

    values: Many[Literal["tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy"]] = at("value", "Models", default=())


class TpmBackends(Element, tag="enum", when=("name", "backendModel")):
    """What stands behind the device."""

    values: Many[TpmType] = at("value", "Back ends", default=())


class TpmVersions(Element, tag="enum", when=("name", "backendVersion")):
    """Versions of the specification."""

    values: Many[Literal["1.2", "2.0"]] = at("value", "Versions", default=())


class TpmSupport(Group, tag="tpm"):
    """Trusted platform modules."""

    enums: Many[TpmModels | TpmBackends | TpmVersions] = at("enum", "What it can be", default=())


class RedirdevBuses(Element, tag="enum", when=("name", "bus")):
    """Buses of such devices."""

    values: Many[Literal["usb"]] = at("value", "Buses", default=())


class RedirdevSupport(Group, tag="redirdev"):
    """Devices that a client lends."""

    enums: Many[RedirdevBuses] = at("enum", "What it can be", default=())


class ChannelTypes(Element, tag="enum", when=("name", "type")):
    """What stands behind a channel."""

    values: Many[CharType] = at("value", "Kinds", default=())


class ChannelSupport(Group, tag="channel"):
    """Channels."""

    enums: Many[ChannelTypes] = at("enum", "What it can be", default=())


class CryptoModels(Element, tag="enum", when=("name", "model")):
    """Models of the device."""

    values: Many[Literal["virtio"]] = at("value", "Models", default=())


class CryptoTypes(Element, tag="enum", when=("name", "type")):
    """What serves the device."""

    values: Many[Literal["qemu"]] = at("value", "Kinds", default=())


class CryptoBackends(Element, tag="enum", when=("name", "backendModel")):
    """What encrypts."""

    values: Many[Literal["builtin", "lkcf"]] = at("value", "Back ends", default=())


class CryptoSupport(Group, tag="crypto"):
    """Devices that encrypt for guests."""

    enums: Many[CryptoModels | CryptoTypes | CryptoBackends] = at("enum", "What it can be", default=())


class InterfaceBackends(Element, tag="enum", when=("name", "backendType")):
    """What stands behind network cards of users."""

    values: Many[Literal["default", "passt"]] = at("value", "Back ends", default=())


class InterfaceSupport(Group, tag="interface"):
    """Network cards."""

    enums: Many[InterfaceBackends] = at("enum", "What it can be", default=())


class PanicModels(Element, tag="enum", when=("name", "model")):
    """Models of the device."""

    values: Many[Literal["isa", "pseries", "hyperv", "s390", "pvpanic"]] = at("value", "Models", default=())


class PanicSupport(Group, tag="panic"):
    """Devices that tell of a guest's crash."""

    enums: Many[PanicModels] = at("enum", "What it can be", default=())


class ConsoleTypes(Element, tag="enum", when=("name", "type")):
    """What stands behind a console."""

    values: Many[CharType] = at("value", "Kinds", default=())


class ConsoleSupport(Group, tag="console"):
    """Consoles."""

    enums: Many[ConsoleTypes] = at("enum", "What it can be", default=())


class SecurityTypes(Element, tag="enum", when=("name", "sectype")):
    """Kinds of encrypted memory."""

    values: Many[Literal["sev", "sev-snp", "s390-pv", "tdx"]] = at("value", "Kinds", default=())


class LaunchSecuritySupport(Group, tag="launchSecurity"):
    """Guests whose memory the host cannot read."""

    enums: Many[SecurityTypes] = at("enum", "What it can be", default=())


class GicVersions(Element, tag="enum", when=("name", "version")):
    """Versions of the controller."""

    values: Many[Literal["2", "3"]] = at("value", "Versions", default=())


class GicSupport(Group, tag="gic"):
    """Interrupt controller of Arm."""

    enums: Many[GicVersions] = at("enum", "What it can be", default=())


class SevSupport(Group, tag="sev"):
    """AMD's encrypted memory."""

    cbitpos: Count | None = at("cbitpos", "Bit of an address that says encrypted", default=None)
    reduced_phys_bits: Count | None = at("reducedPhysBits", "Bits that addresses lose", default=None)
    max_guests: Count | None = at("maxGuests", "Guests at most", default=None)
    max_es_guests: Count | None = at("maxESGuests", "Guests with encrypted registers at most", default=None)
    cpu0_id: str | None = at("cpu0Id", "Identity of the processor, base64", default=None)


class SgxSection(Element, tag="section"):
    """Enclave memory of one node."""

    node: Count | None = at("@node", "Number of the node", default=None, key=True)
    size: Size | None = at("@size", "Its size", default=None)


class SgxSupport(Group, tag="sgx"):
    """Intel's enclaves."""

    flc: YesNo | None = at("flc", "Guests may launch their own", default=None)
    sgx1: YesNo | None = at("sgx1", "Version 1", default=None)
    sgx2: YesNo | None = at("sgx2", "Version 2", default=None)
    section_size: Size | None = at("section_size", "Enclave memory of the host", default=None)
    sections: Many[SgxSection] = at("sections/section", "Enclave memory by node", default=())


class HypervFeatures(Element, tag="enum", when=("name", "features")):
    """Enlightenments that guests can have."""

    values: Many[HyperVFeature] = at("value", "Names", default=())


class HypervSupport(Group, tag="hyperv"):
    """Enlightenments for Windows guests."""

    enums: Many[HypervFeatures] = at("enum", "What it can be", default=())


class DomainCapabilities(Element, tag="domainCapabilities"):
    """What guests of one machine type can have."""

    path: str | None = at("path", "Program that runs them", default=None)
    domain: DomainType | None = at("domain", "Type of domain", default=None)
    machine: str | None = at("machine", "Machine type", default=None)
    arch: Arch | None = at("arch", "Architecture", default=None)
    vcpu_max: Count | None = at("vcpu/@max", "Virtual CPUs at most", default=None)
    iothreads: YesNo | None = at("iothreads/@supported", "Guests can have threads for I/O", default=None)
    os: OsSupport | None = at("os", "Booting", default=None)
    cpu_modes: Many[PassthroughMode | MaximumMode | HostModelMode | CustomMode] = at(
        "cpu/mode", "Ways to choose the CPU", default=()
    )
    memory_backing: MemoryBackingSupport | None = at("memoryBacking", "What memory can be made of", default=None)
    disk: DiskSupport | None = at("devices/disk", "Disks", default=None)
    graphics: GraphicsSupport | None = at("devices/graphics", "Ways to see the screen", default=None)
    video: VideoSupport | None = at("devices/video", "Video cards", default=None)
    hostdev: HostdevSupport | None = at("devices/hostdev", "Devices of the host", default=None)
    rng: RngSupport | None = at("devices/rng", "Sources of random numbers", default=None)
    filesystem: FilesystemSupport | None = at("devices/filesystem", "Shared file systems", default=None)
    tpm: TpmSupport | None = at("devices/tpm", "Trusted platform modules", default=None)
    redirdev: RedirdevSupport | None = at("devices/redirdev", "Devices that a client lends", default=None)
    channel: ChannelSupport | None = at("devices/channel", "Channels", default=None)
    crypto: CryptoSupport | None = at("devices/crypto", "Devices that encrypt", default=None)
    interface: InterfaceSupport | None = at("devices/interface", "Network cards", default=None)
    panic: PanicSupport | None = at("devices/panic", "Devices that tell of a crash", default=None)
    console: ConsoleSupport | None = at("devices/console", "Consoles", default=None)
    gic: GicSupport | None = at("features/gic", "Interrupt controller of Arm", default=None)
    vmcoreinfo: YesNo | None = at("features/vmcoreinfo/@supported", "Notes for a core dump", default=None)
    genid: YesNo | None = at("features/genid/@supported", "A generation ID", default=None)
    backing_store_input: YesNo | None = at(
        "features/backingStoreInput/@supported", "Backing chains can be given", default=None
    )
    backup: YesNo | None = at("features/backup/@supported", "Incremental backups", default=None)
    async_teardown: YesNo | None = at(
        "features/async-teardown/@supported", "Memory is given back after the guest's end", default=None
    )
    s390_pv: YesNo | None = at("features/s390-pv/@supported", "IBM Secure Execution", default=None)
    ps2: YesNo | None = at("features/ps2/@supported", "A PS/2 controller", default=None)
    tdx: YesNo | None = at("features/tdx/@supported", "Intel's trust domains", default=None)
    sev: SevSupport | None = at("features/sev", "AMD's encrypted memory", default=None)
    sgx: SgxSupport | None = at("features/sgx", "Intel's enclaves", default=None)
    hyperv: HypervSupport | None = at("features/hyperv", "Enlightenments for Windows guests", default=None)
    launch_security: LaunchSecuritySupport | None = at(
        "features/launchSecurity", "Guests whose memory the host cannot read", default=None
    )
