"""Detach one process for good; run as ``python -I -S launcher.py`` by launch.py, never imported.

It reads a spec from standard input and answers on standard output, both as
``marshal`` (the two ends are one interpreter, and ``json`` would cost a third
of the whole start). The answer is who the new process is (the four fields of
a ``ProcessId``), and where a step failed ``{"error": errno, "step": ...,
"text": ...}`` after it; the pipe closing by itself says that the new program
runs. Every import here is paid for at each start of a guest, so there are only
built-in modules.
"""

# pathlib alone costs more than all of this
from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the built-in part of signal
import marshal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _write(path: str, data: bytes, flags: int = 0, dir_fd: int | None = None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600, dir_fd=dir_fd)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _start_time(pid: int) -> int:
    return int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])


def _identity(spec: dict[str, Any]) -> dict[str, int | str]:
    """Say who the new process is, in its record file before anything lasting happens."""
    pid = os.getpid()
    found: dict[str, int | str] = {
        "pid": pid,
        "start": _start_time(pid),
        "boot": _read(_BOOT_ID).decode().strip(),
        # 0 where /proc is another namespace's
        "pidns": os.stat("/proc/self/ns/pid").st_ino if os.readlink("/proc/self") == str(pid) else 0,
    }
    if spec["record"]:
        dir_fd, name = spec["record"]
        text = "{" + ", ".join(f'"{key}": {value}' for key, value in found.items() if key != "boot")
        text += f', "boot": "{found["boot"]}"}}\n'
        _write(f".{name}.new", text.encode(), os.O_CREAT | os.O_TRUNC, dir_fd=dir_fd)
        os.rename(f".{name}.new", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    return found


def _limits(spec: dict[str, Any]) -> None:
    if spec["limits"]:
        import resource

        for name, soft, hard in spec["limits"]:
            resource.setrlimit(getattr(resource, name), (soft, hard))


def _log(spec: dict[str, Any]) -> None:
    """Standard output and error go to the log, input comes from nowhere."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    out = null
    if spec["log"]:
        dir_fd, name = spec["log"]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        out = os.open(name, flags, 0o600, dir_fd=dir_fd)
        if os.fstat(out).st_mode & 0o170000 != 0o100000:
            raise OSError(40, "the log is no regular file")
        if spec["uid"] is not None:
            os.fchown(out, spec["uid"], spec["gid"])
    os.dup2(out, 1)
    os.dup2(out, 2)


def _user(spec: dict[str, Any]) -> None:
    if spec["uid"] is not None:
        os.setgroups(spec["groups"])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])


def _close(spec: dict[str, Any], report: int) -> None:
    keep = {0, 1, 2, report, *spec["fds"]}
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:  # the listing's own descriptor
                continue
    for fd in spec["fds"]:
        os.set_inheritable(fd, True)


def _become(spec: dict[str, Any], report: int) -> None:
    step = "record"
    try:
        os.write(report, marshal.dumps(_identity(spec)))
        step = "cgroup"
        for group in spec["cgroups"]:
            _write(f"{group}/cgroup.procs", b"0")
        step = "cpus"
        if spec["cpus"]:
            os.sched_setaffinity(0, spec["cpus"])
        step = "oom"
        if spec["oom"] is not None:
            _write("/proc/self/oom_score_adj", str(spec["oom"]).encode())
        step = "limits"
        _limits(spec)
        step = "log"
        _log(spec)
        step = "label"
        if spec["label"]:
            _write("/proc/self/attr/exec", spec["label"].encode())
        step = "user"
        _user(spec)
        step = "cwd"
        os.chdir(spec["cwd"])
        os.umask(0o077)
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
        step = "exec"
        _close(spec, report)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606
    except BaseException as error:  # noqa: BLE001  - nobody above could hear of it
        number = getattr(error, "errno", None)
        os.write(report, marshal.dumps({"error": number or 0, "step": step, "text": str(error)}))
    os._exit(127)


def main() -> None:
    """Read the spec, make the process a grandchild and leave."""
    data = b""
    while part := os.read(0, 65536):
        data += part
    try:
        spec = marshal.loads(data)  # noqa: S302  - from our own parent
    except (EOFError, ValueError, TypeError):  # the parent died while it wrote
        os._exit(1)
    report = os.dup(1)
    if os.fork() == 0:
        _become(spec, report)
    os._exit(0)


if __name__ == "__main__":
    main()
