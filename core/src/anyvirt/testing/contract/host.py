"""The host, its networks and interfaces, and the connection itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anyvirt.client._generated_sync import Connection
from anyvirt.errors import NotFound
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
