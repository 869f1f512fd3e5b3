"""A process that uploads, deletes and restores volumes is killed at any moment: each is old or new, here or there."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.api import Connection, Ref
from anyvirt.client._generated_sync import Pool

KILLS = 10
MIB = 1 << 20
VICTIM = """
import sys
from pathlib import Path
from anyvirt.api import NotFound, open
from itertools import cycle
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    pool = connection.lookup_pool("images")
    raw, image = connection.lookup_volume(pool, "raw"), connection.lookup_volume(pool, "image")
    files = [Path(one).read_bytes() for one in sys.argv[2:]]
    print("ready", flush=True)
    for number in cycle(range(1, 256)):
        with raw.upload(offset=(number % 2) << 20) as stream:
            for _ in range(8):
                stream.write(bytes([number]) * (3 << 17))
        with image.upload() as stream:
            stream.write(files[number % 2])
        stream = raw.upload()
        stream.write(b"never")
        stream.abort()
        connection.lookup_volume(pool, "other").delete(trash=3600)
        print("gone", flush=True)
        connection.volume_restore(pool, "other")
        print("back", flush=True)
"""


def two_images(folder: Path) -> list[Path]:
    made = [folder / "small", folder / "large"]
    for path, size in zip(made, ("64M", "96M"), strict=True):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size], check=True)
    return made


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
def test_a_kill_at_any_moment_leaves_every_volume_old_or_new_and_in_one_place(
    storage: Connection, pool: Pool, place: Path, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    images = two_images(tmp_path)
    for name, kind in (("raw", "raw"), ("image", "qcow2"), ("other", "qcow2")):
        words = f"<capacity>{4 * MIB}</capacity><allocation>0</allocation><target><format type='{kind}'/></target>"
        storage.volume_create(pool, f"<volume><name>{name}</name>{words}</volume>").wait(20)
    with storage.volume_upload(Ref("volume", f"{place}/image", pool.ref)) as stream:
        stream.write(images[0].read_bytes())
    before = (place / "raw").read_bytes()
    for _ in range(KILLS):
        argv = [sys.executable, "-c", VICTIM, str(tmp_path / "state"), *map(str, images)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout
            assert victim.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.6))
            victim.send_signal(signal.SIGKILL)
        settled(storage, place)
        now = (place / "raw").read_bytes()
        assert whole(now), f"seed {seed}"
        assert (place / "image").read_bytes() in {one.read_bytes() for one in images}, f"seed {seed}"
        volumes = {str(one.name): one for one in pool.volumes()}
        kept = [one.name for one in pool.trash()]
        assert sorted([*volumes, *kept]) == ["image", "other", "raw"], f"seed {seed}"
        assert volumes["image"].info().capacity in {64 * MIB, 96 * MIB}, f"seed {seed}"
        if kept:
            storage.volume_restore(pool, "other")
        assert storage.lookup_volume(pool, "other").info().capacity == 4 * MIB, f"seed {seed}"
        before = now
    left = volumes["raw"].unfinished()
    if left is not None:
        with volumes["raw"].upload(offset=left.offset, resume=True) as stream:
            stream.write(b"")
    assert len(before) == 4 * MIB


def settled(storage: Connection, place: Path) -> None:
    """Recovered; and whoever still carried bytes for the killed process has ended."""
    end = time.monotonic() + 20
    while any(str(place) in words for words in pumps()):
        assert time.monotonic() < end, "somebody still carries bytes for a process that was killed"
        time.sleep(0.05)
    storage.recover()
    assert storage.recover() == ()


def pumps() -> list[str]:
    """Folders that processes which carry bytes have open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "pump.py" in (process / "cmdline").read_text():
                found += [str(one.readlink()) for one in (process / "fd").iterdir()]
        except OSError:
            continue
    return found


def whole(content: bytes) -> bool:
    """Whether each range of it comes from one upload: the second MiB to the third always do, and the ends."""
    return all(len(set(content[at : at + 2 * MIB])) == 1 for at in (MIB,)) and all(
        len(set(content[at : at + MIB])) == 1 for at in (0, 3 * MIB)
    )
