"""``Run`` on a far host through shells that stay: what is run under a lock runs in the shell that holds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.errors import Busy, VirtError
from anyvirt.locks import RELEASE, Patience
from anyvirt.transport.pipe import Pipe
from anyvirt.transport.run import check_argv
from anyvirt.transport.shell import Begin, Shell
from anyvirt.transport.ssh import quoted

if TYPE_CHECKING:
    from anyvirt.auth import Secret
    from anyvirt.transport.run import Output

_IDLE: Final = 2
_WAIT: Final = 30.0


class _Held(NamedTuple):
    """What is held in a block: the shell that has the locks, and their files."""

    shell: Shell
    paths: frozenset[str]


# Of each far host; lanes that are begun inside a block take it along.
_held: Final[ContextVar[Mapping[FarRun, _Held]]] = ContextVar("anyvirt_far_held", default=MappingProxyType({}))


class FarRun:
    """``Run`` where a session of ssh for each program would cost more than the program.

    A cut line frees the locks, and ends what ran under them first: nothing is changed there without its lock. What is
    asked for afterwards in the same block fails with ``Interrupted`` (``lost``).

    :param begin: starts a far command line with pipes, such as ``SshRun.begin``.
    :param host: for messages.
    """

    far: Final = True  # what tells it from a ``Run`` of this host, without asking what it is

    def __init__(self, begin: Begin, host: str) -> None:
        self._begin, self.host = begin, host
        #: how many programs were run so far: each is a round trip
        self.asked = 0
        self._idle: list[Shell] = []
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"FarRun({self.host!r})"

    def __call__(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - as in Run
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        """Run a program there; see ``Run``."""
        self.asked += 1
        held = _held.get().get(self)
        if held is not None:
            with held.shell.claimed() as mine:
                if mine:
                    return held.shell(*argv, input=input, env=env)
            # It is at work for another lane of this block, and keeps the locks until that is done.
        shell = self.take()
        try:
            return shell(*argv, input=input, env=env)
        finally:
            self.give(shell)

    def take(self) -> Shell:
        """A shell for oneself, to be given back, or closed."""
        while True:
            with self._guard:
                shell = self._idle.pop() if self._idle else None
            if shell is None:
                return Shell(self._begin, self.host)
            if shell.idle():
                return shell
            shell.close()

    def give(self, shell: Shell) -> None:
        """Give a shell back that holds no locks."""
        with self._guard:
            if shell.alive and len(self._idle) < _IDLE:
                self._idle.append(shell)
                return
        shell.close()

    def pipe(self, *argv: str, what: str) -> Pipe:
        """Start a program that is fed, or listened to, for as long as it takes.

        :param what: what it does, for messages.
        """
        check_argv(argv)
        return Pipe(self._begin("exec env LC_ALL=C " + " ".join(map(quoted, argv))), what)

    @contextmanager
    def holding(self, path: str, label: str, purpose: str, wait: float | None = None) -> Iterator[None]:
        """Hold flock(2) on a file there inside the block, for the programs that are run in it, on lanes of it as well.

        :param label: what it is the lock of, for messages.
        :raises Busy: somebody kept it until the deadline, or for ``wait`` seconds; holder and purpose are named.
        """
        mine, left = _held.get().get(self), Patience(wait).left()
        if mine is not None and path in mine.paths:
            raise Busy(label, holder="this very thread", purpose=purpose, hint=RELEASE)
        shell = self.take() if mine is None else mine.shell
        try:
            fd = shell.hold(path, purpose, _WAIT if left is None else left)
        except Busy:
            if mine is None:
                self.give(shell)
            raise self._busy(path, label) from None
        except BaseException:
            if mine is None:
                shell.close()
            raise
        before = _held.get()
        _held.set({**before, self: _Held(shell, frozenset({path}) | (mine.paths if mine else frozenset()))})
        try:
            yield
        finally:
            _held.set(before)
            shell.release(fd)
            if mine is None:
                self.give(shell)

    def close(self) -> None:
        """End the shells that nobody uses."""
        with self._guard:
            idle, self._idle = self._idle, []
        for shell in idle:
            shell.close()

    def _busy(self, path: str, label: str) -> Busy:
        """What the holder wrote about itself, as far as it did."""
        said: dict[str, str] = {}
        with suppress(VirtError):
            text = self("cat", path).text
            said = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        holder = f"process {said['pid']} of {self.host}" if "pid" in said else f"a process of {self.host}"
        return Busy(label, holder=holder, purpose=said.get("purpose", ""), hint="wait for it, or end that process")
