"""The format ``vmware-vmx``: VMware's own files of definitions, read into definitions and written from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from anyvirt.api import Document, Domain


@impl
def config_import(data: bytes) -> Document[Domain]:
    """The definition that the text of a ``.vmx`` file stands for.

    Names of files stay relative to the folder of that file, which is not known here.
    """
    from anyvirt_esx.vmx.reading import read

    return read(data)


@impl
def config_export(config: Document[Domain]) -> bytes:
    """The text of a ``.vmx`` file."""
    from anyvirt_esx.vmx.writing import write

    return write(config.model)
