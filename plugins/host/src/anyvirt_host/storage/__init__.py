"""Pools and volumes of a host, for every hypervisor on it; alone as ``storage:///session`` and ``storage:///system``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyvirt.api import Host, Invalid, Secret, Unsupported, Uri, impl

from anyvirt_host.storage.front import Front

if TYPE_CHECKING:
    from anyvirt_host.storage.service import Alone
    from anyvirt_host.storage.site import Site

PATHS: Final = ("session", "system")


@impl
def connect_open(uri: Uri, host: Host) -> Alone:
    """Open the storage of this host by itself."""
    if uri.path not in PATHS:
        raise Invalid(f"{uri}: there is no such storage", hint="storage:///session and storage:///system are there")
    from anyvirt.api import StoreBook

    from anyvirt_host.storage.service import Alone

    site = _site(uri, host)
    host.jobs = host.far.book(site.store) if uri.far else StoreBook(site.store)
    return Alone(lambda: site)


@impl
def service_open(uri: Uri, host: Host) -> Front:
    """The same storage beside a hypervisor's driver: the same pools, under the same locks."""
    return Front(lambda: _site(uri, host))


def _site(uri: Uri, host: Host) -> Site:
    from anyvirt_host.storage.site import Site

    def secret(use: str, text: str) -> Secret:
        if host.secrets is None:
            raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
        return host.secrets.find(use, text)

    if uri.far:
        far = host.far
        return Site(far.files("storage"), far.locks, far.boot_id, far.tools, secret, far.stores)
    scope = host.scope
    caches = lambda: scope.folder("storage", run=True)  # noqa: E731 - made where it is needed
    return Site(scope.files("storage"), scope.locks, scope.boot_id, host.run, secret, scope.stores, caches)
