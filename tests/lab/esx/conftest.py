"""A vCenter and an ESXi host, both simulated by vcsim, and what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from vcsim_stage import PASSWORD, Server, certificate, running


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """``serving(scheme, *words)``: a simulator that runs until the session ends."""
    with ExitStack() as stack:

        def serve(scheme: str, *words: str) -> Server:
            folder = tmp_path_factory.mktemp("vcsim")
            mode = ["-esx"] if scheme == "esx" else []
            trace = ["-trace-file", str(folder / "trace")]
            simulator = stack.enter_context(running(folder, *mode, *certificate(folder), *trace, *words))
            return Server(simulator, folder, scheme)

        yield serve


@pytest.fixture(scope="session")
def vcenter(serving: Callable[..., Server]) -> Server:
    return serving("vpx", "-vm", "4")


@pytest.fixture(scope="session")
def esx(serving: Callable[..., Server]) -> Server:
    return serving("esx", "-vm", "4")


@pytest.fixture(autouse=True)
def password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The password in a file of the user's, as a script would have it."""
    place = tmp_path / "password"
    place.touch(0o600)
    place.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("ANYVIRT_PASSWORD_FILE", str(place))
    return place
