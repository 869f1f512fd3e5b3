"""A conversation with a QEMU that has no machine, about what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from anyvirt.api import VirtError
from anyvirt_host.local.child import Child

from anyvirt_qemu.probing import cache
from anyvirt_qemu.qmp import failure
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import RunDir, monitor_options

PATIENCE: Final = 30.0


def ask(binary: str, accel: str, folder: Path, commands: Sequence[Command]) -> list[Any]:
    """The answers to some commands, in order; one that QEMU refuses is its error.

    :param folder: for the sockets of the conversation.
    :raises Failed: QEMU does not start.
    """
    with cache.workspace(folder) as run:
        return held(run, binary, accel, commands)


def held(run: RunDir, binary: str, accel: str, commands: Sequence[Command], *more: str) -> list[Any]:
    """The same in a workspace of the caller's.

    :param more: words for QEMU's command line.
    """
    sock = run.listen("talk")
    argv = [binary, "-S", "-no-user-config", "-nodefaults", "-display", "none", "-M", f"none,accel={accel}"]
    argv += [*monitor_options({"talk": sock.fileno()}), *more]
    with closing(sock), Child(argv, fds=[sock.fileno()]) as child:
        sock.close()
        try:
            with Monitor(run.place("talk"), binary, greeting=PATIENCE) as monitor:
                answers = monitor.execute_many(list(commands))
                monitor.execute("quit")  # apart: what is not read by then, QEMU takes with it
        except VirtError as error:
            if child.wait(1.0) is None:
                raise
            raise failure.ended(child.errors(), binary) from error
        child.wait(PATIENCE)
    return list(answers)
