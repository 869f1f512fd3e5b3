"""The host, its networks and interfaces, and the connection itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Invalid, NotFound, Unsupported
from anyvirt.model.check_documents import problems_of
from anyvirt.model.cpu import CpuFeature, CpuMode, CpuPolicy, CpuSpec
from anyvirt.model.cpu_sets import cpus_of
from anyvirt.model.domaincaps import CustomMode
from anyvirt.model.values import CpuMatch
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves


@proves("connect_alive")
def test_an_open_connection_is_alive(connection: Connection) -> None:
    assert connection.connect_alive() is True


@proves("connect_close")
@needs("domain_list")
def test_a_connection_closes_and_another_opens(open_connection: Callable[..., Connection]) -> None:
    first, second = open_connection(), open_connection()
    first.close()
    assert isinstance(second.domain_list(), tuple)


@proves("host_info")
def test_the_host_says_what_it_is(connection: Connection) -> None:
    info = connection.host_info()
    assert info.hostname
    assert info.hypervisor
    for number in (info.memory, info.cpus, info.mhz, info.sockets, info.cores, info.threads):
        assert number is None or number > 0


@proves("host_facts")
def test_facts_have_a_name_and_a_value(connection: Connection) -> None:
    facts = connection.facts()
    assert facts
    assert all(fact.name and fact.value for fact in facts)


@proves("host_capabilities")
def test_capabilities_name_what_can_run(connection: Connection) -> None:
    model = connection.capabilities().model
    assert model.guests
    assert all(guest.arch for guest in model.guests)


@proves("domain_capabilities")
def test_the_capabilities_of_domains_fit_those_of_the_host(connection: Connection) -> None:
    found = connection.domain_capabilities()
    assert problems_of(found.model) == ()
    model = found.model
    assert model.vcpu_max is not None
    assert model.vcpu_max > 0
    archs = {(guest.arch, one.type) for guest in connection.capabilities().model.guests for one in guest.domains}
    assert (model.arch, model.domain) in archs
    again = connection.domain_capabilities(model.path, model.arch, model.machine, str(model.domain))
    assert again.text == found.text


@proves("domain_capabilities.emulator")
def test_capabilities_of_a_program_that_there_is_not_are_refused(connection: Connection) -> None:
    with pytest.raises((NotFound, Unsupported)):
        connection.domain_capabilities(emulator="/nowhere/qemu-system-never")


@proves("domain_capabilities.arch")
def test_capabilities_of_an_architecture_that_there_is_not_are_refused(connection: Connection) -> None:
    with pytest.raises(Unsupported):
        connection.domain_capabilities(arch="itanium")


@proves("domain_capabilities.machine")
def test_capabilities_of_a_machine_type_that_there_is_not_are_refused(connection: Connection) -> None:
    with pytest.raises(Invalid, match="never"):
        connection.domain_capabilities(machine="never-1.0")


@proves("domain_capabilities.virttype")
def test_capabilities_of_domains_of_another_hypervisor_are_refused(connection: Connection) -> None:
    with pytest.raises(Unsupported):
        connection.domain_capabilities(virttype="phyp")


@proves("cpu_compare")
@needs("domain_capabilities")
def test_a_cpu_like_the_hosts_runs_and_one_of_no_hosts_does_not(connection: Connection) -> None:
    (like,) = cpus_of(connection.domain_capabilities().model)
    assert connection.cpu_compare(like).match is not CpuMatch.INCOMPATIBLE
    more = CpuFeature(name="never-seen", policy=CpuPolicy.REQUIRE)
    found = connection.cpu_compare(like.replace(features=(*like.features, more)))
    assert found.match is CpuMatch.INCOMPATIBLE
    assert found.missing == ("never-seen",)
    assert "never-seen" in found.reason
    with pytest.raises(Invalid, match="never-made"):
        connection.cpu_compare(CpuSpec(mode=CpuMode.CUSTOM, model="never-made"))


@proves("cpu_compare")
@needs("domain_capabilities")
def test_models_that_are_usable_compare_as_such(connection: Connection) -> None:
    modes = connection.domain_capabilities().model.cpu_modes
    models = [one for mode in modes if isinstance(mode, CustomMode) for one in mode.models]
    usable = [one for one in models if one.usable == "yes"]
    blocked = [one for one in models if one.usable == "no"]
    for one in (*usable[:3], *blocked[:3]):
        found = connection.cpu_compare(CpuSpec(mode=CpuMode.CUSTOM, model=one.name, vendor=_vendor(one)))
        assert (found.match is not CpuMatch.INCOMPATIBLE) == (one.usable == "yes") or not found.missing


def _vendor(model: Any) -> str | None:
    return None if model.vendor == "unknown" else str(model.vendor)


@proves("cpu_baseline", "cpu_baseline.expand")
@needs("domain_capabilities", "cpu_compare")
def test_what_cpus_have_in_common_is_no_more_than_each_has(connection: Connection) -> None:
    (whole,) = cpus_of(connection.domain_capabilities().model)
    (off, *_) = [one for one in whole.features if one.policy is CpuPolicy.REQUIRE]
    less = whole.replace(features=tuple(one for one in whole.features if one is not off))
    found = connection.cpu_baseline([whole, less], expand=True).model
    names = {one.name for one in found.features if one.policy is CpuPolicy.REQUIRE}
    assert names
    assert off.name not in names
    assert connection.cpu_compare(found).match is not CpuMatch.INCOMPATIBLE
    short = connection.cpu_baseline([whole, less]).model
    assert short.model == found.model
    assert len(short.features) < len(found.features)
    with pytest.raises(Invalid):
        connection.cpu_baseline([])


@proves("cpu_baseline.migratable")
@needs("domain_capabilities")
def test_a_migratable_baseline_is_no_more_than_the_other(connection: Connection) -> None:
    host = CpuSpec(mode=CpuMode.HOST_PASSTHROUGH)
    every = connection.cpu_baseline([host], expand=True).model
    fewer = connection.cpu_baseline([host], expand=True, migratable=True).model
    names = [{one.name for one in cpu.features if one.policy is CpuPolicy.REQUIRE} for cpu in (fewer, every)]
    assert names[0] <= names[1]


@proves(
    "cpu_baseline.emulator", "cpu_baseline.arch", "cpu_baseline.machine", "cpu_baseline.virttype",
    "cpu_compare.emulator", "cpu_compare.arch", "cpu_compare.machine", "cpu_compare.virttype",
)  # fmt: skip
@pytest.mark.parametrize(
    "which",
    [
        {"emulator": "/nowhere/qemu-system-never"},
        {"arch": "itanium"},
        {"machine": "never-1.0"},
        {"virttype": "phyp"},
    ],
    ids=lambda which: str(next(iter(which))),
)
def test_cpus_of_guests_that_cannot_be_are_not_compared(connection: Connection, which: dict[str, Any]) -> None:
    host = CpuSpec(mode=CpuMode.HOST_PASSTHROUGH)
    with pytest.raises((NotFound, Unsupported, Invalid)):
        connection.cpu_baseline([host], **which)
    with pytest.raises((NotFound, Unsupported, Invalid)):
        connection.cpu_compare(host, **which)


@proves("network_list", "network_info", "network_config")
def test_networks_are_found_by_name(connection: Connection) -> None:
    networks = connection.network_list()
    assert networks
    for network in networks:
        assert connection.lookup_network(network.name).ref == network.ref
        assert network.info().active in {True, False}
        assert f"<name>{network.name}</name>" in network.config().text
    gone = Ref("network", "00000000-dead-4000-8000-000000000000", name="never-was")
    for hook in ("network_info", "network_config"):
        answers = connection.session.bulk(hook, {"refs": (gone, networks[0].ref)}, 10.0)
        assert isinstance(answers[gone].error, NotFound)
        assert answers[networks[0].ref].error is None


@proves("interface_info")
@needs("interface_list")
def test_interfaces_are_up_or_down(connection: Connection) -> None:
    interfaces = connection.interface_list()
    gone = Ref("interface", "00:00:00:00:00:00", name="never-was")
    answers = connection.interface_info([*interfaces, gone])
    assert isinstance(answers[gone].error, NotFound)
    assert all(isinstance(answers[one.ref].get().active, bool) for one in interfaces)


@proves("interface_list", "interface_config")
def test_interfaces_are_found_by_name(connection: Connection) -> None:
    interfaces = connection.interface_list()
    assert interfaces
    for interface in interfaces:
        assert connection.lookup_interface(interface.name).ref == interface.ref
        assert interface.name in interface.config().text
    gone = Ref("interface", "00:00:00:00:00:00", name="never-was")
    answers = connection.session.bulk("interface_config", {"refs": (gone,)}, 10.0)
    assert isinstance(answers[gone].error, NotFound)


@proves("domain_import")
@needs("domain_define", "domain_undefine", "domain_list")
def test_definitions_of_libvirt_are_brought_in_once(
    connection: Connection, guests: Guests, importable: Callable[[str], Path] | None
) -> None:
    if importable is None:
        pytest.skip("no fixture importable: there is no place to put libvirt's definitions")
    name = guests.name()
    importable(guests.xml(name))
    before = {domain.ref for domain in connection.domain_list()}
    (would,) = connection.domain_import(dry_run=True)
    assert (would.name, would.outcome) == (name, "would define")
    assert {domain.ref for domain in connection.domain_list()} == before
    (done,) = connection.domain_import()
    assert (done.name, done.outcome) == (name, "defined")
    domain = guests.mine(connection.domain(connection.lookup(name).ref))
    assert domain.ref == done.ref
    (again,) = connection.domain_import()
    assert again.outcome == "there already"
    with pytest.raises(NotFound):
        connection.lookup(name + "-not")
