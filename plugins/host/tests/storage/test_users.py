from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyvirt.api import Settings
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.users import named, openers

HOLD = "import sys, time; kept = open(sys.argv[1], sys.argv[2]); print('held', flush=True); time.sleep(60)"


@contextmanager
def held(path: Path, mode: str, *words: str) -> Iterator[int]:
    """Another process that has the file open, with more words in its command line."""
    argv = [sys.executable, "-c", HOLD, str(path), mode, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


@pytest.fixture
def run() -> LocalRun:
    return LocalRun(Settings.read())


def test_whoever_has_a_file_open_is_told_with_what_it_does_to_it(run: LocalRun, tmp_path: Path) -> None:
    file = tmp_path / "disk"
    file.touch()
    (tmp_path / "other").touch()
    with held(file, "r") as reader, held(file, "r+") as writer, held(tmp_path / "other", "r"):
        found = {one.pid: one for one in openers(run, str(file))}
    assert {pid: (one.writes, one.guest) for pid, one in found.items()} == {
        reader: (False, False),
        writer: (True, False),
    }
    assert f"process {writer}" in found[writer].who
    assert openers(run, str(file)) == []
    assert openers(run, str(tmp_path / "gone")) == []
    assert openers(run, "rbd:pool/image") == []


@pytest.mark.parametrize(
    ("words", "who", "guest"),
    [
        (["/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on"], "guest web (QEMU, process 7)", True),
        (["qemu-system-x86_64", "-name", "guest=a,,b"], "guest a,b (QEMU, process 7)", True),
        (["/usr/bin/kvm", "-S", "-name", "old,process=x"], "guest old (QEMU, process 7)", True),
        (["/lib64/ld.so", "/usr/bin/qemu-system-x86_64", "-name", "guest=x"], "guest x (QEMU, process 7)", True),
        (["qemu-nbd", "-f", "raw", "/disk"], "qemu-nbd (process 7)", True),
        (["/usr/lib/virtualbox/VBoxHeadless", "--comment", "box"], "guest box (process 7)", True),
        (["dd", "of=/disk", "-name", "guest=x"], "dd (process 7)", False),
    ],
)
def test_a_process_is_told_by_its_guest(words: list[str], who: str, guest: bool) -> None:
    assert named(words, 7) == (who, guest)
