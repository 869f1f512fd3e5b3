"""One of several processes that do random things to the same guests: ``python storm.py STATE SEED COUNT``.

The guests' definitions come on standard input, a JSON object by name; what became of each call goes out, a line each.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

import anyvirt
from anyvirt.api import VirtError
from anyvirt.client._generated_sync import Connection

CALLS = (
    *("define", "start", "start", "create", "suspend", "resume", "reset", "shutdown"),
    *("destroy", "destroy", "undefine", "autostart", "rename", "state"),
)


def call(connection: Connection, op: str, name: str, xml: str) -> None:
    """One call to one guest."""
    if op == "define":
        connection.domain_define(xml)
        return
    if op == "create":
        connection.domain_create(xml)
        return
    guest = connection.lookup(name)
    if op == "rename":
        guest.rename(f"{name}-other")
        connection.lookup(f"{name}-other").rename(name)
    elif op == "autostart":
        guest.set_autostart(True)
    else:
        getattr(guest, op)()


def main(state: Path, seed: int, count: int) -> None:
    """Do it."""
    dice, guests = random.Random(seed), json.load(sys.stdin)
    uri = "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
    with anyvirt.open(uri, state_dir=state) as connection:
        for _ in range(count):
            op, name = dice.choice(CALLS), dice.choice(sorted(guests))
            began = time.monotonic()
            try:
                call(connection, op, name, guests[name])
                said = "done"
            except VirtError as error:
                said = f"{error.code}: {error}"
            except Exception as error:  # noqa: BLE001 - an uncoded error is what the test looks for
                said = f"uncoded {type(error).__name__}: {error}"
            print(f"{op} {name} {time.monotonic() - began:.3f} {said}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
