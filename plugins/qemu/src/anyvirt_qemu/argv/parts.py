"""Controllers and small devices: what ``-device`` says without a back end, or with one that is an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from anyvirt.api import (
    Controller,
    ControllerDriver,
    ControllerTarget,
    Crypto,
    Filesystem,
    FilesystemDriver,
    HostAddress,
    Hostdev,
    HostdevSource,
    Hub,
    Input,
    Iommu,
    IsaAddress,
    Memballoon,
    Panic,
    Rng,
    Sound,
    SoundCodec,
    Tpm,
    UsbAddress,
    Video,
    VirtioOptions,
    Vsock,
    Watchdog,
)

from anyvirt_qemu.argv.draft import ADDRESS, Draft, made, tuned, variant
from anyvirt_qemu.argv.given import Given, number, on, words_of
from anyvirt_qemu.devices.controller import SCSI, USB
from anyvirt_qemu.devices.sound import OTHERS, PCI

BRIDGES: Final = {
    "pcie-root-port": "pcie-root-port", "ioh3420": "pcie-root-port", "x3130-upstream": "pcie-switch-upstream-port",
    "xio3130-downstream": "pcie-switch-downstream-port", "pci-bridge": "pci-bridge",
    "i82801b11-bridge": "dmi-to-pci-bridge", "pcie-pci-bridge": "pcie-to-pci-bridge",
}  # fmt: skip
UNITS: Final = {
    **{device: ("usb", model) for model, device in USB.items()},
    **{device: ("scsi", model) for model, device in SCSI.items()},
    "lsi": ("scsi", "lsilogic"), "spapr-vscsi": ("scsi", "ibmvscsi"),
    "ahci": ("sata", None), "ich9-ahci": ("sata", None), "usb-ccid": ("ccid", None),
    "isa-fdc": ("fdc", None), "nvme": ("nvme", None),
}  # fmt: skip
INPUTS: Final = {
    "usb-tablet": ("tablet", "usb"), "usb-mouse": ("mouse", "usb"), "usb-kbd": ("keyboard", "usb"),
    "virtio-tablet": ("tablet", "virtio"), "virtio-mouse": ("mouse", "virtio"),
    "virtio-keyboard": ("keyboard", "virtio"), "virtio-input-host": ("passthrough", "virtio"),
}  # fmt: skip
VIDEOS: Final = {
    "VGA": "vga", "cirrus-vga": "cirrus", "vmware-svga": "vmvga", "bochs-display": "bochs", "ramfb": "ramfb",
    "qxl-vga": "qxl", "qxl": "qxl", "virtio-vga": "virtio", "virtio-gpu": "virtio", "virtio-vga-gl": "virtio",
    "virtio-gpu-gl": "virtio",
}  # fmt: skip
FIRST: Final = frozenset({"VGA", "cirrus-vga", "vmware-svga", "qxl-vga", "virtio-vga", "virtio-vga-gl"})
SOUNDS: Final = {
    **{device: model for model, device in PCI.items()},
    **{device: model for model, device in OTHERS.items()},
}
CODECS: Final = {"hda-duplex": "duplex", "hda-micro": "micro", "hda-output": "output"}
WATCHDOGS: Final = {"i6300esb": "i6300esb", "ib700": "ib700", "diag288": "diag288"}
ACCESS: Final = {"passthrough": "passthrough", "mapped": "mapped", "mapped-xattr": "mapped", "none": "squash"}
KIB: Final = 1 << 10
MIB: Final = 1 << 20


def controllers(d: Draft) -> None:
    """Controllers, before whatever sits behind them."""
    found = d.every("device")
    for given in found:
        name = str(given.options.get("driver", ""))
        model = BRIDGES.get(name) or ("pci-expander-bus" if name == "pxb" else None)
        if name == "pxb-pcie":
            model = "pcie-expander-bus"
        if model is not None:
            d.buses[given.id] = ("pci", _index(d, "pci", given.id, first=1))
    for given in found:
        name = str(given.options.get("driver", ""))
        if given.id in d.buses and d.buses[given.id][0] == "pci":
            _bridge(d, given, BRIDGES.get(name) or ("pcie-expander-bus" if name == "pxb-pcie" else "pci-expander-bus"))
    for given in found:
        base, kind = variant(str(given.options.get("driver", "")))
        if base == "virtio-scsi":
            _scsi(d, given, kind or "virtio-scsi")
        elif base == "virtio-serial":
            _serials(d, given, kind)
        elif base in UNITS and not given.done:
            _unit(d, given, *UNITS[base])
    for given in d.every("usb"):
        given.done = True
        if not any(x.type == "usb" for x in d.many.get("controllers", ())):
            _built(d, "usb", 0, "piix3-uhci" if not d.q35 else "ich9-ehci1")
    if d.arch in {"x86_64", "i686", "ppc64"} and not any(x.type == "usb" for x in d.many.get("controllers", ())):
        needed = any(str(given.options.get("driver", "")).startswith("usb-") for given in d.every("device"))
        if not needed and not d.every("usbdevice"):
            d.add("controllers", made(Controller, type="usb", index=0, model="none"))


def _built(d: Draft, kind: Any, index: int, model: Any) -> None:
    d.buses[kind] = (kind, index)
    d.add("controllers", Controller(type=kind, index=index, model=model))


def _index(d: Draft, kind: str, name: str, *, first: int = 0) -> int:
    """The number that an id such as ``pci.3`` or ``usb1`` has, where it is free, or the next one."""
    taken = {index for owner, (other, index) in d.buses.items() if other == kind}
    text = name.removeprefix(kind).lstrip(".")
    wanted = first if name == kind else int(text) if text.isdecimal() and name.startswith(kind) else None
    if wanted is not None and wanted >= first and wanted not in taken:
        return wanted
    return next(number for number in range(first, 65536) if number not in taken)


def _bridge(d: Draft, given: Given, model: Any) -> None:
    index = d.buses[given.id][1]
    target = ControllerTarget(
        chassis_nr=given.number("chassis_nr"),
        chassis=given.number("chassis"),
        port=given.number("port"),
        bus_nr=given.number("bus_nr"),
        hotplug=given.switch("hotplug"),
        node=given.number("numa_node"),
    )
    address = d.place(given)
    name = "ioh3420" if given.options.get("driver") == "ioh3420" else None
    d.add(
        "controllers",
        Controller(
            type="pci", index=index, model=model, pci_model=name, address=address,  # type: ignore[arg-type]
            target=None if target == ControllerTarget() else target,
        ),
        given,
    )  # fmt: skip


def _scsi(d: Draft, given: Given, model: Any) -> None:
    index = _index(d, "scsi", given.id)
    d.buses[given.id or f"scsi{index}"] = ("scsi", index)
    driver = {
        "queues": given.number("num_queues"),
        "cmd_per_lun": given.number("cmd_per_lun"),
        "max_sectors": given.number("max_sectors"),
        "ioeventfd": given.switch("ioeventfd"),
        **tuned(given),
    }
    thread = str(given.options.get("iothread", ""))
    if d.buses.get(thread, ("", 0))[0] == "iothread":
        given.take("iothread")
        driver["iothread"] = d.buses[thread][1]
    own = {key: value for key, value in driver.items() if value is not None}
    x = Controller(type="scsi", index=index, model=model, driver=ControllerDriver(**own) if own else None)  # type: ignore[arg-type]
    d.add("controllers", x.replace(address=d.place(given)), given)


def _serials(d: Draft, given: Given, model: Any) -> None:
    index = _index(d, "virtio-serial", given.id)
    d.buses[given.id or f"virtio-serial{index}"] = ("virtio-serial", index)
    own = tuned(given)
    x = Controller(
        type="virtio-serial",  # type: ignore[arg-type]
        index=index,
        model=model,
        ports=given.number("max_ports"),
        vectors=given.number("vectors"),
        driver=ControllerDriver(**own) if own else None,
        address=d.place(given),
    )
    d.add("controllers", x, given)


def _unit(d: Draft, given: Given, kind: Any, model: Any) -> None:
    master = str(given.options.get("masterbus", "")).rpartition(".")[0]
    if kind == "fdc":
        orders = {unit: given.options.get(f"bootindex{'AB'[unit]}") for unit in (0, 1)}
        if not set(given.options) - {"driver", "id", "bootindexA", "bootindexB"}:
            d.floppies = {unit: number(order) for unit, order in orders.items()}
            given.done = True  # a floppy drive brings it along
        return
    companion = d.buses.get(master)
    index = companion[1] if companion is not None else _index(d, kind, given.id)
    x = Controller(type=kind, index=index, model=model)
    if kind == "nvme":
        x = x.replace(serial=given.string("serial"))
        _namespace(d, given, f"nvme{index}")
    if companion is not None:
        given.take("masterbus")
        x = x.replace(master=given.number("firstport"))
    else:
        d.buses[given.id or f"{kind}{index}"] = (kind, index)
    if kind == "usb":
        x = x.replace(ports=given.number("p2") or given.number("ports"))
        given.take("p3")
    x = x.replace(address=seat(d, given) if kind == "ccid" else d.place(given))
    d.add("controllers", x, given)


def _namespace(d: Draft, given: Given, name: str) -> None:
    """The disk of an NVMe controller that has one itself, as a device of its own."""
    drive = given.take("drive")
    if drive is not None:
        rest = {"driver": "nvme-ns", "bus": given.id or name, "drive": drive}
        order = given.take("bootindex")
        rest |= {} if order is None else {"bootindex": order}
        text = ",".join(f"{key}={words_of(value)}" for key, value in rest.items()).removeprefix("driver=")
        d.given.append(Given("device", text, ("-device", text), rest))


def seat(d: Draft, given: Given) -> Any:
    """The USB address of a device, where it has one that a definition can name."""
    owner = str(given.options.get("bus", "")).rpartition(".")[0]
    kind, index = d.buses.get(owner, ("", 0))
    if kind == "usb":
        given.take("bus")
        port = given.string("port")
        return UsbAddress(bus=index, port=port) if port else None
    return None


def small(d: Draft) -> None:
    """Every other device that has a word."""
    for given in d.every("device"):
        base, model = variant(str(given.options.get("driver", "")))
        if base in INPUTS:
            _input(d, given, *INPUTS[base])
        elif base in VIDEOS:
            _video(d, given, base)
        elif base in SOUNDS:
            _sound(d, given, SOUNDS[base])
        elif base in WATCHDOGS:
            _watchdog(d, given, WATCHDOGS[base])
        elif (make := MAKERS.get(base)) is not None:
            make(d, given, model)
    _codecs(d)
    for given in d.every("watchdog"):
        given.done = True
        _watchdog(d, Given("device", "", given.words, {"driver": given.text}), given.text)
    balloon = d.last("balloon")
    if balloon is not None and balloon.text != "none":
        d.fields["memballoon"] = Memballoon(model="virtio")
    for given in d.every("usbdevice"):
        name = INPUTS.get(f"usb-{given.text.replace('keyboard', 'kbd')}")
        if name is not None:
            given.done = True
            d.add("inputs", Input(type=name[0], bus="usb"))  # type: ignore[arg-type]
    for given in d.every("soundhw"):
        names = {"hda": "ich6", "ac97": "ac97", "es1370": "es1370", "sb16": "sb16"}
        for part in given.text.split(","):
            if part in names:
                given.done = True
                d.add("sounds", Sound(model=names[part]))  # type: ignore[arg-type]


def _input(d: Draft, given: Given, kind: Any, bus: Any) -> None:
    path = given.string("evdev") if kind == "passthrough" else None
    address = seat(d, given) if bus == "usb" else d.place(given)
    d.add("inputs", Input(type=kind, bus=bus, evdev=path, address=address), given)


def _video(d: Draft, given: Given, base: str) -> None:
    model: Any = VIDEOS[base]
    own: dict[str, Any] = {
        "heads": given.number("max_outputs") if model in {"qxl", "virtio"} else None,
        "accel3d": True if base.endswith("-gl") else None,
        "resolution_x": given.number("xres"),
        "resolution_y": given.number("yres"),
    }
    if model == "qxl":
        own |= {"ram": given.number("ram_size"), "vram": given.number("vram_size")}
        for key, field in (("vram64_size_mb", "vram64"), ("vgamem_mb", "vgamem")):
            value = given.number(key)
            own[field] = value * MIB if value else None
    elif "vgamem_mb" in given.options and model in {"vga", "vmvga"}:
        own["vram"] = (given.number("vgamem_mb") or 0) * MIB or None
    elif model == "bochs":
        own["vram"] = given.number("vgamem")
    elif model == "virtio":
        own["blob"] = given.switch("blob")
    first = base in FIRST and not d.many.get("videos")
    x = Video(model=model, primary=True if first else None)
    x = x.replace(**{key: value for key, value in own.items() if value is not None})
    d.add("videos", x.replace(address=d.place(given) if model != "ramfb" else None), given)


def _sound(d: Draft, given: Given, model: Any) -> None:
    if model in {"ich6", "ich7"} and not any("hda-" in str(x.options.get("driver", "")) for x in d.every("device")):
        d.note(f"the sound card {model} gets a codec, which it had none of")
    d.buses[given.id] = ("sound", len(d.many.get("sounds", ())))
    audio = _audio(d, given)
    d.add(
        "sounds", Sound(model=model, audio=audio, address=seat(d, given) if model == "usb" else d.place(given)), given
    )


def _audio(d: Draft, given: Given) -> int | None:
    found = d.buses.get(str(given.options.get("audiodev", "")))
    if found is None or found[0] != "audio":
        return None
    given.take("audiodev")
    return found[1]


def _codecs(d: Draft) -> None:
    for given in d.every("device"):
        kind: Any = CODECS.get(str(given.options.get("driver", "")))
        owner = d.buses.get(str(given.options.get("bus", "")).rpartition(".")[0])
        if kind is None or owner is None or owner[0] != "sound":
            continue
        sounds = d.many["sounds"]
        x = sounds[owner[1]]
        audio = _audio(d, given)
        given.done = True
        sounds[owner[1]] = x.replace(
            codecs=(*x.codecs, SoundCodec(type=kind)), audio=x.audio if audio is None else audio
        )


def _watchdog(d: Draft, given: Given, model: Any) -> None:
    action = d.last("watchdog-action")
    x = made(Watchdog, model=model, action=action.text if action is not None else d.expiry)
    d.add("watchdogs", x.replace(address=d.place(given) if model == "i6300esb" else None), given)


def _balloon(d: Draft, given: Given, model: Any) -> None:
    own = tuned(given)
    d.fields["memballoon"] = Memballoon(
        model=model or "virtio",
        autodeflate=given.switch("deflate-on-oom"),
        free_page_reporting=given.switch("free-page-reporting"),
        driver=VirtioOptions(**own) if own else None,
        address=d.place(given),
    )
    d.add("memballoons", d.fields["memballoon"], given)
    d.fields["memballoon"] = d.many.pop("memballoons")[0]


def _rng(d: Draft, given: Given, model: Any) -> None:
    back = d.back("object", given.options.get("rng"))
    kind: Any = str(back.options.get("qom-type", "")) if back is not None else ""
    if back is None or kind not in {"rng-random", "rng-builtin"}:
        return
    given.take("rng")
    back.done = True
    own = tuned(given)
    x = Rng(
        model=model or "virtio",
        backend=kind.removeprefix("rng-"),
        path=back.string("filename") or ("/dev/urandom" if kind == "rng-random" else None),
        rate_bytes=given.number("max-bytes"),
        rate_period=given.number("period"),
        driver=VirtioOptions(**own) if own else None,
        address=d.place(given),
    )
    d.add("rngs", x, given)


def _vsock(d: Draft, given: Given, model: Any) -> None:
    given.take("vhostfd")
    x = Vsock(model=model or "virtio", cid=given.number("guest-cid"), address=d.place(given))
    d.add("vsocks", x, given)
    d.fields["vsock"] = d.many.pop("vsocks")[0]


def _pvpanic(d: Draft, given: Given, _model: Any) -> None:
    if given.options.get("driver") == "pvpanic-pci":
        d.add("panics", Panic(model="pvpanic", address=d.place(given)), given)
        return
    port = given.number("ioport")
    d.add("panics", Panic(model="isa", address=None if port is None else IsaAddress(iobase=port)), given)


def _hub(d: Draft, given: Given, _model: Any) -> None:
    d.add("hubs", Hub(type="usb", address=seat(d, given)), given)


def _crypto(d: Draft, given: Given, _model: Any) -> None:
    back = d.back("object", given.options.get("cryptodev"))
    kind = str(back.options.get("qom-type", "")) if back is not None else ""
    name: Any = kind.removeprefix("cryptodev-backend-")
    if back is None or name not in {"builtin", "lkcf"}:
        return
    given.take("cryptodev")
    back.done = True
    x = Crypto(model="virtio", type="qemu", backend=name, queues=back.number("queues"), address=d.place(given))
    d.add("cryptos", x, given)


def _tpm(d: Draft, given: Given, _model: Any) -> None:
    back = d.back("tpmdev", given.options.get("tpmdev"))
    model: Any = given.options.get("driver")
    kind = back.options.get("type") if back is not None else None
    if back is None:
        return
    if kind == "passthrough":
        x = Tpm(model=model, type="passthrough", device=back.string("path"))  # type: ignore[arg-type]
    else:
        chardev = d.back("chardev", back.options.get("chardev"))
        path = chardev.options.get("path") if chardev is not None else None
        if chardev is None or path is None:
            return
        chardev.done = True
        x = Tpm(model=model, type="external", source_type="unix", source_path=str(path))  # type: ignore[arg-type]
        d.note(f"the TPM at {path} is one that somebody else runs; write type='emulator' for one of the guest's own")
    given.take("tpmdev")
    back.done = True
    d.add("tpms", x, given)


def _shared(d: Draft, given: Given, model: Any) -> None:
    back = d.back("fsdev", given.options.get("fsdev"))
    if back is None or back.options.get("fsdriver") != "local":
        return
    given.take("fsdev")
    back.done = True
    d.add("filesystems", _folder(d, back, given.string("mount_tag"), model).replace(address=d.place(given)), given)


def _folder(d: Draft, back: Given, tag: str | None, model: Any) -> Filesystem:
    policy: Any = "immediate" if back.options.get("writeout") == "immediate" else None
    security = str(back.options.get("security_model", "none"))
    if security not in ACCESS:
        d.note(f"security_model={security} has no word; the folder {back.options.get('path')} is shared as mapped")
    modes: dict[str, int | None] = {"fmode": None, "dmode": None}
    for key in modes:
        text = words_of(back.options.get(key, ""))
        modes[key] = int(text, 8) if text and set(text) <= set("01234567") else None
    return made(
        Filesystem,
        type="mount",
        model=model,
        accessmode=ACCESS.get(security, "mapped"),
        multidevs=back.options.get("multidevs"),
        driver=FilesystemDriver(type="path", wrpolicy=policy),
        source_dir=d.path(str(back.options.get("path", ""))),
        target=tag,
        readonly=on(back.options.get("readonly")),
        **modes,
    )


def folders(d: Draft) -> None:
    """``-virtfs``: a folder and its device in one."""
    for given in d.every("virtfs"):
        if given.options.get("fsdriver") == "local":
            given.done = True
            d.add("filesystems", _folder(d, given, given.string("mount_tag"), None))


def _virtiofs(d: Draft, given: Given, model: Any) -> None:
    chardev = d.back("chardev", given.options.get("chardev"))
    path = chardev.options.get("path") if chardev is not None else None
    if chardev is None or path is None:
        return
    chardev.done = True
    given.take("chardev")
    driver = FilesystemDriver(type="virtiofs", queue=given.number("queue-size"), **tuned(given))
    x = Filesystem(
        type="mount",  # type: ignore[arg-type]
        model=model,
        accessmode="passthrough",
        driver=driver,
        source_socket=str(path),
        target=given.string("tag"),
        boot=d.boot(given),
        address=d.place(given),
    )
    d.add("filesystems", x, given)


def _vfio(d: Draft, given: Given, _model: Any) -> None:
    text = str(given.options.get("host", "")).removeprefix("0000:")
    parts = text.split(":")
    at = ADDRESS.fullmatch(parts[-1])
    bus = number(f"0x{parts[-2]}") if len(parts) > 1 else None
    if at is None or bus is None:
        return
    given.take("host")
    domain = number(f"0x{parts[0]}") if len(parts) > 2 else 0
    place = HostAddress(domain=domain, bus=bus, slot=int(at[1], 16), function=int(at[2] or "0", 16))
    x = Hostdev(mode="subsystem", type="pci", managed=True, driver="vfio", source=HostdevSource(address=place))  # type: ignore[arg-type]
    d.add("hostdevs", x.replace(boot=d.boot(given), address=d.place(given)), given)


def _usb_host(d: Draft, given: Given, _model: Any) -> None:
    vendor, product = number(given.options.get("vendorid")), number(given.options.get("productid"))
    bus, device = number(given.options.get("hostbus")), number(given.options.get("hostaddr"))
    parts = str(given.options.get("hostdevice", "")).split("/")
    if len(parts) > 2 and parts[-1].isdecimal() and parts[-2].isdecimal():
        bus, device = int(parts[-2]), int(parts[-1])
    if vendor is not None and product is not None:
        source = HostdevSource(vendor=vendor, product=product)
    elif bus is not None and device is not None:
        source = HostdevSource(address=HostAddress(bus=bus, device=device))
    else:
        return
    given.take("vendorid", "productid", "hostbus", "hostaddr", "hostdevice")
    x = Hostdev(mode="subsystem", type="usb", managed=True, source=source)  # type: ignore[arg-type]
    d.add("hostdevs", x.replace(boot=d.boot(given), address=seat(d, given)), given)


def _iommu(d: Draft, given: Given, _model: Any) -> None:
    if given.options.get("driver") == "virtio-iommu-pci":
        d.add("iommus", Iommu(model="virtio", address=d.place(given)), given)
    else:
        x = Iommu(
            model="intel",
            intremap=given.switch("intremap"),
            caching_mode=given.switch("caching-mode"),
            eim=given.switch("eim"),
            iotlb=given.switch("device-iotlb"),
            aw_bits=given.number("aw-bits"),
        )
        d.add("iommus", x, given)
    d.fields["iommu"] = d.many.pop("iommus")[0]


MAKERS: Final[dict[str, Callable[[Draft, Given, Any], None]]] = {
    "virtio-balloon": _balloon, "virtio-rng": _rng, "vhost-vsock": _vsock, "pvpanic": _pvpanic, "usb-hub": _hub,
    "virtio-crypto": _crypto, "tpm-tis": _tpm, "tpm-crb": _tpm, "tpm-spapr": _tpm, "virtio-9p": _shared,
    "vhost-user-fs": _virtiofs, "vfio": _vfio, "usb-host": _usb_host, "intel-iommu": _iommu, "virtio-iommu": _iommu,
}  # fmt: skip
