"""Kernel modules: which files a wish needs, and in which order they load.

A kernel package carries no ``modules.dep`` (``depmod`` writes it at
installation), so the order comes from what each module says of itself.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_DEPENDS: Final = re.compile(rb"\0depends=([^\0]*)\0")
_SUFFIXES: Final = (".ko", ".ko.xz", ".ko.zst")


class Module(NamedTuple):
    """A module as it lies in the guest: its name and its uncompressed bytes."""

    name: str
    data: bytes


def spelled(name: str) -> str:
    """A module's one spelling: ``virtio-rng`` and ``virtio_rng`` are the same module."""
    return name.replace("-", "_")


def in_order(tree: Path, wanted: Iterable[str]) -> Iterator[Module]:
    """The wanted modules and what they depend on, each once and after what it needs.

    A wish that the kernel has built in, or does not have at all, is left out.

    :param tree: the folder with the kernel's modules, ``lib/modules/<release>``
    """
    files = {spelled(path.name.split(".")[0]): path for path in tree.rglob("*.ko*") if path.name.endswith(_SUFFIXES)}
    done: set[str] = set()

    def load(name: str) -> Iterator[Module]:
        if name in done or name not in files:
            return
        done.add(name)
        data = _plain(files[name])
        for needed in _depends(data):
            yield from load(needed)
        yield Module(name, data)

    for name in wanted:
        yield from load(spelled(name))


def _depends(data: bytes) -> list[str]:
    found = _DEPENDS.search(data)
    return [spelled(name) for name in found[1].decode().split(",") if name] if found else []


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        tool = shutil.which("zstd") or "zstd"
        return subprocess.run([tool, "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data
