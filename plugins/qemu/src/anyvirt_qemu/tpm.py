"""The state of a guest's emulated TPM: kept with the state of all guests, by UUID, as long as the guest is defined."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from anyvirt.api import Failed, NotFound

from anyvirt_qemu.site import KIND, document

if TYPE_CHECKING:
    from anyvirt_qemu.guest import Record
    from anyvirt_qemu.site import Site


def folder(site: Site, uuid: str) -> Path:
    """Where a guest's is kept, whether it has one or not; what its definition places elsewhere is not there."""
    return site.scope.state / "qemu" / "tpm" / uuid


def undefined(site: Site, uuid: str, xml: str, *, keep: bool | None) -> None:
    """Take away the state of a guest that is to be no more.

    :param keep: leave it, or not; as the definition says where it is None.
    :raises Failed: something does not go.
    """
    place = folder(site, uuid)
    if not place.exists():
        return
    if keep is None:
        keep = any(tpm.persistent_state for tpm in document(xml).model.tpms)
    if keep:
        return
    site.step("remove-tpm")
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        return
    except OSError as error:
        words = {"errno": error.errno, "text": error.strerror}
        raise Failed(f"cannot remove the state of a TPM, {place}: {error.strerror}", native=words) from error


def ended(site: Site, record: Record) -> None:
    """The same for a guest that has ended and that nobody has defined."""
    try:
        row = site.store.get(KIND, record.uuid)
    except NotFound:
        row = None
    if row is None or row.transient:
        undefined(site, record.uuid, record.xml, keep=None)
