"""File systems in image files, for pools that mount them through loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from anyvirt.api import Pool
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.backend import backend_of
from anyvirt_host.storage.site import Live

SIZES: Final = {"ext4": 32 << 20, "xfs": 320 << 20, "btrfs": 120 << 20}  # xfs and btrfs are never smaller
# What pools on btrfs cannot do: libvirt has no word for it, so that nobody can say that it is to be made.
UNBUILT: Final = dict.fromkeys(
    ("pool_build", "pool_start.build", "pool_create.build"), "libvirt has no word for btrfs, so that none is made"
)
MARKS: Final = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file system is mounted"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("mkfs.ext4", "findmnt", "blkid")
    ),
]


def empty(path: Path, kind: str) -> Path:
    """An image file that is large enough."""
    with path.open("wb") as file:
        file.truncate(SIZES[kind])
    return path


def made(kind: str, image: Path, target: Path) -> Live:
    """The file system in it, and where it is to be mounted; by the pool's own building where that can make it."""
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    live = Live("fs", str(target), str(image), format="" if kind == "btrfs" else kind)
    if kind == "btrfs":
        subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
        target.mkdir()
    else:
        backend_of("fs", LocalRun()).build(live, Pool(name="p"))
    if subprocess.run(["mount", str(image), str(target)], check=False, capture_output=True).returncode:
        pytest.skip("an image with a file system: none can be mounted here: mount refuses")
    subprocess.run(["umount", str(target)], check=True)
    return live


def definition(live: Live, name: str) -> str:
    """A pool on it."""
    source = f"<source><device path='{live.source}'/><format type='{live.format or 'auto'}'/></source>"
    return f"<pool type='fs'><name>{name}</name>{source}<target><path>{live.path}</path></target></pool>"


def let_go(target: Path) -> None:
    """Unmount it, should it be mounted."""
    subprocess.run(["umount", "-q", str(target)], check=False, capture_output=True)
