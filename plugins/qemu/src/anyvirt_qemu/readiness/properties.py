"""Properties of a QEMU's devices: a plan that names one that there is not is refused by the name of what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Problem, VirtError, heeded, path_of

from anyvirt_qemu.probing import cache, talk
from anyvirt_qemu.qmp.command import Command

if TYPE_CHECKING:
    from anyvirt.api import Domain

    from anyvirt_qemu.planning.plan import Plan

FORMAT: Final = 1
KIND: Final = "properties"
# every device has these, and QEMU does not list them
ALWAYS: Final = frozenset({"driver", "id", "bus"})

_known: dict[tuple[Any, ...], dict[str, list[str]]] = {}


def blockers(plan: Plan, folder: Path) -> list[Problem]:
    """Properties of devices that the QEMU of the plan does not have.

    :param folder: where answers of QEMUs are kept.
    """
    used = devices(plan)
    if not used:
        return []
    try:
        known = known_of(plan.argv[0], folder, {str(device["driver"]) for device in used})
    except VirtError:
        return []  # what keeps this QEMU from running is told elsewhere
    return list(missing(plan, used, known))


def devices(plan: Plan) -> list[dict[str, Any]]:
    """Devices of a plan with their properties, where QEMU takes them as JSON."""
    words = pairwise(plan.argv)
    return [json.loads(text) for flag, text in words if flag == "-device" and text.startswith("{")]


def missing(plan: Plan, used: Iterable[dict[str, Any]], known: Mapping[str, list[str]]) -> Iterator[Problem]:
    """What devices are to have, and QEMU does not know of them.

    :param known: names of the properties of each; nothing is said of one that has none.
    """
    for device in used:
        has = known.get(device["driver"])
        lacks = sorted(device.keys() - ALWAYS - set(has)) if has else []
        for name in lacks:
            text = f"{device['driver']} of this QEMU ({plan.argv[0]}) has no property {name}"
            place = _place(plan.domain, str(device.get("id", "")))
            yield Problem("unsupported.config", place, None, text, "leave out what asks for it")


def _place(domain: Domain, alias: str) -> str:
    """The device with this alias, as a path."""
    view = heeded(domain)
    for name in type(domain)._fields:
        value = getattr(domain, name)
        for number, device in enumerate(value if type(value) is tuple else (value,)):
            if alias and getattr(device, "alias", None) == alias:
                found = getattr(view, name)
                return path_of(found[number] if type(value) is tuple else found)
    return "/devices"


def known_of(binary: str, folder: Path, drivers: Iterable[str]) -> Mapping[str, list[str]]:
    """Names of the properties of each of these devices; none of one that QEMU tells nothing of.

    Asked once for each device, then from memory or from a file in ``folder``.

    :raises NotFound: there is no such program.
    :raises Failed: it is no QEMU, or does not start.
    """
    key = [*cache.identity(binary), FORMAT]
    name = tuple(key)
    found = _known.get(name)
    if found is None:
        found = _known[name] = cache.load(folder, KIND, key) or {}
    new = sorted(set(drivers) - found.keys())
    if new:
        found |= _asked(binary, folder, new)
        cache.keep(folder, KIND, key, found)
    return found


def _asked(binary: str, folder: Path, drivers: list[str]) -> dict[str, list[str]]:
    commands = [Command("device-list-properties", {"typename": driver}) for driver in drivers]
    answers = talk.ask(binary, "tcg", folder, commands)
    rows = zip(drivers, answers, strict=False)
    return {driver: [] if isinstance(row, VirtError) else [str(one["name"]) for one in row] for driver, row in rows}
