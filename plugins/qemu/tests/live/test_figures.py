"""Figures of real guests, held against /proc, and of guests that hang or do not run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import GROUPS, Connection, Deadline, DomainStats, NotFound, Reason, Ref, State, Status, within
from anyvirt_host.local import tap
from anyvirt_qemu.figures import Figures
from anyvirt_qemu.site import Site
from sector_stage import UP, read_until

EVERY = frozenset(GROUPS)
BRIDGE = "avfig0"
NIC = "<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>"
CARD = f"<interface type='bridge'><source bridge='{BRIDGE}'/><mac address='52:54:00:44:55:66'/></interface>"


def stats(connection: Connection, domain: Any, groups: Any = EVERY) -> DomainStats:
    (answer,) = connection.stats_collect([domain], groups).values()
    return answer.get()


def booted(connection: Connection, xml: str) -> Any:
    domain = connection.domain_define(xml)
    domain.start()
    with domain.console(readonly=True, replay=True) as stream:
        read_until(stream, UP)
    return domain


def pid_of(site: Site, domain: Any) -> int:
    with site.run(domain.ref.key) as run:
        assert run is not None
        assert run.process is not None
        return run.process.pid


def ticks(pid: int) -> int:
    """User and system time of a process, in ns."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * (10**9 // os.sysconf("SC_CLK_TCK"))


def test_a_running_guest_has_figures_of_every_group(
    connection: Connection, xml: Callable[..., str], site: Site
) -> None:
    one = booted(connection, xml(more=NIC + "<memballoon model='virtio'/>", vcpus=2))
    pid = pid_of(site, one)
    before = ticks(pid)
    found = stats(connection, one)
    after = ticks(pid)
    assert found.state == Status(State.RUNNING, Reason.BOOTED)
    assert found.cpu is not None
    assert before <= (found.cpu.time or 0) <= after
    assert found.cpu.time == (found.cpu.user or 0) + (found.cpu.system or 0)
    assert found.vcpu is not None
    assert [vcpu.number for vcpu in found.vcpu] == [0, 1]
    assert all(vcpu.state == "running" for vcpu in found.vcpu)
    assert 0 < (found.vcpu[0].time or 0) <= after
    assert found.balloon is not None
    assert (found.balloon.current, found.balloon.maximum) == (32 << 20, 32 << 20)
    assert (found.balloon.rss or 0) > 8 << 20
    assert found.interface is not None
    assert [(net.name, net.mac, net.rx_bytes) for net in found.interface] == [(None, "52:54:00:11:22:33", None)]
    assert found.block is not None
    (block,) = found.block
    assert block.name == "vda"
    assert (block.read_requests or 0) > 0
    assert (block.read_bytes or 0) >= 512


def test_counters_only_grow(connection: Connection, xml: Callable[..., str]) -> None:
    one = booted(connection, xml())
    seen = [stats(connection, one).flat() for _ in range(3)]
    names = [name for name in seen[0] if name.endswith((".time", ".user", ".system", ".reqs", ".bytes", ".times"))]
    assert "cpu.time" in names
    assert "block.0.rd.bytes" in names
    for name in names:
        values = [found[name] for found in seen]
        assert values == sorted(values), name


def test_a_guest_that_does_not_run_has_its_state_and_its_definition(
    connection: Connection, xml: Callable[..., str]
) -> None:
    one = connection.domain_define(xml(more=NIC, vcpus=3))
    found = stats(connection, one)
    assert found.state == Status(State.SHUTOFF, Reason.UNKNOWN)
    assert found.cpu is not None
    assert found.cpu.time is None
    assert [vcpu.state for vcpu in found.vcpu or ()] == ["offline"] * 3
    assert found.balloon is not None
    assert (found.balloon.maximum, found.balloon.rss) == (32 << 20, None)
    assert [net.mac for net in found.interface or ()] == ["52:54:00:11:22:33"]
    assert [block.capacity for block in found.block or ()] == [1 << 20]
    one.start()
    one.destroy()
    assert stats(connection, one).state == Status(State.SHUTOFF, Reason.DESTROYED)


