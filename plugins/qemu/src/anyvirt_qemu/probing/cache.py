"""What was found out about a QEMU binary, kept in small JSON files that may be thrown away at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from anyvirt.api import Failed, NotFound, ProcessId

from anyvirt_qemu.run_dir import RunDir

MODULES: Final = ("/usr/lib/{arch}-linux-gnu/qemu", "/usr/lib64/qemu", "/usr/lib/qemu")
SIZE_MAX: Final = 4 << 20
WORK: Final = "probe-"


def identity(binary: str) -> list[str | int]:
    """What tells this binary on this kernel from any other: whatever changes here makes a new probe.

    :raises NotFound: there is no such file (kind ``program``).
    """
    try:
        found = Path(binary).stat()
    except OSError as error:
        raise NotFound(binary, "program", hint="install QEMU, or correct <emulator>") from error
    modules = 0
    for pattern in MODULES:
        with suppress(OSError):
            modules = max(modules, Path(pattern.format(arch=os.uname().machine)).stat().st_mtime_ns)
    return [
        binary,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        modules,
        os.uname().release,
        ProcessId.of().boot,
    ]


def load(folder: Path, kind: str, key: list[Any]) -> dict[str, Any] | None:
    """The value kept under this key, or None."""
    try:
        fd = os.open(_file(folder, kind, key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_uid != os.geteuid() or os.fstat(fd).st_size > SIZE_MAX:
            return None
        kept = json.loads(os.read(fd, SIZE_MAX))
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    good = isinstance(kept, dict) and kept.get("key") == key and isinstance(kept.get("value"), dict)
    return kept["value"] if good else None


def keep(folder: Path, kind: str, key: list[Any], value: dict[str, Any]) -> None:
    """Keep a value; that the disk is full only means that it has to be found out again."""
    file = _file(folder, kind, key)
    new = f"{file}.{os.getpid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps({"key": key, "value": value}, separators=(",", ":")).encode())
        finally:
            os.close(fd)
        os.replace(new, file)


@contextmanager
def workspace(folder: Path) -> Iterator[RunDir]:
    """A run directory for the length of a probe; what killed probes have left is swept first.

    :raises Failed: there is no room, or no right, to make one.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = [entry.name for entry in os.scandir(folder) if entry.name.startswith(WORK)]
    except OSError as error:
        words = {"errno": error.errno, "text": error.strerror}
        hint = "let this user write there, or set XDG_CACHE_HOME to a folder of theirs"
        raise Failed(f"cannot use the cache directory {folder}: {error.strerror}", native=words, hint=hint) from error
    for name in left:
        with suppress(ValueError, NotFound, Failed):
            if not Path(f"/proc/{int(name.split('-')[1])}").exists():
                _remove(RunDir.open(folder, name))
    run = RunDir.create(folder, f"{WORK}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        yield run
    finally:
        _remove(run)


def _remove(run: RunDir) -> None:
    with run:
        run.remove()


def _file(folder: Path, kind: str, key: list[Any]) -> str:
    return f"{folder}/{kind}-{sha256(str(key[0]).encode()).hexdigest()[:16]}.json"
