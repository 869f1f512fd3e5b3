"""Which programs that run beside QEMU this host has, and what they can do; asked of themselves, once."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import Domain, Problem, VirtError
from anyvirt_host.local.child import Child

from anyvirt_qemu.planning.beside import Program, ProgramUse
from anyvirt_qemu.planning.needed import needed
from anyvirt_qemu.probing import cache
from anyvirt_qemu.readiness.rights import OURS

if TYPE_CHECKING:
    from anyvirt_qemu.planning.plan import Plan
    from anyvirt_qemu.site import Site

FORMAT: Final = 1
KIND: Final = "program"
LIMIT: Final = 5.0
SAID_MAX: Final = 65536
OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
# where programs are that are on nobody's PATH
FOLDERS: Final = ("/usr/lib/qemu", "/usr/libexec", "/usr/libexec/qemu", "/usr/lib")
DESCRIPTORS: Final = ("/etc/qemu/vhost-user", "/usr/share/qemu/vhost-user")
MACHINES: Final = Path("/var/lib/anyvirt")  # state whose TPMs the host's own authority signs for
SETUP: Final = "/etc/swtpm_setup.conf"
# what each is asked; what it answers has options or a list of features in it
QUESTIONS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "swtpm": (("socket", "--print-capabilities"),),
    "swtpm_setup": (("--print-capabilities",),),
    "virtiofsd": (("--help",),),
    "passt": (("--help",),),
    "vhost-user-gpu": (("--help",),),
}
INSTEAD: Final = {
    "swtpm": "start it yourself and name its socket with <backend type='external'>",
    "passt": "use the default back end",
    "virtiofsd": "start it yourself and name its socket with <source socket=>, or share the folder by 9p",
    "vhost-user-gpu": "let QEMU draw: <driver name='qemu'/>",
    "qemu-pr-helper": "start it yourself and write <reservations managed='no'>",
}
ROOTED: Final = frozenset({"qemu-pr-helper"})  # it gives up rights that nobody else has
# settings of the kernel that leave user namespaces to root
CLOSED: Final = {
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
    "/proc/sys/user/max_user_namespaces": "0",
}
ROOTLESS: Final = frozenset({"--uid-map", "--gid-map"})  # which virtiofsd takes from nobody else
SERVERS: Final = {"virtiofsd": "fs", "vhost-user-gpu": "gpu"}


def found(site: Site, domain: Domain) -> dict[str, Program]:
    """The programs that this domain needs, by name; one that the definition places under ``NAME PATH``, too.

    Those that are not installed are left out.
    """
    programs = {}
    for name in dict.fromkeys(needed(domain)):
        kind, _, path = name.partition(" ")
        place = path or _place(site, kind)
        if place and os.access(place, os.X_OK, effective_ids=True):
            programs[name] = _known(site, kind, place)
    return programs


def _place(site: Site, kind: str) -> str:
    """Where a program is; ``""`` where this host has none."""
    if kind in SERVERS:
        folders = [str(site.host.settings.user_config_dir / "qemu/vhost-user"), *DESCRIPTORS]
        place = described(SERVERS[kind], folders)
        if place:
            return place
    path = site.host.settings.child_env.get("PATH") or os.defpath
    return shutil.which(kind, path=os.pathsep.join((path, *FOLDERS))) or ""


def described(kind: str, folders: Sequence[str]) -> str:
    """The program that the first description of this kind names, files in the order of their names; ``""`` for none.

    A file stands for those of the same name in later folders.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        with suppress(OSError):
            for file in Path(folder).iterdir():
                if file.name.endswith(".json"):
                    files.setdefault(file.name, file)
    for _, file in sorted(files.items()):
        try:
            said = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.get("type") == kind and os.path.exists(str(said.get("binary", ""))):
            return str(said["binary"])
    return ""


def _known(site: Site, kind: str, path: str) -> Program:
    program = Program(path, frozenset(_asked(site, kind, path)))
    if kind == "virtiofsd":
        if os.geteuid() == 0:
            return replace(program, can=program.can - ROOTLESS)
        return replace(program, rooted="--shared-dir" not in program.can)
    if kind == "swtpm_setup" and site.scope.state != MACHINES:
        return replace(program, config=str(site.scope.state / "qemu/tpm-authority/setup.conf"))
    return program


