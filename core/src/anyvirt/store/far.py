"""``Place`` on a host that is reached with ``run``: its own flock(1) guards each change."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from anyvirt.deadline import Deadline, current
from anyvirt.errors import Busy, NotFound, VirtError
from anyvirt.store.faults import failed, full
from anyvirt.store.place import DRAFT, Drop, Move, Put, Seen, Step, draft, renames

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
_READ: Final = '[ -e "$1" ] || exit 44; exec cat "$1"'
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

    def names(self, folder: str) -> Sequence[str]:
        try:
            return self._files.list(f"{self.folder}/{folder}")
        except NotFound:
            return ()

    def abandoned(self, folder: str) -> Sequence[str]:  # noqa: ARG002 - the clocks of two hosts differ
        return ()

    def read(self, path: str) -> bytes | None:
        out = self._run("sh", "-c", _READ, "sh", f"{self.folder}/{path}")
        return None if out.code == _MISSING else out.ok().out

    def tail(self, path: str, count: int) -> tuple[int, bytes]:
        out = self._run("sh", "-c", _TAIL, "sh", f"{self.folder}/{path}", str(count)).ok().out
        size, _, data = out.partition(b"\n")
        return int(size), data[: int(size)]

    @contextmanager
    def locked(self, purpose: str) -> Iterator[None]:
        """Nothing is locked from here: ``change`` finds out whether somebody else was first."""
        current().check(purpose)
        yield

    def change(self, seen: Seen, append: bytes, steps: Sequence[Step], nonce: str = "") -> bool:
        drafts: list[str] = []
        try:
            words, lines = self._staged(append, steps, nonce or secrets.token_hex(8), drafts)
        except VirtError as error:
            self._clear(drafts)
            if error.code == "file.no-space":
                raise full(self.folder) from error
            raise
        left = current().left()
        wait = _WAIT if left is None else left * 0.9
        locked = ["sh", "-c", 'umask 077; exec flock "$@"', "sh", "-w", f"{wait:.2f}", "-E", str(_KEPT), self._lock]
        out = self._run(
            *locked,
            "sh",
            "-c",
            _CHANGE,
            "sh",
            self.folder,
            seen.head.decode("utf-8", "replace"),
            str(seen.log_size),
            lines,
            *words,
        )
        if out.code == 0:
            return True
        if out.code != _TOLD and 0 < out.code < _KILLED:  # else they may be needed to finish it
            self._clear(drafts)
        if out.code == _LOST:
            return False
        if out.code == _KEPT:
            raise Busy(f"the store in {self.folder}", holder="a process of that host", purpose="writing")
        if out.code == _FULL or b"No space left" in out.err:
            raise full(self.folder)
        raise failed("store.io", f"{self.folder}: {out.err.decode('utf-8', 'replace').strip()}", status=out.code)

    def _staged(self, append: bytes, steps: Sequence[Step], nonce: str, drafts: list[str]) -> tuple[list[str], str]:
        """The steps as words, after what has to be written is on that host: drafts that a rename makes real."""
        for number, step in enumerate(steps):
            if isinstance(step, Put):
                self._draft(draft(step, number, nonce), step.data, drafts)
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
        lines = f"{DRAFT}{nonce}-lines" if append else ""
        if append:
            self._draft(lines, append, drafts)
        return words, lines

    def _draft(self, path: str, data: bytes, drafts: list[str]) -> None:
        try:
            self._files.write(f"{self.folder}/{path}", data)
        except NotFound:
            self._make(f"{self.folder}/{path.rpartition('/')[0]}".rstrip("/"))
            self._files.write(f"{self.folder}/{path}", data)
        drafts.append(path)

    def _make(self, folder: str) -> None:
        try:
            self._files.mkdir(folder)
        except NotFound:
            self._make(folder.rpartition("/")[0])
            self._files.mkdir(folder)

    def _clear(self, drafts: Sequence[str]) -> None:
        for path in drafts:
            with suppress(VirtError):
                self._files.remove(f"{self.folder}/{path}")


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
