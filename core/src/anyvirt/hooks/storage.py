"""Hooks of storage: pools and the volumes in them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.model.pool_capabilities import StoragePoolCapabilities
    from anyvirt.model.storage import Pool, PoolSource, PoolSources, Volume
    from anyvirt.model.values import ChainLink, Loss, PoolInfo, Trashed, Unfinished, VolumeInfo
    from anyvirt.progress import Progress
    from anyvirt.ref import Answer, Ref
    from anyvirt.transport.stream import Stream


class StorageSpec:
    """A volume's ref has its pool's ref as parent. Sizes and offsets are bytes."""

    # -- pools --------------------------------------------------------------------------------

    @spec(
        "storage",
        covers={
            "virConnectListAllStoragePools": (),
            "virConnectListStoragePools": (),
            "virConnectListDefinedStoragePools": (),
            "virConnectNumOfStoragePools": (),
            "virConnectNumOfDefinedStoragePools": (),
        },
    )
    def pool_list(self) -> Iterator[Ref]:
        """Every pool, active or not."""

    @spec(
        "storage",
        kind="bulk",
        covers={
            "virStoragePoolGetInfo": (),
            "virStoragePoolIsActive": (),
            "virStoragePoolIsPersistent": (),
            "virStoragePoolGetAutostart": (),
        },
    )
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        """State and sizes of each pool."""

    @spec("storage", kind="bulk", covers={"virStoragePoolGetXMLDesc": ()})
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Pool]]]]:
        """Definition of each pool."""

    @spec("storage", covers={"virStoragePoolLookupByTargetPath": ()})
    def pool_find(self, path: str) -> Ref:
        """The pool whose place on the host is ``path``.

        :raises NotFound: where there is none.
        """

    @spec("storage", covers={"virConnectFindStoragePoolSources": ()})
    def pool_sources(self, type: str, source: Document[PoolSource] | None = None) -> Document[PoolSources]:  # noqa: A002 - libvirt's word
        """What pools of a type could be made of, as the host or a server tells when it is asked.

        :param type: type of the pools, such as ``logical``.
        :param source: where to ask, for types that are on a server.
        :raises Invalid: where that type needs a source with more in it, or there is no such type.
        :raises Unsupported: pools of that type are not found by asking, or the host lacks the tool for it.
        """

    @spec("storage", covers={"virConnectGetStoragePoolCapabilities": ()})
    def pool_capabilities(self) -> Document[StoragePoolCapabilities]:
        """Which types of pools work here, with the formats of each."""

    @spec("storage", access="write", covers={"virStoragePoolDefineXML": ()})
    def pool_define(self, config: Document[Pool]) -> Ref:
        """Store a pool's definition.

        :raises Exists: where name or UUID is taken.
        :raises Invalid: with every problem, before anything changed.
        """

    @spec("storage", access="write", covers={"virStoragePoolUndefine": ()})
    def pool_undefine(self, ref: Ref) -> None:
        """Remove a stopped pool's definition; its content stays.

        :raises WrongState: where it is active.
        """

    @spec("storage", access="write", covers={"virStoragePoolSetAutostart": ()})
    def pool_set_autostart(self, ref: Ref, enabled: bool) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the pool is transient.
        """

    @spec("storage", access="write", covers={"virStoragePoolCreate": ("build", "overwrite")})
    def pool_start(self, ref: Ref, build: bool = False, overwrite: bool = False) -> None:
        """Make the pool's volumes reachable.

        :param build: first do what ``pool_build`` does.
        :param overwrite: as for ``pool_build``; only with ``build``.
        :raises WrongState: where it is active.
        :raises Invalid: for ``overwrite`` without ``build``.
        """

    @spec("storage", access="write", covers={"virStoragePoolCreateXML": ("build", "overwrite")})
    def pool_create(self, config: Document[Pool], build: bool = False, overwrite: bool = False) -> Ref:
        """Start a transient pool: nothing but its content is left of it when it is stopped.

        :param build: first do what ``pool_build`` does.
        :param overwrite: as for ``pool_build``; only with ``build``.
        :raises Exists: where name or UUID is taken.
        :raises Invalid: for ``overwrite`` without ``build``, or with every problem of the definition.
        """

    @spec("storage", access="write", covers={"virStoragePoolDestroy": ()})
    def pool_stop(self, ref: Ref) -> None:
        """Let go of the pool; nothing of its content is touched. A transient one is gone then.

        :raises WrongState: where it is not active.
        """

    @spec("storage", kind="job", access="write", covers={"virStoragePoolBuild": ("overwrite",)})
    def pool_build(self, ref: Ref, overwrite: bool = False) -> Generator[Progress, None, None]:
        """Make what a stopped pool stands on: its directory, file system, volume group or partition table.

        :param overwrite: also where the device has something on it already, which is lost.
        :raises WrongState: where it is active.
        :raises Exists: where there is something already; ``overwrite`` is the way out.
        """

    @spec("storage", access="write", covers={"virStoragePoolDelete": ("zeroed",)})
    def pool_delete(self, ref: Ref, zeroed: bool = False) -> None:
        """Undo ``pool_build`` of a stopped pool: what it stands on is gone, its definition stays.

        A directory is only removed when it is empty.

        :param zeroed: overwrite what it stood on.
        :raises WrongState: where it is active.
        """

    @spec("storage", access="write", covers={"virStoragePoolRefresh": ()})
    def pool_refresh(self, ref: Ref) -> None:
        """Look at an active pool anew: its sizes, and which volumes it has.

        :raises WrongState: where it is not active.
        """

    @spec("storage")
    def pool_trash(self, ref: Ref) -> tuple[Trashed, ...]:
        """Deleted volumes of an active pool that are kept for a while.

        :raises WrongState: where the pool is not active.
        """

    @spec(
        "storage",
        gives="volume",
        covers={
            "virStoragePoolListAllVolumes": (),
            "virStoragePoolListVolumes": (),
            "virStoragePoolNumOfVolumes": (),
        },
    )
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        """Every volume of an active pool.

        :raises WrongState: where the pool is not active.
        """

    # -- looking at volumes -------------------------------------------------------------------

    @spec("storage", kind="bulk", covers={"virStorageVolGetXMLDesc": ()})
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        """Description of each volume."""

    @spec("storage", kind="bulk", covers={"virStorageVolGetInfo": (), "virStorageVolGetInfoFlags": ()})
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        """Kind and sizes of each volume."""

    @spec("storage", covers={"virStorageVolGetPath": ()})
    def volume_path(self, ref: Ref) -> str:
        """Where the volume is on the host."""

    @spec("storage", covers={"virStorageVolLookupByKey": (), "virStorageVolLookupByPath": ()})
    def volume_find(self, text: str) -> Ref:
        """The volume of any active pool whose key or path is ``text``.

        :raises NotFound: where there is none.
        """

    @spec("storage")
    def volume_chain(self, ref: Ref) -> tuple[ChainLink, ...]:
        """The volume's image and those below it, as far as they are declared, and what the last one claims beyond."""

    @spec("storage", access="write")
    def volume_declare(self, ref: Ref, config: Document[Volume]) -> None:
        """Say what format an image that was found has, and what is below it; from then on both are trusted.

        :param config: only the target's format and the backing store count; without a backing store it has none.
        :raises Invalid: where the image is not of that format, or names another backing file.
        """

    # -- making volumes -----------------------------------------------------------------------

    @spec(
        "storage",
        kind="job",
        access="write",
        gives="volume",
        covers={"virStorageVolCreateXML": ("preallocate",)},
    )
    def volume_create(
        self, pool: Ref, config: Document[Volume], preallocate: bool = False
    ) -> Generator[Progress, None, Ref]:
        """Make a volume; the job's value is its ref. Cancelled, nothing is left.

        :param preallocate: allocate the metadata of an image that grows.
        :raises Exists: where the pool has one of that name.
        :raises Invalid: where the pool cannot have such a volume, with every problem.
        """

    @spec(
        "storage",
        kind="job",
        access="write",
        gives="volume",
        covers={"virStorageVolCreateXMLFrom": ("preallocate", "reflink")},
    )
    def volume_create_from(
        self, pool: Ref, config: Document[Volume], source: Ref, preallocate: bool = False, reflink: bool = False
    ) -> Generator[Progress, None, Ref]:
        """Make a volume with the content of another one; the job's value is its ref. Cancelled, nothing is left.

        :param config: as for ``volume_create``; its format may be another one, its capacity is at least the source's.
        :param source: a volume of this pool or another one.
        :param preallocate: as for ``volume_create``.
        :param reflink: share blocks with the source, and fail where the file system cannot.
        :raises Exists: where the pool has one of that name.
        :raises Unsupported: with ``reflink``, where blocks cannot be shared.
        """

    # -- content ------------------------------------------------------------------------------

    @spec(
        "storage",
        kind="job",
        access="write",
        covers={"virStorageVolResize": ("allocate", "delta", "shrink")},
    )
    def volume_resize(
        self, ref: Ref, capacity: int, allocate: bool = False, delta: bool = False, shrink: bool = False
    ) -> Generator[Progress, None, None]:
        """Change the size that a guest sees.

        :param capacity: the new size.
        :param allocate: take the new space at once.
        :param delta: ``capacity`` is the difference; a negative one needs ``shrink``.
        :param shrink: it may get smaller, and what is beyond its end is lost.
        :raises Invalid: where it would get smaller without ``shrink``, or is no possible size.
        :raises Busy: where a guest uses it; it names the guest.
        """

    @spec(
        "storage",
        kind="job",
        access="write",
        covers={"virStorageVolWipe": (), "virStorageVolWipePattern": ("algorithm",)},
    )
    def volume_wipe(self, ref: Ref, algorithm: str = "zero") -> Generator[Progress, None, None]:
        """Overwrite all of the volume's content; the volume stays. Cancelled, a part may be overwritten.

        :param algorithm: ``zero``, ``nnsa``, ``dod``, ``bsi``, ``gutmann``, ``schneier``, ``pfitzner7``,
            ``pfitzner33``, ``random`` or ``trim``.
        :raises Invalid: for another algorithm.
        :raises Unsupported: where the pool or the host cannot do that one.
        :raises Busy: where a guest uses it; it names the guest.
        """

    @spec("storage", kind="stream", access="secret", covers={"virStorageVolDownload": ("sparse",)})
    def volume_download(self, ref: Ref, offset: int = 0, length: int | None = None, sparse: bool = False) -> Stream:
        """The bytes of the volume's image; refused on a read-only connection.

        :param offset: first byte.
        :param length: bytes at most; None is all until the end.
        :param sparse: the stream has records: ``D``, eight bytes of length (big-endian) and as many bytes of data, or
            ``H`` and eight bytes of length for a hole. ``anyvirt.sparse`` reads them.
        :raises Invalid: where ``offset`` is past the end, or negative.
        """

    @spec("storage", kind="stream", access="write", covers={"virStorageVolUpload": ("sparse",)})
    def volume_upload(
        self, ref: Ref, offset: int = 0, length: int | None = None, sparse: bool = False, resume: bool = False
    ) -> Stream:
        """A stream that takes bytes of the volume's image; ``close`` of it puts them there, ``abort`` does not.

        What came before an ``abort``, or before the process was killed, is kept for ``resume``.

        :param offset: first byte that is written.
        :param length: bytes at most: more is an error; None is until the volume's end.
        :param sparse: the stream has records, as for ``volume_download``; ``anyvirt.sparse`` writes them.
        :param resume: go on where the unfinished upload of the same ``offset`` ended; see ``volume_unfinished``.
        :raises Invalid: where ``offset`` or ``length`` is past the end or negative; ``close`` raises it for more data
            than there is room, or broken records.
        :raises NotFound: (kind ``upload``) with ``resume``, where nothing is unfinished.
        :raises Busy: where a guest uses the volume, or somebody else uploads to it; it names who.
        """

    @spec("storage")
    def volume_unfinished(self, ref: Ref) -> Unfinished | None:
        """What is kept of an upload that was not brought to its end; None where there is none."""

    # -- taking volumes away ------------------------------------------------------------------

    @spec("storage")
    def volume_losses(self, ref: Ref, force: bool = False) -> tuple[Loss, ...]:
        """All that ``volume_delete`` would take away, and whoever uses the volume; nothing is done.

        :param force: as for ``volume_delete``.
        """

    @spec("storage", access="write", covers={"virStorageVolDelete": ("zeroed",)})
    def volume_delete(self, ref: Ref, force: bool = False, trash: int = 0, zeroed: bool = False) -> None:
        """Remove a volume and its content.

        :param force: also where a guest, a snapshot or another volume uses it.
        :param trash: seconds for which ``volume_restore`` can bring it back; its space stays in use so long.
        :param zeroed: overwrite its content first; not together with ``trash``.
        :raises Busy: where somebody uses it; it names every user.
        """

    @spec("storage", access="write", gives="volume")
    def volume_restore(self, pool: Ref, name: str) -> Ref:
        """Bring a deleted volume back out of the pool's trash.

        :param name: what it was called; of several of that name, the one that was deleted last.
        :raises NotFound: where the trash has none of that name.
        :raises Exists: where the pool has a volume of that name meanwhile.
        """
