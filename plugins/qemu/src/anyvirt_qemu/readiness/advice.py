"""Which nodes of the host a guest is best put on, where its definition leaves that to the host: what numad says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Final

from anyvirt.api import Domain, VirtError

NODES: Final = "/sys/devices/system/node"
WAIT: Final = 15.0  # it watches the host for two seconds
MIB: Final = 1 << 20


def given(domain: Domain, env: Mapping[str, str], folder: str = NODES) -> Domain:
    """The definition with the CPUs and nodes that numad chooses, where it asks for that; without them where none does.

    :param env: what numad gets to see; its PATH is where it is looked for.
    :param folder: where the host tells of its nodes.
    """
    tune = domain.numatune
    memory = tune is not None and tune.placement == "auto"
    if domain.vcpu_placement != "auto" and not memory:
        return domain
    nodes = _asked(domain, env)
    if domain.vcpu_placement == "auto":
        domain = domain.replace(vcpu_cpuset=_cpus(nodes, folder) or None)
    if tune is not None and memory:
        domain = domain.replace(numatune=tune.replace(nodeset=nodes or None))
    return domain


def _asked(domain: Domain, env: Mapping[str, str]) -> frozenset[int]:
    program = shutil.which("numad", path=env.get("PATH"))
    if program is None:
        return frozenset()
    from anyvirt_host.local.child import Child

    size = -(-(domain.current_memory or domain.memory or 0) // MIB)
    said = os.memfd_create("numad", os.MFD_CLOEXEC)
    try:
        with Child([program, "-w", f"{domain.vcpu_current or domain.vcpu or 1}:{size}"], env=env, out=said) as child:
            worked = child.wait(WAIT) == 0
        return numbers(os.pread(said, 4096, 0).decode("ascii", "replace")) if worked else frozenset()
    except VirtError:  # it cannot be run; the plan tells that nobody chooses
        return frozenset()
    finally:
        os.close(said)


def _cpus(nodes: frozenset[int], folder: str) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    for node in nodes:
        try:
            with open(f"{folder}/node{node}/cpulist", encoding="ascii") as file:
                found |= numbers(file.read())
        except OSError:
            return frozenset()
    return found


def numbers(text: str) -> frozenset[int]:
    """Numbers from a list like ``0-3,5``; none where it is no such list."""
    try:
        parts = [part.partition("-") for part in text.strip().split(",") if part]
        return frozenset(n for first, _, last in parts for n in range(int(first), int(last or first) + 1))
    except ValueError:
        return frozenset()
