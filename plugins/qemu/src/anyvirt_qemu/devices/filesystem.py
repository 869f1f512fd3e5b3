"""Folders of the host that a guest mounts: 9p by QEMU itself, virtiofs by a process beside it."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Filesystem, meaningless

from anyvirt_qemu.devices import vhost
from anyvirt_qemu.devices.common import bootindex, tuned, virtio
from anyvirt_qemu.planning.build import Build

ACCESS: Final = {"passthrough": "passthrough", "mapped": "mapped", "squash": "none"}


def filesystem(b: Build, x: Filesystem) -> None:
    """One shared folder."""
    if x.type not in {None, "mount"}:
        b.refuse(x, "type", "use mount")
    kind = x.driver.type if x.driver else None
    if not x.target:
        b.problem(x, "target", "the folder has no tag that the guest mounts it by", "write <target dir='TAG'/>")
    if kind == "virtiofs":
        _virtiofs(b, x)
    elif kind in {None, "path"}:
        _plan9(b, x)
    else:
        b.refuse(x.driver, "type", "use path or virtiofs", text=f"no QEMU shares folders by {kind} any more")


def _plan9(b: Build, x: Filesystem) -> None:
    back = f"fsdev-{x.alias}"
    writeout = x.driver.wrpolicy if x.driver else None
    multidevs = None if x.multidevs == "default" else x.multidevs
    options: dict[str, Any] = {
        "security_model": ACCESS[x.accessmode or "passthrough"],
        "multidevs": multidevs,
        "fmode": None if x.fmode is None else f"{x.fmode:04o}",
        "dmode": None if x.dmode is None else f"{x.dmode:04o}",
        "writeout": writeout,
        "id": back,
        "path": b.path(x, "source_dir", x.source_dir),
        "readonly": True if x.readonly else None,
    }
    b.options("-fsdev", "local", options)
    device = {**virtio(b, x, "virtio-9p", x.model), **tuned(x.driver)}
    b.device(device | {"fsdev": back, "mount_tag": x.target})


def _virtiofs(b: Build, x: Filesystem) -> None:
    vhost.shared(b, x, "type")
    if x.accessmode not in {None, "passthrough"}:
        b.refuse(x, "accessmode", "use passthrough", text="virtiofs shows owners as they are")
    if x.source_socket is not None:
        path = b.path(x, "source_socket", x.source_socket)
        meaningless(x, "readonly")
        if x.binary is not None:
            meaningless(x.binary)  # for the process that serves
    else:
        from anyvirt_qemu.devices.virtiofsd import virtiofsd

        path = virtiofsd(b, x)
    queue = x.driver.queue if x.driver else None
    device = {**virtio(b, x, "vhost-user-fs", x.model), **tuned(x.driver)}
    device |= {"chardev": vhost.socket(b, x.alias or "", path), "tag": x.target, "queue-size": queue}
    b.device(device | {"bootindex": bootindex(b, x, x.boot)})
