"""The program that serves a folder by virtiofs: C's of QEMU up to 7.2, Rust's since."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Filesystem, FilesystemBinary, meaningless, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, Program, ProgramUse
from anyvirt_qemu.planning.build import Build

PACKAGE: Final = "virtiofsd"
OLD_PACKAGE: Final = "qemu-system-common"
NEW: Final = "--shared-dir"
LISTENING: Final = FIRST_FD
UNSHARE: Final = "/usr/bin/unshare"


def virtiofsd(b: Build, x: Filesystem) -> str:
    """A server for this folder; the path of its socket, for QEMU."""
    folder = b.path(x, "source_dir", x.source_dir)
    options = x.binary or FilesystemBinary()
    program = b.beside(f"virtiofsd {options.path}" if options.path else "virtiofsd")
    if x.binary is not None and options.path is not None:
        b.path(x.binary, "path", options.path)
    new = NEW in program.can
    words = _new(b, x, program, folder, options) if new else _old(b, x, folder, options)
    argv = (program.path, f"--fd={LISTENING}", *words)
    if program.rooted:
        argv = (UNSHARE, "--user", "--map-root-user", *argv)
    socket = f"{x.alias}-fs.sock"
    b.programs.append(
        ProgramUse(
            name="virtiofsd",
            package=PACKAGE if new else OLD_PACKAGE,
            place=path_of(x),
            alias=x.alias or "",
            path=program.path,
            argv=argv,
            socket=socket,
            fds=(EndUse(LISTENING, "listen"),),
            folders=(folder,),
        )
    )
    return b.near(socket)


def _old(b: Build, x: Filesystem, folder: str, options: FilesystemBinary) -> list[str]:
    """``-o`` and a list in which commas and backslashes are escaped."""
    if x.readonly:
        hint = "make the folder read-only for its server, or mount it so"
        b.refuse(x, "readonly", hint, text="this virtiofsd shares no folder read-only")
    if x.idmap is not None:
        b.refuse(x, "idmap", "install virtiofsd 1.7 or later", text="this virtiofsd maps no users")
        meaningless(x.idmap)
    escaped = folder.replace("\\", "\\\\").replace(",", "\\,")
    given: list[str] = [f"source={escaped}", "log_level=warn"]
    given += [f"cache={options.cache}"] if options.cache else []
    given += [f"sandbox={options.sandbox}"] if options.sandbox else []
    for word, value in (("xattr", options.xattr), ("posix_lock", options.lock_posix), ("flock", options.lock_flock)):
        given += [] if value is None else [word if value else f"no_{word}"]
    words = ["-o", ",".join(given)]
    words += [] if options.open_files is None else [f"--rlimit-nofile={options.open_files}"]
    return words + ([] if options.thread_pool is None else [f"--thread-pool-size={options.thread_pool}"])


def _new(b: Build, x: Filesystem, program: Program, folder: str, options: FilesystemBinary) -> list[str]:
    words = [NEW, folder, *(["--log-level", "error"] if "--log-level" in program.can else [])]
    if options.lock_posix or options.lock_flock:
        field = "lock_posix" if options.lock_posix else "lock_flock"
        b.refuse(x.binary, field, "leave it out", text=f"this virtiofsd ({program.path}) knows no locks of the guest's")
    asked: list[tuple[object, str, str, Any]] = [
        (x.binary, "cache", "--cache", {"none": "never"}.get(options.cache or "", options.cache)),
        (x.binary, "sandbox", "--sandbox", options.sandbox),
        (x.binary, "open_files", "--rlimit-nofile", options.open_files),
        (x.binary, "thread_pool", "--thread-pool-size", options.thread_pool),
        (x.binary, "xattr", "--xattr", True if options.xattr else None),
        (x, "readonly", "--readonly", True if x.readonly else None),
    ]
    for owner, field, option, value in asked:
        if value is None:
            continue
        if option not in program.can:
            text = f"this virtiofsd ({program.path}) has no option {option}"
            b.refuse(owner, field, "install a newer one, or leave it out", text=text)
        words += [option] if value is True else [option, str(value)]
    return words + _mapped(b, x, program)


def _mapped(b: Build, x: Filesystem, program: Program) -> list[str]:
    """Users and groups of the folder as the guest sees them: ``:start:target:count:``."""
    if x.idmap is None:
        return []
    maps = {"--uid-map": x.idmap.uids, "--gid-map": x.idmap.gids}
    if not program.can.issuperset(maps):
        text = f"this virtiofsd ({program.path}) maps no users, or none where root runs it"
        b.refuse(x, "idmap", "use qemu:///session and virtiofsd 1.7 or later, or leave it out", text=text)
        meaningless(x.idmap)
    rows = [(option, row) for option, ranges in maps.items() for row in ranges]
    return [word for option, row in rows for word in (option, f":{row.start or 0}:{row.target or 0}:{row.count or 1}:")]
