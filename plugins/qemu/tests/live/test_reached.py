"""Where a running guest is reached, as its live definition says."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, Which


@pytest.mark.parametrize("wish", ["<graphics type='vnc'/>", "<graphics type='vnc' port='-1' listen='127.0.0.1'/>"])
def test_the_live_definition_says_where_the_screen_and_the_line_are(
    connection: Connection, xml: Callable[..., str], wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = connection.domain_create(xml("shown", wish), paused=True)
    live = domain.config(Which.LIVE).model
    (screen,) = live.graphics
    if screen.socket:
        monkeypatch.chdir(Path(screen.socket).parent)  # the whole path is longer than an address may be
    place = Path(screen.socket).name if screen.socket else ("127.0.0.1", screen.port)
    with socket.socket(socket.AF_UNIX if screen.socket else socket.AF_INET) as line:
        line.settimeout(10)
        line.connect(place)
        assert line.recv(12).startswith(b"RFB 003.")
    assert (live.serials[0].sources[0].path or "").startswith("/dev/pts/")
