"""``Place`` on a host that is reached with ``run``: its own flock(1) guards each change."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.deadline import Deadline, current
from anyvirt.errors import Busy, NotFound, VirtError
from anyvirt.store.faults import failed, full
from anyvirt.store.place import DRAFT, FAR, HEAD, LOG, META, OLD_LOG, Drop, Move, Put, Seen, Step, draft, renames

if TYPE_CHECKING:
    from anyvirt.transport.files import Files
    from anyvirt.transport.run import Run

_MISSING: Final = 44
_LOST: Final = 75
_KEPT: Final = 73
_FULL: Final = 74
_TOLD: Final = 76
_KILLED: Final = 128
_WAIT: Final = 30.0
_LOOK: Final = 1.0
_WIDTH: Final = 20
_TAILED: Final = 1 << 14  # bytes of a log's end that are read along
# The far process that changes holds the lock, so a cut line frees it. Arguments: folder,
# expected head, expected size of the log (-1: does not matter), draft of new lines, steps.
_CHANGE: Final = """umask 077
cd "$1" || exit 44
head=; [ ! -f head.json ] || head=$(cat head.json)
size=0; [ ! -f events.jsonl ] || size=$(($(wc -c <events.jsonl)))
[ "$head" = "$2" ] || exit 75
[ "$3" -lt 0 ] || [ "$3" -eq "$size" ] || exit 75
if [ -n "$4" ]; then
  { cat "$4" >>events.jsonl && { sync events.jsonl 2>/dev/null || sync; }; } ||
    { truncate -s "$size" events.jsonl; exit 74; }
  rm -f "$4"
fi
shift 4
while [ $# -gt 0 ]; do
  case $1 in
    move) [ ! -e "$2" ] || mv -f "$2" "$3" || exit 76; shift 3 ;;
    drop) rm -f "$2" || exit 76; shift 2 ;;
    sync) sync "$2" 2>/dev/null || sync; shift 2 ;;
  esac
