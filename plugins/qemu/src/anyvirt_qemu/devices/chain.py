"""The images of a disk, each above the one that it is based on: formats, encryption, slices, caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import BackingStore, Disk, Encryption, Source, meaningless, plain

from anyvirt_qemu.devices import source as storage
from anyvirt_qemu.devices.secret import secret
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import NodeUse, OverlayUse

# what a definition calls a format -> QEMU's driver for it
FORMATS: Final = {
    "raw": "raw", "qcow2": "qcow2", "qcow": "qcow", "qed": "qed", "vmdk": "vmdk", "vdi": "vdi", "vpc": "vpc",
    "bochs": "bochs", "cloop": "cloop", "dmg": "dmg", "ploop": "parallels", "fat": "raw",
}  # fmt: skip
# formats whose images can be based on others
BASED: Final = ("qcow2", "qcow", "qed", "vmdk")
# cache mode -> (direct, no-flush, write cache of the device)
CACHES: Final = {
    "none": (True, False, True),
    "writethrough": (False, False, False),
    "writeback": (False, False, True),
    "directsync": (True, False, False),
    "unsafe": (False, True, True),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One image of a chain, as the definition or a look at the images has it."""

    owner: Any
    kind: str
    source: Source
    format: str
    cache_size: int | None = None
    found: NodeUse | None = None


def cache_of(x: Disk) -> tuple[bool, bool, bool] | None:
    """The cache mode in parts; a disk that several guests write to is not cached."""
    mode = (x.driver.cache if x.driver else None) or "default"
    if mode == "default" and x.shareable and not x.readonly:
        mode = "none"
    return CACHES.get(mode)


def chain(b: Build, x: Disk, *, read_only: bool) -> list[NodeUse]:
    """Nodes for all images of a disk, written from the bottom up; told from the top down."""
    made: list[NodeUse] = []
    below: str | None = None
    layers = _layers(b, x)
    for depth in reversed(range(len(layers))):
        node = _image(b, x, layers[depth], below, read_only=read_only or depth > 0, top=depth == 0)
        made.insert(0, node)
        below = node.node
    if made and x.transient:
        made.insert(0, _overlay(b, x, made[0]))
    if made and x.driver is not None and x.driver.copy_on_read:
        name = f"n{b.node()}-cor"
        b.blockdev({"driver": "copy-on-read", "node-name": name, "file": made[0].node, "discard": "unmap"})
        made[0] = NodeUse(name, made[0].protocol, made[0].path, made[0].format)
    return made


def _overlay(b: Build, x: Disk, below: NodeUse) -> NodeUse:
    """What the guest writes goes to an image of its own, put on top before it runs, and removed when it has ended."""
    source = x.source
    number = b.node()
    base, node = f"n{number}-proto", f"n{number}-fmt"
    path = f"{b.storage.overlays}/{b.domain.uuid}-{x.target}.qcow2"
    text, hint = "", "take <transient/> out, and give the guest an overlay of the image"
    if x.transient_share_backing:
        text = "the image below is opened for this guest alone"
    elif source is None or x.type not in {None, "file", "block"} or source.fdgroup is not None or source.slices:
        text = "only a file or a device of this host is given a layer that is dropped"
    elif source.encryption is not None or x.encryption is not None:
        text = "what is encrypted in the image would lie open in the layer above"
    elif not b.storage.overlays:
        text = "there is no place for what would be dropped when the guest ends"
    if text:
        b.refuse(x, "transient", hint, text=text)
    cache = cache_of(x)
    flags = {} if cache is None else {"cache": {"direct": cache[0], "no-flush": cache[1]}}
    file = {"driver": "file", "node-name": base, "filename": path, "discard": "unmap", **flags}
    b.overlays.append(OverlayUse(path, below.path, below.format))
    b.sockets.append(path)
    rules = {key: value for key, value in _zeroes(x, top=True).items() if value is not None}
    b.step("blockdev-add", {"driver": "qcow2", "node-name": node, "file": file, "backing": None, **flags, **rules})
    b.step("blockdev-snapshot", {"node": below.node, "overlay": node})
    return NodeUse(node, base, path, "qcow2")


