"""Volumes to look at, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Answer,
    ChainLink,
    Document,
    Invalid,
    NotFound,
    Ref,
    Row,
    VolumeBackingStore,
    VolumeInfo,
    VolumeTarget,
    impl,
)

from anyvirt_test.place import everywhere, image, image_length, set_facts, volume_facts, volume_ref
from anyvirt_test.pools import Pools

if TYPE_CHECKING:
    from anyvirt.api import Volume

MAGIC: Final = b"QFI\xfb"
HEAD: Final = 32  # bytes of a qcow2 header that tell its size and where its backing file's name is


class Volumes(Pools):
    """A volume is what was said of it, and never what is in it."""

    @impl
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Volume]]]]:
        for ref, row in self._volumes(refs):
            yield ref, Answer(self._described(row)) if row else Answer(error=NotFound(ref))

    @impl
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        for ref, row in self._volumes(refs):
            facts = row and volume_facts(self.world, row)
            answer = VolumeInfo("file", facts["capacity"], facts["allocation"], facts["capacity"]) if facts else None
            yield ref, Answer(answer) if answer else Answer(error=NotFound(ref))

    @impl
    def volume_path(self, ref: Ref) -> str:
        return str(volume_facts(self.world, self._volume(ref, "this"))["path"])

    @impl
    def volume_find(self, text: str) -> Ref:
        for pool, row, facts in everywhere(self.world):
            if text in (row.uuid, facts["path"]) and self._pool_row(pool).run:
                return volume_ref(pool, row)
        raise NotFound(text, "volume")

    @impl
    def volume_chain(self, ref: Ref) -> tuple[ChainLink, ...]:
        by_path = {facts["path"]: facts for _, _, facts in everywhere(self.world)}
        links: list[ChainLink] = []
        facts = volume_facts(self.world, self._volume(ref, "this"))
        while True:
            sizes = facts["capacity"], facts["allocation"], facts["capacity"]
            links.append(ChainLink(facts["path"], facts.get("format", "raw"), True, *sizes))
            path, kind = facts.get("backing", ""), facts.get("backing_format", "raw")
            if not path:
                return tuple(links)
            if path not in by_path or any(link.path == path for link in links):
                note = "it stands above itself" if path in by_path else "no volume of any pool"
                return (*links, ChainLink(path, kind, True, note=note))
            facts = {**by_path[path], "format": kind}

    @impl
    def volume_declare(self, ref: Ref, config: Document[Volume]) -> None:
        row = self._volume(ref, "this")
        target, below = config.model.target, config.model.backing_store
        said = str(target.format) if target and target.format else "raw"
        path = (below.path or "") if below else ""
        length = image_length(volume_facts(self.world, row))
        facts: dict[str, Any] = {"format": said, "backing": path, "capacity": length, "length": length}
        if path:
            facts["backing_format"] = str(below.format) if below and below.format else ""
            if not facts["backing_format"]:
                raise Invalid("the format of a backing file is never guessed", hint="say which it has")
        if said == "qcow2":
            capacity, named = self._header(ref, row)
            if named != path:
                wrong = f"{ref} names {named or 'no backing file'}, and {path or 'none'} is declared"
                raise Invalid(wrong, hint="declare what it names")
            facts["capacity"] = capacity
        elif said != "raw":
            raise Invalid(f"{ref} is no image of the format {said!r}", hint="declare raw or qcow2")
        set_facts(self.world, row, **facts)

    def _header(self, ref: Ref, row: Row) -> tuple[int, str]:
        """Size and backing file as the image's own header has them.

        :raises Invalid: it has none.
        """
        path = image(self.world, row).path
        with path.open("rb") if path.exists() else open("/dev/null", "rb") as file:
            head = file.read(HEAD)
            if len(head) < HEAD or not head.startswith(MAGIC):
                raise Invalid(f"{ref} is no image of the format 'qcow2'", hint="declare it as raw")
            file.seek(int.from_bytes(head[8:16], "big"))
            named = file.read(min(int.from_bytes(head[16:20], "big"), 1023)).decode("utf-8", "surrogateescape")
            return int.from_bytes(head[24:32], "big"), named

    def _described(self, row: Row) -> Document[Volume]:
        kept: Document[Volume] = Document(row.xml or "")
        model, facts = kept.model, volume_facts(self.world, row)
        target = model.target or VolumeTarget()
        target = target.replace(path=facts["path"], format=facts.get("format") or target.format or "raw")
        below = model.backing_store
        if "backing" in facts:
            path, kind = facts["backing"], facts.get("backing_format")
            below = VolumeBackingStore(path=path, format=kind) if path else None
        sizes = {"capacity": facts["capacity"], "allocation": facts["allocation"], "physical": facts["capacity"]}
        return Document(model=model.replace(key=row.uuid, target=target, backing_store=below, **sizes))
