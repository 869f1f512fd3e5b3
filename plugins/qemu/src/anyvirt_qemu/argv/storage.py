"""Disks: drives and block nodes, and the devices that they are behind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from anyvirt.api import (
    BackingStore,
    Boot,
    Disk,
    DiskDriver,
    DriveAddress,
    Encryption,
    Geometry,
    Invalid,
    Problem,
    SecretRef,
    Source,
    SourceHost,
    UsbAddress,
)

from anyvirt_qemu.argv.draft import Draft, made, shown, tuned, variant
from anyvirt_qemu.argv.given import Given, nested, number, off, on, parsed, words_of

LETTERS: Final = {"hda": 0, "hdb": 1, "hdc": 2, "hdd": 3}
FORMATS: Final = frozenset({
    "raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "bochs", "cloop", "dmg",
})  # fmt: skip
FILES: Final = {"file": "file", "host_device": "dev", "host_cdrom": "dev"}
ENDINGS: Final = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhdx": "vhdx", "qed": "qed", "vhd": "vpc"}
CACHES: Final = {
    (True, True, False): "none", (True, False, False): "directsync", (False, True, False): "writeback",
    (False, False, False): "writethrough", (False, True, True): "unsafe",
}  # fmt: skip
BUSES: Final = {
    "virtio-blk": "virtio", "ide-hd": "ide", "ide-cd": "ide", "ide-drive": "ide", "scsi-hd": "scsi", "scsi-cd": "scsi",
    "scsi-block": "scsi", "scsi-disk": "scsi", "usb-storage": "usb", "floppy": "fdc",
    "nvme-ns": "nvme",
}  # fmt: skip
PREFIXES: Final = {"virtio": "vd", "ide": "hd", "fdc": "fd"}
THROTTLE: Final = re.compile(r"(?:throttling\.)?(bps|iops)(?:-total|-read|-write|_rd|_wr|_max|_rd_max|_wr_max)?(-max)?")
NODE_KEYS: Final = frozenset({
    "driver", "node-name", "filename", "file", "read-only", "auto-read-only", "discard", "detect-zeroes", "cache",
    "backing", "aio", "id", "pr-manager-off",
})  # fmt: skip
POLICIES: Final = {"enospc": "enospace"}


class Names:
    """Names of targets, each once."""

    def __init__(self, d: Draft) -> None:
        self._used = {disk.target for disk in d.many.get("disks", ())}

    def free(self, bus: str, wanted: int | None = None) -> str:
        """The first one that is free on a bus, or the one of that number."""
        prefix = PREFIXES.get(bus, "sd")
        place = wanted if wanted is not None else 0
        while True:
            name = f"{prefix}{_letters(place)}"
            if name not in self._used:
                self._used.add(name)
                return name
            place += 1

    def space(self, controller: int, number: int | None) -> str:
        """The one of a namespace of an NVMe controller."""
        places: Iterable[int] = count(1) if number is None else [number]
        name = next(name for place in places if (name := f"nvme{controller}n{place}") not in self._used or number)
        self._used.add(name)
        return name


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(97 + rest) + text
    return text


def disks(d: Draft) -> None:
    """Every disk of the line."""
    names = Names(d)
    for given in d.every("device"):
        _device(d, given, names)
    for given in d.every("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "drive", "sd"):
        if given.flag == "drive":
            _drive(d, given, names)
        else:
            _short(d, given, names)


def _usual(d: Draft) -> str:
    """The bus of a disk that names none."""
    if d.arch == "s390x" or d.machine.startswith("virt") or d.machine == "microvm":
        return "virtio"
    return "sata" if d.q35 else "scsi" if d.machine.startswith("pseries") else "ide"


def _short(d: Draft, given: Given, names: Names) -> None:
    given.done = True
    if given.flag == "sd":
        d.keep(given)
        return
    bus = "fdc" if given.flag.startswith("fd") else _usual(d)
    kind = "floppy" if bus == "fdc" else "cdrom" if given.flag == "cdrom" else "disk"
    place = LETTERS.get(given.flag, 2 if given.flag == "cdrom" else int(given.flag == "fdb"))
    x = _disk(d, *_image(given.text, ""), bus, kind)
    d.add("disks", x.replace(target=names.free(bus, place if bus in {"ide", "sata", "fdc"} else None)))


def _drive(d: Draft, given: Given, names: Names) -> None:
    kind = str(given.options.get("if", _usual(d)))
    if kind == "pflash":
        return  # firmware
    bus = {"floppy": "fdc", "nvme-ns": "nvme", "ide": "sata" if d.q35 else "ide"}.get(kind, kind)
    if bus not in {"ide", "sata", "scsi", "virtio", "fdc"}:
        return  # one that no device uses, or of a kind that is not known: it is kept
    media = given.options.get("media")
    device = "floppy" if bus == "fdc" else "cdrom" if media == "cdrom" else "disk"
    where = _address(given, bus)
    index = number(given.options.get("index"))
    for key in ("if", "media", "index", "bus", "unit"):
        given.take(key)
    x = _behind(d, given, bus, device)
    if x is None:
        return
    boot = d.boot(given)
    x = x.replace(target=names.free(bus, index), address=where, boot=boot)
    _rest(d, given, x)


def _rest(d: Draft, given: Given, x: Disk) -> None:
    """A drive without a device of its own: what is left of it can be told to nobody."""
    given.take("id")
    given.done = True
    if given.options:
        left = ",".join(f"{key}={words_of(value)}" for key, value in given.options.items())
        d.note(f"left out: {left} of {shown(given)} (a disk has no word for it)")
    d.add("disks", x)


def _address(given: Given, bus: str) -> DriveAddress | None:
    if "unit" not in given.options and "bus" not in given.options:
        return None
    where, unit = number(given.options.get("bus", 0)) or 0, number(given.options.get("unit", 0)) or 0
    if bus == "ide":
        return DriveAddress(controller=0, bus=where, target=0, unit=unit)
    if bus == "scsi":
        return DriveAddress(controller=where, bus=0, target=0, unit=unit)
    return DriveAddress(controller=0, bus=0, target=0, unit=where or unit) if bus in {"sata", "fdc"} else None


def _device(d: Draft, given: Given, names: Names) -> None:
    base, model = variant(str(given.options.get("driver", "")))
    bus = BUSES.get(base)
    if bus is None:
        return
    if bus == "ide" and d.q35:
        bus = "sata"
    owner = str(given.options.get("bus", "")).rpartition(".")[0]
    if bus == "ide" and d.buses.get(owner, ("", 0))[0] == "sata":
        bus = "sata"
    kinds = {"floppy": "floppy", "ide-cd": "cdrom", "scsi-cd": "cdrom", "scsi-block": "lun"}
    device = kinds.get(base, "disk")
    name = given.options.get("drive")
    back = d.back("drive", name) or d.back("blockdev", name)
    x: Disk | None = None
    if back is not None:
        x = _graph(d, back, bus, device) if back.flag == "blockdev" else _behind(d, back, bus, device)
    elif name is None and device in {"cdrom", "floppy"}:
        x = made(Disk, type="file", device=device, driver=DiskDriver(name="qemu", type="raw"), bus=bus)
    if x is None:
        return
    given.take("drive")
    if back is not None:
        _finish(d, back)
    _dressed(d, given, x.replace(model=model), names)


def _finish(d: Draft, back: Given) -> None:
    back.done = True
    for key in ("id", "if", "node-name"):
        back.take(key)
    if back.flag == "drive" and back.options:
        left = ",".join(f"{key}={words_of(value)}" for key, value in back.options.items())
        d.note(f"left out: {left} of {shown(back)} (a disk has no word for it)")


def _dressed(d: Draft, given: Given, x: Disk, names: Names) -> None:
    """The disk with what its device says of it."""
    driver = x.driver or DiskDriver(name="qemu")
    bus = str(x.bus)
    changes: dict[str, Any] = {
        "serial": given.string("serial"),
        "boot": d.boot(given),
        "vendor": given.string("vendor"),
        "product": given.string("product"),
        "logical_block_size": given.number("logical_block_size"),
        "physical_block_size": given.number("physical_block_size"),
        "rotation_rate": given.number("rotation_rate"),
    }
    if all(key in given.options for key in ("cyls", "heads", "secs")):
        size = {key: given.number(key) for key in ("cyls", "heads", "secs")}
        changes["geometry"] = made(Geometry, **size, trans=given.string("bios-chs-trans"))
    wwn = number(given.options.get("wwn"))
    if wwn is not None and bus != "virtio":
        given.take("wwn")
        changes["wwn"] = f"{wwn:016x}"
    if bus == "usb":
        changes["removable"] = given.switch("removable")
    more: dict[str, Any] = {"queues": given.number("num-queues"), "queue_size": given.number("queue-size")}
    if bus == "virtio":
        more |= {"ioeventfd": given.switch("ioeventfd"), "event_idx": given.switch("event_idx"), **tuned(given)}
        thread = str(given.options.get("iothread", ""))
        if d.buses.get(thread, ("", 0))[0] == "iothread":
            given.take("iothread")
            more["iothread"] = d.buses[thread][1]
        if off(given.options.get("scsi")):
            given.take("scsi")
    if on(given.options.get("share-rw")):
        given.take("share-rw")
        changes["shareable"] = True
    cached = given.switch("write-cache")
    if cached is not None:
        now = {words: kind for words, kind in CACHES.items() if not words[2] or words[1]}
        direct = driver.cache in {"none", "directsync"}
        if driver.cache != "unsafe":
            more["cache"] = now[direct, cached, False]
    for name, field in (("werror", "error_policy"), ("rerror", "rerror_policy")):
        policy = given.string(name)
        if policy not in {None, "auto"}:
            more[field] = POLICIES.get(str(policy), policy)
    x = x.replace(driver=driver.replace(**{key: value for key, value in more.items() if value is not None}))
    x = x.replace(**{key: value for key, value in changes.items() if value is not None})
    if bus == "nvme":
        x = x.replace(target=names.space(_owner(d, given), given.number("nsid")))
    else:
        x = x.replace(address=_seat(d, given, bus), target=names.free(bus))
    if bus == "fdc" and isinstance(x.address, DriveAddress):
        order = d.floppies.get(x.address.unit or 0)
        x = x.replace(boot=Boot(order=order)) if order else x
    given.take("device_id")
    d.add("disks", x, given)


def _owner(d: Draft, given: Given) -> int:
    """The NVMe controller of a namespace."""
    found = d.buses.get(str(given.take("bus") or "nvme0"), ("", 0))
    return found[1] if found[0] == "nvme" else 0


def _seat(d: Draft, given: Given, bus: str) -> Any:
    """Where the device sits."""
    if bus == "virtio":
        return d.place(given)
    owner, _, channel = str(given.options.get("bus", "")).rpartition(".")
    kind, index = d.buses.get(owner, ("", -1))
    if bus == "usb" and kind == "usb":
        given.take("bus")
        port = given.string("port")
        return UsbAddress(bus=index, port=port) if port else None
    if bus in {"ide", "sata"} and (owner == "ide" or kind == "sata") and channel.isdecimal():
        given.take("bus")
        unit = given.number("unit") or 0
        if bus == "ide":
            return DriveAddress(controller=0, bus=int(channel), target=0, unit=unit)
        return DriveAddress(controller=max(index, 0), bus=0, target=0, unit=int(channel))
    if bus == "scsi" and kind == "scsi":
        given.take("bus")
        where, target, unit = (given.number(key) or 0 for key in ("channel", "scsi-id", "lun"))
        if any(x.type == "scsi" and (x.index or 0) == index and x.model == "lsilogic" for x in d.many["controllers"]):
            target, unit = 0, target
        return DriveAddress(controller=index, bus=where, target=target, unit=unit)
    if bus == "fdc":
        given.take("bus")
        return DriveAddress(controller=0, bus=0, target=0, unit=given.number("unit") or 0)
    return None


def _disk(d: Draft, kind: Any, source: Source | None, format: str, bus: Any, device: Any) -> Disk:  # noqa: A002
    if source is not None and source.file is not None:
        source = source.replace(file=d.path(source.file))
    name = (source.file or source.dev or source.name if source is not None else None) or "an image"
    if format == "luks" and source is not None:
        secret = SecretRef(type="passphrase", usage=name)
        source, format = source.replace(encryption=Encryption(format="luks", secrets=(secret,))), "raw"  # noqa: A001
        d.note(f"{name} is encrypted with LUKS: define a secret for the usage {name} with its passphrase")
    if not format and source is not None:
        ending = name.rpartition(".")[2].lower()
        format = ENDINGS.get(ending, "raw")  # noqa: A001
        if ending not in {"iso", "img", "raw"}:
            d.note(f"{name} has no format given, and is taken for {format}: nothing looks into images for it")
    if format and format not in FORMATS:
        text = f"{name} is of the format {format}, for which a definition has no word"
        raise Invalid([Problem("config.invalid", "", None, text, "convert it (qemu-img convert -O qcow2)")])
    return Disk(
        type=kind,
        device=device,
        driver=DiskDriver(name="qemu", type=format or "raw"),
        source=source,
        bus=bus,
        readonly=device == "cdrom",
    )


def _behind(d: Draft, given: Given, bus: str, device: str) -> Disk | None:
    """The disk that a ``-drive`` is about; None where it says what no definition has."""
    given.options = dict(given.options)
    if any("." in key and not key.startswith(("cache.", "throttling.")) for key in given.options):
        tree = nested({key: value for key, value in given.options.items() if not key.startswith("throttling.")})
        found = _chain(tree)
        if found is None:
            return None
        source: Source | None
        kind, source, format, backing = found  # noqa: A001
        for key in [key for key in given.options if key.partition(".")[0] in {"file", "driver", "backing"}]:
            del given.options[key]
    else:
        path = given.string("file")
        kind, source, format = _image(path, given.string("format", "driver") or "") if path else ("file", None, "raw")  # noqa: A001
        if not path:
            given.take("format", "driver")
        backing = None
        if source is None and path:
            return None
    given.take("if")
    if source is not None and format == "luks":
        given.take("key-secret")
    if given.options.get("media") is not None:
        device = "cdrom" if given.take("media") == "cdrom" else device
    x = _disk(d, kind, source, format, bus, device).replace(backing_store=backing)
    return _said(given, x)


def _said(given: Given, x: Disk) -> Disk:
    """What a drive says of caching, discards, limits."""
    driver: dict[str, Any] = {"cache": given.string("cache"), "io": given.string("aio")}
    direct, flush = given.switch("cache.direct"), given.switch("cache.no-flush")
    back = given.switch("cache.writeback")
    if direct is not None or flush is not None or back is not None:
        driver["cache"] = CACHES.get((direct is True, back is not False, flush is True), "writeback")
    if words_of(given.options.get("discard")) in {"unmap", "on", "ignore", "off"}:
        driver["discard"] = "unmap" if given.take("discard") in {"unmap", "on"} else "ignore"
    if words_of(given.options.get("detect-zeroes")) in {"off", "on", "unmap"}:
        driver["detect_zeroes"] = given.take("detect-zeroes")
    driver["copy_on_read"] = given.switch("copy-on-read")
    for name, field in (("werror", "error_policy"), ("rerror", "rerror_policy")):
        policy = given.string(name)
        driver[field] = POLICIES.get(policy, policy) if policy else None
    dressed = (x.driver or DiskDriver()).replace(**{key: value for key, value in driver.items() if value is not None})
    readonly = given.switch("readonly", "read-only")
    changes: dict[str, Any] = {"driver": dressed, "serial": given.string("serial")}
    if readonly:
        changes["readonly"] = True
    if given.switch("snapshot"):
        changes["transient"] = True
    return x.replace(**{key: value for key, value in changes.items() if value is not None})


def _image(text: str, format: str) -> tuple[str, Source | None, str]:  # noqa: A002
    """Kind of storage, source and format of an image that is named by a path or a URL."""
    if text.startswith("json:"):
        found = _chain(nested(parsed(text[5:])[0]))
        return (found[0], found[1], found[2]) if found is not None else ("file", None, format)
    scheme = text.partition(":")[0]
    if scheme in {"http", "https", "ftp", "ftps", "tftp", "ssh", "nbd", "nbd+tcp", "iscsi", "nfs", "gluster", "rbd"}:
        source = _url(text, scheme)
        return "network", source, format
    if text.startswith("fat:"):
        return "dir", Source(dir=text.rpartition(":")[2]), "raw"
    text = text.removeprefix("file:")
    if text.startswith("/dev/") and not text.startswith("/dev/shm/"):  # noqa: S108 - not there
        return "block", Source(dev=text), format or "raw"
    return "file", Source(file=text), format


def _url(text: str, scheme: str) -> Source | None:
    protocol: Any = scheme.partition("+")[0]
    if protocol == "nbd" and "://" not in text:
        parts = text.split(":")
        if parts[1] == "unix":
            host = SourceHost(transport="unix", socket=parts[2])
        else:
            host = SourceHost(name=parts[1], port=number(parts[2]) if len(parts) > 2 else None)
        name = next((part[11:] for part in parts if part.startswith("exportname=")), None)
        return made(Source, protocol="nbd", name=name, hosts=(host,))
    if protocol == "rbd":
        return made(Source, protocol="rbd", name=text[4:].partition(":")[0])
    try:
        found = urlsplit(text)
        host = SourceHost(name=found.hostname, port=found.port)
    except ValueError:
        return None
    if not found.hostname or found.username:
        return None
    return Source(protocol=protocol, name=found.path.lstrip("/"), query=found.query or None, hosts=(host,))


Found = tuple[str, Source, str, "BackingStore | None"]


def _chain(tree: Mapping[str, Any]) -> Found | None:
    """Kind, source, format and backing chain of a block node; None where a definition cannot say it."""
    driver = str(tree.get("driver", ""))
    inner = tree.get("file")
    if isinstance(inner, Mapping):
        if set(tree) - NODE_KEYS:
            return None
        below = _chain(inner)
        if below is None:
            return None
        kind, source, _, _ = below
        backing = tree.get("backing")
        store = BackingStore() if "backing" in tree and backing is None else None
        if isinstance(backing, Mapping):
            deeper = _chain(backing)
            if deeper is None:
                return None
            store = BackingStore(type=deeper[0], format=deeper[2], source=deeper[1], backing_store=deeper[3])  # type: ignore[arg-type]
        return kind, source, driver or "raw", store
    found = _end(driver or "file", tree)
    return None if found is None else (*found, "raw", None)


def _end(driver: Any, tree: Mapping[str, Any]) -> tuple[str, Source] | None:
    """Where an image is."""
    left = set(tree) - NODE_KEYS
    if driver in FILES and not left:
        field = FILES[driver]
        return ("file" if field == "file" else "block"), made(Source, **{field: str(tree.get("filename", ""))})
    if driver == "nbd" and left <= {"server", "export"}:
        host = _host(tree.get("server"))
        name = tree.get("export")
        return None if host is None else ("network", made(Source, protocol="nbd", name=name, hosts=(host,)))
    if driver in {"http", "https", "ftp", "ftps"} and left <= {"url"}:
        source = _url(str(tree.get("url", "")), driver)
        return None if source is None else ("network", source)
    if driver == "iscsi" and left <= {"portal", "target", "lun", "transport"}:
        name, _, port = str(tree.get("portal", "")).rpartition(":")
        place = f"{tree.get('target', '')}/{tree.get('lun', 0)}"
        return "network", made(Source, protocol="iscsi", name=place, hosts=(SourceHost(name=name, port=number(port)),))
    return None


def _host(server: Any) -> SourceHost | None:
    if not isinstance(server, Mapping):
        return None
    if server.get("type") == "unix":
        return SourceHost(transport="unix", socket=str(server.get("path", "")))
    return SourceHost(name=str(server.get("host", "")), port=number(server.get("port")))


def _graph(d: Draft, top: Given, bus: str, device: str) -> Disk | None:
    """The disk that a tree of ``-blockdev`` is about."""
    used: list[Given] = []
    tree = _resolved(d, top, used)
    if tree is None:
        return None
    filters: dict[str, Any] = {}
    while words_of(tree.get("driver")) in {"copy-on-read", "throttle"} and isinstance(tree.get("file"), Mapping):
        if tree["driver"] == "throttle":
            return None
        filters["copy_on_read"] = True
        tree = tree["file"]
    found = _chain(_bare(tree))
    if found is None:
        return None
    kind, source, format, backing = found  # noqa: A001
    x = _disk(d, kind, source, format, bus, device).replace(backing_store=backing)
    levels = [tree, *_below(tree)]
    read_only = any(on(level.get("read-only")) for level in levels[:1])
    cache = next((level["cache"] for level in levels if isinstance(level.get("cache"), Mapping)), None)
    more: dict[str, Any] = dict(filters)
    if cache is not None:
        direct, flush = (on(cache.get(key)) for key in ("direct", "no-flush"))
        more["cache"] = CACHES.get((direct, True, flush), "writeback")
    for key, field in (("discard", "discard"), ("detect-zeroes", "detect_zeroes"), ("aio", "io")):
        value = next((level[key] for level in levels if key in level), None)
        if key == "discard" and (value is None or not any("discard" in level for level in levels[:1])):
            continue  # what the end of a chain passes on says nothing of the disk
        if value is not None and (key, value) != ("aio", "threads"):
            more[field] = {"on": "unmap", "off": "ignore"}.get(value, value) if key == "discard" else value
    for given in used:
        given.done = True
    changes: dict[str, Any] = {"driver": (x.driver or DiskDriver()).replace(**more)}
    if read_only:
        changes["readonly"] = True
    return x.replace(**changes)


def _resolved(d: Draft, given: Given, used: list[Given]) -> dict[str, Any] | None:
    """A node with the nodes that it names in their places."""
    if given in used:
        return None
    used.append(given)
    tree = nested(given.options)
    return tree if _filled(d, tree, used) else None


def _filled(d: Draft, tree: dict[str, Any], used: list[Given]) -> bool:
    for key in ("file", "backing"):
        inner = tree.get(key)
        if isinstance(inner, str):
            below = d.back("blockdev", inner)
            found = _resolved(d, below, used) if below is not None else None
            if found is None:
                return False
            tree[key] = found
        elif isinstance(inner, dict) and not _filled(d, inner, used):
            return False
    return True


def _below(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    inner = tree.get("file")
    while isinstance(inner, Mapping):
        yield inner
        inner = inner.get("file")


def _bare(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A node without what says how it is used, all the way down."""
    return {key: _bare(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
