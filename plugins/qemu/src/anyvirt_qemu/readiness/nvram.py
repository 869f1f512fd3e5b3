"""A guest's own firmware variables: the file that its definition does not place lives with the state."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyvirt.api import Domain

    from anyvirt_qemu.site import Site


def folder(site: Site) -> Path:
    """Where variable stores that definitions do not place are kept."""
    return site.scope.folder("qemu", "nvram")


def placed(site: Site, domain: Domain) -> Domain:
    """The definition with the file of its variables named, where its firmware keeps some and nobody has placed them."""
    os = domain.os
    if os is None or os.loader is None or os.loader_type != "pflash" or os.loader_stateless:
        return domain
    if os.nvram is not None or os.nvram_source is not None:
        return domain
    return domain.replace(os=os.replace(nvram=str(folder(site) / f"{domain.uuid}.fd")))


def remove(site: Site, uuid: str) -> None:
    """Take away the guest's variables that we placed; a file that the definition names is the user's."""
    with suppress(FileNotFoundError):
        (folder(site) / f"{uuid}.fd").unlink()
