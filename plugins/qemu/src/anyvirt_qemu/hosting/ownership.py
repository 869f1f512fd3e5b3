"""Files of the host that QEMU's user could not open: given to it while guests run, and given back by the last of them.

One book for all guests of a scope says whose each file was and who uses it now; it is on disk before any file
changes hands, and changed by one process at a time. A file is known by its inode and reached by a descriptor: what
somebody has put in its place meanwhile is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Busy, Denied, Failed, NotFound, Problem, ProcessId, VirtError, current
from anyvirt_host.local import files

from anyvirt_qemu.readiness.rights import LIST, Mode, sealed

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.plan import Account, FileUse, Plan
    from anyvirt_qemu.run_dir import RunDir
    from anyvirt_qemu.site import Site

KIND: Final = "ownership"
MADE: Final = "made"
BOOK: Final = "ownership.json"
LOCK: Final = "ownership.lock"
NAP: Final = 0.005
LINKS: Final = 40
VFIO: Final = "/dev/vfio"
FILE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PRIVATE: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Use:
    """What one guest needs of a file: its user, its group, and whether it writes."""

    uid: int
    gid: int
    write: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A file that has changed hands.

    :param path: by which it was named first.
    :param number: its inode.
    :param was: user, group and mode that it had.
    :param now: those that it has got.
    :param boot: when that was; guests of another boot use nothing any more.
    :param users: who uses it, by UUID.
    :param acl: the access control list that it had, in hexadecimal digits; empty for none.
    """

    path: str
    device: int
    number: int
    was: tuple[int, int, int]
    now: tuple[int, int, int]
    boot: str
    users: Mapping[str, Use]
    acl: str = ""

    def keeps(self, now: tuple[int, int, int]) -> bool:
        """Whether everybody who uses it can go on with other hands."""
        return all(_suffices(now, use) for use in self.users.values())


def _suffices(now: tuple[int, int, int], use: Use) -> bool:
    mode = Mode(*now)
    return all(mode.allows(use.uid, {use.gid}, right) for right in ("rw" if use.write else "r"))


class Book:
    """Which files have changed hands; open it with ``locked``.

    :param boot: the boot of now.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder, self.boot = folder, boot
        self.held = [self._entry(row) for row in self._load()]

    @classmethod
    @contextmanager
    def locked(cls, folder: Path, boot: str) -> Iterator[Book]:
        """The book, for this process alone inside the block.

        :raises Interrupted: another one has it until the deadline.
        """
        fd = os.open(folder / LOCK, PRIVATE, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    current().check("waiting for whoever changes owners of files")
                    time.sleep(NAP)
            yield cls(folder, boot)
        finally:
            os.close(fd)

    def of(self, found: os.stat_result) -> Held | None:
        """What is written down of a file."""
        for one in self.held:
            if (one.device, one.number, one.boot) == (found.st_dev, found.st_ino, self.boot):
                return one
        return None

    def put(self, held: Held) -> None:
        """Write down what is to become of a file; ``save`` has to follow."""
        self.held = [one for one in self.held if (one.device, one.number) != (held.device, held.number)]
        self.held.append(held)

    def leave(self, uuid: str | None) -> None:
        """A guest uses nothing any more; what nobody uses goes back to its owner. None: only what is of other boots.

        :raises VirtError: something that it used does not go back; the rest has, and what has not stays in the book.
        """
        kept: list[Held] = []
        failed: VirtError | None = None
        for one in self.held:
            users = {} if one.boot != self.boot else {name: use for name, use in one.users.items() if name != uuid}
            if users:
                kept.append(replace(one, users=users))
                continue
            try:
                give_back(one)
            except VirtError as error:
                kept.append(replace(one, users={}))
                if uuid is None or uuid in one.users:  # what others have left is for `settle` to tell
                    failed = failed or error
        if kept != self.held:
            self.held = kept
            self.save()
        if failed is not None:
            raise failed

    def save(self) -> None:
        """Put it on disk, so that it outlives a loss of power.

        :raises Failed: there is no room.
        """
        new = self._folder / f".{BOOK}.new"
        data = json.dumps([asdict(one) for one in self.held]).encode()
        try:
            with open(new, "wb", opener=files.private) as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self._folder / BOOK)
            _kept(self._folder)
        except OSError as error:
            words = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"cannot note whose files are: {error.strerror}", native=words) from error

    def _load(self) -> list[Any]:
        try:
            found = json.loads((self._folder / BOOK).read_bytes())
        except FileNotFoundError:
            return []
        except ValueError as error:  # never half written: somebody else has changed it
            text = f"{self._folder / BOOK} cannot be read: {error}"
            raise Failed(text, hint="give the files in it back to their owners, and remove it") from error
        return list(found)

    @staticmethod
    def _entry(row: Mapping[str, Any]) -> Held:
        users = {name: Use(**use) for name, use in row["users"].items()}
        was, now = (_three(row[name]) for name in ("was", "now"))
        return Held(row["path"], row["device"], row["number"], was, now, row["boot"], users, row.get("acl", ""))


def _three(values: Any) -> tuple[int, int, int]:
    uid, gid, mode = values
    return int(uid), int(gid), int(mode)


def _kept(folder: Path) -> None:
    """Have the disk keep names, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def folder(site: Site) -> Path:
    """Where the book is."""
    return site.scope.folder("qemu")


