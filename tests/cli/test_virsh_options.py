"""Pools, volumes and secrets take every command and option that the installed virsh has."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import GLOBALS, Entry, Param, respelled

OURS = re.compile(r"^    ((?:pool|vol|secret|find-storage)[a-z-]*)\s", re.MULTILINE)


def told(*words: str) -> str:
    if shutil.which("virsh") is None:
        pytest.skip("virsh is not installed")
    return subprocess.run(["virsh", "help", *words], capture_output=True, text=True, check=True).stdout


def test_virsh_has_no_command_of_storage_or_secrets_that_is_not_here() -> None:
    known = OURS.findall(told())
    assert len(known) > 40
    assert [name for name in known if name not in COMMANDS] == []


def test_virsh_has_no_option_of_them_that_is_not_taken() -> None:
    lacking = {}
    for name in OURS.findall(told()):
        options = set(re.findall(r"^    \[?(--[A-Za-z0-9-]+)", told(name), re.MULTILINE))
        params = [Param(*row) for row in Entry(*COMMANDS[name]).params]
        taken = {flag for param in params for flag in param.flags} | set(GLOBALS)
        # What is positional here can be named as virsh names it.
        named = {one for one in options - taken if respelled([name, one, "x"], COMMANDS) != [name, one, "x"]}
        lacking[name] = sorted(options - taken - named)
    assert {name: options for name, options in lacking.items() if options} == {}
