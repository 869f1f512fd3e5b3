"""The domain: a guest's whole definition."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.clock import Clock
from anyvirt.model.cpu import CpuSpec
from anyvirt.model.devices.char import Channel, Console, Parallel, Serial
from anyvirt.model.devices.controller import Controller
from anyvirt.model.devices.crypto import Crypto
from anyvirt.model.devices.disk import Disk
from anyvirt.model.devices.filesystem import Filesystem
from anyvirt.model.devices.graphics import Graphics
from anyvirt.model.devices.hostdev import Hostdev
from anyvirt.model.devices.hub import Hub
from anyvirt.model.devices.input import Input
from anyvirt.model.devices.interface import Interface
from anyvirt.model.devices.iommu import Iommu
from anyvirt.model.devices.lease import Lease
from anyvirt.model.devices.memballoon import Memballoon
from anyvirt.model.devices.memory import MemoryDevice
from anyvirt.model.devices.nvram import Nvram
from anyvirt.model.devices.panic import Panic
from anyvirt.model.devices.pstore import Pstore
from anyvirt.model.devices.redirdev import Redirdev, Redirfilter
from anyvirt.model.devices.rng import Rng
from anyvirt.model.devices.shmem import Shmem
from anyvirt.model.devices.smartcard import Smartcard
from anyvirt.model.devices.sound import Audio, Sound
from anyvirt.model.devices.tpm import Tpm
from anyvirt.model.devices.video import Video
from anyvirt.model.devices.vsock import Vsock
from anyvirt.model.devices.watchdog import Watchdog
from anyvirt.model.element import Element, Many, at
from anyvirt.model.features import Features
from anyvirt.model.label import DomainLabel
from anyvirt.model.memory import IoThread, MemoryBacking, VcpuState
from anyvirt.model.numa import NumaTune
from anyvirt.model.os import Os
from anyvirt.model.rest import Xml
from anyvirt.model.security import IdMap, KeyCipher, PerfEvent, S390Launch, SevLaunch
from anyvirt.model.sysinfo import FwCfg, Smbios
from anyvirt.model.tune import BlkioTune, CpuTune, MemTune, Resource
from anyvirt.model.types import UUID, Count, CpuSet, Genid, OnOff, Size, YesNo
from anyvirt.model.words import DomainType


class LifecycleAction(StrEnum):
    """What happens when the guest ends in some way."""

    DESTROY = "destroy"
    RESTART = "restart"
    PRESERVE = "preserve"
    RENAME_RESTART = "rename-restart"
    COREDUMP_DESTROY = "coredump-destroy"
    COREDUMP_RESTART = "coredump-restart"


class Domain(Element, tag="domain"):
    """A guest."""

    type: DomainType | None = at("@type", "What runs the domain", default=None)
    id: Count | None = at("@id", "Number of the running domain, live only", default=None)
    name: str = at("name", "Name, unique on the host", key=True)
    uuid: UUID | None = at("uuid", "UUID, unique on the host", default=None)
    genid: Genid | None = at("genid", "Generation ID; empty asks for a new one", default=None)
    title: str | None = at("title", "Short description in one line", default=None)
    description: str | None = at("description", "Description", default=None)
    metadata: Xml | None = at("metadata", "Elements of others, one for each namespace", default=None)
    max_memory: Size | None = at("maxMemory", "Memory that hot-plug can reach", default=None)
    max_memory_slots: Count | None = at("maxMemory/@slots", "Slots for memory modules", default=None)
    memory: Size | None = at("memory", "Memory at boot", default=None)
    memory_dump_core: OnOff | None = at("memory/@dumpCore", "The guest's memory is in core dumps", default=None)
    current_memory: Size | None = at("currentMemory", "Memory that the balloon leaves", default=None)
    blkiotune: BlkioTune | None = at("blkiotune", "Block I/O of the whole guest", default=None)
    memtune: MemTune | None = at("memtune", "Limits on the host's memory", default=None)
    memory_backing: MemoryBacking | None = at("memoryBacking", "What memory is made of", default=None)
    vcpu: Count | None = at("vcpu", "Virtual CPUs at most", default=None)
    vcpu_placement: Literal["static", "auto"] | None = at("vcpu/@placement", "Who chooses the host CPUs", default=None)
    vcpu_cpuset: CpuSet | None = at("vcpu/@cpuset", "Host CPUs that may run the guest", default=None)
    vcpu_current: Count | None = at("vcpu/@current", "Virtual CPUs at boot", default=None)
    vcpus: Many[VcpuState] = at("vcpus/vcpu", "Virtual CPUs one by one", default=())
    iothreads: Count | None = at("iothreads", "Threads for I/O", default=None)
    iothread_ids: Many[IoThread] = at("iothreadids/iothread", "Threads for I/O by number", default=())
    default_iothread_pool_min: Count | None = at(
        "defaultiothread/@thread_pool_min", "Workers of the main loop that are always there", default=None
    )
    default_iothread_pool_max: Count | None = at(
        "defaultiothread/@thread_pool_max", "Workers of the main loop at most", default=None
    )
    cputune: CpuTune | None = at("cputune", "CPU time and where it is spent", default=None)
    numatune: NumaTune | None = at("numatune", "Where memory comes from on the host", default=None)
    resource: Resource | None = at("resource", "Place among the host's resource groups", default=None)
    sysinfos: Many[Smbios | FwCfg] = at("sysinfo", "What firmware tables say", default=())
    bootloader: str | None = at("bootloader", "Program on the host that finds the kernel", default=None)
    bootloader_args: str | None = at("bootloader_args", "Its arguments", default=None)
    os: Os | None = at("os", "What is booted", default=None)
    idmap: IdMap | None = at("idmap", "User namespace of a container", default=None)
    features: Features | None = at("features", "Features of the hardware", default=None)
    cpu: CpuSpec | None = at("cpu", "The CPU that the guest sees", default=None)
    clock: Clock | None = at("clock", "The guest's clock", default=None)
    on_poweroff: LifecycleAction | None = at("on_poweroff", "When the guest powers off", default=None)
    on_reboot: LifecycleAction | None = at("on_reboot", "When the guest reboots", default=None)
    on_crash: LifecycleAction | None = at("on_crash", "When the guest crashes", default=None)
    on_lockfailure: Literal["poweroff", "restart", "pause", "ignore"] | None = at(
        "on_lockfailure", "When a lock on a disk is lost", default=None
    )
    suspend_to_mem: YesNo | None = at(
        "pm/suspend-to-mem/@enabled", "The guest is offered suspend to memory", default=None
    )
    suspend_to_disk: YesNo | None = at(
        "pm/suspend-to-disk/@enabled", "The guest is offered suspend to disk", default=None
    )
    perf_events: Many[PerfEvent] = at("perf/event", "Performance events that are counted", default=())
    emulator: str | None = at("devices/emulator", "Program that runs the guest", default=None)
    disks: Many[Disk] = at("devices/disk", "Disks", default=())
    controllers: Many[Controller] = at("devices/controller", "Controllers", default=())
    filesystems: Many[Filesystem] = at("devices/filesystem", "Shared file systems", default=())
    leases: Many[Lease] = at("devices/lease", "Leases of a lock manager", default=())
    interfaces: Many[Interface] = at("devices/interface", "Network interfaces", default=())
    smartcards: Many[Smartcard] = at("devices/smartcard", "Smart cards", default=())
    serials: Many[Serial] = at("devices/serial", "Serial ports", default=())
    parallels: Many[Parallel] = at("devices/parallel", "Parallel ports", default=())
    consoles: Many[Console] = at("devices/console", "Consoles", default=())
    channels: Many[Channel] = at("devices/channel", "Channels", default=())
    inputs: Many[Input] = at("devices/input", "Keyboards, mice, tablets", default=())
    tpms: Many[Tpm] = at("devices/tpm", "Trusted platform modules", default=())
    graphics: Many[Graphics] = at("devices/graphics", "Ways to see the screen", default=())
    sounds: Many[Sound] = at("devices/sound", "Sound cards", default=())
    audios: Many[Audio] = at("devices/audio", "Audio back ends", default=())
    videos: Many[Video] = at("devices/video", "Video cards", default=())
    hubs: Many[Hub] = at("devices/hub", "USB hubs", default=())
    hostdevs: Many[Hostdev] = at("devices/hostdev", "Devices of the host", default=())
    redirdevs: Many[Redirdev] = at("devices/redirdev", "USB devices of whoever watches", default=())
    redirfilter: Redirfilter | None = at("devices/redirfilter", "Which USB devices may be redirected", default=None)
    watchdogs: Many[Watchdog] = at("devices/watchdog", "Watchdogs", default=())
    memballoon: Memballoon | None = at("devices/memballoon", "Memory balloon", default=None)
    rngs: Many[Rng] = at("devices/rng", "Sources of random numbers", default=())
    nvram: Nvram | None = at("devices/nvram", "Non-volatile memory of pseries", default=None)
    panics: Many[Panic] = at("devices/panic", "Panic notifiers", default=())
    shmems: Many[Shmem] = at("devices/shmem", "Memory shared with other guests", default=())
    memory_devices: Many[MemoryDevice] = at("devices/memory", "Memory modules", default=())
    iommu: Iommu | None = at("devices/iommu", "IOMMU of the guest", default=None)
    vsock: Vsock | None = at("devices/vsock", "Sockets between host and guest", default=None)
    pstore: Pstore | None = at("devices/pstore", "Memory for what a crashed kernel wrote", default=None)
    cryptos: Many[Crypto] = at("devices/crypto", "Cryptographic accelerators", default=())
    seclabels: Many[DomainLabel] = at("seclabel", "Security labels", default=())
    keywrap: Many[KeyCipher] = at("keywrap/cipher", "Kinds of keys that can be wrapped (s390)", default=())
    launch_security: SevLaunch | S390Launch | None = at(
        "launchSecurity", "What protects the guest from its host", default=None
    )
    extensions: Many[Element] = at(".", "Elements of namespaces that plug-ins registered", default=())
