"""Disks: the device on top of its images, on every bus, and its limits."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Disk, DiskDriver, DriveAddress, meaningless, plain

from anyvirt_qemu.devices import chain, vhost
from anyvirt_qemu.devices.common import bootindex, controller_id, controller_model, iothread, tuned, usb, virtio
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import DiskUse

SERIAL: Final = re.compile(r"[A-Za-z0-9_ .+:/@-]{1,247}", re.ASCII)
PARTITION: Final = re.compile(r"(hd|sd|vd|xvd)[a-z]+[0-9]+", re.ASCII)
BUSES: Final = {
    "virtio": ("disk", "lun"),
    "scsi": ("disk", "cdrom", "lun"),
    "sata": ("disk", "cdrom"),
    "ide": ("disk", "cdrom"),
    "usb": ("disk", "cdrom"),
    "fdc": ("floppy",),
    "nvme": ("disk",),
}
REMOVABLE: Final = ("cdrom", "floppy")
LIMITS: Final = {
    "bps": "total_bytes_sec",
    "bps_rd": "read_bytes_sec",
    "bps_wr": "write_bytes_sec",
    "iops": "total_iops_sec",
    "iops_rd": "read_iops_sec",
    "iops_wr": "write_iops_sec",
}


def disk(b: Build, x: Disk) -> None:
    """One disk, drives for media that change included."""
    meaningless(x, "snapshot", "tray", "mirror", "nodenames", "qom", "auth_beside_source", "encryption_beside_source")
    if x.source is None and x.driver:
        meaningless(x.driver, "type", "metadata_cache")
    kind = str(x.device or "disk")
    _sane(b, x, kind)
    nodes = []
    if x.type == "vhostuser":
        options = vhost.block(b, x)
    else:
        nodes = chain.chain(b, x, read_only=x.readonly or kind == "cdrom")
        options = {}
    if x.source is None and (kind not in REMOVABLE or x.bus == "usb"):
        b.problem(x, "source", "the disk has no image", "name it in <source>; only drives on ide, scsi, sata, fdc wait")
    b.disks.append(DiskUse(x.target or "", x.alias or "", tuple(nodes)))
    options = _device(b, x, kind) | options
    if nodes:
        options["drive"] = nodes[1].node if x.transient else nodes[0].node
    b.device(options)
    _throttle(b, x)


def _sane(b: Build, x: Disk, kind: str) -> None:
    """What does not go together."""
    fit = BUSES.get(str(x.bus))
    if PARTITION.fullmatch(x.target or ""):
        b.problem(
            x, "target", f"{x.target} names a partition, and QEMU gives guests whole disks", "leave the number out"
        )
    if x.bus == "sd":
        b.refuse(x, "bus", "use virtio, scsi, sata or usb", text="no machine here has a slot for SD cards")
    elif fit is None:
        b.refuse(x, "bus", f"use {', '.join(BUSES)}")
    elif kind not in fit:
        b.problem(
            x, "bus", f"{x.bus} has no {kind}", f"put it on {', '.join(n for n, f in BUSES.items() if kind in f)}"
        )
    if x.source is not None:
        if x.auth is not None and x.source.auth is not None:
            b.problem(x, "auth", "the credentials are given twice", "keep those in <source>")
            meaningless(x.auth)
        if x.encryption is not None and x.source.encryption is not None:
            b.problem(x, "encryption", "the encryption is given twice", "keep the one in <source>")
            meaningless(x.encryption)
    if x.type == "dir" and not (x.readonly or kind == "cdrom"):
        b.problem(x, "readonly", "a directory cannot be written through", "add <readonly/>")
    if x.readonly and kind == "disk" and x.bus in {"ide", "sata", "nvme"}:
        b.problem(x, "readonly", f"a disk on {x.bus} is always written", "use virtio, scsi or usb, or make it a cdrom")
    if x.shareable and x.driver is not None and x.driver.type not in {None, "raw"} and not x.readonly:
        hint = "use format raw, or add <readonly/>"
        b.problem(x, "shareable", f"{x.driver.type} images cannot be written by several guests", hint)
    if kind == "lun":
        _lun(b, x)
    elif x.rawio:
        b.refuse(x, "rawio", "leave it out", text="only device='lun' passes commands to a disk")
    meaningless(x, "rawio")
    if x.sgio == "unfiltered":
        b.refuse(x, "sgio", "leave it out", text="no kernel of today lets unfiltered commands through")
    if x.transient and (kind != "disk" or x.readonly):
        b.problem(x, "transient", "nothing is written to this disk that could be dropped", "take <transient/> out")


def _lun(b: Build, x: Disk) -> None:
    """A device that gets the guest's own SCSI commands."""
    source = x.source
    local = x.type == "block" or (source is not None and plain(source).protocol == "iscsi")
    if not local:
        b.problem(x, "device", "only block devices and iSCSI units can be a lun", "use type='block', or device='disk'")
    if x.driver is not None and x.driver.type not in {None, "raw"}:
        b.problem(x.driver, "type", "a lun is no image", "use raw")
    if x.rawio:
        b.refuse(x, "rawio", "leave it out", text="QEMU runs without the right to raw I/O here")


