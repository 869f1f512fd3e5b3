"""What a store keeps: definitions, log entries, records of jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from anyvirt.ref import Ref

if TYPE_CHECKING:
    from anyvirt.events import Event
    from anyvirt.model.values import JobRecord

KEPT_SECONDS = 7 * 86400.0
KEPT_ROWS = 100_000


class Row(NamedTuple):
    """One definition.

    :param xml: the document as it was given; None where it was not asked for.
    :param transient: it is gone with this run or this boot, whichever ends first.
    :param run: id of the run that it is in, as the driver last wrote it; empty without one.
    :param boot: boot id of a transient one; empty for others.
    :param at: when it was last defined, as ``time.time()``; 0 where the store does not note it.
    :param gist: what the driver gave with the document; empty where it gave nothing, it was not asked for, or the
        store keeps none.
    """

    kind: str
    uuid: str
    name: str
    xml: str | None
    transient: bool
    autostart: bool
    run: str
    boot: str
    at: float = 0.0
    gist: str = ""


class Defined(NamedTuple):
    """What ``define`` did: whether the object is new, and the token after its event."""

    new: bool
    token: str


class Told(Protocol):
    """What can be written into a log; ``anyvirt.events.Event`` is such."""

    @property
    def kind(self) -> str: ...
    @property
    def ref(self) -> Ref | None: ...
    @property
    def at(self) -> float: ...
    @property
    def run(self) -> str: ...
    def detail_row(self) -> Mapping[str, Any]:
        """The fields of this kind alone, as plain data."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log, as plain data.

    :param detail: the fields of this kind; plain data.
    :param at: ``time.time()``; 0 means now when it is written.
    :param seq: its number in the log, rising; 0 before it is written.
    :param token: where to go on reading from; empty before it is written.
    """

    kind: str
    ref: Ref | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    at: float = 0.0
    seq: int = 0
    token: str = ""

    def detail_row(self) -> Mapping[str, Any]:
        """``detail``, under the name that typed events use."""
        return self.detail

    def event(self) -> Event:
        """The typed event that it tells of; a plain one for a kind or change that this version does not know."""
        from anyvirt.events import KINDS, Event

        cls = KINDS.get(self.kind, Event)
        known = {one.name for one in fields(cls)}
        values = {name: value for name, value in self.detail.items() if name in known}
        if cls.changes is not None:
            change = cls.changes._value2member_map_.get(values.get("change"))
            cls, values = (cls, {**values, "change": change}) if change is not None else (Event, {})
        return cls(**{**values, "ref": self.ref, "at": self.at, "run": self.run, "token": self.token})


@dataclass(frozen=True, slots=True)
class LogGap:
    """Entries may be missing here.

    :param reason: ``unknown token``, ``pruned``, ``torn line`` or ``no room``.
    :param since: when the last entry before it was written, where known.
    :param token: where to go on reading from.
    """

    reason: str
    since: float | None = None
    token: str = ""

    def event(self) -> Event:
        """The typed event that it is."""
        from anyvirt.events import Gap

        return Gap(reason=self.reason, since=self.since, at=time.time(), token=self.token)


class Token(NamedTuple):
    """What a resume token says: which store, after which entry, and how many losses were told before it."""

    store: str
    seq: int
    lost: int

    def __str__(self) -> str:
        return f"{self.store}.{self.seq}.{self.lost}"

    @classmethod
    def of(cls, text: str) -> Token | None:
        """The parts of a token, or None for what is none."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isdecimal() and len(part) < 19 for part in parts[1:]):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]))


def encoded(entry: Told) -> tuple[float, str, str, str, str]:
    """``entry`` as the columns at, run, ref, kind, detail."""
    return entry.at or time.time(), entry.run, ref_text(entry.ref), entry.kind, plain(dict(entry.detail_row()))


def entries(given: Told | Iterable[Told] | None) -> tuple[Told, ...]:
    """One, several or no entries as a sequence."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Iterable) else (given,)


def plain(data: Any) -> str:
    """``data`` as JSON on one line."""
    return _encode()(data)


@cache
def _encode() -> Callable[[Any], str]:
    import json

    return json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def plain_of(text: str) -> Any:
    """The data of what ``plain`` wrote."""
    import json

    return json.loads(text or "null")


def ref_text(ref: Ref | None) -> str:
    """``ref`` with its labels as JSON; empty for None."""
    return "" if ref is None else plain(_ref_data(ref))


def ref_of(text: str) -> Ref | None:
    """The ref of what ``ref_text`` wrote."""
    return _ref_from(plain_of(text)) if text else None


def _ref_data(ref: Ref | None) -> dict[str, Any] | None:
    if ref is None:
        return None
    data = {"kind": ref.kind, "key": ref.key, "parent": _ref_data(ref.parent), "name": ref.name, "uuid": ref.uuid}
    return {key: value for key, value in data.items() if value is not None}


def _ref_from(data: Mapping[str, Any] | None) -> Ref | None:
    if data is None:
        return None
    return Ref(data["kind"], data["key"], _ref_from(data.get("parent")), data.get("name"), data.get("uuid"))


def job_data(record: JobRecord) -> dict[str, Any]:
    """A job's record as plain data."""
    return {
        "id": record.id, "hook": record.hook, "ref": _ref_data(record.ref), "phase": record.phase,
        "owner": record.owner, "undo": record.undo, "native": record.native, "started": record.started,
    }  # fmt: skip


def job_of(data: Mapping[str, Any]) -> JobRecord:
    """The record of what ``job_data`` gave; unknown keys are left out of account."""
    from anyvirt.model.values import JobRecord

    return JobRecord(
        data["id"], data["hook"], _ref_from(data.get("ref")), data["phase"], data.get("owner") or {},
        data.get("undo") or {}, data.get("native") or "", data.get("started") or 0.0,
    )  # fmt: skip
