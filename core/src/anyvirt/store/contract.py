"""What every store can do: ``Store``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from anyvirt.model.values import JobRecord
    from anyvirt.store.rows import Defined, Entry, LogGap, Row, Told


class Store(Protocol):
    """What a driver keeps, safe for any number of threads and processes at once.

    What a call has returned from is on the disk. Every call may raise ``Busy`` (others
    wrote until the deadline), ``Failed`` with the code ``store.full``, ``store.corrupt``
    or ``store.io``, ``Denied`` and ``StoreNewer``; after an error nothing is half-done.

    ``event=`` takes one event or several; they are written together with the change.
    """

    driver: str

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
        """Add an object, or give the one with this UUID and name another document.

        A persistent definition makes a transient object persistent. A transient one over a
        persistent object leaves its document alone and sets ``run`` only.

        :param event: for a new object; also for a known one unless ``updated`` is given.
        :param run: the run that it is in; None leaves it as it is.
        :param gist: what of the document is wanted of many objects at once, in the driver's own words. It is written
            with the document and goes with it, so that it never tells of another one.
        :raises Exists: the UUID has another name, or the name another UUID; the holder is named.
        :raises Invalid: name, UUID or document can be kept by no store.
        """

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
        """Give the object another name, and its document with it.

        :param gist: of ``xml``; without a document the old one keeps its own.

        :raises NotFound: there is no such object.
        :raises Exists: another object has the name.
        """

    def undefine(
        self, kind: str, uuid: str, *, event: Told | Iterable[Told] | None = None, transient: bool = False
    ) -> None:
        """Remove the object with its blobs; with ``transient``, only its persistence: it stays until it ends.

        :raises NotFound: there is no such object.
        """

    def get(self, kind: str, uuid: str) -> Row:
        """The object with this UUID, with its document.

        :raises NotFound: there is none.
        """

    def by_name(self, kind: str, name: str) -> Row:
        """The object of this name, with its document.

        :raises NotFound: there is none.
        """

    def rows(self, kind: str, *, xml: bool = False, gist: bool = False) -> list[Row]:
        """All objects of a kind by name; without their documents and gists unless asked for."""

    def get_many(self, kind: str, uuids: Iterable[str]) -> list[Row]:
        """Those of the named objects that there are, with their documents, in the order asked for."""

    def set_autostart(self, kind: str, uuid: str, on: bool, *, event: Told | Iterable[Told] | None = None) -> None:
        """Have the object started with the host, or not.

        :raises NotFound: there is no such object.
        :raises WrongState: it is transient.
        """

    def set_run(self, kind: str, uuid: str, run: str, *, event: Told | Iterable[Told] | None = None) -> None:
        """Note the run that the object is in; empty when it is in none.

        :raises NotFound: there is no such object.
        """

    def blob(self, kind: str, ref: str, key: str) -> bytes | None:
        """What a plug-in kept under ``key`` for an object, or None."""

    def blobs(self, kind: str, key: str) -> Mapping[str, bytes]:
        """What is kept under ``key`` for every object of the kind, by ref."""

    def set_blob(self, kind: str, ref: str, key: str, value: bytes | None) -> None:
        """Keep ``value`` for an object; None removes it. It goes with the object when that is undefined."""

    def begin_run(self, kind: str, uuid: str, run: str) -> int:
        """Note the run that the object is in and take the next numeric id for it, in one step.

        :raises NotFound: there is no such object; no id is used up.
        """

    def next_id(self, kind: str = "domain") -> int:
        """The next numeric id: 1 after each boot, never given twice in one."""

    def jobs(self) -> tuple[JobRecord, ...]:
        """Records of jobs that have not been dropped, the oldest first."""

    def write_job(self, record: JobRecord) -> None:
        """Keep a job's record, in place of an earlier one of its id."""

    def drop_job(self, job: str) -> None:
        """Forget a job's record; nothing happens when there is none."""

    def append(self, event: Told | Iterable[Told]) -> str:
        """Write events into the log; the token after the last one.

        :raises Failed: (``store.full``) there was no room; readers will be told of the gap.
        """

    def token(self) -> str:
        """The token of now: ``events(token)`` begins with what comes next."""

    def events(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        """What was logged after a token, or everything that is kept; gaps stand where entries may be missing."""

    def follow(self, after: str | None = None) -> Iterator[Entry | LogGap]:
        """As ``events``, from now on without a token, and then wait for more, until the deadline or a cancel.

        :raises Interrupted: the deadline passed, or somebody cancelled.
        """

    def close(self) -> None:
        """Let go of what is open; the store can still be used and opens it again."""


class StoreBook:
    """A store as the book that jobs write their records into."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, record: JobRecord) -> None:
        """Keep the record."""
        self._store.write_job(record)

    def drop(self, job: str) -> None:
        """Forget the record."""
        self._store.drop_job(job)

    def all(self) -> tuple[JobRecord, ...]:
        """Every record, the oldest first."""
        return self._store.jobs()
