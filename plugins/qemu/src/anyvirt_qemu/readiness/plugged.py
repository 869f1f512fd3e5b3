"""USB devices of this host that a definition names by vendor and product: where each is plugged in now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import HostAddress, Problem

if TYPE_CHECKING:
    from anyvirt.api import Domain, Hostdev, HostdevSource

DEVICES: Final = Path("/sys/bus/usb/devices")


class Usb(NamedTuple):
    """A USB device: where it is plugged in, and what it is."""

    bus: int
    device: int
    vendor: int
    product: int


def present(domain: Domain, folder: Path = DEVICES) -> tuple[Domain, list[str], list[Problem]]:
    """The definition with USB devices by their place, without those that are missing and may be.

    :return: a sentence for each device that is left out, and what is wrong with the others.
    """
    if not any(x.type == "usb" for x in domain.hostdevs):
        return domain, [], []
    there = sorted(_devices(folder))
    kept: list[Hostdev] = []
    told: list[str] = []
    problems: list[Problem] = []
    for number, x in enumerate(domain.hostdevs):
        source = x.source
        if x.type != "usb" or source is None or source.vendor is None or source.product is None:
            kept.append(x)
            continue
        fitting = _fitting(source, there)
        name = f"{source.vendor:04x}:{source.product:04x}"
        if not fitting and source.startup_policy == "optional":
            told.append(f"no USB device {name} is plugged in, and the guest starts without it, as startupPolicy says")
            continue
        if len(fitting) == 1:
            at = HostAddress(bus=fitting[0].bus, device=fitting[0].device)
            kept.append(x.replace(source=source.replace(address=at)))
        else:
            problems.append(_problem(f"/devices/hostdev[{number}]/source", name, source, fitting))
            kept.append(x)
    return domain.replace(hostdevs=tuple(kept)), told, problems


def _fitting(source: HostdevSource, there: list[Usb]) -> list[Usb]:
    at = source.address
    found = [one for one in there if (one.vendor, one.product) == (source.vendor, source.product)]
    if at is None or at.bus is None or at.device is None:
        return found
    return [one for one in found if (one.bus, one.device) == (at.bus, at.device)]


def _problem(place: str, name: str, source: HostdevSource, fitting: list[Usb]) -> Problem:
    if not fitting:
        at = source.address
        where = f" at bus {at.bus}, device {at.device}" if at is not None and at.bus is not None else ""
        text = f"no USB device {name} is plugged into this host{where}"
        hint = "plug it in (lsusb shows those there are), or write startupPolicy='optional'"
        return Problem("file.not-found", place, None, text, hint)
    places = ", ".join(f"bus='{one.bus}' device='{one.device}'" for one in fitting)
    text = f"{len(fitting)} USB devices are {name}: {places}"
    return Problem("config.invalid", place, None, text, "say which with <address bus='...' device='...'/>")


def _devices(folder: Path) -> Iterator[Usb]:
    for place in folder.glob("*/idVendor"):
        try:
            numbers = [int((place.parent / name).read_text("ascii"), 10) for name in ("busnum", "devnum")]
            kinds = [int((place.parent / name).read_text("ascii"), 16) for name in ("idVendor", "idProduct")]
        except (OSError, ValueError):
            continue  # unplugged meanwhile
        yield Usb(*numbers, *kinds)
