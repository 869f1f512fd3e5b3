"""Who keeps values: files that only their owner reads, the kernel's keyring, systemd's credentials."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, Denied, Invalid, Output, Scope, Secret, Secrets, Unsupported
from anyvirt.client._generated_sync import KeptSecret
from anyvirt_host.secret.keyring import Keyring
from anyvirt_host.secret.safe import Safe

UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
VALUE = b"Tr0ub4dor\n\x00\xff"
Given = Callable[..., KeptSecret]


def keys(state: Path) -> list[str]:
    """The descriptions of this user's keys that belong to a scope."""
    safe = Safe(Scope.find("session", state_dir=state).files("secret"), no_tool, str(state / "session"), Keyring())
    return list(Keyring().names(safe._prefix))


def no_tool(*argv: str, input: object = None, env: object = None) -> Output:  # noqa: A002 - Run's own words
    raise Unsupported("this host", f"running {argv[0]!r} (there is no such program)")


def has_keyring() -> bool:
    try:
        list(Keyring().names("anyvirt:"))
    except Unsupported:
        return False
    return True


with_keyring = pytest.mark.skipif(not has_keyring(), reason="root: the kernel gives no keys here")
CREDS = ("systemd-creds", "--with-key=host", "encrypt", "-", "-")


def has_systemd() -> bool:
    if shutil.which(CREDS[0]) is None or os.geteuid() != 0:
        return False
    return subprocess.run(CREDS, input=b"", capture_output=True, check=False).returncode == 0


with_systemd = pytest.mark.skipif(not has_systemd(), reason="root: systemd-creds is not installed")


def holding(folder: Path, value: bytes) -> list[Path]:
    words = (value, b64encode(value))
    return [one for one in folder.rglob("*") if one.is_file() and any(word in one.read_bytes() for word in words)]


def shown(value: Secret) -> bytes:
    return value.reveal().encode("utf-8", "surrogateescape")


def test_a_file_that_only_its_owner_reads_has_the_value(given: Given, state: Path) -> None:
    assert given(VALUE).info().keeper == "file"
    (file,) = holding(state, VALUE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    way = [parent for parent in file.parents if parent.is_relative_to(state)]
    assert {stat.S_IMODE(parent.stat().st_mode) for parent in way} <= {0o700, 0o755}  # the topmost is pytest's
    assert stat.S_IMODE((state / "session").stat().st_mode) == 0o700
    assert "secret/_blob" in str(file)


def test_a_link_in_the_files_place_is_not_followed(given: Given, state: Path, tmp_path: Path) -> None:
    one = given(VALUE)
    (file,) = holding(state, VALUE)
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Denied, match="symbolic link"):
        one.value()
    one.set_value(Secret("new"))
    assert VALUE not in (tmp_path / "elsewhere").read_bytes() or b"new" not in (tmp_path / "elsewhere").read_bytes()
    assert shown(one.value()) == b"new"


@with_keyring
def test_the_kernel_has_the_value_and_no_file_does(given: Given, state: Path, secrets: Secrets) -> None:
    one = given(VALUE, "keyring")
    assert (one.info().has_value, one.info().keeper) == (True, "keyring")
    assert len(keys(state)) == 1
    assert not holding(state, VALUE)
    assert shown(secrets.find("volume", "/srv/a")) == VALUE
    one.undefine()
    assert keys(state) == []


@with_keyring
def test_an_ephemeral_value_never_reaches_the_disk(given: Given, state: Path) -> None:
    one = given(VALUE, "file", ephemeral=True)
    assert one.info().keeper == "memory"
    assert not holding(state, VALUE)
    assert shown(one.value()) == VALUE
    with pytest.raises(Invalid, match="kept in memory"):
        one.set_value(Secret("x"), "credential")


@with_keyring
def test_an_ephemeral_secret_is_gone_with_the_boot(given: Given, state: Path, keeping: Connection) -> None:
    given(VALUE, "file", ephemeral=True)
    (note,) = (state / "session/secret/secret").glob("*.json")
    note.write_text(note.read_text().replace(Scope.find("session", state_dir=state).boot_id, "an earlier one"))
    assert list(keeping.secret_list()) == []
    assert keeping.recover() == ("secrets: 1 value(s) that killed processes left are removed",)
    assert keys(state) == []


