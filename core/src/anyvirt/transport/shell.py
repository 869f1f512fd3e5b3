"""A shell of another host that stays: it runs programs one after another, and holds locks meanwhile."""

from __future__ import annotations

import os
import re
import select
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from threading import RLock
from typing import Final

from anyvirt import deadline
from anyvirt.auth import Secret
from anyvirt.errors import Busy, Denied, Failed, Interrupted, Invalid, Unsupported
from anyvirt.transport.run import CAP, TAIL, Output, as_bytes, check_argv, no_such_program, revealed, secrets_of
from anyvirt.transport.ssh import quoted

Begin = Callable[[str], "subprocess.Popen[bytes]"]
_CHUNK: Final = 1 << 16
_IN_LINE: Final = 1 << 15  # bytes of input that go along with the command
_MARK: Final = 80  # bytes at the end of what it says in which its mark stands
_KEPT: Final = 73
_GRACE: Final = 2.0
_POLL: Final = 0.25
_FDS: Final = ("9", "8", "7", "6", "5", "4")
# Each program has a session of its own, which says itself how it ended. While it runs the shell waits for the next
# line; where none comes any more, since the line was cut, it kills the program and ends, and with it go its locks.
# Only for a program with much input it has to wait. The mark is a word that the program has never heard of.
_SESSION: Final = r'm=$1; shift; env "$@"; s=$?; printf "\n%s %s\n" "$m" "$s"; printf "\n%s\n" "$m" >&2'
_LOOP: Final = r"""PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH
cd / || exit
N='
'
mark=$1; T=$2; child=
said() { printf '\n%s %s\n' "$mark" "$1"; printf '\n%s\n' "$mark" >&2; }
missing=
for tool in cat date env flock head sed setsid stat; do command -v "$tool" >/dev/null || missing="$missing $tool"; done
[ -z "$missing" ] || { printf '\nmissing%s' "$missing"; said 0; exit; }
set -- $(sed 's/^.*) //' /proc/$$/stat)
printf '\n%s %s %s %s' "$$" "${20}" "$(cat /proc/sys/kernel/random/boot_id)" "$(stat -Lc %i /proc/self/ns/pid)"
said 0
while IFS=' ' read -r kind mark size && IFS= read -r line; do
  [ -z "$child" ] || { wait "$child"; child=; }
  case $kind in
    run) eval "$line" ;;
    fed) head -c "$size" | { eval "$line"; s=$?; cat >/dev/null; exit "$s"; }; said $? ;;
    own) eval "$line" </dev/null; said $? ;;
  esac
done
[ -z "$child" ] || kill -KILL "-$child" 2>/dev/null
"""


