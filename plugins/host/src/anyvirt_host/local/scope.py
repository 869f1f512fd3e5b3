"""A control group from systemd, where that manages all of them: a scope that is delegated to us."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from anyvirt.api import Failed, current

from anyvirt_host.local.child import Child
from anyvirt_host.local.groups import MOUNTS, OWN, Hierarchy, hierarchies

BOOTED: Final = "/run/systemd/system"
SIGNATURE: Final = "ssa(sv)a(sa(sv))"
SERVICE: Final = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
WAIT: Final = 10.0
LOOK: Final = 0.02
INNER: Final = "guest"


def busctl(env: Mapping[str, str], booted: str = BOOTED) -> str:
    """The program that talks to systemd; ``""`` where no systemd is in charge of this host's groups."""
    return (os.path.isdir(booted) and shutil.which("busctl", path=env.get("PATH"))) or ""


def slice_of(partition: str) -> str:
    """The slice that stands for a path of groups, such as ``machine-lab.slice`` for ``/machine/lab``."""
    parts = [part.removesuffix(".partition") for part in partition.strip("/").split("/")]
    escaped = ["".join(c if c.isalnum() or c in ":_." else f"\\x{ord(c):02x}" for c in part) for part in parts]
    return "-".join(escaped) + ".slice"


def delegated(tree: Hierarchy, *, user: bool) -> str:
    """The group whose controllers a scope can have: the root, or that of the user's own systemd."""
    here = tree.own
    name = f"user@{os.geteuid()}.service"
    if not user or f"/{name}" not in here:
        return tree.mount
    return here[: here.index(f"/{name}")] + f"/{name}"


@contextmanager
def begun(
    unit: str, slice_: str, env: Mapping[str, str], *, user: bool, mounts: str = MOUNTS, own: str = OWN
) -> Iterator[str]:
    """Have systemd make a scope, and give the path of a group in it; it is kept from ending inside the block.

    The scope itself stays systemd's: what we limit and divide is the group below it.

    :param slice_: the slice that it is in; ``""`` for the usual one.
    :raises Failed: systemd refuses.
    """
    properties = [("Delegate", "b", "true"), ("CollectMode", "s", "inactive-or-failed")]
    if slice_:
        properties.append(("Slice", "s", slice_))
    with _guard(env) as guard:
        words = [word for one in properties for word in one]
        words += ["PIDs", "au", "1", str(guard.pid)]
        _call(env, user, "StartTransientUnit", SIGNATURE, unit, "fail", str(len(properties) + 1), *words, "0")
        inner = f"{_followed(guard.pid, unit, mounts, own)}/{INNER}"
        try:
            os.makedirs(inner, exist_ok=True)
            with open(f"{inner}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(guard.pid))
        except OSError as error:
            native = {"errno": error.errno, "text": error.strerror}
            raise Failed(f"systemd made {unit}, and it is not ours: {error.strerror}", native=native) from error
        yield inner


@contextmanager
def _guard(env: Mapping[str, str]) -> Iterator[Child]:
    """A process that does nothing, and ends with the block or with us: it reads a pipe that only we can write to."""
    reads, writes = os.pipe2(os.O_CLOEXEC)
    try:
        with Child(["/bin/sh", "-c", "read -r end <&3"], env=env, fds={3: reads}) as guard:
            yield guard
    finally:
        os.close(reads)
        os.close(writes)


def end(unit: str, env: Mapping[str, str], *, user: bool) -> None:
    """Have systemd take a scope away; one that is gone is no error."""
    try:
        _call(env, user, "StopUnit", "ss", unit, "replace")
    except Failed as error:
        if "not loaded" not in error.message:
            raise


def _call(env: Mapping[str, str], user: bool, *words: str) -> None:
    program = shutil.which("busctl", path=env.get("PATH")) or "/usr/bin/busctl"
    with Child([program, *(["--user"] if user else []), "call", *SERVICE, *words], env=env) as child:
        if child.wait(WAIT) != 0:
            raise Failed(f"systemd: {words[0]}: {child.errors().strip()}", native={"method": words[0]})


def _followed(pid: int, unit: str, mounts: str, own: str) -> str:
    """Where systemd has put the process."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        current().check(f"waiting for {unit}")
        for tree in hierarchies(mounts, own.replace("/self/", f"/{pid}/")):
            if tree.version == 2 and tree.own.endswith(f"/{unit}"):
                return tree.own
        time.sleep(LOOK)
    raise Failed(f"systemd has not made {unit} in {WAIT:.0f} seconds", native={"unit": unit})
