"""Guests, of whatever driver, whose definitions name an image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from html import unescape
from typing import TYPE_CHECKING, Final

from anyvirt.api import Document, VirtError

if TYPE_CHECKING:
    from anyvirt.api import Domain, Store

_KINDS: Final = {"domain": "guest", "snapshot": "snapshot"}
_AROUND: Final = (("'", "'"), ('"', '"'), (">", "<"))


def defined_with(stores: Iterable[Store], paths: Collection[str], pool: str, volume: str) -> Iterator[str]:
    """Guests that name an image, as a path anywhere in their definition or as a volume of a pool; in words.

    A store that cannot be read is one, too: nobody knows what its guests need.

    :param paths: all that lead to it.
    """
    for store in stores:
        try:
            for kind, word in _KINDS.items():
                for row in store.rows(kind, xml=True):
                    if _names(row.xml or "", paths, pool, volume):
                        yield f"{word} {row.name} ({store.driver})"
        except VirtError as error:
            yield f"the guests of {store.driver}, which cannot be read: {error.message}"


def _names(xml: str, paths: Collection[str], pool: str, volume: str) -> bool:
    text = unescape(xml) if "&" in xml else xml
    if any(f"{start}{path}{end}" in text for path in paths for start, end in _AROUND):
        return True
    if volume not in text or pool not in text:
        return False
    document: Document[Domain] = Document(xml)
    try:
        disks = document.model.disks
    except VirtError:  # a definition of a later version: what it names is not known
        return True
    for disk in disks:
        source = disk.source
        if source is not None and (source.pool, source.volume) == (pool, volume):
            return True
    return False
