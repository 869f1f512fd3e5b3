"""Ports of USB controllers, and of hubs on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

DEEPEST: Final = 4  # numbers in the path of a port


class UsbPorts:
    """Ports by bus, such as ``(0, "1")`` or, on a hub, ``(0, "1.2")``."""

    def __init__(self) -> None:
        self._ports: dict[int, list[str]] = {}
        self._taken: set[tuple[int, str]] = set()
        self._next: dict[int, int] = {}  # ports before it are all in use

    def controller(self, bus: int, ports: int) -> None:
        """A controller with ports 1 to ``ports``."""
        self._ports[bus] = [str(number) for number in range(1, ports + 1)]

    def hub(self, bus: int, port: str, ports: int = 8) -> None:
        """A hub on a port, which is claimed or taken already; it adds its own ports behind those there are.

        One at the end of the longest path that USB has here adds none.
        """
        if port.count(".") + 1 >= DEEPEST:
            return
        self._ports[bus].extend(f"{port}.{number}" for number in range(1, ports + 1))

    @property
    def buses(self) -> tuple[int, ...]:
        """The controllers, from the lowest."""
        return tuple(sorted(self._ports))

    def exists(self, bus: int, port: str) -> bool:
        """Whether a controller or hub has the port."""
        return port in self._ports.get(bus, ())

    def claim(self, bus: int, port: str) -> bool:
        """Take this very port; False where it is taken."""
        if (bus, port) in self._taken:
            return False
        self._taken.add((bus, port))
        return True

    def take(self, buses: Iterable[int] | None = None) -> tuple[int, str] | None:
        """The first free port of the given buses, or of all of them; None where all are in use."""
        for bus in sorted(self._ports) if buses is None else buses:
            ports = self._ports.get(bus, [])
            for place in range(self._next.get(bus, 0), len(ports)):
                self._next[bus] = place + 1
                if self.claim(bus, ports[place]):
                    return bus, ports[place]
        return None
