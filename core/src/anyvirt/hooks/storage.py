"""Hooks of storage: pools and the volumes in them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.model.storage import Pool, Volume
    from anyvirt.model.values import PoolInfo, VolumeInfo
    from anyvirt.progress import Progress
    from anyvirt.ref import Answer, Ref


class StorageSpec:
    """A volume's ref has its pool's ref as parent."""

    @spec("storage", covers={"virConnectListAllStoragePools": (), "virStoragePoolLookupByName": ()})
    def pool_list(self) -> Iterator[Ref]:
        """Every pool, active or not."""

    @spec("storage", kind="bulk", covers={"virStoragePoolGetInfo": (), "virStoragePoolIsActive": ()})
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        """State and sizes of each pool."""

    @spec("storage", kind="bulk", covers={"virStoragePoolGetXMLDesc": ()})
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        """Definition of each pool."""

    @spec("storage", access="write", covers={"virStoragePoolDefineXML": ()})
    def pool_define(self, config: Document[Pool]) -> Ref:
        """Store a pool's definition.

        :raises Exists: where name or UUID is taken.
        """

    @spec("storage", access="write", covers={"virStoragePoolUndefine": ()})
    def pool_undefine(self, ref: Ref) -> None:
        """Remove a stopped pool's definition; its content stays.

        :raises WrongState: where it is active.
        """

    @spec("storage", access="write", covers={"virStoragePoolCreate": ()})
    def pool_start(self, ref: Ref) -> None:
        """Make the pool's volumes reachable."""

    @spec("storage", access="write", covers={"virStoragePoolDestroy": ()})
    def pool_stop(self, ref: Ref) -> None:
        """Let go of the pool; nothing of its content is touched."""

    @spec("storage", gives="volume", covers={"virStoragePoolListAllVolumes": ()})
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        """Every volume of an active pool.

        :raises WrongState: where the pool is not active.
        """

    @spec("storage", kind="bulk", covers={"virStorageVolGetXMLDesc": ()})
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        """Description of each volume."""

    @spec("storage", kind="bulk", covers={"virStorageVolGetInfo": ()})
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        """Kind and sizes of each volume."""

    @spec("storage", covers={"virStorageVolGetPath": ()})
    def volume_path(self, ref: Ref) -> str:
        """Where the volume is on the host."""

    @spec("storage", kind="job", access="write", gives="volume", covers={"virStorageVolCreateXML": ()})
    def volume_create(self, pool: Ref, config: Document[Volume]) -> Generator[Progress, None, Ref]:
        """Make a volume; the job's value is its ref. Cancelled, nothing is left.

        :raises Exists: where the pool has one of that name.
        """

    @spec("storage", access="write", covers={"virStorageVolDelete": ()})
    def volume_delete(self, ref: Ref) -> None:
        """Remove a volume and its content."""
