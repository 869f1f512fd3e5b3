"""The two sides: an own home for each, libvirt's daemon, and processes run there."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.bench.peer import qemus

ROOT: Final = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON: Final = "/usr/bin/python3"  # the one that has Debian's libvirt-python
PATH: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
NOBODY: Final = "nobody"
START: Final = 30.0
LIMIT: Final = 240.0


class Missing(Exception):
    """Something that the benchmark needs is not on this machine."""


class Side:
    """One side with a home of its own. Caches outlive a home, so that nothing but the first run fills them.

    :param place: a folder for it, owned by the user.
    """

    name: str

    def __init__(self, place: Path, user: pwd.struct_passwd) -> None:
        self.place, self._user = place, user
        self.home, self._runtime, cache = place / "home", place / "run", place / "cache"
        self.images = place.parent / "images"  # the same names on both sides, one after the other
        for folder in (cache, self.images):
            self._make(folder)
        self._env = {
            "PATH": PATH,
            "HOME": str(self.home),
            "USER": user.pw_name,
            "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self._runtime),
            "XDG_CACHE_HOME": str(cache),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
        }

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """A home without a guest inside the block."""
        for folder in (self.home, self._runtime):
            shutil.rmtree(folder, ignore_errors=True)
            self._make(folder)
        with self.serving():
            try:
                yield
            finally:
                _end(qemus().values())

    @contextmanager
    def serving(self) -> Iterator[None]:
        """With whatever has to run all the time."""
        yield

    def scenario(self, *words: str) -> dict[str, list[float]]:
        """Run a scenario in a process of its own; its times."""
        done = self._run(self.worker(words), capture=True)
        times: dict[str, list[float]] = json.loads(done.stdout)
        return times

    def worker(self, words: Sequence[str]) -> list[str]:
        """The command that runs a scenario."""
        raise NotImplementedError

    def shell(self, command: str) -> list[str]:
        """The command line of ``list`` or ``domstats``."""
        raise NotImplementedError

    def timed(self, words: Sequence[str]) -> float:
        """Seconds that a command takes, from its launch to its end."""
        begun = time.perf_counter()
        self._run(words)
        return time.perf_counter() - begun

    def _run(self, words: Sequence[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
        out = subprocess.PIPE if capture else subprocess.DEVNULL
        done = subprocess.run(
            self._words(words),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self._env,
            timeout=LIMIT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done

    def _start(self, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen(
                self._words(words), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.place, env=self._env
            )

    def _words(self, words: Sequence[str]) -> list[str]:
        if os.geteuid() == self._user.pw_uid:
            return list(words)
        drop = ["setpriv", f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups", "--"]
        return [*drop, *words]

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(folder, self._user.pw_uid, self._user.pw_gid)


class Anyvirt(Side):
    """anyvirt as it is in the environment that runs the benchmark; nothing runs all the time."""

    name = "anyvirt"

    def worker(self, words: Sequence[str]) -> list[str]:
        reaper = [SYSTEM_PYTHON, str(ROOT / "tests" / "bench" / "reaper.py")]
        return [*reaper, sys.executable, "-m", "tests.bench.anyvirt_peer", str(self.images), *words]

    def shell(self, command: str) -> list[str]:
        words = {"list": ["list", "--all"], "domstats": ["domstats"], "help": ["--help"]}[command]
        return [str(Path(sys.executable).with_name("anyvirt")), "-c", "qemu:///session", *words]


class Libvirt(Side):
    """libvirt as the distribution ships it: libvirtd as a user's own daemon, virsh, libvirt-python."""

    name = "libvirt"

    @property
    def _pid_file(self) -> Path:
        return self._runtime / "libvirt" / "libvirtd.pid"

    @contextmanager
    def serving(self) -> Iterator[None]:
        reaper = [SYSTEM_PYTHON, str(ROOT / "tests" / "bench" / "reaper.py")]
        log = self.place / "libvirtd.log"
        daemon = self._start([*reaper, "libvirtd"], log)
        try:
            end = time.monotonic() + START
            while not (self._runtime / "libvirt" / "libvirt-sock").exists():
                if daemon.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"libvirtd does not start:\n{log.read_text(errors='replace')[-4000:]}")
                time.sleep(0.05)
            self._run(["virsh", "-c", "qemu:///session", "version"])  # it answers when its drivers have loaded
            yield
        finally:
            daemon.terminate()
            daemon.wait(START)

    def worker(self, words: Sequence[str]) -> list[str]:
        return [SYSTEM_PYTHON, "-m", "tests.bench.libvirt_peer", str(self._pid_file), str(self.images), *words]

    def shell(self, command: str) -> list[str]:
        words = {"list": ["list", "--all"], "domstats": ["domstats"], "help": ["--help"]}[command]
        return ["virsh", "-c", "qemu:///session", *words]


def _end(pids: Iterable[int]) -> None:
    """End guests that a scenario which failed has left behind."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def user() -> pwd.struct_passwd:
    """Who runs both sides: whoever asks, or for root a user who is nobody special."""
    return pwd.getpwnam(NOBODY) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def check() -> None:
    """See that both sides can run.

    :raises Missing: what to install.
    """
    packages: Mapping[str, str] = {
        "qemu-system-x86_64": "qemu-system-x86",
        "libvirtd": "libvirt-daemon libvirt-daemon-driver-qemu",
        "virsh": "libvirt-clients",
        "setpriv": "util-linux",
    }
    missing = [package for tool, package in packages.items() if shutil.which(tool, path=PATH) is None]
    python = subprocess.run([SYSTEM_PYTHON, "-c", "import libvirt"], capture_output=True, check=False)
    if python.returncode:
        missing.append("python3-libvirt")
    if missing:
        raise Missing(f"to compare with libvirt: apt-get install --no-install-recommends {' '.join(missing)}")
