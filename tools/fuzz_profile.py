"""A pytest plug-in for ``nox -s fuzz``: property tests with many more examples, new ones each time."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

EXAMPLES: Final = 3000
OWN: Final = "_hypothesis_internal_use_settings"  # where hypothesis keeps what a test was decorated with

settings.register_profile("fuzz", max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("fuzz")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that say themselves how many examples they want, for every day, as many as the others."""
    for item in items:
        function = getattr(item, "obj", None)
        if is_hypothesis_test(function):
            setattr(function, OWN, settings(getattr(function, OWN), max_examples=EXAMPLES))
