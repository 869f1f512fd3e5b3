"""What the shell is told while a command line is being typed."""

from __future__ import annotations

from typing import Any, Final

LIMIT: Final = 2.0


def names(kind: str, ctx: Any, incomplete: str) -> list[str]:
    """Names of domains, pools ... that begin so; none where the connection cannot be asked quickly.

    :param ctx: Typer's context of the line so far, for its ``-c``.
    """
    from anyvirt.errors import VirtError
    from anyvirt.opening import open as connect

    try:
        uri = ctx.params.get("_connect") or ctx.find_root().params.get("connect")
        with connect(uri or None, timeout=LIMIT) as connection:
            found = [handle.name for handle in getattr(connection, f"{kind}_list")()]
    except VirtError:
        return []
    return sorted(name for name in found if name.startswith(incomplete))
