"""A driver that is not installed, as a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyvirt.client._generated_sync import Connection
from anyvirt.host import Host
from anyvirt.jobs import MemoryBook
from anyvirt.session import Member, Session, Wrapper
from anyvirt.settings import Settings
from anyvirt.uri import Uri


def host(uri: str | Uri, **given: Any) -> Host:
    """A ``Host`` for ``connect_open`` that reaches what is given: ``run=recorded("FILE")``, ``files=``, ``auth=``."""
    where = uri if isinstance(uri, Uri) else Uri.of(uri)
    made = Host(where, Settings(), given=given)
    made.jobs = MemoryBook()
    return made


def connected(
    driver: object,
    uri: str | Uri = "driver:///",
    *,
    services: Sequence[tuple[str, object]] = (),
    readonly: bool = False,
    timeout: float | None = 30.0,
    wrappers: Sequence[Wrapper] = (),
    on: Host | None = None,
) -> Connection:
    """A connection over a driver's session object, without entry points.

    :param services: name and session object of each service beside it.
    :param on: the host that ``connect_open`` was given.
    :raises BadDriver: where a hook does not fit its spec.
    """
    where = uri if isinstance(uri, Uri) else Uri.of(uri)
    objects = [(where.scheme, driver), *services]
    members = [Member(name, f"{name} under test", "0", plugin) for name, plugin in objects]
    return Connection(Session(where, on or host(where), members, readonly=readonly, timeout=timeout, wrappers=wrappers))
