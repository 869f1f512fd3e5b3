"""Errors as people read them."""

from __future__ import annotations

import io

from anyvirt.cli.complaint import print_error
from anyvirt.cli.invocation import Globals, Invocation
from anyvirt.errors import Failed, VirtError
from anyvirt.settings import Settings


def told(error: VirtError) -> list[str]:
    cli = Invocation(Globals(), Settings())
    cli.err = io.StringIO()
    print_error(cli, error)
    return cli.err.getvalue().splitlines()


def test_each_cause_is_told_once() -> None:
    outer, inner = Failed("web does not start", hint="look"), OSError("no room")
    outer.__cause__ = inner
    assert told(outer) == ["error[hypervisor.failed]: web does not start", "  because: no room", "hint: look"]


class Once(Failed):
    """An error that may not be told for ever."""

    def __str__(self) -> str:
        self.details["told"] = self.details.get("told", 0) + 1
        assert self.details["told"] < 9
        return self.message


def test_a_chain_of_causes_that_bites_its_own_tail_comes_to_an_end() -> None:
    outer, inner = Failed("web does not start", hint="look"), Once("the line was lost")
    outer.__cause__, inner.__cause__ = inner, inner
    assert told(outer)[1:] == ["  because: the line was lost", "hint: look"]