def _device(b: Build, x: Disk, kind: str) -> dict[str, Any]:
    driver = x.driver
    options: dict[str, Any] = {"id": x.alias}
    if x.bus == "virtio":
        options |= _virtio(b, x)
    elif x.bus in {"sata", "ide"}:
        options |= _ata(b, x, "cd" if kind == "cdrom" else "hd")
    elif x.bus == "scsi":
        options |= _scsi(b, x, kind)
    elif x.bus == "usb":
        options |= {"driver": b.has(x, "bus", "usb-storage"), **usb(b, x), "removable": x.removable}
    elif x.bus == "fdc":
        options |= _floppy(b, x)
    elif x.bus == "nvme":
        options |= _namespace(b, x)
    else:
        options["driver"] = "floppy"  # refused before
    options["serial"] = _identity(b, x, "serial", x.serial)
    if x.bus != "fdc":
        options["bootindex"] = bootindex(b, x, x.boot)
    options["share-rw"] = True if x.shareable else None
    if kind not in REMOVABLE:
        options["logical_block_size"] = x.logical_block_size
        options["physical_block_size"] = x.physical_block_size
    options |= _geometry(x)
    options |= _policy(driver)
    cache = chain.cache_of(x)
    if cache is not None and kind != "lun":
        options["write-cache"] = "on" if cache[2] else "off"
    return options


def _virtio(b: Build, x: Disk) -> dict[str, Any]:
    driver = x.driver
    name = "vhost-user-blk" if x.type == "vhostuser" else "virtio-blk"
    options = {**virtio(b, x, name, x.model), **tuned(driver)}
    if driver:
        options |= {
            "num-queues": driver.queues,
            "queue-size": driver.queue_size,
            "ioeventfd": driver.ioeventfd,
            "event_idx": driver.event_idx,
        }
        if driver.iothread is not None:
            options["iothread"] = iothread(b, driver, "iothread", driver.iothread)
        if driver.iothreads:
            options["iothread-vq-mapping"] = _mapping(b, driver)
    return options


def _mapping(b: Build, driver: DiskDriver) -> list[dict[str, Any]]:
    """Which I/O thread serves which queues."""
    if not b.caps.has_feature("virtio-blk.iothread-vq-mapping"):
        text = f"this QEMU ({b.caps.binary}) cannot spread the queues of a disk over I/O threads"
        b.refuse(driver, "iothreads", "use iothread=", text=text)
    made = []
    for thread in driver.iothreads:
        entry: dict[str, Any] = {"iothread": iothread(b, thread, "id", thread.id or 0)}
        if thread.queues:
            entry["vqs"] = [queue.id or 0 for queue in thread.queues]
        made.append(entry)
    return made


def _drive(b: Build, x: Disk) -> DriveAddress:
    at = x.address
    if not isinstance(at, DriveAddress):
        b.problem(x, "address", "the disk needs a drive address", "leave the address out")
        return DriveAddress()
    return at


