"""What on this host stands in the way of a planned start: all of it at once, each with its way out."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from typing import Final

from anyvirt.api import Disk, Domain, Problem, VirtError, heeded

from anyvirt_qemu import image
from anyvirt_qemu.devices.seclabel import host_labels
from anyvirt_qemu.planning.plan import NodeUse, Plan
from anyvirt_qemu.probing import emulators
from anyvirt_qemu.readiness import attached, occupied, reserves, servers, soundness
from anyvirt_qemu.readiness.rights import OURS, Rights, Wrong

# words in the paths of devices that are opened for QEMU, and the elements that ask for them
PLACES: Final = {
    "vhost-vsock": "/devices/vsock",
    "vhost-vdpa": "/devices/interface/source/@dev",
    "vhost": "/devices/interface/driver/@name",
    "tpm": "/devices/tpm/backend/device/@path",
}
# where models of security show on a host that has them
SECURITY: Final = {"apparmor": "/sys/kernel/security/apparmor", "selinux": "/sys/fs/selinux"}
# elements whose files are looked at one by one
TOLD: Final = ("/devices/disk[", "/os/")
MODULES: Final = {"/dev/vhost-vsock": "vhost_vsock", "/dev/vhost-net": "vhost_net"}


def chains(domain: Domain) -> tuple[dict[str, tuple[NodeUse, ...]], list[Problem]]:
    """Images of disks whose definition does not list them, by target, and what is wrong with those there."""
    found: dict[str, tuple[NodeUse, ...]] = {}
    problems: list[Problem] = []
    for disk in domain.disks:
        last = image.open_end(disk)
        if last is None:
            continue
        path, form = last
        try:
            found[disk.target or ""] = image.chain(path, form)
        except VirtError as error:
            # blockers tells more of a file that is missing or closed to this user
            found[disk.target or ""] = (NodeUse("", "file", path, form),)
            if error.code not in {"file.not-found", "denied"} or os.access(path, os.R_OK, effective_ids=True):
                problems.append(Problem(error.code, occupied.image_place(disk), None, error.message, error.hint))
    return found, problems


def blockers(domain: Domain, plan: Plan, rights: Rights | None = None) -> list[Problem]:
    """Everything on this host that would make the planned start fail.

    :param rights: those of the user that QEMU will be.
    """
    rights = rights or Rights(plan.account, plan.files)
    return [
        *emulator(plan.argv[0], rights),
        *_labels(domain),
        *_boot(domain, rights),
        *_variables(plan),
        *_images(domain, plan, rights),
        *_files(plan, rights),
        *attached.nets(plan),
        *_devices(plan),
        *_programs(plan),
        *occupied.blockers(domain, plan),
        *servers.blockers(plan, OURS, rights),
        *reserves.blockers(plan),
    ]


def _programs(plan: Plan) -> Iterator[Problem]:
    """What keeps programs from running beside QEMU."""
    if plan.programs:
        from anyvirt_qemu.readiness import installed

        yield from installed.blockers(plan)


def emulator(binary: str, rights: Rights = OURS) -> Iterator[Problem]:
    """Whether QEMU is installed and may be run."""
    path = "/devices/emulator"
    if not os.path.exists(binary):
        hint = f"install it (on Debian and Ubuntu: apt install {emulators.package(binary)}), or name another emulator"
        yield Problem("file.not-found", path, None, f"{binary} is not installed", hint)
    elif (wrong := rights.way(binary)) is not None:
        yield Problem(wrong.code, path, None, wrong.text, wrong.hint)
    elif not rights.may(binary, "x"):
        yield Problem("denied", path, None, f"{binary} may not be run by user {rights.user}", "correct its rights")


def _file(rights: Rights, place: str, path: str | None, *, write: bool = False) -> Iterator[Problem]:
    if path:
        wrong = rights.reach(path, write=write)
        if wrong is not None:
            yield Problem(wrong.code, place, None, wrong.text, wrong.hint)


def _labels(domain: Domain) -> Iterator[Problem]:
    """Labels of models that this host, or this driver, does not have."""
    for place, model in host_labels(heeded(domain)):
        there = model in SECURITY and os.path.isdir(SECURITY[model])
        text = f"this driver does not confine guests with {model} yet" if there else f"this host has no {model}"
        yield Problem("unsupported.config", place, None, text, "take the label out")


def _files(plan: Plan, rights: Rights) -> Iterator[Problem]:
    """What else QEMU's user opens by its path, where that is another user than this one."""
    for use in plan.files:
        if use.place.startswith(TOLD):
            continue
        if use.make and use.owner is None and not os.path.lexists(use.path):
            yield from _made(use.path, use.place, rights)
        elif not use.optional or os.path.lexists(use.path):
            yield from _file(rights, use.place, use.path, write=use.write)


