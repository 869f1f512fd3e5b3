"""The program that draws for a virtio video card."""

from __future__ import annotations

from anyvirt.api import Video, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, ProgramUse
from anyvirt_qemu.planning.build import Build


def drawing(b: Build, x: Video) -> str:
    """The connection to a program that draws for this card alone; its id."""
    program = b.beside("vhost-user-gpu")
    words = [program.path, f"--fd={FIRST_FD}"]
    asked = [("accel3d", ["--virgl"])] if x.accel3d else []
    if x.rendernode is not None:
        asked.append(("rendernode", ["--render-node", b.path(x, "rendernode", x.rendernode)]))
    for field, given in asked:
        if given[0] not in program.can:
            text = f"this vhost-user-gpu ({program.path}) has no option {given[0]}"
            b.refuse(x, field, "leave it out", text=text)
        words += given
    use = ProgramUse(
        name="vhost-user-gpu",
        package="qemu-system-gui",
        place=path_of(x),
        alias=x.alias or "",
        path=program.path,
        argv=tuple(words),
        fds=(EndUse(FIRST_FD, "pair"),),
        unprivileged=True,
    )
    b.programs.append(use)
    name = f"chr-vu-{x.alias}"
    b.options("-chardev", "socket", {"id": name, "fd": b.fd("pair", use.title)})
    return name
