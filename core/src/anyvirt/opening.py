"""``open`` and ``open_async``: from a URI to a connection."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from anyvirt import discovery
from anyvirt.deadline import Deadline, current, within
from anyvirt.errors import BadDriver, Unsupported, VirtError
from anyvirt.host import Host
from anyvirt.lanes import lanes
from anyvirt.session import Member, Session, Wrapper
from anyvirt.settings import Settings
from anyvirt.uri import Uri

TIMEOUT: Final = 30.0
LET_GO: Final = 5.0  # seconds that closing may take when the opening failed

if TYPE_CHECKING:
    from pathlib import Path

    from anyvirt.client._generated_async import AsyncConnection
    from anyvirt.client._generated_sync import Connection
    from anyvirt.client.link import Link


class Options(TypedDict, total=False):
    """What ``open`` takes beside the URI; it says what each is."""

    auth: Any
    readonly: bool
    timeout: float | None
    wrappers: Sequence[Wrapper | str]
    state_dir: Path | None


def open(
    uri: str | Uri | None = None,
    *,
    auth: Any = None,
    readonly: bool = False,
    timeout: float | None = TIMEOUT,
    wrappers: Sequence[Wrapper | str] = (),
    state_dir: Path | None = None,
) -> Connection:
    """Open a connection.

    :param uri: ``qemu:///session`` ...; None is ``ANYVIRT_URI``, else what is installed here.
    :param auth: an ``Auth`` or a callback that answers ``Question``s; without one, missing
        credentials raise ``AuthNeeded``.
    :param readonly: refuse changes and secrets in core; no security boundary.
    :param timeout: seconds that any call may take unless it is given its own; None for no limit.
    :param wrappers: ``around(call, proceed)`` functions for audit or timing, or names of installed ones
        (entry points of the group ``anyvirt.wrappers``), outermost first.
    :param state_dir: where definitions are kept, instead of the usual place.
    :raises Unsupported: (``connect.no-driver``) where no plug-in serves the scheme.
    :raises Unreachable: where the hypervisor does not answer.
    """
    from anyvirt.client._generated_sync import Connection

    options = Options(auth=auth, readonly=readonly, timeout=timeout, wrappers=wrappers, state_dir=state_dir)
    return Connection(session(uri, **options))


async def open_async(uri: str | Uri | None = None, **options: Unpack[Options]) -> AsyncConnection:
    """Open a connection for asyncio; as ``open`` in everything else."""
    from anyvirt.client._generated_async import AsyncConnection
    from anyvirt.client.link import settled

    work = partial(session, uri, **options)
    return AsyncConnection(await settled(lanes.start(f"open:{uri}", work, Deadline(options.get("timeout", TIMEOUT)))))


open_async.__signature__ = inspect.signature(open)  # type: ignore[attr-defined]  # for help and documentation


def reopen(kind: type[Link], uri: str, options: Mapping[str, Any]) -> Link:
    """What an unpickled connection is: a new one to the same place, with the same ``options`` of ``open``."""
    return kind(session(uri, **options))


def session(uri: str | Uri | None = None, *, settings: Settings | None = None, **options: Unpack[Options]) -> Session:
    """Find the driver, open it and its services with one host, and check them against the specs."""
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"open takes no {', '.join(sorted(unknown))}")
    settings = settings or Settings.read()
    auth, timeout, state_dir = options.get("auth"), options.get("timeout", TIMEOUT), options.get("state_dir")
    where = uri if isinstance(uri, Uri) else Uri.of(uri or default_uri(settings))
    plugin = discovery.driver(where.scheme, settings)
    host = Host(where, settings, state_dir=state_dir, timeout=timeout)
    if auth is not None:
        host.given["auth"] = auth
    deadline = Deadline(timeout)
    around = tuple(_named(one, settings) if isinstance(one, str) else one for one in options.get("wrappers", ()))
    members: list[Member] = []
    try:
        driver = lanes.call(f"open:{where}", partial(_opened, plugin, "connect_open", where, host), deadline)
        members.append(Member(plugin.name, plugin.distribution, plugin.version, driver))
        for name in getattr(driver, "services", ()):
            service = _chosen(name, where, settings)
            if service is not None:
                work = partial(_opened, service, "service_open", where, host)
                opened = lanes.call(f"open:{where}", work, deadline)
                members.append(Member(name, service.distribution, service.version, opened))
        made = Session(where, host, members, readonly=options.get("readonly", False), timeout=timeout, wrappers=around)
        if "connect_ready" in made.supports:
            _tell_ready(made, deadline)
    except BaseException:
        with suppress(VirtError):
            lanes.call(f"close:{where}", partial(_let_go, members, host), Deadline(LET_GO))
        raise
    return made


def default_uri(settings: Settings) -> str:
    """``ANYVIRT_URI``, else QEMU's where that plug-in is installed, else ``test:///default``."""
    if settings.uri:
        return settings.uri
    import os

    if discovery.one(discovery.DRIVERS, "qemu", settings) is not None:
        return "qemu:///system" if os.getuid() == 0 else "qemu:///session"
    return "test:///default"


