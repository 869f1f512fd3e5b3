"""The store of one driver in one scope: definitions, blobs, ids, jobs and the event log.

One interface, two back-ends under the same contract tests: ``sqlite.py`` for drivers
whose code always runs where the state is, ``files.py`` for those that reach it with
tools over ssh. Names are imported when they are first asked for: scopes and locks need
a part of this package and none of its classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anyvirt.store.contract import Store as Store
    from anyvirt.store.contract import StoreBook as StoreBook
    from anyvirt.store.rows import Defined as Defined
    from anyvirt.store.rows import Entry as Entry
    from anyvirt.store.rows import LogGap as LogGap
    from anyvirt.store.rows import Row as Row
    from anyvirt.store.rows import Told as Told

_FROM: Final = {
    "Defined": "rows", "Entry": "rows", "LogGap": "rows", "Row": "rows",
    "Store": "contract", "StoreBook": "contract", "Told": "rows",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(name)
    return getattr(import_module(f"anyvirt.store.{_FROM[name]}"), name)
