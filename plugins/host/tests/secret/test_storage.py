"""Volumes that are made with secrets that the same connection keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, NotFound, Secret
from anyvirt.api import open as opened

VALUE = "Tr0ub4dor,&3"
WORDS = (VALUE.encode(), b64encode(VALUE.encode()))
LUKS = "<encryption format='luks'><secret type='passphrase' usage='{}'/></encryption>"
VOLUME = "<volume><name>{}</name><capacity>1048576</capacity><target><format type='{}'/>{}</target></volume>"
SHIM = """#!/bin/sh
{ printf '%s\\n' "$0" "$@"; env; } >>"LOG"
exec "REAL" "$@"
"""


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every word and variable that the tools are given."""
    log, shims = tmp_path / "heard", tmp_path / "shims"
    shims.mkdir()
    for tool in ("qemu-img", "sh", "fallocate", "truncate"):
        real = shutil.which(tool)
        if real is None:
            pytest.skip(f"{tool} is not installed")
        (shims / tool).write_text(SHIM.replace("LOG", str(log)).replace("REAL", real))
        (shims / tool).chmod(0o700)
    monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
    return log


def opens(path: Path, key: Path) -> bool:
    image = f"driver=luks,file.driver=file,file.filename={path},key-secret=key"
    words = ["qemu-io", "--object", f"secret,id=key,file={key}", "-r", "--image-opts", image, "-c", "read 0 512"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_an_encrypted_volume_opens_with_its_secret_and_no_tool_heard_it(
    heard: Path, state: Path, tmp_path: Path, secret_xml: Callable[..., str]
) -> None:
    place = tmp_path / "images"
    place.mkdir()
    pool_xml = f"<pool type='dir'><name>images</name><target><path>{place}</path></target></pool>"
    with opened("storage:///session", state_dir=state) as storage:
        pool = storage.pool_define(pool_xml)
        pool.start()
        secret = storage.secret_define(secret_xml("volume", "/the/disk", private=True))
        secret.set_value(Secret(VALUE))
        storage.volume_create(pool, VOLUME.format("disk", "luks", LUKS.format("/the/disk"))).wait(120)
        (tmp_path / "key").write_text(VALUE)
        assert opens(place / "disk", tmp_path / "key")
        (tmp_path / "key").unlink()
        said = heard.read_bytes()
        assert b"qemu-img" in said
        assert not any(word in said for word in WORDS)
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path != tmp_path / "images/disk"]
        assert [path.name for path in files if any(word in path.read_bytes() for word in WORDS)] == [secret.uuid]


def test_a_volume_whose_secret_is_not_there_is_not_made(
    keeping: Connection, tmp_path: Path, secret_xml: Callable[..., str]
) -> None:
    place = tmp_path / "images"
    place.mkdir()
    pool = keeping.pool_define(f"<pool type='dir'><name>images</name><target><path>{place}</path></target></pool>")
    pool.start()
    for code in ("secret.not-found", "value.not-found"):
        with pytest.raises(NotFound) as caught:
            keeping.volume_create(pool, VOLUME.format("disk", "luks", LUKS.format("/the/disk"))).wait(60)
        assert caught.value.code == code
        assert list(place.iterdir()) == []
        if code == "secret.not-found":
            keeping.secret_define(secret_xml("volume", "/the/disk"))
