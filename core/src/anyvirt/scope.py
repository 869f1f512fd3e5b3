"""Where a user's or the machine's state lives on this host: folders, locks, stores."""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from anyvirt.errors import Denied, Invalid
from anyvirt.identity import boot_id
from anyvirt.locks import Lock, Locks
from anyvirt.store.faults import coded
from anyvirt.store.names import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anyvirt.settings import Settings
    from anyvirt.store.contract import Store
    from anyvirt.store.files import FileStore
    from anyvirt.store.sqlite import SqliteStore

Kind = Literal["session", "system"]
SYSTEM_STATE: Final = Path("/var/lib/anyvirt")
SYSTEM_RUN: Final = Path("/run/anyvirt")
# Others may pass through to what they may open inside; they can list nothing and change nothing.
PASSABLE: Final = 0o711
# Neither flock nor the shared memory of a write-ahead log can be relied on there.
REFUSED: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse", "fuseblk", "virtiofs", "afs", "ceph", "lustre"}
)
_DRIVER: Final = re.compile(r"[a-z][a-z0-9-]{0,40}")
_ELSEWHERE: Final = "set ANYVIRT_STATE_DIR to a folder on a local disk"


class Scope:
    """All state of one user (``session``) or of the machine (``system``) on this host.

    Found from its state folder alone: whatever else the environment says, one user has
    one truth. Made with ``Scope.find``.

    :param state: definitions, logs, locks; survives a reboot.
    :param run: what belongs to running guests; nothing in it counts after a reboot.
    """

    def __init__(self, kind: Kind, state: Path, run: Path) -> None:
        self.kind, self.state, self.run = kind, state, run
        self.boot_id = boot_id()

    def __repr__(self) -> str:
        return f"Scope({self.kind!r}, {str(self.state)!r})"

    @classmethod
    def find(cls, kind: Kind, state_dir: Path | str | None = None, settings: Settings | None = None) -> Scope:
        """The scope, its folders made where they are missing, owned by this user and closed to others.

        :param state_dir: holds the state instead, in a folder named after ``kind``; as does
            ``ANYVIRT_STATE_DIR`` (``settings.state_dir``), which it overrules.
        :raises Denied: the system's as another than root, somebody else's folder, a network file system.
        """
        if kind not in ("session", "system"):
            raise Invalid(f"{kind!r} is no scope", hint="session and system are")
        if kind == "system" and os.geteuid() != 0:
            raise Denied(
                f"the system's guests belong to root, and this is uid {os.geteuid()}",
                hint="use sudo, the session URI (qemu:///session), or root's login: ssh root@localhost anyvirt ...",
            )
        if settings is None:
            from anyvirt.settings import Settings

            settings = Settings.read()
        moved = Path(state_dir) if state_dir is not None else settings.state_dir
        if moved is not None:
            state = Path(os.path.abspath(moved)) / kind
        else:
            state = SYSTEM_STATE if kind == "system" else settings.user_state_dir / machine_id()
        run = SYSTEM_RUN if state == SYSTEM_STATE else state / "run"
        mounts = _mounts()
        for folder in (state, run, state / "locks"):
            prepare(folder, mounts)
        return cls(kind, state, run)

    @cached_property
    def machine_id(self) -> str:
        """The machine's id, as in ``/etc/machine-id``."""
        return machine_id()

    @cached_property
    def locks(self) -> Locks:
        """The locks of all guests: ``with scope.locks.hold(uuid, purpose="start"):``."""
        return Locks(self.state / "locks")

    def lock(self, key: str) -> Lock:
        """The lock of one guest."""
        return self.locks.lock(key)

    def is_now(self, boot: str) -> bool:
        """Whether something of that boot id may still run: whatever another boot left is dead."""
        return boot == self.boot_id

    def folder(self, *names: str, run: bool = False, passable: bool = False) -> Path:
        """A folder below ``state`` (or ``run``), made 0700 where missing; names are taken as they are.

        :param passable: others may pass through it and what leads to it, to what is theirs inside: 0711.
        :raises Denied: somebody else owns it.
        """
        place = self.run if run else self.state
        if passable:
            prepare(place, passable=True)
        for name in names:
            place /= name
            prepare(place, passable=passable)
        return place

    def store(self, driver: str) -> SqliteStore:
        """The SQLite store of ``driver``; opened when it is first used."""
        from anyvirt.store.sqlite import SqliteStore

        return SqliteStore(self.folder(driver_name(driver)) / "store.db", driver)

    def files(self, driver: str) -> FileStore:
        """The store of ``driver`` in plain files, for drivers whose other end is a shell."""
        from anyvirt.store.files import FileStore  # most drivers use the other one

        return FileStore.local(self.folder(driver_name(driver)), driver, self.lock(f"store-{driver}"))

    def stores(self) -> Iterator[Store]:
        """The store of every driver that keeps something in this scope, by the drivers' names."""
        for folder in sorted(self.state.iterdir()):
            if (folder / "store.db").exists():
                yield self.store(folder.name)
            elif (folder / "head.json").exists():
                yield self.files(folder.name)


