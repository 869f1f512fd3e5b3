"""What happens, as it happens: the store's log and every running guest's journal as one stream."""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final, cast

from anyvirt.api import (
    Begun,
    Change,
    Denied,
    Entry,
    Event,
    Gap,
    Lifecycle,
    LogGap,
    NotFound,
    Ref,
    so_now,
    stamped,
)
from anyvirt_host.local import follow

from anyvirt_qemu.closing import Closing
from anyvirt_qemu.guest import stopped
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.qmp.telling import Teller, ended
from anyvirt_qemu.site import DRIVER, KIND, STOPPED, ref_of

if TYPE_CHECKING:
    from anyvirt.api import ProcessId, Row

    from anyvirt_qemu.guest import Record, Run
    from anyvirt_qemu.qmp.wire import Event as Word
    from anyvirt_qemu.site import Site

KEPT: Final = 1000  # events of a run that are kept beyond its end
PATIENCE: Final = 1.0  # for whoever ended a guest to say why
LOOK: Final = 0.5  # a writer that was killed before it rang is noticed after this long
OFFSET: Final = "journal"  # in an entry that was copied from a journal: where the journal went on after it
UNKNOWN: Final = "unknown token"
NO_ROOM: Final = "no room"


def of_run(row: Row, record: Record, run: Run) -> Iterator[Entry]:
    """Everything that QEMU told in a run that is over, for the store's log.

    Each entry notes where the journal goes on after it, so that a watcher who has read the
    journal knows it. Of more than 1,000 the last are given, after a gap.
    """
    teller = Teller(ref_of(row), record)
    try:
        fd = journal.open_out(run.place.q, uid=record.uid)
    except NotFound:
        return
    except Denied:
        yield _entry(Gap(ref=ref_of(row), reason="truncated", run=record.run, at=time.time()), 1)
        return
    kept: deque[Entry] = deque(maxlen=KEPT)
    lost: Entry | None = None
    try:
        for item in _told(teller, journal.read(fd, ended=True)):
            if len(kept) == KEPT:
                lost = kept[0]
            if item.event is not None:
                kept.append(_entry(item.event, item.after))
    finally:
        os.close(fd)
    if lost is not None:
        offset = int(lost.detail[OFFSET])
        yield _entry(Gap(ref=ref_of(row), run=record.run, at=lost.at, since=lost.at, reason="pruned"), offset)
    yield from kept


def _entry(event: Event, after: int) -> Entry:
    return Entry(event.kind, event.ref, {**event.detail_row(), OFFSET: after}, event.run, event.at)


@dataclass(slots=True)
class Place:
    """How far a watcher has come; as text it is the resume token.

    :param store: token of the store's log.
    :param runs: run -> offset in its journal.
    :param over: runs whose end was told before anybody wrote it into the log.
    """

    store: str
    runs: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        runs = ",".join(f"{run}={offset}{'!' * (run in self.over)}" for run, offset in self.runs.items())
        return f"1/{self.store}/{runs}"

    @classmethod
    def of(cls, text: str) -> Place | None:
        """The place that a token names, or None where it is none."""
        version, _, rest = text.partition("/")
        store, _, listed = rest.partition("/")
        if version != "1" or not store:
            return None
        runs: dict[str, int] = {}
        over: set[str] = set()
        for word in listed.split(",") if listed else ():
            run, _, number = word.partition("=")
            offset = number.removesuffix("!")
            if not (run.isalnum() and offset.isdecimal() and len(offset) < 19):
                return None
            runs[run] = int(offset)
            if number.endswith("!"):
                over.add(run)
        return cls(store, runs, over)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was read: it may be nothing to tell, or have been told already.

    :param at: what it is put in order by.
    :param after: offset in the journal of ``run`` that it moves to; -1 for what is in the store alone.
    :param store: token of the store's log that it moves to; empty for what is in a journal alone.
    """

    event: Event | None
    at: float
    run: str = ""
    after: int = -1
    store: str = ""


def _told(teller: Teller, entries: Iterable[journal.Entry]) -> Iterator[Item]:
    """A run's journal, told; the times never go back."""
    latest = 0.0
    for entry in entries:
        event: Event | None
        if isinstance(entry.what, journal.Tear):
            event = Gap(ref=teller.ref, run=teller.run, at=time.time(), since=latest or None, reason=entry.what.reason)
        else:
            event = teller.feed(entry.what)
            latest = max(latest, (entry.what.at or 0) / 1e9)
        yield Item(event, latest, teller.run, entry.after)


def _forward(items: Iterable[Item]) -> Iterator[Item]:
    """The same, with times that never go back: what was copied at the end of a run is older than what precedes it."""
    latest = 0.0
    for item in items:
        latest = max(latest, item.at)
        yield replace(item, at=latest)


