"""The service: hooks of secrets, and what is done about killed processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from anyvirt.api import (
    Answer,
    Begun,
    Denied,
    Document,
    Event,
    Gap,
    Invalid,
    NotFound,
    Ref,
    Secret,
    VirtError,
    impl,
    stamped,
)

from anyvirt_host.secret.finding import value_of
from anyvirt_host.secret.use import KIND, Use, ref_of

if TYPE_CHECKING:
    from anyvirt.api import KeptSecret, SecretInfo

    from anyvirt_host.secret.site import Site

T = TypeVar("T")


class Service:
    """A secret is a definition in the store and a value in the safe; changes of one secret wait for one another."""

    def __init__(self, opened: Callable[[], Site]) -> None:
        self._opened = opened

    @cached_property
    def site(self) -> Site:
        """Opened when it is first needed: most calls of a hypervisor's driver need no secret."""
        return self._opened()

    @impl
    def secret_list(self) -> Iterator[Ref]:
        return self.site.refs()

    @impl
    def secret_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[KeptSecret]]]]:
        rows = {row.uuid: row for row in self.site.store.get_many(KIND, [ref.key for ref in refs])}
        for ref in refs:
            row = rows.get(ref.key)
            yield ref, Answer(Document(row.xml or "")) if row else Answer(error=NotFound(ref))

    @impl
    def secret_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[SecretInfo]]]:
        rows = {row.uuid for row in self.site.store.rows(KIND)}
        for ref in refs:
            try:
                yield ref, Answer(self.site.safe.info(ref.key)) if ref.key in rows else Answer(error=NotFound(ref))
            except VirtError as error:
                yield ref, Answer(error=error)

    @impl
    def secret_define(self, config: Document[KeptSecret]) -> Ref:
        from anyvirt.api import SecretChange, SecretLifecycle

        from anyvirt_host.secret.defining import checked, same_kind

        model = checked(config.model)
        uuid = model.uuid or ""
        use = Use.of(model)
        ref = ref_of(uuid, use)
        with self.site.locks.hold(uuid, "define"):
            for before in self.site.store.get_many(KIND, [uuid]):
                same_kind(self.site.model(before), model)
            event = SecretLifecycle(ref=ref, change=SecretChange.DEFINED)
            xml, passing = Document(model=model).text, bool(model.ephemeral)
            self.site.store.define(KIND, uuid, use.name(uuid), xml, event=event, transient=passing)
        return ref

    @impl
    def secret_undefine(self, ref: Ref) -> None:
        from anyvirt.api import SecretChange, SecretLifecycle

        with self.site.locks.hold(ref.key, "undefine"):
            ref = self._ref(ref)
            event = SecretLifecycle(ref=ref, change=SecretChange.UNDEFINED)
            self.site.store.undefine(KIND, ref.key, event=event)
            self.site.safe.drop(ref.key)

    @impl
    def secret_set_value(self, ref: Ref, value: Secret, keeper: str) -> None:
        from anyvirt.api import SecretValueChange

        given = _bytes(value)
        with self.site.locks.hold(ref.key, "set value"):
            row = self.site.row(ref)
            model = self.site.model(row)
            self.site.safe.put(row.uuid, given, keeper, ephemeral=bool(model.ephemeral))
            self.site.store.append(SecretValueChange(ref=ref_of(row.uuid, Use.of(model))))

    @impl
    def secret_value(self, ref: Ref) -> Secret:
        row = self.site.row(ref)
        model = self.site.model(row)
        ref = ref_of(row.uuid, Use.of(model))
        if model.private:
            raise Denied(
                f"secret {str(ref)!r} is private: its value is never given out",
                hint="this host's own storage and guests use it; set another value where it is lost",
            )
        return value_of(self.site, ref)

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        place = self.site.store.token() if after is None else after  # now, not when it is first read
        return Begun(self._told(place), place)

    @impl
    def connect_recover(self) -> Sequence[str]:
        left = self.site.safe.sweep()
        for uuid in self.site.safe.keyed():
            with self.site.locks.hold(uuid, "recover"):
                left += self.site.safe.settle(uuid, known=bool(self.site.store.get_many(KIND, [uuid])))
        return [f"secrets: {left} value(s) that killed processes left are removed"] if left else []

    def _ref(self, ref: Ref) -> Ref:
        """The ref with what the secret is for."""
        row = self.site.row(ref)
        return ref_of(row.uuid, Use.of(self.site.model(row)))

    def _told(self, place: str) -> Iterator[Event]:
        while True:
            for entry in self.site.store.follow(place):
                event = entry.event()
                if isinstance(event, Gap) and event.reason == "unknown token":
                    place = self.site.store.token()
                    yield stamped(event, token=place)
                    break
                yield event


def _bytes(value: Secret) -> bytes:
    try:
        return value.reveal().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it holds the whole text, so nobody is shown it
        pass
    raise Invalid("the value is neither text nor bytes", hint="give bytes decoded with surrogateescape")


class Alone(Service):
    """The same as a driver: ``secret:///session``."""

    @impl
    def connect_alive(self) -> bool:
        self.site.store.rows(KIND)
        return True
