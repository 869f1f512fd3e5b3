"""Definitions as files: ``<kind>/<quoted name>~<uuid>.xml``, and beside it what is more than the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from anyvirt.store.names import quote, unquote
from anyvirt.store.place import DRAFT, Drop, Place, Put, Step
from anyvirt.store.rows import Row, plain, plain_of


class Flags(NamedTuple):
    """What stands in the ``.json`` beside a document; a file of defaults is left out."""

    name: str
    transient: bool = False
    autostart: bool = False
    run: str = ""
    boot: str = ""


class Item(NamedTuple):
    """One definition as it was found.

    :param stem: ``<quoted name>~<uuid>``.
    :param noted: whether there is a ``.json`` beside it.
    """

    kind: str
    uuid: str
    stem: str
    flags: Flags
    noted: bool

    @property
    def path(self) -> str:
        """Its document."""
        return f"{self.kind}/{self.stem}.xml"

    def row(self, xml: str | None) -> Row:
        """It as a row."""
        flags = self.flags
        return Row(self.kind, self.uuid, flags.name, xml, flags.transient, flags.autostart, flags.run, flags.boot)

    def put(self, xml: str | None = None) -> list[Step]:
        """The steps that write it; the document is what makes it exist, so it comes last."""
        note = f"{self.kind}/{self.stem}.json"
        plainly = self.flags == Flags(self.flags.name) and unquote(quote(self.flags.name)) == self.flags.name
        steps: list[Step] = []
        if not plainly:
            steps.append(Put(note, plain(self.flags._asdict()).encode()))
        if xml is not None:
            steps.append(Put(self.path, xml.encode()))
        if plainly and self.noted:
            steps.append(Drop(note))
        return steps

    def drop(self) -> list[Step]:
        """The steps that remove it."""
        note: list[Step] = [Drop(f"{self.kind}/{self.stem}.json")] if self.noted else []
        return [Drop(self.path), *note]


def new_item(kind: str, uuid: str, flags: Flags, *, noted: bool = False) -> Item:
    """A definition that has yet to be written."""
    return Item(kind, uuid, f"{quote(flags.name)}~{uuid}", flags, noted)


def items(place: Place, kind: str, *, uuid: str = "", name: str = "") -> Iterator[Item]:
    """Definitions of a kind, in no order: all, or those with this UUID or this name."""
    names = frozenset(place.names(kind))
    wanted: Iterable[str] = names
    if uuid or name:  # told by the file name alone, so that few notes are read
        end, start = f"~{uuid}.xml", f"{quote(name)}~"
        wanted = [each for each in names if (uuid and each.endswith(end)) or (name and each.startswith(start))]
    found: dict[str, tuple[str, str, str]] = {}
    for each in wanted:
        stem, (quoted, tilde, its) = each[:-4], each[:-4].rpartition("~")
        if each.endswith(".xml") and not each.startswith(DRAFT) and tilde:  # else somebody's own file
            found[stem] = (f"{kind}/{stem}.json", quoted, its)
    notes = place.reads([path for stem, (path, _, _) in found.items() if f"{stem}.json" in names])
    for stem, (path, quoted, its) in found.items():
        plainly = unquote(quoted)
        flags = _flags(notes[path], plainly) if path in notes else None
        if flags is None and plainly is None:
            continue
        yield Item(kind, its, stem, flags or Flags(plainly or ""), flags is not None)


def _flags(data: bytes, name: str | None) -> Flags | None:
    try:
        found = plain_of(data.decode())
        return Flags(**{key: found[key] for key in Flags._fields if key in found})
    except (ValueError, TypeError):
        return Flags(name) if name is not None else None