def give(ready: Preparation, plan: Plan) -> None:
    """Give the planned files to QEMU's user; those that it can open already stay as they are.

    :raises Busy: another guest uses one as another user.
    :raises Denied: one cannot be given.
    """
    if plan.account is None or not any(use.owner is not None for use in plan.files):
        return
    site, uuid = ready.site, ready.record.uuid
    ready.leave(KIND, folder=str(folder(site)), uuid=uuid)
    with Book.locked(folder(site), site.scope.boot_id) as book, ExitStack() as opened:
        with suppress(VirtError):  # what does not go back to others is no matter of this guest
            book.leave(None)
        change = Change(book, plan.account, uuid)
        for use in plan.files:
            fd = _opened(ready, use) if use.owner is not None else None
            if fd is not None:
                opened.callback(os.close, fd)
                change.add(fd, use)
        if change.made:
            site.step("note-owners")
            book.save()
        for fd, held in change.made.values():
            site.step("give-file")
            _set(fd, held.now, held.path)


def blockers(site: Site, plan: Plan, uuid: str) -> Iterator[Problem]:
    """What stands in the way of that; files that are missing, or that nobody can get to, are told elsewhere."""
    if plan.account is None:
        return
    change = Change(Book(folder(site), site.scope.boot_id), plan.account, uuid)
    with ExitStack() as opened:
        for use in plan.files:
            if use.owner is None:
                continue
            try:
                fd = reached(_node(use.path))
                opened.callback(os.close, fd)
                change.add(fd, use)
            except NotFound:
                continue
            except VirtError as error:
                yield Problem(error.code, use.place, None, error.message, error.hint)


def _opened(ready: Preparation, use: FileUse) -> int | None:
    """A file that is to be given; None where it is not there, and need not be."""
    try:
        return reached(_node(use.path))
    except NotFound:
        if use.make:
            ready.leave(MADE, path=use.path)
            ready.site.step("make-file")
            try:
                return _made(use.path)
            except VirtError:
                ready.withdraw()
                raise
        if use.optional:
            return None
        raise


def _node(path: str) -> str:
    """The file that is meant: of a group of VFIO its node."""
    from anyvirt_qemu.devices.seclabel import GROUP  # brings the models in

    if os.path.basename(path) != GROUP:
        return path
    try:
        return f"{VFIO}/{os.path.basename(os.readlink(path))}"
    except OSError as error:
        raise _coded(error, path) from error


def _made(path: str) -> int:
    above, name = os.path.split(path)
    fd = reached(above)
    try:
        new = os.open(name, NEW, 0o600, dir_fd=fd)
    except OSError as error:
        raise _coded(error, path) from error
    finally:
        os.close(fd)
    try:
        return os.open(f"/proc/self/fd/{new}", os.O_PATH | os.O_CLOEXEC)
    finally:
        os.close(new)


