"""Running programs on another host through the system's ssh, one connection for all of them."""

from __future__ import annotations

import math
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from anyvirt import deadline
from anyvirt.auth import Auth, Question, Secret
from anyvirt.errors import AuthNeeded, Denied, Interrupted, Invalid, Unreachable, VirtError
from anyvirt.transport.run import TAIL, LocalRun, Output, as_bytes, check_argv, no_such_program, revealed, secrets_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from types import TracebackType

    from anyvirt.settings import Settings
    from anyvirt.uri import Uri

LINGER: Final = 60
_CONNECT: Final = 30
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")
_NOT_IN_USER: Final = frozenset("'`\"$\\;&<>|(){}\n\t ")
_LOCK_TRY: Final = 0.1
_GOODBYE: Final = 5.0
# What ssh says, and how far it had got then.
_STAGES: Final = (
    ("Could not resolve", "resolve"),
    ("Host key verification failed", "host-key"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "host-key"),
    ("kex_exchange_identification", "greeting"),
    ("banner", "greeting"),
    ("Connection refused", "connect"),
    ("No route to host", "connect"),
    ("Network is unreachable", "connect"),
    ("Connection timed out", "connect"),
    ("timed out", "connect"),
    ("Bad configuration option", "configuration"),
    ("Can't open user config file", "configuration"),
)
# Whatever the user's configuration asks for in a terminal is left out of a program's connection.
_FIXED: Final = (
    "NumberOfPasswordPrompts=1", "RequestTTY=no", "RemoteCommand=none", "ClearAllForwardings=yes", "ForwardX11=no",
    "ForwardAgent=no", "PermitLocalCommand=no", "EscapeChar=none", "ServerAliveInterval=15", "StdinNull=no",
)  # fmt: skip
_LONGEST_FOLDER: Final = 60
# A question that is none for a password, such as whether to trust a host, gets no answer.
_ASK: Final = """#!/bin/sh
case $1 in *[Pp]assword*|*[Pp]assphrase*) ;; *) exit 1 ;; esac
mv {pipe} {pipe}.used 2>/dev/null || exit 1
IFS= read -r answer <{pipe}.used && printf '%s\\n' "$answer"
"""
_HINTS: Final = {
    "host-key": "compare the host's key with its owner, then add it with ssh-keyscan or one interactive ssh",
    "resolve": "correct the host's name",
    "configuration": "correct ?ssh_config= or the ssh configuration",
}


