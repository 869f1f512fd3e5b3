"""Pools of the type scsi: what is behind a host adapter, or behind a virtual port of a Fibre Channel one."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import (
    Adapter,
    Invalid,
    PoolSource,
    PoolSources,
    Problem,
    Run,
    WrongState,
    current,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend
from anyvirt_host.storage.kinds.luns import BY_PATH, NODES, Luns, no_adapter
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool

ABOUT: Final = About(tools=("lsblk", "find", "stat"), root=True)
_NAME: Final = re.compile(r"(?:scsi_|fc_)?host(\d+)")
_HOSTS: Final = ("find", "/sys/class/scsi_host", "-type", "l", "-printf", r"%f %l\n")
# One line for each Fibre Channel port: its name, its WWNs, and how many virtual ports it has and can have.
_PORTS: Final = """cd /sys/class/fc_host 2>/dev/null || exit 0
for host in host*; do [ -d "$host" ] || continue
printf '%s' "$host"
for file in node_name port_name fabric_name npiv_vports_inuse max_npiv_vports; do
printf ' %s' "$(cat "$host/$file" 2>/dev/null || echo -)"; done; echo; done"""
_WRITE: Final = 'exec printf "%s\\n" "$1" >"$2"'
_PATIENCE: Final = 30.0  # seconds that a new port has to show up


class Port(NamedTuple):
    """A port of Fibre Channel; WWNs in lower case, without ``0x``."""

    host: str
    wwnn: str
    wwpn: str
    fabric: str
    free: bool

    @property
    def number(self) -> int:
        """That of its SCSI adapter."""
        return int(self.host.removeprefix("host"))


class ScsiPool(Luns):
    """The adapter is the pool; its units are looked for when it starts, and with each refresh."""

    kind = "scsi"

    def live(self, pool: Pool) -> Live:
        """Adapter and folder of the definition."""
        asked = heeded(pool)
        problems: list[Problem] = []
        path = target(asked, problems)
        adapter = asked.source.adapter if asked.source else None
        more: dict[str, Any] = {}
        source = ""
        if adapter is None or not (source := _said(adapter, more, problems)):
            text = "a pool of the type scsi needs an adapter"
            hint = "such as <source><adapter type='scsi_host' name='scsi_host2'/></source>"
            problems.append(Problem("config.missing", "/source/adapter", None, text, hint))
        counts = "capacity" if asked.refresh_allocation == "capacity" else ""
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("scsi", path, source, counts=counts, more=more)

    def start(self, live: Live) -> Live:
        """See that the adapter is there, make the virtual port that it is to be, and look for units.

        :raises NotFound: there is no such adapter.
        """
        more = dict(live.more or {})
        if "wwpn" in more and self._port(more) is None:
            self._make_port(more)
            more["made"] = True
        live = live._replace(more=more)
        self.refresh(live)
        return live

    def stop(self, live: Live) -> None:
        """Remove the virtual port that starting made, unless the definition says that it stays."""
        more = live.more or {}
        port = self._port(more) if more.get("made") and more.get("managed") != "no" else None
        if port is not None and more.get("on"):
            words = f"{more['wwpn']}:{more['wwnn']}"
            self.tool("sh", "-c", _WRITE, "sh", words, f"/sys/class/fc_host/{more['on']}/vport_delete", about=words)

    def sources(self, asked: PoolSource | None) -> PoolSources:  # noqa: ARG002 - the host knows them all
        """Every adapter of the host."""
        names = sorted(self._hosts(), key=lambda name: int(name.removeprefix("host")))
        adapters = [Adapter(type="scsi_host", name=f"scsi_{name}") for name in names]
        return PoolSources(sources=tuple(PoolSource(adapter=adapter) for adapter in adapters))

    def adapter(self, live: Live) -> int:
        """The number of the adapter, as it is now."""
        more, hosts = live.more or {}, self._hosts()
        if "wwpn" in more:
            port = self._port(more)
            if port is None:
                raise no_adapter(live.source, [f"fc_{one.host} {one.wwpn}" for one in self._ports()])
            return port.number
        if "host" in more:
            name = f"host{more['host']}"
            if name not in hosts:
                raise no_adapter(f"scsi_{name}", sorted(f"scsi_{one}" for one in hosts))
            return int(more["host"])
        for name, link in hosts.items():
            if f"/{more['pci']}/" in link:
                path = f"/sys/class/scsi_host/{name}/unique_id"
                if self.tool("cat", path).text.strip() == str(more["unique"]):
                    return int(name.removeprefix("host"))
        raise no_adapter(live.source, sorted(f"scsi_{one}" for one in hosts))

    def _hosts(self) -> dict[str, str]:
        """Every SCSI adapter, and where it is among the host's devices."""
        rows = self.tool(*_HOSTS, content=(0, 1)).text.splitlines()
        return {name: link for name, _, link in (row.partition(" ") for row in rows)}

    def _ports(self) -> list[Port]:
        found = []
        for row in self.tool("sh", "-c", _PORTS, about="/sys/class/fc_host").text.splitlines():
            host, wwnn, wwpn, fabric, used, most = row.split()
            free = used.isdigit() and most.isdigit() and int(used) < int(most)
            node, port, net = (word.lower().removeprefix("0x") for word in (wwnn, wwpn, fabric))
            found.append(Port(host, node, port, net, free))
        return found

    def _port(self, more: dict[str, Any]) -> Port | None:
        return next((one for one in self._ports() if (one.wwnn, one.wwpn) == (more["wwnn"], more["wwpn"])), None)

    def _make_port(self, more: dict[str, Any]) -> None:
        """Make a virtual port on its parent, and wait until it is there."""
        parent = next((one for one in self._ports() if _is_parent(one, more)), None)
        if parent is None:
            raise no_adapter("an adapter that can have a virtual port", [f"fc_{one.host}" for one in self._ports()])
        words = f"{more['wwpn']}:{more['wwnn']}"
        self.tool("sh", "-c", _WRITE, "sh", words, f"/sys/class/fc_host/{parent.host}/vport_create", about=words)
        more["on"] = parent.host
        end = time.monotonic() + _PATIENCE
        while self._port(more) is None:
            current().check("vport_create")
            if time.monotonic() > end:
                raise WrongState("not there yet", ["there"], "start", what=words, kind="port", hint="try again")
            time.sleep(0.5)


