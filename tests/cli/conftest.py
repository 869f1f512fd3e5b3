"""Running command lines in this process, against the fake hypervisor."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anyvirt.cli import main as entry

FOLDER = Path(__file__).parent


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"cli_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fakes = _load("fakes")


class Result(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files of the command line anew")


@pytest.fixture
def fake() -> Any:
    return fakes.Fake()


@pytest.fixture
def cli(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``cli("list", "--all") -> Result``."""
    for name in ("ANYVIRT_URI", "ANYVIRT_TIMEOUT", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str, stdin: str | bytes = "") -> Result:
        out, err = io.StringIO(), io.StringIO()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        parsed = entry.parse(words)
        code = parsed if isinstance(parsed, int) else entry.run(parsed, _opener(fake))
        return Result(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``stores("pool", "list") -> Result``: the same on a host of the test driver, with a pool ``default-pool``."""
    for name in ("ANYVIRT_URI", "ANYVIRT_TIMEOUT", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    uri = f"test:///default?state={tmp_path / 'host'}"

    def call(*words: str, stdin: str | bytes = "") -> Result:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        parsed = entry.parse([*words, "-c", uri])
        code = parsed if isinstance(parsed, int) else entry.run(parsed)
        out.flush()
        written = out.buffer
        assert isinstance(written, io.BytesIO)
        return Result(code, written.getvalue().decode("utf-8", "surrogateescape"), err.getvalue())

    return call


def _opener(fake: Any) -> Callable[[Any], Any]:
    return lambda cli: fakes.session(fake, readonly=cli.options.readonly, timeout=cli.timeout)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare with a file, or with ``--golden`` write it."""

    def compare(name: str, text: str) -> None:
        path = FOLDER / "golden" / name
        if request.config.getoption("--golden", default=False):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"no {path.name}: pytest tests/cli --golden writes it"
        assert text == path.read_text(encoding="utf-8")

    return compare
