"""Volumes of a pool as they are looked at: many in few questions, and no image opened before that is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid, NotFound, Ref

from anyvirt_host.storage.carrying.content import part_name
from anyvirt_host.storage.details import Detail, Details
from anyvirt_host.storage.images.header import HEAD, looks_like
from anyvirt_host.storage.wish import HIDDEN

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Backend, Sight
    from anyvirt_host.storage.images.header import Header
    from anyvirt_host.storage.site import Declared, Live, Site

RAW: Final = "raw"


class Glance:
    """Some volumes of one pool.

    :param sights: what was seen of them, where somebody has looked already.
    :param said: what was said of them, where somebody knows.
    :param details: what is known from before; new things go there, too.
    """

    def __init__(
        self,
        site: Site,
        backend: Backend,
        live: Live,
        names: Sequence[str],
        *,
        sights: Mapping[str, Sight] | None = None,
        said: Mapping[str, Declared] | None = None,
        details: Details | None = None,
    ) -> None:
        self._site, self._backend, self.live = site, backend, live
        self.sights = backend.looks(live, names) if sights is None else sights
        self._given, self._details = said, details
        self._kept = {name: details.get(name, sight) for name, sight in self.sights.items()} if details else {}

    def volume(self, ref: Ref) -> Known:
        """One of them.

        :raises NotFound: it is not there.
        """
        name = self._backend.called(self.live, ref.key)
        sight = self.sights.get(name) if name else None
        if sight is None:
            raise NotFound(ref)
        return Known(ref, self.live, name, sight, self)

    @cached_property
    def said(self) -> Mapping[str, Declared]:
        """What was said of each that somebody said anything of, as long as it is the same file."""
        if self._given is not None:
            return self._given
        places = {self._backend.place(self.live, name): name for name, one in self.sights.items() if one.type == "file"}
        declared = self._site.declared_among({place: self.sights[name].inode for place, name in places.items()})
        said = {places[place]: one for place, one in declared.items()}
        doubtful = [name for name, one in said.items() if one.format != RAW]  # what would be raw anyway is not opened
        now = self._generations(doubtful)
        return {name: one for name, one in said.items() if one.format == RAW or now.get(name) == one.generation}

    def header(self, name: str) -> Header:
        """The header of one that was made in a format that has one.

        :raises Invalid: it has none any more.
        """
        detail = self._kept.get(name, Detail())
        if detail.header is None:
            detail = detail._replace(header=self._read(name))
            self._keep(name, detail)
        assert detail.header is not None
        return detail.header

    def seeming(self, name: str) -> str:
        """What one looks like of which nobody said anything."""
        detail = self._kept.get(name, Detail())
        if detail.seeming is None:
            head = self._heads.get(name)
            if head is None:
                head = self._backend.head(self.live, name, HEAD)
            detail = detail._replace(seeming=looks_like(head))
            self._keep(name, detail)
        return detail.seeming or ""

    @cached_property
    def uploads(self) -> frozenset[str] | None:
        """Folders with what came of uploads; None where to ask for each costs no round trip."""
        if not getattr(self._site.run, "far", False) or len(self.sights) < 2:
            return None
        return frozenset(one.name for one in self._backend.names(self.live) if one.name.startswith(HIDDEN))

    @cached_property
    def _heads(self) -> Mapping[str, bytes]:
        """The first bytes of all that are not known to be raw, and not known from before."""
        wanted = [name for name, sight in self.sights.items() if sight.type == "file" and self._unread(name)]
        return self._backend.heads(self.live, wanted, HEAD) if len(wanted) > 1 else {}

    def _unread(self, name: str) -> bool:
        said, detail = self.said.get(name), self._kept.get(name, Detail())
        return detail.seeming is None if said is None else said.format != RAW and detail.header is None

    def _read(self, name: str) -> Header:
        from anyvirt_host.storage.images.headers import header_of, vhdx

        said, place = self.said[name], self._backend.place(self.live, name)
        if said.format == "vhdx":  # its size is far inside
            return vhdx(self._site.run, place)
        head = self._heads.get(name)
        if head is None:
            head = self._backend.head(self.live, name, HEAD)
        try:
            return header_of(said.format, head, self.sights[name].physical)
        except Invalid as error:
            raise Invalid(f"{place}: {error.message}", hint=error.hint) from None

    def _generations(self, names: Sequence[str]) -> Mapping[str, int]:
        kept = {name: self._kept.get(name, Detail()) for name in names}
        found = {name: one.generation for name, one in kept.items() if one.generation is not None}
        new = self._backend.generations(self.live, [name for name in names if name not in found])
        for name, generation in new.items():
            self._keep(name, kept[name]._replace(generation=generation))
        return {**found, **new}

    def _keep(self, name: str, detail: Detail) -> None:
        self._kept[name] = detail
        if self._details is not None:
            self._details.put(name, self.sights[name], detail)


class Known:
    """One volume, and what is known of it."""

    __slots__ = ("_glance", "live", "name", "ref", "sight")

    def __init__(self, ref: Ref, live: Live, name: str, sight: Sight, glance: Glance) -> None:
        self.ref, self.live, self.name, self.sight, self._glance = ref, live, name, sight, glance

    @property
    def said(self) -> Declared | None:
        """What was said of the file that is there now; None where nothing was."""
        return self._glance.said.get(self.name)

    @property
    def header(self) -> Header | None:
        """Its header; None for what is raw, or taken for it.

        :raises Invalid: it was made in another format, and is that no more.
        """
        said = self.said
        return None if said is None or said.format == RAW else self._glance.header(self.name)

    @property
    def capacity(self) -> int:
        """What a guest sees of it.

        :raises Invalid: its header does not tell.
        """
        header = self.header
        return header.size if header else self.sight.physical

    @property
    def may_have_upload(self) -> bool:
        """Whether something may be there of an upload to it."""
        parts = self._glance.uploads
        return self.sight.type == "file" and (parts is None or part_name(self.name) in parts)

    @property
    def seeming(self) -> str:
        """What it looks like, for people; empty where its format was said, or nothing is seen."""
        return "" if self.said or self.sight.type != "file" else self._glance.seeming(self.name)
