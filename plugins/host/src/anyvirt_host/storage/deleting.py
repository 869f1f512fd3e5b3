"""Hooks that take volumes away: what would be lost and who uses it, the deletion, the trash and the way back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Busy,
    Loss,
    NotFound,
    Ref,
    Trashed,
    Unsupported,
    VolumeChange,
    VolumeLifecycle,
    current,
    impl,
)

from anyvirt_host.storage.carrying.content import carrier_of
from anyvirt_host.storage.kinds.folder import FolderPool
from anyvirt_host.storage.losing import Losing
from anyvirt_host.storage.pool_states import PoolStates
from anyvirt_host.storage.site import MOMENT, Declared
from anyvirt_host.storage.trash import Keeping, Trash, kept_for

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.site import Live

FORCE: Final = "delete those first, or say force (--force) to delete it all the same"


class Deleting(Losing, PoolStates):
    """Nothing that somebody uses goes without force."""

    @impl
    def volume_losses(self, ref: Ref, force: bool) -> tuple[Loss, ...]:  # noqa: ARG002 - the users are told all the same
        live = self._home(ref)
        return tuple(self._losses(ref, live, self._seen(ref, live)))

    @impl
    def volume_delete(self, ref: Ref, force: bool, trash: int, zeroed: bool) -> None:
        seconds = kept_for(trash, zeroed=zeroed)
        live = self._home(ref)
        assert ref.parent is not None
        if zeroed:
            if not force:
                self._unused(ref, live, self._seen(ref, live))
            self._overwrite(ref)
        with self.site.content(ref, "delete", wait=MOMENT), self.site.locks.hold(ref.parent.key, "delete"):
            sight, backend = self._seen(ref, live), self.backend(live)
            trash_can = self._trash(live) if seconds else None
            if not force:
                self._unused(ref, live, sight)
            self._drop_upload(ref, live, sight)
            if trash_can is not None:
                self._keep(trash_can, ref, live, sight, seconds)
            else:
                backend.remove(live, backend.called(live, ref.key))
            self._forget(ref.key, sight.inode)
        self.site.tell(VolumeLifecycle(ref=ref, change=VolumeChange.DELETED))

    @impl
    def pool_trash(self, ref: Ref) -> tuple[Trashed, ...]:
        backend = self.backend(live := self.site.live(ref, "looking into its trash"))
        if not isinstance(backend, Keeping):
            return ()
        trash = backend.trash(live)
        return tuple(
            Trashed(one.name, trash.path(one), one.sight.allocation, one.deleted_at, one.until)
            for one in trash.entries()
            if one.sight is not None
        )

    @impl
    def volume_restore(self, pool: Ref, name: str) -> Ref:
        live = self.site.live(pool, "restoring a volume")
        with self.site.locks.hold(pool.key, "restore"):
            backend = self.backend(live)
            if not isinstance(backend, Keeping):
                raise NotFound(name, "volume", hint="such a pool keeps nothing that was deleted")
            trash = backend.trash(live)
            one = trash.last(name)
            place = backend.place(live, name)
            if one.said is not None:
                self.site.declare(Declared(**one.said)._replace(path=place, home=backend.home(live)))
            trash.back(one)
        ref = Ref("volume", place, Ref("pool", pool.key, name=pool.name, uuid=pool.uuid), name=name)
        self.site.tell(VolumeLifecycle(ref=ref, change=VolumeChange.CREATED))
        return ref

    def swept(self, live: Live) -> list[str]:
        """Also what has been in the trash for its time, and bytes for volumes that are no more."""
        backend = self.backend(live)
        said = []
        if isinstance(backend, Keeping):
            said += backend.trash(live).sweep(time.time())
        if isinstance(backend, FolderPool):
            folder = backend.folder(live)
            said += carrier_of(self.site.run).sweep(live.path, lambda name: getattr(folder.look(name), "inode", 0))
        return [*said, *super().swept(live)]

    def _trash(self, live: Live) -> Trash:
        backend = self.backend(live)
        if isinstance(backend, Keeping):
            return backend.trash(live)
        raise Unsupported("storage", f"a trash in pools of the type {live.type}", hint="delete it without")

    def _keep(self, trash: Trash, ref: Ref, live: Live, sight: Sight, seconds: int) -> None:
        said = self._said(ref.key, live, sight)
        now = time.time()
        trash.put(self.backend(live).called(live, ref.key), now + seconds, now, said._asdict() if said else None)

    def _unused(self, ref: Ref, live: Live, sight: Sight) -> None:
        users = sorted({loss.user for loss in self._losses(ref, live, sight) if loss.user})
        if users:
            raise Busy(ref, holder=", ".join(users), purpose="what is in it", hint=FORCE)

    def _overwrite(self, ref: Ref) -> None:
        """Leave nothing of its content to be read."""
        wipe = getattr(self, "volume_wipe", None)
        if wipe is None:
            raise Unsupported("storage", "overwriting volumes", hint="delete it without")
        for _ in wipe(ref, "zero"):
            current().check("overwriting a volume")
