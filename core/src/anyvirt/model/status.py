"""The status file of a running domain, as libvirt's QEMU driver writes it for itself: read, never written."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.backup import Backup
from anyvirt.model.cpu import CpuSpec
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import BackingStore, Protocol, Source, SourceHost, SourcePrivate, SourceType
from anyvirt.model.types import Bit, Count, CpuSet, Hex64, Integer, Present, Unsigned, Word, YesNo

JobType = Literal["none", "pull", "copy", "commit", "active-commit", "backup", "internal", "create", "broken"]


class Taint(Element, tag="taint"):
    """A reason to doubt reports about this guest."""

    flag: (
        Literal[
            "custom-argv", "custom-monitor", "high-privileges", "shell-scripts", "disk-probing", "external-launch",
            "host-cpu", "hook-script", "cdrom-passthrough", "custom-dtb", "custom-ga-command",
            "custom-hypervisor-feature", "deprecated-config", "custom-device",
        ]
        | None
    ) = at("@flag", "Which one", default=None, key=True)  # fmt: skip


class VcpuThread(Element, tag="vcpu"):
    """The thread that runs a virtual CPU."""

    id: Count | None = at("@id", "Number of the virtual CPU", default=None, key=True)
    pid: Count | None = at("@pid", "Number of the thread", default=None)


class EmulatorFlag(Element, tag="flag"):
    """Something that the emulator can do, in libvirt's word."""

    name: str | None = at("@name", "The word", default=None, key=True)


class NamedDevice(Element, tag="device"):
    """A device that the emulator has."""

    alias: str | None = at("@alias", "Its alias", default=None, key=True)


class JobImage(Element):
    """An image that a job works on."""

    type: SourceType | None = at("@type", "Kind of storage", default=None)
    format: str | None = at("@format", "Format", default=None)
    source: Source | None = at("source", "Where it is", default=None)
    backing_store: BackingStore | None = at("backingStore", "The image below", default=None)


class BlockJob(Element, tag="blockjob"):
    """A job on images."""

    name: str | None = at("@name", "QEMU's name of the job", default=None, key=True)
    type: JobType | None = at("@type", "What it does", default=None)
    state: (
        Literal[
            "completed", "failed", "cancelled", "ready", "new", "running", "concluded", "aborting", "pivoting",
            "pending",
        ]
        | None
    ) = at("@state", "How far it is", default=None)  # fmt: skip
    brokentype: JobType | None = at("@brokentype", "What a job did whose notes make no sense", default=None)
    jobflags: Hex64 | None = at("@jobflags", "Flags that it was started with", default=None)
    shallownew: YesNo | None = at("@shallownew", "A shallow copy to an image that was new", default=None)
    disk: str | None = at("disk/@dst", "Target of the disk", default=None)
    mirror: YesNo | None = at("disk/@mirror", "The disk has a mirror", default=None)
    chain: JobImage | None = at("chains/disk", "Images of a disk that is gone", default=None)
    mirror_chain: JobImage | None = at("chains/mirror", "Images of a mirror whose disk is gone", default=None)
    base: str | None = at("base/@node", "Node of the base image", default=None)
    top: str | None = at("top/@node", "Node of the top image", default=None)
    topparent: str | None = at("topparent/@node", "Node above the top image", default=None)
    delete_committed: Present = at("deleteCommittedImages", "Committed images are deleted", default=False)
    create_mode: Literal["storage", "format"] | None = at("create/@mode", "What is created", default=None)
    src: JobImage | None = at("src", "The image that is created", default=None)
    store: JobImage | None = at("store", "Where a backup keeps old content", default=None)
    bitmap: str | None = at("bitmap/@name", "Bitmap of a backup", default=None)


class MigrationSource(Element, tag="migrationSource"):
    """Where a disk is copied to; older files have the source's attributes in place."""

    type: SourceType | None = at("@type", "Kind of storage", default=None)
    format: str | None = at("@format", "Format", default=None)
    protocol: Protocol | None = at("@protocol", "Network protocol, old form", default=None)
    name: str | None = at("@name", "Export on the server, old form", default=None)
    tls_from_config: Bit | None = at("@tlsFromConfig", "The driver's settings chose TLS, old form", default=None)
    hosts: Many[SourceHost] = at("host", "Servers, old form", default=())
    private: SourcePrivate | None = at("privateData", "The driver's notes, old form", default=None)
    source: Source | None = at("source", "Where it is", default=None)


