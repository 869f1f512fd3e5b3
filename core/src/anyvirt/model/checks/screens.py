"""Video cards and the ways to see them."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, each
from anyvirt.model.devices.graphics import GraphicsType
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of


def screens(domain: Domain) -> Iterator[Problem]:
    """Video cards and graphics of a domain."""
    primary = [video for video in domain.videos if video.primary]
    if len(primary) > 1:
        line = line_of(primary[1])
        yield duplicate("/devices/video/model/@primary", line, "two video cards are primary", "keep one")
    if len(domain.videos) > 1 and any(video.model == "none" for video in domain.videos):
        other = next(video for video in domain.videos if video.model == "none")
        yield conflict("/devices/video/model/@type", line_of(other), "'none' stands beside other cards", "remove one")
    for path, video in each(domain, "videos"):
        if video.model == "ramfb" and video.address is not None:
            text = "ramfb sits on no bus and has no address"
            yield conflict(f"{path}/address", line_of(video.address), text, "leave the address out")
    ports: dict[int, str] = {}
    for path, graphics in each(domain, "graphics"):
        for name, port in (("port", graphics.port), ("tlsPort", graphics.tls_port), ("websocket", graphics.websocket)):
            if port is None or port <= 0 or (graphics.autoport and name != "websocket"):
                continue
            if port in ports:
                text = f"port {port} is taken by {ports[port]}"
                yield duplicate(f"{path}/@{name}", line_of(graphics), text, "use another port, or autoport")
            ports.setdefault(port, path)
    kinds = {graphics.type for graphics in domain.graphics}
    if GraphicsType.EGL_HEADLESS in kinds and kinds - {GraphicsType.EGL_HEADLESS, GraphicsType.VNC, GraphicsType.SPICE}:
        headless = next(graphics for graphics in domain.graphics if graphics.type == GraphicsType.EGL_HEADLESS)
        text = "egl-headless renders for vnc and spice only"
        yield conflict("/devices/graphics[egl-headless]/@type", line_of(headless), text, "use no other kind beside it")