def _asked(site: Site, kind: str, path: str) -> list[str]:
    questions = QUESTIONS.get(kind)
    if questions is None:
        return []
    folder = site.host.settings.user_cache_dir
    key = [*cache.identity(path), FORMAT, *(word for words in questions for word in words)]
    kept = cache.load(folder, KIND, key)
    if kept is not None:
        return [str(word) for word in kept.get("can", ())]
    said = "".join(_answer(path, words) for words in questions)
    can = sorted({*OPTION.findall(said), *_features(said)})
    if can:
        cache.keep(folder, KIND, key, {"can": can})
    return can


def _answer(path: str, words: Sequence[str]) -> str:
    """What a program says to this; nothing where it cannot be run."""
    out = os.memfd_create("said", os.MFD_CLOEXEC)
    try:
        with Child([path, *words], out=out) as child:
            child.wait(LIMIT)
            return os.pread(out, SAID_MAX, 0).decode(errors="replace") + child.errors()
    except VirtError:
        return ""
    finally:
        os.close(out)


def _features(said: str) -> list[str]:
    for line in said.splitlines():
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and isinstance(told.get("features"), list):
                return [str(word) for word in told["features"]]
    return []


def blockers(plan: Plan) -> Iterator[Problem]:
    """What keeps the planned programs from running: all of it, each with its way out."""
    for use in plan.programs:
        paths = {use.path: use.package}
        if use.state is not None:
            paths[use.state.make[0]] = use.state.package
        for path, package in paths.items():
            yield from _runnable(use, path, package)
        if use.argv[0] != use.path:
            yield from _rootless(use)
        for folder in use.folders:
            yield from _shared(f"{use.place}/source/@dir", folder)
        if use.state is not None:
            yield from _kept(use.place, use.state.folder)


def _runnable(use: ProgramUse, path: str, package: str) -> Iterator[Problem]:
    name = os.path.basename(path)
    if not os.path.exists(path):
        hint = f"install it (on Debian and Ubuntu: apt install {package})"
        if use.name in INSTEAD:
            hint += f", or {INSTEAD[use.name]}"
        text = f"{name} (package {package}) has to run for it, and is not installed"
        yield Problem("file.not-found", use.place, None, text, hint)
    elif use.name in ROOTED and os.geteuid() != 0:
        text = f"{name} works for root alone, and this is user {OURS.user}"
        yield Problem("denied", use.place, None, text, f"use qemu:///system as root, or {INSTEAD[use.name]}")
    elif not os.access(path, os.X_OK, effective_ids=True):
        text = f"{path} may not be run by user {OURS.user}"
        yield Problem("denied", use.place, None, text, "correct its rights, or install another")


def _rootless(use: ProgramUse) -> Iterator[Problem]:
    """Whether this user may have a user namespace, in which the program believes that root runs it."""
    hint = "install virtiofsd 1.0 or later, use qemu:///system as root, or share the folder by 9p"
    closed = next((path for path, value in CLOSED.items() if _read(path) == value), None)
    if not os.path.exists(use.argv[0]):
        text = f"{use.name} needs root's rights, and {use.argv[0]} (package util-linux) is not installed"
        yield Problem("file.not-found", use.place, None, text, hint)
    elif closed is not None:
        text = f"{use.name} needs a user namespace, and {closed} closes them to user {OURS.user}"
        yield Problem("denied", use.place, None, text, hint)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except OSError:
        return ""


def _shared(place: str, folder: str) -> Iterator[Problem]:
    wrong = OURS.reach(folder)
    if wrong is not None:
        yield Problem(wrong.code, place, None, wrong.text, wrong.hint)
    elif not os.path.isdir(folder):
        yield Problem("config.invalid", place, None, f"{folder} is no folder", "name a folder")


def _kept(place: str, folder: str) -> Iterator[Problem]:
    """The folder of a state, or the first one above it that is there."""
    above = Path(folder)
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        text = f"{folder}: user {OURS.user} may not keep the state of the device in {above} (right w)"
        yield Problem("denied", place, None, text, f"open {above} to this user, or choose another place")


def authority(lines: Sequence[str], folder: Path) -> dict[str, str]:
    """Files that let a user's own authority sign what a TPM is made with, by path.

    :param lines: those of the host's configuration, which stand but for where the authority is.
    :param folder: where the authority keeps its keys.
    """
    kept = [line for line in lines if not line.replace(" ", "").startswith("create_certs_tool_config=")]
    names = {"signingkey": "signkey.pem", "issuercert": "issuercert.pem", "certserial": "certserial"}
    where = [f"statedir = {folder}", *(f"{word} = {folder / name}" for word, name in names.items())]
    place = folder / "authority.conf"
    return {
        str(place): "\n".join([*where, ""]),
        str(folder / "setup.conf"): "\n".join([*kept, f"create_certs_tool_config = {place}", ""]),
    }
