"""The AppArmor profile of a guest: loaded before QEMU runs in it, unloaded when the guest has ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Failed, Problem
from anyvirt_host.local import files

from anyvirt_qemu.planning import apparmor

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.plan import Plan
    from anyvirt_qemu.run_dir import RunDir
    from anyvirt_qemu.site import Site

KIND: Final = "apparmor"
KERNEL: Final = Path("/sys/kernel/security/apparmor")
PARSER: Final = "apparmor_parser"
PLACE: Final = "/seclabel[apparmor]"


def blockers(site: Site, plan: Plan, kernel: Path = KERNEL) -> Iterator[Problem]:
    """What is missing for it on this host."""
    use = plan.profile
    if use is None:
        return
    out = "take the label out, and apparmor out of the settings"
    if not kernel.is_dir():
        yield Problem("unsupported.config", PLACE, None, "this host has no apparmor", out)
    elif os.geteuid() != 0:
        yield Problem("denied", PLACE, None, "only root confines guests with apparmor", f"use qemu:///system, or {out}")
    elif not use.made and use.name not in loaded(kernel):
        text = f"no profile {use.name} is loaded"
        yield Problem(
            "config.reference", f"{PLACE}/label", None, text, f"load it with {PARSER}, or write type='dynamic'"
        )
    elif use.made and _parser(site) is None:
        yield Problem("program.not-found", PLACE, None, f"{PARSER} is not installed", f"apt install apparmor, or {out}")


def loaded(kernel: Path = KERNEL) -> set[str]:
    """Names of the profiles that the kernel has."""
    with suppress(OSError):
        return {line.rpartition(" (")[0] for line in (kernel / "profiles").read_text("utf-8").splitlines()}
    return set()


def load(ready: Preparation, plan: Plan) -> None:
    """Make the guest's profile and give it to the kernel.

    :raises Failed: it does not take it.
    """
    use = plan.profile
    if use is None or not use.made:
        return
    site = ready.site
    file = site.scope.folder("qemu", "apparmor") / ready.record.uuid
    ready.leave(KIND, name=use.name, file=str(file))
    site.step("write-profile")
    with open(file, "w", encoding="ascii", opener=files.private) as out:
        out.write(apparmor.profile(use.name, plan))
    site.step("load-profile")
    done = site.host.run(str(_parser(site)), "--replace", "--skip-cache", str(file))
    if done.code:
        words = done.err.decode(errors="replace").strip()
        raise Failed(f"the profile of {ready.record.name} is not taken: {words}", hint="take the label out")


def take_back(_place: RunDir, entry: Mapping[str, Any], kernel: Path = KERNEL) -> None:
    """The kernel forgets the guest's profile, and so does the disk.

    :raises Failed: the profile stays loaded.
    """
    name = str(entry["name"])
    try:
        with open(kernel / ".remove", "w", encoding="ascii", opener=_existing) as file:
            file.write(name)
    except OSError as error:
        if name in loaded(kernel):
            native = {"errno": error.errno, "text": error.strerror, "entry": dict(entry)}
            text = f"the apparmor profile {name} stays loaded: {error.strerror}"
            raise Failed(text, native=native, hint=f"{PARSER} --remove {entry['file']}") from error
    with suppress(FileNotFoundError):
        os.unlink(entry["file"])


def _parser(site: Site) -> str | None:
    return shutil.which(PARSER, path=site.host.settings.child_env.get("PATH"))


def _existing(path: str, _flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
