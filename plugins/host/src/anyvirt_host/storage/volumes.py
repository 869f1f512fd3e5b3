"""Hooks of volumes: the folder says which there are, the store what they were made as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from anyvirt.api import Answer, Document, NotFound, Ref, VirtError, VolumeInfo, fan_out, impl

from anyvirt_host.storage.backend import Sight
from anyvirt_host.storage.details import Details
from anyvirt_host.storage.known import RAW, Glance, Known
from anyvirt_host.storage.pools import Pools
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Volume

    from anyvirt_host.storage.images.header import Header
    from anyvirt_host.storage.site import Declared

T = TypeVar("T")
AT_ONCE: Final = 500
MANY: Final = 50
__all__ = ["RAW", "Volumes"]


class Volumes(Pools):
    """A volume's handle is its path; what is never declared is raw, whatever its first bytes say."""

    @impl
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        live = self.site.live(ref, "listing its volumes")
        pool = Ref("pool", ref.key, name=ref.name, uuid=ref.uuid or ref.key)
        backend = self.backend(live)
        names = sorted(found.name for found in backend.names(live) if not found.odd)
        return (Ref("volume", backend.place(live, name), pool, name=name) for name in names)

    @impl
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        return self._volumes(refs, self._described)

    @impl
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        return self._volumes(refs, self._sizes)

    @impl
    def volume_path(self, ref: Ref) -> str:
        live = self._home(ref)
        self._seen(ref, live)
        return ref.key

    def _volumes(self, refs: Sequence[Ref], ask: Callable[[Known], Answer[T]]) -> Iterator[tuple[Ref, Answer[T]]]:
        """What ``ask`` says of each volume; an error of one is its own answer, and a pool that hangs keeps no other."""
        pools: dict[Ref, list[Ref]] = {}
        for ref in refs:
            if ref.parent is None:
                yield ref, Answer(error=NotFound(ref))
            else:
                pools.setdefault(ref.parent, []).append(ref)
        if len(pools) == 1:
            yield from self._of_one(next(iter(pools.values())), ask)
            return
        for pool, answers in fan_out(list(pools), lambda pool: list(self._of_one(pools[pool], ask))):
            yield from answers.value or ((ref, Answer(error=answers.error)) for ref in pools[pool])

    def _of_one(self, refs: Sequence[Ref], ask: Callable[[Known], Answer[T]]) -> Iterator[tuple[Ref, Answer[T]]]:
        """What ``ask`` says of volumes of one pool, which are looked at together."""
        try:
            live = self._home(refs[0])
        except VirtError as error:
            yield from ((ref, Answer(error=NotFound(ref) if isinstance(error, NotFound) else error)) for ref in refs)
            return
        backend = self.backend(live)
        details = self._details(refs, live)
        for start in range(0, len(refs), AT_ONCE):
            some = refs[start : start + AT_ONCE]
            try:
                names = [name for ref in some if (name := backend.called(live, ref.key))]
                glance = Glance(self.site, backend, live, names, details=details)
            except VirtError as error:
                yield from ((ref, Answer(error=error)) for ref in some)
                continue
            for ref in some:
                try:
                    answer = ask(glance.volume(ref))
                except VirtError as error:
                    answer = Answer(error=error)
                yield ref, answer
        if details:
            details.keep()

    def _details(self, refs: Sequence[Ref], live: Live) -> Details | None:
        """What is known from before, where there are so many that to read that is worth it."""
        pool, caches = refs[0].parent, self.site.caches
        if len(refs) < MANY or caches is None or pool is None:
            return None
        return Details(caches() / f"{pool.key}.json", self.backend(live).home(live))

    def _home(self, ref: Ref) -> Live:
        """The pool that a volume is in; it has to be active."""
        if ref.parent is None:
            raise NotFound(ref)
        try:
            return self.site.live(ref.parent, "this")
        except NotFound:
            raise NotFound(ref) from None

    def _seen(self, ref: Ref, live: Live) -> Sight:
        """A volume, which has to be there, in that pool and nowhere else."""
        backend = self.backend(live)
        name = backend.called(live, ref.key)
        sight = backend.look(live, name) if name else None
        if sight is None:
            raise NotFound(ref)
        return sight

    def _known(self, ref: Ref, live: Live, sight: Sight, said: Declared | None = None) -> Known:
        """What is known of one that was looked at.

        :param said: what was said of it, where that is known already.
        """
        backend = self.backend(live)
        name = backend.called(live, ref.key)
        told = None if said is None else {name: said}
        return Glance(self.site, backend, live, [name], sights={name: sight}, said=told).volume(ref)

    def _said(self, path: str, live: Live, sight: Sight) -> Declared | None:
        """What was said of the file that is there now; None where nothing was."""
        return self._known(Ref("volume", path), live, sight).said

    def _header(self, path: str, live: Live, said: Declared, sight: Sight) -> Header:
        """The header of a volume that was made in a format that has one."""
        found = self._known(Ref("volume", path), live, sight, said).header
        assert found is not None
        return found

    def _capacity(self, known: Known) -> tuple[int | None, VirtError | None]:
        """What a guest sees of it; None, and why, where its header does not tell."""
        try:
            return known.capacity, None
        except VirtError as error:
            return None, error

    def _sizes(self, known: Known) -> Answer[VolumeInfo]:
        sight = known.sight
        capacity, wrong = self._capacity(known)
        counted = capacity if known.live.counts and capacity is not None else sight.allocation
        return Answer(VolumeInfo(sight.type, capacity, counted, sight.physical), wrong)

    def _described(self, known: Known) -> Answer[Document[Volume]]:
        from anyvirt_host.storage.describe import described

        path, name, live = known.ref.key, known.name, known.live
        header, notes = None, []
        try:
            header = known.header
        except VirtError as error:
            notes.append(error.message)
        if known.seeming:
            notes.append(
                f"{path} looks like {known.seeming}, and nobody declared it: it is taken for raw, as a guest may have"
                " written that"
            )
        model = self.backend(live).volume_told(live, name, described(path, name, known.sight, known.said, header))
        if live.counts and model.capacity is not None:
            model = model.replace(allocation=model.capacity)
        return Answer(Document(model=model, notes=notes))

    def _forget(self, path: str, inode: int) -> None:
        if self.site.declared(path, inode) is not None:
            self.site.forget(path)
