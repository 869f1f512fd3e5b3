"""The CPU that a guest sees: model, features, enlightenments, topology, processors that are plugged late."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Clock, CpuSpec, Domain, Features, HyperV, KvmFeatures, Timer, Topology, meaningless, plain

from anyvirt_qemu.devices.features import X86
from anyvirt_qemu.planning.build import Build

VENDOR: Final = re.compile(r"[A-Za-z0-9 ._!*-]{1,12}", re.ASCII)
FLAGS: Final = {"force": "on", "require": "on", "optional": "on", "disable": "off", "forbid": "off"}
HYPERV: Final = (
    "relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "reset", "frequencies",
    "reenlightenment", "tlbflush", "ipi", "evmcs", "avic",
)  # fmt: skip
WORDS_WITHOUT_KVM: Final = ("pmu=", "kvm=")
ADDRESS_BITS: Final = range(32, 65)


def cpu(b: Build, domain: Domain, features: Features, clock: Clock) -> None:
    """Model and number of the guest's CPUs."""
    spec = domain.cpu
    model, words = _model(b, spec)
    words += _enlightened(b, features)
    for timer in clock.timers:
        words += _timer(b, timer)
    if any(panic.model == "hyperv" for panic in domain.panics):
        words.append("hv-crash")
    if not model and (words or b.caps.arch in X86):
        model = b.machine.cpu or ("qemu64" if b.caps.arch in X86 else "max")
    if model:
        b.option("-cpu", ",".join([model, *words]))
    _topology(b, domain, spec, model)


def _model(b: Build, cpu: CpuSpec | None) -> tuple[str, list[str]]:
    if cpu is None:
        return "", []
    meaningless(cpu, "match", "check", "model_fallback", "vendor")
    words: list[str] = []
    mode = cpu.mode or ("custom" if cpu.model else None)
    if mode is None:
        return "", _words(b, cpu)
    if mode == "host-model" and b.caps.arch not in X86 and b.accelerator != "kvm":
        return _emulated(b, cpu), words + _words(b, cpu)
    if mode == "host-model":
        text = "QEMU tells of no model that is like this host's CPU"
        b.refuse(cpu, "mode", "use host-passthrough, maximum or custom with a model", text=text)
        return "", words
    if mode == "custom":
        model = b.token(cpu, "model", cpu.model or "")
        if not b.caps.has_cpu(model):
            text = f"this QEMU ({b.caps.binary}) has no CPU model {model}"
            b.refuse(cpu, "model", b.caps.near("cpu", model), text=text)
    else:
        passed = mode == "host-passthrough" and b.accelerator == "kvm"
        model = "host" if passed else "max" if b.caps.has_cpu("max") else b.machine.cpu or "max"
        if mode == "host-passthrough" and b.accelerator != "kvm":
            b.warnings.append("CPU host-passthrough needs KVM; the guest gets the best emulated CPU instead")
        if cpu.migratable is not None and b.accelerator == "kvm":
            words.append(f"migratable={_onoff(cpu.migratable)}")
        meaningless(cpu, "migratable", "model")
    return model, words + _words(b, cpu)


def _emulated(b: Build, cpu: CpuSpec) -> str:
    """A CPU for guests of another architecture than the host's, which has none that they could be given."""
    meaningless(cpu, "model", "migratable")
    b.warnings.append("CPU host-model needs KVM; the guest gets the best emulated CPU instead")
    return "max" if b.caps.has_cpu("max") else b.machine.cpu or "max"


def _words(b: Build, cpu: CpuSpec) -> list[str]:
    words: list[str] = []
    if cpu.model_vendor_id is not None:
        if not VENDOR.fullmatch(cpu.model_vendor_id):
            b.problem(cpu, "model_vendor_id", "a vendor has 12 plain characters", "such as GenuineIntel")
        else:
            words.append(f"vendor={cpu.model_vendor_id}")
    words += _width(b, cpu)
    for feature in cpu.features:
        flag = FLAGS[feature.policy or "require"]
        words.append(f"{b.token(feature, 'name', feature.name or '')}={flag}")
    return words + _cache(b, cpu)


