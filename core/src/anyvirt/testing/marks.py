"""Which hooks a contract test stands on, and which of them it proves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., Any])
NEEDS = "anyvirt_needs"
PROVES = "anyvirt_proves"


def needs(*hooks: str) -> Callable[[F], F]:
    """Skip the test, by name, where the driver lacks one of ``hooks`` (``hook``, ``hook.parameter``)."""
    return _marked(NEEDS, hooks)


def proves(*hooks: str) -> Callable[[F], F]:
    """As ``needs``; and the test turns red when one of them does nothing, or something else.

    What it asserts is seen by another way than through that hook's own answer.
    """
    return _marked(PROVES, hooks)


def each(*hooks: str) -> list[Any]:
    """Values of ``parametrize``, one for each hook: the test, which wears ``needs`` as well, proves it."""
    return [pytest.param(hook, marks=claim(hook), id=hook) for hook in hooks]


def claim(hook: str) -> pytest.MarkDecorator:
    """For one value of ``parametrize``: what the test proves with it."""
    mark: pytest.MarkDecorator = getattr(pytest.mark, PROVES)(hook)
    return mark


def claims(item: pytest.Item, mark: str) -> list[str]:
    """The hooks that a test names with that mark, in order, each once."""
    return list(dict.fromkeys(hook for found in item.iter_markers(mark) for hook in found.args))


def _marked(name: str, hooks: tuple[str, ...]) -> Callable[[F], F]:
    def mark(function: F) -> F:
        marked: F = getattr(pytest.mark, name)(*hooks)(pytest.mark.usefixtures("anyvirt_ready")(function))
        return marked

    return mark
