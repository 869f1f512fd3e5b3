"""Random cases of each kind of image: what is said of a volume beside what the host, QEMU and its tools say."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from anyvirt.api import Connection
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool, Volume

from tests.lab.sizes import images
from tests.lab.sizes.images import BELOW, SIZE, VOLUME, Image, Sizes
from tests.lab.sizes.running import guest

POOL: Final = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"
IMAGE: Final = 512 << 20
GUESTS: Final = 20  # cases of one guest


class Wrong(AssertionError):
    """A case in which they do not agree; the text has all that it takes to run it again."""


class Place(NamedTuple):
    """A pool, and what else a case may need."""

    connection: Connection
    pool: Pool
    folder: Path

    def volume(self, name: str, kind: str, *, aside: int = 0, below: Path | None = None, size: int = SIZE) -> Volume:
        """Make a volume."""
        text = VOLUME.format(
            name=name, size=size, aside=aside, format=kind, below=BELOW.format(path=below) if below else ""
        )
        return self.connection.volume(self.connection.volume_create(self.pool, text).wait(60))


def said(volume: Volume) -> Sizes:
    """What info and XML say, which have to be the same."""
    info, model = volume.info(), volume.config().model
    assert (info.capacity, info.allocation, info.physical) == (model.capacity, model.allocation, model.physical)
    assert info.capacity is not None
    assert info.allocation is not None
    assert info.physical is not None
    return Sizes(info.capacity, info.allocation, info.physical)


def agree(volume: Volume, image: Image) -> None:
    """See that all say the same."""
    expected = image.expected()
    assert said(volume) == expected


# -- one case of each kind ------------------------------------------------------------------------


def raw(place: Place, random: Random) -> None:
    """A raw file, of which nothing, a part or all is set aside at first."""
    volume = place.volume("raw", "raw", aside=random.choice([0, SIZE // 2, SIZE]))
    image = Image(place.folder / "raw", "raw")
    agree(volume, image)
    images.raw(random, image)
    agree(volume, image)


def qcow2(place: Place, random: Random) -> None:
    """A qcow2 image by itself."""
    volume = place.volume("disk", "qcow2", aside=random.choice([0, SIZE]))
    image = Image(place.folder / "disk", "qcow2")
    images.qcow2(random, image)
    agree(volume, image)


def backing(place: Place, random: Random) -> None:
    """A qcow2 image on another one, which counts by itself."""
    below = place.volume("below", "qcow2")
    base = Image(place.folder / "below", "qcow2")
    images.qcow2(random, base)
    volume = place.volume("above", "qcow2", below=base.path, size=SIZE + random.randrange(4) * SIZE)
    image = Image(place.folder / "above", "qcow2")
    images.qcow2(random, image)
    agree(volume, image)
    agree(below, base)


def snapshots(place: Place, random: Random) -> None:
    """A qcow2 image with internal snapshots."""
    volume = place.volume("snapped", "qcow2")
    image = Image(place.folder / "snapped", "qcow2")
    images.snapshots(random, image)
    agree(volume, image)


def compressed(place: Place, random: Random) -> None:
    """A qcow2 image with compressed clusters."""
    volume = place.volume("small", "qcow2")
    image = Image(place.folder / "small", "qcow2")
    images.compressed(random, image)
    agree(volume, image)


def reflink(place: Place, random: Random) -> None:
    """A file that shares its blocks with another one, on a file system that can."""
    kind = random.choice(["raw", "qcow2"])
    first = Image(place.folder / "first", kind)
    one = place.volume("first", kind)
    getattr(images, kind)(random, first)
    description = VOLUME.format(name="second", size=said(one).capacity, aside=0, format=kind, below="")
    made = place.connection.volume_create_from(place.pool, description, one, reflink=True).wait(60)
    second = Image(place.folder / "second", kind)
    getattr(images, kind)(random, second)
    agree(place.connection.volume(made), second)
    agree(one, first)


# -- a guest that runs ----------------------------------------------------------------------------


def running(place: Place, seed: int, count: int) -> None:
    """The images of a running guest, some of each kind: also QEMU, block info and statistics say the same."""
    below = place.volume("below", "qcow2")
    volumes = {
        place.volume("raw", "raw"): "raw",
        place.volume("full", "raw", aside=SIZE): "raw",
        place.volume("disk", "qcow2"): "qcow2",
        place.volume("above", "qcow2", below=place.folder / "below"): "qcow2",
        place.volume("snapped", "qcow2"): "qcow2",
    }
    images.run("qemu-img", "snapshot", "-c", "before", place.folder / "snapped")
    guests = opened("qemu:///session", state_dir=place.folder.parent / "guests")
    with guests as connection, guest(connection, volumes) as one:
        for case in range(count):
            random = Random(f"running {seed} {case}")
            target = random.choice(sorted(one.disks))
            with told("running", seed, case):
                one.change(random, target)
                volume = list(volumes)[sorted(one.disks).index(target)]
                agree(volume, one.disks[target])
                assert one.said(target) == one.block_info(target) == one.stats(target) == said(volume)
    agree(below, Image(place.folder / "below", "qcow2"))


# -- many of them ---------------------------------------------------------------------------------

OFF: Final[dict[str, Callable[[Place, Random], None]]] = {
    "raw": raw,
    "qcow2": qcow2,
    "backing": backing,
    "snapshots": snapshots,
    "compressed": compressed,
    "reflink": reflink,
}
KINDS: Final = (*OFF, "running")


def cases(kind: str, seed: int, count: int) -> int:
    """Run cases of a kind; how many agreed.

    :raises Wrong: one did not.
    """
    done = 0
    if kind == "running":
        while done < count:
            with place() as where:
                running(where, seed + done, min(GUESTS, count - done))
            done += min(GUESTS, count - done)
        return done
    with place("xfs" if kind == "reflink" and seed % 2 else "btrfs" if kind == "reflink" else "") as where:
        for case in range(count):
            with told(kind, seed, case):
                OFF[kind](where, Random(f"{kind} {seed} {case}"))
            for volume in sorted(where.pool.volumes(), key=lambda one: one.name != "above"):
                volume.delete(force=True)
            done += 1
    return done


@contextmanager
def told(kind: str, seed: int, case: int) -> Iterator[None]:
    """What goes wrong inside is told with its kind, seed and number."""
    try:
        yield
    except AssertionError as error:
        raise Wrong(f"case {case} of kind {kind!r}, seed {seed}: {error}") from error


@contextmanager
def place(filesystem: str = "") -> Iterator[Place]:
    """A pool in a folder, on a file system of its own where one is named; gone afterwards."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anyvirt-sizes-", dir="/var/tmp")))
        folder = home / "images"
        folder.mkdir()
        if filesystem:
            image = home / "filesystem"
            with image.open("wb") as file:
                file.truncate(IMAGE)
            images.run(f"mkfs.{filesystem}", "-q", image)
            images.run("mount", "-o", "loop", image, folder)
            stack.callback(subprocess.run, ["umount", str(folder)], check=True)
        connection = stack.enter_context(opened("storage:///session", state_dir=home / "state"))
        pool = connection.pool_define(POOL.format(name="sizes", path=folder))
        pool.start()
        yield Place(connection, pool, folder)
