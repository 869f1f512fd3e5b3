"""Where a guest that has just been started is reached: what only QEMU knows of its screen and its ptys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from anyvirt.api import CharSource, Domain, Graphics, GraphicsType, Listen

from anyvirt_qemu.planning.plan import BUS

PTYS: Final = ("serials", "parallels", "consoles", "channels")


def reached(domain: Domain, folder: str, screen: Mapping[str, Any] | None, lines: Mapping[str, str]) -> Domain:
    """The live definition with the port or socket of its VNC server, its own bus, and the paths of its ptys.

    :param folder: where relative paths of QEMU begin.
    :param screen: what ``query-vnc`` says; None where there is no such server.
    :param lines: paths of ptys by the alias of their device.
    """
    changed: dict[str, Any] = {}
    if screen is not None and screen.get("service"):
        first = next((x for x in domain.graphics if x.type is GraphicsType.VNC), None)
        changed["graphics"] = [_shown(x, folder, screen) if x is first else x for x in domain.graphics]
    if any(_busless(x) for x in domain.graphics):
        place = f"unix:path={quote(f'{folder}/{BUS}')}"
        shown = changed.get("graphics", domain.graphics)
        changed["graphics"] = [x.replace(address=place) if _busless(x) else x for x in shown]
    for field in PTYS:
        devices = getattr(domain, field)
        if any(x.alias in lines for x in devices):
            changed[field] = [
                x.replace(sources=[CharSource(path=lines[x.alias])]) if x.alias in lines else x for x in devices
            ]
    return domain.replace(**changed) if changed else domain


def _busless(x: Graphics) -> bool:
    """Whether a screen is on a bus of the guest's own."""
    return x.type is GraphicsType.DBUS and not x.p2p and not x.address


def _shown(x: Any, folder: str, screen: Mapping[str, Any]) -> Any:
    service = str(screen["service"])
    if screen.get("family") == "unix":
        if x.socket or any(listen.socket for listen in x.listens):
            return x
        path = service if service.startswith("/") else f"{folder}/{service}"
        return x.replace(port=None, autoport=None, socket=path, listens=[Listen(type="socket", socket=path)])
    return x.replace(port=int(service)) if service.isdigit() else x
