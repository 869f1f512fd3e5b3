"""Disks: nodes of the block graph, bottom up, and the device on top."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from anyvirt.api import BackingStore, Disk, DiskDriver, DriveAddress, Source, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.common import bootindex, pci, tuned, usb
from anyvirt_qemu.plan import DiskUse, NodeUse

FORMATS: Final = ("raw", "qcow2")
SERIAL: Final = re.compile(r"[A-Za-z0-9_ .+:/@-]{1,247}", re.ASCII)
CDROM: Final = re.compile(r"/dev/(sr\d+|cdrom|scd\d+)", re.ASCII)
# cache mode -> (direct, no-flush, write cache of the device)
CACHES: Final = {
    "none": (True, False, True),
    "writethrough": (False, False, False),
    "writeback": (False, False, True),
    "directsync": (True, False, False),
    "unsafe": (False, True, True),
}
LIMITS: Final = {
    "bps": "total_bytes_sec",
    "bps_rd": "read_bytes_sec",
    "bps_wr": "write_bytes_sec",
    "iops": "total_iops_sec",
    "iops_rd": "read_iops_sec",
    "iops_wr": "write_iops_sec",
}


def disk(b: Build, x: Disk) -> None:
    """One disk, CD-ROM drive included."""
    meaningless(x, "snapshot", "tray")
    if x.source is None and x.driver:
        meaningless(x.driver, "type")
    kind = x.device or "disk"
    if kind not in {"disk", "cdrom"}:
        b.refuse(x, "device", "only disk and cdrom are served")
    nodes = _nodes(b, x, read_only=x.readonly or kind == "cdrom")
    if not nodes and kind != "cdrom" and x.type in {None, "file", "block"}:
        b.problem(x, "source", "the disk has no image", "name it in <source>; only a CD-ROM drive may be empty")
    b.disks.append(DiskUse(x.target or "", x.alias or "", tuple(nodes)))
    options = _device(b, x, kind)
    if nodes:
        options["drive"] = nodes[0].node
    b.device(options)
    _throttle(b, x)


def _device(b: Build, x: Disk, kind: str) -> dict[str, Any]:
    driver = x.driver
    options: dict[str, Any] = {"id": x.alias}
    if x.bus == "virtio":
        if kind == "cdrom":
            b.refuse(x, "bus", "put the CD-ROM drive on sata, ide or scsi")
        options["driver"] = b.has(x, "bus", "virtio-blk-pci" + (x.model or "virtio").removeprefix("virtio"))
        options |= {**pci(b, x), **tuned(driver)}
        if driver:
            options |= {
                "num-queues": driver.queues,
                "queue-size": driver.queue_size,
                "ioeventfd": driver.ioeventfd,
                "event_idx": driver.event_idx,
            }
    elif x.bus in {"sata", "ide", "scsi"}:
        options |= _drive(b, x, kind)
    elif x.bus == "usb":
        options |= {"driver": b.has(x, "bus", "usb-storage"), **usb(b, x), "removable": x.removable}
    else:
        b.refuse(x, "bus", "use virtio, scsi, sata, ide or usb")
    options["serial"] = _identity(b, x, "serial", x.serial)
    options["bootindex"] = bootindex(b, x, x.boot)
    options["share-rw"] = True if x.shareable else None
    if kind != "cdrom":
        options["logical_block_size"] = x.logical_block_size
        options["physical_block_size"] = x.physical_block_size
    return options | _policy(driver)


def _drive(b: Build, x: Disk, kind: str) -> dict[str, Any]:
    """Driver and place of a disk on a controller with units."""
    at = x.address
    if not isinstance(at, DriveAddress):
        b.problem(x, "address", "the disk needs a drive address", "leave the address out")
        return {}
    controller, bus, target, unit = at.controller or 0, at.bus or 0, at.target or 0, at.unit or 0
    end = "cd" if kind == "cdrom" else "hd"
    options: dict[str, Any] = {"wwn": _wwn(b, x)}
    if end == "hd":
        options["rotation_rate"] = x.rotation_rate
    if x.bus == "scsi":
        options |= {
            "driver": b.has(x, "bus", f"scsi-{end}"),
            "bus": f"scsi{controller}.0",
            "channel": bus,
            "scsi-id": target,
            "lun": unit,
            "vendor": _identity(b, x, "vendor", x.vendor),
            "product": _identity(b, x, "product", x.product),
            "device_id": x.alias if x.serial is None else None,
        }
    elif x.bus == "sata":
        first = "ide" if b.machine.bus == "pcie" and controller == 0 else f"sata{controller}"
        options |= {"driver": b.has(x, "bus", f"ide-{end}"), "bus": f"{first}.{unit}"}
    else:
        options |= {"driver": b.has(x, "bus", f"ide-{end}"), "bus": f"ide.{bus}", "unit": unit}
        if controller:
            b.problem(at, "controller", "there is one IDE controller, 0", "leave the address out")
    return options


def _policy(driver: DiskDriver | None) -> dict[str, Any]:
    if driver is None:
        return {}
    meaningless(driver, "name")
    errors = "enospc" if driver.error_policy == "enospace" else driver.error_policy
    read = driver.rerror_policy or (None if driver.error_policy == "enospace" else driver.error_policy)
    cache = CACHES.get(driver.cache or "default")
    return {
        "werror": errors,
        "rerror": read,
        "write-cache": None if cache is None else "on" if cache[2] else "off",
    }


def _wwn(b: Build, x: Disk) -> int | None:
    if x.wwn is None:
        return None
    if not re.fullmatch(r"[0-9A-Fa-f]{16}", x.wwn):
        b.problem(x, "wwn", f"{x.wwn!r} is no world wide name", "write 16 hexadecimal digits")
        return None
    return int(x.wwn, 16)


def _identity(b: Build, x: Disk, field: str, text: str | None) -> str | None:
    if text is not None and not SERIAL.fullmatch(text):
        b.problem(x, field, f"{text!r} cannot be shown to a guest", "use letters, digits, space and _.+:/@-")
        return None
    return text


def _nodes(b: Build, x: Disk, *, read_only: bool) -> list[NodeUse]:
    """Nodes of a disk's chain, written bottom up, given top down."""
    layers = _chain(b, x)
    made: list[NodeUse] = []
    below: str | None = None
    for depth in reversed(range(len(layers))):
        layer = layers[depth]
        node = _image(b, x, layer, below, read_only=read_only or depth > 0, top=depth == 0)
        made.insert(0, node)
        below = node.node
    if made and x.driver is not None and x.driver.copy_on_read:
        name = f"n{b.node()}-cor"
        b.blockdev({"driver": "copy-on-read", "node-name": name, "file": made[0].node})
        made[0] = NodeUse(name, made[0].protocol, made[0].path, made[0].format)
    return made


