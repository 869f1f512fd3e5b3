"""Pools: one with many volumes, and one whose server does not answer. Standard library only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

MANY: Final = 10_000
REPEATS: Final = 5
LONGEST: Final = 20.0
ORDERS: Final = "orders"
STOP, GO, END = b"s", b"g", b"e"
POOL: Final = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


class Store(Protocol):
    """The storage of one side. Pools are named by their names."""

    def pool(self, name: str, path: Path) -> None:
        """Define a pool over a folder, and start it."""
        ...

    def refresh(self, name: str) -> None:
        """Look at its folder anew."""
        ...

    def volumes(self, name: str) -> int:
        """List its volumes by name; how many there are."""
        ...

    def details(self, name: str) -> int:
        """Kind and sizes of each volume; of how many."""
        ...


def stored(store: Store, images: Path) -> dict[str, list[float]]:
    """A pool with many volumes."""
    place = images / "many"
    _fill(place)
    begun = time.perf_counter()
    store.pool("many", place)
    assert store.volumes("many") == MANY
    times = {"vol_first": [time.perf_counter() - begun]}
    times["vol_refresh"] = [_timed(lambda: store.refresh("many")) for _ in range(REPEATS)]
    times["vol_list"] = [_timed(lambda: store.volumes("many")) for _ in range(REPEATS)]
    assert store.details("many") == MANY
    times["vol_details"] = [_timed(lambda: store.details("many")) for _ in range(REPEATS)]
    return times


def stopped(store: Store, images: Path) -> dict[str, list[float]]:
    """How much longer a look at a pool takes while the file system of another one hangs; inside ``served``."""
    (images / "fast").mkdir(exist_ok=True)
    for name in ("slow", "fast"):
        store.pool(name, images / name)
    before = [_timed(lambda: _look(store, "fast")) for _ in range(REPEATS)]
    with (images / ORDERS).open("wb", buffering=0) as orders:
        orders.write(STOP)
        try:
            time.sleep(0.3)
            asking = threading.Thread(target=_quietly, args=(lambda: _look(store, "slow"),), daemon=True)
            asking.start()
            time.sleep(0.3)
            meanwhile = [_limited(lambda: _look(store, "fast")) for _ in range(REPEATS)]
        finally:
            orders.write(GO)
    asking.join(LONGEST)
    usual = sorted(before)[len(before) // 2]
    return {"pool_beside_stopped": [one / usual for one in meanwhile]}


def _look(store: Store, name: str) -> None:
    store.refresh(name)
    store.volumes(name)


def _fill(place: Path) -> None:
    """Half raw, half qcow2, all of them small; the same for both sides."""
    if place.exists():
        return
    place.mkdir()
    image = place / "0.qcow2"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", str(image), "1M"]
    subprocess.run(words, check=True)
    for number in range(1, MANY // 2):
        shutil.copyfile(image, place / f"{number}.qcow2")
    for number in range(MANY // 2):
        with (place / f"{number}.raw").open("wb") as file:
            file.truncate(1 << 20)


@contextmanager
def served(images: Path) -> Iterator[None]:
    """A folder ``slow`` there, on a FUSE file system whose server obeys what is written to a fifo beside it."""
    image, place, orders = images / "slow.img", images / "slow", images / ORDERS
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    place.mkdir()
    os.mkfifo(orders)
    os.chown(orders, images.stat().st_uid, -1)
    options = "fakeroot,allow_other" if os.geteuid() == 0 else "fakeroot"
    server = subprocess.Popen(["fuse2fs", "-f", str(image), str(place), "-o", options], stdout=-3, stderr=-3)
    end = time.monotonic() + LONGEST
    while not os.path.ismount(place):
        if time.monotonic() > end or server.poll() is not None:
            raise RuntimeError("fuse2fs does not mount its image")
        time.sleep(0.02)
    fifo = os.open(orders, os.O_RDWR)
    threading.Thread(target=_obey, args=(fifo, server), daemon=True).start()
    try:
        yield
    finally:
        os.write(fifo, GO + END)
        subprocess.run(["fusermount3", "-u", "-z", str(place)], check=True)
        server.wait(LONGEST)
        orders.unlink()
        place.rmdir()


def _obey(fifo: int, server: subprocess.Popen[bytes]) -> None:
    while (order := os.read(fifo, 1)) != END:
        server.send_signal(signal.SIGSTOP if order == STOP else signal.SIGCONT)
    os.close(fifo)


def _timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _limited(work: Callable[[], Any]) -> float:
    """Seconds that it takes, or ``LONGEST`` where it takes longer."""
    begun = time.perf_counter()
    asking = threading.Thread(target=work, daemon=True)
    asking.start()
    asking.join(LONGEST)
    return time.perf_counter() - begun


def _quietly(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it hangs, and is told so; that is what it is for
        print(f"the pool that hangs: {type(error).__name__}", file=sys.stderr)
