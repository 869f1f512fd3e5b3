"""A storage of its own for each test, with an active pool in a folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Document, Volume, VolumeBackingStore, VolumeFormat, VolumeTarget
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt_host.storage.site import Live
from storage_stage import mounted

DISK = 160 << 20  # bytes of a disk for partitions
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


@pytest.fixture
def connection_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    return "storage:///session"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def fs_kind(request: pytest.FixtureRequest) -> str:
    """The file system of a pool of the type fs; a test that is for another than ext4 says which."""
    return str(getattr(request, "param", "ext4"))


@pytest.fixture
def fs_image(tmp_path: Path, fs_kind: str) -> Path:
    """An empty image file, large enough for it."""
    return mounted.empty(tmp_path / "fs.img", fs_kind)


@pytest.fixture
def fs_target(tmp_path: Path) -> Iterator[Path]:
    """Where it is mounted."""
    yield tmp_path / "mounted"
    mounted.let_go(tmp_path / "mounted")


@pytest.fixture
def fs_built(fs_image: Path, fs_target: Path, fs_kind: str) -> Live:
    """The image with the file system on it."""
    return mounted.made(fs_kind, fs_image, fs_target)


@pytest.fixture
def fs_xml(fs_built: Live) -> Callable[[str], str]:
    """``fs_xml(name)``: a pool on it."""
    return lambda name: mounted.definition(fs_built, name)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A disk: a loop device of its own."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK)
    made = subprocess.run(["losetup", "--find", "--show", str(image)], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip("a loop device: none can be mounted here: losetup refuses")
    device = Path(made.stdout.strip())
    yield device
    subprocess.run(["partx", "--delete", str(device)], check=False, capture_output=True)
    subprocess.run(["losetup", "--detach", str(device)], check=True)


@pytest.fixture
def table(device: Path) -> Callable[[str], None]:
    """``table("gpt")``: write an empty partition table."""

    def written(label: str) -> None:
        argv = ["sfdisk", "--no-reread", "--no-tell-kernel", "--quiet", str(device)]
        subprocess.run(argv, input=f"label: {label}\n", text=True, check=True)

    return written
