"""Questions about guests that are not there yet: which QEMU and machine type are meant, and the answers."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    CpuComparison,
    CpuMatch,
    CpuSpec,
    Document,
    DomainCapabilities,
    Invalid,
    Problem,
    Unsupported,
    VirtError,
    cpu_baseline,
    cpu_comparison,
)

from anyvirt_qemu.planning.plan import Machine
from anyvirt_qemu.probing import cpu_models, host_cpu, mainframe
from anyvirt_qemu.probing.accelerator import choose, refused
from anyvirt_qemu.probing.capability import Capability, probe
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.probing.domcaps import HostSide, document
from anyvirt_qemu.probing.emulators import runs
from anyvirt_qemu.readiness import firmwares

if TYPE_CHECKING:
    from anyvirt_qemu.probing.cpu_models import Models
    from anyvirt_qemu.site import Site

PROGRAMS: Final = ("passt", "swtpm", "virtiofsd")
KVM: Final = "/dev/kvm"
CHECK_EXTENSION: Final = 0xAE03  # KVM_CHECK_EXTENSION
MOST_VCPUS: Final = 66  # KVM_CAP_MAX_VCPUS


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question is about.

    :param caps: the QEMU under the accelerator that is meant.
    """

    caps: Capability
    machine: Machine
    kvm: bool


class Questions:
    """Answers for one connection.

    :param emulator: path of a QEMU; see ``domain_capabilities`` in core for it and the others.
    :raises Invalid: there is no such machine type, or the program is for another architecture.
    :raises NotFound: there is no such program (kind ``program``).
    :raises Unsupported: this host cannot run guests of that type or architecture.
    """

    def __init__(
        self, site: Site, emulator: str | None, arch: str | None, machine: str | None, virttype: str | None
    ) -> None:
        self._site = site
        self._folder = site.host.settings.user_cache_dir
        self.asked = self._found(emulator, arch, machine or "", virttype)

    def capabilities(self) -> Document[DomainCapabilities]:
        """What guests of that machine type can have."""
        return Document(model=document(self.asked.caps, self.asked.machine, self._host()))

    def baseline(self, cpus: Sequence[Document[CpuSpec]], *, expand: bool, migratable: bool) -> Document[CpuSpec]:
        """The CPU that a guest can have wherever one of these is."""
        caps = self.asked.caps
        given = [cpu.model for cpu in cpus]
        if mainframe.can(caps):
            return Document(model=mainframe.baseline(caps, self._folder, given, expand=expand))
        models = self._models("cpu_baseline")
        heard = [cpu_models.heard(cpu, models.known) for cpu in given]
        return Document(model=cpu_baseline(heard, models.sets, expand=expand, migratable=migratable))

    def compare(self, cpu: Document[CpuSpec]) -> CpuComparison:
        """How the CPU that guests can have here is to another one."""
        given = cpu.model
        if given.mode is not None and given.mode != "custom":
            return CpuComparison(CpuMatch.IDENTICAL)
        if mainframe.can(self.asked.caps):
            return mainframe.compare(self.asked.caps, self._folder, given)
        return cpu_comparison(cpu_models.heard(given), self._models("cpu_compare").sets)

    def _models(self, hook: str) -> Models:
        models = cpu_models.found(self.asked.caps, self._folder)
        if not models.sets.named:
            text = "CPU models that say what they have; use host-passthrough, or the same model everywhere"
            raise Unsupported("qemu", hook, hint=f"QEMU for {self.asked.caps.arch} has no {text}")
        return models

    def _found(self, emulator: str | None, arch: str | None, machine: str, virttype: str | None) -> Asked:
        binary = emulator or self._site.emulator(arch)
        caps = self._site.caps(binary)
        if arch is not None and not runs(caps.arch, arch):
            text = f"{binary} runs {caps.arch} guests, not {arch}"
            raise Invalid([Problem("config.invalid", "/domainCapabilities/arch", None, text, "leave one of them out")])
        kvm = self._by_kvm(caps, virttype)
        if kvm:
            caps = probe(caps.binary, self._folder, accel="kvm")
        known = Caps(caps).machine(machine)
        if known is None and not machine:  # QEMU for Arm and others have no default
            known = next(iter(filter(None, map(Caps(caps).machine, ("virt", *caps.machines)))), None)
        if known is None:
            text = f"this QEMU ({caps.binary}) has no machine type {machine}"
            hint = "anyvirt host capabilities lists those there are"
            raise Invalid([Problem("unsupported.config", "/domainCapabilities/machine", None, text, hint)])
        return Asked(caps, known, kvm)

    def _by_kvm(self, caps: Capability, virttype: str | None) -> bool:
        if virttype not in {None, "qemu", "kvm"}:
            raise Unsupported("qemu", f"domains of type {virttype}", hint="there are kvm and qemu")
        if virttype is None:
            return choose(caps.binary, self._folder).name == "kvm"
        if virttype == "kvm" and (problem := refused(caps.binary)):
            raise Unsupported("this host", f"kvm guests: {problem}", hint="use type qemu, which is emulated")
        return virttype == "kvm"

    def _host(self) -> HostSide:
        caps, path = self.asked.caps, self._site.host.settings.child_env.get("PATH")
        programs = frozenset(name for name in PROGRAMS if shutil.which(name, path=path))
        folders = (*firmwares.FOLDERS, self._site.host.settings.user_config_dir / "qemu/firmware")
        models = cpu_models.found(caps, self._folder)
        return HostSide(
            kvm=self.asked.kvm,
            vcpus=_most() if self.asked.kvm else None,
            firmwares=firmwares.read(folders),
            programs=programs,
            tpms=self._tpms() if "swtpm" in programs else (),
            vfio=Path("/dev/vfio/vfio").exists() and any(_entries("/sys/kernel/iommu_groups")),
            models=models,
            nearest=host_cpu.nearest(caps, self._folder) if models.sets.named else None,
        )

    def _tpms(self) -> tuple[str, ...]:
        """Versions that the emulator says it knows."""
        try:
            told = json.loads(self._site.host.run("swtpm", "socket", "--print-capabilities").ok().text)
            features: Any = told.get("features", [])
        except (VirtError, ValueError, AttributeError):
            return ()
        return tuple(version for version in ("1.2", "2.0") if f"tpm-{version}" in features)


def _most() -> int | None:
    try:
        fd = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return fcntl.ioctl(fd, CHECK_EXTENSION, MOST_VCPUS) or None
    except OSError:
        return None
    finally:
        os.close(fd)


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
