"""What CPUs have in common is a part of each; a comparison tells whether all of one is in the other."""

from __future__ import annotations

from functools import partial

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.capabilities import Capabilities, CapabilitiesHost, HostCpu
from anyvirt.model.cpu import CpuFeature, CpuMode, CpuPolicy, CpuSpec
from anyvirt.model.cpu_sets import CpuModels, FeatureSet, cpu_baseline, cpu_comparison, cpus_of, set_of
from anyvirt.model.domain import Domain
from anyvirt.model.domaincaps import DomainCapabilities, HostModelMode
from anyvirt.model.values import CpuMatch
from hypothesis import given
from hypothesis import strategies as st

WORDS = [f"f{number}" for number in range(12)]
NAMED = {f"m{number}": frozenset(WORDS[: number * 2]) for number in range(6)} | {"odd": frozenset(WORDS[::2])}
HOST = frozenset(WORDS[:9])
MODELS = CpuModels(
    FeatureSet("Blue", HOST), {name: FeatureSet("Blue", one) for name, one in NAMED.items()}, frozenset({"f8"})
)
custom = partial(CpuSpec, mode=CpuMode.CUSTOM)
FEATURES = st.lists(
    st.builds(CpuFeature, name=st.sampled_from(WORDS), policy=st.sampled_from(CpuPolicy)),
    max_size=6,
    unique_by=lambda one: one.name,
)
CPUS = st.builds(
    lambda model, features: custom(model=model, features=tuple(features)), st.sampled_from(sorted(NAMED)), FEATURES
)


def require(*names: str, policy: CpuPolicy = CpuPolicy.REQUIRE) -> tuple[CpuFeature, ...]:
    return tuple(CpuFeature(name=name, policy=policy) for name in names)


@given(st.lists(CPUS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_a_baseline_is_a_part_of_each(cpus: list[CpuSpec], expand: bool, migratable: bool) -> None:
    found = cpu_baseline(cpus, MODELS, expand=expand, migratable=migratable)
    has = set_of(found, MODELS).features
    sets = [set_of(cpu, MODELS).features for cpu in cpus]
    whole = frozenset.intersection(*sets)
    assert has == (whole - MODELS.unmigratable if migratable else whole)
    assert all(has <= one for one in sets)
    if expand:
        assert has == {one.name for one in found.features if one.policy is CpuPolicy.REQUIRE}


@given(CPUS)
def test_one_cpu_is_its_own_baseline_and_runs_where_it_is_whole(cpu: CpuSpec) -> None:
    same = set_of(cpu_baseline([cpu], MODELS), MODELS)
    assert same == set_of(cpu, MODELS)
    here = CpuModels(same, MODELS.named)
    assert cpu_comparison(cpu_baseline([cpu], MODELS), here).match is CpuMatch.IDENTICAL


@given(CPUS)
def test_a_cpu_runs_where_nothing_is_missing(cpu: CpuSpec) -> None:
    found = cpu_comparison(cpu, MODELS)
    optional = {one.name for one in cpu.features if one.policy is CpuPolicy.OPTIONAL}
    assert set(found.missing) == set_of(cpu, MODELS).features - HOST - optional
    assert (found.match is CpuMatch.INCOMPATIBLE) == bool(found.reason)
    assert not (found.missing and not found.reason)


def test_the_nearest_model_is_named_and_one_that_was_given_before_others() -> None:
    twice = CpuModels(MODELS.host, {**MODELS.named, "zz": MODELS.named["m3"], "m3-v1": MODELS.named["m3"]})
    assert cpu_baseline([custom(model="m3")], twice).model == "m3"
    assert cpu_baseline([custom(model="zz")], twice).model == "zz"
    found = cpu_baseline([custom(model="m3", features=require("f9"))], twice)
    assert (found.model, [(one.name, one.policy) for one in found.features]) == ("m3", [("f9", "require")])
    found = cpu_baseline([custom(model="m3", features=require("f0", policy=CpuPolicy.DISABLE))], MODELS)
    assert (found.model, [(one.name, one.policy) for one in found.features]) == ("m3", [("f0", "disable")])


def test_cpus_of_several_vendors_have_nothing_in_common() -> None:
    named = {"blue": FeatureSet("Blue", HOST), "green": FeatureSet("Green", HOST), "any": FeatureSet("", HOST)}
    models = CpuModels(FeatureSet("Blue", HOST), named)
    with pytest.raises(Invalid, match="several vendors: Blue, Green"):
        cpu_baseline([custom(model="blue"), custom(model="green")], models)
    assert cpu_baseline([custom(model="any"), custom(model="green")], models).vendor == "Green"
    other = cpu_comparison(custom(model="green", vendor="Green"), models)
    assert other.reason == "the host's CPU is of Blue, not of Green"
    with pytest.raises(Invalid, match="no CPU model of Red"):
        cpu_baseline([custom(model="any", vendor="Red")], CpuModels(FeatureSet("", HOST), {"any": named["blue"]}))


def test_what_a_host_must_not_have_and_a_strict_match_are_heeded() -> None:
    bare = custom(model="m2")
    forbidden = bare.replace(features=require("f0", policy=CpuPolicy.FORBID))
    assert "must not have" in cpu_comparison(forbidden, MODELS).reason
    assert "nothing more" in cpu_comparison(bare.replace(match="strict"), MODELS).reason
    assert cpu_comparison(bare, MODELS).match is CpuMatch.SUPERSET
    assert cpu_comparison(CpuSpec(mode=CpuMode.HOST_PASSTHROUGH), MODELS).match is CpuMatch.IDENTICAL


def test_models_that_there_are_not_are_named_with_the_nearest() -> None:
    for model, hint in (("m33", "did you mean m3?"), (None, "cpu models")):
        with pytest.raises(Invalid) as refusal:
            cpu_comparison(custom(model=model), MODELS)
        (problem,) = refusal.value.problems
        assert problem.path == "/cpu/model"
        assert hint in problem.hint
    with pytest.raises(Invalid, match="no CPUs"):
        cpu_baseline([], MODELS)


def test_every_kind_of_document_tells_of_its_cpu() -> None:
    cpu = HostCpu(model="m1")
    assert cpus_of(cpu) == (cpu,)
    assert cpus_of(Domain(name="a", cpu=custom(model="m1")))[0].model == "m1"
    assert cpus_of(Capabilities(host=CapabilitiesHost(cpu=cpu))) == (cpu,)
    like = DomainCapabilities(cpu_modes=(HostModelMode(model="m2", vendor="Blue", features=require("f8")),))
    (found,) = cpus_of(like)
    assert (found.model, found.vendor, found.features) == ("m2", "Blue", require("f8"))
    for empty in (Domain(name="a"), Capabilities(), DomainCapabilities()):
        with pytest.raises(Invalid, match="tells of no CPU"):
            cpus_of(empty)
