from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, Ref, State, Status


@pytest.fixture
def proven_on() -> str:
    return "simulator"


@pytest.fixture
def force_state() -> Callable[[Connection, Ref, State], None]:
    """Straight into the host's store: no hook leads there."""

    def force(connection: Connection, ref: Ref, state: State) -> None:
        world = connection.session.driver.plugin.world
        world.become(world.guest(ref), Status(state))

    return force


@pytest.fixture
def echoes() -> bytes:
    return b"\r\nmark-one\r\n"


@pytest.fixture
def blocked(guest_xml: Callable[[str], str]) -> str:
    nic = "<interface type='network'><source network='no-such'/></interface></devices>"
    return guest_xml("contract-blocked").replace("</devices>", nic)


@pytest.fixture
def importable(tmp_path: Path) -> Callable[[str], Path]:
    folder = tmp_path / "libvirt"
    folder.mkdir()

    def put(xml: str) -> Path:
        (folder / "one.xml").write_text(xml)
        return folder

    return put


@pytest.fixture
def disk_image(connection: Connection) -> tuple[Path, int]:
    """A volume of the test host; images are nowhere else on it."""
    pool = connection.lookup_pool("default-pool")
    ref = connection.volume_create(pool, VOLUME).wait(10)
    return Path(connection.volume(ref).path()), 8 << 20


VOLUME = "<volume><name>disk</name><capacity unit='MiB'>8</capacity><allocation>4096</allocation></volume>"