class Shell:
    """One far shell; it does one thing at a time, whichever thread asks.

    What runs when the line is cut or the deadline passes is killed there, with its children, unless it was given more
    input than fits in a line. The locks of the shell are its programs' as well: they are free when both have ended.

    :param begin: starts a far command line with pipes; a POSIX shell has to read it.
    :param host: for messages.
    :raises Interrupted: (``lost``) it ended at once.
    :raises Unsupported: it lacks what it needs; the hint names the packages.
    """

    def __init__(self, begin: Begin, host: str, *, cap: int = CAP) -> None:
        self.host, self._cap = host, cap
        self._turn, self._free = RLock(), list(_FDS)
        mark = _mark()
        self._process = begin("exec env LC_ALL=C sh -c " + " ".join(map(quoted, (_LOOP, "sh", mark, _SESSION))))
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            os.set_blocking(pipe.fileno(), False)
        try:
            # Whatever the user's start-up files have to say stands before it.
            said = self._talk(b"", mark, "sh").text.rpartition("\n")[2].split()
            #: which process it is there, as ``ProcessId`` has it
            self.identity = _identity(said, host)
        except BaseException:
            self.close()
            raise

    def __call__(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - as in Run
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        """Run a program there; see ``Run``."""
        check_argv(argv)
        if "=" in argv[0] or argv[0].startswith("-"):
            raise Invalid(f"{argv[0]!r} cannot be a program's name on a far host")
        given, mark, words = as_bytes(input), _mark(), " ".join(map(_word, argv))
        before = "".join(f"{_name(name)}={_word(value)} " for name, value in revealed(env).items())
        session = f'{before}setsid sh -c "$T" sh {mark} {words}'
        if given is None:
            order = _order("run", mark, f"{session} </dev/null & child=$!")
        elif len(given) <= _IN_LINE and b"\0" not in given:
            order = _order("run", mark, f"printf %s {_word(os.fsdecode(given))} | {session} & child=$!")
        else:
            order = _order("fed", mark, f"{before}env {words}", len(given)) + given
        return self._judged(self._talk(order, mark, argv[0], secrets_of(input, env)))

    @property
    def alive(self) -> bool:
        """Whether it is there still, as far as can be told from here."""
        return self._process.poll() is None

    def idle(self) -> bool:
        """Whether it waits for something to do; one whose line was cut, or that has more to say, does not."""
        with self.claimed() as mine:
            poll = select.poll()
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe
                poll.register(pipe, select.POLLIN)
            return mine and self.alive and not poll.poll(0)

    @contextmanager
    def claimed(self) -> Iterator[bool]:
        """Whether it was free for this thread, which then has it for itself inside the block."""
        mine = self._turn.acquire(blocking=False)
        try:
            yield mine
        finally:
            if mine:
                self._turn.release()

    def hold(self, path: str, purpose: str, wait: float, *, folder: bool = False) -> str:
        """Hold flock(2) on a file, made where it is missing, or on a ``folder``: until ``release``, or its own end.

        :param purpose: written into the file beside the shell's identity, for others to read.
        :raises Busy: somebody else held it for ``wait`` seconds.
        """
        fd, word = self._free.pop(0), _word(path)
        way = "<" if folder else "<>"
        opened = f"umask 077; true {way}{word} && exec {fd}{way}{word}"
        locked = f"{opened} && flock -w {max(wait, 0.01):.2f} -E {_KEPT} {fd}"
        text = "".join(f"{key} {value}\n" for key, value in self.identity.items())
        note = f"{{ printf %s {_word(text)}; date '+since %s'; printf 'purpose %s\\n' {_word(purpose)}; }} >{word}"
        out = self._own(locked if folder else f"{locked} && {note}")
        if not out.code:
            return fd
        self._own(f"exec {fd}>&-")
        self._free.insert(0, fd)
        if out.code == _KEPT:
            raise Busy(path, holder="a process of that host")
        said = out.err.decode("utf-8", "replace").strip()
        raise Failed(f"{path} cannot be locked on {self.host}: {said}", native={"code": out.code, "stderr": said})

    def release(self, fd: str) -> None:
        """Let go of what ``hold`` gave; nothing happens where the shell has ended, and its locks with it."""
        with suppress(Interrupted):
            # Said aloud: a daemon that one of its programs has left behind may have the descriptor as well.
            self._own(f"flock -u {fd}; exec {fd}>&-")
        self._free.insert(0, fd)

    def close(self) -> None:
        """End it; any number of times."""
        if self._process.returncode is None:
            self._kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            with suppress(OSError):
                pipe.close()

    def _own(self, line: str) -> Output:
        """Have the shell itself do something."""
        mark = _mark()
        return self._talk(_order("own", mark, line), mark, "sh")

    def _kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _talk(self, given: bytes, mark: str, tool: str, secrets: tuple[bytes, ...] = ()) -> Output:
        with self._turn:
            if self._process.returncode is not None:
                raise self._lost(b"")
            exchange = _Exchange(self._process, given, mark, self._cap)
            try:
                with deadline.breaks(self._kill, what=tool):
                    out = exchange.output(tool)
            except BaseException:
                self._kill()  # nobody knows how far it got
                raise
            if out is None:
                raise self._ended(tool, exchange.errors, secrets)
        for secret in secrets:
            out = Output(out.code, out.out, out.err.replace(secret, b"***"), out.cut, out.tool)
        return out

    def _ended(self, tool: str, said: bytes, secrets: tuple[bytes, ...]) -> Interrupted:
        self._kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        deadline.current().check(tool)
        assert self._process.stderr
        with suppress(OSError):
            said += self._process.stderr.read() or b""
        for secret in secrets:
            said = said.replace(secret, b"***")
        return self._lost(said)

    def _lost(self, said: bytes) -> Interrupted:
        error = Interrupted("lost", f"the line to {self.host}")
        error.details["stderr"] = said[-TAIL:].decode("utf-8", "backslashreplace")
        return error

    def _judged(self, out: Output) -> Output:
        if out.code == 127 and out.err.startswith(b"env: "):
            raise no_such_program(self.host, out.tool)
        if out.code == 126 and out.err.startswith(b"env: "):
            said = out.err.decode("utf-8", "replace")
            raise Denied(f"{out.tool} may not be run on {self.host}", details={"stderr": said})
        return out


class _Exchange:
    """Tells a shell what to do and listens until its mark comes."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, mark: str, cap: int) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._in, self._fds = process.stdin.fileno(), (process.stdout.fileno(), process.stderr.fileno())
        self._process, self._left, self._room, self._cut = process, memoryview(given), cap, False
        self._kept = {fd: bytearray() for fd in self._fds}
        self._tails = dict.fromkeys(self._fds, b"")
        word = re.escape(mark.encode())
        self._marks = {self._fds[0]: re.compile(rb"\n%s (\d+)\n" % word), self._fds[1]: re.compile(rb"\n%s\n" % word)}
        self._codes: dict[int, int] = {}

    @property
    def errors(self) -> bytes:
        """What came on standard error so far."""
        return bytes(self._kept[self._fds[1]])

    def output(self, tool: str) -> Output | None:
        """What came; None where the shell ended before."""
        with selectors.DefaultSelector() as selector:
            for fd in self._fds:
                selector.register(fd, selectors.EVENT_READ, partial(self._hear, fd))
            if self._left:
                selector.register(self._in, selectors.EVENT_WRITE, self._feed)
            while len(self._codes) < len(self._fds):
                ready = selector.select(_POLL)
                if not ready and self._process.poll() is not None:
                    return None
                for key, _ in ready:
                    more = key.data()
                    if more is None:
                        return None
                    if not more:
                        selector.unregister(key.fd)
        if self._left:  # it has ended without reading, which it never does
            return None
        out, err = (bytes(self._kept[fd]) for fd in self._fds)
        return Output(self._codes[self._fds[0]], out, err, self._cut, tool)

    def _feed(self) -> bool | None:
        try:
            written = os.write(self._in, self._left[:_CHUNK])
        except BlockingIOError:
            return True
        except OSError:
            return None
        self._left = self._left[written:]
        return bool(self._left)

    def _hear(self, fd: int) -> bool | None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return None
        if not data:
            return None
        kept = self._kept[fd]
        before = len(kept)
        kept += data[: self._room + _MARK]
        self._room -= min(self._room, len(kept) - before)
        dropped = len(data) - (len(kept) - before)
        self._cut |= dropped > 0
        tail = self._tails[fd] = (self._tails[fd] + data)[-_MARK:]
        found = self._marks[fd].search(tail)
        if found is None:
            return True
        if not dropped:
            del kept[len(kept) - (len(tail) - found.start()) :]
        self._codes[fd] = int(found[1]) if found.groups() else 0
        return False


def _identity(said: list[str], host: str) -> dict[str, int | str]:
    if said[:1] == ["missing"]:
        hint = "install util-linux (flock, setsid), coreutils and sed there"
        raise Unsupported(host, f"a shell without {', '.join(said[1:])}", hint=hint)
    try:
        pid, start, boot, namespace = said
        return {"pid": int(pid), "start": int(start), "boot": boot, "pidns": int(namespace)}
    except ValueError:
        raise Unsupported(
            host, "a shell that cannot tell which process it is", hint="it takes Linux with /proc"
        ) from None


def _mark() -> str:
    return os.urandom(16).hex()


def _order(kind: str, mark: str, line: str, size: int = 0) -> bytes:
    return os.fsencode(f"{kind} {mark} {size}\n{line}\n")


def _word(word: str) -> str:
    """A word for the shell, in one line whatever is in it."""
    return quoted(word).replace("\n", "'\"$N\"'")


def _name(name: str) -> str:
    if not (name.isidentifier() and name.isascii()):
        raise Invalid(f"the variable {name!r} cannot be passed to a far host")
    return name
