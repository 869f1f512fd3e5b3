from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, ShutdownMode
from anyvirt.testing import needs, proves
from anyvirt.testing.contract import *  # noqa: F403
from anyvirt.testing.contract.console import read
from anyvirt.testing.guests import Guests


@pytest.fixture
def connection_uri(tmp_path: Path) -> str:
    return f"test:///default?libvirt={tmp_path}/libvirt"


@proves("domain_shutdown.mode", "domain_reboot.mode", "domain_destroy.graceful")
@needs("domain_define", "domain_start", "domain_console")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda domain: domain.shutdown(ShutdownMode.AGENT), b"agent: shut down"),
        (lambda domain: domain.shutdown(ShutdownMode.ACPI), b"power button: shut down"),
        (lambda domain: domain.reboot(ShutdownMode.AGENT), b"agent: reboot"),
        (lambda domain: domain.destroy(graceful=True), b"terminated"),
        (lambda domain: domain.destroy(), b"killed"),
    ],
    ids=["agent", "acpi", "reboot", "graceful", "killed"],
)
def test_the_guest_is_asked_in_the_way_that_was_chosen(
    connection: Connection, guests: Guests, patience: float, how: Callable[[Any], None], said: bytes
) -> None:
    domain = guests.running()
    console = connection.domain_console(domain, readonly=True)
    how(domain)
    assert said in read(console, said, patience)
    console.close()
