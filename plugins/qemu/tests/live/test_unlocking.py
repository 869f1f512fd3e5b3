"""Guests whose disks and TPMs open with secrets that the connection keeps."""

from __future__ import annotations

import shutil
import subprocess
import traceback
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Failed, Invalid, Secret
from sector_stage import UP, read_until

VALUE = "Tr0ub4dor,&3"
WORDS = (VALUE.encode(), b64encode(VALUE.encode()))
ENCRYPTION = "<encryption format='luks'><secret type='passphrase' usage='{}'/></encryption></source>"
SECRET = "<secret private='yes'><usage type='{}'><{tag}>{}</{tag}></usage></secret>"


@pytest.fixture
def volume(tmp_path: Path, disk: Path) -> Path:
    """The boot sector, encrypted."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    key, path = tmp_path / "key", tmp_path / "boot.luks"
    key.write_text(VALUE)
    words = ["--object", f"secret,id=key,file={key}", "-O", "luks", "-o", "key-secret=key,iter-time=10"]
    for last in (*[False] * 29, True):  # at times it cannot time its own hashing, and gives up
        if subprocess.run(["qemu-img", "convert", *words, str(disk), str(path)], check=last).returncode == 0:
            break
    key.unlink()
    return path


def keep(connection: Connection, use: str, text: str, value: str = VALUE, keeper: str = "file") -> Any:
    one = connection.secret_define(SECRET.format(use, text, tag="volume" if use == "volume" else "name"))
    one.set_value(Secret(value), keeper)
    return one


def told(files: list[Path]) -> list[Path]:
    """Those that have the value, as it is or in base 64."""
    found = []
    for path in files:
        with suppress(OSError):
            if any(word in path.read_bytes() for word in WORDS):
                found.append(path)
    return found


def test_a_guest_starts_from_a_luks_volume_whose_secret_is_kept(
    connection: Connection, xml: Callable[..., str], disk: Path, volume: Path, tmp_path: Path
) -> None:
    secret = keep(connection, "volume", str(volume))
    locked = xml("one").replace(f"'{disk}'/>", f"'{volume}'>" + ENCRYPTION.format(volume))
    domain = connection.domain_define(locked)
    plan = domain.plan()
    assert not any(word.decode() in repr(plan) for word in WORDS)
    domain.start()
    with domain.console() as stream:
        read_until(stream, UP)
    running = [path for name in ("cmdline", "environ") for path in Path("/proc").glob(f"[0-9]*/{name}")]
    assert told(running) == []
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    (kept,) = told(files)  # the value itself, for its owner alone; no record, no log, no event
    assert (kept.name, kept.stat().st_mode & 0o777) == (secret.uuid, 0o600)
    domain.destroy()
    secret.set_value(Secret(f"not {VALUE}"))
    with pytest.raises(Failed, match="Invalid password") as caught:
        domain.start()
    assert VALUE not in "".join(traceback.format_exception(caught.value))
    secret.undefine()
    with pytest.raises(Invalid, match="no value is known here for the secret") as refused:
        domain.start()
    place = "/devices/disk[vda]/source/encryption/secret[0]"
    assert [problem.path for problem in refused.value.problems] == [place]


def test_a_secret_for_something_else_opens_nothing(connection: Connection, xml: Callable[..., str], disk: Path) -> None:
    secret = keep(connection, "ceph", "client.admin")
    named = ENCRYPTION.replace("usage='{}'", f"uuid='{secret.uuid}'")
    domain = connection.domain_define(xml("one").replace(f"'{disk}'/>", f"'{disk}'>{named}"))
    with pytest.raises(Invalid) as caught:
        domain.start()
    assert "is for ceph, not for volume" in str(caught.value)
    assert VALUE not in str(caught.value)
