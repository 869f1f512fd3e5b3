"""The machine itself: its options, and what happens when the guest ends, reboots, crashes or sleeps."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Clock, Domain, Features, Os

from anyvirt_qemu.devices import boot, clock, cpu, features, firmware, iommu, memory, numa, protection
from anyvirt_qemu.planning.build import Build

REBOOT: Final = {"restart": "reset", "destroy": "shutdown"}
PANIC: Final = {"destroy": "shutdown", "preserve": "pause", "restart": "pause"}


def machine(b: Build, domain: Domain, action: str | None) -> None:
    """All options that are no device.

    :param action: what watchdogs do.
    """
    switches, time = domain.features or Features(), domain.clock or Clock()
    options: dict[str, Any] = {"type": b.machine.name}
    options |= features.machine(b, switches, time) | features.keys(b, domain) | memory.options(b, domain)
    options["hmat"] = True if numa.described(domain.cpu) else None
    options |= firmware.firmware(b, domain) | {"iommu": iommu.option(domain), "loadparm": boot.loadparm(b, domain)}
    options |= protection.options(b, domain)
    b.options("-machine", "", options)
    features.accelerator(b, switches)
    cpu.cpu(b, domain, switches, time)
    memory.memory(b, domain)
    memory.iothreads(b, domain)
    numa.numa(b, domain)
    clock.clock(b, time)
    _actions(b, domain, action)
    boot.boot(b, domain, domain.os or Os())
    if switches.vmcoreinfo:
        b.device({"driver": b.has(switches, "vmcoreinfo", "vmcoreinfo"), "id": "vmcoreinfo0"})
    if domain.genid is not None:
        _generation(b, domain, domain.genid)


def _generation(b: Build, domain: Domain, ident: str) -> None:
    """The number that a guest reads to find out that it is another one now."""
    if not ident:
        b.problem(domain, "genid", "has no number yet", "define the guest again, or write a UUID")
        return
    b.device({"driver": b.has(domain, "genid", "vmgenid"), "guid": ident, "id": "vmgenid0"})


def _actions(b: Build, domain: Domain, watchdog: str | None) -> None:
    reboot = REBOOT.get(domain.on_reboot or "restart")
    if reboot is None:
        b.refuse(domain, "on_reboot", f"use {' or '.join(REBOOT)}")
    if domain.on_poweroff not in {None, "destroy"}:
        b.refuse(domain, "on_poweroff", "use destroy")
    panic = PANIC.get(domain.on_crash or "destroy")
    if panic is None:
        b.refuse(domain, "on_crash", f"use {', '.join(PANIC)}")
    if domain.on_crash == "restart":
        b.warnings.append("nobody watches over a guest, so after a crash it stays as it is until it is reset")
    options = {"reboot": reboot, "shutdown": "poweroff", "panic": panic, "watchdog": watchdog}
    b.options("-action", "", options)
    for field in ("suspend_to_mem", "suspend_to_disk"):
        if getattr(domain, field) is not None and not (b.caps.arch in features.X86 and b.machine.bus):
            b.refuse(domain, field, "take it out", text=f"{b.machine.name} leaves that to the guest")
            return
    chip = "ICH9-LPC" if b.machine.bus == "pcie" else "PIIX4_PM"
    if domain.suspend_to_mem is not None:
        b.option("-global", f"{chip}.disable_s3={int(not domain.suspend_to_mem)}")
    if domain.suspend_to_disk is not None:
        b.option("-global", f"{chip}.disable_s4={int(not domain.suspend_to_disk)}")
