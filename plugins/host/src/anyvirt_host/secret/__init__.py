"""Secrets of a host, for its storage and every hypervisor on it; alone as ``secret:///session`` and ``secret:///system``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from anyvirt.api import Host, Invalid, Uri, impl

from anyvirt_host.secret.front import Front
from anyvirt_host.secret.known import Known

if TYPE_CHECKING:
    from anyvirt_host.secret.service import Alone
    from anyvirt_host.secret.site import Site

PATHS: Final = ("session", "system")


@impl
def connect_open(uri: Uri, host: Host) -> Alone:
    """Open the secrets of this host by themselves."""
    if uri.path not in PATHS:
        raise Invalid(f"{uri}: there are no such secrets", hint="secret:///session and secret:///system are there")
    from anyvirt_host.secret.service import Alone

    site = _site(uri, host)
    return Alone(lambda: site)


@impl
def service_open(uri: Uri, host: Host) -> Front:
    """The same secrets beside a driver, which finds their values in ``host.secrets``."""
    site = cache(lambda: _site(uri, host))
    host.secrets = Known(site)
    return Front(site)


def _site(uri: Uri, host: Host) -> Site:
    from anyvirt_host.secret.keyring import Keyring, OtherKernel  # most connections need no value of a secret
    from anyvirt_host.secret.safe import Safe
    from anyvirt_host.secret.site import Site

    if uri.far:
        far = host.far
        store = far.files("secret")
        return Site(store, far.locks, Safe(store, far.tools, far.state, OtherKernel()))
    scope = host.scope
    store = scope.files("secret")
    return Site(store, scope.locks, Safe(store, host.run, str(scope.state), Keyring()))
