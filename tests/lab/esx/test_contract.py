"""The contract suite on a simulated ESXi host (vcsim); what is so is seen through pyVmomi itself."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import pytest
from anyvirt.api import Connection, NotFound, Ref, State
from anyvirt.client._generated_sync import Domain
from anyvirt.testing import proves
from anyvirt.testing.contract import *  # noqa: F403
from anyvirt.testing.guests import Guests
from vcsim_stage import PASSWORD, USER, Server

STATES: Final = {"poweredOn": State.RUNNING, "poweredOff": State.SHUTOFF, "suspended": State.PAUSED}


class Native:
    """A session of the vendor's own client beside the one under test."""

    def __init__(self, server: Server) -> None:
        context = ssl.create_default_context(cafile=str(server.folder / "cert.pem"))
        connect = import_module("pyVim.connect").SmartConnect
        self.service = connect(
            host="127.0.0.1", port=server.simulator.port, user=USER, pwd=PASSWORD, sslContext=context
        )
        self._vim = import_module("pyVmomi").vim

    def state(self, key: str) -> State:
        return STATES[str(self._machine(key).runtime.powerState)]

    def bring(self, key: str, state: State) -> None:
        """Bring a machine into a state, from whichever it is in."""
        ways = {State.RUNNING: ["On"], State.SHUTOFF: ["Off"], State.PAUSED: ["On", "Suspend"]}[state]
        for way in ways if self.state(key) is not state else ():
            method = f"Power{way}VM_Task" if way != "Suspend" else "SuspendVM_Task"
            wanted = {"On": State.RUNNING, "Off": State.SHUTOFF, "Suspend": State.PAUSED}[way]
            getattr(self._machine(key), method)()
            end = time.monotonic() + 5
            while self.state(key) is not wanted and time.monotonic() < end:
                time.sleep(0.01)

    def labels(self, key: str) -> tuple[str, str]:
        """Name and UUID of a machine."""
        config = self._machine(key).config
        return str(config.name), str(config.uuid)

    def end(self) -> None:
        import_module("pyVim.connect").Disconnect(self.service)

    def _machine(self, key: str) -> Any:
        return self._vim.VirtualMachine(key, self.service._stub)


class Brought(Guests):
    """Machines that are there already, brought into a state by the vendor's own client; none twice in a test."""

    def __init__(self, connection: Connection, native: Native, xml: Any) -> None:
        super().__init__(connection, xml, None)
        self._native = native
        self._free = iter(connection.domain_list())

    def _existing(self, state: State) -> Domain:
        domain = next(self._free)
        self._native.bring(domain.ref.key, state)
        return domain


@pytest.fixture(scope="module")
def host(serving: Callable[..., Server]) -> Server:
    return serving("esx", "-vm", "12")


@pytest.fixture(scope="module")
def native(host: Server) -> Iterator[Native]:
    made = Native(host)
    yield made
    made.end()


@pytest.fixture
def connection_uri(host: Server) -> str:
    return host.uri()


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def proven_on() -> str:
    return "simulator"


@pytest.fixture
def guests(connection: Connection, native: Native, guest_xml: Any) -> Guests:
    return Brought(connection, native, guest_xml)


@pytest.fixture
def observe(native: Native) -> Callable[[Ref], State]:
    return lambda ref: native.state(ref.key)


@pytest.fixture
def ledger() -> Mapping[str, tuple[str, str]]:
    edge = "test_an_allowed_operation_leads_where_the_table_says"
    goes = "a machine that is unregistered is out of reach, and one that runs is not unregistered"
    return {
        f"{edge}[undefine-running]": ("unsupported", goes),
        f"{edge}[undefine-paused]": ("unsupported", goes),
        f"{edge}[reset-paused]": ("unsupported", "the server has no reset that leaves a machine suspended"),
        f"{edge}[reboot-running]": ("later", "vcsim does not know RebootGuest"),
    }


@proves("domain_lookup")
def test_a_machine_is_found_by_name_uuid_number_and_key(connection: Connection, native: Native, guests: Guests) -> None:
    key = guests.running().ref.key
    for text in (*native.labels(key), key, key.removeprefix("vm-")):
        assert connection.lookup(text).ref.key == key
    native.bring(key, State.SHUTOFF)
    with pytest.raises(NotFound):
        connection.lookup(key.removeprefix("vm-"))