def test_only_what_is_asked_for_is_told(connection: Connection, xml: Callable[..., str]) -> None:
    one = connection.domain_define(xml())
    for _ in range(2):
        for group in GROUPS:
            found = stats(connection, one, {group})
            assert [name for name in GROUPS if getattr(found, name) is not None] == [group]
        if not one.state().state.active:
            one.start(paused=True)
    assert stats(connection, one, {"of a later version"}) == DomainStats()


def test_a_guest_that_hangs_gives_what_the_host_knows_and_delays_nobody(
    connection: Connection, xml: Callable[..., str], site: Site
) -> None:
    domains = [booted(connection, xml(f"g{number}")) for number in range(3)]
    hung = pid_of(site, domains[0])
    os.kill(hung, signal.SIGSTOP)
    try:
        came: dict[str, float] = {}
        found: dict[str, DomainStats] = {}
        begin = time.monotonic()
        for ref, answer in Figures(site).stats([domain.ref for domain in domains], EVERY):
            came[ref.name or ""] = time.monotonic() - begin
            found[ref.name or ""] = answer.get()
        assert max(came["g1"], came["g2"]) < 0.9
        assert came["g0"] < 3
        assert found["g0"].cpu is not None
        assert found["g0"].cpu.time is not None
        assert [vcpu.number for vcpu in found["g0"].vcpu or ()] == [0]
        (block,) = found["g0"].block or ()
        assert (block.name, block.capacity, block.read_bytes) == ("vda", 1 << 20, None)
        with within(Deadline(5)):
            (info,) = domains[0].block_info()
        assert info.capacity == 1 << 20
    finally:
        os.kill(hung, signal.SIGCONT)


def test_what_is_not_there_is_not_found_and_hides_nothing(connection: Connection, xml: Callable[..., str]) -> None:
    one = connection.domain_define(xml())
    gone = Ref("domain", "00000000-0000-0000-0000-000000000000")
    answers = connection.stats_collect([gone, one], {"state"})
    assert isinstance(answers[gone].error, NotFound)
    assert answers[one.ref].get().state is not None
    infos = connection.domain_block_info([gone, one])
    assert isinstance(infos[gone].error, NotFound)
    assert len(infos[one.ref].get()) == 1


def test_a_guest_that_has_ended_by_itself_is_off_before_anybody_settles_it(
    connection: Connection, xml: Callable[..., str], site: Site
) -> None:
    one = booted(connection, xml())
    os.kill(pid_of(site, one), signal.SIGKILL)
    until = time.monotonic() + 5
    while stats(connection, one).state != Status(State.SHUTOFF, Reason.CRASHED):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert [block.capacity for block in stats(connection, one).block or ()] == [1 << 20]
    transient = connection.domain_create(xml("two"))
    os.kill(pid_of(site, transient), signal.SIGKILL)
    until = time.monotonic() + 5
    while connection.stats_collect([transient], {"state"})[transient.ref].error is None:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge of this host."""
    if os.geteuid() or tap.problem() is not None:
        pytest.skip("needs root who may make taps")
    made = subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no bridge can be made here: {made.stderr.strip()}")
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    yield BRIDGE
    subprocess.run(["ip", "link", "del", BRIDGE], check=True)


def test_what_the_host_sends_to_a_card_the_guest_has_received(
    connection: Connection, xml: Callable[..., str], bridge: str
) -> None:
    one = booted(connection, xml(more=CARD))
    try:
        (net,) = stats(connection, one).interface or ()
        assert net.name is not None
        assert net.mac == "52:54:00:44:55:66"
        place = Path(f"/sys/class/net/{net.name}/statistics")
        before = int((place / "tx_bytes").read_text())
        assert int((place / "rx_bytes").read_text()) == 0  # the guest sends nothing
        subprocess.run(["ip", "-6", "addr", "add", "fd00:a::1/64", "dev", bridge], check=True)  # speaks up on the line
        until = time.monotonic() + 10
        while int((place / "tx_bytes").read_text()) == before:
            assert time.monotonic() < until, "nothing was sent to the guest"
            time.sleep(0.05)
        (net,) = stats(connection, one).interface or ()
        assert before < (net.rx_bytes or 0) <= int((place / "tx_bytes").read_text())
        assert (net.rx_packets or 0) > 0
        assert net.tx_bytes == 0
    finally:
        one.destroy()