def _made(path: str, place: str, rights: Rights) -> Iterator[Problem]:
    """A file that QEMU makes itself."""
    wrong = rights.way(path)
    folder = os.path.dirname(path)
    if wrong is None and not rights.may(folder, "w"):
        text = f"{path}: user {rights.user} may not make a file in {folder} (right w)"
        wrong = Wrong("denied", text, f"setfacl -m u:{rights.user}:wx {folder}, or make the file for it")
    if wrong is not None:
        yield Problem(wrong.code, place, None, wrong.text, wrong.hint)


def _boot(domain: Domain, rights: Rights) -> Iterator[Problem]:
    if domain.os is None:
        return
    for place, path in (
        ("/os/kernel", domain.os.kernel),
        ("/os/initrd", domain.os.initrd),
        ("/os/dtb", domain.os.dtb),
        ("/os/loader", domain.os.loader),
    ):
        yield from _file(rights, place, path)
    nvram = domain.os.nvram
    if domain.os.nvram_template and not (nvram and os.path.exists(nvram)):
        yield from _file(OURS, "/os/nvram/@template", domain.os.nvram_template)
    elif nvram and os.path.exists(nvram):
        yield from _file(rights, "/os/nvram", nvram, write=True)


def _variables(plan: Plan) -> Iterator[Problem]:
    """The store of firmware variables, where it neither is there nor is copied from a template."""
    for word in plan.argv:
        if '"node-name":"pflash1-proto"' in word:
            path = json.loads(word).get("filename")
            if path is not None and not os.path.exists(path) and path not in {use.target for use in plan.copies}:
                text = f"the firmware's variables {path} are not there, and no template is named"
                yield Problem("file.not-found", "/os/nvram", None, text, "write <nvram template='...'/>")


def _images(domain: Domain, plan: Plan, rights: Rights) -> Iterator[Problem]:
    by_target = {disk.target: disk for disk in domain.disks}
    seen: dict[tuple[int, int], str] = {}
    overlays = {use.path for use in plan.overlays}
    for use in plan.disks:
        disk = by_target[use.target]
        made = len(use.nodes) > 1 and use.nodes[0].path in overlays
        for depth, node in enumerate(use.nodes[1:] if made else use.nodes):
            if not node.path.startswith("/"):
                continue  # not a file of this host
            place = occupied.image_place(disk, depth)
            writes = depth == 0 and not disk.readonly
            wrong = list(_file(rights, place, node.path, write=writes))
            yield from wrong
            if not wrong:
                yield from _kind(place, node, disk, depth, seen)
                yield from _header(place, node, disk)
                yield from soundness.blockers(place, node, disk, writes=writes and not made, top=depth == 0)


def _kind(place: str, node: NodeUse, disk: Disk, depth: int, seen: dict[tuple[int, int], str]) -> Iterator[Problem]:
    found = os.stat(node.path)
    is_block = stat.S_ISBLK(found.st_mode)
    if depth == 0 and disk.type != "block" and not stat.S_ISREG(found.st_mode):
        hint = "write type='block' and <source dev=...>" if is_block else "name an image file"
        yield Problem("config.invalid", place, None, f"{node.path} is no regular file", hint)
    elif depth == 0 and disk.type == "block" and not is_block:
        hint = "write type='file' and <source file=...>"
        yield Problem("config.invalid", place, None, f"{node.path} is no block device", hint)
    if depth == 0 and not disk.readonly and not disk.shareable:
        key = (found.st_dev, found.st_rdev or found.st_ino)
        other = seen.setdefault(key, disk.target or "")
        if other != (disk.target or ""):
            text = f"{node.path} is the image of {other}, too"
            yield Problem("config.invalid", place, None, text, "give each disk an image of its own")


def _header(place: str, node: NodeUse, disk: Disk) -> Iterator[Problem]:
    """An image that names another file of its own accord, or is none of its format."""
    if node.format == "raw" or node.format not in image.FORMATS or _sliced(disk):
        return
    try:
        image.look(node.path, node.format, below=False)
    except VirtError as error:
        yield Problem(error.code, place, None, error.message, error.hint)


def _sliced(disk: Disk) -> bool:
    """Whether an image of the disk is a part of its file, and its header not at the beginning."""
    sources, store = [disk.source], disk.backing_store
    while store is not None:
        sources.append(store.source)
        store = store.backing_store
    return any(source is not None and source.slices for source in sources)


def _devices(plan: Plan) -> Iterator[Problem]:
    """Device nodes that are opened for QEMU."""
    for path in sorted({use.target for use in plan.fds if use.kind == "open"}):
        wrong = OURS.reach(path, write=True)
        if wrong is not None:
            place = next((found for word, found in PLACES.items() if word in path), "/devices")
            hint = f"modprobe {MODULES.get(path, 'its module')}" if wrong.code == "file.not-found" else wrong.hint
            yield Problem(wrong.code, place, None, wrong.text, hint)
