"""A guest in which QEMU's own guest agent runs: what it is asked, what it tells of memory, and what is said without it.

The power button is dead in it, so that only the agent can have ended or rebooted it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from anyvirt.api import AgentLifecycle, Deadline, Interrupted, Reason, ShutdownMode, State, Status, Unreachable
from anyvirt.client._generated_sync import Connection
from anyvirt.feed import Feed
from qemu_stage.small import Small

CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


@pytest.fixture(scope="module")
def kept(connection: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    small = Small(connection, tmp_path_factory.mktemp("agent"), name="agent", more=CHANNEL, agent=True)
    yield small
    small.end()


@pytest.fixture
def small(kept: Small) -> Small:
    """At its prompt, with a dead power button and its agent, which starts meanwhile, on the channel."""
    kept.booted().run("killall acpid")
    kept.run("until ls -l /proc/$(pidof qemu-ga)/fd | grep -q vport0p1; do usleep 50000; done")
    return kept


def port(feed: Feed, small: Small) -> AgentLifecycle:
    """The next that is told of its channel."""
    end = Deadline(30)
    while not (isinstance(event := feed.get(timeout=end.left()), AgentLifecycle) and event.ref == small.domain.ref):
        continue
    return event


def test_the_agent_reboots_a_guest_whose_power_button_is_dead(connection: Connection, small: Small) -> None:
    pid = small.pid()
    with connection.events() as feed:
        small.domain.reboot(ShutdownMode.AGENT)
        small.until("up after")
        small.until(small.guest.prompt)
        assert [port(feed, small).connected, port(feed, small).connected] == [False, True]
    assert small.pid() == pid
    assert small.state().state is State.RUNNING


def test_without_an_agent_on_its_channel_it_is_unreachable_at_once_and_the_power_button_is_pressed_instead(
    connection: Connection, small: Small
) -> None:
    assert "domain_shutdown.mode=agent" in connection.supports
    with connection.events() as feed:
        small.run("killall qemu-ga")
        assert port(feed, small).connected is False
    for ask in (small.domain.shutdown, small.domain.reboot):
        began = time.monotonic()
        with pytest.raises(Unreachable, match="the agent of agent") as refusal:
            ask(ShutdownMode.AGENT)
        assert time.monotonic() - began < 2
        assert refusal.value.stage == "connect"
        assert "run qemu-guest-agent" in refusal.value.hint
    small.run("acpid -l /var/log/acpid.log")
    small.run("until ls -l /proc/$(pidof acpid)/fd | grep -q /dev/input; do usleep 50000; done")  # it listens
    small.domain.shutdown()
    assert small.off() == Status(State.SHUTOFF, Reason.SHUTDOWN)


def test_an_agent_that_hangs_costs_a_few_seconds_and_obeys_when_it_goes_on(small: Small) -> None:
    before = small.state()
    small.run("killall -STOP qemu-ga")
    began = time.monotonic()
    with pytest.raises(Unreachable, match="the agent of agent") as refusal:
        small.domain.shutdown(ShutdownMode.AGENT, timeout=20)
    assert time.monotonic() - began < 8
    assert refusal.value.stage == "greeting"
    with pytest.raises(Interrupted):
        small.domain.reboot(ShutdownMode.AGENT, timeout=1)
    assert small.state() == before
    small.run("killall -CONT qemu-ga")
    small.domain.shutdown()  # no mode: the agent all the same, and what it answers late is passed over
    assert small.off() == Status(State.SHUTOFF, Reason.SHUTDOWN)
