"""What the host has to hold ready for a guest's memory: huge pages, nodes, the right to lock it, files."""

from __future__ import annotations

import json
import os
import re
import resource
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from anyvirt.api import Problem
from anyvirt_host.local.files import number

from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import hugepages

SYSTEM: Final = Path("/sys")
PROC: Final = Path("/proc")
COUNTS: Final = ("free", "resv", "nr_overcommit", "surplus")  # what the kernel tells of huge pages
GUESSES: Final = 0  # the kernel refuses a piece of memory that is larger than all that there is
MIB: Final = 1 << 20
RESOURCE: Final = 24
# beside the guest's memory QEMU locks its own
OVERHEAD: Final = 64 * MIB
# devices that are given away have memory of their own, which is mapped beside the guest's
DEVICES: Final = 1024 * MIB
UNLIMITED: Final = 1 << 63


def blockers(plan: Plan, system: Path = SYSTEM, most: int | None = None, proc: Path = PROC) -> list[Problem]:
    """What of it is missing on this host.

    :param most: bytes that this user may lock; as the host says without it.
    """
    pieces = list(_pieces(plan))
    return [
        *_pages(pieces, system),
        *_nodes(plan, pieces, system),
        *_lock(plan, pieces, lockable(plan) if most is None else most),
        *_room(plan, pieces, proc),
    ]


def warnings(plan: Plan, proc: Path = PROC) -> list[str]:
    """What the host may run short of while the guest runs."""
    room = _meminfo(proc)
    total, asked = room.get("MemTotal", 0), plan.domain.memory or 0
    if not total or asked <= total or (plan.domain.memory_backing and plan.domain.memory_backing.hugepages):
        return []
    return [f"the guest may use {asked >> 20} MiB, and this host has {total >> 20} MiB: it will swap, or be killed"]


def locks(plan: Plan) -> bool:
    """Whether the guest's memory is never swapped."""
    return any(pair == ("-overcommit", "mem-lock=on") for pair in pairwise(plan.argv))


def pins(plan: Plan) -> bool:
    """Whether devices of the host reach the guest's memory, which the kernel keeps in its place for them."""
    return any(use.kind in {"pci", "mdev"} for use in plan.assigned)


def lockable(plan: Plan) -> int:
    """Bytes of memory that the user that QEMU will be may lock."""
    most = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    free = os.geteuid() == 0 if plan.account is None else raises()
    return UNLIMITED if most == resource.RLIM_INFINITY or free else most


def raises(status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process may raise limits of its own (CAP_SYS_RESOURCE), which root lacks in some containers."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text("ascii"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> RESOURCE & 1)


def limits(plan: Plan) -> tuple[tuple[str, int, int], ...]:
    """Limits of the process that QEMU will be: all that may be locked, where it locks."""
    most = lockable(plan)
    if not (locks(plan) or pins(plan)) or (most == UNLIMITED and plan.account is None):
        return ()
    most = resource.RLIM_INFINITY if most == UNLIMITED else most
    return (("RLIMIT_MEMLOCK", most, most),)


def _pieces(plan: Plan) -> Iterator[dict[str, Any]]:
    for flag, text in pairwise(plan.argv):
        if flag == "-object" and text.startswith("{"):
            found = json.loads(text)
            if str(found["qom-type"]).startswith("memory-backend-"):
                yield found


def _pages(pieces: list[dict[str, Any]], system: Path) -> Iterator[Problem]:
    """Huge pages that are neither free nor may be made on demand."""
    asked: Counter[int] = Counter()
    files = [piece for piece in pieces if "mem-path" in piece]
    mounts: Mapping[str, int] = {place: size for size, place in hugepages.mounts()[1].items()} if files else {}
    for piece in pieces:
        page = piece.get("hugetlbsize") or mounts.get(str(piece.get("mem-path")))
        if page and piece.get("reserve") is not False:
            asked[page] += -(-piece["size"] // page)
    for page, wanted in sorted(asked.items()):
        folder = system / f"kernel/mm/hugepages/hugepages-{page >> 10}kB"
        free, reserved, more, used = (number(folder / f"{word}_hugepages") or 0 for word in COUNTS)
        free += max(0, more - used) - reserved
        if not folder.is_dir():
            text = f"this host has no huge pages of {page >> 10} KiB"
            yield Problem("unsupported.config", "/memoryBacking/hugepages", None, text, "choose another size")
        elif free < wanted:
            text = f"{wanted} huge pages of {page >> 10} KiB are needed, and {max(0, free)} are free"
            hint = f"reserve more: echo {wanted} > {folder}/nr_hugepages (together with those in use)"
            yield Problem("resource.busy", "/memoryBacking/hugepages", None, text, hint)


def _nodes(plan: Plan, pieces: list[dict[str, Any]], system: Path) -> Iterator[Problem]:
    there = system / "devices/system/node"
    wanted = sorted({node for piece in pieces for node in piece.get("host-nodes", ())})
    missing = [node for node in wanted if not (there / f"node{node}").is_dir()]
    if missing:
        names = ", ".join(map(str, missing))
        hint = "anyvirt host capabilities lists the nodes there are"
        text = f"this host has no NUMA node {names}"
        for place in _asking(plan, set(missing)) or ["/numatune"]:
            yield Problem("unsupported.config", place, None, text, hint)


def _asking(plan: Plan, nodes: set[int]) -> list[str]:
    """Elements that name one of these nodes."""
    tune = plan.domain.numatune
    if tune is None:
        return []
    found = ["/numatune/memory/@nodeset"] if nodes & set(tune.nodeset or ()) else []
    return found + [f"/numatune/memnode[{x.cellid}]/@nodeset" for x in tune.memnodes if nodes & set(x.nodeset or ())]


def _lock(plan: Plan, pieces: list[dict[str, Any]], most: int) -> Iterator[Problem]:
    needed = sum(piece["size"] for piece in pieces) + (DEVICES if pins(plan) else OVERHEAD)
    if (locks(plan) or pins(plan)) and most < needed:
        text = f"{needed >> 20} MiB are to be locked, and this user may lock {most >> 20} MiB"
        hint = "raise the limit (memlock in /etc/security/limits.conf, LimitMEMLOCK= of the service)"
        place = "/memoryBacking/locked" if locks(plan) else plan.assigned[0].place
        yield Problem("denied", place, None, text, hint)


def _room(plan: Plan, pieces: list[dict[str, Any]], proc: Path) -> Iterator[Problem]:
    """Memory of processes that the kernel would not promise."""
    ours = [piece["size"] for piece in pieces if piece["qom-type"] == "memory-backend-ram" and not piece.get("share")]
    largest = max(ours, default=0 if pieces else plan.domain.memory or 0)
    room = _meminfo(proc)
    total = room.get("MemTotal", 0) + room.get("SwapTotal", 0)
    if total and largest > total and (number(proc / "sys/vm/overcommit_memory") or 0) == GUESSES:
        text = f"the guest is to have {largest >> 20} MiB, and this host has {total >> 20} MiB with its swap space"
        hint = "give it less, or let the kernel promise more: sysctl vm.overcommit_memory=1"
        yield Problem("config.range", "/memory", None, text, hint)


def _meminfo(proc: Path) -> dict[str, int]:
    """Sizes that the kernel tells of memory, in bytes."""
    try:
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    rows = (line.split() for line in lines)
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in rows if len(words) == 3 and words[1].isdecimal()}