def _layers(b: Build, x: Disk) -> list[Layer]:
    """The images from the top down: as the definition lists them, then as they were found."""
    source = x.source
    if source is None:
        return []
    driver = x.driver
    layers = [Layer(x, str(x.type or "file"), source, _format(b, x), driver.metadata_cache if driver else None)]
    store = x.backing_store
    while store is not None and store.source is not None:
        meaningless(store, "index")
        form = _format(b, store)
        layers.append(Layer(store, str(store.type or "file"), store.source, form, store.metadata_cache))
        store = store.backing_store
    if store is None:  # nobody says where it ends
        layers += _rest(b, x, layers[-1])
    return layers


def _rest(b: Build, x: Disk, last: Layer) -> list[Layer]:
    """What a look at the images has found below the last one that the definition lists."""
    if last.format not in BASED:
        return []
    found = b.chains.get(x.target or "")
    if found is not None:
        return [Layer(last.owner, "file", last.source, use.format, found=use) for use in found[1:]]
    if last.kind in {"file", "block"}:
        b.problem(last.owner, "backing_store", "nobody has looked at the image's chain", "end it with <backingStore/>")
    else:
        name = storage.described(storage.Place(last.owner, last.kind, last.source, ""))
        text = "is taken to be complete: nobody has looked whether another image is below; end it with <backingStore/>"
        b.warnings.append(f"{last.format} image {name} of disk {x.target} {text}")
    return []


def _format(b: Build, x: Disk | BackingStore) -> str:
    """QEMU's driver for the format that is named; raw where none is: a format is never guessed."""
    owner: Any = x
    if isinstance(x, Disk):
        owner = x.driver or x
        name, field = (x.driver.type if x.driver else None) or "raw", "type"
    else:
        name, field = x.format or "raw", "format"
    driver = FORMATS.get(name)
    folder = x.type == "dir"
    if driver is None:
        hint = "use type='dir' of the disk" if name == "dir" else f"use one of {', '.join(FORMATS)}"
        b.refuse(owner, field, hint, text=f"QEMU has no image format {name}")
    elif folder != (name == "fat"):
        text = "a directory is shown as a FAT file system" if folder else "only a directory is shown as FAT"
        b.problem(owner, field, text, "use type='fat'" if folder else "use type='dir' of the disk, or format raw")
    elif driver != "raw" and not b.caps.has_feature(f"blockdev.{driver}"):
        b.refuse(owner, field, "convert the image", text=f"this QEMU ({b.caps.binary}) has no block driver {driver}")
    return driver or "raw"


def _image(b: Build, x: Disk, layer: Layer, below: str | None, *, read_only: bool, top: bool) -> NodeUse:
    """Protocol node, slice and format node of one image."""
    number = b.node()
    base, node = f"n{number}-proto", f"n{number}-fmt"
    cache = cache_of(x)
    flags = {} if cache is None else {"cache": {"direct": cache[0], "no-flush": cache[1]}}
    common = {"auto-read-only": True, "discard": "unmap", **flags}
    if layer.found is not None:
        path = layer.found.path
        io = x.driver.io if x.driver else None
        b.blockdev({"driver": layer.found.protocol, "node-name": base, "filename": path, "aio": io, **common})
        file, options = base, _format_node(b, x, layer.format, None, node, base, below, layer.cache_size)
        encryption: Encryption | None = None
    else:
        path = storage.described(storage.Place(layer.owner, layer.kind, layer.source, base))
        reached = storage.protocol(b, _place(x, layer, base, top=top))
        if _lone(b, layer):
            common |= {"read-only": read_only}
            del common["auto-read-only"]
        b.blockdev({"driver": reached.pop("driver"), "node-name": base, **reached, **common})
        encryption = layer.source.encryption or (x.encryption if top else None)
        file, slice_of = _slice(b, layer, encryption, base, f"n{number}-slice", common)
        options = _format_node(b, x, layer.format, encryption, node, file, below, layer.cache_size) | slice_of
    options |= {"read-only": read_only, **flags}
    b.blockdev(options | _zeroes(x, top=top))
    return NodeUse(node, base, path, layer.format)


