"""What comes before a start: the accelerator, the images, the plan, and everything that stands in its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from anyvirt.api import Domain, Invalid, Problem

from anyvirt_qemu import nvram
from anyvirt_qemu.accelerator import choose
from anyvirt_qemu.caps import Caps
from anyvirt_qemu.config import plan
from anyvirt_qemu.plan import Paths
from anyvirt_qemu.run_dir import GUEST

if TYPE_CHECKING:
    from anyvirt_qemu.plan import Plan
    from anyvirt_qemu.site import Site

Accelerator = Literal["kvm", "tcg"]


def prepare(site: Site, domain: Domain) -> tuple[Plan | None, list[Problem], Accelerator]:
    """The plan of a start, every blocker, and the accelerator; nothing on the host changes.

    The plan is None where the definition cannot be planned.
    """
    from anyvirt_qemu.preflight import blockers, chains

    found = site.caps(domain.emulator)
    choice = choose(found.binary, site.host.settings.user_cache_dir)
    accelerator: Accelerator = "kvm" if choice.name == "kvm" and domain.type == "kvm" else "tcg"
    paths = Paths(guest=str(site.runs / str(domain.uuid) / GUEST), nvram=str(nvram.folder(site)))
    images, problems = chains(domain)
    try:
        planned = plan(domain, Caps(found), paths, accelerator=accelerator, chains=images, why=choice.reason)
    except Invalid as error:
        return None, [*problems, *error.problems], accelerator
    return planned, [*problems, *blockers(domain, planned)], accelerator
