"""What on this host stands in the way of a planned start: all of it at once, each with its way out."""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from anyvirt.api import Disk, Domain, Problem, VirtError
from anyvirt_host.local import tap

from anyvirt_qemu import image, reserves
from anyvirt_qemu.plan import NodeUse, Plan

NET: Final = Path("/sys/class/net")
PROC_NET: Final = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENING: Final = "0A"
VNC_FIRST: Final = 5900
PACKAGES: Final = {"qemu-system-x86_64": "qemu-system-x86", "qemu-system-i386": "qemu-system-x86"}
# words in the paths of devices that are opened for QEMU, and the elements that ask for them
PLACES: Final = {
    "vhost-vsock": "/devices/vsock",
    "vhost-vdpa": "/devices/interface/source/@dev",
    "vhost": "/devices/interface/driver/@name",
    "tpm": "/devices/tpm/backend/device/@path",
}
INSTEAD: Final = {
    "swtpm": "start it yourself and name its socket with <backend type='external'>",
    "passt": "use the default back end",
    "vhost-user-gpu": "let QEMU draw: <driver name='qemu'/>",
}
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
                problems.append(Problem(error.code, _source(disk), None, error.message, error.hint))
    return found, problems


def blockers(domain: Domain, plan: Plan) -> list[Problem]:
    """Everything on this host that would make the planned start fail."""
    return [
        *emulator(plan.argv[0]),
        *_boot(domain),
        *_variables(plan),
        *_images(domain, plan),
        *_nets(plan),
        *_devices(plan),
        *_programs(plan),
        *_sockets(plan),
        *_ports(domain),
        *reserves.blockers(plan),
    ]


def emulator(binary: str) -> Iterator[Problem]:
    """Whether QEMU is installed and may be run."""
    path = "/devices/emulator"
    if not os.path.exists(binary):
        package = PACKAGES.get(os.path.basename(binary), "qemu-system")
        hint = f"install it (on Debian and Ubuntu: apt install {package}), or name another emulator"
        yield Problem("file.not-found", path, None, f"{binary} is not installed", hint)
    elif not os.access(binary, os.X_OK, effective_ids=True):
        yield Problem("denied", path, None, f"{binary} may not be run by user {user()}", "correct its rights")


