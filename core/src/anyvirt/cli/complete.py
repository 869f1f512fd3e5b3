"""What the shell is told while a command line is being typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Connection, Pool

LIMIT: Final = 2.0


def names(kind: str, ctx: Any, incomplete: str) -> list[str]:
    """Names of domains, pools, volumes ... that begin so; none where the connection cannot be asked quickly.

    :param ctx: Typer's context of the line so far, for its ``-c``.
    """
    from anyvirt.errors import VirtError
    from anyvirt.opening import open as connect

    try:
        uri = ctx.params.get("_connect") or ctx.find_root().params.get("connect")
        with connect(uri or None, timeout=LIMIT) as connection:
            if kind == "volume":
                pool = ctx.params.get("pool")
                found = [handle.name for one in _pools(connection, pool) for handle in one.volumes()]
            else:
                found = [str(handle.ref) for handle in getattr(connection, f"{kind}_list")()]
    except VirtError:
        return []
    return sorted(name for name in found if name.startswith(incomplete))


def _pools(connection: Connection, name: str | None) -> list[Pool]:
    """The pool that the line names so far, or every active one."""
    if name:
        return [connection.lookup_pool(name)]
    handles = {handle.ref: handle for handle in connection.pool_list()}
    infos = connection.pool_info(list(handles))
    return [handle for ref, handle in handles.items() if (info := infos[ref].value) is not None and info.active]
