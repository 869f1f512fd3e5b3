"""Where the service is at home: its definitions, its locks, and whoever keeps the values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from anyvirt.api import Document, NotFound, Ref

from anyvirt_host.secret.use import KIND, Use, ref_of

if TYPE_CHECKING:
    from anyvirt.api import KeptSecret, Row

    from anyvirt_host.secret.safe import Files, Safe


class Locks(Protocol):
    """One lock per secret, for all threads and processes."""

    def hold(self, key: str, purpose: str, *, wait: float | None = None) -> AbstractContextManager[Any]:
        """Hold it inside the block.

        :raises Busy: somebody kept it until the deadline.
        """
        ...


@dataclass(frozen=True)
class Site:
    """Definitions in the store, values in the safe."""

    store: Files
    locks: Locks
    safe: Safe

    def row(self, ref: Ref) -> Row:
        """The secret's row.

        :raises NotFound: there is no such secret.
        """
        found = self.store.get_many(KIND, [ref.key])
        if not found:
            raise NotFound(ref)
        return found[0]

    def model(self, row: Row) -> KeptSecret:
        """The definition of a row."""
        document: Document[KeptSecret] = Document(row.xml or "")
        return document.model

    def refs(self) -> Iterator[Ref]:
        """Every secret, with what it is for as its name."""
        rows = [(row, Use.told(row.name)) for row in self.store.rows(KIND)]
        long = {row.uuid: row for row in self.store.get_many(KIND, [row.uuid for row, use in rows if use is None])}
        for row, use in rows:
            if use is not None:
                yield ref_of(row.uuid, use)
            elif row.uuid in long:
                yield ref_of(row.uuid, Use.of(self.model(long[row.uuid])))