def _width(b: Build, cpu: CpuSpec) -> list[str]:
    bits = cpu.maxphysaddr_bits
    if cpu.maxphysaddr_mode is None:
        return []
    if bits is not None and bits not in ADDRESS_BITS:
        b.problem(cpu, "maxphysaddr_bits", f"addresses have {ADDRESS_BITS[0]} to {ADDRESS_BITS[-1]} bits", "use 40")
    if cpu.maxphysaddr_mode == "passthrough":
        if bits is not None:
            b.problem(cpu, "maxphysaddr_bits", "the width is that of the host", "use mode='emulate'")
        return ["host-phys-bits=on"]
    return [f"phys-bits={bits}", "host-phys-bits=off"] if bits is not None else ["host-phys-bits=off"]


def _cache(b: Build, cpu: CpuSpec) -> list[str]:
    """What the guest sees of caches."""
    of_host = cpu.mode in {"host-passthrough", "maximum"}
    no_host = ["host-cache-info=off"] if of_host else []
    match cpu.cache_mode:
        case None:
            return []
        case "emulate":
            if cpu.cache_level not in {None, 3}:
                b.refuse(cpu, "cache_level", "use level='3'")
            return ["l3-cache=on", *no_host]
        case "passthrough":
            if not of_host:
                b.refuse(cpu, "cache_mode", "use it with host-passthrough or maximum, or use mode='emulate'")
            return ["host-cache-info=on", "l3-cache=off"]
    meaningless(cpu, "cache_level")
    return [*no_host, "l3-cache=off"]


def _topology(b: Build, domain: Domain, cpu: CpuSpec | None, model: str) -> None:
    most = domain.vcpu or 1
    now = most if domain.vcpu_current is None else domain.vcpu_current
    if most > b.machine.max_cpus:
        b.problem(domain, "vcpu", f"{b.machine.name} has at most {b.machine.max_cpus}", "give the guest fewer")
    if not 1 <= now <= most:
        b.problem(domain, "vcpu_current", f"is outside 1..{most}", "correct one of the two")
    sockets, dies, cores, threads = most, 1, 1, 1
    topology = cpu.topology if cpu else None
    if topology is not None:
        sockets, dies = topology.sockets or 1, topology.dies or 1
        cores, threads = topology.cores or 1, topology.threads or 1
        if sockets * dies * cores * threads != most:
            product = f"{sockets} x {dies} x {cores} x {threads}"
            b.problem(topology, "", f"{product} is not {most}, the number of vCPUs", "correct the topology or <vcpu>")
        if dies > 1 and not b.caps.has_option("smp-opts", "dies"):
            text = f"-smp of this QEMU ({b.caps.binary}) has no dies"
            b.refuse(topology, "dies", "leave dies='1'", text=text)
    if b.caps.arch == "ppc64" and topology is not None:
        _whole_cores(b, domain, topology, now)
    late = _late(b, domain, most)
    first = now - len(late)
    options = {
        "maxcpus": most if first != most else None,
        "sockets": sockets,
        "dies": dies if dies > 1 else None,
        "cores": cores,
        "threads": threads,
    }
    b.options("-smp", str(first), options)
    for number in late if b.caps.arch == "s390x" else ():
        b.step("device_add", {"driver": f"{model}-s390x-cpu", "id": f"vcpu{number}", "core-id": number})
    for number in late if b.caps.arch in X86 else ():
        core, thread = divmod(number, threads)
        die, core = divmod(core, cores)
        socket, die = divmod(die, dies)
        place: dict[str, Any] = {"socket-id": socket, "core-id": core, "thread-id": thread}
        if dies > 1:
            place["die-id"] = die
        b.step("device_add", {"driver": f"{model}-{b.caps.arch}-cpu", "id": f"vcpu{number}", **place})