class SshRun:
    """``Run`` on the host of a URI, over ssh.

    The user's ssh configuration, agent and known hosts hold as they do on the command line;
    host keys are never taken unseen. The first call opens a connection that later calls share;
    it ends with ``close()``, or a minute after the last call of a process that was killed.
    Words and variables arrive byte for byte; the far login shell has to be a POSIX one.

    A program still running when the deadline passes loses its input and output; ssh has no
    way to kill it there.

    Query parameters: ``ssh_config``, ``keyfile``, ``known_hosts``, each one word for ssh.

    :param auth: who is asked for a password or passphrase when keys do not suffice; nobody unless given.
    :param linger: seconds that the connection outlasts its last call when nobody closes it.
    :raises Invalid: host or user are nothing that ssh should see.
    """

    def __init__(self, uri: Uri, settings: Settings, auth: Auth | None = None, *, linger: int = LINGER) -> None:
        self._uri, self._auth, self._linger = uri, auth, linger
        self._host = uri.host or "localhost"
        if self._host.startswith("-") or _NOT_IN_USER.intersection(uri.user or "") or (uri.user or "").startswith("-"):
            raise Invalid(f"ssh cannot be asked for {uri.user!r} at {self._host!r}", code="connect.invalid-uri")
        self._ssh = settings.ssh
        self._runtime = settings.runtime_dir
        self._local = LocalRun(settings)
        self._lock = Lock()
        self._socket: str | None = None

    def __repr__(self) -> str:
        return f"SshRun({str(self._uri)!r})"

    def __call__(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - subprocess's own word
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        check_argv(argv)
        command, given = _far(argv, as_bytes(input), env or {})
        socket = self._connected()
        out = self._local(*self._words(socket, "-T", "-o", "ControlMaster=no"), command, input=given)
        return self._judged(out, argv[0], secrets_of(input, env), socket)

    def begin(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command line there, as it is, with pipes to it; whoever asks for it ends it."""
        return self._local.begin(*self._words(self._connected(), "-T", "-o", "ControlMaster=no"), command)

    def close(self) -> None:
        """End the shared connection; any number of times. A later call opens another."""
        with self._lock:
            socket, self._socket = self._socket, None
        if socket is not None and os.path.exists(socket):
            # A connection that is stuck is left to end by itself.
            with suppress(Interrupted), deadline.within(deadline.Deadline(_GOODBYE)):
                self._local(*self._words(socket, "-O", "exit"))
            Path(socket).unlink(missing_ok=True)

    def _connected(self) -> str:
        """The path of the control socket, behind which a connection stands."""
        while not self._lock.acquire(timeout=_LOCK_TRY):
            deadline.current().check(self._host)
        try:
            if self._socket is None or not os.path.exists(self._socket):
                self._socket = self._connect()
            return self._socket
        finally:
            self._lock.release()

    def _connect(self) -> str:
        folder = _private_folder(self._runtime)
        socket = f"{folder}/ssh-{os.urandom(6).hex()}"
        left = deadline.left(_CONNECT) or 0
        master = ("-N", "-o", "ControlMaster=yes", "-o", f"ControlPersist={self._linger}")
        words = self._words(socket, *master, "-o", f"ConnectTimeout={max(1, math.ceil(left))}")
        out = self._local(*words)
        if out.code and b"Permission denied" in out.err and self._auth is not None:
            out = self._connect_asked(self._auth, folder, words, out)
        if out.code:
            raise self._refused(out)
        return socket

    def _connect_asked(self, auth: Auth, folder: str, words: list[str], before: Output) -> Output:
        question = Question("password", f"Password of {self._shown()}")
        try:
            answer = auth.answers("ssh", [question])["password"]
        except AuthNeeded as error:
            error.details["stderr"] = before.err.decode("utf-8", "backslashreplace")
            raise
        asking = ["BatchMode=no" if word == "BatchMode=yes" else word for word in words]
        with _Askpass(folder, answer) as env:
            out = self._local(*asking, env=env)
        if out.code and b"Permission denied" in out.err:
            auth.forget("ssh")
        return out

    def _words(self, socket: str, *more: str) -> list[str]:
        """The argv of ssh up to and with the host; options that stand here win over the user's configuration."""
        words = [*self._ssh, *_param("-F", self._uri.param("ssh_config")), *_param("-l", self._uri.user)]
        if self._uri.port is not None:
            words += ["-p", str(self._uri.port)]
        keyfile, known_hosts = self._uri.param("keyfile"), self._uri.param("known_hosts")
        options = [f"ControlPath={_option_path(socket)}", "BatchMode=yes", *_FIXED]
        if keyfile is not None:
            options += [f"IdentityFile={_option_path(keyfile)}", "IdentitiesOnly=yes"]
        if known_hosts is not None:
            options.append(f"UserKnownHostsFile={_option_path(known_hosts)}")
        for option in options:
            words += ["-o", option]
        return [*words, *more, "--", self._host]

    def _judged(self, out: Output, tool: str, hidden: tuple[bytes, ...], socket: str) -> Output:
        err = out.err
        for secret in hidden:
            err = err.replace(secret, b"***")
        if out.code == 127 and err.startswith(b"env: "):
            raise no_such_program(self._host, tool)
        if out.code == 126 and err.startswith(b"env: "):
            raise Denied(f"{tool} may not be run on {self._host}", details={"stderr": err.decode("utf-8", "replace")})
        if out.code == 255:
            if b"mux_client_request_session" in err:
                raise self._refused(out)
            if self._local(*self._words(socket, "-O", "check")).code:
                raise self._lost(err)
        return replace(out, err=err, tool=tool)

    def _lost(self, err: bytes) -> Interrupted:
        error = Interrupted("lost", f"ssh to {self._shown()}")
        error.details["stderr"] = err[-TAIL:].decode("utf-8", "backslashreplace")
        return error

    def _refused(self, out: Output) -> VirtError:
        said = out.err[-TAIL:].decode("utf-8", "backslashreplace").strip()
        details = {"stderr": said, "code": out.code}
        if "Permission denied" in said or "Too many authentication failures" in said:
            text = f"ssh to {self._shown()}: log-on refused: {said.rpartition(chr(10))[2]}"
            return Denied(text, hint="check the user, its keys and the agent", details=details)
        stage = next((stage for words, stage in _STAGES if words in said), "log-on")
        return Unreachable(self._shown(), stage, hint=_HINTS.get(stage, said.rpartition("\n")[2]), details=details)

    def _shown(self) -> str:
        return f"{self._uri.user}@{self._host}" if self._uri.user else self._host


def quoted(word: str) -> str:
    """A word as a POSIX shell reads it back, byte for byte."""
    if word and _PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _far(argv: tuple[str, ...], given: bytes | None, env: Mapping[str, str | Secret]) -> tuple[str, bytes | None]:
    """The command line for the far shell, and its input; secrets travel in front of the input, a line each."""
    if "=" in argv[0] or argv[0].startswith("-"):
        raise Invalid(f"{argv[0]!r} cannot be a program's name on a far host")
    plain, first, before = [], b"", ""
    for name, value in revealed(env).items():
        if not isinstance(env[name], Secret):
            plain.append(f"{name}={value}")
            continue
        if not name.isidentifier() or not name.isascii() or "\n" in value:
            raise Invalid(f"the secret variable {name!r} cannot be passed to a far host")
        first += os.fsencode(value) + b"\n"
        before += f"IFS= read -r {name} && export {name} && "
    words = ["env", "LC_ALL=C", *plain, *argv]
    command = before + "exec " + " ".join(quoted(word) for word in words)
    return command, first + (given or b"") if first or given is not None else None


def _param(option: str, value: str | None) -> list[str]:
    return [] if value is None else [option, value]


def _option_path(path: str) -> str:
    """A path as the value of one of ssh's options, which knows quotes and %-tokens."""
    if not path.startswith("/") or '"' in path or "\\" in path:
        raise Invalid(f"{path!r} cannot be passed to ssh", hint="an absolute path without quotes and backslashes")
    path = path.replace("%", "%%")
    return f'"{path}"' if " " in path else path


def _private_folder(runtime: Path | None) -> str:
    """A folder of this user alone, with a short path, for control sockets."""
    for folder in (runtime and runtime / "anyvirt", Path(f"/tmp/anyvirt-{os.getuid()}")):  # noqa: S108 - proved below
        if folder is None or len(os.fsencode(folder)) > _LONGEST_FOLDER:
            continue
        try:
            folder.mkdir(0o700, exist_ok=True)
            status = folder.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
            return str(folder)
    return tempfile.mkdtemp(prefix="anyvirt-", dir="/tmp")


class _Askpass:
    """An answer for ssh's askpass program, given once, through a pipe that only this user can open."""

    def __init__(self, folder: str, answer: Secret) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="ask-", dir=folder))
        self._answer = answer
        self._fd = -1

    def __enter__(self) -> dict[str, str | Secret]:
        pipe, program = self._place / "pipe", self._place / "askpass"
        os.mkfifo(pipe, 0o600)
        self._fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(self._fd, os.fsencode(self._answer.reveal()) + b"\n")
        program.write_text(_ASK.format(pipe=quoted(str(pipe))))
        program.chmod(0o700)
        return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        for name in ("pipe", "pipe.used", "askpass"):
            (self._place / name).unlink(missing_ok=True)
        self._place.rmdir()
