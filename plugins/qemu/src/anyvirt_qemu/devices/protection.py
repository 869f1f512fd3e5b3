"""Guests whose memory the host cannot read: AMD's SEV and IBM's Secure Execution."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Domain, S390Launch, SevLaunch

from anyvirt_qemu.planning.build import Build

IDENT: Final = "lsec0"
MISSING: Final = "cbitpos and reducedPhysBits are needed, and only a host with SEV can tell them"


def options(b: Build, domain: Domain) -> dict[str, Any]:
    """The object that protects the guest, and what the machine is told of it."""
    x = domain.launch_security
    if isinstance(x, SevLaunch):
        _sev(b, domain, x)
    elif isinstance(x, S390Launch):
        b.qom({"qom-type": _kind(b, domain, "s390-pv-guest"), "id": IDENT})
    else:
        return {}
    return {"confidential-guest-support": IDENT}


def _kind(b: Build, domain: Domain, name: str) -> str:
    if not b.caps.has_object(name):
        text = f"this QEMU ({b.caps.binary}) has no object {name}"
        b.refuse(domain, "launch_security", "install a QEMU that protects guests", text=text)
    return name


def _sev(b: Build, domain: Domain, x: SevLaunch) -> None:
    """Facts: QEMU's ``sev-guest`` object; what the guest's owner sent stays out of files and command lines."""
    if x.cbitpos is None or x.reduced_phys_bits is None:
        b.problem(x, "cbitpos", MISSING, "write both, as dmesg of the host or its vendor's manual has them")
    b.qom(
        {
            "qom-type": _kind(b, domain, "sev-guest"),
            "id": IDENT,
            "cbitpos": x.cbitpos,
            "reduced-phys-bits": x.reduced_phys_bits,
            "policy": x.policy,
            "handle": x.handle,
            "dh-cert-file": b.content("dh-cert", x.dh_cert.encode()) if x.dh_cert else None,
            "session-file": b.content("session", x.session.encode()) if x.session else None,
            "kernel-hashes": x.kernel_hashes,
        }
    )
