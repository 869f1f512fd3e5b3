"""Kinds of pools on a machine that has what they need; ``--record`` writes down what its tools say."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyvirt.api import Run
from anyvirt.testing.recorded import Recording
from storage_scenes import SCENES

RECORDED = Path(__file__).parents[3] / "plugins/host/tests/storage/recorded"


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("name", SCENES)
def test_a_kind_of_pool_does_all_that_it_says(name: str, run: Run, request: pytest.FixtureRequest) -> None:
    package = name if name != "udev-scsi" else "udev"
    package = next(word for word in (package, package.rpartition("-")[0]) if _version(word, run))
    version = _version(package, run)
    about = f"{package} {version}, Debian {run('cat', '/etc/debian_version').text.strip()}, Linux {_kernel(run)}"
    recording = Recording(run, RECORDED / f"{name}-{version.rpartition('-')[0] or version}.txt", about)
    SCENES[name](recording)
    if request.config.getoption("--record"):
        for old in RECORDED.glob(f"{name}-[0-9]*.txt"):
            old.unlink()
        RECORDED.mkdir(exist_ok=True)
        recording.save()


def _version(package: str, run: Run) -> str:
    return (
        run("dpkg-query", "--show", "--showformat=${Version}", package).text.partition(":")[2]
        or run("dpkg-query", "--show", "--showformat=${Version}", package).text
    )


def _kernel(run: Run) -> str:
    return run("uname", "-r").text.strip()
