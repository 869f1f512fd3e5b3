"""What a run of the benchmark was taken with: versions, the machine, how durable each side's writes are."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.sides import ROOT, SYSTEM_PYTHON


def context(place: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Facts about this run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"),
        "anyvirt": version("anyvirt"),
        "libvirt": _said(SYSTEM_PYTHON, "-c", "import libvirt; print(libvirt.getVersion())"),
        "qemu": _said("qemu-system-x86_64", "--version").partition("\n")[0],
        "python": platform.python_version(),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory()} GB",
        "kernel": platform.release(),
        "filesystem": _said("findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(place)),
        "user": "nobody special" if os.geteuid() == 0 else "the caller",
        "accelerator": "tcg",
        "durability": {
            "anyvirt": "shipped default: SQLite, write-ahead log, synchronous=FULL (each define is synced)",
            "libvirt": "shipped default: one file each, written anew, synced, renamed",
        },
        "libvirt side": "libvirtd as the user's own daemon, libvirt-python, one connection, shipped configuration",
        "zombies": "both sides below a subreaper that reaps at once, as systemd does",
        "load": [round(number, 1) for number in os.getloadavg()],
        "rounds": rounds,
        "seconds": round(seconds),
    }


def _said(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
