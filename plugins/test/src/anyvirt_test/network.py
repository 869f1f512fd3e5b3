"""Virtual networks and the host's interfaces: to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from anyvirt.api import Answer, Document, NetworkInfo, NotFound, Ref, Row, impl

from anyvirt_test.world import World


class Networks:
    """They are there from the beginning, and stay."""

    world: World

    @impl
    def network_list(self) -> Iterator[Ref]:
        return (_ref(row) for row in self.world.store.rows("network"))

    @impl
    def network_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        return self._states(refs)

    @impl
    def network_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        return self._configs(refs)

    @impl
    def interface_list(self) -> Iterator[Ref]:
        return (_ref(row) for row in self.world.store.rows("interface"))

    @impl
    def interface_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        return self._configs(refs)

    @impl
    def interface_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        return self._states(refs)

    def _states(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        for ref, row in self._found(refs):
            facts = json.loads(self.world.store.blob(ref.kind, ref.key, "facts") or b"{}")
            info = row and NetworkInfo(bool(row.run), not row.transient, row.autostart, facts.get("bridge"))
            yield ref, Answer(info) if info else Answer(error=NotFound(ref))

    def _configs(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref, row in self._found(refs):
            yield ref, Answer(Document(row.xml or "")) if row else Answer(error=NotFound(ref))

    def _found(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Row | None]]:
        for ref in refs:
            yield ref, next(iter(self.world.store.get_many(ref.kind, [ref.key])), None)


def _ref(row: Row) -> Ref:
    return Ref(row.kind, row.uuid, name=row.name, uuid=row.uuid)
