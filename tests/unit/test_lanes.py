from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from anyvirt.deadline import CREW, ROOM, Deadline, breaks, current, left, within
from anyvirt.errors import BadDriver, Busy, Cancelled, Failed, Interrupted, Unreachable
from anyvirt.lanes import IDLE_SECONDS, STUCK_PER_KEY, Lanes, fan_out
from anyvirt.ref import Ref

SLACK = 1.5  # seconds that this machine may be late


@pytest.fixture
def stuck() -> threading.Event:
    """Calls hang on it; set in the end, so that their threads go."""
    return threading.Event()


@pytest.fixture
def lanes(stuck: threading.Event) -> Iterator[Lanes]:
    yield Lanes()
    stuck.set()


def test_a_call_gives_its_value_or_its_error(lanes: Lanes) -> None:
    assert lanes.call("key", lambda: 7) == 7
    with pytest.raises(Busy):
        lanes.call("key", lambda: (_ for _ in ()).throw(Busy("it")))


def test_a_healthy_call_is_quick_beside_a_hundred_hung_ones(lanes: Lanes, stuck: threading.Event) -> None:
    hung = [lanes.start(f"guest:{number}", stuck.wait, Deadline(0.1)) for number in range(100)]
    begun = time.monotonic()
    assert lanes.call("healthy", lambda: "here", Deadline(SLACK)) == "here"
    for call in hung:
        with pytest.raises(Interrupted) as late:
            call.result()
        assert late.value.reason == "deadline"
    assert lanes.call("healthy", lambda: "still", Deadline(SLACK)) == "still"
    assert time.monotonic() - begun < 0.1 + SLACK


def test_a_key_with_too_many_stuck_calls_fails_at_once_and_others_do_not(lanes: Lanes, stuck: threading.Event) -> None:
    for _ in range(STUCK_PER_KEY):
        with pytest.raises(Interrupted):
            lanes.call("guest:1", stuck.wait, Deadline(0.2))
    begun = time.monotonic()
    with pytest.raises(Unreachable) as refused:
        lanes.call("guest:1", lambda: 1, Deadline(30))
    assert time.monotonic() - begun < SLACK
    assert refused.value.stage == "stuck"
    assert refused.value.since is not None
    assert refused.value.since < time.time()
    assert lanes.call("guest:2", lambda: 2, Deadline(SLACK)) == 2


def test_a_key_is_free_again_when_its_calls_come_back(lanes: Lanes, stuck: threading.Event) -> None:
    calls = [lanes.start("guest:1", stuck.wait, Deadline(0.01)) for _ in range(STUCK_PER_KEY)]
    stuck.set()
    while not all(call.done() for call in calls):
        time.sleep(0.001)
    assert lanes.call("guest:1", lambda: "free", Deadline(SLACK)) == "free"


def test_calls_that_are_slow_but_not_late_are_not_stuck(lanes: Lanes, stuck: threading.Event) -> None:
    waiting = [lanes.start("guest:1", stuck.wait, Deadline(60)) for _ in range(STUCK_PER_KEY * 2)]
    assert lanes.call("guest:1", lambda: 1, Deadline(SLACK)) == 1
    stuck.set()
    assert all(call.result() for call in waiting)


def test_the_callers_context_comes_along(lanes: Lanes) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    name.set("mine")
    assert lanes.call("key", name.get) == "mine"


def test_a_lane_is_used_again(lanes: Lanes) -> None:
    first = lanes.call("a", threading.get_ident)
    time.sleep(0.05)
    assert lanes.call("b", threading.get_ident) == first
    assert IDLE_SECONDS > 1


def test_a_call_sees_its_own_deadline(lanes: Lanes) -> None:
    assert current().left() is None
    remaining = lanes.call("key", left, Deadline(20))
    assert remaining is not None
    assert 18 < remaining <= 20
    assert left(3.0) == 3.0


