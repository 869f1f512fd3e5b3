"""Stop signals held back while a transaction is open: a process that ``^Z`` stops there would block all others."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

STOPS: Final = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_SAVED: Final = 512  # more than any libc's struct sigaction


@contextmanager
def held() -> Iterator[None]:
    """Nothing but SIGSTOP itself stops this process inside the block.

    A signal to a process goes to any thread that has not blocked it, so a mask only
    serves where there is one thread; it is delivered after the block. With several
    threads the signal is ignored for the few hundred microseconds instead.
    """
    if threading.active_count() == 1:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    _ignored.enter()
    try:
        yield
    finally:
        _ignored.leave()


class _Ignored:
    """Ignores the stop signals for as long as any thread is inside."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._inside = 0
        self._saved: list[tuple[int, Any]] = []
        self._libc: Any = None

    def enter(self) -> None:
        with self._guard:
            self._inside += 1
            if self._inside == 1:
                self._ignore()

    def leave(self) -> None:
        with self._guard:
            self._inside -= 1
            if not self._inside:
                for number, saved in self._saved:
                    self._libc.sigaction(number, saved, None)
                self._saved = []

    def _ignore(self) -> None:
        import ctypes

        if self._libc is None:
            self._libc = ctypes.CDLL(None)
            self._libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
            self._libc.signal.restype = ctypes.c_void_p
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_DFL:
                continue  # somebody handles it, or ignores it anyway
            saved = ctypes.create_string_buffer(_SAVED)
            if self._libc.sigaction(number, None, saved) == 0:
                self._libc.signal(number, int(signal.SIG_IGN))
                self._saved.append((number, saved))


_ignored: Final = _Ignored()
