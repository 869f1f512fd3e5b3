"""``posix_spawn`` with descriptors: how this package starts anything (no fork, no code between)."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Mapping, Sequence

# sources of descriptors are moved up there first, so that no target overwrites one
HIGH = 512


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    streams: Mapping[int, int],
    *,
    keep: Sequence[int] | Mapping[int, int] = (),
) -> int:
    """Start ``argv`` in a session of its own and give its pid.

    :param streams: standard stream number to descriptor; those left out are ``/dev/null``.
    :param keep: further descriptors to inherit: under their own numbers, or number in the child to descriptor.
    :raises OSError: the program is missing or refused.
    """
    kept = dict(keep) if isinstance(keep, Mapping) else {fd: fd for fd in keep}
    if any(number < 3 for number in kept):
        raise ValueError("standard streams go into streams, not keep")
    moved: list[int] = []
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    try:
        closed = [number for number in (0, 1, 2) if number not in streams]
        actions += [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in closed]
        for number, fd in {**streams, **kept}.items():
            moved.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH))
            actions.append((os.POSIX_SPAWN_DUP2, moved[-1], number))
        return os.posix_spawn(
            argv[0],
            list(argv),
            dict(env),
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    finally:
        for fd in moved:
            os.close(fd)