def test_a_watcher_is_called_once_when_it_is_done(lanes: Lanes, stuck: threading.Event) -> None:
    told: list[str] = []
    call = lanes.start("key", stuck.wait, Deadline(30))
    call.watch(lambda: told.append("early"))
    stuck.set()
    assert call.result()
    call.watch(lambda: told.append("late"))
    end = time.monotonic() + SLACK
    while len(told) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    assert sorted(told) == ["early", "late"]


def test_the_interpreter_ends_while_calls_hang() -> None:
    code = (
        "import threading\n"
        "from anyvirt.lanes import lanes\n"
        "from anyvirt.deadline import CREW, Deadline\n"
        "for n in range(20): lanes.start(str(n), threading.Event().wait, Deadline(0.01))\n"
        "print('done')\n"
    )
    begun = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (out.stdout, out.stderr, out.returncode) == ("done\n", "", 0)
    assert time.monotonic() - begun < 10


def test_a_child_after_a_fork_has_lanes_and_timers_of_its_own() -> None:
    code = (
        "import os, threading, time\n"
        "from anyvirt.lanes import lanes\n"
        "from anyvirt.deadline import CREW, Deadline, breaks\n"
        "def slow():\n"
        "    over = threading.Event()\n"
        "    with breaks(over.set): over.wait(20)\n"
        "    return 'late'\n"
        "lanes.call('a', lambda: 1); lanes.start('b', slow, Deadline(0.01)); time.sleep(0.05)\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    assert lanes.call('a', lambda: 2, Deadline(5)) == 2\n"
        "    call = lanes.start('c', slow, Deadline(0.05))\n"
        "    call._done.wait(5)\n"
        "    os._exit(0 if call.done() else 3)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (out.returncode, out.stderr) == (0, "")


# -- fan_out ----------------------------------------------------------------------------------


def refs(count: int) -> list[Ref]:
    return [Ref("domain", f"{os.getpid()}-{number}-{time.monotonic_ns()}") for number in range(count)]


def test_fan_out_answers_for_everybody_with_values_and_errors() -> None:
    ones = refs(5)

    def ask(ref: Ref) -> int:
        if ref == ones[1]:
            raise Busy(ref)
        if ref == ones[2]:
            raise KeyError("native")
        return ones.index(ref)

    answers = dict(fan_out(ones, ask))
    assert set(answers) == set(ones)
    assert [answers[ref].value for ref in ones] == [0, None, None, 3, 4]
    assert isinstance(answers[ones[1]].error, Busy)
    assert isinstance(answers[ones[2]].error, BadDriver)


def test_fan_out_gives_what_it_has_when_one_of_fifty_hangs(stuck: threading.Event) -> None:
    ones = refs(50)
    with within(Deadline(0.5)):
        answers = dict(fan_out(ones, lambda ref: stuck.wait() if ref == ones[20] else True))
    assert len(answers) == 49
    assert ones[20] not in answers
    stuck.set()


def test_fan_out_yields_in_order_of_completion(stuck: threading.Event) -> None:
    ones = refs(3)
    with within(Deadline(10)):
        stream = fan_out(ones, lambda ref: stuck.wait() if ref == ones[0] else True)
        early = [next(stream)[0] for _ in range(2)]
        stuck.set()
        assert set(early) == set(ones[1:])
        assert next(stream)[0] == ones[0]


def hang(event: threading.Event) -> None:
    event.wait(20)
    current().check("waiting")


# -- deadlines --------------------------------------------------------------------------------


def test_what_hangs_is_broken_when_the_time_is_up() -> None:
    over = threading.Event()
    begun = time.monotonic()
    with within(Deadline(0.1)), pytest.raises(Interrupted), breaks(over.set, what="waiting"):
        hang(over)
    assert 0.09 < time.monotonic() - begun < 0.1 + SLACK


def test_what_a_broken_block_raises_is_an_interruption_with_its_cause() -> None:
    over = threading.Event()

    def broken() -> None:
        over.wait(20)
        raise OSError("the socket is gone")

    with within(Deadline(0.05)), pytest.raises(Interrupted) as late, breaks(over.set, what="reading"):
        broken()
    assert isinstance(late.value.__cause__, OSError)
    assert "reading" in str(late.value)


def test_an_error_before_the_deadline_is_left_alone() -> None:
    with within(Deadline(20)), pytest.raises(OSError, match="mine"), breaks(lambda: None):
        raise OSError("mine")


def test_a_deadline_that_has_passed_lets_nothing_begin() -> None:
    deadline = Deadline(0)
    with within(deadline), pytest.raises(Interrupted), breaks(lambda: None):
        pytest.fail("it began")


def test_a_cancel_breaks_every_block_and_is_told_apart() -> None:
    deadline, over = Deadline(None), threading.Event()
    threading.Timer(0.05, deadline.cancel).start()
    with within(deadline), pytest.raises(Cancelled), breaks(over.set):
        hang(over)
    with pytest.raises(Cancelled):
        deadline.check()


def test_a_breaker_that_fails_keeps_no_other_from_its_work() -> None:
    first, second = threading.Event(), threading.Event()

    def bad() -> None:
        raise ValueError("closed twice")

    with within(Deadline(0.05)), pytest.raises(Interrupted), breaks(bad), breaks(first.set):
        hang(first)
    with within(Deadline(0.05)), pytest.raises(Interrupted), breaks(second.set):
        hang(second)
    assert first.is_set()
    assert second.is_set()


def test_a_block_that_ended_is_not_broken_any_more() -> None:
    broken = threading.Event()
    with within(Deadline(0.05)):
        with breaks(broken.set):
            pass
        time.sleep(0.15)
    assert not broken.is_set()


def test_many_deadlines_expire_each_in_its_own_time() -> None:
    events = [threading.Event() for _ in range(30)]
    deadlines = [Deadline(0.02 + 0.005 * (number % 7)) for number in range(30)]
    begun = time.monotonic()
    with ExitStack() as stack:
        for deadline, event in zip(deadlines, events, strict=True):
            stack.enter_context(deadline.breaks(event.set))
        assert all(event.wait(SLACK) for event in events)
    assert time.monotonic() - begun < SLACK


def test_a_watcher_that_fails_takes_no_lane_away(lanes: Lanes, stuck: threading.Event) -> None:
    call = lanes.start("key", stuck.wait)

    def fail() -> None:
        raise RuntimeError("Event loop is closed")

    told = threading.Event()
    call.watch(fail)
    call.watch(told.set)
    stuck.set()
    assert told.wait(SLACK)
    for _ in range(3):
        assert lanes.call("key", lambda: 1, Deadline(SLACK)) == 1


def test_what_begins_too_late_does_not_begin(lanes: Lanes) -> None:
    done: list[int] = []
    with pytest.raises(Interrupted):
        lanes.call("key", lambda: done.append(1), Deadline(0))
    assert lanes.call("key", lambda: 2) == 2
    assert done == []


def test_a_thread_that_the_system_refuses_is_a_coded_error_and_not_a_stuck_call(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(STUCK_PER_KEY):
            with pytest.raises(Failed, match="can't start new thread"):
                lanes.call("key", lambda: 1, Deadline(0.0))
    assert lanes.call("key", lambda: 1, Deadline(SLACK)) == 1


def test_guests_of_one_name_on_two_connections_are_not_stuck_together(lanes: Lanes, stuck: threading.Event) -> None:
    ref = Ref("domain", "vm-1")

    def ask(fn: Callable[[Ref], Any], timeout: float) -> Any:
        with within(Deadline(timeout)):
            return list(fan_out([ref], fn))

    for _ in range(STUCK_PER_KEY):
        assert lanes.call("one", lambda: ask(lambda _: stuck.wait(), 0.25), Deadline(SLACK)) == []
    [(_, answer)] = lanes.call("one", lambda: ask(lambda _: 7, SLACK), Deadline(SLACK))
    assert isinstance(answer.error, Unreachable)
    [(_, answer)] = lanes.call("other", lambda: ask(lambda _: 7, SLACK), Deadline(SLACK))
    assert answer.get() == 7


def test_a_cancel_ends_the_asking_of_many(stuck: threading.Event) -> None:
    deadline = Deadline(None)
    threading.Timer(0.05, deadline.cancel).start()
    begun = time.monotonic()
    with within(deadline), pytest.raises(Cancelled):
        list(fan_out([Ref("domain", "hangs")], lambda _: stuck.wait(5)))
    assert time.monotonic() - begun < SLACK
    stuck.set()


def test_the_end_of_a_block_waits_for_its_breaker_and_none_comes_later() -> None:
    deadline, ended, order = Deadline(None), threading.Event(), []

    def slowly() -> None:
        ended.wait(0.1)
        order.append("broken")

    with deadline.breaks(slowly):
        other = threading.Thread(target=deadline.cancel)
        other.start()
        time.sleep(0.02)
    order.append("ended")
    other.join()
    assert order == ["broken", "ended"]


def test_deadlines_that_nobody_needs_any_more_are_forgotten_before_their_time() -> None:
    kept = []
    for _ in range(3 * ROOM):
        deadline = Deadline(3600)
        with deadline.breaks(lambda: None):
            kept.append(weakref.ref(deadline))
    del deadline
    assert sum(one() is not None for one in kept) <= ROOM + 1


def test_a_deadline_that_was_forgotten_still_breaks_what_comes_later() -> None:
    deadline, broken = Deadline(0.5), threading.Event()
    with deadline.breaks(lambda: None):
        pass
    for _ in range(ROOM + 1):
        with Deadline(3600).breaks(lambda: None):
            pass
    with deadline.breaks(broken.set):
        assert broken.wait(0.5 + SLACK)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_a_time_that_no_clock_can_wait_for_is_no_limit(lanes: Lanes, timeout: float) -> None:
    assert Deadline(timeout).left() is None
    assert lanes.call("key", lambda: 1, Deadline(timeout)) == 1


def test_a_breaker_that_hangs_delays_no_other_and_no_cancel(stuck: threading.Event) -> None:
    deadline, broken = Deadline(0.05), [threading.Event() for _ in range(CREW)]
    with ExitStack() as stack:
        for _ in range(CREW - 1):
            stack.enter_context(Deadline(0.05).breaks(stuck.wait, 20))
        for event in broken:
            stack.enter_context(deadline.breaks(event.set))
        assert all(event.wait(SLACK) for event in broken)
        stack.callback(stuck.set)
    ended = Deadline(None)
    stuck.clear()
    begun = time.monotonic()
    with ended.breaks(stuck.wait, 20):
        ended.cancel()
        assert time.monotonic() - begun < SLACK
        stuck.set()


def test_breakers_past_the_number_that_may_hang_run_when_one_comes_back(stuck: threading.Event) -> None:
    late, broken = Deadline(0.05), threading.Event()
    with ExitStack() as stack:
        for _ in range(2 * CREW):
            stack.enter_context(late.breaks(stuck.wait, 20))
        stack.enter_context(late.breaks(broken.set))
        time.sleep(0.2)
        assert sum(thread.name == "anyvirt-breaker" for thread in threading.enumerate()) == CREW
        stuck.set()
        assert broken.wait(SLACK)


def test_where_the_system_refuses_threads_a_cancel_breaks_by_itself() -> None:
    code = """
import threading
from anyvirt.deadline import CREW, Deadline
deadline, broken = Deadline(None), []
def refused(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refused
with deadline.breaks(broken.append, 1):
    deadline.cancel()
    print(broken)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[1]\n"
