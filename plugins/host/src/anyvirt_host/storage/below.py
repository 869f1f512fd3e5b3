"""The image that a new volume is to stand on: looked at by its declared format, never opened with what is below it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Invalid, NotFound, Problem

from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.images.header import HEAD, Header, backing_path
from anyvirt_host.storage.images.headers import READERS, header_of
from anyvirt_host.storage.images.origin import node
from anyvirt_host.storage.site import Declared

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.site import Site
    from anyvirt_host.storage.wish import Wish

LONGEST: Final = 200  # images in a chain; QEMU takes minutes to open as many as a thousand
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
    if wish.backing_format in READERS and sight.type == "file":
        header = _header(folder, name, path, wish.backing_format, sight)
        size = header.size
        _agreed(path, header, site.declared(path, sight.inode))
    if wish.capacity is None and size is None:
        text = f"a volume on an image of the format {wish.backing_format!r} needs a size"
        raise Invalid([Problem("config.missing", "/capacity", None, text, "say how many bytes")])
    return replace(wish, capacity=size) if wish.capacity is None else wish


def standing(site: Site, path: str, header: Header, said: Declared) -> dict[str, Any] | None:
    """What an image stands on, down to the last, as QEMU is told; None where it stands on nothing.

    :param said: what was said of the image.
    :raises Invalid: an image of the chain says what nobody else said, the chain is too long, or goes round.
    """
    nodes: list[tuple[str, str]] = []
    while True:
        _agreed(path, header, said)
        if not said.backing:
            break
        path, kind = said.backing, said.backing_format
        nodes.append((path, kind))
        if len(nodes) > LONGEST:
            raise _refused(f"{nodes[0][0]!r} stands on more than {LONGEST} images", "shorten the chain")
        place, _, name = path.rpartition("/")
        folder = Folder(place or "/", site.run)
        sight = folder.look(name)
        if sight is None:
            raise NotFound(path, "file")
        if kind not in READERS or sight.type != "file":
            break
        header = _header(folder, name, path, kind, sight)
        said = site.declared(path, sight.inode) or Declared(path, sight.inode, kind)
        if said.secret:
            raise _refused(f"{path!r} is encrypted, and others stand on it", "copy it without what is above it")
    below: dict[str, Any] | None = None
    for path, kind in reversed(nodes):
        below = node(kind, {"driver": "file", "filename": path}, below=below)
    return below


def _agreed(path: str, header: Header, said: Declared | None) -> None:
    """See that an image stands on what somebody said, and not just by its own word."""
    if header.data_file:
        raise _refused(
            f"{path!r} has its content in another file, by its own word", "convert it by hand, if it is yours"
        )
    place = path.rpartition("/")[0]
    below = backing_path(header.backing, place) if header.backing else ""
    if header.backing and (said is None or not below or said.backing != below):
        text = f"{path!r} says that it stands on {header.backing!r}, and nobody else said so"
        raise _refused(text, "make it here with that backing file, or give it none: qemu-img convert")


def _header(folder: Folder, name: str, path: str, kind: str, sight: Sight) -> Header:
    try:
        return header_of(kind, folder.head(name, HEAD), sight.physical)
    except Invalid as error:
        raise _refused(f"{path!r}: {error.message}", error.hint) from None


def _refused(text: str, hint: str) -> Invalid:
    return Invalid([Problem("config.invalid", PLACE, None, text, hint)])
