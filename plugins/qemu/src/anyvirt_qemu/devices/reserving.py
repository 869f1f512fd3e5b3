"""The program that holds reservations of SCSI disks for guests, which may not ask for them."""

from __future__ import annotations

from anyvirt.api import Reservations, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, ProgramUse
from anyvirt_qemu.planning.build import Build


def reserving(b: Build, x: Reservations, socket: str) -> str:
    """One for all disks, at this name in the guest's part of the run directory; its path, for QEMU."""
    program = b.beside("qemu-pr-helper")
    b.programs.append(
        ProgramUse(
            name="qemu-pr-helper",
            package="qemu-system-common",
            place=path_of(x),
            alias="disks",
            path=program.path,
            # an absolute path, and yet short enough
            argv=(program.path, "--socket", f"/proc/self/fd/{FIRST_FD}/{socket}"),
            socket=socket,
            fds=(EndUse(FIRST_FD, "folder"),),
            binds=True,
        )
    )
    return b.near(socket)
