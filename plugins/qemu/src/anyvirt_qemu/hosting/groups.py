"""A guest's control groups: what QEMU joins before it takes anything, and what its threads are moved into."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Problem
from anyvirt_host.local import groups, scope
from anyvirt_host.local.groups import Hierarchy, Limit

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.tuning import LimitUse, Tuning
    from anyvirt_qemu.run_dir import RunDir

USUAL: Final = "/machine"
# these stand at the root under their own names; libvirt marks all others
PLAIN: Final = ("machine", "user", "system")
EVERY: Final = frozenset({"cpu", "memory", "io"})
NODES: Final = "/sys/devices/system/node"
FABRIC: Final = "/sys/class/fc/fc_udev_device/appid_store"
# least and most, by version
RANGES: Final = {"cpu.shares": ((2, 262144), (1, 10000)), "io.weight": ((1, 1000), (1, 10000))}
OUT: Final = (
    "use qemu:///system as root, or have an administrator hand you groups"
    " (systemctl edit user@.service: [Service] Delegate=cpu cpuset io memory), or take the element out"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in one hierarchy the group of a guest is made.

    :param parent: absolute path of the group that it is made in; systemd makes it in time where ``scoped``.
    """

    tree: Hierarchy
    parent: str
    controllers: frozenset[str]
    scoped: bool = False


def blockers(
    tuning: Tuning, env: Mapping[str, str], trees: tuple[Hierarchy, ...] | None = None, nodes: str = NODES
) -> Iterator[Problem]:
    """What keeps this host from giving a guest the groups and limits that it asks for."""
    if not tuning.grouped:
        return
    trees = groups.hierarchies() if trees is None else trees
    by_controller = {name: tree for tree in trees for name in tree.controllers}
    places = {place.tree.mount: place for place in _places(tuning, env, trees)}
    refused = {mount: _refused(place) for mount, place in places.items()}
    for use in {use.place: use for use in tuning.limits}.values():
        name = use.name.partition(".")[0]
        tree = by_controller.get(name)
        if tree is None:
            text = f"the control groups of this host have no controller {name}"
            yield Problem("unsupported.config", use.place, None, text, "mount it, or take the element out")
        elif refused[tree.mount]:
            yield Problem("denied", use.place, None, refused[tree.mount], OUT)
        else:
            yield from _value(use, tree, tuning, nodes)
    if tuning.partition and not tuning.limits:
        for text in {text for text in refused.values() if text} or ({"this host has none"} if not places else set()):
            yield Problem("denied", "/resource/partition", None, text, OUT)
    if tuning.appid and not os.path.exists(FABRIC):
        text = "this host has no fibre channel fabric that takes names of guests"
        yield Problem("unsupported.config", "/resource/fibrechannel/@appid", None, text, "take it out")


def _refused(place: Place) -> str:
    if place.scoped:
        folder = scope.delegated(place.tree, user=os.geteuid() != 0)
        with open(f"{folder}/cgroup.controllers", encoding="ascii") as file:
            lacking = place.controllers - set(file.read().split())
        return f"{folder} has no controller {', '.join(sorted(lacking))}" if lacking else ""
    return groups.refusal(place.tree, place.parent, place.controllers)


def _value(use: LimitUse, tree: Hierarchy, tuning: Tuning, nodes: str) -> Iterator[Problem]:
    """A value that this version of control groups does not take, or what it is about and is not here."""
    value = use.numbers[0]
    least, most = RANGES.get(use.name, ((0, value), (0, value)))[tree.version - 1]
    if not least <= value <= most:
        text = f"{value} is not in the range of version {tree.version} of control groups, {least} to {most}"
        yield Problem("config.range", use.place, None, text, "choose one that is")
    if use.name == "cpuset.mems":
        lost = [str(node) for node in use.numbers if not os.path.isdir(f"{nodes}/node{node}")]
        if lost:
            text, hint = f"this host has no NUMA node {', '.join(lost)}", "choose those it has"
            yield Problem("unsupported.config", use.place, None, text, hint)
    if use.name == "memory.total" and tree.version == 2 and not any(x.name == "memory.hard" for x in tuning.limits):
        text = "version 2 of control groups bounds swap apart from memory"
        yield Problem("unsupported.config", use.place, None, text, "give hard_limit, too")
    if use.device:
        yield from _device(use)


def _device(use: LimitUse) -> Iterator[Problem]:
    try:
        found = os.stat(use.device)
    except OSError as error:
        text = f"{use.device}: {error.strerror}"
        yield Problem("file.not-found", use.place, None, text, "name a block device of this host")
        return
    if not stat.S_ISBLK(found.st_mode):
        text = f"{use.device} is no block device"
        yield Problem("config.invalid", use.place, None, text, "name the device that it is on")


