"""What programs beside QEMU keep from one run of a guest to the next: made once, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Failed
from anyvirt_host.local.child import Child

from anyvirt_qemu import failure, installed

if TYPE_CHECKING:
    from anyvirt_qemu.beside import ProgramUse, StateUse
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.run_dir import RunDir

KIND: Final = "state"
ENV: Final = "/usr/bin/env"


def make(ready: Preparation, use: ProgramUse, secret: int) -> None:
    """Make the state where there is none, or change what is there as planned.

    It is made beside its place and moved there whole: one that somebody was killed in the middle of making is made
    anew.

    :param secret: descriptor of what encrypts it, or -1.
    :raises Failed: the program that makes it failed; its last words say why.
    """
    state = use.state
    assert state is not None
    place = Path(state.folder)
    if place.is_dir():
        if state.again:
            ready.site.step("change-state")
            _run(state, state.again, place, secret, ready.record.name)
        return
    new = place.with_name(f".{place.name}.new")
    ready.leave(KIND, folder=str(new))
    _configure(state)
    _private(place.parent)
    with suppress(FileNotFoundError):
        shutil.rmtree(new)
    new.mkdir(0o700)
    ready.site.step("make-state")
    _run(state, state.make, new, secret, ready.record.name)
    ready.site.step("keep-state")
    new.replace(place)


def _configure(state: StateUse) -> None:
    if not state.config:
        return
    folder = Path(state.config).parent
    _private(folder)
    try:
        lines = Path(installed.SETUP).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for path, text in installed.authority(lines, folder).items():
        new = f"{path}.new"
        with open(new, "w", encoding="utf-8", opener=_only_ours) as out:
            out.write(text)
        os.replace(new, path)


def _private(folder: Path) -> None:
    folder.mkdir(0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def _only_ours(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _run(state: StateUse, words: tuple[str, ...], folder: Path, secret: int, guest: str) -> None:
    from anyvirt_qemu.hosting.programs import reopened

    name = os.path.basename(words[0])
    env = {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(folder)}
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
    with suppress(FileNotFoundError):
        shutil.rmtree(entry["folder"])
