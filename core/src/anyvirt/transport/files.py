"""Files of a host: read under a cap, written whole or not at all; here, or over ``Run``."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from anyvirt import deadline
from anyvirt.errors import Denied, Exists, Failed, Invalid, NotFound, VirtError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyvirt.settings import Settings
    from anyvirt.transport.run import Output, Run
    from anyvirt.uri import Uri

CAP: Final = 64 << 20
_CHUNK: Final = 1 << 20


class Kind(StrEnum):
    """What a name in a folder stands for."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    BLOCK = "block"
    CHAR = "char"
    FIFO = "fifo"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class Stat:
    """What a folder knows about a name; links are not followed.

    :param size: bytes, as ``ls -l`` shows.
    :param mode: permission bits alone, such as ``0o600``.
    :param mtime_ns: last change of the content, ns since 1970; whole seconds where the host's tools know no finer.
    """

    kind: Kind
    size: int
    mode: int
    uid: int
    mtime_ns: int


class Files(Protocol):
    """A host's files, by absolute path.

    Every method raises ``NotFound`` (``file.not-found``), ``Exists``
    (``file.exists``), ``Denied``, ``Invalid`` or ``Failed``
    (``file.no-space`` as code when the disk is full), each naming the path.
    """

    def read(self, path: str, cap: int = CAP) -> bytes:
        """The whole content of a regular file of at most ``cap`` bytes; a link in its place is refused."""
        ...

    def write(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Replace a file as a whole, on disk when this returns; on any failure the old content stays.

        The file has exactly ``mode``, whatever the umask; a link at ``path`` is replaced, not followed.
        """
        ...

    def list(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted, without ``.`` and ``..``."""
        ...

    def stat(self, path: str) -> Stat:
        """What is known about a name; a link is told as a link."""
        ...

    def exists(self, path: str) -> bool:
        """Whether the name is there, be it a link to nowhere."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, a link or an empty folder."""
        ...

    def mkdir(self, path: str, mode: int = 0o700) -> bool:
        """Make a folder with exactly ``mode``; False when there is a folder already, which stays as it is."""
        ...


class LocalFiles:
    """``Files`` of this host."""

    def read(self, path: str, cap: int = CAP) -> bytes:
        with _named(path):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise Denied(f"{path!r} is no regular file")
                return _read(fd, path, cap)
            finally:
                os.close(fd)

    def write(self, path: str, data: bytes, mode: int = 0o600) -> None:
        folder, name = _split(path)
        with _named(path), _opened(folder) as dirfd:
            if _is_folder(name, dirfd):
                raise Invalid(f"{path!r} is a folder, no file")
            new = _unfinished(name)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dirfd)
            try:
                with os.fdopen(fd, "wb", buffering=0) as file:
                    os.fchmod(fd, mode)
                    _write(fd, data, path)
                    os.fsync(file.fileno())
                os.rename(new, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
            except BaseException:
                with suppress(OSError):
                    os.unlink(new, dir_fd=dirfd)
                raise
            os.fsync(dirfd)

    def list(self, path: str) -> tuple[str, ...]:
        with _named(path):
            return tuple(sorted(os.listdir(path)))

    def stat(self, path: str) -> Stat:
        with _named(path):
            found = os.lstat(path)
        return _stat(found.st_mode, found.st_size, found.st_uid, found.st_mtime_ns)

    def exists(self, path: str) -> bool:
        with _named(path):
            try:
                os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def remove(self, path: str) -> None:
        with _named(path):
            if _is_folder(path, None):
                os.rmdir(path)
            else:
                os.unlink(path)

    def mkdir(self, path: str, mode: int = 0o700) -> bool:
        with _named(path):
            try:
                os.mkdir(path, mode & 0o700)
            except FileExistsError:
                if not _is_folder(path, None):
                    raise
                return False
            with _opened(path) as fd:
                os.fchmod(fd, mode)
        return True


# Exit statuses of the far scripts, which say in one number what happened.
_FAR: Final = {41: "regular", 44: errno.ENOENT, 45: errno.ENOTDIR, 46: errno.EEXIST, 47: errno.EISDIR}
_ASK: Final = '[ -e "$1" ] || [ -h "$1" ] || { d=${1%/*}; [ -x "${d:-/}" ] && exit 44; }; '
_READ: Final = _ASK + '[ ! -h "$1" ] && [ -f "$1" ] || exit 41; exec head -c "$2" <"$1"'
# The length is checked since a line that is cut looks like the end of the input.
_WRITE: Final = """[ -d "${1%/*}/" ] || exit 44
[ ! -d "$1" ] || [ -h "$1" ] || exit 47
umask 077; set -C
trap 'rm -f "$2"' EXIT; trap 'exit 1' HUP INT TERM PIPE
cat >"$2" && [ "$(($(wc -c <"$2")))" -eq "$3" ] && chmod "$4" "$2" || exit 1
sync "$2" 2>/dev/null || sync
[ ! -h "$1" ] || [ ! -d "$1" ] || rm -f "$1"
mv -f "$2" "$1" || exit 1
trap - EXIT
sync "${1%/*}/" 2>/dev/null || sync"""
_LIST: Final = (
    _ASK + '[ -d "$1" ] || exit 45; cd "$1/" || exit 1; for f in * .[!.]* ..?*; '
    'do if [ -e "$f" ] || [ -h "$f" ]; then printf "%s\\0" "$f"; fi; done'
)
_STAT: Final = (
    _ASK + 'stat -c "%s %f %u %.9Y" "$1" 2>/dev/null || stat -c "%s %f %u %Y" "$1" 2>/dev/null '
    '|| stat -f "%z %Xp %u %Fm" "$1"'
)
_EXISTS: Final = '[ -e "$1" ] || [ -h "$1" ] || exit 44'
_REMOVE: Final = _ASK + 'if [ -d "$1" ] && [ ! -h "$1" ]; then exec rmdir "$1"; else exec rm -f "$1"; fi'
_MKDIR: Final = (
    'if [ -d "$1" ] && [ ! -h "$1" ]; then echo there; exit; fi; '
    '[ ! -e "$1" ] && [ ! -h "$1" ] || exit 46; exec mkdir -m "$2" "$1"'
)


class FarFiles:
    """``Files`` of the host that a ``Run`` reaches; it needs a POSIX shell, head and stat there.

    A far shell cannot open without following links: the look and the opening are two
    steps there. Folders where a hostile guest can write are read on the host itself.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def read(self, path: str, cap: int = CAP) -> bytes:
        data = self._sh(_READ, path, str(cap + 1)).out
        if len(data) > cap:
            _refuse_size(path, cap)
        return data

    def write(self, path: str, data: bytes, mode: int = 0o600) -> None:
        folder, name = _split(path)
        new = f"{folder.rstrip('/')}/{_unfinished(name)}"
        self._sh(_WRITE, path, new, str(len(data)), f"{mode:04o}", data=data)

    def list(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(self._sh(_LIST, path).text.split("\0")[:-1]))

    def stat(self, path: str) -> Stat:
        words = self._sh(_STAT, path).text.split()
        try:
            size, mode, uid, mtime = words
            seconds, _, rest = mtime.partition(".")
            nanoseconds = int(rest[:9].ljust(9, "0")) if rest.isdecimal() else 0
            return _stat(int(mode, 16), int(size), int(uid), int(seconds) * 10**9 + nanoseconds)
        except ValueError as error:
            raise Failed(f"the far stat says {' '.join(words)!r} about {path!r}") from error

    def exists(self, path: str) -> bool:
        _check(path)
        out = self._run("sh", "-c", _EXISTS, "sh", path)
        if out.code != 44:
            self._coded(path, out)
        return out.code != 44

    def remove(self, path: str) -> None:
        self._sh(_REMOVE, path)

    def mkdir(self, path: str, mode: int = 0o700) -> bool:
        return not self._sh(_MKDIR, path, f"{mode:04o}").out

    def _sh(self, script: str, path: str, *words: str, data: bytes | None = None) -> Output:
        _check(path)
        out = self._run("sh", "-c", script, "sh", path, *words, input=data)
        return self._coded(path, out).ok()

    def _coded(self, path: str, out: Output) -> Output:
        known = _FAR.get(out.code)
        if known == "regular":
            raise Denied(f"{path!r} is no regular file")
        if isinstance(known, int):
            raise _translated(OSError(known, os.strerror(known)), path)
        said = out.err.decode("utf-8", "replace")
        for number in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTEMPTY,
            errno.ENOENT,
        ):
            if out.code and os.strerror(number) in said:
                raise _translated(OSError(number, os.strerror(number)), path, said)
        return out


def _check(path: str) -> None:
    if not path.startswith("/") or "\0" in path:
        raise Invalid(f"{path!r} is no absolute path")


def _split(path: str) -> tuple[str, str]:
    _check(path)
    folder, _, name = path.rpartition("/")
    if name in {"", ".", ".."}:
        raise Invalid(f"{path!r} names no file")
    return folder or "/", name


def _unfinished(name: str) -> str:
    """A name beside ``name`` that nobody has, and that says what it was for."""
    return f".{name[:60]}.{os.urandom(8).hex()}.new"


@contextmanager
def _named(path: str) -> Iterator[None]:
    _check(path)
    deadline.current().check(path)
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: str, said: str = "") -> VirtError:
    native = {"errno": errno.errorcode.get(error.errno or 0, "?"), "path": path, "text": said or error.strerror}
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NotFound(path, "file")
    if error.errno == errno.EEXIST:
        return Exists("file", path)
    if error.errno == errno.ELOOP:
        return Denied(f"{path!r} is a symbolic link, which is not followed here", details=native)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Denied(
            f"{path!r}: {error.strerror}", hint="check owner and mode, and those of its folders", details=native
        )
    if error.errno in {errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL}:
        return Invalid(f"{path!r}: {error.strerror}")
    failed = Failed(f"{path!r}: {error.strerror}", native=native)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        failed.code, failed.hint = "file.no-space", "free space there; the old content is untouched"
    return failed


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_folder(name: str, dirfd: int | None) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _read(fd: int, path: str, cap: int) -> bytes:
    found = bytearray()
    while data := os.read(fd, min(_CHUNK, cap + 1 - len(found))):
        found += data
        deadline.current().check(path)
        if len(found) > cap:
            _refuse_size(path, cap)
    return bytes(found)


def _write(fd: int, data: bytes, path: str) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left[:_CHUNK]) :]
        deadline.current().check(path)


def _refuse_size(path: str, cap: int) -> NoReturn:
    raise Invalid(f"{path!r} is larger than the {cap} bytes that are read of it")


_KINDS: Final = (
    (stat.S_IFREG, Kind.FILE), (stat.S_IFDIR, Kind.FOLDER), (stat.S_IFLNK, Kind.LINK), (stat.S_IFBLK, Kind.BLOCK),
    (stat.S_IFCHR, Kind.CHAR), (stat.S_IFIFO, Kind.FIFO), (stat.S_IFSOCK, Kind.SOCKET),
)  # fmt: skip


def _stat(mode: int, size: int, uid: int, mtime_ns: int) -> Stat:
    return Stat(dict(_KINDS)[stat.S_IFMT(mode)], size, stat.S_IMODE(mode), uid, mtime_ns)


def files(uri: Uri, settings: Settings, run: Run) -> Files:  # noqa: ARG001 - the settings are part of the call's shape
    """The files of the host that a URI names: this one's, or through ``run``."""
    return FarFiles(run) if uri.far else LocalFiles()
