"""``posix_spawn`` with descriptors: how this package starts anything (no fork, no code between)."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence


def spawn(argv: Sequence[str], env: Mapping[str, str], streams: Mapping[int, int], *, keep: Sequence[int] = ()) -> int:
    """Start ``argv`` in a session of its own and give its pid.

    :param streams: standard stream number to descriptor; those left out are ``/dev/null``.
    :param keep: further descriptors to inherit, under their own numbers.
    :raises OSError: the program is missing or refused.
    """
    if any(fd < 3 for fd in keep):
        raise ValueError("standard streams go into streams, not keep")
    moved = {}
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    try:
        for number in (0, 1, 2):
            if number not in streams:
                actions.append((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0))
                continue
            # a stream that is 0-2 itself could be overwritten by an earlier action
            moved[number] = os.dup(streams[number])
            actions.append((os.POSIX_SPAWN_DUP2, moved[number], number))
        actions.extend((os.POSIX_SPAWN_DUP2, fd, fd) for fd in dict.fromkeys(keep))
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
        for fd in moved.values():
            os.close(fd)
