"""Serial and parallel ports."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import CharSource, Console, ConsoleTarget, Parallel, Serial, SerialTarget, meaningless

from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.places import Locate, spelled
from anyvirt_esx.vmx.write import Lines

SERIALS: Final = 4
PARALLELS: Final = 3
KINDS: Final = {"device": "dev", "file": "file", "pipe": "pipe", "network": "tcp", "thinprint": "thinprint"}
TYPES: Final = {"dev": "device", "file": "file", "pipe": "pipe"}
SCHEMES: Final = {"tcp": "raw", "telnet": "telnet", "telnets": "telnets", "ssl": "tls", "tcp+ssl": "tls"}
PROTOCOLS: Final = {None: "tcp", "raw": "tcp", "telnet": "telnet", "telnets": "telnets", "tls": "ssl"}
ENDS: Final = {"server": "bind", "client": "connect"}
URL: Final = re.compile(r"([a-z+]{1,10})://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):([A-Za-z0-9_-]+)/*", re.ASCII)


def read(v: Settings, locate: Locate) -> dict[str, Any]:
    """Fields of the domain; the first serial port is its first console, too."""
    serials = [_serial(v, number, locate) for (number,) in v.numbered(r"serial([0-9]{1,2})")]
    parallels = [_parallel(v, number, locate) for (number,) in v.numbered(r"parallel([0-9]{1,2})")]
    there = tuple(port for port in serials if port is not None)
    found: dict[str, Any] = {"serials": there, "parallels": tuple(port for port in parallels if port is not None)}
    if there:
        first: Any = there[0]
        target = ConsoleTarget(type="serial", port=first.target.port)
        found["consoles"] = (Console(type=first.type, sources=first.sources, protocol=first.protocol, target=target),)
    return found


def write(x: Any, w: Lines) -> None:
    """Every port."""
    serials = list(x.serials)
    for console in x.consoles:
        if console.target is None or console.target.type in {None, "serial"}:
            meaningless(console)
            if not serials:
                serials.append(console)
        else:
            w.refuse(console, "target", f"there is no console of {console.target.type}", "a serial port is one")
    for place, port in _numbered(serials, "serial", SERIALS, w):
        _write_serial(port, place, w)
    for place, port in _numbered(list(x.parallels), "parallel", PARALLELS, w):
        _write_parallel(port, place, w)


def _there(v: Settings, place: str, number: int, most: int) -> bool:
    if not v.flag(f"{place}.present"):
        v.skip(f"{place}.")
        return False
    if number >= most:
        v.wrong(f"{place}.present", f"there are {most} of them at most", "take it out", "config.range")
        return False
    return True


def _serial(v: Settings, number: int, locate: Locate) -> Any:
    place = f"serial{number}"
    if not _there(v, place, number, SERIALS):
        return None
    kind = v.one_of(f"{place}.fileType", KINDS) or "dev"
    if kind == "thinprint":
        v.skip(f"{place}.")
        v.note(f"left out: {place}, a printer of whoever watches the machine")
        return None
    fields = _network(v, place) if kind == "tcp" else _path(v, place, kind, locate)
    return None if fields is None else Serial(**fields, target=SerialTarget(port=number))


def _parallel(v: Settings, number: int, locate: Locate) -> Any:
    place = f"parallel{number}"
    if not _there(v, place, number, PARALLELS):
        return None
    kind = v.one_of(f"{place}.fileType", {"device": "dev", "file": "file"}) or "dev"
    fields = _path(v, place, kind, locate)
    return None if fields is None else Parallel(**fields, target=SerialTarget(port=number))


def _path(v: Settings, place: str, kind: str, locate: Locate) -> dict[str, Any] | None:
    name = v.text(f"{place}.fileName")
    if name is None:
        v.wrong(f"{place}.fileName", "it has no name", "name what it is connected to", "config.missing")
        return None
    found = locate(name) if kind == "file" else name
    if found is None:
        v.wrong(f"{place}.fileName", f"there is no {name!r}", "correct the name", "config.reference")
        return None
    return {"type": kind, "sources": (CharSource(path=found),)}


def _network(v: Settings, place: str) -> dict[str, Any] | None:
    name = v.text(f"{place}.fileName") or ""
    found = URL.fullmatch(name.lower())
    if found is None or found[1] not in SCHEMES:
        hint = f"such as telnet://0.0.0.0:4001; there are {', '.join(SCHEMES)}"
        v.wrong(f"{place}.fileName", f"{name[:80]!r} is no address", hint)
        return None
    if v.text(f"{place}.vspc") is not None:
        v.note(f"left out: {place} reaches its address through a concentrator")
    mode: Any = v.one_of(f"{place}.network.endPoint", ENDS) or "bind"
    host = found[2].strip("[]") or "0.0.0.0"  # noqa: S104 - what no host means to VMware
    source = CharSource(mode=mode, host=host, service=found[3])
    return {"type": "tcp", "sources": (source,), "protocol": SCHEMES[found[1]]}


def _numbered(ports: list[Any], name: str, most: int, w: Lines) -> list[tuple[str, Any]]:
    """Ports with their places: those that they name, or the next ones."""
    found: dict[int, Any] = {}
    for port in ports:
        number = port.target.port if port.target is not None else None
        if number is None:
            number = next(n for n in range(len(ports) + most) if n not in found)
        if number in found:
            w.refuse(port, "target", f"another port is {name} {number}", "use another number", "config.duplicate")
        elif number >= most:
            w.refuse(port, "target", f"there are {most} of them at most", "take it out", "config.range")
        else:
            found[number] = port
    return [(f"{name}{number}", port) for number, port in sorted(found.items())]


def _source(port: Any) -> Any:
    return port.sources[0] if port.sources else None


def _write_serial(port: Any, place: str, w: Lines) -> None:
    w.put(f"{place}.present", True)
    source = _source(port)
    if port.type == "tcp" and source is not None and source.service:
        w.put(f"{place}.fileType", "network")
        host = f"[{source.host}]" if ":" in (source.host or "") else source.host or ""
        scheme = "ssl" if source.tls else PROTOCOLS[port.protocol]
        w.put(f"{place}.fileName", f"{scheme}://{host}:{source.service}")
        w.put(f"{place}.network.endPoint", "client" if source.mode in {"connect", "client"} else "server")
    elif port.type in TYPES and source is not None and source.path:
        w.put(f"{place}.fileType", TYPES[port.type])
        if port.type == "pipe":
            w.put(f"{place}.pipe.endPoint", "client")
            w.put(f"{place}.tryNoRxLoss", False)
        w.put(f"{place}.fileName", spelled(source.path) if port.type == "file" else source.path)
    else:
        _refuse(port, w, {*TYPES, "tcp"})
    w.put(f"{place}.yieldOnMsrRead", True)
    target = port.target
    if target is not None and getattr(target, "type", None) in {"isa-serial", "serial", None}:
        meaningless(target, "type", "model")
    if port.address is not None:
        meaningless(port.address)


def _write_parallel(port: Any, place: str, w: Lines) -> None:
    w.put(f"{place}.present", True)
    source = _source(port)
    if port.type in {"dev", "file"} and source is not None and source.path:
        w.put(f"{place}.fileType", TYPES[port.type])
        w.put(f"{place}.fileName", spelled(source.path) if port.type == "file" else source.path)
    else:
        _refuse(port, w, {"dev", "file"})


def _refuse(port: Any, w: Lines, known: set[str]) -> None:
    if port.type in known:
        w.refuse(port, "sources", "it does not say what it is connected to", "write <source>", "config.missing")
    else:
        w.refuse(port, "type", f"no port is connected to {port.type}", f"there are {', '.join(sorted(known))}")
