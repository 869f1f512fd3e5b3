"""Hooks of formats: definitions as another program writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.model.domain import Domain


class ConfigSpec:
    """A format is a module named in the entry point group ``anyvirt.formats``, under the format's name.

    The module has one of these functions, or both. No connection is open when they are called: what they need
    stands in the document. What a format cannot say, or core's model cannot, is an error by path or line.
    """

    @spec("config", access="read", covers={"virConnectDomainXMLFromNative": ()})
    def config_import(self, data: bytes) -> Document[Domain]:
        """Read a definition of this format.

        What the document's ``notes`` say is shown to the user: what was left out, or stands for something else.

        :raises Invalid: with every problem, with lines where the format has lines.
        """

    @spec("config", access="read", covers={"virConnectDomainXMLToNative": ()})
    def config_export(self, config: Document[Domain], pretty: bool = False) -> bytes:
        """Write a definition in this format.

        :param pretty: for people to read, where the format has another way for them.
        :raises Invalid: what the format cannot say, with paths.
        """
