"""User networking by passt: how it is started, and which ports of the host reach the guest."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from anyvirt.api import Interface, PortForward, meaningless, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, ProgramUse
from anyvirt_qemu.planning.build import Build

CONNECTION: Final = FIRST_FD
EVERY: Final = "1-65535"


def passt(b: Build, x: Interface) -> dict[str, Any]:
    """A connection to a passt that carries the frames of this card alone."""
    if not b.caps.has_feature("netdev.stream"):
        text = f"this QEMU ({b.caps.binary}) has no netdev stream"
        b.refuse(x, "backend_type", "use the default back end", text=text)
    program = b.beside("passt")
    if "--fd" not in program.can:
        text = f"this passt ({program.path}) takes no connection from whoever starts it"
        b.refuse(x, "backend_type", "install a newer one, or use the default back end", text=text)
    words = [program.path, "--foreground", "--one-off", "--fd", str(CONNECTION)]
    if x.backend_log_file is not None:
        words += ["--log-file", b.path(x, "backend_log_file", x.backend_log_file)]
    if x.source is not None and x.source.dev is not None:
        words += ["--interface", b.token(x.source, "dev", x.source.dev)]
    words += _addresses(b, x)
    for forward in x.port_forwards:
        option = "--udp-ports" if forward.proto == "udp" else "--tcp-ports"
        words += [option, _forwarded(b, forward)]
    use = ProgramUse(
        name="passt",
        package="passt",
        place=path_of(x),
        alias=x.alias or "",
        path=program.path,
        argv=tuple(words),
        fds=(EndUse(CONNECTION, "pair"),),
    )
    b.programs.append(use)
    return {"type": "stream", "addr": {"type": "fd", "str": str(b.fd("pair", use.title))}, "server": False}


def _addresses(b: Build, x: Interface) -> list[str]:
    """What the guest is told that it is."""
    words = []
    for ip in x.ips:
        if ip.peer is not None:
            b.refuse(ip, "peer", "leave it out", text="passt chooses the address of its own end")
        meaningless(ip, "family")
        address = ipaddress.ip_address(ip.address or "0.0.0.0")  # noqa: S104 - no address at all
        words += ["--address", str(address)]
        if ip.prefix is not None and address.version == 4:
            words += ["--netmask", str(ip.prefix)]
        elif ip.prefix not in {None, 64}:
            b.refuse(ip, "prefix", "leave it out", text="passt gives addresses of IPv6 with 64 bits of prefix")
    return words


def _forwarded(b: Build, x: PortForward) -> str:
    """Ports in passt's own words: ``127.0.0.1%lo/2222-2230:22-30,~2225``."""
    where = str(x.address or "") + (f"%{b.token(x, 'dev', x.dev)}" if x.dev is not None else "")
    ports = []
    for one in x.ranges:
        first, last = one.start or 0, one.end or one.start or 0
        if not first or last < first:
            b.problem(one, "start", "this is no range of ports", "write start='2222' to='22'")
        word = f"{first}-{last}" if last > first else f"{first}"
        if one.exclude:
            meaningless(one, "to")
            word = f"~{word}"
        elif one.to is not None:
            word += f":{one.to}-{one.to + last - first}" if last > first else f":{one.to}"
        ports.append(word)
    if not ports:
        return f"{where}/{EVERY}" if where else "all"
    return f"{where}/{','.join(ports)}" if where else ",".join(ports)