def machine_id() -> str:
    """The machine's id; made from the host's name where it has none."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = Path(path).read_text("ascii").strip()
        except (OSError, ValueError):
            continue
        if re.fullmatch(r"[0-9a-f]{32}", text):
            return text
    return "host-" + quote(os.uname().nodename)


def prepare(folder: Path, mounts: Sequence[Mount] | None = None, *, passable: bool = False) -> None:
    """Make ``folder`` where missing; see that it is ours, closed to others, and on a local file system.

    :param mounts: what is mounted; looked up unless given.
    :param passable: others may pass through it; once it is so, it stays so.
    :raises Denied: it is not.
    """
    mounts = _mounts() if mounts is None else mounts
    refuse_remote(_mount_by_path(str(folder), mounts), folder)  # before it is touched: a dead server would hang us
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            fd = os.open(folder, flags)
        except FileNotFoundError:
            _make(folder)
            fd = os.open(folder, flags)
    except OSError as error:
        raise _denied(error, folder) from error
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise Denied(
                f"{folder} belongs to uid {found.st_uid}, and this is uid {os.geteuid()}",
                hint="run as its owner, or set ANYVIRT_STATE_DIR to a folder of your own",
            )
        mode = stat.S_IMODE(found.st_mode)
        if passable and mode != PASSABLE:
            os.fchmod(fd, PASSABLE)
        elif mode & 0o077 and mode != PASSABLE:
            os.fchmod(fd, 0o700)
        refuse_remote(_mount_by_fd(fd, mounts), folder)
    finally:
        os.close(fd)


def refuse_remote(filesystem: str, folder: Path) -> None:
    """Refuse file systems that lock or map in ways of their own.

    :raises Denied: with the file system's name.
    """
    if filesystem in REFUSED or filesystem.startswith("fuse."):
        raise Denied(f"{folder} is on {filesystem}, where locks cannot be relied on", hint=_ELSEWHERE)


def _denied(error: OSError, folder: Path) -> Exception:
    if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
        return Denied(f"{folder} is no folder, or a symbolic link to one", hint=_ELSEWHERE)
    return coded(error, folder)


def _make(folder: Path) -> None:
    """Make it and what leads to it; each one closed to others, whatever the umask says."""
    if not folder.parent.exists():
        _make(folder.parent)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return  # another process was first
    folder.chmod(0o700)


def driver_name(name: str) -> str:
    """A driver's name, which is a folder's as well.

    :raises Invalid: it can be none.
    """
    if not _DRIVER.fullmatch(name):
        raise Invalid(f"{name!r} can be no driver's name", hint="use its URI scheme")
    return name


class Mount(NamedTuple):
    """One line of ``/proc/self/mountinfo``: its id, its place and its file system."""

    number: str
    place: str
    filesystem: str


def _mounts() -> list[Mount]:
    """Every mount, in order of mounting."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split(" ")
        place = _unescaped(words[4])
        found.append(Mount(words[0], place, words[words.index("-") + 1]))
    return found


def _unescaped(place: str) -> str:
    if "\\" not in place:
        return place
    return re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place)


def _mount_by_path(path: str, mounts: Sequence[Mount]) -> str:
    """The file system that ``path`` would be on if no link led elsewhere; nothing is touched."""
    best, filesystem = -1, ""
    for _, place, kind in mounts:
        if (place in ("/", path) or path.startswith(place + "/")) and len(place) >= best:
            best, filesystem = len(place), kind
    return filesystem


def _mount_by_fd(fd: int, mounts: Sequence[Mount]) -> str:
    """The file system that an open folder is on."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii").splitlines()
    except OSError:
        return ""
    number = next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
    return next((kind for mount, _, kind in mounts if mount == number), "")
