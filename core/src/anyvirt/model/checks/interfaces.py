"""Network interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, each, missing, wrong
from anyvirt.model.devices.interface import Interface, InterfaceType
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of

# The attribute of the source that a type of interface needs.
NEEDS: Final = {
    InterfaceType.NETWORK: "network", InterfaceType.BRIDGE: "bridge", InterfaceType.DIRECT: "dev",
    InterfaceType.VDPA: "dev", InterfaceType.INTERNAL: "name",
}  # fmt: skip


def interfaces(domain: Domain) -> Iterator[Problem]:
    """Every network interface of a domain."""
    for path, interface in each(domain, "interfaces"):
        line = line_of(interface)
        if interface.mac and int(interface.mac[:2], 16) & 1:
            text = f"{interface.mac} is a multicast address"
            yield wrong(f"{path}/mac/@address", line_of(interface, "mac") or line, text, "use an even first byte")
        source, kind = interface.source, interface.type
        name = NEEDS.get(kind) if kind else None
        if name and not (source and getattr(source, name)):
            text = f"an interface of type {kind} needs {name}"
            yield missing(f"{path}/source/@{name}", line, text, f"such as <source {name}='...'/>")
        yield from _kind(interface, path)


def _kind(interface: Interface, path: str) -> Iterator[Problem]:
    line = line_of(interface)
    if interface.type == InterfaceType.VHOSTUSER and interface.model and not interface.model.startswith("virtio"):
        text = f"model {interface.model!r} cannot be served by vhost-user"
        yield conflict(f"{path}/model/@type", line, text, "use model virtio")
