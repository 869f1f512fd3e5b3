"""A launch plan: everything that starting one guest takes, as values; nothing here touches the host."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from anyvirt_qemu.planning.cabling import MacvtapUse, TapUse
from anyvirt_qemu.planning.tuning import Tuning

if TYPE_CHECKING:
    from anyvirt.api import Domain

    from anyvirt_qemu.planning.beside import ProgramUse

Bus = Literal["pci", "pcie", ""]
FdKind = Literal["monitor", "socket", "listen", "tap", "open", "cancel", "passed", "secret", "pair"]
FIRST_FD = 10
JOURNAL = "ev"
BUS = "dbus.sock"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type of a QEMU binary.

    :param name: the versioned name, never an alias.
    :param bus: the bus at its root: ``pci`` (i440fx), ``pcie`` (q35, virt), ``""`` for neither.
    :param cpu: model of its CPU where nobody names one; None where QEMU does not tell.
    :param ram: id of its memory, where that may come from a back end; None where it may not.
    :param sizes: NUMA cells may be given by size alone.
    """

    name: str
    bus: Bus
    max_cpus: int = 255
    cpu: str | None = None
    ram: str | None = None
    sizes: bool = False


class Caps(Protocol):
    """What a plan needs to know of a QEMU binary."""

    @property
    def binary(self) -> str:
        """Absolute path."""
        ...

    @property
    def arch(self) -> str:
        """Architecture of its guests, such as ``x86_64``."""
        ...

    @property
    def json_device(self) -> bool:
        """``-device`` takes JSON."""
        ...

    @property
    def json_netdev(self) -> bool:
        """``-netdev`` takes JSON."""
        ...

    @property
    def sandbox(self) -> bool:
        """It was built with seccomp, and ``-sandbox`` works."""
        ...

    def machine(self, name: str) -> Machine | None:
        """The machine type that a name or alias stands for, ``""`` for the default one; None where there is none."""
        ...

    def has_device(self, name: str) -> bool:
        """Whether ``-device`` knows this driver."""
        ...

    def has_object(self, name: str) -> bool:
        """Whether ``-object`` knows this kind."""
        ...

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        """Whether the command line knows this option, or that parameter of it."""
        ...

    def has_feature(self, name: str) -> bool:
        """Whether QEMU's schema has this; names are those of ``capability.FEATURES``."""
        ...

    def has_cpu(self, model: str) -> bool:
        """Whether ``-cpu`` knows this model."""
        ...

    def near(self, kind: Literal["machine", "cpu"], name: str) -> str:
        """A way out for who asks for a machine type or CPU model that there is not: names like it."""
        ...


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a guest's files are.

    :param guest: the part of the run directory that QEMU's user writes (``q``), absolute.
    :param nvram: directory for variable stores that the definition does not place, absolute.
    :param memory: directory for memory that is to come from files, absolute; that of ``guest`` without it.
    :param hugepages: mounts of huge pages that QEMU's user may write to, by the size of a page in bytes.
    :param hugepage: size of a huge page where nobody names one.
    :param tpm: directory for the state of this guest's TPM, absolute; that of ``guest`` without it.
    :param vhost_net: device with which the kernel moves packets of virtio cards under KVM, where guests need not ask.
    """

    guest: str
    nvram: str
    memory: str = ""
    hugepages: Mapping[int, str] = field(default_factory=dict)
    hugepage: int = 2 << 20
    tpm: str = ""
    vhost_net: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """What is known of disks beside their definitions.

    :param secrets: values of secrets, by UUID or by usage.
    :param groups: how many descriptors of images somebody has handed over, by the name of the group.
    :param cdroms: paths of the host's CD-ROM drives; None where their names have to tell.
    :param generics: paths of the host's SCSI units, such as ``/dev/sg0``, by ``host:bus:target:unit``.
    :param overlays: folder for what guests write to transient disks, absolute; such disks are refused without it.
    """

    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    groups: Mapping[str, int] = field(default_factory=dict)
    cdroms: Collection[str] | None = None
    generics: Mapping[str, str] = field(default_factory=dict)
    overlays: str = ""


@dataclass(frozen=True, slots=True)
class FdUse:
    """A descriptor that QEMU inherits under ``number``.

    ``kind`` says what ``target`` is: ``monitor`` and ``socket``: listen at this name in the manager's part of the
    run directory; ``listen``: listen at this absolute path; ``tap``: the alias of an interface in ``Plan.taps`` or
    ``Plan.macvtaps``, once for each queue; ``open``: open this device for reading and writing; ``cancel``: for writing,
    what cancels a command of this TPM; ``secret``: what ``Plan.secrets`` has under this name; ``passed``: group and
    number of a descriptor of an image that somebody has handed over; ``pair``: a connection to the program in
    ``Plan.programs`` that has this title.
    """

    number: int
    kind: FdKind
    target: str


@dataclass(frozen=True, slots=True)
class AssignedUse:
    """A device of the host that the guest has to itself.

    :param kind: ``pci``, ``usb``, ``mdev`` or ``scsi``.
    :param address: ``0000:06:02.1``, ``003:007`` (bus and device), a UUID, ``host:bus:target:unit``.
    :param managed: it is taken from the host's driver at the start, and given back at the end.
    :param mac: address that a virtual function of a network card gets, with its VLAN; None where it is no such.
    :param place: the element that asks for it, as a path.
    """

    kind: str
    address: str
    managed: bool = False
    mac: str | None = None
    vlan: int | None = None
    place: str = "/devices/hostdev"


@dataclass(frozen=True, slots=True)
class Serving:
    """What the host's settings say of servers, connections and QEMU itself, where a definition has no words for it.

    :param certificates: folders with certificates and keys, by service: ``chardev``, ``spice``, ``vnc``.
    :param keys: what unlocks the keys among them, by service.
    :param locked: why nothing unlocks them, by service.
    :param chardev_tls: connections of character devices are encrypted, unless a definition says otherwise.
    :param vnc_tls: VNC servers encrypt.
    :param vnc_sasl: VNC servers ask SASL who a client is.
    :param spice_sasl: spice servers do.
    :param sockets: protocols whose servers are on a unix socket of the guest's own where no address is named.
    :param passwords: those of screens whose definition has none, by protocol.
    :param ports: TCP ports that are free, for servers that cannot look for one themselves.
    :param sandbox: QEMU gives up system calls that it does not need, where it can.
    :param apparmor: guests without a label are confined with AppArmor.
    """

    certificates: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    locked: Mapping[str, str] = field(default_factory=dict)
    chardev_tls: bool = False
    vnc_tls: bool = False
    vnc_sasl: bool = False
    spice_sasl: bool = False
    sockets: frozenset[str] = frozenset()
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[int, ...] = ()
    sandbox: bool = True
    apparmor: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this host whom QEMU becomes before it runs, without any of the rights of whoever starts it.

    :param groups: further groups that it is in.
    :param name: its name, or its number where it has none.
    :param labels: user and group that labels of devices mean, by their text; None for those that mean nobody.
    :param gives: files that it could not open are given to it while the guest runs.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    labels: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    gives: bool = True


@dataclass(frozen=True, slots=True)
class ProfileUse:
    """The AppArmor profile that QEMU runs in.

    :param made: it is made for this guest; one that is not has to be loaded.
    """

    name: str
    made: bool = True


@dataclass(frozen=True, slots=True)
class FileUse:
    """A file, device or socket of this host that QEMU opens by its path, as another user than whoever starts it.

    :param path: absolute; a link ``iommu_group`` in sysfs stands for the node of that group.
    :param place: the element that names it, as a path.
    :param write: it is opened for writing, too; one that is only read stays its owner's, and its group may read it.
    :param owner: user and group that it is given to where QEMU could not open it else; None: it stays as it is.
    :param make: it is made, empty, where it is not there.
    :param optional: it may be missing when the guest starts.
    """

    path: str
    place: str
    write: bool = False
    owner: tuple[int, int] | None = None
    make: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CopyUse:
    """A file to be copied, mode 0600, where the target is not there yet."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class OverlayUse:
    """An empty qcow2 image to be made, mode 0600, as large as the image ``below``, which has this format."""

    path: str
    below: str
    format: str


