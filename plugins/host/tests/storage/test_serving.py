"""Volumes that are served as files while their bytes come and go: by QEMU's storage daemon, over FUSE."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from anyvirt.api import Busy, Failed, Secret
from anyvirt_host.storage.backend import Sight
from anyvirt_host.storage.carrying.content import Span
from anyvirt_host.storage.kinds.serving import NodeCarrier, Served

pytestmark = [
    pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs root: /dev/fuse is opened"),
    pytest.mark.skipif(shutil.which("qemu-storage-daemon") is None, reason="qemu-storage-daemon is not installed"),
]
SIGHT = Sight("network", 1, 0, 1 << 20, 0, 0, 0, (0, 0, 0))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    return path


def node(image: Path) -> dict[str, str]:
    return {"driver": "file", "filename": str(image)}


def test_what_is_served_is_the_volume_and_nothing_stays_when_it_ends(image: Path) -> None:
    served = Served(node(image), "it", writable=True)
    folder = Path(served.path).parent
    with open(served.path, "r+b") as file:
        file.write(b"through")
    served.end()
    served.end()
    assert image.read_bytes()[:7] == b"through"
    assert not folder.exists()


def test_what_cannot_be_opened_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("anyvirt-served-*"))
    with pytest.raises(Failed, match="No such file"):
        Served(node(tmp_path / "missing"), "it", writable=False, key=Secret("a password"))
    assert set(Path(tempfile.gettempdir()).glob("anyvirt-served-*")) <= before


def test_two_uploads_to_one_volume_do_not_meet(image: Path) -> None:
    carrier = NodeCarrier(lambda _: node(image))
    place = f"somewhere/{os.getpid()}"
    first = carrier.upload(place, SIGHT, Span(), grows=False)
    with pytest.raises(Busy):
        carrier.upload(place, SIGHT, Span(), grows=False)
    os.write(first.writer, b"first")
    os.close(first.writer)
    first.prepare()
    first.publish()
    assert image.read_bytes()[:5] == b"first"
    second = carrier.upload(place, SIGHT, Span(), grows=False)
    os.close(second.writer)
    second.abandon()


def test_what_came_before_is_put_back_by_whoever_remembers_it(image: Path) -> None:
    told: list[str] = []

    class Remembers:
        def take(self, place: str) -> None:
            told.append(f"take {place}")

        def keep(self, place: str) -> None:
            told.append(f"keep {place}")

        def back(self, place: str) -> None:
            told.append(f"back {place}")

    carrier = NodeCarrier(lambda _: node(image), guard=Remembers())
    for end in ("abandon", "publish"):
        upload = carrier.upload("it", SIGHT, Span(), grows=False)
        os.close(upload.writer)
        if end == "publish":
            upload.prepare()
        getattr(upload, end)()
    assert told == ["take it", "back it", "take it", "keep it"]


VICTIM = """
import sys
from anyvirt_host.storage.kinds.serving import Served
served = Served({"driver": "file", "filename": sys.argv[1]}, "it", writable=True)
print(served.path, flush=True)
sys.stdin.read()
"""


def test_what_is_served_ends_with_whoever_asked_for_it(image: Path) -> None:
    argv = [sys.executable, "-c", VICTIM, str(image)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        folder = Path(victim.stdout.readline().strip()).parent
        assert folder.exists()
        victim.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while folder.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