class Change:
    """What becomes of the files that one guest needs, on paper.

    :param made: what is to be done, by device and inode: a descriptor that stands for the file, and the entry.
    """

    def __init__(self, book: Book, account: Account, uuid: str) -> None:
        self._book, self._account, self._uuid = book, account, uuid
        self.made: dict[tuple[int, int], tuple[int, Held]] = {}

    def add(self, fd: int, use: FileUse) -> None:
        """A file that the guest needs.

        :raises Busy: another guest uses it as another user.
        :raises Denied: it cannot be given.
        """
        found = os.fstat(fd)
        held = self._book.of(found)
        planned = self.made.get((found.st_dev, found.st_ino))
        own = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        mode = Mode.of(f"/proc/self/fd/{fd}", found)
        if planned is not None:
            own = planned[1].now
            mode = Mode(*own, mode.acl)
        need = self._need(use, held)
        enough = self._enough(mode, use)
        if held is None and enough:
            return
        now = own if enough else _changed(own, need, listed=bool(mode.acl))
        if not enough:
            _fit(found, use.path)
            if not stat.S_ISCHR(found.st_mode) and sealed(f"/proc/self/fd/{fd}"):
                raise Denied(f"{use.path}: its file system is read-only", hint="mount it for writing")
            if not _suffices(now, need):
                text = (
                    f"{use.path} is given to user {self._account.name}, and its mode {own[2]:04o} keeps its owner out"
                )
                raise Denied(text, hint=f"chmod u+rw {use.path}")
        users = {name: one for name, one in held.users.items() if name != self._uuid} if held is not None else {}
        entry = held or Held(_node(use.path), found.st_dev, found.st_ino, own, now, self._book.boot, {}, _acl(fd).hex())
        if not replace(entry, users=users).keeps(now):
            hint = "run both guests as one user, or copy the image"
            raise Busy(use.path, holder="a guest that runs as another user", purpose="using it", hint=hint)
        entry = replace(entry, now=now, users={**users, self._uuid: need})
        self._book.put(entry)
        self.made[found.st_dev, found.st_ino] = (fd, entry)

    def _need(self, use: FileUse, held: Held | None) -> Use:
        assert use.owner is not None
        mine = held.users.get(self._uuid) if held is not None else None
        return Use(*use.owner, use.write or self._chosen(use) or (mine is not None and mine.write))

    def _chosen(self, use: FileUse) -> bool:
        """Whether the definition has named the owner of this very file."""
        return use.owner != (self._account.uid, self._account.gid)

    def _enough(self, mode: Mode, use: FileUse) -> bool:
        """Whether nothing has to change."""
        if self._chosen(use):
            return (mode.uid, mode.gid) == use.owner
        groups = {self._account.gid, *self._account.groups}
        return all(mode.allows(self._account.uid, groups, right) for right in ("rw" if use.write else "r"))


def _changed(old: tuple[int, int, int], need: Use, *, listed: bool) -> tuple[int, int, int]:
    """Who writes a file owns it; who only reads it does so as its group, and can change nothing of it.

    :param listed: an access control list says what its group may do.
    """
    if need.write or listed:
        return need.uid, need.gid, old[2]
    return old[0], need.gid, old[2] | 0o040


def _fit(found: os.stat_result, path: str) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFIFO}:
        raise Denied(f"{path} is no file, and folders are not given away", hint="name the file itself")
    if found.st_mode & (stat.S_ISUID | stat.S_ISGID):  # whoever writes it would have it run as its old owner
        raise Denied(f"{path} runs as its owner, and is not given away", hint=f"chmod ug-s {path}")


def _acl(fd: int) -> bytes:
    """The access control list of what a descriptor stands for; empty where it has none."""
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", LIST)
    except OSError:
        return b""


