"""Hooks that make volumes: empty ones, and with the content of another."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anyvirt.api import (
    Busy,
    Document,
    Exists,
    Invalid,
    Problem,
    Progress,
    Ref,
    Secret,
    Undo,
    Unsupported,
    VolumeChange,
    VolumeLifecycle,
    current,
    impl,
    phase,
)

from anyvirt_host.storage.backend import Backend, Copies, Draft, Reached, Sight, Stands
from anyvirt_host.storage.site import Declared, Live
from anyvirt_host.storage.users import STOP, openers
from anyvirt_host.storage.volumes import RAW, Volumes
from anyvirt_host.storage.wish import FOLDERS

if TYPE_CHECKING:
    from anyvirt.api import Volume

    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.wish import Wish

Fill = Callable[[Draft], Generator[Progress, None, None]]


class Making(Volumes):
    """A volume is made under a hidden name, and gets its own when it is whole."""

    @impl
    def volume_create(self, pool: Ref, config: Document[Volume], preallocate: bool) -> Generator[Progress, None, Ref]:
        live = self.site.live(pool, "making a volume")
        wanted = self._wanted(live, config.model, preallocate=preallocate)
        return (yield from self._made(pool, live, wanted, lambda draft: draft.fill(wanted)))

    @impl
    def volume_create_from(
        self, pool: Ref, config: Document[Volume], source: Ref, preallocate: bool, reflink: bool
    ) -> Generator[Progress, None, Ref]:
        live = self.site.live(pool, "making a volume")
        origin = self._origin(source)
        model = config.model
        if model.backing_store and model.backing_store.path:
            hint = "make it with that backing file and without a source"
            raise Invalid("a volume that gets all of another one's content stands on nothing", hint=hint)
        model = model.replace(capacity=max(model.capacity or 0, origin.capacity))
        wanted = self._wanted(live, model, preallocate=preallocate)
        if wanted.format in FOLDERS:
            text = f"a volume of the format {wanted.format!r} gets no content of another one"
            raise Invalid([Problem("config.invalid", "/target/format/@type", None, text, "choose another")])

        def copied(draft: Draft) -> Generator[Progress, None, None]:
            if not isinstance(draft, Copies):
                raise Unsupported(f"pools of the type {live.type}", "volumes with the content of another one")
            return draft.copy(wanted, origin, reflink=reflink)

        return (yield from self._made(pool, live, wanted, copied))

    def _wanted(self, live: Live, model: Volume, *, preallocate: bool) -> Wish:
        """What a description asks for, complete: with the size of what is below, and the passphrase."""
        backend = self.backend(live)
        wanted = backend.wish(model)
        if preallocate:
            from anyvirt_host.storage.wish import preallocated

            wanted = preallocated(wanted)
        if wanted.backing and isinstance(backend, Stands):
            wanted = backend.stand(live, wanted)
        elif wanted.backing:
            from anyvirt_host.storage.below import settled

            wanted = settled(wanted, self.site)
        return replace(wanted, key=self._key(wanted.cipher.secret)) if wanted.cipher else wanted

    def _made(self, pool: Ref, live: Live, wanted: Wish, fill: Fill) -> Generator[Progress, None, Ref]:
        backend, name = self.backend(live), wanted.name
        path, mark = backend.place(live, name), os.urandom(6).hex()
        ref = Ref("volume", path, Ref("pool", pool.key, name=pool.name, uuid=pool.uuid), name=name)
        with Undo() as undo:
            with self.site.locks.hold(pool.key, "volume"):
                if self.site.live(pool, "making a volume") != live:
                    raise Busy(pool, purpose="another place than before", hint="try again")
                _free(backend, live, name)
                phase("make", pool=pool.key, volume=name, mark=mark)
                draft = backend.draft(live, name, mark)
            undo.callback(draft.close)
            undo.callback(draft.drop)
            for progress in fill(draft):
                current().check("making a volume")
                yield progress
            with self.site.locks.hold(pool.key, "volume"):
                _free(backend, live, name)  # before what was said of another one is replaced
                phase("publish", path=path)
                undo.callback(self._forget, path, draft.inode)
                self.site.declare(_told(wanted, path, draft, backend.home(live)))
                draft.publish()
            undo.keep()
            draft.close()
        self.site.tell(VolumeLifecycle(ref=ref, change=VolumeChange.CREATED))
        return ref

    def _origin(self, ref: Ref) -> Origin:
        """The volume whose content another one gets, as what it was declared to be.

        :raises Busy: somebody writes to it.
        :raises Invalid: it is a folder, or its header names what nobody declared.
        """
        from anyvirt_host.storage.below import standing
        from anyvirt_host.storage.images.origin import Origin

        live = self._home(ref)
        sight, backend = self._seen(ref, live), self.backend(live)
        if sight.type not in ("file", "block", "network"):
            raise Invalid(f"{ref.key!r} is a {sight.type}, whose content no volume gets", hint="name a volume")
        writers = [one.who for one in openers(self.site.run, ref.key) if one.writes]
        if writers:  # who only reads it, as guests do what they stand on, keeps it as it is
            raise Busy(ref, holder=", ".join(writers), purpose="they write to it", hint=STOP)
        said = self._said(ref.key, live, sight)
        reach = protocol(backend, live, ref.key, sight)
        if said is None or said.format == RAW:
            return Origin(ref.key, RAW, reach, sight.physical, type=sight.type)
        header = self._header(ref.key, live, said, sight)
        below = standing(self.site, ref.key, header, said)
        return Origin(ref.key, said.format, reach, header.size, below, self._opens(said), sight.type)

    def _opens(self, said: Declared) -> Secret | None:
        """The passphrase of a volume; None where it needs none."""
        return self._key(said.secret) if said.secret else None

    def _key(self, secret: str) -> Secret:
        """The value of a secret for volumes.

        :raises NotFound: there is no such secret, or it has no value.
        :raises Invalid: it is no text, and QEMU takes nothing else.
        """
        if self.site.secret is None:
            raise Unsupported("storage", "encrypted volumes", hint="the connection has nobody who keeps secrets")
        key = self.site.secret("volume", secret)
        if any("\ud800" <= letter <= "\udfff" for letter in key.reveal()):
            raise Invalid(f"the secret {secret!r} is no UTF-8 text", hint="QEMU opens volumes with nothing else")
        return key


def protocol(backend: Backend, live: Live, path: str, sight: Sight) -> Mapping[str, Any]:
    """How QEMU reaches the bytes of a volume.

    :raises Unsupported: it does not, or nobody said how.
    """
    if isinstance(backend, Reached):
        return backend.protocol(live, backend.called(live, path))
    if sight.type == "network":
        raise Unsupported(f"pools of the type {live.type}", "reading a volume with qemu-img")
    return {"driver": "host_device" if sight.type == "block" else "file", "filename": path}


def _told(wanted: Wish, path: str, draft: Draft, home: str) -> Declared:
    secret = wanted.cipher.secret if wanted.cipher else ""
    told = (draft.inode, wanted.format, draft.generation, home)
    return Declared(path, *told, wanted.backing, wanted.backing_format, wanted.word, secret)


def _free(backend: Backend, live: Live, name: str) -> None:
    """Refuse a name that a volume has."""
    if backend.look(live, name) is not None:
        raise Exists("volume", name, holder=f"a volume in {live.path}", hint="choose another name, or delete it")
