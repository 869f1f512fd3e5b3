"""A process that builds, starts and stops a pool on a file system is killed at any moment: nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from anyvirt.api import Connection
from anyvirt.api import open as opened
from anyvirt_host.storage.site import Live
from storage_stage import mounted

pytestmark = mounted.MARKS
KILLS = 5
VICTIM = """
import sys
from anyvirt.api import open
with open("storage:///session") as connection:
    pool = connection.lookup_pool("p")
    print("ready", flush=True)
    while True:
        pool.start()
        pool.stop()
        made = connection.pool_create(sys.argv[1])
        made.stop()
        pool.build(overwrite=True).wait(30)
"""


def test_a_kill_at_any_moment_leaves_no_mount_and_no_half_built_pool_untold(
    connection_uri: str, fs_built: Live, fs_xml: Callable[[str], str], fs_target: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    with opened(connection_uri) as connection:
        pool = connection.pool_define(fs_xml("p"))
        for _ in range(KILLS):
            words = [sys.executable, "-c", VICTIM, fs_xml("other")]
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as victim:
                assert victim.stdout
                assert victim.stdout.readline() == "ready\n"
                time.sleep(moments.uniform(0, 0.6))
                victim.send_signal(signal.SIGKILL)
            settled(connection)
            active = [one for one in connection.pool_list() if one.info().active]
            assert os.path.ismount(fs_target) == bool(active), f"seed {seed}"
            for one in active:
                assert one.volumes() == (), f"seed {seed}"
                one.stop()
            if any("cut short" in note for note in pool.config().notes):
                pool.build(overwrite=True).wait(30)
            pool.start()
            pool.stop()
        assert [one.name for one in connection.pool_list()] == ["p"]


def settled(connection: Connection) -> None:
    """Recover until there is nothing more to say; a tool may outlive its killer for a moment."""
    end = time.monotonic() + 20
    while more := connection.recover():
        assert time.monotonic() < end, more
