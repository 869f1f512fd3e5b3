"""The image that a new volume is to stand on: looked at by its declared format, never opened with what is below it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid, NotFound, Problem

from anyvirt_host.storage.folder import Folder
from anyvirt_host.storage.header import HEAD, Header, backing_path, qcow2

if TYPE_CHECKING:
    from anyvirt_host.storage.site import Site
    from anyvirt_host.storage.wish import Wish

PLACE: Final = "/backingStore/path"


def settled(wish: Wish, site: Site) -> Wish:
    """The wish, with the size of the image below where it names none.

    :raises NotFound: there is no such image.
    :raises Invalid: it is no image of that format, or says itself what it stands on and nobody else did.
    """
    path = wish.backing
    place, _, name = path.rpartition("/")
    folder = Folder(place or "/", site.run)
    sight = folder.look(name)
    if sight is None:
        raise NotFound(path, "file", hint="name the image itself, no link to it")
    if sight.type == "dir":
        raise _refused(f"{path!r} is neither a file nor a device", "name an image")
    size = sight.physical if wish.backing_format == "raw" else None
    if wish.backing_format == "qcow2" and sight.type == "file":
        header = _header(folder, name, path)
        size = header.size
        if header.backing:
            said = site.declared(path, sight.inode)
            below = backing_path(header.backing, place)
            if said is None or not below or said.backing != below:
                text = f"{path!r} says that it stands on {header.backing!r}, and nobody else said so"
                raise _refused(text, "make it here with that backing file, or give it none: qemu-img convert")
    if wish.capacity is None and size is None:
        text = f"a volume on an image of the format {wish.backing_format!r} needs a size"
        raise Invalid([Problem("config.missing", "/capacity", None, text, "say how many bytes")])
    return replace(wish, capacity=size) if wish.capacity is None else wish


def _header(folder: Folder, name: str, path: str) -> Header:
    try:
        return qcow2(folder.head(name, HEAD))
    except Invalid as error:
        raise _refused(f"{path!r}: {error.message}", error.hint) from None


def _refused(text: str, hint: str) -> Invalid:
    return Invalid([Problem("config.invalid", PLACE, None, text, hint)])