done
touch store.bell"""
# What is to be written comes first, so that the lock is held for renames alone. Arguments: folder, then
# stage, path, size and whether it has to last for each draft, then flock's.
_STAGE: Final = """umask 077
mkdir -p -- "$1" && cd -- "$1" || exit 76
shift
while [ "$1" = stage ]; do
  case $2 in */*) mkdir -p -- "${2%/*}" || exit 73 ;; esac
  head -c "$3" >"$2" && [ "$(($(wc -c <"$2")))" -eq "$3" ] || exit 72
  [ "$4" = no ] || sync "$2" 2>/dev/null || sync
  shift 4
done
exec flock "$@" """
_READ: Final = '[ -e "$1" ] || exit 44; exec cat "$1"'
# Names and sizes, then for each NUL in a file its name and what stands before that; an empty name ends either.
_READS: Final = r"""cd "$1" 2>/dev/null || exit 0
xargs -0 -r sh -c 'stat --printf="%n\0%s\0" -- "$@" 2>/dev/null
printf "\0"; grep -azZHs "" -- "$@"; printf "\0"' sh; exit 0"""
_SEEN: Final = """cd "$1" 2>/dev/null || exit 44
for one in head.json store.json; do [ ! -f "$one" ] || { printf +; cat "$one"; }; printf '\\0'; done
for one in events.jsonl events.1.jsonl; do
  if [ -f "$one" ]; then size=$(($(wc -c <"$one"))); echo "$size"; tail -c "$2" "$one"; else size=0; echo 0; fi
  printf '\\0'
  [ "$size" -eq 0 ] || exit 0
done"""
_TAIL: Final = '[ -f "$1" ] || { echo 0; exit; }; echo $(($(wc -c <"$1"))); exec tail -c "$2" "$1"'
_LOSE: Final = """old=$(cat "$1" 2>/dev/null || echo 0)
printf "%0*d" "$3" $((${old#"${old%%[!0]*}"} + $2)) | dd of="$1" conv=notrunc 2>/dev/null"""


class FarPlace:
    """A folder of another host.

    :param folder: its absolute path there.
    :param lock: absolute path of the lock's file there, as the host's own anyvirt uses it.
    """

    def __init__(self, run: Run, files: Files, folder: str, lock: str) -> None:
        self._run, self._files, self.folder, self._lock = run, files, folder, lock
        self._local = threading.local()

    def names(self, folder: str) -> Sequence[str]:
        try:
            return self._files.list(f"{self.folder}/{folder}")
        except NotFound:
            return ()

    def nonce(self) -> str:
        return FAR + secrets.token_hex(8)

    def abandoned(self, folder: str) -> Sequence[str]:  # noqa: ARG002 - the clocks of two hosts differ
        return ()

    def read(self, path: str) -> bytes | None:
        known = self._known()
        if path in known.files:
            return known.files[path]
        out = self._run("sh", "-c", _READ, "sh", f"{self.folder}/{path}")
        return None if out.code == _MISSING else out.ok().out

    def reads(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        if not paths:
            return {}
        given = b"".join(os.fsencode(f"./{path}") + b"\0" for path in paths)
        words = iter(self._run("sh", "-c", _READS, "sh", self.folder, input=given).ok().out.split(b"\0")[:-1])
        found: dict[str, bytes] = {}
        for name in words:  # of the first file of a batch
            sizes = dict(_pairs(words, name))
            parts: dict[bytes, list[bytes]] = {one: [] for one in sizes}
            for one, part in _pairs(words, next(words)):
                parts.setdefault(one, []).append(part)
            for one, size in sizes.items():
                path, data = os.fsdecode(one)[2:], b"\0".join(parts[one])
                whole: bytes | None = data + bytes(int(size) - len(data) == 1)  # a NUL at its end goes unsaid
                if len(whole or b"") != int(size):
                    whole = self.read(path)  # it was replaced meanwhile
                if whole is not None:
                    found[path] = whole
        return found

    def tail(self, path: str, count: int) -> tuple[int, bytes]:
        known = self._known().tails.get(path)
        if known is not None and (count <= _TAILED or known[0] <= _TAILED):
            return known[0], known[1][-count:]
        out = self._run("sh", "-c", _TAIL, "sh", f"{self.folder}/{path}", str(count)).ok().out
        size, _, data = out.partition(b"\n")
        return int(size), data[: int(size)]

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        """Nothing is locked from here: ``change`` finds out whether somebody else was first.

        What every change looks at is read in one go.
        """
        current().check(purpose)
        self._local.known = self._looked()
        try:
            yield
        finally:
            self._local.known = _NOTHING

    def change(self, seen: Seen, append: bytes, steps: Sequence[Step], nonce: str = "") -> bool:
        self._local.known = _NOTHING
        nonce, data = nonce or self.nonce(), []
        drafts = [
            (draft(step, number, nonce), step.data, step.lasting)
            for number, step in enumerate(steps)
            if isinstance(step, Put)
        ]
        if append:
            drafts.append((f"{DRAFT}{nonce}-lines", append, True))
        words = ["sh", "-c", _STAGE, "sh", self.folder]
        for path, content, lasting in drafts:
            words += ["stage", path, str(len(content)), "yes" if lasting else "no"]
            data.append(content)
        left = current().left()
        wait = _WAIT if left is None else left * 0.9
        words += ["-w", f"{wait:.2f}", "-E", str(_KEPT), self._lock, "sh", "-c", _CHANGE, "sh", self.folder]
        words += [seen.head.decode("utf-8", "replace"), str(seen.log_size), drafts[-1][0] if append else ""]
        out = self._run(*words, *_words(steps, nonce), input=b"".join(data))
        if out.code == 0:
            return True
        if out.code != _TOLD and 0 < out.code < _KILLED:  # else they may be needed to finish it
            self._clear([path for path, _, _ in drafts])
        if out.code == _LOST:
            return False
        if out.code == _KEPT:
            raise Busy(f"the store in {self.folder}", holder="a process of that host", purpose="writing")
        if out.code == _FULL or b"No space left" in out.err:
            raise full(self.folder)
        raise failed("store.io", f"{self.folder}: {out.err.decode('utf-8', 'replace').strip()}", status=out.code)

    def _known(self) -> _Known:
        found: _Known = getattr(self._local, "known", _NOTHING)
        return found

    def _looked(self) -> _Known:
        out = self._run("sh", "-c", _SEEN, "sh", self.folder, str(_TAILED))
        if out.code == _MISSING:
            return _Known({HEAD: None, META: None}, {})
        head, meta, *logs = out.ok().out.split(b"\0")[:-1]
        tails = {}
        for path, text in zip((LOG, OLD_LOG), logs, strict=False):
            size, _, data = text.partition(b"\n")
            tails[path] = (int(size), data[: int(size)])
        whole = {name: found[1:] or None if found else None for name, found in ((HEAD, head), (META, meta))}
        return _Known(whole, tails)

    def _clear(self, drafts: Sequence[str]) -> None:
        with suppress(VirtError):
            self._run("sh", "-c", 'cd -- "$1" && shift && exec rm -f -- "$@"', "sh", self.folder, *drafts)


class _Known(NamedTuple):
    """What was read in one go: files, and the ends of logs with their sizes."""

    files: Mapping[str, bytes | None]
    tails: Mapping[str, tuple[int, bytes]]


_NOTHING: Final = _Known({}, {})


def _pairs(words: Iterator[bytes], name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names, the first of which is there already, and what belongs to each, up to an empty name."""
    while name:
        yield name, next(words)
        name = next(words)


def _words(steps: Sequence[Step], nonce: str) -> list[str]:
    """The steps as words, once their drafts are there."""
    words: list[str] = []
    folders: dict[str, None] = {}
    for step in renames(steps, nonce):
        match step:
            case Drop():
                words += ["drop", step.path]
            case Move():
                words += ["move", step.path, step.to]
        folders[step.path.rpartition("/")[0] or "."] = None
    for folder in folders:
        words += ["sync", folder]
    return words


class FarBell:
    """The bell of a log on another host: nobody hears it from here, so followers look every second."""

    def __init__(self, run: Run, files: Files, path: str) -> None:
        self._run, self._files, self._path = run, files, path

    def ring(self) -> None:
        """Nothing: the change itself rings, on that host, for those who watch there."""

    def lose(self, count: int) -> None:
        """Note that ``count`` entries could not be written."""
        with suppress(VirtError):
            self._run("sh", "-c", _LOSE, "sh", self._path, str(count), str(_WIDTH))

    def lost(self) -> int:
        """How many entries were ever lost."""
        try:
            text = self._files.read(self._path)[:_WIDTH]
        except VirtError:
            return 0
        return int(text) if text.isdigit() else 0

    def watch(self) -> FarWatch:
        """What waits between two looks."""
        return FarWatch()


class FarWatch:
    """Lets a second pass."""

    def wait(self, deadline: Deadline) -> None:
        """Return when it is time for another look.

        :raises Interrupted: the deadline passed, or somebody cancelled.
        """
        from threading import Event

        pause = Event()
        with deadline.breaks(pause.set, what="following events"):
            pause.wait(_LOOK)
        deadline.check("following events")

    def close(self) -> None:
        """Nothing is open."""
