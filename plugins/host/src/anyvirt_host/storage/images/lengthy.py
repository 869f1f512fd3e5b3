"""Work that may take longer than a step of a job: on a lane of its own, while the job goes on step by step."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Final, TypeVar

from anyvirt.api import Deadline, Progress, VirtError, current, lanes

T = TypeVar("T")
STEP: Final = 0.5  # seconds between two looks at it
LAST: Final = 10.0  # seconds that it has to end once it was broken


def lengthy(work: Callable[[], T], key: str, phase: str) -> Generator[Progress, None, T]:
    """What ``work`` gives, or the error that it raises; it has no deadline, and is broken when the job is cancelled.

    :param key: what it can hang on, such as a pool.
    :param phase: what it does, for whoever watches the job.
    """
    deadline = Deadline(None)
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    call = lanes.start(key, work, deadline, phase)
    call.watch(lambda: ended.put(None))
    try:
        while not call.done():
            yield Progress(phase=phase)
            current().check(phase)
            with suppress(queue.Empty):
                ended.get(timeout=STEP)
        return call.result()
    finally:
        if not call.done():
            deadline.cancel()
            with suppress(queue.Empty, VirtError):
                ended.get(timeout=LAST)
