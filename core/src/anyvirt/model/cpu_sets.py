"""CPUs as sets of features: what several of them have in common, and whether one has all that another has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from anyvirt.errors import Invalid, Problem
from anyvirt.model.cpu import CpuFeature, CpuMode, CpuPolicy, CpuSpec
from anyvirt.model.values import CpuComparison, CpuMatch

if TYPE_CHECKING:
    from anyvirt.model.element import Element

VERSION: Final = re.compile(r"-v\d+")
OFF: Final = (CpuPolicy.DISABLE, CpuPolicy.FORBID)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """A CPU: its vendor, ``""`` where it has none, and its features."""

    vendor: str
    features: frozenset[str]


@dataclass(frozen=True, slots=True)
class CpuModels:
    """The CPUs that a hypervisor can give on a host.

    :param host: all that guests can have here.
    :param named: models by name.
    :param unmigratable: features that keep a guest where it is.
    :param plain: the one name of a feature that has several.
    """

    host: FeatureSet
    named: Mapping[str, FeatureSet]
    unmigratable: frozenset[str] = frozenset()
    plain: Callable[[str], str] = str


def cpus_of(model: Element) -> tuple[CpuSpec, ...]:
    """The CPUs that a document is about: a CPU, a domain's, a host's, or the one like the host's.

    :raises Invalid: it is about none.
    """
    from anyvirt.model.capabilities import Capabilities
    from anyvirt.model.domain import Domain
    from anyvirt.model.domaincaps import DomainCapabilities, HostModelMode

    found: CpuSpec | None = None
    if isinstance(model, CpuSpec):
        found = model
    elif isinstance(model, Domain):
        found = model.cpu
    elif isinstance(model, Capabilities):
        found = model.host.cpu if model.host is not None else None
    elif isinstance(model, DomainCapabilities):
        modes = [mode for mode in model.cpu_modes if isinstance(mode, HostModelMode) and mode.model]
        found = _spelled(modes[0]) if modes else None
    if found is None:
        root = type(model)._tag
        hint = "give a <cpu>, a domain with one, or what `host capabilities` or `host domcapabilities` print"
        raise Invalid([Problem("config.invalid", f"/{root}", 1, f"this <{root}> tells of no CPU", hint)])
    return (found,)


def set_of(cpu: CpuSpec, models: CpuModels) -> FeatureSet:
    """What a CPU has; optional features count.

    :raises Invalid: there is no such model.
    """
    base = models.host if cpu.mode not in {None, CpuMode.CUSTOM} else _named(cpu, models)
    rows = [(models.plain(one.name or ""), one.policy) for one in cpu.features]
    more = {name for name, policy in rows if policy not in OFF}
    less = {name for name, policy in rows if policy in OFF}
    return FeatureSet(cpu.vendor or base.vendor, (base.features | more) - less)


def cpu_baseline(
    cpus: Sequence[CpuSpec], models: CpuModels, *, expand: bool = False, migratable: bool = False
) -> CpuSpec:
    """The CPU that a guest can have wherever one of these is: each of them has all its features.

    :param expand: name the features of the model, too.
    :param migratable: leave out what keeps a guest where it is.
    :raises Invalid: there are none, their vendors differ, or there is no such model.
    """
    if not cpus:
        raise Invalid("there are no CPUs to compare", hint="give one or more")
    sets = [set_of(cpu, models) for cpu in cpus]
    vendors = {one.vendor for one in sets} - {""}
    if len(vendors) > 1:
        text = f"the CPUs are of several vendors: {', '.join(sorted(vendors))}"
        raise Invalid([Problem("config.invalid", "/cpu/vendor", None, text, "give CPUs of one vendor")])
    vendor = next(iter(vendors), "")
    common = frozenset.intersection(*(one.features for one in sets))
    if migratable:
        common -= models.unmigratable
    given = {cpu.model for cpu in cpus}
    name, base = _nearest(common, vendor, given, models)
    required = common if expand else common - base
    rows = [CpuFeature(policy=CpuPolicy.REQUIRE, name=one) for one in sorted(required)]
    rows += [CpuFeature(policy=CpuPolicy.DISABLE, name=one) for one in sorted(base - common)]
    return CpuSpec(
        mode=CpuMode.CUSTOM,
        match="exact",
        model=name,
        model_fallback="forbid",
        vendor=vendor or None,
        features=tuple(rows),
    )


def cpu_comparison(cpu: CpuSpec, models: CpuModels) -> CpuComparison:
    """How the CPU that guests can have here is to another one: whether a guest with that one can run.

    :raises Invalid: there is no such model.
    """
    wanted = set_of(cpu, models)
    named = {policy: {models.plain(x.name or "") for x in cpu.features if x.policy is policy} for policy in CpuPolicy}
    missing = wanted.features - models.host.features - named[CpuPolicy.OPTIONAL]
    unwanted = named[CpuPolicy.FORBID] & models.host.features
    extra = models.host.features - wanted.features
    told = CpuComparison(CpuMatch.SUPERSET, tuple(sorted(missing)), tuple(sorted(extra)))
    if cpu.vendor and models.host.vendor and cpu.vendor != models.host.vendor:
        reason = f"the host's CPU is of {models.host.vendor}, not of {cpu.vendor}"
    elif missing:
        reason = f"the host has no {', '.join(sorted(missing))}"
    elif unwanted:
        reason = f"the host has {', '.join(sorted(unwanted))}, which the CPU must not have"
    elif cpu.match == "strict" and extra:
        reason = "the host has more, and the CPU asks for nothing more (match='strict')"
    else:
        return told if extra else replace(told, match=CpuMatch.IDENTICAL)
    return replace(told, match=CpuMatch.INCOMPATIBLE, reason=reason)


def _spelled(mode: object) -> CpuSpec:
    from anyvirt.model.domaincaps import HostModelMode

    assert isinstance(mode, HostModelMode)
    return CpuSpec(mode=CpuMode.CUSTOM, model=mode.model, vendor=mode.vendor, features=mode.features)


def _named(cpu: CpuSpec, models: CpuModels) -> FeatureSet:
    found = models.named.get(cpu.model or "")
    if found is None:
        near = get_close_matches(cpu.model or "", models.named, n=1)
        hint = f"did you mean {near[0]}?" if near else "`anyvirt cpu models` lists those there are"
        text = f"there is no CPU model {cpu.model}" if cpu.model else "the CPU has no model"
        raise Invalid([Problem("unsupported.config", "/cpu/model", None, text, hint)])
    return found


def _nearest(
    common: frozenset[str], vendor: str, given: set[str | None], models: CpuModels
) -> tuple[str, frozenset[str]]:
    """The model that shares most with a set and has least beside it; names that were given win over equal ones."""
    fit = {name: one.features for name, one in models.named.items() if not vendor or one.vendor in {"", vendor}}
    if not fit:
        raise Invalid(f"there is no CPU model of {vendor}", hint="`anyvirt cpu models` lists those there are")

    def rank(name: str) -> tuple[int, bool, bool, str]:
        close = len(fit[name] & common) - len(fit[name] - common)
        return close, name in given, VERSION.search(name) is None, name

    best = max(fit, key=rank)
    return best, fit[best]
