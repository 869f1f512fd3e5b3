"""What the shell is told while a command line is being typed."""

from __future__ import annotations

from typing import Any, Final

LIMIT: Final = 2.0


def domain_names(ctx: Any, incomplete: str) -> list[str]:
    """Names of domains that begin so; none where the connection cannot be asked quickly.

    :param ctx: Typer's context of the line so far, for its ``-c``.
    """
    from anyvirt.errors import VirtError
    from anyvirt.opening import open as connect

    try:
        with connect(ctx.find_root().params.get("connect") or None, timeout=LIMIT) as connection:
            names = [handle.name for handle in connection.domain_list()]
    except VirtError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
