"""For authors of drivers: the contract suite, recorded transports, a driver as a connection.

A driver's whole conformance test is one fixture and one star import::

    import pytest
    from anyvirt.testing.contract import *  # noqa: F403


    @pytest.fixture
    def connection_uri() -> str:
        return "acme:///"

``docs`` of the fixtures that an author may give besides: ``pytest --fixtures`` shows them.
"""

from __future__ import annotations

from anyvirt.testing.connected import connected, host
from anyvirt.testing.marks import needs, proves
from anyvirt.testing.recorded import recorded, recording

__all__ = ["connected", "host", "needs", "proves", "recorded", "recording"]
