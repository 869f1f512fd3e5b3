"""Which model stands for which root element."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from anyvirt.errors import Invalid, Problem

if TYPE_CHECKING:
    from anyvirt.model.element import Element

ROOTS: Final[dict[str, str]] = {
    "audio": "anyvirt.model.devices.sound:Audio",
    "capabilities": "anyvirt.model.capabilities:Capabilities",
    "channel": "anyvirt.model.devices.char:Channel",
    "console": "anyvirt.model.devices.char:Console",
    "controller": "anyvirt.model.devices.controller:Controller",
    "cpu": "anyvirt.model.capabilities:HostCpu",
    "device": "anyvirt.model.node_device:NodeDevice",
    "crypto": "anyvirt.model.devices.crypto:Crypto",
    "disk": "anyvirt.model.devices.disk:Disk",
    "domain": "anyvirt.model.domain:Domain",
    "domainCapabilities": "anyvirt.model.domaincaps:DomainCapabilities",
    "domainbackup": "anyvirt.model.backup:Backup",
    "domstatus": "anyvirt.model.status:DomainStatus",
    "qemuCaps": "anyvirt.model.probe:EmulatorProbe",
    "domaincheckpoint": "anyvirt.model.snapshot:Checkpoint",
    "domainsnapshot": "anyvirt.model.snapshot:Snapshot",
    "filesystem": "anyvirt.model.devices.filesystem:Filesystem",
    "filter": "anyvirt.model.nwfilter:NetworkFilter",
    "filterbinding": "anyvirt.model.nwfilter:FilterBinding",
    "graphics": "anyvirt.model.devices.graphics:Graphics",
    "hostdev": "anyvirt.model.devices.hostdev:Hostdev",
    "hub": "anyvirt.model.devices.hub:Hub",
    "input": "anyvirt.model.devices.input:Input",
    "interface": "anyvirt.model.devices.interface:Interface",
    "iommu": "anyvirt.model.devices.iommu:Iommu",
    "lease": "anyvirt.model.devices.lease:Lease",
    "memballoon": "anyvirt.model.devices.memballoon:Memballoon",
    "memory": "anyvirt.model.devices.memory:MemoryDevice",
    "network": "anyvirt.model.network:Network",
    "networkport": "anyvirt.model.network:NetworkPort",
    "nvram": "anyvirt.model.devices.nvram:Nvram",
    "panic": "anyvirt.model.devices.panic:Panic",
    "parallel": "anyvirt.model.devices.char:Parallel",
    "pool": "anyvirt.model.storage:Pool",
    "pstore": "anyvirt.model.devices.pstore:Pstore",
    "redirdev": "anyvirt.model.devices.redirdev:Redirdev",
    "redirfilter": "anyvirt.model.devices.redirdev:Redirfilter",
    "rng": "anyvirt.model.devices.rng:Rng",
    "shmem": "anyvirt.model.devices.shmem:Shmem",
    "secret": "anyvirt.model.secret:KeptSecret",
    "serial": "anyvirt.model.devices.char:Serial",
    "smartcard": "anyvirt.model.devices.smartcard:Smartcard",
    "source": "anyvirt.model.storage:PoolSource",
    "sources": "anyvirt.model.storage:PoolSources",
    "storagepoolCapabilities": "anyvirt.model.pool_capabilities:StoragePoolCapabilities",
    "sound": "anyvirt.model.devices.sound:Sound",
    "tpm": "anyvirt.model.devices.tpm:Tpm",
    "video": "anyvirt.model.devices.video:Video",
    "volume": "anyvirt.model.storage:Volume",
    "vsock": "anyvirt.model.devices.vsock:Vsock",
    "watchdog": "anyvirt.model.devices.watchdog:Watchdog",
}


# A root element of two kinds of documents: the second kind, and the marks of which its documents have at least one.
ALIKE: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "interface": (
        "anyvirt.model.host_interface:HostInterface",
        frozenset({"@name", "@type=bond", "@type=vlan", "start", "protocol", "bridge", "bond"}),
    ),
}


def class_of(tag: str, marks: Collection[str] = ()) -> type[Element]:
    """The model whose documents have this root element.

    :param marks: what a document has that tells it from another kind with the same root; see ``marks_of``.
    :raises Invalid: no model has it.
    """
    place = ROOTS.get(tag)
    if place is None:
        from difflib import get_close_matches

        near = get_close_matches(tag, ROOTS, n=1)
        hint = f"did you mean <{near[0]}>?" if near else f"known are {', '.join(sorted(ROOTS))}"
        raise Invalid([Problem("xml.unknown-element", f"/{tag}", 1, f"no document has the root element <{tag}>", hint)])
    if tag in ALIKE and not ALIKE[tag][1].isdisjoint(marks):
        place = ALIKE[tag][0]
    return _class(place)


def classes_of(tag: str) -> tuple[type[Element], ...]:
    """Every model whose documents have this root element; the first is the one without marks.

    :raises Invalid: no model has it.
    """
    first = class_of(tag)
    return (first, _class(ALIKE[tag][0])) if tag in ALIKE else (first,)


def marks_of(root: Any) -> tuple[str, ...]:
    """Attributes and children of the root of a document, where more than one kind of document has it."""
    if root.tag not in ALIKE:
        return ()
    attributes = [mark for name, value in root.items() for mark in (f"@{name}", f"@{name}={value}")]
    return (*attributes, *(child.tag for child in root if isinstance(child.tag, str)))


def _class(place: str) -> type[Element]:
    module, _, name = place.partition(":")
    return cast("type[Element]", getattr(import_module(module), name))
