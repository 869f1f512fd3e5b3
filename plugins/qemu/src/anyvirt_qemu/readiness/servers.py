"""Sockets and ports that a guest's servers want on this host: taken, out of reach, too long."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import Problem, heeded, path_of
from anyvirt_host.local import files

if TYPE_CHECKING:
    from anyvirt.api import Domain

    from anyvirt_qemu.planning.plan import Plan
    from anyvirt_qemu.readiness.rights import Rights

PROC: Final = Path("/proc")
TABLES: Final = {"tcp": ("net/tcp", "net/tcp6"), "udp": ("net/udp", "net/udp6")}
# states of sockets that have a port to themselves
BOUND: Final = {"tcp": "0A", "udp": "07"}
FREE_FROM: Final = "sys/net/ipv4/ip_unprivileged_port_start"
ANY: Final = frozenset({"", "0.0.0.0", "::", "*"})  # noqa: S104 - what a definition says
NAMES: Final = {"localhost": "127.0.0.1"}
VNC_FIRST: Final = 5900
SOCKET_MAX: Final = 107
CHARS: Final = ("serials", "parallels", "consoles", "channels", "smartcards", "redirdevs", "rngs")


class Want(NamedTuple):
    """A port that the definition names, on an address of the host."""

    place: str
    protocol: str
    address: str
    port: int


def blockers(plan: Plan, ours: Rights, rights: Rights, proc: Path = PROC) -> list[Problem]:
    """What keeps servers of the guest from coming up.

    :param ours: who binds what is bound for QEMU.
    :param rights: those of the user that QEMU will be.
    """
    return [*_sockets(plan, ours, rights), *_ports(plan.domain, rights, proc)]


def listening(files: Sequence[str | Path] = (PROC / "net/tcp", PROC / "net/tcp6")) -> set[int]:
    """TCP ports of this host that somebody listens on."""
    return {port for _, port in _bound(files, BOUND["tcp"])}


def _bound(files: Sequence[str | Path], state: str) -> Iterator[tuple[str, int]]:
    for path in files:
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in lines:
            words = row.split()
            if len(words) > 3 and words[3] == state:
                address, _, port = words[1].rpartition(":")
                yield _address(address), int(port, 16)


def _address(digits: str) -> str:
    """An address as the kernel shows it, as people write it."""
    if len(digits) == 8:
        return ".".join(str(part) for part in reversed(bytes.fromhex(digits)))
    if not int(digits, 16):
        return "::"
    from ipaddress import IPv6Address

    words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, 32, 8))
    found = IPv6Address(b"".join(words))
    return str(found.ipv4_mapped or found)


def _ports(domain: Domain, rights: Rights, proc: Path) -> Iterator[Problem]:
    wanted = list(_wanted(domain))
    if not wanted:
        return
    busy = {
        protocol: set(_bound([proc / name for name in names], BOUND[protocol]))
        for protocol, names in TABLES.items()
        if any(want.protocol == protocol for want in wanted)
    }
    told = files.number(proc / FREE_FROM)
    free_from = 1024 if told is None else told
    yield from _twice(wanted)
    for want in wanted:
        address = NAMES.get(want.address, want.address)
        holders = {there for there, port in busy[want.protocol] if port == want.port}
        word = "port" if want.protocol == "tcp" else "UDP port"
        if holders and (address in ANY or holders & {address, *ANY}):
            text = f"{word} {want.port} is in use"
            hint = "choose another" + (", or autoport='yes'" if want.place.startswith("/devices/graphics") else "")
            yield Problem("resource.busy", want.place, None, text, hint)
        elif want.port < free_from and rights.uid != 0:
            text = f"user {rights.user} may not have {word} {want.port} (right CAP_NET_BIND_SERVICE)"
            yield Problem("denied", want.place, None, text, f"choose one from {free_from} on")


def _twice(wanted: Sequence[Want]) -> Iterator[Problem]:
    """Ports that two servers of one guest want."""
    for number, want in enumerate(wanted):
        for other in wanted[:number]:
            same = want.address == other.address or want.address in ANY or other.address in ANY
            if same and (want.protocol, want.port) == (other.protocol, other.port):
                text = f"port {want.port} is that of {other.place}, too"
                yield Problem("config.duplicate", want.place, None, text, "choose another")


def _wanted(domain: Domain) -> Iterator[Want]:
    view = heeded(domain)
    for screen in view.graphics:
        if screen.socket or any(one.type in {"socket", "none"} for one in screen.listens):
            continue
        address = next((one.address for one in screen.listens if one.address), screen.listen) or ""
        for field in ("port", "tls_port", "websocket"):
            port = getattr(screen, field) or 0
            fixed = field == "websocket" or not screen.autoport
            if port > 0 and fixed and (field != "port" or screen.type != "vnc" or port >= VNC_FIRST):
                yield Want(path_of(screen, field), "tcp", address, port)
    for name in CHARS:
        for device in getattr(view, name):
            if name != "consoles" or device.target is None or device.target.type != "serial":  # which is a serial port
                yield from _of_char(device)
    for card in view.interfaces:
        for forward in card.port_forwards:
            for ports in forward.ranges:
                start = ports.start or 0
                for port in range(start, (ports.end or start) + 1) if start and not ports.exclude else ():
                    yield Want(path_of(ports, "start"), str(forward.proto or "tcp"), forward.address or "", port)


def _of_char(device: Any) -> Iterator[Want]:
    kind = getattr(device, "type", None) or getattr(device, "backend_type", None)
    if kind not in {"tcp", "udp"}:
        return
    for source in device.sources:
        serves = source.mode in {"bind", "server"}
        if serves and (source.service or "").isdecimal():
            yield Want(path_of(source, "service"), str(kind), source.host or "", int(source.service))


def _sockets(plan: Plan, ours: Rights, rights: Rights) -> Iterator[Problem]:
    """Sockets that are bound for, or by, QEMU at places that the definition names."""
    overlays = {use.path for use in plan.overlays}
    own = [path for path in plan.sockets if not path.startswith(f"{plan.cwd}/") and path not in overlays]
    sought = [(use.target, ours, False) for use in plan.fds if use.kind == "listen"]
    for path, who, itself in [*sought, *((path, rights, True) for path in own)]:
        folder, place = os.path.dirname(path), _asks(plan.domain, path)
        if itself and len(os.fsencode(path)) > SOCKET_MAX:
            text = f"{path}: a socket's path has at most {SOCKET_MAX} bytes, and this one {len(os.fsencode(path))}"
            yield Problem("config.range", place, None, text, "choose a shorter one, or leave the path out")
        elif not os.path.isdir(folder):
            text = f"{path}: there is no folder {folder}"
            yield Problem("file.not-found", place, None, text, "create it, or leave the path out")
        elif not (who.may(folder, "w") and who.may(folder, "x")):
            text = f"{path}: user {who.user} may not make a socket in {folder} (right w)"
            yield Problem("denied", place, None, text, "choose another folder, or leave the path out")
        elif os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
            yield Problem("file.exists", place, None, f"{path} is there and no socket", "choose another path")


def _asks(domain: Domain, path: str) -> str:
    """The element that names a path."""
    view = heeded(domain)
    for name in CHARS:
        for device in getattr(view, name):
            for source in device.sources:
                if source.path == path:
                    return path_of(source, "path")
    for screen in view.graphics:
        for one in screen.listens:
            if one.socket == path:
                return path_of(one, "socket")
        if screen.socket == path:
            return path_of(screen, "socket")
    return "/devices"
