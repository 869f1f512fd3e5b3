"""Which MAC addresses definitions have: all documents are read once, then only those that the log tells of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from anyvirt.api import LogGap

from anyvirt_qemu.site import KIND

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from anyvirt.api import Row, Store

ADDRESS: Final = re.compile(r"<mac address=['\"]([0-9A-Fa-f:]{17})['\"]")


class Macs:
    """The MAC addresses in one store; those of what was undefined since are kept, too, and harm nobody."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = ""
        self._found: set[str] = set()

    def taken(self) -> AbstractSet[str]:
        """All of them now, in lower case."""
        changed: set[str] = set()
        for entry in self._store.events(self._token) if self._token else ():
            if isinstance(entry, LogGap):
                self._token = ""
                break
            self._token = entry.token
            if entry.ref is not None and entry.ref.kind == KIND:
                changed.add(entry.ref.key)
        if self._token:
            self._add(self._store.get_many(KIND, changed) if changed else ())
        else:
            self._token = self._store.token()  # before the documents: one that comes meanwhile is read twice
            self._add(self._store.rows(KIND, xml=True))
        return self._found

    def _add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._found.update(mac.lower() for mac in ADDRESS.findall(row.xml or ""))
