"""The house rules hold in every file, and each rule is seen to catch what it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import house
import pytest
from house import Source, sources

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = sources(ROOT, "core/src", "plugins/*/src")
EVERYTHING = [
    *PRODUCT,
    *sources(ROOT, "tests", "plugins/*/tests", "core/tests", "tools", "examples", "noxfile.py"),
]
Rule = Callable[[Source], Iterator[str]]


def _none(found: list[str]) -> None:
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("rule", [house.too_long, house.badly_opened, house.shapeless_names])
def test_every_file_keeps(rule: Rule) -> None:
    _none([broken for source in EVERYTHING for broken in rule(source)])


@pytest.mark.parametrize(
    "rule",
    [
        house.relative_imports,
        house.misplaced_imports,
        house.misplaced_uses,
        house.upward_imports,
        house.foreign_imports,
    ],
)
def test_the_product_keeps(rule: Rule) -> None:
    _none([broken for source in PRODUCT for broken in rule(source)])


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house.too_long, "tools/x.py", "x = 1\n" * 601),
        (house.too_long, "tools/x.py", "def f():\n" + "    x = 1\n" * 60),
        (house.badly_opened, "tools/x.py", "from __future__ import annotations\nx = 1\n"),
        (house.badly_opened, "tools/x.py", '"""Text."""\nx = 1\n'),
        (house.shapeless_names, "tools/x.py", "class GuestManager: ...\n"),
        (house.shapeless_names, "tools/x.py", "def test_base_case(): ...\n"),
        (house.shapeless_names, "tools/path_utils.py", ""),
        (house.relative_imports, "core/src/anyvirt/x.py", "from . import errors\n"),
        (house.misplaced_imports, "core/src/anyvirt/x.py", "def f():\n    from lxml import etree\n"),
        (house.misplaced_imports, "plugins/qemu/src/anyvirt_qemu/qmp/monitor.py", "import socket\n"),
        (house.misplaced_imports, "core/src/anyvirt/x.py", "from anyvirt import cli\n"),
        (house.misplaced_uses, "plugins/qemu/src/anyvirt_qemu/x.py", "import os\nos.environ['PATH']\n"),
        (house.misplaced_uses, "core/src/anyvirt/x.py", "from os import environ\n"),
        (house.misplaced_uses, "core/src/anyvirt/x.py", "import threading\nthreading.Thread(target=print)\n"),
        (house.misplaced_uses, "core/src/anyvirt/transport/run.py", "Popen('ls', shell=True)\n"),
        (house.upward_imports, "core/src/anyvirt/model/x.py", "from anyvirt.session import Session\n"),
        (house.upward_imports, "core/src/anyvirt/x.py", "import anyvirt_qemu\n"),
        (house.foreign_imports, "plugins/qemu/src/anyvirt_qemu/x.py", "from anyvirt.errors import Busy\n"),
        (house.foreign_imports, "plugins/qemu/src/anyvirt_qemu/x.py", "import anyvirt_test\n"),
        (house.foreign_imports, "plugins/esx/src/anyvirt_esx/x.py", "import pyVmomi\n"),
    ],
)
def test_a_rule_catches_what_it_is_for(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(Source(path, text)))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (house.too_long, "core/src/anyvirt/client/_generated_sync.py", "x = 1\n" * 601),
        (house.misplaced_imports, "core/src/anyvirt/transport/unix.py", "import socket\n"),
        (house.misplaced_uses, "core/src/anyvirt/x.py", "import threading\nthreading.Lock()\n"),
        (house.upward_imports, "core/src/anyvirt/session.py", "from anyvirt.hooks import domain\n"),
        (house.foreign_imports, "plugins/qemu/src/anyvirt_qemu/x.py", "from anyvirt.api import Busy\nimport json\n"),
        (house.foreign_imports, "plugins/esx/src/anyvirt_esx/connect.py", "import pyVmomi\n"),
    ],
)
def test_a_rule_lets_pass_what_is_right(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for path in (ROOT / name.decode() for name in listed.split(b"\0") if name) if path.is_file()]


def test_no_file_names_a_place_on_the_machine_it_was_written_on() -> None:
    places = [str(ROOT), sys.prefix, "../" + "shared"]
    words = [place.encode() for place in places if place.count("/") > 1 or place.startswith("..")]
    found = [
        f"{path.relative_to(ROOT)}: {word!r}" for path in _tracked() for word in words if word in path.read_bytes()
    ]
    _none(found)


def test_nothing_is_left_to_do_later() -> None:
    later = re.compile(rb"\b(TO" + rb"DO|FIX" + rb"ME|XX" + rb"X|HA" + rb"CK)\b")
    python = [
        path for path in _tracked() if path.suffix in {".py", ".toml", ".sh"} or path.name in {"bootstrap", "run"}
    ]
    _none([str(path.relative_to(ROOT)) for path in python if later.search(path.read_bytes())])


def test_importing_the_api_loads_nothing_slow() -> None:
    slow = {"lxml", "ssl", "asyncio", "typer", "rich", "sqlite3", "subprocess", "socket", "pytest"}
    code = "import sys, anyvirt.api; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert set(said.stdout.split()) & slow == set()
