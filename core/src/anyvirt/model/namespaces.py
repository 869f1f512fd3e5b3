"""Elements of other namespaces that plug-ins brought, found by entry point when a document first has one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anyvirt.model.element import Element

GROUP: Final = "anyvirt.namespaces"


@cache
def registered() -> dict[str, type[Element]]:
    """Model classes by ``{uri}tag``.

    An entry point names a sequence of ``(uri, model class, prefix)``; the class is declared with
    ``namespace=(uri, prefix)``. One that cannot be imported is left out: its content then stays unknown,
    and ``anyvirt drivers`` tells about the plug-in.
    """
    from importlib_metadata import entry_points

    found: dict[str, type[Element]] = {}
    for point in entry_points(group=GROUP):
        try:
            triples = tuple(point.load())
        except Exception:  # noqa: BLE001, S112 - a broken plug-in must not make documents unreadable
            continue
        for uri, cls, _prefix in triples:
            found.setdefault(f"{{{uri}}}{cls._tag}", cls)
    return found
