"""What anyvirt would start for a document: its plan, with descriptors of this process."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anyvirt.api import Domain, parse
from anyvirt_host.local import tap
from anyvirt_qemu.planning import config, defaults
from anyvirt_qemu.planning.plan import FdUse, NodeUse, Paths, Plan, Step
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.readiness import firmwares

from tests.device_tree import settings
from tests.device_tree.line import Option, fields, options, text
from tests.device_tree.world import World

DIRECTORIES: Final = Paths(
    guest="/run/guest",
    nvram="/var/lib/libvirt/qemu/nvram",
    memory="/var/lib/libvirt/qemu/ram",
    vhost_net="/dev/vhost-net",
    hugepages={2 << 20: "/dev/hugepages2M", 1 << 30: "/dev/hugepages1G"},
)
# What libvirt does over QMP, too, and no recorded command line shows.
LATER: Final = {
    "balloon",
    "device_add",
    "set_password",
    "expire_password",
    "qom-set",
    "blockdev-add",
    "blockdev-snapshot",
}


OPEN: Final = "/dev/fd/"


@dataclass(frozen=True)
class Planned:
    """A plan's command line, and the commands that follow the start."""

    line: list[Option]
    steps: tuple[Step, ...]


def planned(document: Path, caps: Caps, world: World, theirs: list[Option]) -> Planned:
    """The plan for a document, on descriptors that are open.

    :param theirs: the recorded command line, which shows how its host was set up; without one there is only emulation.
    :raises Invalid: anyvirt refuses the document.
    """
    given = settings.resolved(settings.audio(parse(document.read_bytes(), Domain), theirs))
    domain = defaults.complete(given, caps, random.Random(1).randbytes, policy=settings.policy(theirs))
    plan = config.plan(
        _placed(_booted(domain, caps, document.parent.parent / "qemufirmwaredata")),
        caps,
        DIRECTORIES,
        accelerator="kvm" if domain.type == "kvm" and theirs else "tcg",
        chains=_chains(domain),
        now=0,
        serving=settings.serving(theirs, world),
        storage=settings.storage(document.read_bytes(), theirs, world),
    )
    numbers = _descriptors(plan, world)
    line = [_renumbered(option, numbers) for option in options(list(plan.argv[1:]))]
    steps = tuple(step for step in plan.steps if step.command not in LATER)
    return Planned(line, steps)


def _booted(domain: Domain, caps: Caps, host: Path) -> Domain:
    """With firmware that the recording host had, where its folders stand beside the documents."""
    machine = caps.machine((domain.os and domain.os.machine) or "")
    if machine is None or not host.is_dir() or not firmwares.needed(domain):
        return domain
    found = firmwares.read(host / place.relative_to("/") for place in firmwares.FOLDERS)
    return firmwares.chosen(domain, caps.arch, machine, found)


def _placed(domain: Domain) -> Domain:
    """With the guest's variables where the recording host kept them."""
    boot = domain.os
    if boot is None or boot.nvram or boot.nvram_source is not None:
        return domain
    if boot.loader_type != "pflash" and boot.firmware != "efi":
        return domain
    return domain.replace(os=boot.replace(nvram=f"{DIRECTORIES.nvram}/{domain.name}_VARS.fd"))


def _chains(domain: Domain) -> dict[str, tuple[NodeUse, ...]]:
    """Chains as a look at the images would have found them: nothing below what the definition lists."""
    return {disk.target: (NodeUse("", "file", "/", "raw"),) for disk in domain.disks if disk.target}


def _descriptors(plan: Plan, world: World) -> dict[int, int]:
    wanted = {use.alias: use.queues for use in plan.taps} | {use.alias: use.queues for use in plan.macvtaps}
    queues = {alias: list(tap.create(queues=number).fds) for alias, number in wanted.items()}
    return {use.number: _descriptor(use, world, queues, plan.secrets) for use in plan.fds}


def _kept(value: bytes) -> int:
    number = os.memfd_create("secret")
    os.write(number, value)
    return number


def _descriptor(use: FdUse, world: World, queues: dict[str, list[int]], secrets: Mapping[str, bytes]) -> int:
    if use.kind == "secret":
        return world.give(_kept(secrets[use.target]))
    if use.kind == "passed":
        return use.number  # the world opens the image that it stands for
    if use.kind == "tap":
        return world.give(queues[use.target].pop(0))
    if use.kind in ("open", "cancel"):
        return world.give(os.open(world.file(use.target, b""), os.O_RDWR))
    return world.listener(f"/sockets/{use.number}")


def _renumbered(option: Option, numbers: dict[int, int]) -> Option:
    """The option with the numbers of descriptors that are open now."""
    if option.flag not in ("-chardev", "-netdev", "-add-fd", "-object", "-device"):
        return option
    head = "backend" if option.flag == "-chardev" else ""
    found: dict[str, Any] = fields(option.text, head)
    for key in ("fd", "vhostfd"):
        if str(found.get(key, "")).isdecimal():
            number = numbers[int(found[key])]
            found[key] = str(number) if isinstance(found[key], str) else number
    if found.get("qom-type") == "secret" and str(found.get("file", "")).startswith(OPEN):
        found["file"] = f"{OPEN}{numbers[int(found['file'].removeprefix(OPEN))]}"
    return Option(option.flag, json.dumps(found) if option.json else text(found, head))
