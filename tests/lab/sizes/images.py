"""Images of every kind, changed at random by QEMU's own tools, and what the host and those tools say of their sizes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

SIZE: Final = 4 << 20
UNIT: Final = 4096
CLUSTER: Final = 65536
STEPS: Final = 6
VOLUME: Final = """<volume><name>{name}</name><capacity>{size}</capacity><allocation>{aside}</allocation>
<target><format type='{format}'/></target>{below}</volume>"""
BELOW: Final = "<backingStore><path>{path}</path><format type='qcow2'/></backingStore>"


class Sizes(NamedTuple):
    """Three numbers of bytes."""

    capacity: int
    allocation: int
    physical: int


class Image(NamedTuple):
    """An image, with its format."""

    path: Path
    format: str

    def expected(self) -> Sizes:
        """What ``stat``, ``du`` and ``qemu-img info`` say, which have to agree among themselves."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())  # what is to be allocated later counts differently in the end
        said, found = self.told(), self.path.stat()
        used = int(run("du", "--block-size=1", self.path).split()[0])
        assert used == found.st_blocks * 512 == said["actual-size"]
        return Sizes(said["virtual-size"], used, found.st_size)

    def told(self) -> dict[str, Any]:
        """What ``qemu-img`` says, which may be asked while a guest runs, too."""
        found: dict[str, Any] = json.loads(run("qemu-img", "info", "-U", "--output=json", "-f", self.format, self.path))
        return found

    def io(self, *commands: str) -> None:
        """Let ``qemu-io`` do something to it; that it compresses no cluster that is there is its own rule."""
        words = [word for command in commands for word in ("-c", command)]
        subprocess.run(
            ["qemu-io", "-d", "unmap", "-f", self.format, *words, str(self.path)], check=False, capture_output=True
        )


def run(*words: str | Path) -> str:
    """What a tool prints."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def part(random: Random, size: int = SIZE) -> str:
    """A random range, as ``qemu-io`` reads it."""
    start = random.randrange(size // UNIT) * UNIT
    return f"{start} {min(random.randint(1, 96) * UNIT, size - start)}"


def writes(random: Random) -> list[str]:
    """Writes, zeros and discards."""
    kinds = ["write -P 7", "write -P 7", "write -z", "write -z -u", "discard"]
    return [f"{random.choice(kinds)} {part(random)}" for _ in range(random.randrange(STEPS))]


def raw(random: Random, image: Image) -> None:
    """A raw file: written, discarded, made longer."""
    image.io(*writes(random))
    if random.random() < 0.4:
        os.truncate(image.path, image.path.stat().st_size + random.randint(1, 64) * UNIT)
        image.io(*writes(random))


def qcow2(random: Random, image: Image) -> None:
    """A qcow2 image: written, discarded, resized."""
    image.io(*writes(random))
    if random.random() < 0.4:
        resize(random, image)
        image.io(*writes(random))


def snapshots(random: Random, image: Image) -> None:
    """With internal snapshots, some of which are gone again or were gone back to."""
    names: list[str] = []
    for number in range(random.randint(1, 3)):
        image.io(*writes(random))
        names.append(f"s{number}")
        run("qemu-img", "snapshot", "-c", names[-1], image.path)
    image.io(*writes(random))
    if random.random() < 0.3:
        run("qemu-img", "snapshot", "-a", random.choice(names), image.path)
    if random.random() < 0.3:
        run("qemu-img", "snapshot", "-d", random.choice(names), image.path)


def compressed(random: Random, image: Image) -> None:
    """With compressed clusters among others."""
    places = random.sample(range(SIZE // CLUSTER), random.randint(1, 6))
    image.io(*(f"write -c -P {random.randrange(256)} {place * CLUSTER} 64k" for place in places))
    image.io(*writes(random))


def resize(random: Random, image: Image) -> None:
    """Make it larger."""
    size = int(image.told()["virtual-size"]) + random.randint(1, 64) * UNIT
    run("qemu-img", "resize", "-q", "-f", image.format, image.path, str(size))
