"""Domains as definitions: list, look up, define, rename, undefine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from anyvirt.api import (
    Answer,
    Autostart,
    Change,
    Document,
    DomainFacts,
    Invalid,
    Op,
    Problem,
    Ref,
    Which,
    WrongState,
    impl,
    require,
    without_passwords,
)

from anyvirt_test.shape import Shape
from anyvirt_test.world import Guest, World, said

if TYPE_CHECKING:
    from anyvirt.api import Domain


class Definitions:
    """What is kept of domains, whether they run or not."""

    world: World

    @impl
    def domain_list(self) -> Iterator[Ref]:
        return (guest.ref for guest in self.world.guests())

    @impl
    def domain_lookup(self, text: str) -> Sequence[Ref]:
        wanted = text.lower()
        return [
            guest.ref
            for guest in self.world.guests()
            if text == guest.row.name or wanted == guest.row.uuid or (guest.run.active and text == str(guest.run.id))
        ]

    @impl
    def domain_facts(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[DomainFacts]]]:
        return self.world.answers(refs, self._facts)

    @impl
    def domain_config(
        self, refs: Sequence[Ref], which: Which, secure: bool
    ) -> Iterator[tuple[Ref, Answer[Document[Domain]]]]:
        def config(guest: Guest) -> Document[Domain]:
            document = self._config(guest, which)
            return document if secure else without_passwords(document)

        return self.world.answers(refs, config)

    @impl
    def domain_define(self, config: Document[Domain]) -> Ref:
        config, ref = identified(config)
        with self.world.locks.hold(ref.key, "define"):
            self.world.store.define(
                "domain",
                ref.key,
                str(ref),
                config.text,
                event=said(ref, Change.DEFINED, "added"),
                updated=said(ref, Change.DEFINED, "updated"),
            )
            self.world.keep_shape(ref.key, Shape.of_model(config.model))
        return ref

    @impl
    def domain_undefine(self, ref: Ref) -> None:
        with self.world.hold(ref, "undefine") as guest:
            require(guest.run.status, Op.UNDEFINE, guest.ref)
            _persistent(guest, "undefine")
            event = said(guest, Change.UNDEFINED, "removed")
            self.world.store.undefine("domain", ref.key, event=event, transient=guest.run.active)

    @impl
    def domain_rename(self, ref: Ref, name: str) -> Ref:
        from anyvirt.api import check_name  # loads the models, which nothing else here needs

        if problems := list(check_name(name)):
            raise Invalid(problems)
        with self.world.hold(ref, "rename") as guest:
            require(guest.run.status, Op.RENAME, guest.ref)
            before: Document[Domain] = Document(guest.row.xml or "")
            renamed = Document(model=before.model.replace(name=name))
            new = Ref("domain", ref.key, name=name, uuid=ref.key)
            events = said(guest, Change.UNDEFINED, "renamed"), said(new, Change.DEFINED, "renamed")
            self.world.store.rename("domain", ref.key, name, xml=renamed.text, event=events)
            return new

    @impl
    def domain_set_autostart(self, ref: Ref, on: bool) -> None:
        with self.world.hold(ref, "autostart") as guest:
            _persistent(guest, "autostart")
            self.world.store.set_autostart("domain", ref.key, on, event=Autostart(ref=guest.ref, on=on))

    @impl
    def domain_preflight(self, ref: Ref) -> Sequence[Problem]:
        return blockers(self.world, self.world.shape(self.world.guest(ref)))

    def _facts(self, guest: Guest) -> DomainFacts:
        return DomainFacts(
            id=guest.run.id if guest.run.active else None,
            persistent=not guest.row.transient,
            autostart=guest.row.autostart,
            title=self.world.shape(guest).title,
            managed_save=False,
        )

    def _config(self, guest: Guest, which: Which) -> Document[Domain]:
        if which is Which.CONFIG:
            _persistent(guest, "the next boot's definition")
        elif guest.run.active:
            return Document(self.world.live(guest))
        elif which is Which.LIVE:
            raise WrongState(guest.run.state.value, ["running", "paused"], "the live definition", what=guest.ref)
        return Document(guest.row.xml or "")


def blockers(world: World, shape: Shape) -> list[Problem]:
    """What on this host would keep a guest of that shape from starting."""
    active = {row.name for row in world.store.rows("network") if row.run}
    return [
        Problem(
            "config.invalid",
            f"/devices/interface[{mac}]/source/@network",
            None,
            f"there is no active network {network!r}",
            f"active ones: {', '.join(sorted(active)) or 'none'}",
        )
        for mac, _, network in shape.nics
        if network and network not in active
    ]


def identified(config: Document[Domain]) -> tuple[Document[Domain], Ref]:
    """A definition with its UUID, a new one where it came without."""
    model = config.model
    if model.uuid is None:
        model = model.replace(uuid=str(uuid4()))
        config = Document(model=model)
    return config, Ref("domain", model.uuid or "", name=model.name, uuid=model.uuid)


def _persistent(guest: Guest, operation: str) -> None:
    if guest.row.transient:
        raise WrongState("transient", ["persistent"], operation, what=guest.ref)