def _place(x: Disk, layer: Layer, name: str, *, top: bool) -> storage.Place:
    return storage.Place(
        layer.owner,
        layer.kind,
        layer.source,
        name,
        device=str(x.device or "disk"),
        auth=x.auth if top else None,
        encryption=x.encryption if top else None,
        io=x.driver.io if x.driver else None,
        alias=x.alias or "",
    )


def _lone(b: Build, layer: Layer) -> bool:
    """Whether there is one descriptor only, which cannot be exchanged for another that may write."""
    group = plain(layer.source).fdgroup
    return group is not None and b.storage.groups.get(group) == 1


def _slice(
    b: Build, layer: Layer, encryption: Encryption | None, base: str, name: str, common: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The node that a format node stands on, and what a raw one needs to show a part of it only."""
    slices = layer.source.slices
    if not slices:
        return base, {}
    part = slices[0]
    meaningless(part, "type")
    if len(slices) > 1:
        b.refuse(slices[1], "", "keep one", text="an image is a part of its storage once")
    window = {"offset": part.offset or 0, "size": part.size}
    if layer.format == "raw" and not _by_qemu(encryption):
        return base, window
    b.blockdev({"driver": "raw", "node-name": name, "file": base, **window, **common})
    return name, {}


def _by_qemu(encryption: Encryption | None) -> bool:
    return encryption is not None and plain(encryption).engine != "librbd"


def _format_node(
    b: Build,
    x: Disk,
    form: str,
    encryption: Encryption | None,
    node: str,
    file: str,
    below: str | None,
    cache_size: int | None,
) -> dict[str, Any]:
    options: dict[str, Any] = {"driver": form, "node-name": node, "file": file}
    if form in BASED:
        options["backing"] = below
    if form == "qcow2":
        options["cache-size"] = cache_size
        options["discard-no-unref"] = _no_unref(b, x)
    elif cache_size is not None:
        b.problem(x, "driver", f"{form} images have no metadata to cache", "leave <metadata_cache> out")
    if encryption is not None:
        meaningless(encryption, "ivgen_hash")
        _encryption(b, encryption, options)
    return options


def _no_unref(b: Build, x: Disk) -> bool | None:
    wanted = x.driver.discard_no_unref if x.driver else None
    if wanted is not None and not b.caps.has_feature("qcow2.discard-no-unref"):
        text = f"this QEMU ({b.caps.binary}) cannot keep the place of clusters that were discarded"
        b.refuse(x.driver, "discard_no_unref", "leave it out", text=text)
    return wanted


def _encryption(b: Build, x: Encryption, options: dict[str, Any]) -> None:
    """Who decrypts, and with what."""
    if x.engine == "librbd":
        return  # its node does
    if x.format != "luks" or len(x.secrets) != 1:
        field = "format" if x.format != "luks" else "secrets"
        b.refuse(x, field, "use luks, with one secret", text="QEMU decrypts LUKS with one passphrase here")
        return
    if x.cipher is not None or x.ivgen_name is not None:
        b.refuse(x, "cipher", "leave it out", text="the cipher is that of the image's header")
    if options["driver"] not in {"raw", "qcow2"}:
        b.refuse(x, "format", "use raw or qcow2", text=f"images of format {options['driver']} are not encrypted")
        return
    key = secret(b, x.secrets[0], f"{options['node-name']}-key")
    if options["driver"] == "raw":
        options |= {"driver": "luks", "key-secret": key}
    else:
        options["encrypt"] = {"format": "luks", "key-secret": key}


def _zeroes(x: Disk, *, top: bool) -> dict[str, Any]:
    """What becomes of discarded blocks, and of those that are written with zeroes."""
    if x.driver is None:
        return {}
    zeroes = x.driver.detect_zeroes if top else None
    if zeroes == "unmap" and x.driver.discard != "unmap":
        zeroes = "on"
    return {"discard": x.driver.discard, "detect-zeroes": zeroes}