def _image(b: Build, x: Disk, layer: NodeUse, below: str | None, *, read_only: bool, top: bool) -> NodeUse:
    number = b.node()
    cache = CACHES.get((x.driver.cache if x.driver else None) or "default")
    flags = None if cache is None else {"direct": cache[0], "no-flush": cache[1]}
    discard = x.driver.discard if x.driver and top else None
    zeroes = x.driver.detect_zeroes if x.driver and top else None
    protocol, node = f"n{number}-proto", f"n{number}-fmt"
    b.blockdev(
        {
            "driver": layer.protocol,
            "node-name": protocol,
            "filename": layer.path,
            "read-only": read_only,
            "auto-read-only": True,
            "discard": discard or "unmap",
            "aio": x.driver.io if x.driver else None,
            "cache": flags,
        }
    )
    options: dict[str, Any] = {
        "driver": layer.format,
        "node-name": node,
        "file": protocol,
        "read-only": read_only,
        "discard": discard,
        "detect-zeroes": zeroes,
        "cache": flags,
    }
    if layer.format == "qcow2":
        size = x.driver.metadata_cache if x.driver and top else None
        options |= {"cache-size": size, "backing": below}
    b.blockdev(options)
    return NodeUse(node, protocol, layer.path, layer.format)


def _chain(b: Build, x: Disk) -> Sequence[NodeUse]:
    """The images of a disk from the top down: as the definition lists them, or as they were found."""
    if x.source is None or not (x.source.file or x.source.dev):
        if x.source is not None:
            meaningless(x.source, "startup_policy", "index")
        if x.type not in {None, "file", "block"}:
            b.refuse(x, "type", "use file or block")
        return ()
    top = _layer(b, x, str(x.type or "file"), x.source, x.driver.type if x.driver else None)
    layers = [top]
    store = x.backing_store
    if store is None:
        found = b.chains.get(x.target or "")
        if found is not None:
            layers += found[1:]
        elif top.format != "raw":
            b.problem(x, "backing_store", "nobody has looked at the image's chain", "end it with <backingStore/>")
        return layers
    while store is not None and store.source is not None:
        meaningless(store, "index")
        layers.append(_layer(b, store, str(store.type or "file"), store.source, store.format))
        if store.backing_store is None and layers[-1].format != "raw":
            b.problem(store, "backing_store", "the chain has no end", "end it with <backingStore/>")
        store = store.backing_store
    return layers


def _layer(b: Build, x: Disk | BackingStore, kind: str, source: Source, form: str | None) -> NodeUse:
    form = form or "raw"
    meaningless(source, "index", "startup_policy", "seclabels")
    if form not in FORMATS:
        owner: Any = x.driver if isinstance(x, Disk) else x
        b.refuse(owner, "type" if isinstance(x, Disk) else "format", f"use {' or '.join(FORMATS)}")
        form = "raw"
    if kind == "block":
        path = b.path(source, "dev", source.dev)
        return NodeUse("", "host_cdrom" if CDROM.fullmatch(path) else "host_device", path, form)
    if kind != "file":
        b.refuse(x, "type", "use file or block")
        return NodeUse("", "file", "/", form)
    return NodeUse("", "file", b.path(source, "file", source.file), form)


def _throttle(b: Build, x: Disk) -> None:
    tune = x.iotune
    if tune is None:
        return
    path = f"/machine/peripheral/{x.alias}" + "/virtio-backend" * (x.bus == "virtio")
    arguments: dict[str, Any] = {"id": path}
    for key, field in LIMITS.items():
        arguments[key] = getattr(tune, field) or 0
        for suffix in ("_max", "_max_length"):
            value = getattr(tune, field + suffix)
            if value is not None:
                arguments[key + suffix] = value
    if tune.size_iops_sec is not None:
        arguments["iops_size"] = tune.size_iops_sec
    if tune.group_name is not None:
        arguments["group"] = tune.group_name
    b.step("block_set_io_throttle", arguments)
