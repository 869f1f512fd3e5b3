"""A short-lived child whose end is certain: at the end of its block, at the deadline, and when we are killed."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from anyvirt.api import Failed, Interrupted, breaks, current, left

from anyvirt_host.local.spawn import spawn

SETPRIV = "/usr/bin/setpriv"
ERRORS_KEPT = 16384


class Child:
    """Run ``argv`` for the length of a ``with`` block.

    Its standard error is kept (the last 16 KiB) for ``errors()``; its output
    goes nowhere, or to ``out``. It dies with the calling thread where
    ``setpriv`` can arrange that.

    :raises Failed: the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] | Mapping[int, int] = (),
        out: int | None = None,
    ) -> None:
        self.name = argv[0]
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        words = [SETPRIV, "--pdeathsig", "KILL", "--", *argv] if os.access(SETPRIV, os.X_OK) else list(argv)
        streams = {2: self._errors} | ({} if out is None else {1: out})
        try:
            if not os.access(argv[0], os.X_OK):
                raise FileNotFoundError(2, "is missing or not executable")
            self.pid = spawn(words, env or {"LC_ALL": "C", "PATH": os.defpath}, streams, keep=fds)
        except OSError as error:
            os.close(self._errors)
            words_of = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"cannot run {argv[0]}: {error.strerror}", native=words_of, hint="install it") from error
        self._pidfd = os.pidfd_open(self.pid)
        self.code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._reap()
        os.close(self._pidfd)
        os.close(self._errors)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end and give the exit code (negative: the signal), or None when ``seconds`` ran out.

        :raises Interrupted: the deadline of the call passed.
        """
        remaining = left()
        limit = min((value for value in (seconds, remaining) if value is not None), default=None)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        with breaks(self.kill, what=f"waiting for {self.name}"):
            ended = poll.poll(None if limit is None else limit * 1000)
            current().check(f"waiting for {self.name}")  # it may have ended because the deadline killed it
            if ended:
                return self._reap()
            if seconds is None or (remaining is not None and remaining <= seconds):
                raise Interrupted("deadline", f"waiting for {self.name}")
        return None

    def kill(self) -> None:
        """End it at once; no complaint when it is gone already."""
        if self.code is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def errors(self) -> str:
        """What it has written to standard error, the end of it."""
        size = os.fstat(self._errors).st_size
        return os.pread(self._errors, ERRORS_KEPT, max(0, size - ERRORS_KEPT)).decode(errors="replace")

    def _reap(self) -> int:
        if self.code is None:
            try:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:  # somebody else reaped it
                self.code = -1
        return self.code
