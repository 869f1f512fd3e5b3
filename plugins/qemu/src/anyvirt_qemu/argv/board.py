"""The machine itself: processors, memory, firmware, clock, tables, and how it boots."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from anyvirt.api import (
    BiosEntry,
    BoardEntry,
    Cell,
    ChassisEntry,
    Clock,
    CpuFeature,
    CpuMode,
    CpuPolicy,
    CpuSpec,
    Features,
    FwCfg,
    FwCfgEntry,
    HugePage,
    HyperV,
    IoThread,
    KvmFeatures,
    Mainboard,
    MemoryBacking,
    Os,
    OsBoot,
    Panic,
    Sibling,
    Smbios,
    SystemEntry,
    Timer,
    Topology,
)

from anyvirt_qemu.argv.draft import Draft
from anyvirt_qemu.argv.draft import made as _made
from anyvirt_qemu.argv.given import Given, number, off, on, size, unreadable, words_of
from anyvirt_qemu.devices.cpu import HYPERV

UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ORDER: Final = {"a": "fd", "c": "hd", "d": "cdrom", "n": "network"}
DEFAULT_MEMORY: Final = 128 << 20
THREAD: Final = re.compile(r"iothread([1-9]\d*)")
# what anyvirt itself decides
OWN_MACHINE: Final = frozenset({"type", "usb", "dump-guest-core", "memory-backend", "accel"})
SYSTEM: Final = {"manufacturer", "product", "version", "serial", "uuid", "sku", "family"}
TABLES: Final = {
    "0": ("bios", BiosEntry, {"vendor", "version", "date", "release"}),
    "1": ("system", SystemEntry, SYSTEM),
    "2": ("base_boards", BoardEntry, {"manufacturer", "product", "version", "serial", "asset", "location"}),
    "3": ("chassis", ChassisEntry, {"manufacturer", "version", "serial", "asset", "sku"}),
}  # fmt: skip
BACKINGS: Final = {"memory-backend-ram": "anonymous", "memory-backend-memfd": "memfd", "memory-backend-file": "file"}
HV_NAMES: Final = {name.replace("_", "-"): name for name in HYPERV}


def machine(d: Draft) -> None:
    """Machine type, accelerator and what they switch."""
    d.fields["nodefaults"] = d.last("nodefaults") is not None
    if d.last("nographic") is not None:
        d.fields["nographic"] = True
    switches: dict[str, Any] = {}
    for given in d.every("machine"):
        given.done = True
        switches |= given.options
    d.machine = words_of(switches.pop("type", ""))
    _accelerator(d, switches)
    d.fields["switches"], d.fields["timers"] = _switches(d, switches), []
    if words_of(switches.get("hpet")) in {"on", "off"} or d.last("no-hpet") is not None:
        present = switches.pop("hpet", "off") == "on"
        d.fields["timers"].append(Timer(name="hpet", present=present))  # type: ignore[arg-type]
    left = {key: words_of(value) for key, value in switches.items() if key not in OWN_MACHINE}
    for key in ("kernel", "append", "initrd", "dtb", "firmware"):
        if key in left:
            d.given.append(Given({"firmware": "bios"}.get(key, key), left.pop(key), ()))
    if left:
        text = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in left.items())
        d.keep(Given("machine", text, ("-machine", text)))
    if on(switches.get("dump-guest-core")):
        d.fields["memory_dump_core"] = True
    if on(switches.get("usb")):
        d.given.append(Given("usb", "", ()))


def _accelerator(d: Draft, switches: dict[str, Any]) -> None:
    kvm = d.last("enable-kvm") is not None
    accels = str(switches.pop("accel", "")).split(":")
    for given in d.every("accel"):
        given.done = True
        accels.append(str(given.take("accel") or ""))
        ring = given.number("dirty-ring-size")
        if ring is not None:
            d.fields["ring"] = {"dirty_ring": True, "dirty_ring_size": ring}
        if given.options:
            d.note(f"left out: {', '.join(given.options)} of -accel {given.text} (the accelerator is chosen at start)")
    d.fields["type"] = "kvm" if kvm or "kvm" in accels else "qemu"


def _switches(d: Draft, switches: dict[str, Any]) -> dict[str, Any]:
    """Features that the machine is told of."""
    features: dict[str, Any] = {"acpi": True} if d.arch in {"x86_64", "i686", "aarch64"} else {}
    if d.arch in {"x86_64", "i686"}:
        features["apic"] = True
    if d.last("no-acpi") is not None or off(switches.pop("acpi", None)):
        features.pop("acpi", None)
    for key in ("smm", "vmport"):
        if on(switches.get(key)) or off(switches.get(key)):
            features[key] = on(switches.pop(key))
    chip = {"split": "qemu", "on": "kvm"}.get(str(switches.get("kernel_irqchip")))
    if chip is not None:
        features["ioapic"] = chip
        del switches["kernel_irqchip"]
    return features


def processors(d: Draft) -> None:
    """``-cpu`` and ``-smp``."""
    features: dict[str, Any] = d.fields["switches"]
    given = d.last("cpu")
    spec = _model(d, given, features) if given is not None else None
    if "ring" in d.fields:
        features["kvm"] = KvmFeatures(**d.fields.pop("ring"))
    smp = d.every("smp")
    if smp:
        wanted: dict[str, Any] = {}
        for one in smp:
            one.done = True
            wanted |= one.options
        spec = _topology(d, wanted, spec)
    if spec is not None:
        d.fields["cpu"] = spec


def _model(d: Draft, given: Given, features: dict[str, Any]) -> CpuSpec:
    name, *parts = given.text.split(",")
    modes = {"host": CpuMode.HOST_PASSTHROUGH, "max": CpuMode.MAXIMUM}
    spec = CpuSpec(mode=modes[name]) if name in modes else CpuSpec(mode=CpuMode.CUSTOM, match="exact", model=name)
    rows: list[CpuFeature] = []
    hyper: dict[str, Any] = {}
    kvm: dict[str, Any] = d.fields.pop("ring", {})
    changes: dict[str, Any] = {}
    for part in parts:
        key, sign, value = part.partition("=")
        plain = key.replace("_", "-")
        if key[:1] in {"+", "-"} and not sign:
            rows.append(_feature(key[1:], key[0] == "+"))
        elif plain == "hv-crash":
            d.add("panics", Panic(model="hyperv"))
        elif _special(d, features, kvm, hyper, plain, value if sign else "on") or _written(d, changes, plain, value):
            continue
        elif value in {"on", "off", ""}:
            rows.append(_feature(key, value != "off"))
        else:
            text = f"{name}-{d.arch}-cpu.{key}={value}"
            d.keep(Given("global", text, ("-global", text)))
    if hyper:
        features["hyperv"] = HyperV(mode=hyper.pop("mode", "custom"), **hyper)
    if kvm:
        features["kvm"] = KvmFeatures(**kvm)
    return spec.replace(features=tuple(rows), **changes)


def _special(
    d: Draft, features: dict[str, Any], kvm: dict[str, Any], hyper: dict[str, Any], key: str, value: str
) -> bool:
    """Whether it is something of KVM's or Hyper-V's that a definition has among its features."""
    if key.startswith("hv-"):
        return _enlightened(hyper, key[3:], value)
    if key == "kvm" and value == "off":
        kvm["hidden"] = True
    elif key in {"kvm-hint-dedicated", "kvm-poll-control", "kvm-pv-ipi"}:
        kvm[key.removeprefix("kvm-").replace("-", "_")] = value in {"on", ""}
    elif key == "pmu" and value in {"on", "off"}:
        features["pmu"] = value == "on"
    elif key == "kvm-pv-eoi":
        features["apic_eoi"] = value != "off"
    elif key == "kvm-pv-unhalt":
        features["pvspinlock"] = value != "off"
    elif key == "kvmclock" and value in {"on", "off"}:
        d.fields["timers"].append(Timer(name="kvmclock", present=value == "on"))  # type: ignore[arg-type]
    else:
        return False
    return True


def _feature(name: str, on: bool) -> CpuFeature:
    return CpuFeature(policy=CpuPolicy.REQUIRE if on else CpuPolicy.DISABLE, name=name)


def _enlightened(hyper: dict[str, Any], name: str, value: str) -> bool:
    """Whether an enlightenment is one that a definition has."""
    if name == "passthrough" and value == "on":
        hyper["mode"] = "passthrough"
    elif name == "spinlocks" and (count := number(value)) is not None:
        hyper |= {"spinlocks": True, "spinlocks_retries": count}
    elif name == "vendor-id":
        hyper |= {"vendor_id": True, "vendor_id_value": value}
    elif name == "stimer-direct":
        hyper["stimer_direct"] = value == "on"
    elif name in HV_NAMES and value in {"on", "off"}:
        hyper[HV_NAMES[name]] = value == "on"
    else:
        return False
    return True


def _written(d: Draft, changes: dict[str, Any], key: str, value: str) -> bool:
    """Whether a property of the CPU is one that a definition has a word for."""
    if key == "migratable" and value in {"on", "off"}:
        changes["migratable"] = value == "on"
    elif key == "phys-bits" and value.isdecimal():
        changes |= {"maxphysaddr_mode": "emulate", "maxphysaddr_bits": int(value)}
    elif key == "host-phys-bits" and value in {"on", "off"}:
        changes.setdefault("maxphysaddr_mode", "passthrough" if value == "on" else "emulate")
    elif key == "vendor":
        changes["model_vendor_id"] = value
    elif key == "host-cache-info" and value in {"on", "off"}:
        if value == "on":
            changes["cache_mode"] = "passthrough"
        else:
            changes.setdefault("cache_mode", "disable")
    elif key == "l3-cache" and value in {"on", "off"}:
        if value == "on":
            changes |= {"cache_mode": "emulate", "cache_level": 3}
        else:
            changes.setdefault("cache_mode", "disable")
    elif key == "tsc-frequency" and value.isdecimal():
        d.fields["timers"].append(Timer(name="tsc", frequency=int(value)))  # type: ignore[arg-type]
    else:
        return key in {"check", "enforce"}
    return True


def _topology(d: Draft, wanted: dict[str, Any], spec: CpuSpec | None) -> CpuSpec | None:
    found = {key: number(value) for key, value in wanted.items()}
    for key, one in found.items():
        if one is None or one < (key == "cpus"):
            raise unreadable("smp", f"{key}={wanted[key]}", "no number of processors")
    sockets, dies, cores, threads = (found.get(key) or 0 for key in ("sockets", "dies", "cores", "threads"))
    most, first = found.get("maxcpus"), found.get("cpus")
    more = [key for key in wanted if key not in {"cpus", "maxcpus", "sockets", "dies", "cores", "threads"}]
    if any((number(wanted[key]) or 0) > 1 for key in more):
        text = ",".join(f"{key}={wanted[key]}" for key in more)
        d.keep(Given("smp", text, ("-smp", text)))
    product = (sockets or 1) * (dies or 1) * (cores or 1) * (threads or 1)
    total = most or max(first or 1, product)
    if not sockets:
        sockets = max(1, total // ((dies or 1) * (cores or 1) * (threads or 1)))
    elif not cores:
        cores = max(1, total // (sockets * (dies or 1) * (threads or 1)))
    d.fields["vcpu"] = total
    if first is not None and first != total:
        d.fields["vcpu_current"] = first
    plain = not any(key in wanted for key in ("dies", "cores", "threads"))
    if plain and sockets == total:
        return spec
    made = Topology(sockets=sockets, dies=dies or 1, cores=cores or 1, threads=threads or 1)
    if sockets * (dies or 1) * (cores or 1) * (threads or 1) != total:
        d.note(f"-smp {wanted}: the topology does not fit, and is left out")
        return spec
    return (spec or CpuSpec()).replace(topology=made)


def memory(d: Draft) -> None:
    """``-m``, back ends of memory, NUMA cells, threads for I/O."""
    wanted: dict[str, Any] = {}
    for given in d.every("m"):
        given.done = True
        wanted |= given.options
    amount = size(wanted.get("size", 0), "m")
    if amount is None:
        raise unreadable("m", wanted["size"], "no size")
    d.fields["memory"] = amount or DEFAULT_MEMORY
    most = size(wanted["maxmem"], "m") if "maxmem" in wanted else None
    if most is not None:
        d.fields |= {"max_memory": most, "max_memory_slots": number(wanted.get("slots"))}
    threads = [given for given in d.every("object") if given.options.get("qom-type") == "iothread"]
    names = {match[1]: given for given in threads if (match := THREAD.fullmatch(given.id))}
    for place, given in enumerate(threads, 1):
        found = THREAD.fullmatch(given.id)
        index = int(found[1]) if found else next(n for n in range(place, 10**6) if str(n) not in names)
        names[str(index)] = given
        given.done = True
        d.buses[given.id] = ("iothread", index)
    if threads:
        d.fields["iothreads"] = len(threads)
        d.fields["iothread_ids"] = tuple(IoThread(id=index) for _, index in sorted(
            (one for one in d.buses.values() if one[0] == "iothread"), key=lambda one: one[1]
        ))  # fmt: skip
    _backing(d)


def _backing(d: Draft) -> None:
    made: dict[str, Any] = {}
    path = d.last("mem-path")
    if path is not None:
        made |= {"hugepages": True} if "huge" in path.text else {"source": "file"}
    if d.last("mem-prealloc") is not None:
        made["allocation"] = "immediate"
    lock = d.last("overcommit", "realtime")
    if lock is not None and (on(lock.options.get("mem-lock")) or lock.options.get("mlock") == "on"):
        made["locked"] = True
    backs = {given.id: given for given in d.every("object") if str(given.options.get("qom-type")) in BACKINGS}
    made |= _pages(d, _used(d, backs))
    if made:
        d.fields["memory_backing"] = MemoryBacking(**made)


def _used(d: Draft, backs: dict[str, Given]) -> list[Given]:
    """Back ends of the guest's own memory; cells that a definition can have are heeded with them."""
    numa = d.every("numa")
    if not numa:
        return list(backs.values()) if len(backs) == 1 else [backs[name] for name in backs if name.endswith(".ram")]
    cells = [given for given in numa if given.options.get("type") == "node"]
    distances = [given for given in numa if given.options.get("type") == "dist"]
    plain = all(set(given.options) <= {"type", "nodeid", "cpus", "mem", "memdev"} for given in cells)
    used = [backs[name] for given in cells if (name := str(given.options.get("memdev", ""))) in backs]
    by_size = not any("memdev" in given.options for given in cells)
    if len(cells) + len(distances) < len(numa) or not plain or not (by_size or len(used) == len(cells)):
        return []  # what is not known of cells needs all of them as they stand
    _cells(d, cells, backs, distances)
    return used


