"""Hooks that tell of kinds of pools: which work here, what one could be made of, which one is where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Ambiguous, Document, Invalid, NotFound, Ref, impl

from anyvirt_host.storage.backend import KINDS, About, about
from anyvirt_host.storage.faults import package_of
from anyvirt_host.storage.pools import Pools
from anyvirt_host.storage.site import Live, pool_ref

if TYPE_CHECKING:
    from anyvirt.api import Pool, PoolCapability, PoolSource, PoolSources, StoragePoolCapabilities

# Says who asks, and which of the tools that it is given are not there.
LOOK: Final = 'id -u; for tool do command -v "$tool" >/dev/null 2>&1 || echo "$tool"; done'
SOURCES: Final = "sourceFormatType"
TARGETS: Final = "targetFormatType"


class Host(NamedTuple):
    """What of the host decides about kinds of pools."""

    root: bool
    missing: frozenset[str]


class PoolKinds(Pools):
    """What a kind of pool needs is said in its own file; whether the host has it is looked up when asked."""

    @impl
    def pool_find(self, path: str) -> Ref:
        wanted = os.path.normpath(path)
        rows = self.site.store.rows("pool", xml=True)
        lives = {row.uuid: Live.of(row.run, self.site.boot) for row in rows}
        found = [row for row in rows if (live := lives[row.uuid]) and live.path == wanted]
        if not found:
            found = [row for row in rows if lives[row.uuid] is None and _target(row.xml or "") == wanted]
        if not found:
            raise NotFound(path, "pool", hint="pools are found by the path of their target")
        if len(found) > 1:
            raise Ambiguous(path, [pool_ref(row) for row in found])
        return pool_ref(found[0])

    @impl
    def pool_sources(self, type: str, source: Document[PoolSource] | None) -> Document[PoolSources]:  # noqa: A002 - libvirt's word
        return Document(model=self._backend(type).sources(source.model if source else None))

    @impl
    def pool_capabilities(self) -> Document[StoragePoolCapabilities]:
        from anyvirt.api import PoolType, StoragePoolCapabilities

        known = {kind: about(kind) for kind in KINDS}
        host = self._host({tool for one in known.values() for tool in (*one.tools, *one.makes.values())})
        notes: list[str] = []
        pools = tuple(_capability(kind, known.get(kind), host, notes) for kind in PoolType)
        return Document(model=StoragePoolCapabilities(pools=pools), notes=notes)

    def _host(self, tools: set[str]) -> Host:
        said = self.site.run("sh", "-c", LOOK, "sh", *sorted(tools)).ok().text.split()
        return Host(said[0] == "0", frozenset(said[1:]))


def _capability(kind: str, known: About | None, host: Host, notes: list[str]) -> PoolCapability:
    """One kind; ``notes`` get the reasons for what is not there."""
    from anyvirt.api import PoolCapability, PoolFormat, PoolType, SourceFormats, TargetFormats, VolumeFormat

    if known is None:
        notes.append(f"{kind}: there is no back-end for it" + (", in libvirt neither" if kind == "sheepdog" else ""))
        return PoolCapability(type=PoolType(kind), supported=False)
    lacks = [f"{tool} is missing, install {package_of(tool)}" for tool in known.tools if tool in host.missing]
    if known.root and not host.root:
        lacks.append("it takes root")
    notes += [f"{kind}: {reason}" for reason in lacks]
    for made, tool in known.makes.items():
        if not lacks and tool in host.missing:
            notes.append(f"{kind}: the format {made} needs {tool}, which is missing, install {package_of(tool)}")
    formats = tuple(PoolFormat(word) for word in known.formats)
    volumes = tuple(VolumeFormat(word) for word in known.volumes)
    return PoolCapability(
        type=PoolType(kind),
        supported=not lacks,
        source_default=formats[0] if formats else None,
        source_formats=(SourceFormats(name=SOURCES, values=formats),) if formats else (),
        target_default=volumes[0] if volumes else None,
        target_formats=(TargetFormats(name=TARGETS, values=volumes),) if volumes else (),
    )


def _target(xml: str) -> str:
    kept: Document[Pool] = Document(xml)
    try:
        return os.path.normpath(kept.model.target or "")
    except Invalid:  # written by another version
        return ""
