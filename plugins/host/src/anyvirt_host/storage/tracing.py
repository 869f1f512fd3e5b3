"""Hooks that tell where a volume is, what it stands on, and that take the user's word for an image that was found."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import ChainLink, Document, Invalid, NotFound, Problem, Ref, VirtError, Volume, impl

from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.images.header import HEAD, backing_path
from anyvirt_host.storage.images.headers import READERS, header_of, vhdx
from anyvirt_host.storage.site import Declared, Live, pool_ref
from anyvirt_host.storage.volumes import RAW, Volumes
from anyvirt_host.storage.wish import FOLDERS, FORMATS

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.images.header import Header

LONGEST: Final = 1000  # images of a chain that are looked at; no QEMU opens as many
PLACE: Final = "/backingStore"
_FOREIGN: Final = "its name is no file of this host: it is not looked at"
_OUTSIDE: Final = "it is in no active pool, and nobody declared it: it is not looked at"


class Step(NamedTuple):
    """The way to an image of a chain.

    :param word: the format that the image above calls it; empty for the first.
    :param trusted: the user said so, and not just the image above.
    :param note: why nobody looks at it.
    """

    place: str
    word: str = ""
    trusted: bool = True
    note: str = ""


class Tracing(Volumes):
    """A chain is followed one image at a time, each by its declared format; nothing is opened with what is below."""

    @impl
    def volume_find(self, text: str) -> Ref:
        spellings = dict.fromkeys((text, re.sub(r"/(?:\./|/)+", "/", text)))
        for place in spellings:
            for row in self.site.store.rows("pool"):
                live = Live.of(row.run, self.site.boot)
                if live is None or not place:
                    continue
                backend = self.backend(live)
                name = backend.called(live, place)
                if name and backend.look(live, name) is not None:
                    return Ref("volume", place, pool_ref(row), name=name)
        raise NotFound(text, "volume", hint="a key or a path is looked for in active pools only")

    @impl
    def volume_chain(self, ref: Ref) -> tuple[ChainLink, ...]:
        self._seen(ref, self._home(ref))
        step, links, seen = Step(ref.key), list[ChainLink](), set[str]()
        while True:
            note = step.note
            if step.place in seen:
                note = "it is above already: the chain goes round"
            elif len(links) == LONGEST:
                note = f"there are more than {LONGEST} images above it: it is not looked at"
            if note:
                return (*links, ChainLink(step.place, RAW, step.trusted, note=note))
            seen.add(step.place)
            link, below = self._link(step)
            links.append(link)
            if below is None:
                return tuple(links)
            step = below

    @impl
    def volume_declare(self, ref: Ref, config: Document[Volume]) -> None:
        live, asked = self._home(ref), config.model
        self._seen(ref, live)
        word = str(asked.target.format) if asked.target and asked.target.format else ""
        if word not in FORMATS or FORMATS[word] in FOLDERS:
            code = "unsupported.config" if word else "config.missing"
            text = f"{word!r} is no format of an image" if word else "the format is what is to be declared"
            raise Invalid([Problem(code, "/target/format/@type", None, text, f"say one of {', '.join(FORMATS)}")])
        kind = FORMATS[word]
        assert ref.parent is not None
        with self.site.locks.hold(ref.parent.key, "declare"):
            sight, backend = self._seen(ref, live), self.backend(live)
            if sight.type != "file":
                raise Invalid(f"{ref.key} is no file: it is raw, whatever is in it", hint="name an image")
            now = backend.generation(live, backend.called(live, ref.key))
            said = Declared(ref.key, sight.inode, kind, now, backend.home(live), word="" if word == kind else word)
            path, below = self._backing(ref, live, sight, said, asked)
            self.site.declare(said._replace(backing=path, backing_format=below))

    def _backing(self, ref: Ref, live: Live, sight: Sight, said: Declared, asked: Volume) -> tuple[str, str]:
        """What the image stands on, and its format, where its header and the user say the same."""
        path = asked.backing_store.path or "" if asked.backing_store else ""
        word = str(asked.backing_store.format or "") if asked.backing_store else ""
        header = self._header(ref.key, live, said, sight) if said.format != RAW else None
        if header and header.data_file:
            hint = "convert it by hand, if it is yours"
            raise Invalid(f"{ref.key} has its content in another file, by its own word", hint=hint)
        below = _below(ref.key, header) if header else ""
        if header and header.backing and not below:
            text = f"{ref.key} stands on {_shown(header.backing)}, which is no file of this host"
            raise Invalid([Problem("unsupported.config", PLACE, None, text, "copy it into a volume of its own")])
        if path != below:
            has = f"its header names {_shown(below)}" if below else "its header names none"
            text = f"{path!r} is not what {ref.key} stands on: {has}"
            raise Invalid([Problem("config.invalid", f"{PLACE}/path", None, text, "say the same, if you trust it")])
        if path and word not in FORMATS:
            text = "the format of a backing file is never guessed"
            raise Invalid([Problem("config.missing", f"{PLACE}/format/@type", None, text, "say which it has")])
        return path, FORMATS[word] if path else ""

    def _link(self, step: Step) -> tuple[ChainLink, Step | None]:
        """One image, and the way to the next."""
        live, sight = self._there(step)
        if sight is None:
            note = _OUTSIDE if live is None and not step.trusted else "it is not there"
            return ChainLink(step.place, step.word if step.trusted else RAW, step.trusted, note=note), None
        said = self._told(step.place, live, sight)
        kind = said.format if said else step.word if step.trusted and step.word else RAW
        read, note = kind, ""
        if said is None and not step.trusted:  # nobody but the image above says what it is
            read, note = step.word, f"the image above calls it {_shown(step.word) or 'nothing'}; nobody declared it"
        header: Header | None = None
        if sight.type == "file" and (read in READERS or read == "vhdx"):
            try:
                header = self._header_at(step.place, live, sight, said or Declared(step.place, sight.inode, read))
            except VirtError as error:
                note = error.message
        capacity = sight.physical if kind == RAW else header.size if header else None
        declared = said is not None if not step.word else step.trusted
        link = ChainLink(step.place, kind, declared, capacity, sight.allocation, sight.physical, note)
        if header is None:
            return link, None
        if said and said.backing and not header.backing:
            return replace(link, note=f"it was declared to stand on {said.backing}, and its header names nothing"), None
        return link, _next(step.place, header, said)

    def _there(self, step: Step) -> tuple[Live | None, Sight | None]:
        """The pool that an image is in, and the image; outside of pools only what was declared is looked at."""
        for row in self.site.store.rows("pool"):
            live = Live.of(row.run, self.site.boot)
            name = self.backend(live).called(live, step.place) if live else ""
            if live is not None and name:
                return live, self.backend(live).look(live, name)
        if not step.trusted or not step.place.startswith("/"):
            return None, None
        folder, _, name = step.place.rpartition("/")
        return None, Folder(folder or "/", self.site.run).look(name)

    def _told(self, place: str, live: Live | None, sight: Sight) -> Declared | None:
        return self._said(place, live, sight) if live else self.site.declared(place, sight.inode)

    def _header_at(self, place: str, live: Live | None, sight: Sight, said: Declared) -> Header:
        """The header of an image, in a pool or not."""
        if live is not None:
            return self._header(place, live, said, sight)
        if said.format == "vhdx":
            return vhdx(self.site.run, place)
        folder, _, name = place.rpartition("/")
        return header_of(said.format, Folder(folder or "/", self.site.run).head(name, HEAD), sight.physical)


def _next(place: str, header: Header, said: Declared | None) -> Step | None:
    """The way to what an image says that it stands on."""
    if not header.backing:
        return None
    below = _below(place, header)
    if not below:
        return Step(_shown(header.backing), trusted=False, note=_FOREIGN)
    if said is not None and said.backing == below:
        return Step(below, said.backing_format)
    return Step(below, header.backing_format or RAW, trusted=False)


def _below(place: str, header: Header) -> str:
    return backing_path(header.backing, place.rpartition("/")[0] or "/") if header.backing else ""


def _shown(text: str) -> str:
    """What an image says, for people: nothing in it is for a terminal."""
    return ascii(text)[1:-1]
