"""Small lies about a command line, each of which the comparison has to notice."""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.device_tree.__main__ import LATEST, allowed, alone, grown
from tests.device_tree.compare import differences
from tests.device_tree.line import Option, fields, recorded, text
from tests.device_tree.peer import Refused
from tests.device_tree.world import World

WANTED: Final = 30
Change = Callable[[dict[str, Any]], dict[str, Any] | None]


def _set(key: str, value: Any) -> Change:
    return lambda found: found | {key: value} if key in found and found[key] != value else None


def _moved(found: dict[str, Any]) -> dict[str, Any] | None:
    return found | {"addr": "0x1d"} if re.fullmatch("0x[0-9a-f]+", str(found.get("addr"))) else None


def _inner(key: str, inner: str, value: Any) -> Change:
    def change(found: dict[str, Any]) -> dict[str, Any] | None:
        return found | {key: found[key] | {inner: value}} if found.get(key, {}).get(inner) == (not value) else None

    return change


def _with(**values: Any) -> Callable[..., Change]:
    def make(**needs: Any) -> Change:
        def change(found: dict[str, Any]) -> dict[str, Any] | None:
            return found | values if all(found.get(key) == value for key, value in needs.items()) else None

        return change

    return make


# What is changed: a name, the flag, the change; None where an option does not have it.
LIES: Final[tuple[tuple[str, str, Change], ...]] = (
    ("another PCI slot", "-device", _moved),
    ("another boot index", "-device", _set("bootindex", 9)),
    ("another serial", "-device", _set("serial", "LIE")),
    ("another MAC address", "-device", _set("mac", "52:54:00:11:22:33")),
    ("no write cache", "-device", _set("write-cache", "off")),
    ("another USB port", "-device", _set("port", "2")),
    ("another video memory", "-device", _set("vgamem_mb", 32)),
    ("another unit", "-device", lambda found: found | {"scsi-id": 5} if "scsi-id" in found else None),
    ("another SCSI disk", "-device", _with(driver="scsi-cd")(driver="scsi-hd")),
    ("more queues", "-device", _with(**{"num-queues": 7})(driver="virtio-blk-pci")),
    ("more vectors", "-device", _with(vectors=9)(driver="virtio-net-pci")),
    ("another block size", "-device", _with(logical_block_size=4096)(driver="virtio-blk-pci")),
    ("another chassis", "-device", _set("chassis", 77)),
    ("no hotplug", "-device", _with(hotplug="off")(driver="pcie-root-port")),
    ("a balloon that gives in", "-device", _with(**{"deflate-on-oom": "on"})(driver="virtio-balloon-pci")),
    ("packed rings", "-device", _with(packed="on")(driver="virtio-blk-pci")),
    ("another MTU", "-device", _with(host_mtu=1400)(driver="virtio-net-pci")),
    ("another rotation", "-device", _with(rotation_rate=7200)(driver="scsi-hd")),
    ("another model of card", "-device", _with(driver="e1000")(driver="rtl8139")),
    ("another cache mode", "-blockdev", _inner("cache", "direct", False)),
    ("no discard", "-blockdev", _set("discard", "ignore")),
    ("read only", "-blockdev", _set("read-only", True)),
    ("zeroes detected", "-blockdev", lambda found: found | {"detect-zeroes": "on"} if "file" in found else None),
    ("another format", "-blockdev", _with(driver="raw")(driver="qcow2")),
    ("less memory", "-object", _set("size", 67108864)),
    ("shared memory", "-object", _with(share=True)(**{"qom-type": "memory-backend-ram"})),
    ("other memory", "-object", _with(**{"qom-type": "memory-backend-memfd"})(**{"qom-type": "memory-backend-ram"})),
    ("another cell", "-numa", lambda found: found | {"cpus": "0"} if "-" in str(found.get("cpus")) else None),
    ("a distance", "-numa", lambda found: found | {"val": "99"} if "val" in found else None),
    ("another policy", "-object", _with(policy="interleave")(policy="bind")),
    ("an overflowing timer", "-global", lambda found: found | {"value": "on"} if found.get("value") == "off" else None),
    ("a CPU flag", "-cpu", lambda found: found | {"avx2": "on"}),
    ("another CPU", "-cpu", lambda found: found | {"model": "Nehalem"}),
    ("another terminal", "-chardev", _with(backend="null")(backend="pty")),
    ("another machine", "-machine", lambda found: found | {"graphics": "off"}),
    ("another clock", "-rtc", lambda found: found | {"base": "localtime"}),
    ("another boot", "-boot", lambda found: {"menu": "on", **found}),
    ("another sound", "-audiodev", _with(timer_period=77)(driver="none")),
)  # fmt: skip
HEADS: Final = {"-cpu": "model", "-machine": "type", "-chardev": "backend"}


def lies(line: list[Option], chance: random.Random) -> Iterator[tuple[str, list[Option]]]:
    """The line with one thing changed, each change at one place that has it; and with one device left out."""
    for name, flag, change in chance.sample(LIES, len(LIES)):
        places = [index for index, option in enumerate(line) if option.flag == flag]
        for index in chance.sample(places, len(places)):
            head = HEADS.get(flag, "")
            found = change(fields(line[index].text, head))
            if found is not None:
                new = Option(flag, json.dumps(found) if line[index].json else text(found, head))
                yield name, [*line[:index], new, *line[index + 1 :]]
                break
    devices = [index for index, option in enumerate(line) if option.flag == "-device"]
    if devices:
        yield "a device left out", [option for place, option in enumerate(line) if place != devices[-1]]


def main() -> int:
    """Tell every lie about some recorded line; 1 where one is not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.device_tree.mutate", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--qemu", default=shutil.which("qemu-system-x86_64"))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    chance = random.Random(given.seed)
    alone()
    told: dict[str, str] = {}
    missed: list[str] = []
    paths = sorted(given.folder.glob(f"*{LATEST.format('x86_64')}"))
    with tempfile.TemporaryDirectory(prefix="avt") as place:
        cache = Path(place) / "cache"
        cache.mkdir()
        for path in chance.sample(paths, len(paths)):
            line = recorded(path)
            fresh = [(name, lie) for name, lie in lies(line, chance) if name not in told]
            if fresh:
                told |= _tell(given.qemu, Path(place), cache, path.name, line, fresh, missed)
            if len(told) >= WANTED:
                break
    for name, case in told.items():
        print(f"{'MISSED' if name in missed else 'noticed'}: {name} ({case})")
    print(f"{len(told) - len(missed)} of {len(told)} noticed")
    return 1 if missed or not told else 0


def _tell(
    qemu: str,
    place: Path,
    cache: Path,
    case: str,
    line: list[Option],
    fresh: list[tuple[str, list[Option]]],
    missed: list[str],
) -> dict[str, str]:
    """Grow the true tree once and each false one beside it; what QEMU refuses was no lie."""
    told: dict[str, str] = {}
    true, false = World(place / "l", cache), World(place / "a", cache)
    try:
        for name, lie in fresh:
            left = grown(qemu, true, line)
            try:
                right = grown(qemu, false, lie)
            except Refused:
                continue
            told[name] = case
            if not differences(left, right, (str(true.folder), str(false.folder)), allowed()):
                missed.append(name)
    except Refused:
        pass
    return told


if __name__ == "__main__":
    sys.exit(main())
