"""Video cards."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import PciAddress, Video, meaningless

from anyvirt_qemu.devices import vhost
from anyvirt_qemu.devices.common import pci, tuned, virtio
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.machines import family

MIB: Final = 1 << 20
CARDS: Final = {
    "vga": "VGA",
    "cirrus": "cirrus-vga",
    "vmvga": "vmware-svga",
    "bochs": "bochs-display",
    "ramfb": "ramfb",
}
SIZED: Final = frozenset({"vga", "vmvga"})  # cards whose memory can be chosen in MiB
# virtio's cards by who draws: that which shows text from the start, and another one
DRAWN: Final = {
    "qemu": ("virtio-vga", "virtio-gpu-pci"),
    "gl": ("virtio-vga-gl", "virtio-gpu-gl-pci"),
    "vhostuser": ("vhost-user-vga", "vhost-user-gpu-pci"),
}


def video(b: Build, x: Video) -> None:
    """A video card."""
    model = x.model or "vga"
    first = b.domain.videos[0]
    primary = x.primary is True or (x is first and x.primary is None)
    if x.driver:
        meaningless(x.driver, "vgaconf")
    if x.accel2d:
        b.warnings.append("2D acceleration is no choice of QEMU's video cards")
    if model == "none":
        meaningless(x)
        return
    options: dict[str, Any] = {"id": x.alias, "xres": x.resolution_x, "yres": x.resolution_y}
    if model == "virtio":
        options |= _virtio(b, x, primary=primary)
    elif model == "qxl":
        options |= _qxl(b, x, primary=primary)
    elif model in CARDS:
        options["driver"] = b.has(x, "model", CARDS[model])
        if model == "bochs":
            options["vgamem"] = x.vram
        elif model in SIZED:
            options["vgamem_mb"] = None if x.vram is None else max(1, x.vram // MIB)
    else:
        b.refuse(x, "model", f"use virtio, qxl, none, {', '.join(CARDS)}")
        return
    _unhonoured(b, x, model)
    if model == "ramfb":
        options = {"driver": "ramfb", "id": x.alias}
    elif isinstance(x.address, PciAddress) or model != "virtio":
        options |= pci(b, x)
    b.device(options)


def _virtio(b: Build, x: Video, *, primary: bool) -> dict[str, Any]:
    meaningless(x, "vram", "ram", "vgamem")
    outside = x.driver is not None and x.driver.name == "vhostuser"
    names = DRAWN["vhostuser" if outside else "gl" if x.accel3d else "qemu"]
    shows = primary and family(b.machine, b.caps.arch).vga
    driver = names[0] if shows and b.caps.has_device(names[0]) else names[1]
    if x.address is None or isinstance(x.address, PciAddress):
        found = {"driver": b.has(x, "model", driver), **tuned(x.driver), "max_outputs": x.heads}
    else:
        found = virtio(b, x, driver.removesuffix("-pci")) | tuned(x.driver) | {"max_outputs": x.heads}
    if outside:
        vhost.shared(b, x, "model")
        found["chardev"] = _drawn_outside(b, x)
    else:
        found["blob"] = x.blob
    return found


def _drawn_outside(b: Build, x: Video) -> str:
    from anyvirt_qemu.devices.drawing import drawing

    return drawing(b, x)


def _qxl(b: Build, x: Video, *, primary: bool) -> dict[str, Any]:
    return {
        "driver": b.has(x, "model", "qxl-vga" if primary else "qxl"),
        "max_outputs": x.heads,
        "ram_size": x.ram,
        "vram_size": x.vram,
        "vram64_size_mb": (x.vram64 or 0) // MIB,
        "vgamem_mb": None if x.vgamem is None else max(1, x.vgamem // MIB),
    }


def _unhonoured(b: Build, x: Video, model: str) -> None:
    """What other cards have, and what says nothing here."""
    if model != "virtio":
        if x.accel3d:
            b.refuse(x, "accel3d", "only a virtio card draws in three dimensions")
        meaningless(x, "accel3d", "vram")
        if x.driver is not None:
            if x.driver.name not in {None, "qemu"}:
                b.refuse(x.driver, "name", "only a virtio card can be served by another program")
            meaningless(x.driver)
    if model not in {"virtio", "qxl"}:
        if (x.heads or 1) > 1:
            b.refuse(x, "heads", "use virtio or qxl", text=f"a card of type {model} has one screen")
        meaningless(x, "ram", "vgamem")
