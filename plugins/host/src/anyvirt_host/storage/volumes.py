"""Hooks of volumes: the folder says which there are, the store what they were made as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from anyvirt.api import (
    Answer,
    Document,
    Invalid,
    NotFound,
    Ref,
    VirtError,
    VolumeInfo,
    fan_out,
    impl,
)

from anyvirt_host.storage.backend import Backend, Sight
from anyvirt_host.storage.pools import Pools
from anyvirt_host.storage.site import Declared, Live

if TYPE_CHECKING:
    from anyvirt.api import Volume

    from anyvirt_host.storage.header import Header

T = TypeVar("T")
RAW: Final = "raw"


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

    def _volumes(
        self, refs: Sequence[Ref], ask: Callable[[Ref, Live, Sight], Answer[T]]
    ) -> Iterator[tuple[Ref, Answer[T]]]:
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

    def _of_one(
        self, refs: Sequence[Ref], ask: Callable[[Ref, Live, Sight], Answer[T]]
    ) -> Iterator[tuple[Ref, Answer[T]]]:
        """What ``ask`` says of volumes of one pool, which is looked up once."""
        try:
            live = self._home(refs[0])
        except VirtError as error:
            yield from ((ref, Answer(error=NotFound(ref) if isinstance(error, NotFound) else error)) for ref in refs)
            return
        for ref in refs:
            try:
                answer = ask(ref, live, self._seen(ref, live))
            except VirtError as error:
                answer = Answer(error=error)
            yield ref, answer

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

    def _sizes(self, ref: Ref, live: Live, sight: Sight) -> Answer[VolumeInfo]:
        capacity, wrong = self._capacity(ref.key, live, sight)
        counted = capacity if live.counts and capacity is not None else sight.allocation
        return Answer(VolumeInfo(sight.type, capacity, counted, sight.physical), wrong)

    def _capacity(self, path: str, live: Live, sight: Sight) -> tuple[int | None, VirtError | None]:
        """What a guest sees of it; None, and why, where its header does not tell."""
        said = self._said(path, live, sight)
        if said is None or said.format == RAW:
            return sight.physical, None
        try:
            return self._header(path, live, said, sight).size, None
        except VirtError as error:
            return None, error

    def _said(self, path: str, live: Live, sight: Sight) -> Declared | None:
        """What was said of the file that is there now; None where nothing was."""
        said = self.site.declared(path, sight.inode) if sight.type == "file" else None
        if said is None or said.format == RAW:  # nothing is opened for what would be raw anyway
            return said
        backend = self.backend(live)
        now = backend.generation(live, backend.called(live, path))
        return said if now == said.generation else None

    def _header(self, path: str, live: Live, said: Declared, sight: Sight) -> Header:
        """The header of a volume that was made in a format that has one."""
        from anyvirt_host.storage.header import HEAD
        from anyvirt_host.storage.headers import header_of, vhdx

        if said.format == "vhdx":  # its size is far inside
            return vhdx(self.site.run, path)
        backend = self.backend(live)
        try:
            return header_of(said.format, backend.head(live, backend.called(live, path), HEAD), sight.physical)
        except Invalid as error:
            raise Invalid(f"{path}: {error.message}", hint=error.hint) from None

    def _described(self, ref: Ref, live: Live, sight: Sight) -> Answer[Document[Volume]]:
        from anyvirt_host.storage.describe import described
        from anyvirt_host.storage.header import looks_like

        path, name = ref.key, self.backend(live).called(live, ref.key)
        said = self._said(path, live, sight)
        header, notes = None, []
        if said is not None and said.format != RAW:
            try:
                header = self._header(path, live, said, sight)
            except VirtError as error:
                notes.append(error.message)
        elif said is None and sight.type == "file":
            seeming = looks_like(self.backend(live).head(live, name, 16))
            if seeming:
                notes.append(
                    f"{path} looks like {seeming}, and nobody declared it: it is taken for raw, as a guest may have"
                    " written that"
                )
        model = self.backend(live).volume_told(live, name, described(path, name, sight, said, header))
        if live.counts and model.capacity is not None:
            model = model.replace(allocation=model.capacity)
        return Answer(Document(model=model, notes=notes))

    def _above(self, live: Live, backend: Backend, path: str) -> list[str]:
        """The volumes of the pool whose backing file a path is, by name.

        Headers of what nobody declared count here, too: to keep an image that may be needed is the safe side.
        """
        from anyvirt_host.storage.header import HEAD, backing_path, qcow2

        found = []
        for one in backend.names(live):
            its = f"{live.path}/{one.name}"
            if one.odd or its == path:
                continue
            sight = backend.look(live, one.name)
            if sight is None or sight.type != "file":
                continue
            said = self._said(its, live, sight)
            if said is not None and said.format == RAW:
                continue  # what a guest wrote into it has no say
            try:
                head = backend.head(live, one.name, HEAD)
                below = backing_path(qcow2(head).backing, live.path)
            except VirtError:
                below = ""
            if path in (below, said.backing if said else ""):
                found.append(one.name)
        return sorted(found)

    def _forget(self, path: str, inode: int) -> None:
        if self.site.declared(path, inode) is not None:
            self.site.forget(path)
