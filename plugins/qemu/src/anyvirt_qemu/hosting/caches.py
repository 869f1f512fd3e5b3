"""Parts of the host's caches that virtual CPUs have to themselves, and their share of the bandwidth to memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from anyvirt.api import Problem
from anyvirt_host.local import resctrl
from anyvirt_host.local.resctrl import Part

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.tuning import CacheUse, Tuning
    from anyvirt_qemu.run_dir import RunDir


def blockers(tuning: Tuning, root: str = resctrl.ROOT, caches: str = resctrl.CACHES) -> Iterator[Problem]:
    """What this host cannot set aside."""
    general = resctrl.problem(root)
    for use in tuning.caches:
        if general:
            yield Problem("unsupported.config", use.place, None, general, "take the element out")
            continue
        for part in _parts(use):
            text = resctrl.lacking(part, root, caches)
            if text:
                hint = "make the parts of others smaller, first of all that of the whole host (schemata of the root)"
                yield Problem("resource.busy", f"{use.place}/cache", None, text, hint)
        for _, percent in use.bandwidths:
            text = resctrl.narrow(percent, root)
            if text:
                yield Problem("unsupported.config", use.place, None, text, "choose another share")


def _parts(use: CacheUse) -> list[Part]:
    return [Part(*words) for words in use.caches]


def divide(
    ready: Preparation,
    tuning: Tuning,
    threads: Mapping[tuple[str, int], int],
    root: str = resctrl.ROOT,
    caches: str = resctrl.CACHES,
) -> None:
    """Set the parts aside, and have the virtual CPUs use them.

    :param threads: ids of QEMU's threads, by kind and number.
    :raises VirtError: no room is left, or the kernel refuses.
    """
    for number, use in enumerate(tuning.caches):
        name = f"anyvirt-{ready.record.uuid}-{ready.record.run}-{number}"
        ready.leave("caches", folder=f"{root}/{name}")
        ready.site.step("make-cache-group")
        folder = resctrl.make(name, _parts(use), use.bandwidths, root, caches)
        resctrl.join(folder, [threads["vcpu", vcpu] for vcpu in sorted(use.vcpus) if ("vcpu", vcpu) in threads])


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Give the parts back."""
    resctrl.remove(str(entry["folder"]))
