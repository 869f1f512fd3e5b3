"""A store in plain files, for drivers whose other end is a shell."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from anyvirt.errors import Busy, Exists, NotFound, StoreNewer, VirtError, WrongState
from anyvirt.identity import boot_id
from anyvirt.locks import Lock, Patience
from anyvirt.store import journal
from anyvirt.store.bell import Bell
from anyvirt.store.faults import corrupt
from anyvirt.store.log import Rings, follow
from anyvirt.store.names import check_key, check_kind, check_name, check_ref, check_text, quote, unquote
from anyvirt.store.place import HEAD, META, Drop, LocalPlace, Move, Place, Put, Seen, Step, renames
from anyvirt.store.rows import Defined, Entry, LogGap, Row, Token, Told, entries, job_data, job_of, plain, plain_of
from anyvirt.store.schema import OLDEST_WRITER, SCHEMA
from anyvirt.store.shelf import Flags, Item, items, new_item

if TYPE_CHECKING:
    from anyvirt.model.values import JobRecord
    from anyvirt.transport.files import Files
    from anyvirt.transport.run import Run

T = TypeVar("T")
_NEW: Final = "new"


class _Plan(NamedTuple, Generic[T]):
    """What a change does, once it is known what is there."""

    result: T
    steps: list[Step]
    told: tuple[Told, ...] = ()
    ids: Mapping[str, Any] | None = None


class _Head(NamedTuple):
    """What the last change has left in its file.

    :param seq: the log's last number then; None where a power loss, or an earlier version, left it open.
    """

    data: bytes
    ids: Mapping[str, Any]
    seq: int | None


def _head_step(nonce: str, ids: Mapping[str, Any], seq: int, *, new: bool = False) -> Put:
    # The first one lasts: where there is none, nothing has been done since the log's last line.
    return Put(HEAD, plain({"nonce": nonce, "ids": ids, "seq": seq}).encode(), lasting=new)


class FileStore:
    """The store of ``driver`` in a folder; see ``anyvirt.store.Store``.

    :param boot: the boot id to go by; the kernel's unless given.
    """

    def __init__(self, place: Place, driver: str, bell: Rings, *, boot: str | None = None) -> None:
        self.driver = driver
        self._place, self._bell = place, bell
        self._boot = boot if boot is not None else boot_id() or "unknown"
        self._swept: set[str] = set()  # kinds that have been looked through for what other boots left

    @classmethod
    def local(cls, folder: Path, driver: str, lock: Lock, *, boot: str | None = None) -> FileStore:
        """The store in a folder of this host, under ``lock``."""
        return cls(LocalPlace(folder, lock), driver, Bell(folder / "store.bell"), boot=boot)

    @classmethod
    def far(cls, run: Run, files: Files, folder: str, driver: str, lock: str, *, boot: str) -> FileStore:
        """The store in a folder of the host that ``run`` and ``files`` reach.

        :param lock: absolute path of the lock's file there.
        :param boot: the boot id of that host.
        """
        from anyvirt.store.far import FarBell, FarPlace

        bell = FarBell(run, files, f"{folder}/store.bell")
        return cls(FarPlace(run, files, folder, lock), driver, bell, boot=boot)

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
        gist: str = "",  # noqa: ARG002 - it would be a second file for each definition
    ) -> Defined:
        check_key(uuid, kind)
        check_name(name, kind)
        check_text(xml, kind)
        added = entries(event)
        changed = added if updated is None else entries(updated)
        boot = self._boot if transient else ""

        def decide() -> _Plan[bool]:
            known, stale = self._known(kind, uuid, name)
            old = _holder(known, kind, uuid, name)
            if old is None:
                item = new_item(kind, uuid, Flags(name, transient, False, run or "", boot))
                return _Plan(True, stale + item.put(xml), added)
            flags = old.flags if run is None else old.flags._replace(run=run)
            if transient and not old.flags.transient:
                return _Plan(False, stale + old._replace(flags=flags).put(), changed)
            item = old._replace(flags=flags._replace(transient=transient, boot=boot))
            return _Plan(False, stale + item.put(xml), changed)

        new, token = self._change(f"define {name}", kind, decide)
        return Defined(new, token)

    def rename(
        self,
        kind: str,
        uuid: str,
        name: str,
        *,
        xml: str | None = None,
        gist: str = "",  # noqa: ARG002 - as for define
        event: Told | Iterable[Told] | None = None,
    ) -> None:
        check_name(name, kind)
        check_text(xml or "", kind)

        def decide() -> _Plan[None]:
            known, _ = self._known(kind, uuid, name)
            old = _wanted(known, kind, uuid)
            _holder([item for item in known if item.uuid != uuid], kind, uuid, name)
            item = new_item(kind, uuid, old.flags._replace(name=name))
            # One rename carries it over, so that it never has two names or none.
            move: list[Step] = [Move(old.path, item.path)] if old.path != item.path else []
            note: list[Step] = [Drop(f"{kind}/{old.stem}.json")] if old.noted and move else []
            return _Plan(None, [*item.put(), *move, *(item.put(xml) if xml is not None else []), *note], entries(event))

        self._change(f"rename {name}", kind, decide)

    def undefine(
        self, kind: str, uuid: str, *, event: Told | Iterable[Told] | None = None, transient: bool = False
    ) -> None:
        def decide() -> _Plan[None]:
            old = _wanted(self._known(kind, uuid)[0], kind, uuid)
            if not transient:
                return _Plan(None, [*old.drop(), *self._blobs_of(kind, uuid)], entries(event))
            flags = old.flags._replace(transient=True, autostart=False, boot=self._boot)
            return _Plan(None, old._replace(flags=flags).put(), entries(event))

        self._change("undefine", kind, decide)

    def get(self, kind: str, uuid: str) -> Row:
        found = next(self._whole(self._items(kind, uuid=uuid)), None) if uuid else None
        if found is None:
            raise NotFound(uuid, kind)
        return found

    def by_name(self, kind: str, name: str) -> Row:
        check_text(name, kind)
        if not name:
            raise NotFound(name, kind)
        found = next(self._whole(self._items(kind, name=name)), None)
        if found is None:
            raise NotFound(name, kind)
        return found

    def rows(self, kind: str, *, xml: bool = False, gist: bool = False) -> list[Row]:  # noqa: ARG002 - there is none
        found = sorted(self._items(kind), key=lambda item: item.flags.name)
        return list(self._whole(found)) if xml else [item.row(None) for item in found]

    def get_many(self, kind: str, uuids: Iterable[str]) -> list[Row]:
        known = {item.uuid: item for item in self._items(kind)}
        return list(self._whole(known[uuid] for uuid in uuids if uuid in known))

    def set_autostart(self, kind: str, uuid: str, on: bool, *, event: Told | Iterable[Told] | None = None) -> None:
        def decide() -> _Plan[None]:
            old = _wanted(self._known(kind, uuid)[0], kind, uuid)
            if old.flags.transient:
                raise WrongState("transient", ["persistent"], "autostart", what=old.flags.name, kind=kind)
            return _Plan(None, old._replace(flags=old.flags._replace(autostart=bool(on))).put(), entries(event))

        self._change("set autostart", kind, decide)

    def set_run(self, kind: str, uuid: str, run: str, *, event: Told | Iterable[Told] | None = None) -> None:
        def decide() -> _Plan[None]:
            old = _wanted(self._known(kind, uuid)[0], kind, uuid)
            return _Plan(None, old._replace(flags=old.flags._replace(run=run)).put(), entries(event))

        self._change("note a run", kind, decide)

    def blob(self, kind: str, ref: str, key: str) -> bytes | None:
        return self._place.read(_blob(kind, ref, key))

    def blobs(self, kind: str, key: str) -> Mapping[str, bytes]:
        check_kind(kind)
        folder = f"_blob/{kind}/{quote(key)}"
        refs = {f"{folder}/{name}": unquote(name) for name in self._place.names(folder) if not name.startswith(".")}
        kept = self._place.reads([path for path in sorted(refs) if refs[path] is not None])
        return {ref: kept[path] for path, ref in refs.items() if ref is not None and path in kept}

    def set_blob(self, kind: str, ref: str, key: str, value: bytes | None) -> None:
        check_ref(ref, kind)
        check_ref(key, kind)
        path = _blob(kind, ref, key)
        step = Drop(path) if value is None else Put(path, value)
        present = value is not None or self._place.read(path) is not None
        self._change(f"keep {key}", kind, lambda: _Plan(None, [step] if present else []))

    def begin_run(self, kind: str, uuid: str, run: str) -> int:
        def decide() -> _Plan[int]:
            old = _wanted(self._known(kind, uuid)[0], kind, uuid)
            number, ids = self._next(kind)
            return _Plan(number, old._replace(flags=old.flags._replace(run=run)).put(), (), ids)

        return self._change("begin a run", kind, decide)[0]

    def next_id(self, kind: str = "domain") -> int:
        def decide() -> _Plan[int]:
            number, ids = self._next(kind)
            return _Plan(number, [], (), ids)

        return self._change("take an id", kind, decide)[0]

    def jobs(self) -> tuple[JobRecord, ...]:
        data = self._place.reads([f"_job/{name}" for name in self._place.names("_job") if name.endswith(".json")])
        found = [job_of(plain_of(text.decode())) for text in data.values()]
        return tuple(sorted(found, key=lambda record: (record.started, record.id)))

    def write_job(self, record: JobRecord) -> None:
        check_ref(record.id, "job")
        step = Put(f"_job/{quote(record.id)}.json", plain(job_data(record)).encode())
        self._change(f"note {record.hook}", "job", lambda: _Plan(None, [step]))

    def drop_job(self, job: str) -> None:
        path = f"_job/{quote(job)}.json"
        self._change(
            "drop a job", "job", lambda: _Plan(None, [Drop(path)] if self._place.read(path) is not None else [])
        )

    def append(self, event: Told | Iterable[Told]) -> str:
        told = tuple(entries(event))
        try:
            return self._change("log", "", lambda: _Plan(None, [], told))[1]
        except VirtError as error:
            if error.code == "store.full":
                self._bell.lose(len(told))
            raise

    def token(self) -> str:
        store = self._id()
        if store == _NEW:  # a token has to hold when the first event comes
            with self._place.locked("begin"):
                store = self._id(make=True)
        return str(Token(store, journal.end_of(self._place).seq, self._bell.lost()))

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        return journal.read(self._place, self._id(), after, self._bell.lost())

    def follow(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        return follow(self, self._bell, after)

    def close(self) -> None:
        """Nothing is kept open."""

    def sweep(self, kind: str) -> int:
        """Remove what killed writers had written for objects of a kind and never put in place; how many files."""

        def decide() -> _Plan[int]:
            folders = [kind, *(f"_blob/{kind}/{key}" for key in self._place.names(f"_blob/{kind}"))]
            left = [f"{folder}/{name}" for folder in folders for name in self._place.abandoned(folder)]
            return _Plan(len(left), [Drop(path) for path in left])

        return self._change("sweep", kind, decide)[0]

    def _items(self, kind: str, *, uuid: str = "", name: str = "") -> Iterator[Item]:
        check_kind(kind)
        return (item for item in items(self._place, kind, uuid=uuid, name=name) if item.flags.boot in ("", self._boot))

    def _whole(self, found: Iterable[Item]) -> Iterator[Row]:
        wanted = list(found)
        kept = self._place.reads([item.path for item in wanted])
        for item in wanted:
            data = kept.get(item.path)
            if data is None:
                continue  # undefined, or renamed, since it was listed
            try:
                yield item.row(data.decode())
            except UnicodeDecodeError as error:
                raise corrupt(item.path, "it is no UTF-8 text") from error

    def _known(self, kind: str, uuid: str, name: str = "") -> tuple[list[Item], list[Step]]:
        """What has this UUID or name, and the steps that remove what other boots left."""
        swept = kind in self._swept
        self._swept.add(kind)
        known = list(items(self._place, kind, uuid=uuid, name=name) if swept else items(self._place, kind))
        stale = [item for item in known if item.flags.boot not in ("", self._boot)]
        steps = [step for item in stale for step in (*item.drop(), *self._blobs_of(kind, item.uuid))]
        return [item for item in known if item not in stale], steps

    def _blobs_of(self, kind: str, ref: str) -> list[Step]:
        folder, name = f"_blob/{kind}", quote(ref)
        keys = [key for key in self._place.names(folder) if name in self._place.names(f"{folder}/{key}")]
        return [Drop(f"{folder}/{key}/{name}") for key in keys]

    def _change(self, purpose: str, kind: str, decide: Callable[[], _Plan[T]]) -> tuple[T, str]:
        if kind:
            check_kind(kind)
        patience = Patience()
        while True:
            with self._place.locked(purpose):
                store = self._id(make=True)
                head = self._head()
                end = journal.end_of(self._place)
                if head.seq is not None and end.seq > head.seq:  # a writer was killed when he had told of his change
                    done = self._finished(head, end)
                else:
                    plan = decide()
                    if not plan.steps and not plan.told and plan.ids is None:
                        return plan.result, ""
                    last, done = self._written(head, end, plan)
                    if done:
                        break
            if not done and not patience.nap():
                raise Busy(f"the store of {self.driver}", holder="another process", purpose="writing")
        self._bell.ring()
        return plan.result, str(Token(store, last, self._bell.lost())) if plan.told else ""

    def _written(self, head: _Head, end: journal.End, plan: _Plan[Any]) -> tuple[int, bool]:
        """Take the steps of a plan: the log's last number then, and whether nobody else was first."""
        nonce, last = self._place.nonce(), end.seq + len(plan.told)
        ids = head.ids if plan.ids is None else plan.ids
        if plan.told and (aged := journal.aged(self._place, end, last)):
            self._place.change(Seen(head.data, end.size), b"", aged)
            end = journal.end_of(self._place)
        # The head comes last: until it knows of the log's last line, the steps of that line are to be taken again.
        steps: list[Step] = [*plan.steps, *journal.full(end, last), _head_step(nonce, ids, last, new=not head.data)]
        lines = journal.lines_for(plan.told, end, renames(steps, nonce) if plan.steps else ())
        return last, self._place.change(Seen(head.data, end.size if lines else -1), lines, steps, nonce)

    def _finished(self, head: _Head, end: journal.End) -> bool:
        """Take the steps that the log's last line tells of; whether nobody else was first."""
        seen, steps = Seen(head.data, end.size), end.steps()
        if steps and not self._place.change(seen, b"", steps):
            return False
        now = self._head()
        if now.seq == end.seq:
            return True
        return self._place.change(Seen(now.data, end.size), b"", [_head_step(secrets.token_hex(8), now.ids, end.seq)])

    def _next(self, kind: str) -> tuple[int, Mapping[str, Any]]:
        """The next numeric id, and all counters once it is taken."""
        ids = self._head().ids
        boot, last = ids.get(kind, ("", 0))
        number = last + 1 if boot == self._boot else 1
        return number, {**ids, kind: (self._boot, number)}

    def _head(self) -> _Head:
        data = self._place.read(HEAD)
        if data is None:  # the first change has not come so far
            return _Head(b"", {}, 0)
        try:
            found = plain_of(data.decode())
            return _Head(data, found.get("ids", {}), found.get("seq"))
        except (ValueError, AttributeError):
            return _Head(data, {}, None)  # cut by a power loss, and ids begin anew after one

    def _id(self, *, make: bool = False) -> str:
        """The store's id; raises where this version may not use the store."""
        data = self._place.read(META)
        if data is None:
            if not make:
                return _NEW
            meta = {"schema": SCHEMA, "oldest_writer": OLDEST_WRITER, "store": secrets.token_hex(8)}
            self._place.change(Seen(b"", -1), b"", [Put(META, plain(meta).encode())])
            return str(meta["store"])
        try:
            found = plain_of(data.decode())
            oldest, store = int(found["oldest_writer"]), str(found["store"])
        except (ValueError, KeyError, TypeError) as error:
            raise corrupt(META, "its schema cannot be told") from error
        if oldest > SCHEMA:
            raise StoreNewer(META, oldest, SCHEMA)
        return store


def _blob(kind: str, ref: str, key: str) -> str:
    check_kind(kind)
    return f"_blob/{kind}/{quote(key)}/{quote(ref)}"


def _wanted(known: Iterable[Item], kind: str, uuid: str) -> Item:
    found = next((item for item in known if item.uuid == uuid), None)
    if found is None:
        raise NotFound(uuid, kind)
    return found


def _holder(known: Iterable[Item], kind: str, uuid: str, name: str) -> Item | None:
    """The object with this UUID and name, or None where both are free."""
    found = [item for item in known if item.uuid == uuid or item.flags.name == name]
    for item in found:
        if item.uuid == uuid and item.flags.name == name:
            return item
    for item in found:
        if item.flags.name == name:
            raise Exists(kind, name, holder=f"UUID {item.uuid}", hint="choose another name, or undefine that one")
        its = item.flags.name
        raise Exists(kind, uuid, holder=repr(its), hint=f"rename {its!r}, or give another UUID")
    return None
