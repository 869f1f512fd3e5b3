"""Ports and sockets that servers of a guest want: whose they are, and who may have them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Problem
from anyvirt_qemu.planning.plan import Account, Plan
from anyvirt_qemu.readiness import servers
from anyvirt_qemu.readiness.rights import Rights

Guest = Callable[..., str]
Ask = Callable[..., dict[str, Problem]]
OURS = Rights()
SERIAL = "<serial type='{}'><source mode='bind' host='{}' service='{}'/><target port='0'/></serial>"
PLACE = "/devices/serial[0]/source[0]/@service"


@pytest.fixture
def ask(planned: Callable[..., Plan], guest: Guest) -> Ask:
    """What keeps the servers of a guest with these devices from coming up."""

    def found(devices: str, **options: Any) -> dict[str, Problem]:
        plan = planned(guest(devices))
        return {one.path: one for one in servers.blockers(plan, OURS, options.pop("rights", OURS), **options)}

    return found


@pytest.fixture
def port() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "localhost", "::"])
def test_a_port_that_is_taken_is_told_where_the_addresses_meet(ask: Ask, port: int, address: str) -> None:
    assert ask(SERIAL.format("tcp", address, port))[PLACE].code == "resource.busy"


def test_another_address_or_protocol_has_ports_of_its_own(ask: Ask, port: int) -> None:
    assert ask(SERIAL.format("tcp", "127.0.0.2", port)) == {}
    assert ask(SERIAL.format("tcp", "::1", port)) == {}
    assert ask(SERIAL.format("tcp", "127.0.0.1", port).replace("bind", "connect")) == {}


def test_a_server_on_all_addresses_has_the_port_on_each(ask: Ask) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert ask(SERIAL.format("tcp", "::1", port))[PLACE].code == "resource.busy"
        assert ask(SERIAL.format("tcp", "127.0.0.1", port)) == {}
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        assert ask(SERIAL.format("tcp", "127.0.0.3", port))[PLACE].code == "resource.busy"


def test_every_port_of_a_screen_is_looked_at(ask: Ask, port: int) -> None:
    screen = "<graphics type='{}' autoport='no' port='{}' {}><listen type='address' address='127.0.0.1'/></graphics>"
    found = ask(screen.format("vnc", 5999, f"websocket='{port}'"))
    assert "/devices/graphics[vnc]/@websocket" in found
    assert ask(screen.format("spice", port, "")).keys() == {"/devices/graphics[spice]/@port"}


def test_two_servers_of_a_guest_cannot_have_one_port(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    one = SERIAL.format("tcp", "127.0.0.1", port)
    found = ask(one + one.replace("port='0'", "port='1'"))
    assert {path: problem.code for path, problem in found.items()} == {
        "/devices/serial[1]/source[0]/@service": "config.duplicate"
    }
    assert ask(one + one.replace("port='0'", "port='1'").replace("127.0.0.1", "127.0.0.2")) == {}


def test_a_port_that_needs_a_right_is_told_with_the_user(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "sys/net/ipv4").mkdir(parents=True)
    (tmp_path / servers.FREE_FROM).write_text("1024\n", encoding="ascii")
    nobody = Rights(Account(uid=65534, gid=65534, name="nobody"))
    wrong = ask(SERIAL.format("tcp", "127.0.0.1", 80), rights=nobody, proc=tmp_path)[PLACE]
    assert (wrong.code, wrong.hint) == ("denied", "choose one from 1024 on")
    assert "user nobody may not have port 80 (right CAP_NET_BIND_SERVICE)" in wrong.text
    (tmp_path / servers.FREE_FROM).write_text("80\n", encoding="ascii")
    assert ask(SERIAL.format("tcp", "127.0.0.1", 80), rights=nobody, proc=tmp_path) == {}


def test_a_socket_that_is_bound_by_qemu_has_a_path_of_at_most_107_bytes(tmp_path: Path) -> None:
    short = tmp_path / "s"
    long = tmp_path / ("s" * (servers.SOCKET_MAX + 1 - len(str(tmp_path)) - 1))
    assert len(str(long)) == servers.SOCKET_MAX + 1
    for path, expected in ((short, []), (long, ["config.range"])):
        plan = Plan(domain=Domain(name="x"), argv=("qemu",), cwd="/run/q", sockets=(str(path),))
        assert [one.code for one in servers.blockers(plan, OURS, OURS)] == expected
