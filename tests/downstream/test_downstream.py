from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from wheels import build, environment, install

DRIVER = Path(__file__).parent / "acme"
# What the sketch of a driver can be asked for; a test that is skipped for another reason is noticed.
PROVEN = {"domain_destroy", "domain_list", "domain_start", "domain_state", "stats_cpu"}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment that has core and the driver from their wheels, and nothing of this checkout."""
    place = tmp_path_factory.mktemp("outside")
    build(DRIVER, place / "made")
    python = environment(place / "venv")
    install(python, "anyvirt[testing]", str(next((place / "made").glob("*.whl"))))
    return python


def test_a_driver_from_outside_is_discovered(outside: str) -> None:
    code = "from anyvirt.api import plugins; print(*plugins('anyvirt.drivers'))"
    out = subprocess.run([outside, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert "distribution='anyvirt-acme', version='1.0'" in out.stdout
    assert out.stdout.count("distribution=") == 1


def test_a_driver_from_outside_passes_the_contract_suite(outside: str, tmp_path: Path) -> None:
    written = tmp_path / "coverage.json"
    argv = [outside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib"]
    argv += [f"--rootdir={DRIVER}", f"--coverage-json={written}", str(DRIVER / "tests")]
    out = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert out.returncode == 0, out.stdout + out.stderr
    passed = re.search(r"(\d+) passed", out.stdout)
    assert passed is not None
    assert int(passed[1]) >= 20
    rows = json.loads(written.read_text())["proven"]
    assert {row["hook"] for row in rows} == PROVEN
    assert {row["on"] for row in rows} == {"stand-in"}


def test_the_sketch_of_a_driver_is_as_short_as_it_says() -> None:
    assert len((DRIVER / "src/anyvirt_acme/__init__.py").read_text().splitlines()) <= 60
