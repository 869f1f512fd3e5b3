"""Running programs on this host: argv lists in, a capped ``Output`` out, over at the deadline."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from anyvirt import deadline
from anyvirt.auth import Auth, Secret
from anyvirt.errors import Denied, Failed, Interrupted, Invalid, Unsupported
from anyvirt.settings import Settings
from anyvirt.uri import SSH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyvirt.uri import Uri

CAP: Final = 64 << 20
TAIL: Final = 4096
_CHUNK: Final = 1 << 16
_LAST_READS: Final = 64
_POLL: Final = 0.25
_GRACE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Output:
    """What a program left behind.

    :param code: its exit status, or minus the signal that ended it.
    :param out: bytes of its standard output.
    :param err: bytes of its standard error, with every secret that was given to it replaced by ``***``.
    :param cut: whether it wrote more than the cap, and the rest was thrown away.
    :param tool: the first word of its argv, for messages.
    """

    code: int
    out: bytes = field(default=b"", repr=False)
    err: bytes = b""
    cut: bool = False
    tool: str = "program"

    def ok(self) -> Output:
        """The output itself, if the program was content.

        :raises Failed: its status is not 0, or its output was cut; its last words are in ``details["stderr"]``.
        """
        native = {"tool": self.tool, "code": self.code, "stderr": self._tail()}
        if self.code:
            last = self._tail().rstrip().rpartition("\n")[2]
            how = f"status {self.code}" if self.code > 0 else f"signal {-self.code}"
            raise Failed(f"{self.tool} ended with {how}" + (f": {last}" if last else ""), native=native)
        if self.cut:
            raise Failed(f"{self.tool} wrote more than the cap; its answer is incomplete", native=native)
        return self

    @property
    def text(self) -> str:
        """Standard output as UTF-8; bytes that are none become lone surrogates, as in file names."""
        return self.out.decode("utf-8", "surrogateescape")

    def _tail(self) -> str:
        return self.err[-TAIL:].decode("utf-8", "backslashreplace")


class Run(Protocol):
    """How a driver runs a host's programs; a plain function with this signature is a fake of it."""

    def __call__(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - subprocess's own word
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        """Run a program to its end and give what it left, whatever its status.

        It sees ``LC_ALL=C``, PATH and little else of the environment, plus ``env``;
        its input is empty unless given. It is over with the process itself: what a
        background child writes later is lost. At the deadline its whole process group is killed.

        :raises Unsupported: there is no such program; the hint says what to install.
        :raises Denied: it may not be run.
        :raises Invalid: a word cannot be passed (NUL), or is a ``Secret``.
        :raises Interrupted: the deadline passed.
        """
        ...


class LocalRun:
    """``Run`` on this host.

    :param settings: where PATH and the few other variables come from; read now unless given.
    :param cap: bytes of output and error together that are kept; what follows is thrown away.
    """

    def __init__(self, settings: Settings | None = None, *, cap: int = CAP) -> None:
        self._env = dict((settings or Settings.read()).child_env)
        self._cap = cap

    def __call__(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - subprocess's own word
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        check_argv(argv)
        secrets = secrets_of(input, env)
        given = as_bytes(input)
        with _start(argv, {**self._env, **revealed(env)}, given is not None) as process:
            return _Conversation(process, argv[0], given, self._cap).output(secrets)

    def begin(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program, in a session of its own, with pipes to it; whoever asks for it ends it."""
        check_argv(argv)
        return _start(argv, self._env, fed=True)


def check_argv(argv: tuple[str, ...]) -> None:
    """Refuse words that cannot or must not be passed to a program.

    :raises Invalid: none at all, a ``Secret``, or a word with NUL in it.
    """
    if not argv or not argv[0]:
        raise Invalid("a program to run has no name")
    for word in argv:
        if isinstance(word, Secret):
            raise Invalid(f"{argv[0]}: a secret is never a word of a command", hint="pass it as input or env")
        if "\0" in word:
            raise Invalid(f"{argv[0]}: a word of the command has a NUL in it")


def as_bytes(given: bytes | str | Secret | None) -> bytes | None:
    """The input of a program as bytes; None stays None."""
    if isinstance(given, Secret):
        given = given.reveal()
    return given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given


def revealed(env: Mapping[str, str | Secret] | None) -> dict[str, str]:
    """Variables as the program is to see them.

    :raises Invalid: a name or value that no environment can hold.
    """
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in (env or {}).items()}
    for name, value in plain.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise Invalid(f"{name!r} cannot be passed as an environment variable")
    return plain


def secrets_of(given: bytes | str | Secret | None, env: Mapping[str, str | Secret] | None) -> tuple[bytes, ...]:
    """What must not come back in a program's words."""
    found = [value for value in (given, *(env or {}).values()) if isinstance(value, Secret)]
    return tuple(value.reveal().encode("utf-8", "surrogateescape") for value in found if value)


def _start(argv: tuple[str, ...], env: Mapping[str, str], fed: bool) -> subprocess.Popen[bytes]:
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        return subprocess.Popen(
            argv, stdin=pipe if fed else null, stdout=pipe, stderr=pipe, bufsize=0, env=env, start_new_session=True
        )
    except FileNotFoundError as error:
        raise no_such_program("this host", argv[0]) from error
    except PermissionError as error:
        raise Denied(
            f"{argv[0]} may not be run by this user", hint="check its mode, and that of its folders"
        ) from error
    except OSError as error:
        native = {"tool": argv[0], "errno": error.errno, "text": error.strerror}
        raise Failed(f"{argv[0]} could not be started: {error.strerror}", native=native) from error


def no_such_program(host: str, tool: str) -> Unsupported:
    """The error for a program that a host lacks."""
    hint = f"install the package that brings {tool!r} on {host}, or correct PATH there"
    return Unsupported(host, f"running {tool!r} (there is no such program)", hint=hint)


class _Group:
    """The process group of a child, killed at most while it still is ours."""

    def __init__(self, pid: int) -> None:
        self._pid: int | None = pid
        self._lock = Lock()
        self.killed: float | None = None

    def kill(self) -> None:
        with self._lock:
            if self._pid is not None:
                os.killpg(self._pid, signal.SIGKILL)
                self.killed = time.monotonic()

    def release(self) -> None:
        with self._lock:
            self._pid = None


class _Conversation:
    """Feeds a child and listens to it until it ends; no thread, no dead lock on full pipes."""

    def __init__(self, process: subprocess.Popen[bytes], tool: str, given: bytes | None, cap: int) -> None:
        self._process, self._tool, self._room = process, tool, cap
        self._left = memoryview(given or b"")
        self._kept: dict[int, bytearray] = {}
        self._cut = False
        self._group = _Group(process.pid)
        self._selector = selectors.DefaultSelector()

    def output(self, secrets: tuple[bytes, ...]) -> Output:
        try:
            with self._selector, deadline.breaks(self._group.kill, what=self._tool):
                self._talk()
        except BaseException:
            self._group.kill()
            raise
        finally:
            self._group.release()
            self._reap()
        if self._group.killed is not None:
            deadline.current().check(self._tool)
        assert self._process.stdout
        assert self._process.stderr
        out, err = (bytes(kept) for kept in self._kept.values())
        for secret in secrets:
            err = err.replace(secret, b"***")
        return Output(self._process.returncode, out, err, self._cut, self._tool)

    def _talk(self) -> None:
        process = self._process
        for stream in (process.stdout, process.stderr):
            assert stream
            self._kept[stream.fileno()] = bytearray()
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, self._hear)
        if process.stdin:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE, self._feed)
        pidfd = _pidfd(process.pid)
        try:
            if pidfd is not None:
                self._selector.register(pidfd, selectors.EVENT_READ)
            while not self._ended(pidfd):
                self._give_up_when_stuck()
            for fd in self._kept:  # what it wrote last; bounded, since a child of its may write on for ever
                for _ in range(_LAST_READS):
                    if not self._hear(fd):
                        break
        finally:
            if pidfd is not None:
                os.close(pidfd)

    def _ended(self, pidfd: int | None) -> bool:
        ready = self._selector.select(_POLL)
        for key, _ in ready:
            if key.data:
                key.data(key.fd)
        # waitid leaves the zombie: its number stays ours until the group is released
        return any(key.fd == pidfd for key, _ in ready) or (pidfd is None and _is_zombie(self._process.pid))

    def _hear(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            return False
        kept = data[: self._room]
        self._room -= len(kept)
        self._cut |= len(kept) < len(data)
        self._kept[fd] += kept
        return True

    def _feed(self, fd: int) -> None:
        try:
            written = os.write(fd, self._left[:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            written = len(self._left)  # it wants no more; its status says whether that is well
        self._left = self._left[written:]
        if not self._left:
            self._selector.unregister(fd)
            assert self._process.stdin
            self._process.stdin.close()

    def _give_up_when_stuck(self) -> None:
        killed = self._group.killed
        if killed is not None and time.monotonic() - killed > _GRACE:
            deadline.current().check(self._tool)
            raise Interrupted("deadline", self._tool)

    def _reap(self) -> None:
        if self._group.killed is None:
            self._process.wait()
            return
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            # Uninterruptible (a dead mount, say): SIGKILL waits with it, but nobody else does.
            self._process.returncode = -signal.SIGKILL


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # no Linux, or one that has none
        return None


def _is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def runner(uri: Uri, settings: Settings, auth: Auth | None = None) -> Run:
    """``Run`` for the host that a URI names: this one, or over ssh; nothing is connected before the first call.

    libvirt's ``libssh``, ``libssh2`` and ``ext`` all mean the system's ssh here.

    :raises Unsupported: a transport that cannot run programs, such as ``tls``.
    """
    if not uri.far:
        return LocalRun(settings)
    if uri.transport is not None and uri.transport not in SSH:
        raise Unsupported("anyvirt", f"running programs over {uri.transport}", hint="use the transport ssh")
    from anyvirt.transport.ssh import SshRun

    return SshRun(uri, settings, auth)
