"""Taking volumes away with care, and bringing them back."""

from __future__ import annotations

from collections.abc import Iterator

from anyvirt.api import (
    Busy,
    Exists,
    Invalid,
    Loss,
    NotFound,
    Ref,
    Row,
    Trashed,
    VolumeChange,
    VolumeLifecycle,
    impl,
)

from anyvirt_test.place import everywhere, guests_with, image, keep_volume, part, volume_facts, volume_ref, volume_row
from anyvirt_test.volumes import Volumes


class Removal(Volumes):
    """What somebody uses is not deleted unless it is asked for by force."""

    @impl
    def volume_losses(self, ref: Ref, force: bool) -> tuple[Loss, ...]:  # noqa: ARG002 - the same either way
        return tuple(self._losses(self._volume(ref, "this")))

    @impl
    def volume_delete(self, ref: Ref, force: bool, trash: int, zeroed: bool) -> None:
        if trash < 0 or (trash and zeroed):
            wrong = "what is kept for a while cannot be overwritten" if zeroed else f"{trash} seconds"
            raise Invalid(wrong, hint="give either trash, in seconds from 1 on, or zeroed")
        row = self._volume(ref, "deleting a volume")
        assert ref.parent is not None
        with self.world.locks.hold(row.kind, "delete"):
            users = [loss.user for loss in self._losses(row) if loss.user]
            if users and not force:
                raise Busy(ref, holder=", ".join(users), purpose="their own content", hint="delete it with force")
            if trash:
                self.trash.put(ref.parent.key, row, trash)
            image(self.world, row).drop()
            part(self.world, row).drop()
            self.world.store.undefine(row.kind, row.uuid, event=VolumeLifecycle(ref=ref, change=VolumeChange.DELETED))

    @impl
    def volume_restore(self, pool: Ref, name: str) -> Ref:
        home = self._pool(pool, active=True, operation="restoring a volume")
        row = volume_row(self.world, pool.key, name)
        with self.world.locks.hold(row.kind, "restore"):
            kept = self.trash.take(pool.key, name)
            if kept is None:
                raise NotFound(name, "volume", hint="the trash has none of that name, or no longer")
            if any(other.name == name for other in self.world.store.rows(row.kind)):
                raise Exists("volume", name, holder=f"pool {home}", hint="delete or rename that one first")
            self.trash.bring_back(pool.key, kept, row)
            keep_volume(self.world, pool.key, name, kept["xml"], kept["facts"])
            ref = volume_ref(home, row)
            self.world.store.append(VolumeLifecycle(ref=ref, change=VolumeChange.CREATED))
        return ref

    @impl
    def pool_trash(self, ref: Ref) -> tuple[Trashed, ...]:
        self._pool(ref, active=True, operation="looking into its trash")
        return self.trash.all(ref.key)

    def _losses(self, row: Row) -> Iterator[Loss]:
        facts = volume_facts(self.world, row)
        path = str(facts["path"])
        yield Loss(path, facts["allocation"], "the volume itself")
        for name, disk, running in guests_with(self.world, path):
            why = f"it is in disk {disk} of a guest that {'runs' if running else 'is defined'}"
            yield Loss(path, None, why, f"domain {name}")
        for pool, other, has in everywhere(self.world):
            if has.get("backing") == path:
                yield Loss(has["path"], has["allocation"], "it is the backing file", f"volume {other.name} of {pool}")
