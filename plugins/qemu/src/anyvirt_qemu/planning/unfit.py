"""What does not go together on QEMU, in parts of a definition that are right one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from anyvirt.api import Domain, DriveAddress, Problem, heeded, line, path_of, plain

from anyvirt_qemu.planning.plan import Machine

MIB: Final = 1 << 20
DUPLICATE: Final = "config.duplicate"
CPUS_OF_APIC: Final = 255
PASSWORD_MAX: Final = 8
SPINS_LEAST: Final = 4095
RATES: Final = tuple(f"{kind}_{what}_sec" for kind in ("total", "read", "write") for what in ("bytes", "iops"))
VIRTIO_ONLY: Final = ("iommu", "ats", "packed", "page_per_vq", "rx_queue_size", "tx_queue_size")
QXL_ONLY: Final = ("ram", "vram64", "vgamem")


def problems(domain: Domain, machine: Machine) -> list[Problem]:
    """All of it, by path."""
    x = heeded(domain)
    q35 = machine.bus == "pcie"
    found = [_firmware(x, machine), _features(x), _processors(x, q35), _memory(x), _iommu(x, machine)]
    found += [_controllers(x, several=machine.name.startswith("pseries"))]
    found += [part for disk in x.disks for part in (_disk(disk), _limits(disk))]
    found += [_card(card) for card in x.interfaces]
    found += [_screens(x), _videos(x), _others(x)]
    return [problem for part in found for problem in part]


def _told(x: Any, field: str, text: str, hint: str, code: str = "config.conflict") -> Problem:
    return Problem(code, path_of(x, field), line(x, field), text, hint)


def _firmware(x: Any, machine: Machine) -> Iterator[Problem]:
    os = x.os
    if os is None:
        return
    if os.firmware is None and os.firmware_features:
        text = "features are for firmware that is chosen automatically"
        yield _told(os.firmware_features[0], "name", text, "write <os firmware='efi'>, or take them out")
    if os.loader_secure and os.firmware is None and os.arch in {"x86_64", "i686", None}:
        smm = x.features.smm if x.features is not None else None
        if not machine.name.startswith("pc-q35"):
            yield _told(os, "loader_secure", "secure boot needs machine type q35", "choose it, or take secure out")
        elif smm != "on" and smm is not True:
            hint = "write <features><smm state='on'/>"
            yield _told(os, "loader_secure", "secure boot needs system management mode, which is off", hint)


def _features(x: Any) -> Iterator[Problem]:
    features = x.features
    if features is None:
        return
    if features.smm_tseg is not None and features.smm_tseg % MIB:
        yield _told(features, "smm_tseg", "it is counted in whole MiB", "such as 48 MiB", "config.range")
    if features.tcg_tb_cache is not None and x.type == "kvm":
        yield _told(features, "tcg_tb_cache", "a guest under KVM has no translated code", "take <tcg> out")
    hyperv = features.hyperv
    if hyperv is not None and hyperv.spinlocks_retries is not None and hyperv.spinlocks_retries < SPINS_LEAST:
        yield _told(hyperv, "spinlocks_retries", f"at least {SPINS_LEAST}", "raise it", "config.range")


def _processors(x: Any, q35: bool) -> Iterator[Problem]:
    cpu = x.cpu
    if cpu is not None and cpu.maxphysaddr_mode == "emulate" and cpu.maxphysaddr_bits is None:
        yield _told(cpu, "maxphysaddr_bits", "an emulated width needs its bits", "such as bits='42'", "config.missing")
    iommu = x.iommu
    wide = iommu is not None and (iommu.eim in {True, "on"} or iommu.model != "intel")
    if q35 and (x.vcpu or 1) > CPUS_OF_APIC and not wide and x.os.arch == "x86_64":
        hint = "write <iommu model='intel'><driver intremap='on' eim='on'/></iommu>, and <ioapic driver='qemu'/>"
        yield _told(x, "vcpu", f"more than {CPUS_OF_APIC} processors need an IOMMU with extended interrupt mode", hint)
    orders: set[int] = set()
    for one in x.vcpus:
        if one.id == 0 and one.enabled is False:
            yield _told(one, "enabled", "the first processor is always there", "write enabled='yes'")
        if one.id == 0 and one.hotpluggable:
            yield _told(one, "hotpluggable", "the first processor stays", "write hotpluggable='no'")
        if one.order is not None and one.order in orders:
            yield _told(one, "order", f"two processors are number {one.order}", "use another", DUPLICATE)
        orders.add(one.order or 0)


def _memory(x: Any) -> Iterator[Problem]:
    backing = x.memory_backing
    if backing is not None and (backing.hugepages or backing.pages):
        if backing.source == "anonymous":
            yield _told(backing, "source", "huge pages are not anonymous memory", "take one of the two out")
        if backing.allocation == "ondemand":
            yield _told(backing, "allocation", "huge pages are all taken at the start", "take one of the two out")
    for module in x.memory_devices:
        step = module.block
        if module.model != "virtio-mem" or not step:
            continue
        if step & (step - 1):
            yield _told(module, "block", f"{step} is no power of two", "such as 2 MiB", "config.range")
            continue
        for field in ("size", "requested"):
            if (getattr(module, field) or 0) % step:
                yield _told(module, field, f"no multiple of its block of {step >> 10} KiB", "round it", "config.range")
    tune = x.numatune
    if tune is not None:
        for node in tune.memnodes:
            if (node.mode == "restrictive") != (tune.mode == "restrictive"):
                text = "either all of the guest's memory is restrictive, or none"
                yield _told(node, "mode", text, "use one mode in <memory> and <memnode>")


def _controllers(x: Any, *, several: bool) -> Iterator[Problem]:
    """Controllers; there may be several roots."""
    cells = len(x.cpu.cells) if x.cpu is not None else 0
    for one in x.controllers:
        if one.model in {"pci-root", "pcie-root"} and one.index and not several:
            yield _told(one, "index", f"a {one.model} has index 0", "leave the index out", "config.invalid")
        target = one.target
        if target is None:
            continue
        if target.node is not None and target.node >= cells:
            text = f"the guest has no cell {target.node}"
            yield _told(target, "node", text, "add it to <cpu><numa>", "config.reference")
        for field, least, most in (("chassis_nr", 1, 255), ("chassis", 0, 255), ("bus_nr", 1, 254)):
            value = getattr(target, field)
            if value is not None and not least <= value <= most:
                yield _told(target, field, f"{value} is not in {least} to {most}", "correct it", "config.range")


def _iommu(x: Any, machine: Machine) -> Iterator[Problem]:
    iommu = x.iommu
    if iommu is None:
        return
    if iommu.model == "intel":
        remaps = iommu.intremap in {True, "on"}
        if remaps and (x.features is None or x.features.ioapic != "qemu"):
            hint = "write <features><ioapic driver='qemu'/>"
            yield _told(iommu, "intremap", "remapping of interrupts needs QEMU's I/O APIC", hint)
        if iommu.eim in {True, "on"} and not remaps:
            yield _told(iommu, "eim", "extended interrupt mode needs interrupt remapping", "say intremap='on'")
    elif iommu.model == "virtio" and machine.bus != "pcie":
        yield _told(iommu, "model", f"{machine.name} has no PCI Express", "use machine type q35", "unsupported.config")


def _disk(disk: Any) -> Iterator[Problem]:
    driver, source = disk.driver, disk.source
    if disk.bus == "sata" and disk.address is not None and not isinstance(plain(disk.address), DriveAddress):
        yield _told(disk, "address", "a disk on bus sata has an address of type drive", "leave it out")
    if disk.type == "network" and source is None:
        yield _told(disk, "source", "a disk of the network needs its place there", "name it", "config.missing")
    if source is not None and disk.type == "network" and source.startup_policy is not None:
        yield _told(source, "startup_policy", "whether it is there shows only when it is opened", "leave it out")
    if driver is not None and driver.io == "native" and driver.cache not in {"none", "directsync"}:
        yield _told(driver, "io", "native I/O goes past the host's cache", "write cache='none' or directsync")
    if driver is not None and driver.copy_on_read in {True, "on"} and disk.readonly:
        yield _told(driver, "copy_on_read", "a disk that is read-only keeps no copies", "take one of the two out")
    seen: Counter[Any] = Counter()
    for label in source.seclabels if source is not None else ():
        seen[label.model] += 1
        if seen[label.model] == 2:
            yield _told(label, "model", f"a second label of {label.model or 'the usual model'}", "keep one", DUPLICATE)


def _limits(disk: Any) -> Iterator[Problem]:
    tune = disk.iotune
    for name in RATES if tune is not None else ():
        if getattr(tune, f"{name}_max") and not getattr(tune, name):
            text = f"a burst stands above a lasting rate, and {name} is not there"
            yield _told(tune, f"{name}_max", text, f"give {name}, too", "config.missing")
        if getattr(tune, f"{name}_max_length") and not getattr(tune, f"{name}_max"):
            text = f"how long a burst lasts, and {name}_max is not there"
            yield _told(tune, f"{name}_max_length", text, f"give {name}_max, too", "config.missing")


def _card(card: Any) -> Iterator[Problem]:
    driver = card.driver
    virtio = str(card.model or "").startswith("virtio")
    for field in VIRTIO_ONLY if driver is not None else ():
        value = getattr(driver, field)
        if value is not None and not virtio and card.model is not None:
            yield _told(driver, field, f"only virtio cards have this, and this is {card.model}", "take it out")
        elif field.endswith("_size") and value and value & (value - 1):
            yield _told(driver, field, f"{value} is no power of two", "such as 256 or 1024", "config.range")
    families: Counter[str] = Counter()
    for ip in card.ips if card.type == "user" else ():
        family = str(ip.family or ("ipv6" if ":" in (ip.address or "") else "ipv4"))
        families[family] += 1
        if families[family] == 2:
            yield _told(ip, "address", f"the network of this card has one address of {family}", "keep one", DUPLICATE)


def _screens(x: Any) -> Iterator[Problem]:
    spices = [screen for screen in x.graphics if screen.type == "spice"]
    for screen in spices[1:]:
        yield _told(screen, "type", "QEMU has one spice server", "keep one", DUPLICATE)
    for screen in x.graphics:
        if screen.type == "vnc" and len(screen.passwd or "") > PASSWORD_MAX:
            text = f"VNC looks at {PASSWORD_MAX} characters of a password, and this has {len(screen.passwd)}"
            yield _told(screen, "passwd", text, "use a shorter one", "config.range")


def _videos(x: Any) -> Iterator[Problem]:
    for card in x.videos:
        for field in QXL_ONLY:
            if getattr(card, field) is not None and card.model not in {"qxl", None}:
                yield _told(card, field, f"only qxl has this, and this is {card.model}", "take it out")
        for field in ("vram", "vgamem") if card.model in {"vga", "bochs", "qxl"} else ():
            value = getattr(card, field)
            if value is not None and value < MIB and (field == "vgamem" or card.model != "qxl"):
                yield _told(card, field, "less than 1 MiB", "give it at least 1024 KiB", "config.range")
            elif field == "vgamem" and value and value & (value - 1):
                yield _told(card, field, f"{value >> 10} KiB are no power of two", "such as 16384", "config.range")


def _others(x: Any) -> Iterator[Problem]:
    for field, name in (("panics", "model"), ("tpms", "model")):
        seen: Counter[Any] = Counter()
        for one in getattr(x, field):
            kind = one.model if field == "panics" else one.model == "spapr-tpm-proxy"
            seen[kind] += 1
            if seen[kind] == 2:
                yield _told(one, name, "a guest has one of these at most", "keep one", DUPLICATE)
    for tpm in x.tpms:
        if tpm.model == "tpm-crb" and tpm.version == "1.2":
            yield _told(tpm, "version", "tpm-crb is an interface of TPM 2.0", "use tpm-tis, or version 2.0")
    for part in x.shmems:
        if part.size is not None and part.size < MIB:
            yield _told(part, "size", "less than 1 MiB", "give it at least 1 MiB", "config.range")
    for device in x.hostdevs:
        if getattr(device, "ramfb", None) in {True, "on"} and getattr(device, "display", None) not in {True, "on"}:
            yield _told(device, "ramfb", "a frame buffer for a device without a screen", "write display='on'")
    launch = x.launch_security
    if launch is not None and getattr(launch, "type", "sev") == "sev" and getattr(launch, "policy", 0) is None:
        yield _told(launch, "policy", "the policy is missing", "such as 0x0001", "config.missing")