class MigratedDisk(Element, tag="disk"):
    """A disk in a migration."""

    dev: str | None = at("@dev", "Its target", default=None, key=True)
    migrating: YesNo | None = at("@migrating", "It is copied", default=None)
    migration_source: MigrationSource | None = at("migrationSource", "Where it is copied to", default=None)


class MigrationParameter(Element, tag="param"):
    """A parameter of QEMU's migration as it was before."""

    name: Word | None = at("@name", "QEMU's name of it", default=None, key=True)
    value: str | None = at("@value", "Value", default=None)


class DirtyBitmap(Element, tag="bitmap"):
    """A bitmap that a migration made for a while."""

    name: str | None = at("@name", "Its name", default=None, key=True)
    nodename: str | None = at("@nodename", "Node that it is on", default=None, key=True)


class DriverJob(Element, tag="job"):
    """What the driver was about when it wrote the file."""

    type: (
        Literal[
            "none", "query", "destroy", "suspend", "modify", "abort", "migration operation", "async", "async nested"
        ]
        | None
    ) = at("@type", "Kind of short job", default=None)
    async_: Literal["none", "migration out", "migration in", "save", "dump", "snapshot", "start", "backup"] | None = at(
        "@async", "Kind of long job", default=None
    )
    phase: Word | None = at("@phase", "How far the long job is", default=None)
    flags: Hex64 | None = at("@flags", "Flags that it was started with", default=None)
    async_started: Unsigned | None = at("@asyncStarted", "Milliseconds since 1970 when it began", default=None)
    disks: Many[MigratedDisk] = at("disk", "Disks of a migration", default=())
    parameters: Many[MigrationParameter] = at("migParams/param", "Parameters to put back", default=())
    bitmaps: Many[DirtyBitmap] = at("tempBlockDirtyBitmaps/bitmap", "Bitmaps to remove", default=())


class DomainStatus(Element, tag="domstatus"):
    """The status file of a running domain (libvirt's qemu_domain.c); it may change with every release."""

    state: (
        Literal["nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"] | None
    ) = at("@state", "State", default=None)
    reason: str | None = at("@reason", "Reason of the state", default=None)
    pid: Count | None = at("@pid", "Process", default=None)
    taints: Many[Taint] = at("taint", "Reasons to doubt reports", default=())
    monitor: str | None = at("monitor/@path", "Socket of the monitor", default=None)
    monitor_type: Literal["unix", "pty"] | None = at("monitor/@type", "Kind of that socket", default=None)
    mount_namespace: Present = at("namespaces/mount", "The emulator has mounts of its own", default=False)
    vcpus: Many[VcpuThread] = at("vcpus/vcpu", "Threads of virtual CPUs", default=())
    flags: Many[EmulatorFlag] = at("qemuCaps/flag", "What the emulator can do", default=())
    job: DriverJob | None = at("job", "What the driver was about", default=None)
    devices: Many[NamedDevice] = at("devices/device", "Devices that the emulator has", default=())
    numad_nodeset: CpuSet | None = at("numad/@nodeset", "Nodes that numad chose", default=None)
    numad_cpuset: CpuSet | None = at("numad/@cpuset", "Host CPUs that numad chose", default=None)
    lib_dir: str | None = at("libDir/@path", "Folder of the driver's sockets", default=None)
    channel_target_dir: str | None = at("channelTargetDir/@path", "Folder of channels' sockets", default=None)
    cpu: CpuSpec | None = at("cpu", "The CPU as it was asked for", default=None)
    chardev_logd: Present = at("chardevStdioLogd", "A log daemon writes what consoles say", default=False)
    remember_owner: Present = at("rememberOwner", "Owners of files are put back", default=False)
    allow_reboot: YesNo | None = at("allowReboot/@value", "The guest may reboot", default=None)
    nodename_index: Count | None = at("nodename/@index", "Last number of a block node", default=None)
    fdset_index: Count | None = at("fdset/@index", "Last number of a set of file descriptors", default=None)
    blockjobs_active: YesNo | None = at("blockjobs/@active", "There are jobs on images", default=None)
    blockjobs: Many[BlockJob] = at("blockjobs/blockjob", "Jobs on images", default=())
    agent_timeout: Annotated[int, Integer(-2, 2**31 - 1)] | None = at(
        "agentTimeout", "Seconds that the agent has; -2 waits for ever, -1 the default", default=None
    )
    backup: Backup | None = at("backups/domainbackup", "A backup that runs", default=None)
    domain: Domain | None = at("domain", "The domain", default=None)
