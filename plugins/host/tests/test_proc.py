"""Figures of processes from /proc."""

from __future__ import annotations

import os
import threading
import time

from anyvirt_host.local import proc


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_time_used_is_counted_for_process_and_thread() -> None:
    before, of_thread = proc.usage(os.getpid()), proc.threads(os.getpid(), [threading.get_native_id()])
    assert before is not None
    burn(0.2)
    after, now = proc.usage(os.getpid()), proc.threads(os.getpid(), [threading.get_native_id()])
    assert after is not None
    tid = threading.get_native_id()
    assert 150_000_000 < after.cpu - before.cpu < 5_000_000_000
    assert 150_000_000 < now[tid].cpu - of_thread[tid].cpu < 5_000_000_000
    assert after.rss > 1_000_000
    assert after.start == before.start


def test_all_threads_are_found_by_their_ids() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert {threading.get_native_id(), thread.native_id} <= set(proc.threads(os.getpid(), wait=True))
    finally:
        stop.set()
        thread.join()


def test_a_process_that_is_gone_or_another_one_is_none() -> None:
    mine = proc.usage(os.getpid())
    assert mine is not None
    assert proc.usage(os.getpid(), mine.start) is not None
    assert proc.usage(os.getpid(), mine.start + 1) is None
    assert proc.usage(2**22 + 1) is None
    assert proc.threads(2**22 + 1) == {}
    assert proc.threads(os.getpid(), [2**22 + 1]) == {}


def test_waiting_time_is_read_in_both_spellings() -> None:
    assert proc._wait(b"wait_sum   :   12.000345\n") == 12_000_345
    assert proc._wait(b"x : 1\nse.statistics.wait_sum : 0.5\n") == 500_000
    assert proc._wait(b"nothing : 1\n") is None
    assert proc._wait(None) is None
