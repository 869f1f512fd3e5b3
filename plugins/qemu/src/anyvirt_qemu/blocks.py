"""How large an image is, in three meanings: what its guest sees, what it occupies, where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyvirt.api import VirtError

from anyvirt_qemu import image


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes; None where it is not known.

    :param capacity: what the guest can see.
    :param allocation: what the image occupies, as ``du``; of one on a block device, see ``running``.
    :param physical: its last offset, as ``ls``; the device's size for a block device.
    """

    capacity: int | None = None
    allocation: int | None = None
    physical: int | None = None


def stopped(path: str, form: str) -> Sizes:
    """Sizes of an image that no QEMU has open, by its declared format.

    :raises VirtError: it cannot be read, or does not begin as its format does.
    """
    found = image.look(path, form)
    return Sizes(found.capacity, found.allocation, found.physical)


def running(path: str, form: str, inserted: Mapping[str, Any] | None, highest: int | None) -> Sizes:
    """Sizes of an image that a QEMU has open.

    Of a format on a block device the allocation is the highest written extent, which QEMU knows
    only since it opened it: 0 until something is written. Nothing finer than its size is known of raw devices.

    :param inserted: what ``query-block`` tells of it; None where QEMU does not answer.
    :param highest: ``wr_highest_offset`` of the node that the format stands on; None where QEMU does not answer.
    :raises VirtError: neither QEMU nor the host can tell anything.
    """
    told: Mapping[str, Any] = (inserted or {}).get("image") or {}
    virtual, actual = _size(told.get("virtual-size")), _size(told.get("actual-size"))
    try:
        outside = image.look(path, form if virtual is None else "raw")
    except VirtError:
        if virtual is None:
            raise
        return Sizes(virtual, actual)  # removed under the guest, or not for us to read
    seen = outside.capacity if virtual is None else virtual
    if not outside.block or form == "raw":
        return Sizes(seen, outside.allocation, outside.physical)
    return Sizes(seen, None if highest is None else highest or actual or 0, outside.physical)


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
