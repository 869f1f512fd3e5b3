"""A storage of its own for each test, with an active pool in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Document, Volume, VolumeBackingStore, VolumeFormat, VolumeTarget
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle

Describe = Callable[..., Document[Volume]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Connection]:
    with opened("storage:///session", state_dir=tmp_path / "state") as connection:
        yield connection


@pytest.fixture
def pool_xml() -> Callable[[str, Path], str]:
    def made(name: str, place: Path) -> str:
        return f"<pool type='dir'><name>{name}</name><target><path>{place}</path></target></pool>"

    return made


@pytest.fixture
def pool(storage: Connection, place: Path, pool_xml: Callable[[str, Path], str]) -> Pool:
    made = storage.pool_define(pool_xml("images", place))
    made.start()
    return made


@pytest.fixture
def described() -> Describe:
    """``described(name, size, format, below=)``: the description of a sparse volume."""

    def made(name: str, size: int | None = 1 << 20, kind: str = "raw", below: Path | None = None) -> Document[Volume]:
        store = VolumeBackingStore(path=str(below), format=VolumeFormat.QCOW2) if below else None
        target = VolumeTarget(format=VolumeFormat(kind))
        return Document(model=Volume(name=name, capacity=size, allocation=0, target=target, backing_store=store))

    return made


@pytest.fixture
def make(storage: Connection, pool: Pool, described: Describe) -> Callable[..., Handle]:
    """``make(name, size, format, below=)``: such a volume."""
    return lambda *words, **rest: storage.volume(storage.volume_create(pool, described(*words, **rest)).wait(20))
