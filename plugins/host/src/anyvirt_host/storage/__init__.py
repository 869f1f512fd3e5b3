"""Pools and volumes of a host, for every hypervisor on it; alone as ``storage:///session`` and ``storage:///system``."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Host, Invalid, Secret, StoreBook, Unsupported, Uri, impl

from anyvirt_host.storage.service import Alone, Service
from anyvirt_host.storage.site import Site

PATHS: Final = ("session", "system")


@impl
def connect_open(uri: Uri, host: Host) -> Alone:
    """Open the storage of this host by itself."""
    if uri.path not in PATHS:
        raise Invalid(f"{uri}: there is no such storage", hint="storage:///session and storage:///system are there")
    site = _site(uri, host)
    host.jobs = StoreBook(site.store)
    return Alone(lambda: site)


@impl
def service_open(uri: Uri, host: Host) -> Service:
    """The same storage beside a hypervisor's driver: the same pools, under the same locks."""
    return Service(lambda: _site(uri, host))


def _site(uri: Uri, host: Host) -> Site:
    if uri.far:
        raise Unsupported(
            "storage", f"a host that is reached over {uri.transport or 'a network'}", hint=f"use {uri.path} there"
        )
    scope = host.scope

    def secret(use: str, text: str) -> Secret:
        if host.secrets is None:
            raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
        return host.secrets.find(use, text)

    return Site(scope.files("storage"), scope.locks, scope.boot_id, host.run, secret)