def _whole_cores(b: Build, domain: Domain, topology: Topology, now: int) -> None:
    """What pseries makes of threads: cores come whole, and only KVM runs several threads of one."""
    threads = topology.threads or 1
    if threads > 1 and b.accelerator == "tcg":
        b.refuse(topology, "threads", "write threads='1', and more cores", text="emulated cores have one thread")
    elif now % threads:
        b.problem(domain, "vcpu_current", f"cores of {threads} threads come whole", f"use a multiple of {threads}")


def _late(b: Build, domain: Domain, most: int) -> list[int]:
    """Processors that can be unplugged: they are plugged in before the guest runs."""
    states = sorted(plain(domain).vcpus, key=lambda x: (x.order or 0, x.id or 0))
    for x in domain.vcpus:
        meaningless(x)
        if x.id is None or x.id >= most:
            b.problem(x, "id", f"there is no CPU {x.id}", f"the guest has {most}, numbered from 0")
    late = [x.id for x in states if x.enabled and x.hotpluggable and x.id]
    if late and b.caps.arch not in {*X86, "s390x"}:
        b.refuse(domain, "vcpus", "leave out hotpluggable='yes'")
        return []
    return late


def _enlightened(b: Build, features: Features) -> list[str]:
    words: list[str] = []
    if features.apic_eoi is not None:
        words.append(f"kvm-pv-eoi={_onoff(features.apic_eoi)}")
    if features.pvspinlock is not None:
        words.append(f"kvm-pv-unhalt={_onoff(features.pvspinlock)}")
    if features.pmu is not None:
        words.append(f"pmu={_onoff(features.pmu)}")
    words += _hyperv(b, features.hyperv) if features.hyperv else []
    words += _kvm(features.kvm) if features.kvm else []
    if words and b.accelerator != "kvm":
        b.warnings.append("without KVM the guest does not see these features: " + ", ".join(words))
        return []
    return words


def _hyperv(b: Build, x: HyperV) -> list[str]:
    if x.mode == "passthrough":
        return ["hv-passthrough=on"]
    words = [f"hv-{name}=on" for name in HYPERV if getattr(x, name)]
    if x.spinlocks:
        words.append(f"hv-spinlocks={x.spinlocks_retries or 4095:#x}")
    if x.stimer_direct:
        words.append("hv-stimer-direct=on")
    if x.vendor_id:
        value = x.vendor_id_value or ""
        if not VENDOR.fullmatch(value):
            b.problem(x, "vendor_id_value", "a vendor has 12 plain characters at most", "choose another")
        else:
            words.append(f"hv-vendor-id={value}")
    meaningless(x, "spinlocks_retries", "vendor_id_value")
    return words


def _kvm(x: KvmFeatures) -> list[str]:
    words = ["kvm=off"] if x.hidden else []
    if x.hint_dedicated:
        words.append("kvm-hint-dedicated=on")
    if x.poll_control is not None:
        words.append(f"kvm-poll-control={_onoff(x.poll_control)}")
    if x.pv_ipi is not None:
        words.append(f"kvm-pv-ipi={_onoff(x.pv_ipi)}")
    return words


def _timer(b: Build, x: Timer) -> list[str]:
    if x.name == "tsc" and x.frequency:
        return [f"tsc-frequency={x.frequency}"]
    if b.accelerator != "kvm":
        return []
    if x.name == "kvmclock" and x.present is not None:
        return [f"kvmclock={_onoff(x.present)}"]
    if x.name == "hypervclock" and x.present:
        return ["hv-time=on"]
    if x.name == "armvtimer" and x.tickpolicy == "discard":
        return ["kvm-no-adjvtime=on"]
    return []


def _onoff(value: bool) -> str:
    return "on" if value else "off"
