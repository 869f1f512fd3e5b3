"""Balloon, random numbers, watchdog, panic notifier, vsock, cryptography, USB hubs."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Crypto, Domain, Hub, Memballoon, Panic, Rng, Vsock, Watchdog, meaningless

from anyvirt_qemu.devices.chardev import backend
from anyvirt_qemu.devices.common import pci, tuned, usb, virtio
from anyvirt_qemu.planning.build import Build

WATCHDOG_ACTIONS: Final = {
    **{action: action for action in ("reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")},
    "dump": "pause",
}
CID_LOWEST: Final = 3
PANICS: Final = {"pseries": "ppc64", "s390": "s390x"}  # notifiers that are part of the machine


def balloon(b: Build, x: Memballoon) -> None:
    """The memory balloon."""
    if x.model == "none":
        meaningless(x, "alias")
        return
    options = virtio(b, x, "virtio-balloon", x.model) | tuned(x.driver)
    options |= {"deflate-on-oom": x.autodeflate, "free-page-reporting": x.free_page_reporting}
    b.device(options)
    if x.stats_period is not None:
        path = f"/machine/peripheral/{x.alias}"
        b.step("qom-set", {"path": path, "property": "guest-stats-polling-interval", "value": x.stats_period})


def hub(b: Build, x: Hub) -> None:
    """A USB hub with eight ports."""
    meaningless(x, "type")
    b.device({"driver": b.has(x, "", "usb-hub"), **usb(b, x), "id": x.alias})


def rng(b: Build, x: Rng) -> None:
    """A source of random numbers."""
    ident = f"obj{x.alias}"
    kind = x.backend or "random"
    if kind == "random":
        b.qom({"qom-type": "rng-random", "id": ident, "filename": b.path(x, "path", x.path or "/dev/urandom")})
    elif kind == "builtin":
        b.qom({"qom-type": "rng-builtin", "id": ident})
    elif kind == "egd":
        back = backend(b, x, "rng", x.backend_type or "unix", named="backend_type")
        b.qom({"qom-type": "rng-egd", "id": ident, "chardev": back})
    else:
        b.refuse(x, "backend", "use random, egd or builtin")
    period = None if x.rate_bytes is None else x.rate_period or 1000
    options = virtio(b, x, "virtio-rng", x.model) | tuned(x.driver)
    b.device(options | {"rng": ident, "max-bytes": x.rate_bytes, "period": period})


def expiry(b: Build, domain: Domain) -> str | None:
    """What QEMU does when a watchdog expires; None where there is none."""
    wanted = [x.action or "reset" for x in domain.watchdogs]
    for x, action in zip(domain.watchdogs, wanted, strict=True):
        if action != wanted[0]:
            b.problem(x, "action", "all watchdogs of a guest do the same", f"write {wanted[0]}")
    if "dump" in wanted:
        b.warnings.append("nobody watches over a guest, so when its watchdog expires it is paused, for a dump by hand")
    return WATCHDOG_ACTIONS[wanted[0]] if wanted else None


def watchdog(b: Build, x: Watchdog) -> None:
    """A watchdog."""
    if x.model in {None, "i6300esb"}:
        b.device({"driver": b.has(x, "model", "i6300esb"), **pci(b, x), "id": x.alias})
    elif x.model == "ib700":
        b.device({"driver": b.has(x, "model", "ib700"), "id": x.alias})
    elif x.model == "itco" and b.machine.bus == "pcie" and b.caps.arch == "x86_64":
        b.option("-global", "ICH9-LPC.noreboot=off")
    elif x.model == "diag288" and b.caps.arch == "s390x":
        b.device({"driver": b.has(x, "model", "diag288"), "id": x.alias})
    else:
        b.refuse(x, "model", "use i6300esb, ib700, itco or diag288")


def panic(b: Build, x: Panic) -> None:
    """A panic notifier."""
    if x.model in {None, "isa"}:
        meaningless(x, "model")
        port = getattr(x.address, "iobase", None)
        b.device({"driver": b.has(x, "model", "pvpanic"), "ioport": port, "id": x.alias})
    elif x.model == "pvpanic":
        b.device({"driver": b.has(x, "model", "pvpanic-pci"), **pci(b, x), "id": x.alias})
    elif x.model == "hyperv":
        return  # it is a feature of the CPU
    elif PANICS.get(x.model) == b.caps.arch:
        if x.address is not None:
            b.refuse(x, "address", "leave it out", text="the machine has it, and it has no address")
    else:
        b.refuse(x, "model", f"use isa, pvpanic, hyperv, {', '.join(PANICS)}")


def vsock(b: Build, x: Vsock) -> None:
    """Sockets between host and guest; the kernel's device is opened for QEMU."""
    if x.cid is None:
        b.problem(x, "cid", "the guest has no address", "write <cid address='3'/>, or define it again with auto='yes'")
    elif x.cid < CID_LOWEST:
        b.problem(x, "cid", f"a guest's address is {CID_LOWEST} or more", "choose another")
    meaningless(x, "cid_auto")
    options = virtio(b, x, "vhost-vsock", x.model) | tuned(x.driver)
    b.device(options | {"guest-cid": x.cid, "vhostfd": str(b.fd("open", "/dev/vhost-vsock"))})


def crypto(b: Build, x: Crypto) -> None:
    """A device that encrypts for the guest."""
    kind = f"cryptodev-backend-{x.backend or 'builtin'}"
    if not b.caps.has_object(kind):
        text = f"this QEMU ({b.caps.binary}) has no object {kind}"
        b.refuse(x, "backend", "use builtin", text=text)
    meaningless(x, "type")
    ident = f"obj{x.alias}"
    b.qom({"qom-type": kind, "id": ident, "queues": x.queues})
    b.device(virtio(b, x, "virtio-crypto", x.model) | tuned(x.driver) | {"cryptodev": ident})
