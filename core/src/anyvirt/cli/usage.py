"""Wrong usage that Typer cannot see: exit status 2."""

from __future__ import annotations

from anyvirt.errors import Invalid


class Usage(Invalid):
    """The words on the command line do not fit together."""
