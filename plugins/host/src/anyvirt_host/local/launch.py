"""Start a process that outlives its starter: the parent's side of launcher.py."""

from __future__ import annotations

import io
import marshal
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyvirt.api import Denied, Failed, Interrupted, Invalid, ProcessId, VirtError, breaks, current

from anyvirt_host.local.spawn import spawn

LAUNCHER = str(Path(__file__).with_name("launcher.py"))
MARSHAL = 2  # readable by every interpreter that runs anyvirt


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to start and under which circumstances.

    :param argv: the program's absolute path and its arguments.
    :param fds: descriptors that the program keeps: number that it has there -> ours; all others are closed.
    :param uid: user to become, with ``gid`` and ``groups``; None keeps the caller's.
    :param limits: ``("RLIMIT_NOFILE", soft, hard)`` and the like.
    :param cgroups: directories of control groups that the process joins before it allocates anything.
    :param cpus: host CPUs that it keeps to from then on; all that the caller may use without them.
    :param oom: value for ``oom_score_adj``.
    :param label: text for ``/proc/self/attr/exec``: the security label after exec.
    :param log: directory descriptor and name of the file that gets both outputs, appended; None discards them.
    :param record: directory descriptor and name of a file that gets the process identity as JSON before exec.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    fds: Mapping[int, int] = field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    limits: tuple[tuple[str, int, int], ...] = ()
    cgroups: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()
    oom: int | None = None
    cwd: str = "/"
    label: str = ""
    log: tuple[int, str] | None = None
    record: tuple[int, str] | None = None


def launch(spec: Spec, *, name: str = "") -> ProcessId:
    """Start ``spec.argv`` as nobody's child and give its identity once exec has worked.

    :param name: what is being started, for error messages.
    :raises Denied: the kernel refuses a step to this user.
    :raises Failed: a step failed; ``details`` has ``step``, ``errno`` and ``text``.
    :raises Interrupted: the deadline passed; nothing that was started is left.
    """
    name = name or next(iter(spec.argv), "a program")
    keep = dict(spec.fds)
    request = _encode(spec, name, keep)
    ours, theirs = os.pipe()
    answer, report = os.pipe()
    pid = 0
    try:
        pid = spawn(
            [sys.executable, "-I", "-S", LAUNCHER],
            {"LC_ALL": "C.UTF-8"},
            {0: ours, 1: report},
            keep=keep,
        )
        os.close(ours)
        os.close(report)
        ours = report = -1
        with breaks(os.killpg, pid, signal.SIGKILL, what=f"starting {name}"):
            _send(theirs, request)
            os.close(theirs)
            theirs = -1
            reply = _receive(answer)
            current().check(f"starting {name}")
            return _understand(reply, spec, name)
    except BaseException:
        if pid:
            _kill_group(pid)
        raise
    finally:
        for fd in (ours, theirs, answer, report):
            if fd >= 0:
                os.close(fd)
        if pid:
            _reap(pid)


def _encode(spec: Spec, name: str, keep: dict[int, int]) -> bytes:
    """The launcher's orders; the folders that it needs itself join ``keep``."""
    if not spec.argv or not spec.argv[0].startswith("/"):
        raise Invalid(f"{name}: the program to start is named by its absolute path")
    if any("\0" in word for word in (*spec.argv, *spec.env, *spec.env.values())):
        raise Invalid(f"{name}: an argument holds a NUL character")
    if spec.uid is not None and spec.gid is None:
        raise Invalid(f"{name}: a user to become needs a group")
    fields = {key: getattr(spec, key) for key in Spec.__slots__}
    fields |= {"env": dict(spec.env), "fds": tuple(spec.fds)}
    for field_name, place in (("log", spec.log), ("record", spec.record)):
        if place is not None:
            number = max(keep, default=9) + 1
            keep[number] = place[0]
            fields[field_name] = (number, place[1])
    return marshal.dumps(fields, MARSHAL)


def _send(fd: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except BrokenPipeError:  # the launcher ended; its answer, or the lack of one, tells why
        return


def _receive(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def _understand(reply: bytes, spec: Spec, name: str) -> ProcessId:
    said: dict[str, Any] = {}
    stream = io.BytesIO(reply)
    while stream.tell() < len(reply):
        said |= marshal.load(stream)  # noqa: S302  - from our own launcher, before its exec
    if "error" in said:
        raise _refused(said, spec, name)
    if "pid" not in said:
        raise Interrupted("lost", f"starting {name}: the launcher ended without a word")
    return ProcessId.from_json(said)


def _refused(said: Mapping[str, Any], spec: Spec, name: str) -> VirtError:
    number, step, text = said["error"], said["step"], said["text"]
    native = {"step": step, "errno": number, "text": text}
    words = os.strerror(number) if number else text
    target = spec.argv[0] if step == "exec" else step
    message = f"cannot start {name}: {target}: {words}"
    if number in {1, 13}:
        return Denied(message, hint=f"user {os.getuid()} needs the right to do this", details=native)
    hint = "install it, or name another" if step == "exec" and number == 2 else ""
    return Failed(message, native=native, hint=hint)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it had not even become a group, or is gone
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:  # the program ignores its children, or reaped this one
        return
