"""The storage service as a connection opens it; written by tools/gen_front.py: do not edit.

Nothing of what it can do is loaded before somebody wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from anyvirt.api import (
        Answer,
        ChainLink,
        Document,
        Event,
        JobRecord,
        Loss,
        Pool,
        PoolInfo,
        PoolSource,
        PoolSources,
        Progress,
        Ref,
        StoragePoolCapabilities,
        Stream,
        Trashed,
        Unfinished,
        Volume,
        VolumeInfo,
    )

    from anyvirt_host.storage.service import Service
    from anyvirt_host.storage.site import Site


class Front:
    """The hooks of ``Service``."""

    def __init__(self, opened: Callable[[], Site]) -> None:
        self._opened = opened

    @cached_property
    def whole(self) -> Service:
        """The service itself."""
        from anyvirt_host.storage.service import Service

        return Service(self._opened)

    @impl
    def connect_recover(self) -> Sequence[str]:
        return self.whole.connect_recover()

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        return self.whole.events_follow(after)

    @impl
    def job_recover(self, record: JobRecord) -> str | None:
        return self.whole.job_recover(record)

    @impl
    def pool_build(self, ref: Ref, overwrite: bool) -> Generator[Progress, None, None]:
        return self.whole.pool_build(ref, overwrite)

    @impl
    def pool_capabilities(self) -> Document[StoragePoolCapabilities]:
        return self.whole.pool_capabilities()

    @impl
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        return self.whole.pool_config(refs)

    @impl
    def pool_create(self, config: Document[Pool], build: bool, overwrite: bool) -> Ref:
        return self.whole.pool_create(config, build, overwrite)

    @impl
    def pool_define(self, config: Document[Pool]) -> Ref:
        return self.whole.pool_define(config)

    @impl
    def pool_delete(self, ref: Ref, zeroed: bool) -> None:
        return self.whole.pool_delete(ref, zeroed)

    @impl
    def pool_find(self, path: str) -> Ref:
        return self.whole.pool_find(path)

    @impl
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        return self.whole.pool_info(refs)

    @impl
    def pool_list(self) -> Iterator[Ref]:
        return self.whole.pool_list()

    @impl
    def pool_refresh(self, ref: Ref) -> None:
        return self.whole.pool_refresh(ref)

    @impl
    def pool_set_autostart(self, ref: Ref, enabled: bool) -> None:
        return self.whole.pool_set_autostart(ref, enabled)

    @impl
    def pool_sources(self, type: str, source: Document[PoolSource] | None) -> Document[PoolSources]:  # noqa: A002 - libvirt's word
        return self.whole.pool_sources(type, source)

    @impl
    def pool_start(self, ref: Ref, build: bool, overwrite: bool) -> None:
        return self.whole.pool_start(ref, build, overwrite)

    @impl
    def pool_stop(self, ref: Ref) -> None:
        return self.whole.pool_stop(ref)

    @impl
    def pool_trash(self, ref: Ref) -> tuple[Trashed, ...]:
        return self.whole.pool_trash(ref)

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        return self.whole.pool_undefine(ref)

    @impl
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        return self.whole.pool_volumes(ref)

    @impl
    def volume_chain(self, ref: Ref) -> tuple[ChainLink, ...]:
        return self.whole.volume_chain(ref)

    @impl
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        return self.whole.volume_config(refs)

    @impl
    def volume_create(self, pool: Ref, config: Document[Volume], preallocate: bool) -> Generator[Progress, None, Ref]:
        return self.whole.volume_create(pool, config, preallocate)

    @impl
    def volume_create_from(
        self, pool: Ref, config: Document[Volume], source: Ref, preallocate: bool, reflink: bool
    ) -> Generator[Progress, None, Ref]:
        return self.whole.volume_create_from(pool, config, source, preallocate, reflink)

    @impl
    def volume_declare(self, ref: Ref, config: Document[Volume]) -> None:
        return self.whole.volume_declare(ref, config)

    @impl
    def volume_delete(self, ref: Ref, force: bool, trash: int, zeroed: bool) -> None:
        return self.whole.volume_delete(ref, force, trash, zeroed)

    @impl
    def volume_download(self, ref: Ref, offset: int, length: int | None, sparse: bool) -> Stream:
        return self.whole.volume_download(ref, offset, length, sparse)

    @impl
    def volume_find(self, text: str) -> Ref:
        return self.whole.volume_find(text)

    @impl
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        return self.whole.volume_info(refs)

    @impl
    def volume_losses(self, ref: Ref, force: bool) -> tuple[Loss, ...]:
        return self.whole.volume_losses(ref, force)

    @impl
    def volume_path(self, ref: Ref) -> str:
        return self.whole.volume_path(ref)

    @impl
    def volume_resize(
        self, ref: Ref, capacity: int, allocate: bool, delta: bool, shrink: bool
    ) -> Generator[Progress, None, None]:
        return self.whole.volume_resize(ref, capacity, allocate, delta, shrink)

    @impl
    def volume_restore(self, pool: Ref, name: str) -> Ref:
        return self.whole.volume_restore(pool, name)

    @impl
    def volume_unfinished(self, ref: Ref) -> Unfinished | None:
        return self.whole.volume_unfinished(ref)

    @impl
    def volume_upload(self, ref: Ref, offset: int, length: int | None, sparse: bool, resume: bool) -> Stream:
        return self.whole.volume_upload(ref, offset, length, sparse, resume)

    @impl
    def volume_wipe(self, ref: Ref, algorithm: str) -> Generator[Progress, None, None]:
        return self.whole.volume_wipe(ref, algorithm)