def user() -> str:
    """Name of the user that QEMU will run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def reach(path: str, *, write: bool = False) -> tuple[str, str, str] | None:
    """Why this user cannot open a file: code, sentence, way out; None where nothing is in the way.

    The sentence names the component of the path and the right that is missing.
    """
    here = ""
    for part in path.strip("/").split("/")[:-1]:
        here = f"{here}/{part}"
        try:
            found = os.stat(here)
        except PermissionError:
            break
        except OSError as error:
            return "file.not-found", f"{path}: folder {here}: {error.strerror}", "create it, or correct the path"
        if not stat.S_ISDIR(found.st_mode):
            return "file.not-found", f"{path}: {here} is no folder", "correct the path"
        if not os.access(here, os.X_OK, effective_ids=True):
            text = f"{path}: user {user()} may not pass through folder {here} (right x)"
            return "denied", text, f"setfacl -m u:{user()}:x {here}, or move the file elsewhere"
    try:
        os.stat(path)
    except PermissionError as error:
        return "denied", f"{path}: {error.strerror} for user {user()}", "correct the rights of its folders"
    except OSError as error:
        return "file.not-found", f"{path}: {error.strerror}", "create it, or correct the path"
    for right, flag in (("r", os.R_OK), *((("w", os.W_OK),) if write else ())):
        if not os.access(path, flag, effective_ids=True):
            word = "read" if right == "r" else "write"
            text = f"{path}: user {user()} may not {word} it (right {right})"
            return "denied", text, f"setfacl -m u:{user()}:{right}{'w' * (write and right == 'r')} {path}"
    return None


def _file(place: str, path: str | None, *, write: bool = False) -> Iterator[Problem]:
    if path:
        wrong = reach(path, write=write)
        if wrong is not None:
            yield Problem(wrong[0], place, None, wrong[1], wrong[2])


def _boot(domain: Domain) -> Iterator[Problem]:
    if domain.os is None:
        return
    for place, path in (
        ("/os/kernel", domain.os.kernel),
        ("/os/initrd", domain.os.initrd),
        ("/os/dtb", domain.os.dtb),
        ("/os/loader", domain.os.loader),
    ):
        yield from _file(place, path)
    nvram = domain.os.nvram
    if domain.os.nvram_template and not (nvram and os.path.exists(nvram)):
        yield from _file("/os/nvram/@template", domain.os.nvram_template)
    elif nvram and os.path.exists(nvram):
        yield from _file("/os/nvram", nvram, write=True)


def _variables(plan: Plan) -> Iterator[Problem]:
    """The store of firmware variables, where it neither is there nor is copied from a template."""
    for word in plan.argv:
        if '"node-name":"pflash1-proto"' in word:
            path = json.loads(word).get("filename")
            if path is not None and not os.path.exists(path) and path not in {use.target for use in plan.copies}:
                text = f"the firmware's variables {path} are not there, and no template is named"
                yield Problem("file.not-found", "/os/nvram", None, text, "write <nvram template='...'/>")


def _source(disk: Disk) -> str:
    return f"/devices/disk[{disk.target}]/source/@{'dev' if disk.type == 'block' else 'file'}"


def _images(domain: Domain, plan: Plan) -> Iterator[Problem]:
    by_target = {disk.target: disk for disk in domain.disks}
    seen: dict[tuple[int, int], str] = {}
    overlays = {use.path for use in plan.overlays}
    for use in plan.disks:
        disk = by_target[use.target]
        made = len(use.nodes) > 1 and use.nodes[0].path in overlays
        for depth, node in enumerate(use.nodes[1:] if made else use.nodes):
            if not node.path.startswith("/"):
                continue  # not a file of this host
            place = _source(disk) if depth == 0 else f"/devices/disk[{use.target}]" + "/backingStore" * depth
            writes = depth == 0 and not disk.readonly
            wrong = list(_file(place, node.path, write=writes))
            yield from wrong
            if not wrong:
                yield from _kind(place, node, disk, depth, seen)
                yield from _header(place, node, disk)


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


def _nets(plan: Plan) -> Iterator[Problem]:
    places = {card.alias: f"/devices/interface[{card.mac}]" for card in plan.domain.interfaces}
    refused = tap.problem() if plan.taps else None
    for use in plan.taps:
        place = places.get(use.alias, "/devices/interface")
        if use.bridge and not (NET / use.bridge / "bridge").is_dir():
            text = f"there is no bridge {use.bridge} on this host"
            hint = f"create it: ip link add {use.bridge} type bridge, or use type='user'"
            yield Problem("interface.not-found", f"{place}/source/@bridge", None, text, hint)
        elif refused is not None and not (use.bridge and tap.helper()):
            hint = "use type='user', let an administrator allow it, or use qemu:///system as root"
            yield Problem("denied", place, None, refused, hint)
        elif refused is None and os.geteuid() != 0 and not (use.bridge and tap.helper()):
            text = f"user {user()} may not make a tap device with {tap.TUN} (right CAP_NET_ADMIN)"
            yield Problem("denied", place, None, text, "use type='user', or qemu:///system as root")


def _devices(plan: Plan) -> Iterator[Problem]:
    """Device nodes that are opened for QEMU."""
    for path in sorted({use.target for use in plan.fds if use.kind == "open"}):
        wrong = reach(path, write=True)
        if wrong is not None:
            place = next((found for word, found in PLACES.items() if word in path), "/devices")
            hint = f"modprobe {MODULES.get(path, 'its module')}" if wrong[0] == "file.not-found" else wrong[2]
            yield Problem(wrong[0], place, None, wrong[1], hint)


def _programs(plan: Plan) -> Iterator[Problem]:
    """Programs that have to run beside QEMU; this driver starts none."""
    for use in plan.programs:
        text = f"{use.name} (package {use.package}) has to run beside QEMU, and this driver does not start it"
        yield Problem("unsupported.config", use.place, None, text, INSTEAD.get(use.name, "take the element out"))


def _sockets(plan: Plan) -> Iterator[Problem]:
    """Folders in which sockets are to be bound for, or by, QEMU, where the definition names them."""
    places = [use.target for use in plan.fds if use.kind == "listen"]
    places += [path for path in plan.sockets if not path.startswith(f"{plan.cwd}/")]
    for path in places:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            text = f"{path}: there is no folder {folder}"
            yield Problem("file.not-found", "/devices", None, text, "create it, or leave the path out")
        elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            text = f"{path}: user {user()} may not make a socket in {folder} (right w)"
            yield Problem("denied", "/devices", None, text, "choose another folder, or leave the path out")
        elif os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
            yield Problem("file.exists", "/devices", None, f"{path} is there and no socket", "choose another path")


def _ports(domain: Domain) -> Iterator[Problem]:
    wanted = [
        (x.port, f"/devices/graphics[{x.type}]/@port")
        for x in domain.graphics
        if not x.autoport and (x.port or 0) >= VNC_FIRST and not x.socket
    ]
    if not wanted:
        return
    busy = listening()
    for port, place in wanted:
        if port in busy:
            yield Problem("resource.busy", place, None, f"port {port} is in use", "choose another, or autoport='yes'")


def listening(files: Sequence[str] = PROC_NET) -> set[int]:
    """TCP ports of this host that somebody listens on."""
    found: set[int] = set()
    for path in files:
        try:
            lines = Path(path).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in lines:
            words = row.split()
            if len(words) > 3 and words[3] == LISTENING:
                found.add(int(words[1].rpartition(":")[2], 16))
    return found
