"""Statistics: shapes, counters that only grow, and nothing said that is not known."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from anyvirt.client._generated_sync import Connection, Domain
from anyvirt.errors import Invalid
from anyvirt.model.choices import GROUPS
from anyvirt.model.state import State
from anyvirt.model.stats import Balloon, Block, Cpu, DomainStats, Net, Stats, Vcpu
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import each, needs, proves

KINDS: Final[dict[str, type[Stats]]] = {
    "stats_cpu": Cpu,
    "stats_vcpu": Vcpu,
    "stats_balloon": Balloon,
    "stats_interface": Net,
    "stats_block": Block,
}
MANY: Final = ("stats_vcpu", "stats_interface", "stats_block")


def _group(connection: Connection, hook: str, domain: Domain) -> list[Any]:
    value = getattr(connection, hook)([domain])[domain.ref].get()
    return list(value) if isinstance(value, Sequence) else [value]


def _check(members: list[Any], kind: type[Stats]) -> None:
    for member in members:
        assert type(member) is kind
        for name, figure in kind.figures().items():
            value = getattr(member, name)
            if value is None or figure.kind == "label" or figure.unit == "":
                continue
            assert isinstance(value, int), f"{kind.__name__}.{name} is {value!r}"
            assert value >= 0


@needs("domain_state")
@pytest.mark.parametrize("hook", each(*KINDS))
def test_figures_have_the_declared_shape(connection: Connection, guests: Guests, hook: str) -> None:
    domain = guests.running()
    members = _group(connection, hook, domain)
    _check(members, KINDS[hook])
    assert hook in MANY or len(members) == 1


@needs("domain_state", "domain_destroy")
@pytest.mark.parametrize("hook", each(*KINDS))
def test_counters_only_grow_while_it_runs_and_are_unknown_when_it_does_not(
    connection: Connection, guests: Guests, hook: str
) -> None:
    domain = guests.running()
    counters = [name for name, figure in KINDS[hook].figures().items() if figure.kind == "counter"]
    samples = []
    for _ in range(3):
        samples.append(_group(connection, hook, domain))
        time.sleep(0.02)
    for before, after in pairwise(samples):
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            for name in counters:
                if getattr(old, name) is not None:
                    assert getattr(new, name) >= getattr(old, name), name
    connection.domain_destroy(domain)
    for member in _group(connection, hook, domain):
        assert {name: getattr(member, name) for name in counters if getattr(member, name) is not None} == {}


@proves("stats_cpu")
@needs("domain_define", "domain_start")
def test_a_guest_that_runs_uses_processor_time(connection: Connection, guests: Guests, patience: float) -> None:
    domain = guests.running()
    end = time.monotonic() + patience
    first = connection.stats_cpu([domain])[domain.ref].get().time
    assert first is not None
    while True:
        now = connection.stats_cpu([domain])[domain.ref].get().time
        assert now is not None
        if now > first:
            return
        assert time.monotonic() < end, f"its processor time stays {now}"
        time.sleep(0.05)


@proves("stats_vcpu")
@needs("domain_define", "domain_start")
def test_each_virtual_processor_has_its_number(connection: Connection, guests: Guests) -> None:
    members = connection.stats_vcpu([guests.running()]).popitem()[1].get()
    assert [member.number for member in members] == [0]
    assert members[0].state in {"running", "blocked", "offline", None}


@proves("stats_balloon")
@needs("domain_define", "domain_start")
def test_memory_is_what_the_definition_says_in_bytes(connection: Connection, guests: Guests) -> None:
    for domain in (guests.running(memory=96), guests.stopped(memory=96)):
        balloon = connection.stats_balloon([domain])[domain.ref].get()
        assert balloon.maximum == 96 << 20
        assert balloon.current is None or 0 < balloon.current <= 96 << 20


@proves("stats_block")
@needs("domain_define", "domain_start")
def test_disks_are_told_apart_by_target(connection: Connection, guests: Guests, disk_image: tuple[Path, int]) -> None:
    path, capacity = disk_image
    domain = guests.running(disk=path)
    (block,) = connection.stats_block([domain])[domain.ref].get()
    assert (block.name, block.path) == ("vda", str(path))
    assert block.capacity in {capacity, None}


@proves("stats_collect")
@needs("domain_define", "domain_start")
def test_groups_that_were_not_asked_for_are_not_given(connection: Connection, guests: Guests) -> None:
    domain = guests.running()
    for group in GROUPS:
        found = connection.stats_collect([domain], frozenset({group}))[domain.ref].get()
        given = {field.name for field in dataclasses.fields(DomainStats) if getattr(found, field.name) is not None}
        assert given <= {group}
    everything = connection.stats_collect([domain], frozenset(GROUPS))[domain.ref].get()
    assert everything.state.state is State.RUNNING
    assert everything.cpu is not None
    _check([everything.cpu], Cpu)


@proves("stats_collect")
@needs("domain_define", "domain_start")
def test_collected_figures_grow_like_single_ones(connection: Connection, guests: Guests) -> None:
    domain = guests.running(memory=96)
    first, second = (connection.stats_collect([domain], frozenset(GROUPS))[domain.ref].get() for _ in range(2))
    assert first.cpu is not None
    assert second.cpu is not None
    assert first.cpu.time is not None
    assert (second.cpu.time or 0) >= first.cpu.time
    assert second.balloon is not None
    assert second.balloon.maximum == 96 << 20
    assert [member.number for member in second.vcpu or ()] == [0]


@needs("domain_define", "domain_state")
def test_statistics_of_everybody_come_in_one_call(connection: Connection, guests: Guests) -> None:
    domains = [guests.stopped(), guests.stopped()]
    found = connection.stats()
    assert {domain.ref for domain in domains} <= set(found)
    for domain in domains:
        figures = found[domain.ref].get()
        assert figures.state.state is State.SHUTOFF
        assert figures.flat()["state.state"] == 5
    with pytest.raises(Invalid):
        connection.stats(groups=["no-such-group"])
