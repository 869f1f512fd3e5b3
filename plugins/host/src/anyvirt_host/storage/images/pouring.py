"""Putting the content of a volume into another one that QEMU reaches by a node of its block layer."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.imaging import FROM
from anyvirt_host.storage.images.sealing import objects

if TYPE_CHECKING:
    from anyvirt.api import Progress, Run

    from anyvirt_host.storage.images.origin import Origin


def poured(run: Run, origin: Origin, node: Mapping[str, Any], about: str) -> Generator[Progress, None, None]:
    """Copy what a guest sees of a volume to a node that holds zeros.

    :param about: the volume that it becomes, for errors.
    """
    keys = [origin.key] if origin.key else []
    words = ["convert", "-n", "--target-is-zero", *objects([FROM] if keys else []), "-O", "raw"]
    names = [origin.spec, origin.sealed("raw", node)]
    with needing("qemu-img"):
        out = yield from errand(run, "qemu-img", *words, *names, keys=keys, total=origin.capacity, about="copying")
    done(out, about)
