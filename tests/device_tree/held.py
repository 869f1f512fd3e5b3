"""Plans held to recorded command lines, word by word, where no QEMU of this machine runs what was recorded.

``python -m tests.device_tree.held FOLDER CASE ...``: devices, objects and back ends of networks have to say the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from anyvirt.api import VirtError
from anyvirt_qemu.probing.capability import probe
from anyvirt_qemu.probing.caps import Caps

from tests.device_tree.line import Option, fields, recorded
from tests.device_tree.ours import planned
from tests.device_tree.world import World

SUFFIX: Final = ".x86_64-latest.args"
FLAGS: Final = {"-device": "driver", "-netdev": "type", "-object": "qom-type"}
# Names that one side gives to its own parts, and numbers of descriptors.
OWN: Final = {
    "drive", "chardev", "netdev", "audiodev", "memdev", "fd", "fds", "vhostfd", "vhostfds", "vhostdev", "tls-creds",
    "dir", "file", "data", "keyid", "iv", "dh-cert-file", "session-file", "filename", "format", "mem-path",
}  # fmt: skip
# Objects whose names say nothing, and those that only one side needs.
COMPANION: Final = "ich9-usb-uhci"  # has no name of its own in libvirt's lines where the controller has a user's
PLUMBING: Final = {"secret", "tls-creds-x509"}


def held(path: Path, binary: str, cache: Path) -> tuple[str, ...]:
    """What a plan says otherwise than the recorded line of a case; nothing where they agree."""
    with tempfile.TemporaryDirectory(prefix="avt") as place:
        world = World(Path(place), cache)
        try:
            line = recorded(path)
            document = path.with_name(path.name.replace(SUFFIX, ".xml"))
            ours = planned(document, Caps(probe(binary, cache)), world, line).line
        except VirtError as error:
            return (f"refused: {error}",)
        finally:
            world.close()
    left, right = said(line), said(ours)
    return (*(f"recorded only: {one}" for one in (left - right)), *(f"ours only: {one}" for one in (right - left)))


def said(line: Sequence[Option]) -> Counter[str]:
    """Each device, object and back end of a line, in words that do not depend on names."""
    found: Counter[str] = Counter()
    for option in line:
        head = FLAGS.get(option.flag)
        if head is None:
            continue
        values = {key: _plain(value) for key, value in fields(option.text, head).items() if key not in OWN}
        if str(values.get("driver")).startswith(COMPANION):
            values.pop("id", None)
        if values.get(head) not in PLUMBING:
            found[f"{option.flag} {json.dumps(values, sort_keys=True)}"] += 1
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    if text.startswith("0x"):
        return ".".join(str(int(part, 16)) for part in text.split("."))
    return text


def main() -> int:
    """Print what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(prog="python -m tests.device_tree.held", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--qemu", default=shutil.which("qemu-system-x86_64"))
    given = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="avt") as place:
        for case in given.cases:
            lines = held(given.folder / f"{case}{SUFFIX}", given.qemu, Path(place))
            wrong += bool(lines)
            print(f"{case}: {'differs' if lines else 'same words'}")
            for one in lines:
                print(f"    {one}")
    print(f"{len(given.cases) - wrong} of {len(given.cases)} say the same")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
