"""What a pool's definition says to mount alone, or to ceph: elements of libvirt's own namespaces for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from anyvirt.api import Element, Many, Problem, at

if TYPE_CHECKING:
    from anyvirt.api import Pool

URI: Final = "http://libvirt.org/schemas/storagepool/fs/1.0"
RBD: Final = "http://libvirt.org/schemas/storagepool/rbd/1.0"
OPTION: Final = re.compile(r"[A-Za-z0-9_.:=@%+/-]+", re.ASCII)


class MountOption(Element, tag="option", namespace=(URI, "fs")):
    """One option of a mount."""

    name: str = at("@name", "The option, with its value where it has one", key=True)


class MountOptions(Element, tag="mount_opts", namespace=(URI, "fs")):
    """Options that a pool is mounted with, after those that every one has."""

    options: Many[MountOption] = at("option", "Options, in order", default=())


class RbdOption(Element, tag="option", namespace=(RBD, "rbd")):
    """One option of ceph's client library."""

    name: str = at("@name", "The option", key=True)
    value: str | None = at("@value", "Its value", default=None)


class RbdOptions(Element, tag="config_opts", namespace=(RBD, "rbd")):
    """Options that a cluster is talked to with."""

    options: Many[RbdOption] = at("option", "Options, in order", default=())


MODELS: Final = ((URI, MountOptions, "fs"), (RBD, RbdOptions, "rbd"))


def mount_options(asked: Pool, problems: list[Problem]) -> str:
    """Options of the mount that a definition names, with commas between them; what is none is a problem."""
    found = [one.name for part in asked.extensions if isinstance(part, MountOptions) for one in part.options]
    for name in found:
        if not OPTION.fullmatch(name):  # with a comma in it, it would be two
            text = f"{name!r} is no option of a mount"
            problems.append(Problem("config.invalid", "/fs:mount_opts", None, text, "write one option in each"))
    return ",".join(found)


def rbd_options(asked: Pool, problems: list[Problem]) -> list[tuple[str, str]]:
    """Options of ceph's client library that a definition names; what is none is a problem."""
    found = [
        (one.name, one.value or "") for part in asked.extensions if isinstance(part, RbdOptions) for one in part.options
    ]
    for name, value in found:
        if not re.fullmatch(r"[A-Za-z0-9_ -]+", name) or not value or not value.isprintable():
            text = f"{name!r} with the value {value!r} is no option of ceph"
            problems.append(Problem("config.invalid", "/rbd:config_opts", None, text, "write one option in each"))
    return found
