"""The event log of a store in files: a JSON object a line, with its number first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from anyvirt.store.place import LOG, OLD_LOG, Drop, Move, Place, Step
from anyvirt.store.rows import KEPT_ROWS, KEPT_SECONDS, Entry, LogGap, Token, Told, encoded, plain, plain_of, ref_of

_TAIL: Final = 1 << 14
_MARK: Final = b'{"seq":'
_ALL: Final = 1 << 40
_AGE_EVERY: Final = 512


class End(NamedTuple):
    """How a log ends: its size in bytes, its last number, whether its last line was cut, the last whole line."""

    size: int
    seq: int
    torn: bool
    line: bytes = b""

    def steps(self) -> list[Step]:
        """What was to be done when the last line was written; see ``place.renames``."""
        try:
            words = plain_of(self.line.decode()).get("todo", ())
            return [Drop(paths[0]) if word == "drop" else Move(*paths) for word, *paths in words]
        except (ValueError, TypeError, AttributeError, IndexError):
            return []  # somebody else has written into it


def end_of(place: Place) -> End:
    """How the log ends now."""
    size, torn, last, end = 0, False, None, b""
    for path in (LOG, OLD_LOG):
        found, data = _last_lines(place, path)
        if path == LOG:
            size, torn = found, bool(data) and not data.endswith(b"\n")
        end = next((line for line in reversed(data.split(b"\n")) if _number(line) is not None), b"")
        last = _number(end)
        if last is not None:
            break
    return End(size, last or 0, torn, end)


def _last_lines(place: Place, path: str) -> tuple[int, bytes]:
    """The file's size and so much of its end that a good line is in it, where there is one."""
    count = _TAIL
    while True:
        size, data = place.tail(path, count)
        whole = len(data) >= size
        lines = data.split(b"\n")[0 if whole else 1 :]
        if whole or any(_number(line) is not None for line in lines):
            return size, b"\n".join(lines)
        count *= 8


def lines_for(told: Sequence[Told], end: End, steps: Sequence[Step] = ()) -> bytes:
    """The lines to append after ``end``, in one write.

    :param steps: what is done next; the last line says so, so that whoever comes after a kill can do it.
    """
    out = []
    todo = [["drop", step.path] if isinstance(step, Drop) else ["move", *step] for step in steps]
    for seq, (at, run, ref, kind, detail) in enumerate(map(encoded, told), end.seq + 1):
        rest: dict[str, Any] = {"at": at, "run": run, "kind": kind, "ref": plain_of(ref), "detail": plain_of(detail)}
        if todo and seq == end.seq + len(told):
            rest["todo"] = todo
        out.append(f'{{"seq":{seq},{plain(rest)[1:]}\n'.encode())
    # A line that a killed writer left half is ended first; it stays, so that readers learn of it.
    return (b"\n" if end.torn else b"") + b"".join(out)


def full(end: End, last: int) -> list[Step]:
    """What to do once ``last`` is written so that the log keeps to its size: nothing as a rule."""
    return [Move(LOG, OLD_LOG)] if last // KEPT_ROWS != end.seq // KEPT_ROWS else []


def aged(place: Place, end: End, last: int) -> list[Step]:
    """What to do before ``last`` is written so that nothing stays much longer than it should."""
    if last // _AGE_EVERY == end.seq // _AGE_EVERY:
        return []
    limit = time.time() - KEPT_SECONDS
    newest_old = _entry(place.tail(OLD_LOG, _TAIL)[1].rstrip(b"\n").rpartition(b"\n")[2])
    if newest_old is not None:
        return [Drop(OLD_LOG)] if newest_old.at < limit else []
    lines = place.tail(LOG, _ALL)[1].split(b"\n", 3)[:3]
    first = next((entry for line in lines if (entry := _entry(line)) is not None), None)
    return [Move(LOG, OLD_LOG)] if first is not None and first.at < limit else []


def read(place: Place, store: str, after: str | None, lost: int) -> Iterator[Entry | LogGap]:
    """Entries after a token, with gaps where entries may be missing.

    :param store: the id of this store; a token of another one is unknown.
    :param lost: how many entries were ever lost for want of room.
    """
    given = Token.of(after) if after is not None else None
    seq, reason = (given.seq if given and given.store == store else 0), ""
    lines = _lines_after(place, seq)
    if after is not None:
        newest = max((_number(line) or 0 for line in lines), default=0)
        if given is None or given.store != store or seq > newest:
            reason, seq = "unknown token", 0
            lines = _lines_after(place, 0)
        elif given.lost != lost:
            reason = "no room"
        if reason:
            yield LogGap(reason, None, str(Token(store, seq, lost)))
    expected = None if after is None or reason == "unknown token" else seq + 1
    yield from _told(lines, store, seq, expected, lost)


def _told(lines: Sequence[bytes], store: str, seq: int, expected: int | None, lost: int) -> Iterator[Entry | LogGap]:
    since, broken = None, False
    for line in lines:
        number = _number(line)
        if number is not None and number <= seq:
            broken = False  # what is unreadable before it was told of when it was read
            continue
        entry = _entry(line)
        if entry is None:
            broken = broken or bool(line)
            continue
        missing = "pruned" if expected is not None and entry.seq > expected else ""
        if broken or missing:
            yield LogGap("torn line" if broken else missing, since, str(Token(store, entry.seq - 1, lost)))
        broken = False
        yield replace(entry, token=str(Token(store, entry.seq, lost)))
        seq, since, expected = entry.seq, entry.at, entry.seq + 1
    if broken:
        yield LogGap("torn line", since, str(Token(store, seq, lost)))


def _lines_after(place: Place, seq: int) -> list[bytes]:
    """Lines that hold all entries after ``seq``, as far as they are kept; some before may come along."""
    count = _TAIL
    while True:
        size, data = place.tail(LOG, count)
        whole = len(data) >= size
        lines = data.split(b"\n")[0 if whole else 1 :]
        first = next((number for line in lines if (number := _number(line)) is not None), None)
        if first is not None and first <= seq + 1:
            return lines
        if whole:
            return place.tail(OLD_LOG, _ALL)[1].rstrip(b"\n").split(b"\n") + lines
        count *= 16


def _number(line: bytes) -> int | None:
    """The number of a line that looks whole; None for any other."""
    if not line.startswith(_MARK) or not line.endswith(b"}"):
        return None
    digits = line[len(_MARK) : len(_MARK) + 20].partition(b",")[0]
    return int(digits) if digits.isdigit() else None


def _entry(line: bytes) -> Entry | None:
    try:
        data: dict[str, Any] = plain_of(line.decode()) if line.startswith(_MARK) else {}
        ref = ref_of(plain(data["ref"])) if data["ref"] else None
        return Entry(data["kind"], ref, data["detail"], data["run"], data["at"], data["seq"])
    except (ValueError, KeyError, TypeError):
        return None