def target(asked: Pool, problems: list[Problem]) -> str:
    """The folder whose links name a pool's devices."""
    meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
    if asked.permissions:
        meaningless(asked.permissions)
    path = (asked.target or BY_PATH).rstrip("/")
    if path != NODES and not path.startswith(f"{NODES}/"):
        text = f"devices are in {NODES}, not in {path!r}"
        problems.append(Problem("config.invalid", "/target/path", None, text, f"use {BY_PATH}"))
    return path


def _said(adapter: Adapter, more: dict[str, Any], problems: list[Problem]) -> str:
    """What tells the adapter; ``more`` gets it in parts."""
    if adapter.type == "fc_host":
        wwns = {key: (getattr(adapter, key) or "").lower() for key in ("wwnn", "wwpn")}
        more |= {**wwns, "managed": {True: "yes", False: "no", None: ""}[adapter.managed]}
        for key in ("parent", "parent_wwnn", "parent_wwpn", "parent_fabric_wwn"):
            more[key] = (getattr(adapter, key) or "").lower()
        return f"fc_host {wwns['wwnn']} {wwns['wwpn']}" if all(wwns.values()) else ""
    if adapter.name:
        found = _NAME.fullmatch(adapter.name)
        if found is None:
            text = f"{adapter.name!r} is no name of an adapter"
            problems.append(Problem("config.invalid", "/source/adapter/@name", None, text, "such as scsi_host2"))
            return adapter.name
        more["host"] = int(found[1])
        return f"scsi_host{found[1]}"
    place = adapter.parent_address
    if place is None or adapter.unique_id is None:
        return ""
    domain, bus, slot, function = (int(getattr(place, key) or 0) for key in ("domain", "bus", "slot", "function"))
    more |= {"pci": f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}", "unique": adapter.unique_id}
    return f"pci {more['pci']} {adapter.unique_id}"


def _is_parent(port: Port, more: dict[str, Any]) -> bool:
    """Whether a virtual port is to be made on that one: the one that is named, or any that has room."""
    if more["parent"]:
        found = _NAME.fullmatch(more["parent"])
        return bool(found) and port.host == f"host{found[1] if found else ''}"
    if more["parent_wwpn"]:
        return (port.wwnn, port.wwpn) == (more["parent_wwnn"], more["parent_wwpn"])
    return port.free and more["parent_fabric_wwn"] in ("", port.fabric)


def backend(run: Run) -> Backend:
    """The back-end."""
    return ScsiPool(run)
