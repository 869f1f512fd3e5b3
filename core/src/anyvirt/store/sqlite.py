"""A store in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from anyvirt.errors import Exists, NotFound, VirtError, WrongState
from anyvirt.identity import boot_id
from anyvirt.store.bell import Bell
from anyvirt.store.connection import Connections
from anyvirt.store.log import follow
from anyvirt.store.names import check_key, check_name, check_ref, check_text
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
    job_data,
    job_of,
    plain,
    plain_of,
    ref_of,
)

if TYPE_CHECKING:
    from anyvirt.model.values import JobRecord

T = TypeVar("T")
_Columns = tuple[float, str, str, str, str]
_BATCH: Final = 500
_PRUNE_EVERY: Final = 512
_HEAD: Final = "SELECT o.kind, o.uuid, o.name, {}, o.transient, o.autostart, o.run, o.boot, o.at, {} FROM object o"
_JOINED: Final = " JOIN document d ON d.object = o.id"
_BARE: Final = _HEAD.format("NULL", "''")
_GIST: Final = _HEAD.format("NULL", "d.gist") + _JOINED
_WHOLE: Final = _HEAD.format("d.xml", "d.gist") + _JOINED
_INSERT: Final = "INSERT INTO object(driver, kind, uuid, name, transient, run, boot, at) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
_COUNT: Final = """INSERT INTO counter VALUES(?, ?, ?, 1) ON CONFLICT(driver, kind) DO UPDATE
    SET value = CASE WHEN boot = excluded.boot THEN value + 1 ELSE 1 END, boot = excluded.boot RETURNING value"""
_SCOPED: Final = " WHERE o.driver = ? AND o.kind = ? AND o.boot IN ('', ?)"


class SqliteStore:
    """The store of ``driver`` in the file ``path``; see ``anyvirt.store.Store``.

    :param boot: the boot id to go by; the kernel's unless given.
    """

    def __init__(self, path: Path, driver: str, *, boot: str | None = None) -> None:
        self.driver, self.path = driver, path
        self._boot = boot if boot is not None else boot_id() or "unknown"
        self._connections = Connections(path)
        self._bell = Bell(path.with_suffix(".bell"))
        self._swept = False

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
        check_text(gist, kind)
        added = _encoded(event)
        changed = added if updated is None else _encoded(updated)
        boot, now = (self._boot if transient else ""), time.time()

        def work(sql: sqlite3.Connection) -> Defined:
            number = self._holder(sql, kind, uuid, name)
            if number is None:
                number = sql.execute(
                    _INSERT,
                    (self.driver, kind, uuid, name, transient, run or "", boot, now),
                ).lastrowid
                sql.execute("INSERT INTO document(object, gist, xml) VALUES(?, ?, ?)", (number, gist, xml))
                return Defined(True, self._log(sql, added))
            if run is not None:
                sql.execute("UPDATE object SET run = ? WHERE id = ?", (run, number))
            # A transient definition never replaces a persistent one's document.
            only = "AND boot != ''" if transient else ""
            found = sql.execute(
                f"UPDATE object SET transient = ?, boot = ?, at = ? WHERE id = ? {only}",  # noqa: S608 - our own words
                (transient, boot, now, number),
            )
            if found.rowcount:
                sql.execute("UPDATE document SET gist = ?, xml = ? WHERE object = ?", (gist, xml, number))
            return Defined(False, self._log(sql, changed))

        return self._write(work)

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
        logged = _encoded(event)

        def work(sql: sqlite3.Connection) -> None:
            number = self._number(sql, kind, uuid)
            try:
                sql.execute("UPDATE object SET name = ? WHERE id = ?", (name, number))
            except sqlite3.IntegrityError:
                self._holder(sql, kind, uuid, name, renaming=True)
                raise
            if xml is not None:
                sql.execute("UPDATE document SET gist = ?, xml = ? WHERE object = ?", (gist, xml, number))
            self._log(sql, logged)

        self._write(work)

    def undefine(
        self, kind: str, uuid: str, *, event: Told | Iterable[Told] | None = None, transient: bool = False
    ) -> None:
        logged = _encoded(event)

        def work(sql: sqlite3.Connection) -> None:
            number = self._number(sql, kind, uuid)
            if transient:
                sql.execute(
                    "UPDATE object SET transient = 1, autostart = 0, boot = ? WHERE id = ?", (self._boot, number)
                )
            else:
                sql.execute("DELETE FROM object WHERE id = ?", (number,))
                sql.execute("DELETE FROM document WHERE object = ?", (number,))
                sql.execute("DELETE FROM blob WHERE driver = ? AND kind = ? AND ref = ?", (self.driver, kind, uuid))
            self._log(sql, logged)

        self._write(work)

    def get(self, kind: str, uuid: str) -> Row:
        return self._one(kind, "uuid", uuid)

    def by_name(self, kind: str, name: str) -> Row:
        return self._one(kind, "name", name)

    def rows(self, kind: str, *, xml: bool = False, gist: bool = False) -> list[Row]:
        query = (_WHOLE if xml else _GIST if gist else _BARE) + _SCOPED + " ORDER BY o.name"
        return self._connections.read(lambda sql: _rows(sql.execute(query, (self.driver, kind, self._boot))))

    def get_many(self, kind: str, uuids: Iterable[str]) -> list[Row]:
        wanted = list(uuids)

        def work(sql: sqlite3.Connection) -> list[Row]:
            found: dict[str, Row] = {}
            for at in range(0, len(wanted), _BATCH):
                part = wanted[at : at + _BATCH]
                query = f"{_WHOLE}{_SCOPED} AND o.uuid IN ({','.join('?' * len(part))})"
                found.update(
                    (row.uuid, row) for row in _rows(sql.execute(query, (self.driver, kind, self._boot, *part)))
                )
            return [found[uuid] for uuid in wanted if uuid in found]

        return self._connections.read(work)

    def set_autostart(self, kind: str, uuid: str, on: bool, *, event: Told | Iterable[Told] | None = None) -> None:
        logged = _encoded(event)

        def work(sql: sqlite3.Connection) -> None:
            number = self._number(sql, kind, uuid)
            name, transient = sql.execute("SELECT name, transient FROM object WHERE id = ?", (number,)).fetchone()
            if transient:
                raise WrongState("transient", ["persistent"], "autostart", what=name, kind=kind)
            sql.execute("UPDATE object SET autostart = ? WHERE id = ?", (bool(on), number))
            self._log(sql, logged)

        self._write(work)

    def set_run(self, kind: str, uuid: str, run: str, *, event: Told | Iterable[Told] | None = None) -> None:
        logged = _encoded(event)

        def work(sql: sqlite3.Connection) -> None:
            sql.execute("UPDATE object SET run = ? WHERE id = ?", (run, self._number(sql, kind, uuid)))
            self._log(sql, logged)

        self._write(work)

    def blob(self, kind: str, ref: str, key: str) -> bytes | None:
        query = "SELECT value FROM blob WHERE driver = ? AND kind = ? AND ref = ? AND key = ?"
        found = self._connections.read(lambda sql: sql.execute(query, (self.driver, kind, ref, key)).fetchone())
        return None if found is None else bytes(found[0])

    def blobs(self, kind: str, key: str) -> Mapping[str, bytes]:
        query = "SELECT ref, value FROM blob WHERE driver = ? AND kind = ? AND key = ? ORDER BY ref"
        return dict(self._connections.read(lambda sql: sql.execute(query, (self.driver, kind, key)).fetchall()))

    def set_blob(self, kind: str, ref: str, key: str, value: bytes | None) -> None:
        check_ref(ref, kind)
        check_ref(key, kind)
        place = (self.driver, kind, ref, key)
        if value is None:
            query = "DELETE FROM blob WHERE driver = ? AND kind = ? AND ref = ? AND key = ?"
            self._write(lambda sql: sql.execute(query, place))
        else:
            self._write(lambda sql: sql.execute("INSERT OR REPLACE INTO blob VALUES(?, ?, ?, ?, ?)", (*place, value)))

    def begin_run(self, kind: str, uuid: str, run: str) -> int:
        def work(sql: sqlite3.Connection) -> int:
            sql.execute("UPDATE object SET run = ? WHERE id = ?", (run, self._number(sql, kind, uuid)))
            return self._next(sql, kind)

        return self._write(work)

    def next_id(self, kind: str = "domain") -> int:
        return self._write(lambda sql: self._next(sql, kind))

    def jobs(self) -> tuple[JobRecord, ...]:
        query = "SELECT record FROM job ORDER BY number"
        return tuple(
            job_of(plain_of(row[0])) for row in self._connections.read(lambda sql: sql.execute(query).fetchall())
        )

    def write_job(self, record: JobRecord) -> None:
        text = plain(job_data(record))
        query = "INSERT INTO job(id, record) VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET record = excluded.record"
        self._write(lambda sql: sql.execute(query, (record.id, text)))

    def drop_job(self, job: str) -> None:
        self._write(lambda sql: sql.execute("DELETE FROM job WHERE id = ?", (job,)))

    def append(self, event: Told | Iterable[Told]) -> str:
        logged = _encoded(event)
        try:
            return self._write(lambda sql: self._log(sql, logged))
        except VirtError as error:
            if error.code == "store.full":
                self._bell.lose(len(logged))
            raise

    def token(self) -> str:
        return str(self._connections.read(self._now))

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        place = Token.of(after) if after is not None else None
        if after is not None and place is None:
            place = Token("", 0, 0)
        while True:
            gap, place, found = self._connections.read(partial(self._batch, place))
            if gap is not None:
                yield gap
            for seq, at, run, ref, kind, detail in found:
                token = str(place._replace(seq=seq))
                yield Entry(kind, ref_of(ref), plain_of(detail), run, at, seq, token)
            if found:
                place = place._replace(seq=found[-1][0])
            if len(found) < _BATCH:
                return

    def follow(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        return follow(self, self._bell, after)

    @property
    def bell(self) -> Path:
        """A file that is touched after each commit, for those who watch several things at once."""
        self._bell.ring()
        return self._bell.path

    def close(self) -> None:
        self._connections.close()

    def _batch(
        self, place: Token | None, sql: sqlite3.Connection
    ) -> tuple[LogGap | None, Token, Sequence[tuple[int, float, str, str, str, str]]]:
        """What comes after ``place``: a gap first where there is one, the place to go on from, and some rows."""
        sql.execute("BEGIN")  # one view for all that is asked
        try:
            now, first = self._now(sql), sql.execute("SELECT min(seq) FROM event").fetchone()[0]
            oldest = (first or now.seq + 1) - 1
            gap = None
            if place is None:
                place = now._replace(seq=oldest)
            elif place.store != now.store or place.seq > now.seq:
                place, gap = now._replace(seq=oldest), "unknown token"
            elif place.seq < oldest:
                place, gap = place._replace(seq=oldest), "pruned"
            elif place.lost != now.lost:
                gap = "no room"
            since = sql.execute("SELECT at FROM event WHERE seq = ?", (place.seq,)).fetchone() if gap else None
            place = place._replace(lost=now.lost)
            found = sql.execute(
                "SELECT seq, at, run, ref, kind, detail FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
                (place.seq, _BATCH),
            ).fetchall()
        finally:
            sql.execute("COMMIT")
        return (LogGap(gap, since[0] if since else None, str(place)) if gap else None), place, found

    def _now(self, sql: sqlite3.Connection) -> Token:
        store, last = sql.execute(
            "SELECT value, (SELECT seq FROM sqlite_sequence WHERE name = 'event') FROM meta WHERE key = 'store'"
        ).fetchone()
        return Token(store, last or 0, self._bell.lost())

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result = self._connections.write(work if self._swept else partial(self._sweep_first, work))
        self._swept = True
        self._bell.ring()
        return result

    def _sweep_first(self, work: Callable[[sqlite3.Connection], T], sql: sqlite3.Connection) -> T:
        """Remove transient objects of earlier boots, once: their guests ended with those."""
        stale = "driver = ? AND boot NOT IN ('', ?)"
        place = (self.driver, self._boot)
        sql.execute(
            f"DELETE FROM blob WHERE driver = ? AND (kind, ref) IN (SELECT kind, uuid FROM object WHERE {stale})",  # noqa: S608
            (self.driver, *place),
        )
        sql.execute(f"DELETE FROM document WHERE object IN (SELECT id FROM object WHERE {stale})", place)  # noqa: S608
        sql.execute(f"DELETE FROM object WHERE {stale}", place)  # noqa: S608
        return work(sql)

    def _next(self, sql: sqlite3.Connection, kind: str) -> int:
        found = sql.execute(_COUNT, (self.driver, kind, self._boot)).fetchall()
        return int(found[0][0])

    def _log(self, sql: sqlite3.Connection, logged: Sequence[_Columns]) -> str:
        if not logged:
            return ""
        for columns in logged:
            seq = (
                sql.execute("INSERT INTO event(at, run, ref, kind, detail) VALUES(?, ?, ?, ?, ?)", columns).lastrowid
                or 0
            )
            if seq % _PRUNE_EVERY == 0:
                _prune(sql, seq)
        return str(self._now(sql))

    def _holder(
        self, sql: sqlite3.Connection, kind: str, uuid: str, name: str, *, renaming: bool = False
    ) -> int | None:
        """Number of the object with this UUID and name, or None where both are free."""
        found = sql.execute(
            "SELECT id, uuid, name FROM object WHERE driver = ? AND kind = ? AND (uuid = ? OR name = ?)",
            (self.driver, kind, uuid, name),
        ).fetchall()
        for number, its_uuid, its_name in found:
            if its_uuid == uuid and its_name == name:
                return int(number)
        for _, its_uuid, its_name in found:
            if its_name == name:
                raise Exists(kind, name, holder=f"UUID {its_uuid}", hint="choose another name, or undefine that one")
            if not renaming:
                raise Exists(kind, uuid, holder=repr(its_name), hint=f"rename {its_name!r}, or give another UUID")
        return None

    def _number(self, sql: sqlite3.Connection, kind: str, uuid: str) -> int:
        found = sql.execute(
            "SELECT id FROM object WHERE driver = ? AND kind = ? AND uuid = ?", (self.driver, kind, uuid)
        ).fetchone()
        if found is None:
            raise NotFound(uuid, kind)
        return int(found[0])

    def _one(self, kind: str, column: str, value: str) -> Row:
        query = f"{_WHOLE}{_SCOPED} AND o.{column} = ?"
        check_text(value, kind)
        found = self._connections.read(lambda sql: _rows(sql.execute(query, (self.driver, kind, self._boot, value))))
        if not found:
            raise NotFound(value, kind)
        return found[0]


def _encoded(given: Told | Iterable[Told] | None) -> list[_Columns]:
    return [encoded(entry) for entry in entries(given)]


def _rows(cursor: Iterable[tuple[str, str, str, str | None, int, int, str, str, float, str]]) -> list[Row]:
    return [Row(k, u, n, x, t == 1, a == 1, run, boot, at, gist) for k, u, n, x, t, a, run, boot, at, gist in cursor]


def _prune(sql: sqlite3.Connection, last: int) -> None:
    """Drop from the front what is too old or too much; what is left has no holes, whatever the clock did."""
    fresh = sql.execute(
        "SELECT seq FROM event WHERE at >= ? ORDER BY seq LIMIT 1", (time.time() - KEPT_SECONDS,)
    ).fetchone()
    first = max(fresh[0] if fresh else last, last - KEPT_ROWS + 1)
    sql.execute("DELETE FROM event WHERE seq < ?", (first,))
