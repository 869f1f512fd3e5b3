"""From a definition to the command line that its start takes, as far as that is known before one."""

from __future__ import annotations

import random
import shlex
from typing import Any, Final

from anyvirt.api import CpuMode, Domain, Settings

from anyvirt_qemu.planning import defaults
from anyvirt_qemu.planning.config import plan
from anyvirt_qemu.planning.plan import NodeUse, Paths, Storage
from anyvirt_qemu.probing import emulators, host_cpu
from anyvirt_qemu.probing.capability import probe
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.readiness import firmwares
from anyvirt_qemu.readiness.dry_run import shown

RUN: Final = "/RUN"
PLACES: Final = {
    RUN: "the folder of one run of the guest",
    "/NVRAM": "the folder of the guests' firmware variables",
    "/MEMORY": "the folder for memory that comes from files",
    "/OVERLAYS": "the folder for what is written to transient disks",
}


def write(domain: Domain, *, pretty: bool) -> bytes:
    """The command line of a start, with comments on what stands for something that only a run has.

    :raises Invalid: what is wrong with the definition, or what this driver or QEMU cannot honour.
    :raises Unsupported: there is no QEMU for it on this host.
    """
    settings = Settings.read()
    arch = (domain.os.arch if domain.os is not None else None) or emulators.native()
    binary = domain.emulator or emulators.found(arch, settings.child_env.get("PATH"))
    if binary is None:
        raise emulators.missing(arch)
    accelerator: Any = "kvm" if domain.type == "kvm" else "tcg"
    folder = settings.user_cache_dir
    caps = probe(binary, folder)
    seed = random.Random(str(domain.uuid or domain.name))  # noqa: S311 - the same line each time
    made = defaults.complete(domain, Caps(caps), seed.randbytes)
    if made.cpu is not None and made.cpu.mode == CpuMode.HOST_MODEL:
        like = host_cpu.nearest(caps, folder)
        made = made if like is None else made.replace(cpu=host_cpu.frozen(made.cpu, like))
    if firmwares.needed(made):
        machine = Caps(caps).machine((made.os.machine if made.os is not None else None) or "")
        folders = (*firmwares.FOLDERS, settings.user_config_dir / "qemu/firmware")
        if machine is not None:
            made = firmwares.chosen(made, caps.arch, machine, firmwares.read(folders))
    paths = Paths(guest=RUN, nvram="/NVRAM", memory="/MEMORY")
    alone = {disk.target: (NodeUse("", "file", "/", "raw"),) for disk in made.disks if disk.target}
    storage = Storage(overlays="/OVERLAYS")
    planned = plan(made, Caps(caps), paths, accelerator=accelerator, chains=alone, storage=storage)
    found = shown(planned, accelerator, (), paused=True)
    return _text(found, pretty=pretty).encode()


def _text(found: Any, *, pretty: bool) -> str:
    line = " \\\n    ".join(shlex.join(words) for words in found.argv) if pretty else shlex.join(
        word for words in found.argv for word in words
    )  # fmt: skip
    notes = [f"# {place} stands for {what}" for place, what in PLACES.items() if place in line]
    notes += [f"# descriptor {one.number}: {one.kind} {one.target}" for one in found.descriptors]
    notes += [f"# beside it runs {shlex.join(one.argv)}" for one in found.programs]
    notes += [f"# over QMP then: {one.command}" for one in found.commands]
    if found.argv and "-blockdev" in line:
        notes.append("# images are taken to have nothing below them but what the definition lists")
    notes += [f"# {warning}" for warning in found.warnings]
    return "\n".join([*(note.replace("\n", " ") for note in notes), line, ""])