@with_keyring
def test_a_value_in_the_keyring_that_is_gone_is_none(given: Given, state: Path) -> None:
    one = given(VALUE, "keyring")
    for name in keys(state):
        Keyring().drop(name)
    assert not one.info().has_value


@with_keyring
@with_systemd
def test_a_value_is_in_one_place_at_a_time(given: Given, state: Path, keeping: Connection) -> None:
    one = given(VALUE)
    for keeper in ("keyring", "credential", "file", "credential", "keyring", "file"):
        one.set_value(Secret(f"for {keeper}"), keeper)
        assert (one.info().keeper, shown(one.value())) == (keeper, f"for {keeper}".encode())
        assert len(keys(state)) == (keeper == "keyring")
        assert len(holding(state, f"for {keeper}".encode())) == (keeper == "file")
        assert keeping.recover() == ()
    assert not holding(state, VALUE)


@with_systemd
def test_systemd_encrypts_for_this_host_and_this_secret(given: Given, state: Path) -> None:
    one, other = given(VALUE, "credential"), given(b"other", "credential", "ceph", "admin")
    assert shown(one.value()) == VALUE
    place = state / "session/secret/_blob/secret/value"
    mine, its = place / (one.uuid or ""), place / (other.uuid or "")
    mine.write_bytes(its.read_bytes())
    with pytest.raises(Exception, match="systemd-creds ended with status") as caught:
        one.value()
    assert "other" not in str(caught.value.__cause__ or "")


def test_a_host_without_systemds_tool_says_what_brings_it(state: Path) -> None:
    store = Scope.find("session", state_dir=state).files("secret")
    safe = Safe(store, no_tool, str(state), Keyring())
    with pytest.raises(Unsupported) as caught:
        safe.put(UUID, VALUE, "credential", ephemeral=False)
    assert "install systemd" in caught.value.hint
    assert safe.get(UUID) is None


def test_the_tool_hears_the_value_on_its_input_and_nowhere_else(state: Path) -> None:
    heard: list[tuple[str, ...]] = []

    def run(*argv: str, input: object = None, env: object = None) -> Output:  # noqa: A002 - Run's own word
        assert isinstance(input, Secret)
        assert env is None
        heard.append(argv)
        return Output(0, shown(input)[::-1])

    safe = Safe(Scope.find("session", state_dir=state).files("secret"), run, str(state), Keyring())
    safe.put(UUID, b"plain", "credential", ephemeral=False)
    assert safe.get(UUID) == b"plain"
    assert not any("plain" in word or "nialp" in word for argv in heard for word in argv)
    assert all(f"--name=anyvirt-{UUID}" in argv for argv in heard)


class NoKeys(Keyring):
    """A kernel that lets nobody have keys, as that of many containers."""

    def __init__(self) -> None:
        super().__init__()
        self._add = self._ctl = 0


def test_a_kernel_without_keys_is_no_reason_to_write_an_ephemeral_value_down(state: Path) -> None:
    safe = Safe(Scope.find("session", state_dir=state).files("secret"), no_tool, str(state), NoKeys())
    with pytest.raises(Unsupported, match="keys in the kernel's keyring"):
        safe.put(UUID, VALUE, "file", ephemeral=True)
    assert not holding(state, VALUE)
    safe.put(UUID, VALUE, "file", ephemeral=False)
    assert safe.get(UUID) == VALUE
    assert safe.keyed() == []


@pytest.mark.parametrize(("keeper", "size"), [("file", 65537), ("keyring", 32768), ("credential", 65537)])
def test_a_value_larger_than_its_keeper_takes_is_refused(keeper: str, size: int, state: Path) -> None:
    safe = Safe(Scope.find("session", state_dir=state).files("secret"), no_tool, str(state), Keyring())
    with pytest.raises(Invalid, match=f"has {size} bytes"):
        safe.put(UUID, b"x" * size, keeper, ephemeral=False)