@dataclass(slots=True)
class Followed:
    """One run whose journal is read.

    :param scanned: it was there when the watch began; its start may stand in the part of the log that is not read yet.
    :param gone: ``time.monotonic()`` when its QEMU was seen to have ended, or None.
    :param full: the journal had no room when it was read last.
    :param removed: its run directory was seen to be gone.
    """

    record: Record
    teller: Teller
    fd: int
    pidfd: int
    scanned: bool
    gone: float | None
    full: bool = False
    removed: bool = False

    def words(self) -> Iterator[Word]:
        """What QEMU told, from the beginning."""
        for entry in journal.read(self.fd, ended=True):
            if not isinstance(entry.what, journal.Tear):
                yield entry.what

    def close(self) -> None:
        """Close what is open."""
        for fd in (self.fd, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.fd = self.pidfd = -1


def watch(site: Site, after: str | None) -> Iterator[Event]:
    """What happens after a token, or from now on; the place is settled when this returns."""
    stream = _watched(site, after)
    place = next(stream)
    return Begun(cast("Iterator[Event]", stream), str(place))


def _watched(site: Site, after: str | None) -> Iterator[Event | str | None]:
    with Following(site) as following:
        stream = following.events(after)
        next(stream)
        yield following.token
        yield from stream


class Following(Closing):
    """One watcher: a single loop over the store's bell, the journals and the processes."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._store = site.scope.store(DRIVER)
        self._runs: dict[str, Followed] = {}
        self._place = Place("")
        self._read = ""
        self._full = False
        self._watch = follow.Watch()
        self._bell = os.open(self._store.bell, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._watch.file("bell", self._bell)

    def close(self) -> None:
        """Stop following."""
        for one in self._runs.values():
            one.close()
        self._watch.close()
        os.close(self._bell)
        self._store.close()

    @property
    def token(self) -> str:
        """How far it has come."""
        return str(self._place)

    def events(self, after: str | None) -> Iterator[Event | None]:
        """What happens after a token, or from now on, until the deadline or a cancel; None first, at its place."""
        place = Place.of(after) if after is not None else None
        self._begin(place)
        yield None
        if after is not None and place is None:
            yield from self._anew(Gap(at=time.time(), reason=UNKNOWN))
        first = True
        while True:
            told = False
            for event in self._turn():
                told = True
                yield event
            if first:
                first = False
                self._drop_settled()
            if not told:
                self._mark(self._watch.wait(self._pause()))

    # -- what is there at the beginning ----------------------------------------------------

    def _begin(self, place: Place | None) -> None:
        """Follow every run that is there, from where the place says, or else from now."""
        for run in list(self._runs):
            self._detach(run)
        self._place = place or Place(self._store.token())
        self._read = self._place.store
        for row in self._store.rows(KIND):
            if not row.run or row.run in self._place.over:
                continue
            known = self._place.runs.get(row.run)
            one = self._attach(row.uuid, row.run, scanned=known is None)
            if one is None:
                continue
            if not self._site.heard(one.record):  # the log will tell of it
                self._detach(row.run)
                continue
            self._place.runs[row.run] = _replay(one, known)
            if known is None and one.gone is not None:
                self._place.over.add(row.run)
                self._detach(row.run)

    def _attach(self, uuid: str, run: str, *, scanned: bool) -> Followed | None:
        with self._site.run(uuid) as found:
            if found is None or found.record is None or found.record.run != run:
                return None
            record = found.record
            try:
                fd = journal.open_out(found.place.q, uid=record.uid)
            except (NotFound, Denied):
                return None
            pidfd, gone = _pidfd(found.process)
        teller = Teller(Ref(KIND, uuid, name=record.name, uuid=uuid), record)
        one = self._runs[run] = Followed(record, teller, fd, pidfd, scanned, time.monotonic() if gone else None)
        self._watch.file(run, fd)
        if pidfd >= 0:
            self._watch.process(("end", run), pidfd)
        return one

    def _detach(self, run: str) -> None:
        one = self._runs.pop(run, None)
        if one is not None:
            self._watch.forget(run)
            self._watch.forget(("end", run))
            one.close()

    def _drop_settled(self) -> None:
        """Runs of the token that nothing is left of: the rest of their events stood in the log, which is read now."""
        there = {row.run for row in self._store.rows(KIND)} | self._runs.keys()
        for run in [run for run in self._place.runs if run not in there]:
            self._forget(run)

    def _forget(self, run: str) -> None:
        self._detach(run)
        self._place.runs.pop(run, None)
        self._place.over.discard(run)

    def _anew(self, gap: Gap) -> Iterator[Event]:
        """A gap, and then what is so now, of one domain or all; only the last has the token: half is worth nothing."""
        events: list[Event] = [stamped(gap, token="")]
        stops = dict(self._store.blobs(KIND, STOPPED))
        for row in self._site.rows():
            if gap.ref is None or gap.ref.key == row.uuid:
                event = so_now(ref_of(row), self._site.status(row, stops), run=row.run, at=time.time())
                events += [event] if event is not None else []
        yield from events[:-1]
        yield self._stamped(events[-1])

    # -- one turn of the loop --------------------------------------------------------------

    def _turn(self) -> Iterator[Event]:
        """Read all that is there, and tell it in order of time."""
        stored = list(self._log())
        self._full = os.statvfs(self._site.runs).f_bavail == 0
        drained = [list(self._drain(one)) for one in list(self._runs.values())]
        if any(drained):  # so that an entry from before them is not told after them
            stored += self._log()
        for item in heapq.merge(_forward(stored), *drained, key=attrgetter("at")):
            yield from self._tell(item)
        for one in [one for one in self._runs.values() if one.gone is not None]:
            yield from self._end(one)

    def _log(self) -> Iterator[Item]:
        for found in self._store.events(self._read):
            self._read = found.token
            if isinstance(found, LogGap):
                yield Item(found.event(), 0.0, store=found.token)
                if found.reason == UNKNOWN:
                    return
            else:
                offset = found.detail.get(OFFSET, -1)
                yield Item(found.event(), found.at, found.run, offset, found.token)

    def _drain(self, one: Followed) -> Iterator[Item]:
        offset = self._place.runs.get(one.record.run, 0)
        if os.fstat(one.fd).st_size == offset and not (self._full or one.full):
            return
        full = False
        for item in _told(one.teller, journal.read(one.fd, offset, ended=one.gone is not None)):
            offset = item.after
            if isinstance(item.event, Gap) and item.event.reason == NO_ROOM:
                full = True
                if one.full:
                    continue
            yield item
        if one.full and not full:  # what happened meanwhile is lost, too
            gap = Gap(ref=one.teller.ref, run=one.record.run, at=time.time(), reason=NO_ROOM)
            yield Item(gap, time.time(), one.record.run, offset)
        one.full = full

    def _tell(self, item: Item) -> Iterator[Event]:
        if item.store:
            self._place.store = item.store
        event = item.event
        if item.after >= 0:
            known = self._place.runs.get(item.run, 0)
            # what was cut off moves back, and what could not be written moves nowhere
            gap = isinstance(event, Gap) and event.reason in {"truncated", NO_ROOM}
            if item.after <= known and not (gap and not item.store):
                return
            self._place.runs[item.run] = item.after
        elif isinstance(event, Lifecycle) and event.run and not self._heed(event):
            return
        if isinstance(event, Gap):
            if item.store and event.reason == UNKNOWN:
                self._begin(None)
            yield from self._anew(event)
        elif event is not None:
            yield self._stamped(event)

    def _heed(self, event: Lifecycle) -> bool:
        """What the log says of a run; whether it is still to be told."""
        run = event.run
        if event.change is Change.STOPPED:
            over = run in self._place.over
            self._forget(run)
            return not over
        if event.change is Change.STARTED and event.ref is not None:
            one = self._runs.get(run)
            if one is None:
                self._attach(event.ref.key, run, scanned=False)
                self._place.runs.setdefault(run, 0)
            elif one.scanned:  # its start comes only now: so do its events
                one.scanned = False
                one.teller = Teller(one.teller.ref, one.record)
                self._place.runs[run] = 0
        return True

    def _end(self, one: Followed) -> Iterator[Event]:
        """A guest has ended: tell what its journal says, at once where nobody has written down that he ends it.

        Who has is given a while to say why.
        """
        assert one.gone is not None
        run, ref = one.record.run, one.teller.ref
        with self._site.run(ref.key) as found:
            left = found is not None and found.record is not None and found.record.run == run
            record = found.record if left and found is not None else one.record
        if not left and not one.removed:  # who took it away has told of the end before, maybe since we read the log
            one.removed = True
            return
        reason = stopped(one.words(), record)
        sure = left and record is not None and not record.ending
        if sure or time.monotonic() - one.gone >= PATIENCE:
            self._place.over.add(run)
            self._detach(run)
            yield self._stamped(ended(ref, run, reason, time.time()))

    def _mark(self, news: set[Hashable]) -> None:
        for key in news:
            if isinstance(key, tuple):
                self._watch.forget(key)  # it would be told each time
                self._runs[key[1]].gone = time.monotonic()

    def _pause(self) -> float:
        gone = [one.gone for one in self._runs.values() if one.gone is not None]
        return min(LOOK, max(0.0, min(gone) + PATIENCE - time.monotonic())) if gone else LOOK

    def _stamped(self, event: Event) -> Event:
        return stamped(event, token=str(self._place))


def _replay(one: Followed, known: int | None) -> int:
    """Feed the teller what came before, since it decides what the next means; the offset to go on from."""
    offset = 0
    for entry in journal.read(one.fd, ended=one.gone is not None):
        if known is not None and entry.after > known:
            break
        offset = entry.after
        if not isinstance(entry.what, journal.Tear):
            one.teller.feed(entry.what)
    return offset if known is None else known


def _pidfd(process: ProcessId | None) -> tuple[int, bool]:
    """A descriptor that tells of the end of QEMU, -1 where there is none; and whether it has ended already."""
    alive = False if process is None else process.alive()
    if process is None or not alive:
        return -1, alive is False
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return -1, True
    if process.alive() is False:  # the number may have been given away between the look and the open
        os.close(fd)
        return -1, True
    return fd, False
