"""QEMU and KVM guests, managed without a daemon: ``qemu:///session`` and ``qemu:///system``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyvirt.api import Host, Invalid, Uri, impl

from anyvirt_qemu.distant import Distant
from anyvirt_qemu.libvirt import Import
from anyvirt_qemu.site import Site

if TYPE_CHECKING:
    from anyvirt.api import Connection

PATHS = ("session", "system")
PARAMETERS = ("authfile",)


class Qemu(Import, Distant):
    """One connection to the QEMU guests of a user, or of the machine."""

    services = ("storage", "network", "secret")

    def __init__(self, site: Site) -> None:
        self._site = site

    @impl
    def connect_ready(self, calls: Connection) -> None:
        self._site.calls = calls

    @impl
    def connect_recover(self) -> Sequence[str]:
        from anyvirt_qemu import ending

        return ending.sweep(self._site)

    @impl
    def connect_close(self) -> None:
        self._site.store.close()


@impl
def connect_open(uri: Uri, host: Host) -> Qemu:
    """Open ``qemu:///session`` (this user's guests) or ``qemu:///system`` (the machine's, for root)."""
    if uri.far:
        raise Invalid(
            f"{uri}: QEMU guests of another host are not reached yet",
            code="connect.invalid-uri",
            hint="run anyvirt there",
        )
    if uri.path not in PATHS:
        hint = "qemu:///session for this user's guests, qemu:///system for the machine's"
        raise Invalid(f"{uri} has no meaning here", code="connect.invalid-uri", hint=hint)
    for name, _ in uri.query:
        if name not in PARAMETERS and not name.startswith("service."):
            hint = f"leave it out; there are {', '.join(PARAMETERS)} and service.NAME"
            raise Invalid(f"{uri}: there is no parameter {name!r}", code="connect.invalid-uri", hint=hint)
    return Qemu(Site(uri, host))