def _ata(b: Build, x: Disk, end: str) -> dict[str, Any]:
    at = _drive(b, x)
    controller, bus, unit = at.controller or 0, at.bus or 0, at.unit or 0
    meaningless(at, "target")
    options: dict[str, Any] = {"driver": b.has(x, "bus", f"ide-{end}"), "wwn": _wwn(b, x)}
    if end == "hd":
        options["rotation_rate"] = x.rotation_rate
    if x.bus == "sata":
        first = "ide" if b.machine.bus == "pcie" and controller == 0 else controller_id(b, "sata", controller)
        if bus:
            b.problem(at, "bus", "a SATA controller has one bus, 0", "leave the address out")
        return options | {"bus": f"{first}.{unit}"}
    if controller:
        b.problem(at, "controller", "there is one IDE controller, 0", "leave the address out")
    return options | {"bus": f"ide.{bus}", "unit": unit}


def _scsi(b: Build, x: Disk, kind: str) -> dict[str, Any]:
    at = _drive(b, x)
    controller, bus, target, unit = at.controller or 0, at.bus or 0, at.target or 0, at.unit or 0
    driver = {"cdrom": "scsi-cd", "lun": "scsi-block"}.get(kind, "scsi-hd")
    options: dict[str, Any] = {"driver": b.has(x, "bus", driver)}
    if controller_model(b, "scsi", controller) == "lsilogic":
        options |= {"bus": f"{controller_id(b, 'scsi', controller)}.{bus}", "scsi-id": unit}
        if target:
            b.problem(at, "target", "this controller has one target, 0, with units", "leave the address out")
    else:
        options |= {"bus": f"{controller_id(b, 'scsi', controller)}.0", "channel": bus, "scsi-id": target, "lun": unit}
    if kind == "lun":
        return options
    options |= {
        "wwn": _wwn(b, x),
        "vendor": _identity(b, x, "vendor", x.vendor),
        "product": _identity(b, x, "product", x.product),
        "device_id": f"drive-{x.alias}" if x.serial is None else x.serial,
    }
    if kind == "disk":
        options["rotation_rate"] = x.rotation_rate
    return options


def _floppy(b: Build, x: Disk) -> dict[str, Any]:
    at = _drive(b, x)
    meaningless(at, "target")
    unit = at.unit or 0
    if at.controller or at.bus or unit > 1:
        b.problem(at, "unit", "there is one floppy controller, with units 0 and 1", "leave the address out")
    meaningless(x, "boot")  # its controller has it
    if x.boot:
        meaningless(x.boot, "order")
    return {"driver": b.has(x, "bus", "floppy"), "unit": unit}


def _namespace(b: Build, x: Disk) -> dict[str, Any]:
    at = _drive(b, x)
    if at.target or at.unit:
        b.problem(at, "unit", "a namespace of NVMe has controller and bus only", "leave the address out")
    if x.serial is not None:
        hint = "write it in <controller type='nvme'>"
        b.refuse(x, "serial", hint, text="the serial number is that of the NVMe controller")
    if x.driver is not None and (x.driver.error_policy or x.driver.rerror_policy):
        b.refuse(x.driver, "error_policy", "leave it out", text="errors of NVMe are the guest's to handle")
    options = {"driver": b.has(x, "bus", "nvme-ns"), "bus": controller_id(b, "nvme", at.controller or 0)}
    return {**options, "nsid": (at.bus or 0) + 1, "eui64": _wwn(b, x)}


def _geometry(x: Disk) -> dict[str, Any]:
    claimed = x.geometry
    if claimed is None:
        return {}
    return {"cyls": claimed.cyls, "heads": claimed.heads, "secs": claimed.secs, "bios-chs-trans": claimed.trans}


def _policy(driver: DiskDriver | None) -> dict[str, Any]:
    if driver is None:
        return {}
    meaningless(driver, "name")
    errors = "enospc" if driver.error_policy == "enospace" else driver.error_policy
    read = driver.rerror_policy or (None if driver.error_policy == "enospace" else driver.error_policy)
    return {"werror": errors, "rerror": read}


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
