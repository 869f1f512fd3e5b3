"""Pages of the reference on the QEMU driver: what it makes of each path, and how its guests compare with libvirt's."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from rst import table, title

ROOT: Final = Path(__file__).resolve().parent.parent
SUPPORT: Final = ROOT / "tests/outside/support.json"
TREES: Final = ROOT / "tests/device_tree"
BOOTS: Final = ROOT / "tests/lab/boots/kinds.json"
MACHINES: Final = ROOT / "tests/lab/machines/kinds.toml"
ABOUT: Final = """What ``qemu:///`` makes of each element and attribute of a domain: each value was put into a
definition that has the element, and a start was planned for a QEMU that has everything. *Partly*: some of the values
are refused. A definition with anything that is refused does not start, and the refusal names the path. What is taken
only together with something else that the trial has not found is shown as refused, too.

Addresses of devices are left out: every device takes those that its bus has. What an element means is in :doc:`xml`.

"""


def support() -> str:
    """The support table."""
    rows = json.loads(SUPPORT.read_text("utf-8"))
    found = {word: sum(row["verdict"] == word for row in rows) for word in ("supported", "partly", "refused")}
    counted = f"Of {len(rows)} paths {found['supported']} are supported, {found['partly']} partly.\n\n"
    cells = [(f"``{row['path']}``", row["verdict"], _plain(row["why"]), row["proof"]) for row in rows]
    head = ("path", "", "refused: what, and the driver's words", "proof")
    return title("QEMU: supported elements") + ABOUT + counted + table(head, cells, "30 8 38 24")


def equivalence() -> str:
    """How the devices of planned guests compare with those of libvirt's command lines."""
    found: dict[str, Any] = json.loads((TREES / "figures.json").read_text("utf-8"))
    total, different = found["in"] + len(found["out"]), found["different"]
    text = title("QEMU: the same devices as libvirt's")
    text += f"""For {total} documents of libvirt's own tests, QEMU was started twice, with anyvirt's plan and with the
command line that libvirt recorded; both device trees were read over QMP and compared: every device with all its
properties, block nodes, character devices, networks, memory, NUMA and CPU. QEMU here runs {found["in"]} of the
recorded lines; {found["same"]} of those guests are the same, {len(different)} are different.

"""
    if different:
        text += title("Different", "-") + table(("document", "what"), sorted(different.items()), "35 65")
    reasons = tomllib.loads((TREES / "held.toml").read_text("utf-8"))["differs"]
    held = [(case, _meaning(why), reasons.get(case, "says the same")) for case, why in sorted(found["out"].items())]
    text += title("Recorded lines that do not run here", "-")
    text += "Where a recorded line does not run on the machine of these tests, the words of both were compared.\n\n"
    return text + table(("document", "why it does not run", "the plan"), held, "30 40 30")


def boots() -> str:
    """What the lab of real boots ran last, with the guests' own words."""
    found: dict[str, Any] = json.loads(BOOTS.read_text("utf-8"))
    text = title("QEMU: what was booted")
    text += f"""Machines that the lab of real boots ran on {found["date"]}, emulated by QEMU {found["qemu"]}: what
each has, what the guest itself printed of it, and the seconds from its start to its prompt. One machine has
many of these.

"""
    rows = [
        (kind, f"``{row['said']}``", row["kernel"], str(row["seconds"] or "")) for kind, row in found["kinds"].items()
    ]
    return text + table(("what", "what the guest said", "kernel", "seconds"), rows, "28 44 20 8") + _machines()


def _machines() -> str:
    """What each kind of machine wrote on its console."""
    found = tomllib.loads(MACHINES.read_text("utf-8"))
    text = "\n" + title("Kinds of machines", "-")
    text += """For each architecture and kind of machine a guest was started under emulation, whose firmware found its
disk, or that was given a kernel of a few instructions: what either wrote on the console, and the seconds until then.

"""
    rows = [
        (one["machine"], f"``{one['asserts'].replace('`', '')}``", one["qemu"], str(one["seconds"]))
        for one in found.values()
    ]
    return text + table(("machine", "what it wrote", "QEMU", "seconds"), rows, "24 54 12 10")


def _meaning(reason: str) -> str:
    listed = tomllib.loads((TREES / "reasons.toml").read_text("utf-8"))["out"]
    return next((meaning for pattern, meaning in listed.items() if re.search(pattern, reason)), _plain(reason))


def _plain(text: str) -> str:
    """A text that says nothing to the documentation's markup."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("_", "\\_").replace("|", "\\|")
