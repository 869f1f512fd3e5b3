"""What anyvirt would start for a document: its plan, with descriptors of this process."""

from __future__ import annotations

import json
import os as system
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from anyvirt.api import Domain, parse
from anyvirt_host.local import tap
from anyvirt_qemu import config, defaults
from anyvirt_qemu.caps import Caps
from anyvirt_qemu.plan import FdUse, NodeUse, Paths, Plan, Step

from tests.device_tree.line import Option, fields, options, text
from tests.device_tree.world import World

DIRECTORIES: Final = Paths(
    guest="/run/guest",
    nvram="/var/lib/libvirt/qemu/nvram",
    memory="/var/lib/libvirt/qemu/ram",
    hugepages={2 << 20: "/dev/hugepages2M", 1 << 30: "/dev/hugepages1G"},
)
# What libvirt does over QMP, too, and no recorded command line shows.
LATER: Final = {"balloon", "device_add", "set_password", "expire_password", "qom-set"}


@dataclass(frozen=True)
class Planned:
    """A plan's command line, and the commands that follow the start."""

    line: list[Option]
    steps: tuple[Step, ...]


def planned(document: Path, caps: Caps, world: World) -> Planned:
    """The plan for a document, on descriptors that are open.

    :raises Invalid: anyvirt refuses the document.
    """
    domain = defaults.complete(parse(document.read_bytes(), Domain), caps, random.Random(1).randbytes)
    accelerator: Literal["kvm", "tcg"] = "kvm" if domain.type == "kvm" else "tcg"
    plan = config.plan(_placed(domain), caps, DIRECTORIES, accelerator=accelerator, chains=_chains(domain), now=0)
    numbers = _descriptors(plan, world)
    line = [_renumbered(option, numbers) for option in options(list(plan.argv[1:]))]
    steps = tuple(step for step in plan.steps if step.command not in LATER)
    return Planned(line, steps)


def _placed(domain: Domain) -> Domain:
    """With the guest's variables where the recording host kept them."""
    os = domain.os
    if os is None or os.nvram or os.nvram_source is not None or (os.loader_type != "pflash" and os.firmware != "efi"):
        return domain
    return domain.replace(os=os.replace(nvram=f"{DIRECTORIES.nvram}/{domain.name}_VARS.fd"))


def _chains(domain: Domain) -> dict[str, tuple[NodeUse, ...]]:
    """Images as a probe would have found them: each alone, in the format that the definition names."""
    found: dict[str, tuple[NodeUse, ...]] = {}
    for index, disk in enumerate(domain.disks):
        place = disk.source and (disk.source.file or disk.source.dev)
        if place and disk.target:
            form = (disk.driver and disk.driver.type) or "raw"
            found[disk.target] = (NodeUse(f"n{index}f", f"n{index}s", place, form),)
    return found


def _descriptors(plan: Plan, world: World) -> dict[int, int]:
    queues = {use.alias: list(tap.create(queues=use.queues).fds) for use in plan.taps}
    return {use.number: _descriptor(use, world, queues) for use in plan.fds}


def _descriptor(use: FdUse, world: World, queues: dict[str, list[int]]) -> int:
    if use.kind == "tap":
        return world.give(queues[use.target].pop(0))
    if use.kind == "open":
        return world.give(system.open(world.file(use.target, b""), system.O_RDWR))
    return world.listener(f"/sockets/{use.number}")


def _renumbered(option: Option, numbers: dict[int, int]) -> Option:
    """The option with the numbers of descriptors that are open now."""
    if option.flag not in ("-chardev", "-netdev", "-add-fd"):
        return option
    head = "backend" if option.flag == "-chardev" else ""
    found: dict[str, Any] = fields(option.text, head)
    for key in ("fd", "vhostfd"):
        if str(found.get(key, "")).isdecimal():
            number = numbers[int(found[key])]
            found[key] = str(number) if isinstance(found[key], str) else number
    return Option(option.flag, json.dumps(found) if option.json else text(found, head))
