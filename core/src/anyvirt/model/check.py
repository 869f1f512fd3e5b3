"""Rules between fields that hold for every hypervisor; all that is broken is listed at once."""

from __future__ import annotations

from anyvirt.errors import Invalid, Problem
from anyvirt.model.checks.boot import boot
from anyvirt.model.checks.devices import devices
from anyvirt.model.checks.disks import disks
from anyvirt.model.checks.hostdevs import hostdevs
from anyvirt.model.checks.interfaces import interfaces
from anyvirt.model.checks.memory import memory
from anyvirt.model.checks.names import check_name, identity
from anyvirt.model.checks.places import addresses, numbers
from anyvirt.model.checks.processors import processors
from anyvirt.model.checks.screens import screens
from anyvirt.model.checks.tuning import tuning
from anyvirt.model.domain import Domain
from anyvirt.model.walk import walk

__all__ = ("check", "check_name")


def check(domain: Domain) -> tuple[Problem, ...]:
    """What makes a definition wrong whatever runs it: duplicates, contradictions, values out of bounds.

    Unknown content is not looked at; ``unknown`` lists that.
    """
    try:
        return _broken(domain)
    except (AttributeError, TypeError, ValueError):
        # Values that a program has put in may be of any type; what is read from a document never is.
        from anyvirt.model.write import dump

        try:
            dump(domain)
        except Invalid as error:
            return tuple(error.problems)
        raise


def _broken(domain: Domain) -> tuple[Problem, ...]:
    steps = list(walk(domain))
    found = [
        *identity(domain),
        *memory(domain),
        *processors(domain),
        *tuning(domain),
        *boot(domain, steps),
        *disks(domain),
        *interfaces(domain),
        *screens(domain),
        *devices(domain),
        *hostdevs(domain),
        *addresses(steps),
        *numbers(domain, steps),
    ]
    return tuple(sorted(found, key=lambda problem: problem.line or 0))
