"""Stores to test: each back-end behind the same maker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.locks import Locks
from anyvirt.store.contract import Store
from anyvirt.store.files import FileStore
from anyvirt.store.memory import MemoryStore
from anyvirt.store.sqlite import SqliteStore
from anyvirt.transport.files import FarFiles
from anyvirt.transport.run import LocalRun

MakeStore = Callable[..., Store]


@pytest.fixture(params=["sqlite", "memory", "files", "far files"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_store(backend: str, tmp_path: Path) -> Iterator[MakeStore]:
    """Opens the one store of this test anew, as another process or another boot would."""
    opened: list[Store] = []
    memories: dict[str, MemoryStore] = {}

    def make(boot: str = "this boot") -> Store:
        store: Store
        if backend == "sqlite":
            store = SqliteStore(tmp_path / "store.db", "fake", boot=boot)
        elif backend == "memory":
            store = memories.setdefault(boot, MemoryStore("fake", boot=boot))
            if len(memories) > 1:
                pytest.skip("what is in memory sees no other boot")
        elif backend == "far files":  # through a shell, as over ssh
            run = LocalRun()
            folder, lock = str(tmp_path / "far"), str(tmp_path / "lock")
            store = FileStore.far(run, FarFiles(run), folder, "fake", lock, boot=boot)
        else:
            (tmp_path / "locks").mkdir(exist_ok=True)
            store = FileStore.local(tmp_path, "fake", Locks(tmp_path / "locks").lock("store-fake"), boot=boot)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store()
