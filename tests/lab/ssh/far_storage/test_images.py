"""Images on a far host: made, copied, resized and wiped by the tools there, with passphrases that travel in pipes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Invalid, Secret
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool, Volume

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
MIB = 1 << 20
Make = Callable[..., Volume]


@pytest.fixture
def storage(connection_uri: str) -> Iterator[Connection]:
    with opened(connection_uri) as connection:
        yield connection


@pytest.fixture
def pool(storage: Connection, pool_xml: Callable[[str], str]) -> Pool:
    made = storage.pool_define(pool_xml("images"))
    made.start()
    return made


@pytest.fixture
def make(storage: Connection, pool: Pool) -> Make:
    def made(name: str, kind: str, more: str = "", source: Volume | None = None) -> Volume:
        target = f"<target><format type='{kind}'/>{more}</target>"
        xml = f"<volume><name>{name}</name><capacity>{8 * MIB}</capacity><allocation>0</allocation>{target}</volume>"
        if source is None:
            return storage.volume(storage.volume_create(pool, xml).wait(60))
        return storage.volume(storage.volume_create_from(pool, xml, source).wait(60))

    return made


def guest(path: str, kind: str, command: str) -> bytes:
    return subprocess.check_output(["qemu-io", "-f", kind, "-c", command, path])


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vdi", "vhdx"])
def test_an_image_there_is_copied_into_another_format_and_wiped(make: Make, kind: str) -> None:
    source = make("source", "qcow2")
    guest(source.path(), "qcow2", "write -q -P 7 1M 1M")
    copy = make("copy", kind, source=source)
    assert copy.info().capacity == 8 * MIB
    assert guest(copy.path(), kind, "read -q -P 7 1M 1M") == b""
    copy.wipe("nnsa").wait(60)
    assert copy.info().capacity == 8 * MIB
    assert guest(copy.path(), kind, "read -q -P 0 0 8M") == b""
    assert {one.name for one in Path(source.path()).parent.iterdir()} == {"source", "copy"}


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_image_there_is_resized(make: Make, kind: str) -> None:
    made = make("disk", kind)
    made.resize(4 * MIB, delta=True, allocate=True).wait(60)
    argv = ["qemu-img", "info", "-f", kind, "--output=json", made.path()]
    assert json.loads(subprocess.check_output(argv))["virtual-size"] == 12 * MIB == made.info().capacity
    with pytest.raises(Invalid, match="lost"):
        made.resize(MIB).wait(60)


def test_a_folder_there_is_a_volume(make: Make, pool: Pool) -> None:
    made = make("folder", "dir")
    assert Path(made.path()).is_dir()
    made.delete()
    assert pool.volumes() == ()


def test_an_encrypted_image_there_opens_with_its_secret(storage: Connection, make: Make, tmp_path: Path) -> None:
    uuid = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
    secret = storage.secret_define(f"<secret><uuid>{uuid}</uuid></secret>")
    storage.secret_set_value(secret, Secret("correct horse"))
    made = make("disk", "raw", f"<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>")
    key = tmp_path / "key"
    key.write_text("correct horse")
    image = f"driver=luks,key-secret=k,file.driver=file,file.filename={made.path()}"
    argv = ["qemu-io", "--object", f"secret,id=k,file={key}", "--image-opts", image, "-c", "write -q 0 512"]
    assert subprocess.check_output(argv) == b""
    assert made.info().capacity == 8 * MIB
