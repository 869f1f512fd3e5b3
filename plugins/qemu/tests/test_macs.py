"""MAC addresses that are made for guests are nobody else's, whoever defines at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

CARDS = 2
# A process that defines guests, and whose random numbers are 0, 1, 2 ... for each: two choose the same first free one.
SCRIPT = """
import itertools, json, os, sys
from pathlib import Path
from anyvirt.api import open
real = os.urandom
os.urandom = lambda count: next(numbers).to_bytes(3, "big") if count == 3 else real(count)
made = []
with open("qemu:///session", state_dir=Path(sys.argv[1])) as connection:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        numbers = itertools.count()
        card = "<interface type='user'><model type='virtio'/></interface>"
        guest = connection.domain_define(
            f"<domain type='qemu'><name>{sys.argv[2]}-{number}</name><memory unit='MiB'>32</memory>"
            f"<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{card * 2}</devices></domain>"
        )
        made += [card.mac for card in guest.config().model.interfaces]
print(json.dumps(made))
"""


def test_two_processes_that_define_at_once_make_no_mac_twice(qemu: str, tmp_path: Path) -> None:
    assert qemu
    guests = 16
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "state"), name, str(guests)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    made = [mac for text in said for mac in json.loads(text)]
    assert len(made) == 2 * guests * CARDS
    assert [mac for mac, times in Counter(made).items() if times > 1] == []