def _places(tuning: Tuning, env: Mapping[str, str], trees: tuple[Hierarchy, ...]) -> list[Place]:
    """One for each hierarchy that is needed; with a partition alone, for each that there is."""
    wanted = {use.name.partition(".")[0] for use in tuning.limits} or (EVERY if tuning.partition else set())
    if tuning.appid:
        wanted = {*wanted, "io"}
    found = []
    for tree in trees:
        controllers = frozenset(wanted & tree.controllers)
        if controllers:
            scoped = tree.version == 2 and bool(scope.busctl(env))
            found.append(Place(tree, _parent(tree, tuning.partition, controllers), controllers, scoped))
    return found


def _parent(tree: Hierarchy, partition: str, controllers: frozenset[str]) -> str:
    if partition:
        parts = partition.strip("/").split("/")
        plain = [part for part in parts[:1] if part in PLAIN]
        marked = [part if part.endswith(".partition") else f"{part}.partition" for part in parts[len(plain) :]]
        return "/".join([tree.mount, *plain, *marked])
    if os.geteuid() == 0:
        return tree.mount + USUAL
    here = tree.own
    while here != tree.mount:  # the innermost that can be divided
        if not groups.refusal(tree, here, controllers):
            return here
        here = os.path.dirname(here)
    return tree.own


def made(ready: Preparation, tuning: Tuning, ours: ExitStack) -> tuple[str, ...]:
    """Make the groups of a guest with all their limits; those that QEMU is to join.

    :param ours: what has to stay until QEMU has joined them.
    :raises VirtError: the kernel, or systemd, refuses.
    """
    if not tuning.grouped:
        return ()
    env = ready.site.host.settings.child_env
    name = f"anyvirt-{ready.record.uuid}-{ready.record.run}"
    joins = []
    for place in _places(tuning, env, groups.hierarchies()):
        if place.scoped:
            folder = _scope(ready, tuning, f"{name}.scope", env, ours)
        else:
            folder = f"{place.parent}/{name}"
            ready.leave("groups", folder=folder, above=groups.absent(place.parent))
        ready.site.step("make-group")
        groups.make(place.tree, folder, place.controllers)
        joins.append(_limited(ready, tuning, place, folder))
        if tuning.appid and place.tree.version == 2:
            _name(folder, tuning.appid)
    return tuple(joins)


def _scope(ready: Preparation, tuning: Tuning, unit: str, env: Mapping[str, str], ours: ExitStack) -> str:
    user = os.geteuid() != 0
    runtime = {name: env[name] for name in ("PATH", "XDG_RUNTIME_DIR") if name in env}
    ready.leave("groups", unit=unit, user=user, env=runtime)
    usual = "" if user else USUAL
    slice_ = scope.slice_of(tuning.partition or usual) if tuning.partition or usual else ""
    folder = ours.enter_context(scope.begun(unit, slice_, env, user=user))
    ready.leave("groups", folder=folder, above=[])
    return folder


def _limited(ready: Preparation, tuning: Tuning, place: Place, folder: str) -> str:
    """Write all limits of a hierarchy; the group in it that QEMU joins."""
    parts: dict[str, list[Limit]] = {}
    for use in tuning.limits:
        if use.name.partition(".")[0] in place.controllers:
            parts.setdefault(use.group, []).append(Limit(use.name, use.numbers, use.device))
    groups.limit(place.tree, folder, parts.pop("", ()))
    ready.site.step("divide-group")
    groups.divide(place.tree, folder, parts, place.controllers)
    for part, limits in parts.items():
        groups.limit(place.tree, f"{folder}/{part}", limits)
    return f"{folder}/emulator" if "emulator" in parts else folder


def _name(folder: str, appid: str) -> None:
    with open(FABRIC, "w", encoding="utf-8") as file:
        file.write(f"{os.stat(folder).st_ino:X}:{appid}")


def parted(left: tuple[Mapping[str, Any], ...], threads: Mapping[tuple[str, int], int]) -> None:
    """Move threads of a running QEMU to the parts of its groups; what has no part leaves that of the emulator.

    :param left: what the run's record has of its groups.
    :param threads: ids of threads, by kind and number.
    """
    folders = [str(entry["folder"]) for entry in left if entry.get("kind") == "groups" and "folder" in entry]
    for folder in folders:
        shared = os.path.isdir(f"{folder}/emulator")
        for (kind, number), thread in threads.items():
            own = f"{folder}/{kind}{number}"
            if os.path.isdir(own):
                groups.join(own, thread)
            elif shared:
                groups.join(folder, thread)


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Take a group away; nobody is in it any more."""
    if "unit" in entry:
        scope.end(str(entry["unit"]), dict(entry["env"]), user=bool(entry["user"]))
        return
    groups.remove(str(entry["folder"]))
    groups.prune(map(str, entry["above"]))