def _set(fd: int, now: tuple[int, int, int], path: str, *, acl: bytes | None = None) -> None:
    """Change hands and mode of what an O_PATH descriptor stands for.

    :param acl: the access control list that it is to have, whatever an owner has made of it meanwhile.
    """
    place = f"/proc/self/fd/{fd}"
    uid, gid, mode = now
    try:
        found = os.fstat(fd)
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.chown(place, uid, gid)
        if acl is not None and acl != _acl(fd):
            os.setxattr(place, LIST, acl) if acl else os.removexattr(place, LIST)
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.chmod(place, mode)
    except OSError as error:
        raise _coded(error, path) from error


def give_back(held: Held) -> None:
    """Give a file back to whose it was, where it is still there, and still as it was given.

    :raises Denied, Failed: that does not work.
    """
    try:
        fd = reached(held.path)
    except (NotFound, Denied):  # removed, or replaced by what nobody trusts
        return
    try:
        found = os.fstat(fd)
        # numbers of devices are given anew by each boot
        there = held.device == found.st_dev or held.boot != ProcessId.own().boot
        same = there and found.st_ino == held.number
        if same and (found.st_uid, found.st_gid) in {held.now[:2], held.was[:2]}:
            _set(fd, held.was, held.path, acl=bytes.fromhex(held.acl))
    finally:
        os.close(fd)


def take_back(place: RunDir, entry: Mapping[str, Any]) -> None:
    """The guest has ended: what nobody else uses goes back to its owner."""
    if entry["kind"] == MADE:
        _unmake(place, str(entry["path"]))
        return
    with suppress(FileNotFoundError), Book.locked(Path(entry["folder"]), ProcessId.own().boot) as book:
        book.leave(entry["uuid"])


def _unmake(place: RunDir, path: str) -> None:
    """Remove a file that was made for QEMU, where the guest has never run, and nobody has written into it."""
    from anyvirt_qemu.guest import STATUS, Record

    written = place.read(STATUS)
    if written is None or Record.from_bytes(written).up:
        return
    above, name = os.path.split(path)
    with suppress(NotFound):
        fd = reached(above)
        try:
            with suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_size == 0 and found.st_nlink == 1:
                    os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)


def settle(site: Site) -> None:
    """Give back what guests had that ended with the power of this host."""
    where = folder(site)
    if (where / BOOK).exists():
        with Book.locked(where, site.scope.boot_id) as book:
            book.leave(None)


def reached(path: str) -> int:
    """A descriptor that stands for a file, and opens it for nothing; the caller closes it.

    A link is followed where it belongs to root or to us: nobody else decides which file changes hands.

    :raises NotFound: (kind ``file``) there is none.
    :raises Denied: somebody else's link is on the way.
    """
    parts, links = deque(path.split("/")), 0
    fd = os.open("/", FOLDER)
    try:
        while parts:
            name = parts.popleft()
            if name in {"", "."}:
                continue
            new = os.open(name, FILE, dir_fd=fd)
            found = os.fstat(new)
            if not stat.S_ISLNK(found.st_mode):
                os.close(fd)
                fd = new
                continue
            links += 1
            target = _target(new, found, path, links)
            parts.extendleft(reversed(target.split("/")))
            if target.startswith("/"):
                os.close(fd)
                fd = os.open("/", FOLDER)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError):
            raise _coded(error, path) from error
        raise
    return fd


def _target(fd: int, found: os.stat_result, path: str, links: int) -> str:
    try:
        target = os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)
    if links > LINKS:
        raise Denied(f"{path}: too many links", hint="name the file itself")
    if found.st_uid not in {0, os.geteuid()}:
        text = f"{path}: a link of user {found.st_uid} is on the way, and is not followed"
        raise Denied(text, hint=f"name the file itself: {os.path.realpath(path)}")
    return target


def _coded(error: OSError, path: str) -> VirtError:
    if isinstance(error, FileNotFoundError):
        return NotFound(path, "file")
    words = {"errno": error.errno, "text": error.strerror}
    if error.errno in {1, 13, 30}:
        hint = "keep the image where owners can be changed, or write <seclabel model='dac' relabel='no'/>"
        return Denied(f"{path}: its owner cannot be changed: {error.strerror}", details=words, hint=hint)
    return Failed(f"{path}: {error.strerror}", native=words)
