"""Which model stands for which root element."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from anyvirt.errors import Invalid, Problem

if TYPE_CHECKING:
    from anyvirt.model.element import Element

ROOTS: Final[dict[str, str]] = {
    "capabilities": "anyvirt.model.capabilities:Capabilities",
    "channel": "anyvirt.model.devices.char:Channel",
    "console": "anyvirt.model.devices.char:Console",
    "controller": "anyvirt.model.devices.controller:Controller",
    "device": "anyvirt.model.others:NodeDevice",
    "disk": "anyvirt.model.devices.disk:Disk",
    "domain": "anyvirt.model.domain:Domain",
    "domainCapabilities": "anyvirt.model.domaincaps:DomainCapabilities",
    "domainbackup": "anyvirt.model.others:Backup",
    "domstatus": "anyvirt.model.others:DomainStatus",
    "qemuCaps": "anyvirt.model.others:EmulatorProbe",
    "domaincheckpoint": "anyvirt.model.snapshot:Checkpoint",
    "domainsnapshot": "anyvirt.model.snapshot:Snapshot",
    "filesystem": "anyvirt.model.devices.filesystem:Filesystem",
    "filter": "anyvirt.model.others:NetworkFilter",
    "graphics": "anyvirt.model.devices.graphics:Graphics",
    "input": "anyvirt.model.devices.input:Input",
    "interface": "anyvirt.model.devices.interface:Interface",
    "memballoon": "anyvirt.model.devices.memballoon:Memballoon",
    "network": "anyvirt.model.others:Network",
    "panic": "anyvirt.model.devices.panic:Panic",
    "parallel": "anyvirt.model.devices.char:Parallel",
    "pool": "anyvirt.model.storage:Pool",
    "rng": "anyvirt.model.devices.rng:Rng",
    "shmem": "anyvirt.model.devices.shmem:Shmem",
    "secret": "anyvirt.model.others:Secret",
    "serial": "anyvirt.model.devices.char:Serial",
    "sound": "anyvirt.model.devices.sound:Sound",
    "tpm": "anyvirt.model.devices.tpm:Tpm",
    "video": "anyvirt.model.devices.video:Video",
    "volume": "anyvirt.model.storage:Volume",
    "vsock": "anyvirt.model.devices.vsock:Vsock",
    "watchdog": "anyvirt.model.devices.watchdog:Watchdog",
}


def class_of(tag: str) -> type[Element]:
    """The model whose documents have this root element.

    :raises Invalid: no model has it.
    """
    place = ROOTS.get(tag)
    if place is None:
        from difflib import get_close_matches

        near = get_close_matches(tag, ROOTS, n=1)
        hint = f"did you mean <{near[0]}>?" if near else f"known are {', '.join(sorted(ROOTS))}"
        raise Invalid([Problem("xml.unknown-element", f"/{tag}", 1, f"no document has the root element <{tag}>", hint)])
    module, _, name = place.partition(":")
    return cast("type[Element]", getattr(import_module(module), name))
