"""What programs beside QEMU keep from one run of a guest to the next: made once, and whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Busy, Denied, Failed, NotFound, ProcessId
from anyvirt_host.local import files
from anyvirt_host.local.child import Child

from anyvirt_qemu.qmp import failure
from anyvirt_qemu.readiness import installed

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.beside import ProgramUse, StateUse
    from anyvirt_qemu.run_dir import RunDir
    from anyvirt_qemu.site import Site

KIND: Final = "state"
AUTHORITY: Final = "tpm-authority"
NEW: Final = ".new"
ENV: Final = "/usr/bin/env"
GONE: Final = 10.0
NAP: Final = 0.005


def make(ready: Preparation, use: ProgramUse, secret: int) -> None:
    """Make the state where there is none, or change what is there as planned.

    It is made beside its place and moved there: one that somebody was killed in the middle of making is made anew.

    :param secret: descriptor of what encrypts it, or -1.
    :raises Failed: the program that makes it failed; its last words say why.
    :raises Denied: something else is where it is to be made.
    """
    state = use.state
    assert state is not None
    place = Path(state.folder)
    there = (place / state.file).exists()
    if there and not state.again:
        return
    new = place / NEW
    if new.is_symlink() or (new.exists() and not new.is_dir()):
        raise Denied(f"{new} is no folder, and is not followed", hint="remove it, and see who has put it there")
    ready.leave(KIND, folder=str(new))
    configure(ready.site, state)
    if not place.is_dir():
        place.mkdir(0o700, parents=True)
    _sweep(new)
    try:
        new.mkdir(0o700)
    except OSError as error:
        native = {"errno": error.errno, "text": error.strerror}
        raise Failed(f"cannot make {new}: {error.strerror}", native=native, hint="see who else works there") from error
    ready.site.step("change-state" if there else "make-state")
    if there:
        _run(state, state.again, place, new, secret, ready.record.name)
    else:
        _run(state, state.make, new, new, secret, ready.record.name)
        ready.site.step("keep-state")
        (new / state.file).chmod(0o600)  # swtpm_setup lets the group read it
        (new / state.file).replace(place / state.file)
    _sweep(new)


def configure(site: Site, state: StateUse) -> None:
    """Write down for swtpm_setup where the authority is that signs certificates, one process at a time.

    :raises Busy: another process does so until the deadline.
    """
    if not state.config:
        return
    folder = Path(state.config).parent
    folder.mkdir(0o700, parents=True, exist_ok=True)
    try:
        lines = Path(installed.SETUP).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    with site.scope.locks.hold(AUTHORITY, "writing its settings"):
        for path, text in installed.authority(lines, folder).items():
            new = f"{path}.new"
            with open(new, "w", encoding="utf-8", opener=files.private) as out:
                out.write(text)
            os.replace(new, path)


def _run(state: StateUse, words: tuple[str, ...], folder: Path, scratch: Path, secret: int, guest: str) -> None:
    from anyvirt_qemu.hosting.programs import reopened

    name = os.path.basename(words[0])
    env = {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(scratch)}
    with ExitStack() as inherited:
        fds = {end.number: reopened(secret, inherited) for end in state.fds}
        with Child([ENV, "-C", str(folder), *words], env=env, fds=fds) as child:
            code = child.wait()
            if code:
                said = failure.log_tail(child.errors())
                native = {"program": name, "code": code, "log": said}
                raise Failed(f"{guest}: {name} failed: {said or f'exit {code}'}", native=native)


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Remove what was not made whole; what is whole stays for the next run."""
    _sweep(Path(entry["folder"]))


def _sweep(scratch: Path) -> None:
    """Remove a folder that somebody was killed in the middle of filling, and end who still works in it.

    What is no folder is not ours, and is left alone.

    :raises Busy: somebody does not end.
    :raises Failed: it does not go away.
    """
    if scratch.is_symlink() or not scratch.is_dir():
        return
    until = time.monotonic() + GONE
    while workers := _workers(scratch):
        for worker in workers:
            worker.signal(signal.SIGKILL)
        if time.monotonic() > until:
            raise Busy(str(scratch), holder=f"process {workers[0].pid}", purpose="making the state of a device")
        time.sleep(NAP)
    try:
        shutil.rmtree(scratch)
    except FileNotFoundError:
        return
    except OSError as error:  # somebody changes it meanwhile
        native = {"errno": error.errno, "text": error.strerror}
        raise Failed(f"cannot remove {scratch}: {error.strerror or error}", native=native, hint="remove it") from error


def _workers(scratch: Path) -> list[ProcessId]:
    """Processes that were started to work there: swtpm_setup does not end its own when it is killed."""
    mark = f"TMPDIR={scratch}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError, NotFound):
                process = ProcessId.of(int(entry.name))
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0") and process.alive():
                    found.append(process)
    return found
