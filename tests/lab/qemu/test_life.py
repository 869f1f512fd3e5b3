"""The life of a Linux guest: what anyvirt says, and what the guest itself prints, are the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyvirt
import pytest
from anyvirt.api import (
    Balloon,
    Change,
    Deadline,
    Event,
    Interrupted,
    Lifecycle,
    Reason,
    Reboot,
    ShutdownMode,
    State,
    Status,
    VirtError,
    Which,
    WrongState,
)
from anyvirt.client._generated_sync import Connection
from anyvirt.feed import Feed
from qemu_stage.small import DISK_BYTES, URI, Small

WRITTEN = 8 << 20


def told(feed: Feed, small: Small, last: Change) -> list[tuple[Change, str]]:
    """Changes of the guest's life up to one that is waited for."""
    found: list[tuple[Change, str]] = []
    while not found or found[-1][0] is not last:
        event = feed.get(timeout=30)
        if isinstance(event, Lifecycle) and event.ref == small.domain.ref:
            found.append((event.change, event.detail))
    return found


def awaited(feed: Feed, kind: type[Event]) -> Event:
    """The next event of a kind."""
    end = Deadline(30)
    while not isinstance(event := feed.get(timeout=end.left()), kind):
        continue
    return event


def gone(pid: int) -> None:
    """Wait until a process is no more."""
    end = Deadline(30)
    while Path(f"/proc/{pid}").exists():
        end.check(f"the end of process {pid}")
        time.sleep(0.02)


def test_the_guest_boots_with_what_its_definition_says(small: Small) -> None:
    assert small.state() == Status(State.RUNNING, Reason.BOOTED)
    assert small.run("nproc").strip() == "1"
    assert 100_000 < int(small.run("grep MemTotal /proc/meminfo").split()[1]) <= 160 * 1024
    assert int(small.run("cat /sys/block/vda/size")) * 512 == DISK_BYTES
    assert "console=ttyS0 quiet" in small.run("cat /proc/cmdline")


def test_the_guest_is_emulated_where_kvm_does_not_run_code_and_the_user_is_told_why(
    small: Small, connection: Connection
) -> None:
    (facts,) = [answer.get() for answer in connection.host_facts().values() if answer.value]
    choice = next(fact for fact in facts if fact.name == "accelerator")
    words = Path(f"/proc/{small.pid()}/cmdline").read_bytes().decode().split("\0")
    assert words[words.index("-accel") + 1].split(",")[0] == choice.value
    if choice.value == "tcg":
        assert "kvm" in choice.reason.lower()
        assert "TCG" in choice.reason


def test_time_stands_still_in_a_suspended_guest(small: Small) -> None:
    before, began = small.uptime(), time.monotonic()
    small.domain.suspend()
    assert small.state() == Status(State.PAUSED, Reason.USER)
    small.domain.suspend()  # nothing happens to one that is paused already
    time.sleep(2)
    small.domain.resume()
    assert small.state() == Status(State.RUNNING, Reason.UNPAUSED)
    passed = small.uptime() - before
    assert passed < time.monotonic() - began - 1.8
    with pytest.raises(WrongState):
        small.domain.resume()


def test_block_sizes_are_those_of_the_file_after_the_guest_has_written(small: Small) -> None:
    small.run(f"dd if=/dev/urandom of=/dev/vda bs=1M count={WRITTEN >> 20} conv=fsync 2>/dev/null")
    (info,) = small.domain.block_info()
    found = small.disk.stat()
    assert info.target == "vda"
    assert info.capacity == DISK_BYTES
    assert info.allocation == found.st_blocks * 512 >= WRITTEN
    assert info.physical == found.st_size
    (answer,) = small.connection.stats([small.domain.ref], ["block"]).values()
    (block,) = answer.get().block or ()
    assert (block.write_bytes or 0) >= WRITTEN
    assert (block.allocation, block.capacity, block.physical) == (info.allocation, info.capacity, info.physical)


def test_the_figures_of_a_busy_guest_grow(small: Small) -> None:
    def figures() -> tuple[int, int]:
        (answer,) = small.connection.stats([small.domain.ref]).values()
        stats = answer.get()
        assert stats.state == small.state()
        assert stats.cpu is not None
        assert stats.vcpu is not None
        assert stats.balloon is not None
        assert stats.balloon.maximum == 160 << 20
        return stats.cpu.time or 0, stats.vcpu[0].time or 0

    before = figures()
    small.run("i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done")
    after = figures()
    assert after[0] - before[0] > 10_000_000
    assert after[1] - before[1] > 10_000_000


