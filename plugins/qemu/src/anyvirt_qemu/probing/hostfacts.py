"""The host as QEMU guests find it: machine, versions, accelerator and why, capabilities."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyvirt.api import Capabilities, Document, Fact, HostInfo, Unsupported, plugins

from anyvirt_qemu.probing.accelerator import choose

if TYPE_CHECKING:
    from anyvirt_qemu.site import Site


class HostFacts:
    """What is known of the host of one connection."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def info(self) -> HostInfo:
        caps = self._site.caps()
        cpus = _cpus()
        return HostInfo(
            hostname=platform.node(),
            hypervisor="QEMU",
            hypervisor_version=".".join(map(str, caps.version)),
            driver_version=self._version(),
            arch=platform.machine(),
            memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            cpus=os.cpu_count(),
            mhz=cpus.mhz,
            nodes=max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))),
            sockets=cpus.sockets,
            cores=cpus.cores,
            threads=cpus.threads,
            uri=str(self._site.uri),
        )

    def facts(self) -> Sequence[Fact]:
        try:
            caps = self._site.caps()
        except Unsupported as error:
            return [Fact("qemu", "missing", f"{error}; {error.hint}")]
        choice = choose(caps.binary, self._site.host.settings.user_cache_dir)
        from anyvirt_host.local import tap

        refused = tap.problem()
        return [
            Fact("emulator", caps.binary, f"QEMU {'.'.join(map(str, caps.version))}"),
            Fact("accelerator", choice.name, choice.reason),
            Fact("event journal", "yes" if caps.journal else "no", "QEMU writes its events to a file by itself"),
            Fact("tap devices", "no" if refused else "yes", refused or ""),
        ]

    def capabilities(self) -> Document[Capabilities]:
        from anyvirt_qemu.probing.capabilities import capabilities

        settings = self._site.host.settings
        return Document(model=capabilities(self._site.caps(), settings.user_cache_dir, settings.child_env.get("PATH")))

    def _version(self) -> str:
        settings = self._site.host.settings
        return next((one.version for one in plugins("anyvirt.drivers", settings) if one.name == "qemu"), "")


class _Cpus:
    """What ``/proc/cpuinfo`` and ``/sys`` tell of the processors; None where they do not."""

    mhz: int | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None


def _cpus() -> _Cpus:
    found = _Cpus()
    base = Path("/sys/devices/system/cpu")
    packages, cores = set(), set()
    try:
        for cpu in base.glob("cpu[0-9]*/topology"):
            package = (cpu / "physical_package_id").read_text().strip()
            packages.add(package)
            cores.add((package, (cpu / "core_id").read_text().strip()))
        count = len(list(base.glob("cpu[0-9]*/topology")))
    except OSError:
        return found
    if packages and cores:
        found.sockets = len(packages)
        found.cores = len(cores) // len(packages)
        found.threads = count // len(cores)
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            found.mhz = round(float(line.partition(":")[2]))
            break
    return found
