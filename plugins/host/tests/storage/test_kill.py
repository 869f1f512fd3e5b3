"""A process that makes and deletes volumes is killed at any moment: what is there afterwards is whole."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.api import Connection, NotFound
from anyvirt.client._generated_sync import Pool

KILLS = 12
VICTIM = """
import sys
from pathlib import Path
from anyvirt.api import open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    pool = connection.lookup_pool("images")
    print("ready", flush=True)
    while True:
        for kind in ("raw", "qcow2"):
            words = f"<capacity>4194304</capacity><target><format type='{kind}'/></target>"
            ref = connection.volume_create(pool, f"<volume><name>{kind}</name>{words}</volume>").wait(30)
            print("made", kind, flush=True)
            connection.volume_delete(ref)
            print("gone", kind, flush=True)
"""


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_a_kill_at_any_moment_leaves_whole_volumes_and_what_recovery_removes(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    warned = f"seed {seed}"
    moments = random.Random(seed)
    state = tmp_path / "state"
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", VICTIM, str(state)], stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout
            assert victim.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.25))
            victim.send_signal(signal.SIGKILL)
            said = victim.stdout.read().split("\n")
        end = time.monotonic() + 20
        while storage.recover() != ():  # a tool that outlives its maker may be at it a moment longer
            assert time.monotonic() < end, warned
        there = {str(volume.name): volume for volume in pool.volumes()}
        assert {one.name for one in place.iterdir()} == set(there)
        for name, volume in there.items():
            assert whole(name, volume.info().capacity, place / name), warned
            assert str(getattr(volume.config().model.target, "format", "")) == name
        last = next((line for line in reversed(said) if line.count(" ")), "")
        # What came after the last word may have been done or not, what it said has been.
        assert last != "made raw" or "qcow2" not in there, warned
        assert last != "gone raw" or "raw" not in there, warned
        for volume in there.values():
            volume.delete()
            with pytest.raises(NotFound):
                volume.info()
    assert os.listdir(place) == []
    assert list(storage.session.driver.plugin.site.store.blobs("volume", "declared")) == []


def whole(name: str, capacity: int | None, path: Path) -> bool:
    told = json.loads(subprocess.check_output(["qemu-img", "info", "-f", name, "--output=json", str(path)]))
    if (capacity, told["virtual-size"]) != (4 << 20, 4 << 20):
        return False
    if name == "raw":
        return path.stat().st_blocks * 512 == 4 << 20
    return subprocess.run(["qemu-img", "check", "-q", str(path)], check=False).returncode == 0
