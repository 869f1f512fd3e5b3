"""Everything that is no device: machine, CPU, memory, clock, what is booted, what happens at the end."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Clock, CpuSpec, Domain, Features, HyperV, KvmFeatures, Os, Timer, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.plan import CopyUse

VENDOR: Final = re.compile(r"[A-Za-z0-9 ._!*-]{1,12}", re.ASCII)
FLAGS: Final = {"force": "on", "require": "on", "disable": "off", "forbid": "off"}
HYPERV: Final = (
    "relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "reset", "frequencies",
    "reenlightenment", "tlbflush", "ipi", "evmcs", "avic",
)  # fmt: skip
REBOOT: Final = {"restart": "reset", "destroy": "shutdown"}
PANIC: Final = {"destroy": "shutdown", "preserve": "pause", "restart": "pause"}
ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)
MIB: Final = 1 << 20


def machine(b: Build, domain: Domain, action: str | None) -> None:
    """All options that are no device.

    :param action: what watchdogs do.
    """
    features = domain.features or Features()
    options: dict[str, Any] = {
        "type": b.machine.name,
        "accel": b.accelerator,
        "usb": False,
        "dump-guest-core": bool(domain.memory_dump_core),
        "vmport": features.vmport,
        "smm": features.smm,
        "acpi": None if features.acpi else False,
        "kernel_irqchip": {"qemu": "split", "kvm": "on"}.get(features.ioapic or "") if b.accelerator == "kvm" else None,
    }
    meaningless(features, "apic", "pae", "ioapic")
    if features.smm_tseg is not None:
        b.option("-global", f"mch.extended-tseg-mbytes={features.smm_tseg // MIB}")
    clock = domain.clock or Clock()
    for timer in clock.timers:
        if timer.name == "hpet":
            options["hpet"] = timer.present is not False
    options |= _firmware(b, domain)
    b.options("-machine", "", options)
    _cpu(b, domain, features, clock)
    _memory(b, domain)
    _clock(b, clock)
    _actions(b, domain, action)
    _boot(b, domain.os or Os())
    if features.vmcoreinfo:
        b.device({"driver": b.has(features, "vmcoreinfo", "vmcoreinfo"), "id": "vmcoreinfo0"})


def _firmware(b: Build, domain: Domain) -> dict[str, Any]:
    os = domain.os or Os()
    if os.firmware is not None and os.firmware != "bios":
        b.refuse(os, "firmware", "name the files in <loader> and <nvram>")
    if os.loader is None:
        meaningless(os, "loader_readonly", "loader_type")
        return {}
    loader = b.path(os, "loader", os.loader)
    if os.loader_type in {None, "rom"}:
        b.text("-bios", loader)
        return {}
    b.blockdev(
        {
            "driver": "file",
            "node-name": "pflash0-proto",
            "filename": loader,
            "read-only": True,
            "auto-read-only": True,
            "discard": "unmap",
        }
    )
    b.blockdev({"driver": "raw", "node-name": "pflash0", "file": "pflash0-proto", "read-only": True})
    if os.loader_readonly is False:
        b.refuse(os, "loader_readonly", "firmware is shared and stays as it is; write readonly='yes'")
    if os.loader_secure:
        b.option("-global", "driver=cfi.pflash01,property=secure,value=on")
    if os.loader_stateless:
        return {"pflash0": "pflash0"}
    return {"pflash0": "pflash0", "pflash1": _variables(b, domain, os)}


def _variables(b: Build, domain: Domain, os: Os) -> str:
    """The guest's own copy of the firmware's variables."""
    if os.nvram_source is not None and os.nvram_type in {None, "file"}:
        path = b.path(os.nvram_source, "file", os.nvram_source.file)
    elif os.nvram:
        path = b.path(os, "nvram", os.nvram)
    else:
        path = f"{b.paths.nvram}/{domain.uuid}.fd"
    meaningless(os, "nvram", "nvram_type")
    if os.nvram_template is not None:
        b.copies.append(CopyUse(b.path(os, "nvram_template", os.nvram_template), path))
    b.blockdev({"driver": "file", "node-name": "pflash1-proto", "filename": path, "auto-read-only": True})
    b.blockdev({"driver": "raw", "node-name": "pflash1", "file": "pflash1-proto", "read-only": False})
    return "pflash1"


def _boot(b: Build, os: Os) -> None:
    meaningless(os, "type", "arch", "machine")
    options: dict[str, Any] = {"strict": True}
    if os.bootmenu is not None:
        options["menu"] = os.bootmenu
        options["splash-time"] = os.bootmenu_timeout
    if os.bios_reboot_timeout is not None:
        options["reboot-timeout"] = os.bios_reboot_timeout
    b.options("-boot", "", options)
    if os.bios_useserial:
        b.device({"driver": b.has(os, "bios_useserial", "sga"), "id": "sga0"})
    if os.smbios not in {None, "emulate"}:
        b.refuse(os, "smbios", "use emulate")
    if os.kernel:
        b.text("-kernel", b.path(os, "kernel", os.kernel))
        if os.initrd:
            b.text("-initrd", b.path(os, "initrd", os.initrd))
        if os.cmdline:
            b.text("-append", os.cmdline)
        if os.dtb:
            b.text("-dtb", b.path(os, "dtb", os.dtb))
    elif os.cmdline or os.initrd:
        b.problem(
            os, "cmdline" if os.cmdline else "initrd", "there is no <kernel> that it belongs to", "name the kernel"
        )


def _cpu(b: Build, domain: Domain, features: Features, clock: Clock) -> None:
    cpu = domain.cpu
    model, words = _model(b, cpu)
    words += _enlightened(b, features)
    for timer in clock.timers:
        words += _cpu_timer(b, timer)
    if any(panic.model == "hyperv" for panic in domain.panics):
        words.append("hv-crash")
    if not model and words:
        model = "qemu64" if b.caps.arch == "x86_64" else "max"
    if model:
        b.option("-cpu", ",".join([model, *words]))
    _topology(b, domain, cpu)


def _model(b: Build, cpu: CpuSpec | None) -> tuple[str, list[str]]:
    if cpu is None:
        return "", []
    meaningless(cpu, "match", "check", "model_fallback", "vendor")
    words: list[str] = []
    mode = cpu.mode or ("custom" if cpu.model else None)
    if mode is None:
        return "", words
    if mode == "host-model":
        b.refuse(cpu, "mode", "use host-passthrough, maximum or custom with a model")
        return "", words
    if mode == "custom":
        model = b.token(cpu, "model", cpu.model or "")
        if not b.caps.has_cpu(model):
            b.refuse(cpu, "model", "anyvirt host capabilities lists those there are", text=f"no CPU model {model}")
    else:
        model = "host" if mode == "host-passthrough" and b.accelerator == "kvm" else "max"
        if mode == "host-passthrough" and b.accelerator != "kvm":
            b.warnings.append("CPU host-passthrough needs KVM; the guest gets the best emulated CPU instead")
        if cpu.migratable is not None and b.accelerator == "kvm":
            words.append(f"migratable={'on' if cpu.migratable else 'off'}")
        meaningless(cpu, "migratable")
    return model, words + _cpu_words(b, cpu)


def _cpu_words(b: Build, cpu: CpuSpec) -> list[str]:
    words: list[str] = []
    if cpu.model_vendor_id is not None:
        if not VENDOR.fullmatch(cpu.model_vendor_id):
            b.problem(cpu, "model_vendor_id", "a vendor has 12 plain characters", "such as GenuineIntel")
        else:
            words.append(f"vendor={cpu.model_vendor_id}")
    if cpu.maxphysaddr_mode == "passthrough":
        words.append("host-phys-bits=on")
    elif cpu.maxphysaddr_bits is not None:
        words.append(f"phys-bits={cpu.maxphysaddr_bits}")
    for feature in cpu.features:
        flag = FLAGS.get(feature.policy or "require")
        if flag is None:
            b.refuse(feature, "policy", "use force, require, disable or forbid")
        words.append(f"{b.token(feature, 'name', feature.name or '')}={flag}")
    return words


def _topology(b: Build, domain: Domain, cpu: CpuSpec | None) -> None:
    most = domain.vcpu or 1
    now = most if domain.vcpu_current is None else domain.vcpu_current
    if most > b.machine.max_cpus:
        b.problem(domain, "vcpu", f"{b.machine.name} has at most {b.machine.max_cpus}", "give the guest fewer")
    if not 1 <= now <= most:
        b.problem(domain, "vcpu_current", f"is outside 1..{most}", "correct one of the two")
    if domain.vcpu_placement == "auto":
        b.refuse(domain, "vcpu_placement", "use static")
    options: dict[str, Any] = {"maxcpus": most if now != most else None}
    topology = cpu.topology if cpu else None
    if topology is not None:
        sockets, cores = topology.sockets or 1, topology.cores or 1
        dies, threads = topology.dies or 1, topology.threads or 1
        if sockets * dies * cores * threads != most:
            product = f"{sockets} x {dies} x {cores} x {threads}"
            b.problem(topology, "", f"{product} is not {most}, the number of vCPUs", "correct the topology or <vcpu>")
        options |= {"sockets": sockets, "dies": dies if dies > 1 else None, "cores": cores, "threads": threads}
    else:
        options |= {"sockets": most, "cores": 1, "threads": 1}
    b.options("-smp", str(now), options)


def _enlightened(b: Build, features: Features) -> list[str]:
    words: list[str] = []
    if features.apic_eoi is not None:
        words.append(f"kvm-pv-eoi={_onoff(features.apic_eoi)}")
    if features.pvspinlock is not None:
        words.append(f"kvm-pv-unhalt={_onoff(features.pvspinlock)}")
    if features.pmu is not None:
        words.append(f"pmu={_onoff(features.pmu)}")
    words += _hyperv(b, features.hyperv) if features.hyperv else []
    words += _kvm(b, features.kvm) if features.kvm else []
    if words and b.accelerator != "kvm":
        b.warnings.append("without KVM the guest does not see these features: " + ", ".join(words))
        return []
    return words


def _hyperv(b: Build, x: HyperV) -> list[str]:
    if x.mode == "passthrough":
        return ["hv-passthrough"]
    words = [f"hv-{name}" for name in HYPERV if getattr(x, name)]
    if x.spinlocks:
        words.append(f"hv-spinlocks={x.spinlocks_retries or 4095:#x}")
    if x.stimer_direct:
        words.append("hv-stimer-direct")
    if x.vendor_id:
        value = x.vendor_id_value or ""
        if not VENDOR.fullmatch(value):
            b.problem(x, "vendor_id_value", "a vendor has 12 plain characters at most", "choose another")
        else:
            words.append(f"hv-vendor-id={value}")
    meaningless(x, "spinlocks_retries", "vendor_id_value")
    return words


def _kvm(b: Build, x: KvmFeatures) -> list[str]:
    words = ["kvm=off"] if x.hidden else []
    if x.hint_dedicated:
        words.append("kvm-hint-dedicated=on")
    if x.poll_control is not None:
        words.append(f"kvm-poll-control={_onoff(x.poll_control)}")
    if x.pv_ipi is not None:
        words.append(f"kvm-pv-ipi={_onoff(x.pv_ipi)}")
    if x.dirty_ring:
        b.refuse(x, "dirty_ring", "leave it out")
    return words


def _onoff(value: bool) -> str:
    return "on" if value else "off"


def _memory(b: Build, domain: Domain) -> None:
    size = domain.memory
    if not size:
        b.problem(domain, "memory", "the guest has no memory", "write <memory unit='MiB'>512</memory>")
        return
    size = -(-size // MIB) * MIB
    b.options("-m", "", {"size": f"{size >> 10}k"})
    now = domain.current_memory
    if now is not None and now < (domain.memory or 0):
        if domain.memballoon is None or domain.memballoon.model == "none":
            b.problem(domain, "current_memory", "without a balloon the guest keeps all memory", "make both sizes equal")
        else:
            b.step("balloon", {"value": now})


def _clock(b: Build, x: Clock) -> None:
    options: dict[str, Any] = {"base": "utc"}
    match x.offset or "utc":
        case "utc":
            if x.adjustment not in {None, "reset"}:
                b.refuse(x, "adjustment", "use offset='variable'")
        case "localtime":
            options["base"] = "localtime"
            meaningless(x, "adjustment")
        case "timezone":
            options["base"] = "localtime"
            if not ZONE.fullmatch(x.timezone or ""):
                b.problem(x, "timezone", f"{x.timezone!r} is no time zone", "write it as Europe/Paris")
            b.env["TZ"] = x.timezone or "UTC"
        case "variable":
            options["base"] = _variable(b, x)
        case "absolute":
            options["base"] = _instant(x.start or 0)
    for timer in x.timers:
        _timer(b, timer, options)
    b.options("-rtc", "", options)


def _variable(b: Build, x: Clock) -> str:
    seconds = x.adjustment or 0
    if not isinstance(seconds, int) or abs(seconds) >= 10**12:
        b.problem(x, "adjustment", f"{seconds!r} is no number of seconds", "write a number")
        return "utc"
    if x.basis == "localtime":
        b.refuse(x, "basis", "use utc")
    return _instant(b.now + seconds) if seconds else "utc"


def _instant(seconds: int) -> str:
    from datetime import UTC, datetime, timedelta

    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=max(-(2**34), min(seconds, 2**37)))
    return instant.strftime("%Y-%m-%dT%H:%M:%S")


def _timer(b: Build, x: Timer, rtc: dict[str, Any]) -> None:
    match x.name:
        case "rtc":
            policy = x.tickpolicy
            if policy == "catchup":
                rtc["driftfix"] = "slew"
            elif policy not in {None, "delay"}:
                b.refuse(x, "tickpolicy", "use catchup or delay")
            if x.track in {"guest", "wall", "realtime"}:
                rtc["clock"] = {"guest": "vm", "wall": "host", "realtime": "rt"}[x.track]
            meaningless(x, "present")
        case "pit":
            if b.accelerator == "kvm" and x.tickpolicy in {"delay", "discard"}:
                b.option("-global", f"kvm-pit.lost_tick_policy={x.tickpolicy}")
            elif x.tickpolicy not in {None, "delay", "discard"}:
                b.refuse(x, "tickpolicy", "use delay or discard")
            meaningless(x, "present")
        case "hpet" | "kvmclock" | "hypervclock":
            meaningless(x, "present")
        case "tsc":
            meaningless(x, "present", "frequency")
        case _:
            b.refuse(x, "name", "use rtc, pit, hpet, tsc, kvmclock or hypervclock")


def _cpu_timer(b: Build, x: Timer) -> list[str]:
    if x.name == "tsc" and x.frequency:
        return [f"tsc-frequency={x.frequency}"]
    if b.accelerator != "kvm":
        return []
    if x.name == "kvmclock" and x.present is not None:
        return [f"kvmclock={_onoff(x.present)}"]
    if x.name == "hypervclock" and x.present:
        return ["hv-time"]
    return []


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
    chip = "ICH9-LPC" if b.machine.bus == "pcie" else "PIIX4_PM"
    if domain.suspend_to_mem is not None:
        b.option("-global", f"{chip}.disable_s3={int(not domain.suspend_to_mem)}")
    if domain.suspend_to_disk is not None:
        b.option("-global", f"{chip}.disable_s4={int(not domain.suspend_to_disk)}")
