"""A store and locks that end with the process, for objects that do so as well."""

from __future__ import annotations

import threading
import time
import uuid as uuids
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from anyvirt.deadline import current
from anyvirt.errors import Busy, Exists, NotFound, WrongState
from anyvirt.store.names import check_key, check_name, check_text
from anyvirt.store.rows import (
    KEPT_ROWS,
    KEPT_SECONDS,
    Defined,
    Entry,
    LogGap,
    Row,
    Token,
    Told,
    encoded,
    entries,
    plain_of,
    ref_of,
)

if TYPE_CHECKING:
    from anyvirt.model.values import JobRecord

_PRUNE_EVERY: Final = 512


class MemoryStore:
    """The store of ``driver`` in this process's memory; see ``anyvirt.store.Store``.

    :param boot: what transient objects have as their boot.
    """

    def __init__(self, driver: str, *, boot: str = "this process") -> None:
        self.driver, self._boot = driver, boot
        self._id = uuids.uuid4().hex
        self._rows: dict[tuple[str, str], Row] = {}
        self._blobs: dict[tuple[str, str], dict[str, bytes]] = {}
        self._counters: dict[str, int] = {}
        self._jobs: dict[str, JobRecord] = {}
        self._log: list[Entry] = []
        self._seq = 0
        self._changed = threading.Condition()

    def define(
        self,
        kind: str,
        uuid: str,
        name: str,
        xml: str,
        *,
        event: Told | Iterable[Told] | None = None,
        updated: Told | Iterable[Told] | None = None,
        transient: bool = False,
        run: str | None = None,
        gist: str = "",
    ) -> Defined:
        check_key(uuid, kind)
        check_name(name, kind)
        check_text(xml, kind)
        with self._changed:
            before = self._free(kind, uuid, name)
            if before is None:
                boot = self._boot if transient else ""
                row = Row(kind, uuid, name, xml, transient, False, run or "", boot, time.time(), gist)
                self._rows[kind, uuid] = row
                return Defined(True, self._tell(event))
            row = before if run is None else before._replace(run=run)
            if not transient or before.transient:  # a transient definition leaves a persistent one alone
                row = row._replace(xml=xml, gist=gist, transient=transient, at=time.time())
            self._rows[kind, uuid] = row._replace(boot=row.boot if row.transient else "")
            return Defined(False, self._tell(event if updated is None else updated))

    def rename(
        self,
        kind: str,
        uuid: str,
        name: str,
        *,
        xml: str | None = None,
        gist: str = "",
        event: Told | Iterable[Told] | None = None,
    ) -> None:
        check_name(name, kind)
        check_text(xml or "", kind)
        with self._changed:
            row = self.get(kind, uuid)
            if self._named(kind, name) not in (None, row):
                self._free(kind, uuid, name)
            row = row._replace(name=name)
            self._rows[kind, uuid] = row if xml is None else row._replace(xml=xml, gist=gist)
            self._tell(event)

    def undefine(
        self, kind: str, uuid: str, *, event: Told | Iterable[Told] | None = None, transient: bool = False
    ) -> None:
        with self._changed:
            row = self.get(kind, uuid)
            if transient:
                self._rows[kind, uuid] = row._replace(transient=True, autostart=False, boot=self._boot)
            else:
                del self._rows[kind, uuid]
                self._blobs.pop((kind, uuid), None)
            self._tell(event)

    def get(self, kind: str, uuid: str) -> Row:
        row = self._rows.get((kind, uuid))
        if row is None:
            raise NotFound(uuid, kind)
        return row

    def by_name(self, kind: str, name: str) -> Row:
        with self._changed:
            row = self._named(kind, name)
        if row is None:
            raise NotFound(name, kind)
        return row

    def rows(self, kind: str, *, xml: bool = False, gist: bool = False) -> list[Row]:
        with self._changed:
            found = sorted((row for row in self._rows.values() if row.kind == kind), key=lambda row: row.name)
        return [row._replace(xml=row.xml if xml else None, gist=row.gist if gist else "") for row in found]

    def get_many(self, kind: str, uuids: Iterable[str]) -> list[Row]:
        with self._changed:
            found = (self._rows.get((kind, uuid)) for uuid in uuids)
            return [row for row in found if row is not None]

    def set_autostart(self, kind: str, uuid: str, on: bool, *, event: Told | Iterable[Told] | None = None) -> None:
        with self._changed:
            row = self.get(kind, uuid)
            if row.transient:
                raise WrongState("transient", ["persistent"], "autostart", what=row.name, kind=kind)
            self._rows[kind, uuid] = row._replace(autostart=bool(on))
            self._tell(event)

    def set_run(self, kind: str, uuid: str, run: str, *, event: Told | Iterable[Told] | None = None) -> None:
        with self._changed:
            self._rows[kind, uuid] = self.get(kind, uuid)._replace(run=run)
            self._tell(event)

    def blob(self, kind: str, ref: str, key: str) -> bytes | None:
        with self._changed:
            return self._blobs.get((kind, ref), {}).get(key)

    def blobs(self, kind: str, key: str) -> Mapping[str, bytes]:
        with self._changed:
            found = sorted(self._blobs.items())
            return {ref: held[key] for (its_kind, ref), held in found if its_kind == kind and key in held}

    def set_blob(self, kind: str, ref: str, key: str, value: bytes | None) -> None:
        check_name(ref, kind)
        check_name(key, kind)
        with self._changed:
            held = self._blobs.setdefault((kind, ref), {})
            if value is None:
                held.pop(key, None)
            else:
                held[key] = bytes(value)

    def begin_run(self, kind: str, uuid: str, run: str) -> int:
        with self._changed:
            self.set_run(kind, uuid, run)
            return self.next_id(kind)

    def next_id(self, kind: str = "domain") -> int:
        with self._changed:
            self._counters[kind] = self._counters.get(kind, 0) + 1
            return self._counters[kind]

    def jobs(self) -> tuple[JobRecord, ...]:
        with self._changed:
            return tuple(self._jobs.values())

    def write_job(self, record: JobRecord) -> None:
        with self._changed:
            self._jobs[record.id] = record

    def drop_job(self, job: str) -> None:
        with self._changed:
            self._jobs.pop(job, None)

    def append(self, event: Told | Iterable[Told]) -> str:
        with self._changed:
            return self._tell(event)

    def token(self) -> str:
        return str(Token(self._id, self._seq, 0))

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        with self._changed:
            found, gap = self._since(after)
        if gap is not None:
            yield gap
        yield from found

    def follow(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        place = self.token() if after is None else after
        deadline = current()
        while True:
            for item in self.events(place):
                place = item.token
                yield item
            with deadline.breaks(self._wake, what="following events"), self._changed:
                deadline.check("following events")
                if place == self.token():
                    self._changed.wait(deadline.left())

    def close(self) -> None:
        """Nothing is open."""

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _since(self, after: str | None) -> tuple[list[Entry], LogGap | None]:
        oldest = self._seq - len(self._log)
        if after is None:
            return list(self._log), None
        place, reason = Token.of(after), ""
        seq = oldest
        if place is None or place.store != self._id or place.seq > self._seq:
            reason = "unknown token"
        elif place.seq < oldest:
            reason = "pruned"
        else:
            seq = place.seq
        gap = LogGap(reason, None, str(Token(self._id, seq, 0))) if reason else None
        return self._log[bisect_right(self._log, seq, key=lambda entry: entry.seq) :], gap

    def _tell(self, given: Told | Iterable[Told] | None) -> str:
        told = entries(given)
        for entry in told:
            at, run, ref, kind, detail = encoded(entry)
            self._seq += 1
            token = str(Token(self._id, self._seq, 0))
            self._log.append(Entry(kind, ref_of(ref), plain_of(detail), run, at, self._seq, token))
            if self._seq % _PRUNE_EVERY == 0:
                self._prune()
        self._changed.notify_all()
        return self.token() if told else ""

    def _prune(self) -> None:
        """Drop from the front what is too old or too much."""
        oldest = time.time() - KEPT_SECONDS
        fresh = next((place for place, entry in enumerate(self._log) if entry.at >= oldest), len(self._log) - 1)
        del self._log[: max(fresh, len(self._log) - KEPT_ROWS)]

    def _named(self, kind: str, name: str) -> Row | None:
        return next((row for row in self._rows.values() if row.kind == kind and row.name == name), None)

    def _free(self, kind: str, uuid: str, name: str) -> Row | None:
        """The row with this UUID and name, or None where both are free."""
        mine, named = self._rows.get((kind, uuid)), self._named(kind, name)
        if named is not None and named.uuid != uuid:
            hint = "choose another name, or undefine that one"
            raise Exists(kind, name, holder=f"UUID {named.uuid}", hint=hint)
        if mine is not None and mine.name != name:
            raise Exists(kind, uuid, holder=repr(mine.name), hint=f"rename {mine.name!r}, or give another UUID")
        return mine


class MemoryLocks:
    """One lock per object among the threads of this process; see ``anyvirt.locks.Locks``."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._purposes: dict[str, str] = {}
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, key: str, purpose: str, *, wait: float | None = None) -> Iterator[None]:
        """Hold the lock of ``key`` inside the block.

        :raises Busy: somebody kept it until the deadline, or for ``wait`` seconds.
        """
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        limits = [limit for limit in (current().left(), wait) if limit is not None]
        # a little before the deadline, so that the caller hears who holds it
        if not lock.acquire(timeout=min(limits) * 0.9 if limits else -1):
            raise Busy(key, holder="another thread of this process", purpose=self._purposes.get(key, ""))
        self._purposes[key] = purpose
        try:
            yield
        finally:
            lock.release()
