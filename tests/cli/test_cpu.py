"""CPU models on the command line, against the host of the ``test`` driver, and documents that tell of CPUs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from anyvirt.cli import main as entry


class Result(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """A command line on a host of the test driver."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("ANYVIRT_TIMEOUT", raising=False)

    def call(*words: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = entry.main(["-c", "test:///default", *words])
        return Result(code, *capsys.readouterr())

    return call


def cpu(model: str, *features: str) -> str:
    rows = "".join(f"<feature policy='require' name='{name}'/>" for name in features)
    return f"<cpu mode='custom'><model>{model}</model>{rows}</cpu>"


def test_what_domains_can_have_is_printed_in_every_form(host: Callable[..., Result]) -> None:
    found = host("host", "domcapabilities")
    assert found.code == 0
    assert "<machine>testpc</machine>" in found.out
    assert host("domcapabilities", "--machine", "testpc", "--format", "yaml").out.startswith(
        "$kind: domainCapabilities"
    )
    shown = json.loads(host("--json", "host", "domcapabilities").out)
    assert shown["schema"] == "host-domcapabilities/1"
    assert shown["xml"] == found.out.rstrip("\n") or shown["xml"] in found.out
    refused = host("host", "domcapabilities", "--machine", "never")
    assert refused.code == 1
    assert "use testpc" in refused.err


def test_models_are_listed_with_what_they_lack(host: Callable[..., Result]) -> None:
    rows = json.loads(host("--json", "cpu", "models").out)["models"]
    assert {row["name"]: row["usable"] for row in rows}["blue"] == "yes"
    assert {row["name"]: row["missing"] for row in rows}["blue-new"] == ["wide"]
    assert "blue-new" in host("cpu-models").out


def test_the_baseline_of_files_is_a_cpu(host: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "one").write_text(cpu("blue", "avx", "clock"))
    (tmp_path / "two").write_text(f"<domain type='test'>{cpu('blue', 'clock')}</domain>")
    files = [str(tmp_path / "one"), str(tmp_path / "two")]
    found = host("cpu", "baseline", *files)
    assert "<model fallback='forbid'>blue</model>" in found.out
    assert "clock" in found.out
    assert "avx" not in found.out
    assert "clock" not in host("cpu", "baseline", "--migratable", *files).out
    assert "sse" in host("cpu-baseline", "--features", *files).out
    shown = json.loads(host("--json", "cpu", "baseline", *files).out)
    assert shown == {"schema": "cpu-baseline/1", "xml": shown["xml"]}
    (tmp_path / "three").write_text(cpu("green"))
    refused = host("cpu", "baseline", files[0], str(tmp_path / "three"))
    assert refused.code == 1
    assert "several vendors: Blue, Green" in refused.err


def test_the_exit_status_says_whether_a_cpu_runs_here(host: Callable[..., Result], tmp_path: Path) -> None:
    good = host("cpu", "compare", "-", stdin=cpu("blue"))
    assert (good.code, good.out) == (0, "-: superset\n")
    bad = host("cpu", "compare", "-", stdin=cpu("blue", "wide"))
    assert (bad.code, bad.out) == (1, "-: incompatible: the host has no wide\n")
    assert host("hypervisor-cpu-compare", "--error", "-", stdin=cpu("blue", "wide")).err.startswith("error[")
    shown = json.loads(host("--json", "cpu", "compare", "-", stdin=cpu("blue", "wide")).out)
    assert shown["schema"] == "cpu-compare/1"
    assert (shown["match"], shown["missing"]) == ("incompatible", ["wide"])
    assert host("cpu", "compare", "-", stdin=cpu("blue", "avx", "clock")).out == "-: identical\n"


def test_capabilities_are_compared_as_what_is_like_the_host(host: Callable[..., Result]) -> None:
    told = host("host", "domcapabilities").out
    assert host("cpu", "compare", "-", stdin=told).out == "-: identical\n"
    refused = host("cpu", "compare", "-", stdin="<domain type='test'><name>a</name></domain>")
    assert refused.code == 1
    assert "tells of no CPU" in refused.err