@dataclass(frozen=True, slots=True)
class Step:
    """A QMP command to run while the guest is still paused; what may be secret is not shown."""

    command: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsoleUse:
    """A character device that a user can attach to.

    :param kind: ``serial``, ``console`` or ``channel``.
    :param type: ``pty``, ``unix``, ``file`` or ``null``.
    :param log: file that gets every byte that the guest writes, absolute; ``""`` where there is none.
    :param socket: for unix: name in the manager's part of the run directory, or absolute path.
    """

    alias: str
    kind: str
    type: str
    log: str = ""
    socket: str = ""

    @property
    def chardev(self) -> str:
        """Id of the back end, as ``query-chardev`` shows it."""
        return f"char{self.alias}"


@dataclass(frozen=True, slots=True)
class NodeUse:
    """One image of a disk: its node in QEMU's block graph, its path and format."""

    node: str
    protocol: str
    path: str
    format: str


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A disk: its target name, the id of its device, its images from the top of the chain down."""

    target: str
    alias: str
    nodes: tuple[NodeUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that starting a guest takes; the same definition gives the same plan.

    :param domain: the live definition: as defined, with all aliases.
    :param argv: absolute path of QEMU and its arguments; no secret is among them.
    :param env: environment beside the usual one.
    :param cwd: directory to start in; the names of sockets that QEMU binds itself are relative to it.
    :param copies: files to be copied before the start.
    :param overlays: images to be made before the start; like ``sockets`` they are removed when the guest has ended.
    :param programs: what has to run beside QEMU.
    :param assigned: devices of the host that no other guest may have meanwhile.
    :param sockets: paths that QEMU binds itself; stale ones are removed before, and those left behind afterwards.
    :param steps: QMP commands to run before ``cont``.
    :param secrets: what descriptors of kind ``secret`` hold, by their target.
    :param account: the user that QEMU becomes; None where it stays whoever starts it.
    :param profile: the AppArmor profile that it runs in; None for none.
    :param files: what it opens by its path, as another user or in a profile.
    :param tuning: where QEMU's threads run, and what they take at most.
    :param warnings: what the user is told: choices that the definition did not make.
    """

    domain: Domain
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    fds: tuple[FdUse, ...] = ()
    taps: tuple[TapUse, ...] = ()
    macvtaps: tuple[MacvtapUse, ...] = ()
    assigned: tuple[AssignedUse, ...] = ()
    copies: tuple[CopyUse, ...] = ()
    overlays: tuple[OverlayUse, ...] = ()
    programs: tuple[ProgramUse, ...] = ()
    sockets: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    consoles: tuple[ConsoleUse, ...] = ()
    disks: tuple[DiskUse, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    account: Account | None = None
    profile: ProfileUse | None = None
    files: tuple[FileUse, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    warnings: tuple[str, ...] = ()
