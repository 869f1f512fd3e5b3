"""A pytest plug-in for ``nox -s fuzz``: property tests with many more examples, new ones each time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("fuzz", max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("fuzz")