def _pages(d: Draft, used: list[Given]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for given in used:
        made |= _backed(d, given)
    if d.fields.get("cpu") is not None and d.fields["cpu"].cells:
        made.pop("access", None)
    sizes = [number(given.options.get("hugetlbsize")) for given in used]
    if len(set(sizes)) == 1 and sizes[0]:
        made["pages"] = (HugePage(size=sizes[0]),)
    elif any(sizes):
        made["pages"] = tuple(HugePage(size=one, nodeset=frozenset({n})) for n, one in enumerate(sizes) if one)
    return made


def _backed(d: Draft, given: Given) -> dict[str, Any]:
    """What memory is made of."""
    made: dict[str, Any] = {}
    given.done = True
    o = given.options
    kind = BACKINGS[str(o["qom-type"])]
    if kind != "anonymous" or on(o.get("share")):
        made["source"] = kind
    if on(o.get("share")):
        made["access"] = "shared"
    if on(o.get("prealloc")):
        made["allocation"] = "immediate"
    if on(o.get("hugetlb")) or "/hugepages" in str(o.get("mem-path", "")):
        made["hugepages"] = True
        if kind == "file":
            del made["source"]
    left = set(o) - {"qom-type", "id", "size", "share", "prealloc", "hugetlb", "mem-path", "hugetlbsize"}
    left -= {"x-use-canonical-path-for-ramblock-id", "prealloc-threads", "discard-data", "merge", "dump"}
    if left:
        d.note(f"left out: {', '.join(sorted(left))} of -object {given.text} (memory has no word for it)")
    return made


def _cells(d: Draft, cells: list[Given], backs: dict[str, Given], distances: list[Given]) -> None:
    made = []
    far: dict[int | None, list[Sibling]] = {}
    for given in distances:
        given.done = True
        there, value = number(given.options.get("dst")), number(given.options.get("val"))
        far.setdefault(number(given.options.get("src")), []).append(Sibling(id=there, value=value))
    for place, given in enumerate(cells):
        given.done = True
        o = given.options
        back = backs.get(str(o.get("memdev", "")))
        bytes_ = size(back.options.get("size", 0), "b") if back is not None else size(o.get("mem", 0), "m")
        share = words_of(back.options.get("share", "")) if back is not None else ""
        shared: Any = {"on": "shared", "off": "private"}.get(share)
        index = number(o.get("nodeid"))
        index = place if index is None else index
        near = tuple(far.get(index, ()))
        made.append(Cell(id=index, cpus=_range(o.get("cpus")), memory=bytes_, mem_access=shared, distances=near))
    d.fields["cpu"] = (d.fields.get("cpu") or CpuSpec()).replace(cells=tuple(made))


def _range(value: Any) -> frozenset[int] | None:
    found: set[int] = set()
    for text in value if isinstance(value, list) else [value]:
        first, _, last = str(text or "").partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found.update(range(int(first), min(int(last or first), int(first) + 4096) + 1))
    return frozenset(found) or None


def booting(d: Draft) -> None:
    """Firmware, kernel, boot order."""
    made: dict[str, Any] = {"type": "hvm", "arch": d.arch, "machine": d.machine or None}
    for flag, field in (("kernel", "kernel"), ("initrd", "initrd"), ("append", "cmdline"), ("dtb", "dtb")):
        given = d.last(flag)
        if given is not None:
            made[field] = given.text if flag == "append" else d.path(given.text)
    bios = d.last("bios")
    if bios is not None and bios.text == "none":
        d.keep(bios)
    elif bios is not None and bios.text != "default":
        made |= {"loader": d.path(bios.text), "loader_type": "rom"}
    _flash(d, made)
    boot = d.last("boot")
    if boot is not None:
        o = boot.options
        order = str(o.pop("order", "") or "")
        once = o.pop("once", None)
        made["boots"] = tuple(OsBoot(dev=ORDER[letter]) for letter in order if letter in ORDER)  # type: ignore[arg-type]
        if once is not None:
            d.note(f"left out: once={once} of -boot {boot.text} (an order holds for every boot)")
        if words_of(o.get("menu")) in {"on", "off"}:
            made["bootmenu"] = o.pop("menu") == "on"
        wait = number(o.pop("splash-time", None))
        if wait is not None:
            made["bootmenu_timeout"] = wait
        again = number(o.pop("reboot-timeout", None))
        if again is not None:
            made["bios_reboot_timeout"] = again
        o.pop("strict", None)
        if o:
            d.keep(boot)
    d.fields["os"] = {key: value for key, value in made.items() if value is not None}


def _flash(d: Draft, made: dict[str, Any]) -> None:
    """Firmware in flash: the first part is the program, the second its variables."""
    paths = []
    for given in [*d.every("pflash"), *(x for x in d.every("drive") if x.options.get("if") == "pflash")]:
        given.done = True
        path = given.text if given.flag == "pflash" else str(given.options.get("file", ""))
        only = on(given.options.get("readonly", given.options.get("read-only")))
        paths.append((number(given.options.get("unit")) or 0, d.path(path), only))
    paths.sort(key=lambda row: row[0])
    if paths:
        made |= {"loader": paths[0][1], "loader_type": "pflash", "loader_readonly": paths[0][2] or None}
    if len(paths) > 1:
        made["nvram"] = paths[1][1]
    for key, field in (("pflash0", "loader"), ("pflash1", "nvram")):
        for argument in list(d.arguments):
            found = re.fullmatch(rf"(?:.*,)?{key}=([^,]+)(?:,.*)?", argument)
            node = d.back("blockdev", found[1]) if found else None
            place = _path(d, node) if node is not None else None
            if found and place:
                made[field] = place
                if field == "loader":
                    made |= {"loader_type": "pflash", "loader_readonly": True}
                _without(d, argument, f"{key}={found[1]}")


def _path(d: Draft, node: Given) -> str | None:
    """The file at the end of a chain of nodes, which are heeded."""
    inner = node.options.get("file")
    below = d.back("blockdev", inner) if isinstance(inner, str) else None
    path = node.options.get("filename", node.options.get("file.filename"))
    if isinstance(inner, dict):
        path = inner.get("filename")
    if path is None and below is not None:
        path = _path(d, below)
    if path is None:
        return None
    node.done = True
    return str(path)


def _without(d: Draft, argument: str, part: str) -> None:
    place = d.arguments.index(argument)
    left = ",".join(one for one in argument.split(",") if one != part)
    if left:
        d.arguments[place] = left
    else:
        del d.arguments[place - 1 : place + 1]
    d.notes = [note for note in d.notes if part not in note or left]


def clock(d: Draft) -> None:
    """``-rtc``, and timers of other options."""
    timers: list[Timer] = d.fields.pop("timers")
    given = d.last("rtc")
    made: dict[str, Any] = {"offset": "utc"}
    if given is not None:
        base = str(given.options.pop("base", "utc"))
        if base == "localtime":
            made["offset"] = "localtime"
        elif base != "utc":
            try:
                made = {
                    "offset": "absolute",
                    "start": int(datetime.fromisoformat(base).replace(tzinfo=UTC).timestamp()),
                }
            except ValueError:
                d.note(f"left out: base={base} of -rtc (no moment in time)")
        slew = given.options.pop("driftfix", None)
        if slew in {"slew", "none"}:
            timers.append(Timer(name="rtc", tickpolicy="catchup" if slew == "slew" else "delay"))  # type: ignore[arg-type]
        track = given.options.pop("clock", None)
        follow = {"vm": "guest", "rt": "realtime", "host": "wall"}.get(str(track))
        if follow is not None and follow != "wall":
            timers.append(Timer(name="rtc", track=follow))  # type: ignore[arg-type]
        if given.options:
            d.keep(given)
    if d.last("localtime") is not None:
        made["offset"] = "localtime"
    d.fields["clock"] = Clock(**made, timers=tuple(timers))


def tables(d: Draft) -> None:
    """SMBIOS and ``fw_cfg``."""
    made: dict[str, list[Any]] = {}
    strings: list[str] = []
    boards: list[Mainboard] = []
    for given in d.every("smbios"):
        kind = str(given.options.pop("type", ""))
        if kind == "11":
            found = given.options.pop("value", [])
            strings += found if isinstance(found, list) else [found]
            given.done = not given.options
            continue
        if kind not in TABLES or set(given.options) - TABLES[kind][2]:
            given.options["type"] = kind
            continue
        field, entry, _ = TABLES[kind]
        rows: list[Any] = [_made(entry, name=key, value=words_of(value)) for key, value in given.options.items()]
        given.done = True
        if field == "base_boards":
            boards.append(Mainboard(entries=tuple(rows)))
        else:
            made.setdefault(field, []).extend(rows)
    if made or strings or boards:
        own = {key: tuple(rows) for key, rows in made.items()}
        d.add("sysinfos", Smbios(**own, base_boards=tuple(boards), oem_strings=tuple(strings)))
        d.fields["os"]["smbios"] = "sysinfo"
    items = []
    for given in d.every("fw_cfg"):
        name = str(given.options.get("name", ""))
        if name.startswith("opt/") and set(given.options) in ({"name", "string"}, {"name", "file"}):
            given.done = True
            items.append(
                FwCfgEntry(name=name, value=words_of(given.options.get("string", "")), file=given.options.get("file"))
            )
    if items:
        d.add("sysinfos", FwCfg(entries=tuple(items)))


def identity(d: Draft) -> None:
    """Name, UUID, what happens at the end."""
    given = d.last("name")
    if given is not None:
        d.fields["name"] = str(given.options.pop("guest", "") or "")
        given.options.pop("debug-threads", None)
        if given.options:
            d.note(f"left out: {', '.join(given.options)} of -name {given.text} (the driver names the process)")
    uuid = d.last("uuid")
    if uuid is not None:
        if UUID.fullmatch(uuid.text):
            d.fields["uuid"] = uuid.text.lower()
        else:
            d.drop(uuid, "this is no UUID")
    if d.last("no-reboot") is not None:
        d.fields["on_reboot"] = "destroy"
    action = d.last("action")
    if action is not None:
        if action.options.get("reboot") == "shutdown":
            d.fields["on_reboot"] = "destroy"
        if action.options.get("panic") == "pause":
            d.fields["on_crash"] = "preserve"
        d.expiry = action.string("watchdog")
    if d.last("snapshot") is not None:
        d.fields["snapshot"] = True
    for given in d.every("device"):
        driver = str(given.options.get("driver", ""))
        if driver == "vmcoreinfo":
            given.done = True
            d.fields["switches"]["vmcoreinfo"] = True
        elif driver == "vmgenid":
            guid = str(given.options.get("guid", ""))
            if UUID.fullmatch(guid) or guid == "auto":
                given.done = True
                d.fields["genid"] = guid if guid != "auto" else ""


def whole(d: Draft) -> dict[str, Any]:
    """Fields of the definition that are put together from several options."""
    features: dict[str, Any] = d.fields.pop("switches")
    return {"features": Features(**features) if features else None, "os": Os(**d.fields.pop("os"))}


STEPS: Final[tuple[Callable[[Draft], None], ...]] = (processors, memory, booting, clock, tables, identity)
