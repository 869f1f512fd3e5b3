"""Secrets: what they are for, and apart from that their values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from anyvirt.api import (
    Answer,
    Denied,
    Document,
    Exists,
    Invalid,
    NotFound,
    Ref,
    Row,
    Secret,
    SecretChange,
    SecretInfo,
    SecretLifecycle,
    SecretValueChange,
    Unsupported,
    impl,
)

from anyvirt_test.world import World

if TYPE_CHECKING:
    from anyvirt.api import KeptSecret

KEEPERS: Final = ("file", "keyring", "credential")
MEMORY: Final = "memory"


class Secrets:
    """Each has a row of its own; what it is for stands in the row's gist."""

    world: World

    @impl
    def secret_list(self) -> Iterator[Ref]:
        return (_ref(row) for row in self.world.store.rows("secret", gist=True))

    @impl
    def secret_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[KeptSecret]]]]:
        for ref in refs:
            row = self._secret(ref)
            yield ref, Answer(Document(row.xml or "")) if row else Answer(error=NotFound(ref))

    @impl
    def secret_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[SecretInfo]]]:
        for ref in refs:
            row = self._secret(ref)
            keeper = (self.world.store.blob("secret", ref.key, "keeper") or b"").decode()
            yield ref, Answer(SecretInfo(bool(keeper), keeper)) if row else Answer(error=NotFound(ref))

    @impl
    def secret_define(self, config: Document[KeptSecret]) -> Ref:
        model = config.model
        if model.uuid is None:
            model = model.replace(uuid=str(uuid4()))
            config = Document(model=model)
        uuid, use = model.uuid or "", _use(model)
        with self.world.locks.hold("secrets", "define"):
            for row in self.world.store.rows("secret", xml=True, gist=True):
                if row.uuid != uuid and use[1] and _kept(row) == use:
                    raise Exists("secret", use[1], holder=f"UUID {row.uuid}", hint="use that one, or undefine it")
                if row.uuid == uuid:
                    _same(row, model, use)
            gist, told = json.dumps(use), SecretLifecycle(ref=_named(uuid, use), change=SecretChange.DEFINED)
            transient = bool(model.ephemeral)
            self.world.store.define("secret", uuid, uuid, config.text, event=told, gist=gist, transient=transient)
        return _named(uuid, use)

    @impl
    def secret_undefine(self, ref: Ref) -> None:
        with self.world.locks.hold("secrets", "undefine"):
            row = self._row(ref)
            self.world.store.undefine("secret", ref.key, event=_told(row, SecretChange.UNDEFINED))

    @impl
    def secret_set_value(self, ref: Ref, value: Secret, keeper: str) -> None:
        with self.world.locks.hold("secrets", "value"):
            row = self._row(ref)
            if keeper not in KEEPERS:
                raise Invalid(f"nobody is called {keeper!r} who could keep it", hint=f"there are {', '.join(KEEPERS)}")
            if not value:
                raise Invalid("the value is empty", hint="give one, or undefine the secret")
            if row.transient and keeper == "credential":
                raise Unsupported("test", "credentials for ephemeral secrets", hint="leave the keeper out")
            data = value.reveal().encode("utf-8", "surrogateescape")
            self.world.store.set_blob("secret", ref.key, "value", data)
            kept = MEMORY if row.transient else keeper
            self.world.store.set_blob("secret", ref.key, "keeper", kept.encode())
            self.world.store.append(SecretValueChange(ref=_ref(row)))

    @impl
    def secret_value(self, ref: Ref) -> Secret:
        row = self._row(ref)
        kept: Document[KeptSecret] = Document(row.xml or "")
        if kept.model.private:
            raise Denied(f"secret {_ref(row)} is private", hint="only guests and storage of its host are given it")
        value = self.world.store.blob("secret", ref.key, "value")
        if value is None:
            raise NotFound(str(_ref(row)), "value", hint="set it first")
        return Secret(value.decode("utf-8", "surrogateescape"))

    def _secret(self, ref: Ref) -> Row | None:
        return next(iter(self.world.store.get_many("secret", [ref.key])), None)

    def _row(self, ref: Ref) -> Row:
        row = self._secret(ref)
        if row is None:
            raise NotFound(ref)
        return row


def _use(model: KeptSecret) -> tuple[str, str]:
    """What kind of use a secret has, and of what."""
    return model.usage_type or "none", model.usage_volume or model.usage_target or model.usage_name or ""


def _same(row: Row, model: KeptSecret, use: tuple[str, str]) -> None:
    """Refuse another secret under the UUID of one that is there."""
    kept: Document[KeptSecret] = Document(row.xml or "")
    before = kept.model
    if _kept(row) != use:
        raise Exists("secret", row.uuid, holder=f"the one for {_kept(row)[1] or 'nothing'}", hint="undefine that first")
    if (bool(before.private), bool(before.ephemeral)) != (bool(model.private), bool(model.ephemeral)):
        text = f"secret {row.uuid} stays {'private' if before.private else 'not private'}"
        text += f" and {'ephemeral' if before.ephemeral else 'not ephemeral'}"
        raise Invalid(text, hint="undefine it first")


def _kept(row: Row) -> tuple[str, str]:
    kind, what = json.loads(row.gist or '["none", ""]')
    return kind, what


def _named(uuid: str, use: tuple[str, str]) -> Ref:
    return Ref("secret", uuid, name=use[1] or uuid, uuid=uuid)


def _ref(row: Row) -> Ref:
    return _named(row.uuid, _kept(row))


def _told(row: Row, change: SecretChange) -> SecretLifecycle:
    return SecretLifecycle(ref=_ref(row), change=change)