def _let_go(members: Sequence[Member], host: Host) -> None:
    """Close what was opened before the opening failed."""
    for member in reversed(members):
        _close(member.plugin)
    host.close()


def _close(plugin: object) -> None:
    close = getattr(plugin, "connect_close", None)
    if close is not None:
        with within(Deadline(LET_GO)), suppress(Exception):  # the first error is the one to tell
            close()


def _chosen(name: str, where: Uri, settings: Settings) -> discovery.Plugin | None:
    """The plug-in of a service; None where none is installed, which is an error only for one that the URI names."""
    wanted = where.param(f"service.{name}")
    found = discovery.one(discovery.SERVICES, name, settings, distribution=wanted)
    if found is None and wanted:
        what = f"?service.{name}={wanted} (it is not installed, or has no such service)"
        raise Unsupported(where.scheme, what, hint=f"pip install {wanted}, or leave the parameter out")
    return found


def _named(name: str, settings: Settings) -> Wrapper:
    """The wrapper that a distribution offers under that name."""
    found = discovery.one(discovery.WRAPPERS, name, settings)
    if found is None:
        known = ", ".join(sorted(plugin.name for plugin in discovery.plugins(discovery.WRAPPERS, settings))) or "none"
        raise Unsupported("anyvirt", f"the wrapper {name!r}", hint=f"installed: {known}")
    wrapper: Wrapper = found.load()
    return wrapper


def _opened(plugin: discovery.Plugin, opener: str, where: Uri, host: Host) -> Any:
    function = getattr(plugin.load(), opener, None)
    if not callable(function):
        raise BadDriver(plugin.distribution, f"{plugin.value} has no {opener}(uri, host)", version=plugin.version)
    names = list(inspect.signature(function).parameters)
    if not set(names) <= {"uri", "host"}:
        text = f"{opener}{inspect.signature(function)}: its parameters are uri and host"
        raise BadDriver(plugin.distribution, text, version=plugin.version)
    given = {"uri": where, "host": host}
    try:
        made = function(**{name: given[name] for name in names})
    except VirtError:
        raise
    except Exception as error:
        text = f"{opener} raised {type(error).__name__}: {error}"
        raise BadDriver(plugin.distribution, text, version=plugin.version) from error
    try:
        current().check(f"opening {where}")
    except VirtError:
        _close(made)  # nobody waits for it any more
        raise
    return made


def _tell_ready(made: Session, deadline: Deadline) -> None:
    from anyvirt.client._generated_sync import Connection

    calls = Connection(made.inner())
    with within(deadline):
        for answer in made.call("connect_ready", {"calls": calls}).values():
            answer.get()
