"""A QEMU that does not do what a QEMU does: takes QEMU's options, and is the real one until ``MODE`` says otherwise.

``MODE`` is the word in a file beside this one: ``mute`` (accepts and says nothing), ``rubbish`` (answers
what is no JSON), ``endless`` (a line without an end), ``dies`` (ends at the second command), ``liar``
(answers of the wrong shape), ``gone`` (ends at once, with a word on stderr).
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from pathlib import Path

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}


def main(real: str, argv: list[str]) -> None:
    """Be the real one, or listen where it would and misbehave."""
    mode = Path(__file__).with_suffix(".mode").read_text().strip()
    control = re.search(r"id=mon-ctl,fd=(\d+)", " ".join(argv))
    if mode == "real" or control is None:  # a probe is answered in earnest
        os.execv(real, [real, *argv])
    if mode == "gone":
        sys.exit("qemu: the moon is in the wrong quarter")
    listening = socket.socket(fileno=int(control[1]))
    while True:
        peer, _ = listening.accept()
        with peer:
            try:
                converse(peer, mode)
            except OSError:
                continue


def converse(peer: socket.socket, mode: str) -> None:
    """One client."""
    if mode == "mute":
        time.sleep(3600)
    if mode == "endless":
        while True:
            peer.sendall(b"x" * 65536)
    peer.sendall(json.dumps(GREETING).encode() + b"\r\n")
    for number, line in enumerate(peer.makefile("rb")):
        if mode == "dies" and number:
            os._exit(1)
        if mode == "rubbish":
            peer.sendall(b'}{ "return": \r\n')
        else:
            value: object = {} if number == 0 or mode != "liar" else 5
            peer.sendall(json.dumps({"return": value, "id": json.loads(line).get("id")}).encode() + b"\r\n")


if __name__ == "__main__":
    main(os.environ.get("ANYVIRT_REAL_QEMU", "/usr/bin/qemu-system-x86_64"), sys.argv[1:])
