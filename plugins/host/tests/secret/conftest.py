"""Secrets of their own for each test, beside a connection whose storage asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Secret, Secrets
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import KeptSecret


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def keeping(state: Path) -> Iterator[Connection]:
    """A connection that keeps secrets; what the kernel has of them is gone afterwards."""
    with opened("storage:///session", state_dir=state) as connection:
        yield connection
        for one in connection.secret_list():
            one.undefine()
        connection.recover()


@pytest.fixture
def secrets(keeping: Connection) -> Secrets:
    """Where storage and drivers of that connection find values."""
    found = keeping.session.host.secrets
    assert found is not None
    return found


@pytest.fixture
def secret_xml() -> Callable[..., str]:
    """``secret_xml("volume", "/a", private=True)``: a definition."""

    def made(use: str = "volume", text: str = "/srv/a", uuid: str = "", **flags: bool) -> str:
        flag = "".join(f" {name}='{'yes' if on else 'no'}'" for name, on in flags.items())
        tag = {"volume": "volume", "iscsi": "target"}.get(use, "name")
        ident = f"<uuid>{uuid}</uuid>" if uuid else ""
        usage = f"<usage type='{use}'><{tag}>{text}</{tag}></usage>" if text else ""
        return f"<secret{flag}>{ident}{usage}</secret>"

    return made


@pytest.fixture
def given(keeping: Connection, secret_xml: Callable[..., str]) -> Callable[..., KeptSecret]:
    """``given(b"value", keeper, "ceph", "admin", private=True)``: a secret with a value."""

    def made(value: bytes, keeper: str = "file", *words: str, **flags: bool) -> KeptSecret:
        one = keeping.secret_define(secret_xml(*words, **flags))
        one.set_value(Secret(value.decode("utf-8", "surrogateescape")), keeper)
        return one

    return made
