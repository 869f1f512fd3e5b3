"""The format ``qemu-argv``: command lines of QEMU, read into definitions and written from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from anyvirt.api import Document, Domain


@impl
def config_import(data: bytes) -> Document[Domain]:
    """The definition that a command line stands for."""
    from anyvirt_qemu.argv.reading import read

    return read(data)


@impl
def config_export(config: Document[Domain], pretty: bool) -> bytes:
    """The command line that a start of the definition takes, as far as it is known before."""
    from anyvirt_qemu.argv.writing import write

    return write(config.model, pretty=pretty)
