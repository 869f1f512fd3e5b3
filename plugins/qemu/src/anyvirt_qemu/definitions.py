"""Definitions: what is kept of a domain, listed and looked up; nothing here starts anything."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Answer,
    Document,
    DomainFacts,
    Invalid,
    NotFound,
    Op,
    Ref,
    State,
    Status,
    VirtError,
    Which,
    WrongState,
    impl,
    require,
    with_passwords,
    without_passwords,
)

from anyvirt_qemu import tpm
from anyvirt_qemu.readiness import nvram
from anyvirt_qemu.site import KIND, STOPPED, document, lifecycle, ref_of

if TYPE_CHECKING:
    from anyvirt.api import Domain, Row

    from anyvirt_qemu.site import Site

CID: Final = re.compile(r"<cid\b[^>]*\baddress=['\"]([0-9]+)['\"]")


class Definitions:
    """Hooks about what is defined."""

    _site: Site

    @impl
    def domain_list(self) -> Iterator[Ref]:
        return (ref_of(row) for row in self._site.rows())

    @impl
    def domain_lookup(self, text: str) -> Sequence[Ref]:
        rows = [row for row in self._site.rows() if text == row.name or text.lower() == row.uuid]
        if not rows and text.isdecimal():
            rows = [row for row in self._site.rows() if row.run and self._number(row) == int(text)]
        return [ref_of(row) for row in rows]

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State | Status]]]:
        site = self._site
        rows = {row.uuid: row for row in site.store.rows(KIND)}
        stops = dict(site.store.blobs(KIND, STOPPED))
        for ref in refs:
            row = rows.get(ref.key)
            if row is None or (row.transient and not site.lives(row)):
                yield ref, Answer(error=NotFound(ref))
                continue
            try:
                yield ref, Answer(site.status(row, stops))
            except VirtError as error:
                yield ref, Answer(error=error)

    @impl
    def domain_facts(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[DomainFacts]]]:
        rows = {row.uuid: row for row in self._site.store.rows(KIND)}
        foreign = self._foreign()
        for ref in refs:
            row = rows.get(ref.key)
            if row is None:
                yield ref, Answer(error=NotFound(ref))
                continue
            number = self._number(row) if row.run else None
            held = foreign.get(row.uuid, "")
            yield (
                ref,
                Answer(DomainFacts(id=number, persistent=not row.transient, autostart=row.autostart, foreign=held)),
            )

    @impl
    def domain_config(
        self, refs: Sequence[Ref], which: Which, secure: bool
    ) -> Iterator[tuple[Ref, Answer[Document[Domain]]]]:
        rows = {row.uuid: row for row in self._site.store.get_many(KIND, [ref.key for ref in refs])}
        for ref in refs:
            row = rows.get(ref.key)
            try:
                if row is None:
                    raise NotFound(ref)
                document = self._config(row, which, secure=secure)
                yield ref, Answer(document if secure else without_passwords(document))
            except VirtError as error:
                yield ref, Answer(error=error)

    @impl
    def domain_define(self, config: Document[Domain]) -> Ref:
        from anyvirt.api import Change, Lifecycle

        from anyvirt_qemu.summary import gist

        site = self._site
        with self.completing(config) as domain:
            uuid, name, xml = str(domain.uuid), domain.name, Document.of(domain).text
            facts = gist(domain)
            with site.scope.locks.hold(uuid, "define"):
                if (site.runs / uuid).exists():
                    site.settle(uuid, ask=False)
                site.step("define")
                ref = Ref(KIND, uuid, name=name, uuid=uuid)
                site.store.define(
                    KIND,
                    uuid,
                    name,
                    xml,
                    event=Lifecycle(ref=ref, change=Change.DEFINED, detail="added"),
                    updated=Lifecycle(ref=ref, change=Change.DEFINED, detail="updated"),
                    gist=facts,
                )
        return ref

    @impl
    def domain_undefine(self, ref: Ref, keep_nvram: bool, keep_tpm: bool | None) -> None:
        from anyvirt.api import Change

        site = self._site
        with site.hold(ref, "undefine", ask=False) as row:
            if row.transient:
                raise WrongState("transient", ["persistent"], "undefine", what=ref, hint="destroy ends it for good")
            status = site.status(row)
            require(status, Op.UNDEFINE, ref)
            active = status.state is not State.SHUTOFF
            if not active and not keep_nvram:
                nvram.remove(site, row.uuid)
            if not active:
                tpm.undefined(site, row.uuid, row.xml or "", keep=keep_tpm)
            site.step("undefine")
            event = lifecycle(row, Change.UNDEFINED, "removed", run=row.run)
            site.store.undefine(KIND, row.uuid, event=event, transient=active)

    @impl
    def domain_rename(self, ref: Ref, name: str) -> Ref:
        from anyvirt.api import Change, check_name  # brings the models in

        from anyvirt_qemu.summary import gist

        site = self._site
        problems = list(check_name(name))
        if problems:
            raise Invalid(problems)
        with site.hold(ref, "rename") as row:
            require(site.status(row), Op.RENAME, ref)
            domain = document(row.xml).model.replace(name=name)
            events = [
                lifecycle(row, Change.UNDEFINED, "renamed"),
                lifecycle(row._replace(name=name), Change.DEFINED, "renamed"),
            ]
            site.step("rename")
            site.store.rename(KIND, row.uuid, name, xml=Document.of(domain).text, gist=gist(domain), event=events)
        return Ref(KIND, ref.key, name=name, uuid=ref.key)

    @impl
    def domain_set_autostart(self, ref: Ref, on: bool) -> None:
        from anyvirt.api import Autostart

        site = self._site
        with site.hold(ref, "autostart") as row:
            if row.transient:
                raise WrongState("transient", ["persistent"], "autostart", what=ref, hint="define it first")
            site.store.set_autostart(KIND, row.uuid, on, event=Autostart(ref=ref_of(row), on=on))

    # -- inside -----------------------------------------------------------------------------

    @contextmanager
    def completing(self, config: Document[Domain]) -> Iterator[Domain]:
        """``completed``; nobody else chooses an address that must be unique inside the block, where one had to be.

        A vsock address is the first that is free; a MAC is random, and yet none that is defined.
        """
        domain = config.model
        vsock = domain.vsock
        choosing = (vsock is not None and vsock.cid is None) or any(x.mac is None for x in domain.interfaces)
        with ExitStack() as alone:
            if choosing:
                alone.enter_context(self._site.scope.locks.hold("addresses", "choosing addresses"))
            yield self.completed(config)

    def completed(self, config: Document[Domain]) -> Domain:
        """The definition with everything filled in that QEMU guests have, so that it shows.

        :raises Invalid: with every path that this driver cannot honour.
        """
        from anyvirt_qemu.planning.defaults import complete
        from anyvirt_qemu.probing.caps import Caps

        domain = config.model
        arch = domain.os.arch if domain.os is not None else None
        caps = Caps(self._site.caps(domain.emulator or self._site.emulator(arch)))
        old, taken, cids = self._known(domain), self._taken_macs(domain), self._taken_cids(domain)
        return complete(domain, caps, os.urandom, old=old, taken=taken, cids=cids)

    def _known(self, domain: Domain) -> Domain | None:
        """What is defined under the same UUID, or the same name: addresses and MACs stay as they were."""
        store = self._site.store
        try:
            row = store.get(KIND, str(domain.uuid)) if domain.uuid else store.by_name(KIND, domain.name)
        except NotFound:
            return None
        return document(row.xml).model if row.xml else None

    def _taken_macs(self, domain: Domain) -> AbstractSet[str]:
        if all(interface.mac is not None for interface in domain.interfaces):
            return frozenset()
        return self._site.macs.taken()

    def _taken_cids(self, domain: Domain) -> AbstractSet[int]:
        if domain.vsock is None or domain.vsock.cid is not None:
            return frozenset()
        rows = (row for row in self._site.store.rows(KIND, xml=True) if row.name != domain.name)
        return frozenset(int(cid) for row in rows for cid in CID.findall(row.xml or ""))

    def _config(self, row: Row, which: Which, *, secure: bool) -> Document[Domain]:
        if which is not Which.CONFIG:
            with self._site.run(row.uuid) as run:
                if run is not None and run.record is not None and run.alive() is not False:
                    live = document(run.record.xml)
                    # The record has no passwords. The definition has them, unless it is another one since.
                    same = secure and row.at <= run.record.began
                    return with_passwords(live, Document(row.xml or "")) if same else live
        if which is Which.LIVE:
            raise WrongState("shut off", ["running"], "reading the live definition", what=ref_of(row))
        if which is Which.CONFIG and row.transient:
            raise WrongState("transient", ["persistent"], "reading the stored definition", what=ref_of(row))
        return Document(row.xml or "")

    def _number(self, row: Row) -> int | None:
        with self._site.run(row.uuid) as run:
            if run is None or run.record is None or run.alive() is False:
                return None
            return run.record.number

    def _foreign(self) -> dict[str, str]:
        from anyvirt_qemu.foreign import held

        return held(self._site)