def test_memory_is_as_the_guest_itself_sees_it(small: Small) -> None:
    def balloon() -> Balloon:
        (answer,) = small.connection.stats([small.domain.ref], ["balloon"]).values()
        found = answer.get().balloon
        assert found is not None
        return found

    def seen() -> dict[str, int]:
        lines = small.run("cat /proc/meminfo").splitlines()
        return {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}

    end = Deadline(20)
    small.run("dd if=/dev/zero of=/tmp/full bs=1M count=32 2>/dev/null")
    while (told := balloon()).disk_caches is None or told.disk_caches < 32 << 20:
        end.check("figures from the balloon")
        time.sleep(0.2)
    meminfo = seen()
    assert told.available == meminfo["MemTotal"]
    for figure, name in (("unused", "MemFree"), ("usable", "MemAvailable"), ("disk_caches", "Cached")):
        assert abs(getattr(told, figure) - meminfo[name]) < 8 << 20, name
    assert (told.swap_in, told.swap_out) == (0, 0)
    assert (told.minor_fault or 0) > 100
    assert told.last_update is not None
    assert abs(time.time() - told.last_update) < 10
    small.run("rm /tmp/full")
    while (balloon().disk_caches or 0) >= 32 << 20:
        end.check("figures that follow the guest")
        time.sleep(0.2)


def test_a_changed_definition_is_for_the_next_boot(small: Small) -> None:
    document = small.domain.config(Which.CONFIG).model
    changed = small.connection.domain_define(document.replace(title="Another title"))
    assert changed == small.domain
    assert small.domain.config(Which.CONFIG).model.title == "Another title"
    assert small.domain.config(Which.LIVE).model.title == "The small guest"
    assert small.domain.config().model.title == "The small guest"
    small.connection.domain_define(small.xml.replace("<name>", f"<uuid>{small.domain.uuid}</uuid><name>"))


def test_a_reset_is_a_boot_in_the_same_process_whoever_asks_for_it(small: Small) -> None:
    pid = small.pid()
    with small.connection.events() as feed:
        small.type("reboot")
        small.until("Restarting system")
        assert awaited(feed, Reboot).ref == small.domain.ref
        small.domain.reset()
        assert awaited(feed, Reboot).ref == small.domain.ref
        small.until("up after")
        small.until(small.guest.prompt)
    assert small.pid() == pid
    assert small.state().state is State.RUNNING


def test_a_reboot_through_the_power_button_comes_to_its_prompt_again(small: Small) -> None:
    pid = small.pid()
    with small.connection.events() as feed:
        small.domain.reboot(ShutdownMode.ACPI)
        assert "power button" in small.until("up after")
        small.until(small.guest.prompt)
        assert awaited(feed, Reboot).ref == small.domain.ref
    assert small.pid() == pid
    assert small.state().state is State.RUNNING


def test_the_power_off_of_a_guest_that_nobody_watched_is_known_later(state: Path, small: Small) -> None:
    with anyvirt.open(URI, state_dir=state) as first, first.events() as feed:
        first.lookup(small.name).suspend()
        token = awaited(feed, Lifecycle).token
        first.lookup(small.name).resume()
    pid = small.pid()
    small.type("poweroff")
    gone(pid)
    small.hang_up()
    life = [(Change.RESUMED, "unpaused"), (Change.SHUTDOWN, "guest"), (Change.STOPPED, "shutdown")]
    with anyvirt.open(URI, state_dir=state) as second:
        guest = second.lookup(small.name)
        assert guest.state() == Status(State.SHUTOFF, Reason.SHUTDOWN)
        with second.events(after=token) as feed:
            assert told(feed, small, Change.STOPPED) == life
        guest.start()
        assert guest.state() == Status(State.RUNNING, Reason.BOOTED)
        with second.events(after=token) as feed:  # told once, wherever it is kept now
            assert told(feed, small, Change.STARTED) == [*life, (Change.STARTED, "booted")]
    assert small.booted().run("echo $((6 * 7))").strip() == "42"


def test_the_power_button_ends_the_guest_and_every_watcher_hears_of_it(connection: Connection, small: Small) -> None:
    with connection.events() as feed:
        small.domain.shutdown()
        assert small.off() == Status(State.SHUTOFF, Reason.SHUTDOWN)
        assert told(feed, small, Change.STOPPED) == [(Change.SHUTDOWN, "guest"), (Change.STOPPED, "shutdown")]


def test_a_qemu_that_is_killed_is_a_crash(connection: Connection, running: Small) -> None:
    with connection.events() as feed:
        os.kill(running.pid(), signal.SIGKILL)
        assert running.off() == Status(State.SHUTOFF, Reason.CRASHED)
        assert told(feed, running, Change.STOPPED) == [(Change.STOPPED, "crashed")]


def test_a_guest_whose_qemu_hangs_can_be_destroyed(running: Small) -> None:
    os.kill(running.pid(), signal.SIGSTOP)
    with pytest.raises((Interrupted, VirtError)):
        running.domain.suspend(timeout=3)
    began = time.monotonic()
    running.domain.destroy(timeout=10)
    assert time.monotonic() - began < 8
    assert running.off() == Status(State.SHUTOFF, Reason.DESTROYED)
