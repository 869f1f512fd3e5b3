"""What this host has for servers and connections of guests: certificates, free ports."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from anyvirt.api import Domain, Secrets

from anyvirt_qemu.configured import Configured
from anyvirt_qemu.planning.plan import Serving
from anyvirt_qemu.readiness import unlocking

PKI: Final = Path("/etc/pki")
AUTHORITY: Final = "ca-cert.pem"
SCREENS: Final = ("spice", "vnc")
FIRST: Final = 5900
LAST: Final = 65535
PORTS: Final = 2  # that a spice server may need


def found(
    domain: Domain,
    busy: Collection[int] | None = None,
    pki: Path = PKI,
    configured: Configured | None = None,
    secrets: Secrets | None = None,
) -> Serving:
    """What a plan for this domain may use; certificates are where the settings, libvirt or QEMU have them.

    :param busy: ports that somebody listens on; looked for on this host without it.
    :param secrets: who has what unlocks the keys of certificates, where the settings name a secret.
    """
    said = configured or Configured()
    keys = {name: str(said.of(name, "key")).encode() for name in unlocking.SERVICES if said.of(name, "key") is not None}
    kept, locked = unlocking.certificates(said, secrets)
    folders = {name: str(said.of(name, "certificates") or _folder(pki, name)) for name in unlocking.SERVICES}
    return Serving(
        certificates={name: folder for name, folder in folders.items() if folder},
        keys={**keys, **kept},
        locked=locked,
        chardev_tls=said.of("chardev", "tls", False),
        vnc_tls=said.of("vnc", "tls", False),
        vnc_sasl=said.of("vnc", "sasl", False),
        spice_sasl=said.of("spice", "sasl", False),
        sockets=frozenset(name for name in SCREENS if said.of(name, "socket", False)),
        passwords={name: said.of(name, "password") for name in SCREENS if said.of(name, "password") is not None},
        ports=_free(domain, busy),
        sandbox=said.sandbox,
        apparmor=said.apparmor,
    )


def _folder(pki: Path, service: str) -> str:
    for name in (f"libvirt-{service}", "qemu"):
        if (pki / name / AUTHORITY).is_file():
            return str(pki / name)
    return ""


def _free(domain: Domain, busy: Collection[int] | None) -> tuple[int, ...]:
    spices = [x for x in domain.graphics if x.type == "spice"]
    if not any(x.autoport or -1 in {x.port, x.tls_port} for x in spices):
        return ()
    if busy is None:
        from anyvirt_qemu.readiness.servers import listening

        busy = listening()
    taken = {*busy, *(x.port for x in domain.graphics), *(x.tls_port for x in domain.graphics)}
    free = (port for port in range(FIRST, LAST + 1) if port not in taken)
    return tuple(port for port, _ in zip(free, range(PORTS * len(spices)), strict=False))
