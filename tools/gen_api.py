"""Write ``anyvirt/api.py``, the one module that users and driver authors import from.

``python tools/gen_api.py`` writes it; ``--check`` fails where it is stale. Every name is
imported when it is first asked for, so that importing one costs no more than it needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

TARGET: Final = Path(__file__).parents[1] / "core/src/anyvirt/api.py"

# module -> names that it gives to the world
NAMES: Final[dict[str, str]] = {
    "anyvirt": "deadline sparse",
    "anyvirt.auth": "Auth Question Secret",
    "anyvirt.client._generated_async": (
        "AsyncConnection AsyncDomain AsyncInterface AsyncKeptSecret AsyncNetwork AsyncPool AsyncVolume"
    ),
    "anyvirt.client._generated_sync": "Connection",
    "anyvirt.client.awaiting": "AsyncJob AsyncStream",
    "anyvirt.client.derived": "Overview",
    "anyvirt.deadline": "breaks current Deadline left within",
    "anyvirt.discovery": "plugins",
    "anyvirt.document": "Document",
    "anyvirt.errors": (
        "Ambiguous AuthNeeded BadDriver Busy Cancelled CODES Denied Exists Failed Interrupted Invalid "
        "NotFound Problem StoreNewer Unreachable Unsupported VirtError WrongState"
    ),
    "anyvirt.events": (
        "AgentLifecycle Autostart BalloonChange Begun Change DeviceRemoved Event Gap IoError "
        "JobChange Lifecycle PoolChange PoolLifecycle PoolRefresh Reboot RtcChange SecretChange SecretLifecycle "
        "SecretValueChange so_now stamped STOPPED_BY SUSPENDED_BY TrayChange VolumeChange VolumeLifecycle WatchdogFired"
    ),
    "anyvirt.far": "FarBook FarLocks FarScope",
    "anyvirt.feed": "Feed",
    "anyvirt.formats": "convert converted Converted Format formats",
    "anyvirt.hooks.spec": "impl",
    "anyvirt.host": "Host Secrets",
    "anyvirt.identity": "ProcessId",
    "anyvirt.jobs": "Job JobState MemoryBook phase Undo",
    "anyvirt.lanes": "fan_out lanes",
    "anyvirt.model": "assign",
    "anyvirt.model.address": (
        "CcidAddress CcwAddress DimmAddress DriveAddress HostAddress HostPci IsaAddress MmioAddress PciAddress "
        "SpaprAddress UnassignedAddress UsbAddress VirtioS390Address VirtioSerialAddress"
    ),
    "anyvirt.model.backup": "Backup BackupDisk",
    "anyvirt.model.canonical": "fingerprint",
    "anyvirt.model.capabilities": (
        "BandwidthControl BandwidthMonitoring BandwidthNode StartLabel CacheBank CacheControl CacheMonitoring "
        "Capabilities CapabilitiesGuest CapabilitiesHost GuestDomain GuestFeature GuestMachine HostCell HostCellCpu "
        "HostCpu HostDistance HostPages MonitorFeature PageSize SecurityModel"
    ),
    "anyvirt.model.change": "add change get patch remove",
    "anyvirt.model.check": "check check_name",
    "anyvirt.model.check_documents": "check_document",
    "anyvirt.model.clock": "Clock ClockOffset Timer TimerName",
    "anyvirt.model.choices": "GROUPS ShutdownMode Which",
    "anyvirt.model.container": "ContainerCapabilities",
    "anyvirt.model.cpu": ("Cell CellCache CpuFeature CpuMode CpuPolicy CpuSpec Latency NumaBandwidth Sibling Topology"),
    "anyvirt.model.cpu_sets": "cpu_baseline cpu_comparison CpuModels cpus_of FeatureSet",
    "anyvirt.model.devices.char": (
        "Channel ChannelTarget CharDevice CharSource CharType Console ConsoleTarget Parallel Serial SerialTarget"
    ),
    "anyvirt.model.devices.controller": "Controller ControllerDriver ControllerTarget ControllerType",
    "anyvirt.model.devices.crypto": "Crypto",
    "anyvirt.model.devices.device": "Boot Device Rom Teaming VirtioOptions",
    "anyvirt.model.devices.disk": (
        "Disk DiskBus DiskCache DiskDevice DiskDriver DiskQueue DiskThread Geometry IoTune Mirror"
    ),
    "anyvirt.model.devices.filesystem": "Filesystem FilesystemBinary FilesystemDriver FilesystemType",
    "anyvirt.model.devices.graphics": "Graphics GraphicsType Listen SpiceChannel",
    "anyvirt.model.devices.hostdev": "Hostdev HostdevSource HostdevType",
    "anyvirt.model.devices.hub": "Hub",
    "anyvirt.model.devices.input": "Input InputType",
    "anyvirt.model.devices.interface": (
        "ActualInterface Bandwidth FilterParameter Interface InterfaceDriver InterfaceSource InterfaceType Ip "
        "Offloads PortForward PortRange Rate Route VirtualPort Vlan VlanTag"
    ),
    "anyvirt.model.devices.iommu": "Iommu",
    "anyvirt.model.devices.lease": "Lease",
    "anyvirt.model.devices.memballoon": "Memballoon",
    "anyvirt.model.devices.memory": "MemoryDevice",
    "anyvirt.model.devices.nvram": "Nvram",
    "anyvirt.model.devices.panic": "Panic",
    "anyvirt.model.devices.pstore": "Pstore",
    "anyvirt.model.devices.redirdev": "Redirdev Redirfilter RedirRule",
    "anyvirt.model.devices.rng": "Rng",
    "anyvirt.model.devices.shmem": "Shmem",
    "anyvirt.model.devices.smartcard": "Smartcard",
    "anyvirt.model.devices.sound": "Audio AudioSettings AudioStream Sound SoundCodec",
    "anyvirt.model.devices.tpm": "Tpm TpmType",
    "anyvirt.model.devices.video": "Video VideoDriver VideoType",
    "anyvirt.model.devices.vsock": "Vsock",
    "anyvirt.model.devices.watchdog": "Watchdog WatchdogAction",
    "anyvirt.model.diff": "diff Difference",
    "anyvirt.model.domain": "Domain LifecycleAction",
    "anyvirt.model.domaincaps": (
        "ChannelSupport ChannelTypes ConsoleSupport ConsoleTypes CryptoBackends CryptoModels CryptoSupport "
        "CryptoTypes CustomMode DiskBuses DiskDevices DiskModels DiskSupport DomainCapabilities FilesystemDrivers "
        "FilesystemSupport Firmwares GicSupport GicVersions GraphicsSupport GraphicsTypes HostdevBackends "
        "HostdevCapabilities HostdevModes HostdevPolicies HostdevSubsystems HostdevSupport HostModelMode "
        "HypervFeatures HypervSupport InterfaceBackends InterfaceSupport LaunchSecuritySupport LoaderReadonly "
        "LoaderSecure LoaderSupport LoaderTypes MaximumMigratable MaximumMode MemoryBackingSupport MemorySources "
        "ModelBlockers OsSupport PanicModels PanicSupport PassthroughMigratable PassthroughMode RedirdevBuses "
        "RedirdevSupport RngBackends RngModels RngSupport SecurityTypes SevSupport SgxSection SgxSupport "
        "TpmBackends TpmModels TpmSupport TpmVersions UsableModel VideoModels VideoSupport"
    ),
    "anyvirt.model.element": "at Element Many",
    "anyvirt.model.features": "Features HyperV KvmFeatures",
    "anyvirt.model.form": "from_json to_json",
    "anyvirt.model.heed": "heeded line meaningless path_of plain unheeded",
    "anyvirt.model.grammar": "relax_ng",
    "anyvirt.model.host_interface": (
        "BondMode HostBond HostBridge HostDhcp HostInterface HostInterfaceType HostIp HostLink HostPort HostProtocol "
        "LinkState"
    ),
    "anyvirt.model.label": "DomainLabel",
    "anyvirt.model.launch": ("LaunchCommand LaunchDescriptor LaunchFile LaunchLink LaunchPlan LaunchProgram MASKED"),
    "anyvirt.model.limits": "Limits",
    "anyvirt.model.memory": "HugePage IoThread MemoryBacking VcpuState",
    "anyvirt.model.network": (
        "BridgePlug Dhcp DhcpHost DhcpLease DhcpRange DirectPlug Dns DnsForwarder DnsHost DnsSrv DnsTxt Forward "
        "ForwardAddress ForwardInterface ForwardMode HostdevPlug Nat Network NetworkBridge NetworkIp NetworkPlug "
        "NetworkPort PortBandwidth PortGroup"
    ),
    "anyvirt.model.node_device": (
        "ApCardCapability ApMatrixCapability ApQueueCapability CardbusBridge CcwCapability ChannelAddress "
        "CssCapability DeviceId DevNode DrmCapability FcHost FcRemotePort Hotpluggable Ieee80203 Ieee80211 IommuGroup "
        "MdevAttribute MdevCapability MdevType MdevTypes NetCapability NetFeature NodeDevice PciBridge PciCapability "
        "PciLink PhysFunction Removable ScsiCapability ScsiGenericCapability ScsiHostCapability ScsiTargetCapability "
        "StorageCapability SystemCapability SystemField UsbCapability UsbDeviceCapability VdpaCapability VendorField "
        "VirtFunctions Vpd VpdReadonly VpdReadwrite VportOps"
    ),
    "anyvirt.model.numa": "MemNode NumaTune",
    "anyvirt.model.nwfilter": (
        "AhIpv6Match AhMatch AllIpv6Match AllMatch ArpMatch EspIpv6Match EspMatch FilterBinding FilterRef FilterRule "
        "Icmpv6Match IcmpMatch IgmpMatch IpMatch Ipv6Match MacMatch NetworkFilter RarpMatch RuleAction SctpIpv6Match "
        "SctpMatch StpMatch TcpIpv6Match TcpMatch UdpIpv6Match UdpliteIpv6Match UdpliteMatch UdpMatch VlanMatch"
    ),
    "anyvirt.model.os": "AcpiTable BootDevice FirmwareFeature InitVariable Os OsBoot OsType",
    "anyvirt.model.pool_capabilities": "PoolCapability SourceFormats StoragePoolCapabilities TargetFormats",
    "anyvirt.model.probe": ("Blocker CpuProperty EmulatorProbe HypervCapability ProbedCpu ProbedHostCpu ProbedMachine"),
    "anyvirt.model.reference": "reference",
    "anyvirt.model.rest": "Xml",
    "anyvirt.model.schema": "json_schema",
    "anyvirt.model.secret": "KeptSecret",
    "anyvirt.model.security": "IdMap IdRange KeyCipher PerfEvent S390Launch SevLaunch",
    "anyvirt.model.snapshot": "Checkpoint CheckpointDisk Snapshot SnapshotDisk SnapshotKind",
    "anyvirt.model.source": (
        "BackingStore Cookie Encryption EncryptionCipher NodeName PassedFiles Protocol Reservations "
        "SecretObject SecretRef SecurityLabel Slice Source SourceHost SourcePrivate SourceType"
    ),
    "anyvirt.model.state": "DomainFacts Op Reason require State Status",
    "anyvirt.model.status": (
        "BlockJob DirtyBitmap DomainStatus DriverJob EmulatorFlag JobImage MigratedDisk MigrationParameter "
        "MigrationSource NamedDevice Taint VcpuThread"
    ),
    "anyvirt.model.stats": "Balloon Block BlockInfo Cpu DomainStats Net Vcpu",
    "anyvirt.model.storage": (
        "Adapter Extent FreeExtent Permissions Pool PoolDevice PoolFormat PoolHost PoolSource PoolSources PoolType "
        "Timestamps Volume VolumeBackingStore VolumeFormat VolumeSourceDevice VolumeTarget VolumeType"
    ),
    "anyvirt.model.strict": "unknown",
    "anyvirt.model.sysinfo": ("Mainboard BiosEntry BoardEntry ChassisEntry FwCfg FwCfgEntry Smbios SystemEntry"),
    "anyvirt.model.tune": (
        "BandwidthMonitor BlkioDevice BlkioTune CacheAllocation CacheMonitor CacheTune CpuTune IoThreadPin "
        "IoThreadSchedule MemoryTune MemTune NodeBandwidth Resource VcpuPin VcpuSchedule"
    ),
    "anyvirt.model.values": (
        "ChainLink CpuComparison CpuMatch Fact HostInfo Imported JobRecord Loss NetworkInfo PoolInfo SecretInfo "
        "Trashed Unfinished VolumeInfo"
    ),
    "anyvirt.model.words": "Arch DomainType",
    "anyvirt.model.write": "dump",
    "anyvirt.model.walk": "walk",
    "anyvirt.model.written": "model_of text_of",
    "anyvirt.model.xml": "parse",
    "anyvirt.opening": "default_uri open open_async",
    "anyvirt.passwords": "with_passwords without_passwords",
    "anyvirt.progress": "Progress",
    "anyvirt.ref": "Answer Ref",
    "anyvirt.scope": "Scope",
    "anyvirt.settings": "Settings",
    "anyvirt.sparse": "Hole SparseDecoder",
    "anyvirt.store": "Store StoreBook",
    "anyvirt.store.memory": "MemoryLocks MemoryStore",
    "anyvirt.store.rows": "Entry LogGap Row Told",
    "anyvirt.transport": "unix",
    "anyvirt.transport.far": "FarRun",
    "anyvirt.transport.files": "Files",
    "anyvirt.transport.pipe": "Pipe",
    "anyvirt.transport.run": "Output Run",
    "anyvirt.transport.shell": "Shell",
    "anyvirt.transport.stream": "Stream",
    "anyvirt.transport.unix": "LineSocket",
    "anyvirt.uri": "Uri",
}

TEMPLATE: Final = '''"""All that a user or the author of a driver imports; written by tools/gen_api.py: do not edit.

A name is imported from its own module when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
{imports}

_HOMES: Final = {{
{homes}
}}

__all__ = [
{names}
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'anyvirt.api' has no attribute {{name!r}}"
        raise AttributeError(msg)
    module = import_module(home)
    found = globals()[name] = getattr(module, name, None) or import_module(f"{{home}}.{{name}}")
    return found


def __dir__() -> list[str]:
    return list(__all__)
'''


def main() -> int:
    """Write or check the module."""
    homes = {name: module for module, names in NAMES.items() for name in names.split()}
    imports = "\n".join(
        f"    from {module} import {', '.join(sorted(names.split()))}" for module, names in NAMES.items()
    )
    text = TEMPLATE.format(
        imports=imports,
        homes="\n".join(f'    "{name}": "{homes[name]}",' for name in sorted(homes)),
        names="\n".join(f'    "{name}",' for name in sorted(homes)),
    )
    for step in (
        ["check", "--fix", "--select", "I,RUF022", "--stdin-filename", str(TARGET), "-"],
        ["format", "--line-length", "120", "-"],
    ):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *step], input=text, capture_output=True, text=True, check=True
        ).stdout
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            print(f"{TARGET} is stale: run python tools/gen_api.py")
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
