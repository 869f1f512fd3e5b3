"""Which programs a guest needs beside QEMU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyvirt.api import Domain


def needed(domain: Domain) -> Iterator[str]:
    """Names of the programs that a guest needs beside QEMU; ``NAME PATH`` for one that the definition places."""
    if any(tpm.type == "emulator" for tpm in domain.tpms):
        yield from ("swtpm", "swtpm_setup")
    for share in domain.filesystems:
        if share.driver is not None and share.driver.type == "virtiofs" and share.source_socket is None:
            path = share.binary.path if share.binary else None
            yield f"virtiofsd {path}" if path else "virtiofsd"
    if any(card.backend_type == "passt" for card in domain.interfaces):
        yield "passt"
    if any(card.driver is not None and card.driver.name == "vhostuser" for card in domain.videos):
        yield "vhost-user-gpu"
    sources = (disk.source for disk in domain.disks)
    if any(one is not None and one.reservations is not None and one.reservations.managed for one in sources):
        yield "qemu-pr-helper"
    if any(window.type == "dbus" and not window.p2p and not window.address for window in domain.graphics):
        yield "dbus-daemon"
