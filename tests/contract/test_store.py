from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, Reason, Ref, State, Status
from anyvirt.testing.contract import *  # noqa: F403
from anyvirt.testing.guests import Guests


@pytest.fixture
def connection_uri(tmp_path: Path) -> str:
    return f"test:///default?state={tmp_path}/state&libvirt={tmp_path}/libvirt"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def stick(connection_uri: str, open_connection: Callable[..., Connection]) -> Callable[[Connection, Ref], Connection]:
    """A second connection, to which that guest gives no answer."""

    def stuck(_: Connection, ref: Ref) -> Connection:
        return open_connection(f"{connection_uri}&hang=domain_state:{ref.key}")

    return stuck


@pytest.fixture
def litter(connection: Connection, guests: Guests) -> Callable[[], Callable[[], bool]]:
    """A guest that a job has, and no record of such a job."""
    world = connection.session.driver.plugin.world

    def leave() -> Callable[[], bool]:
        ref = guests.running().ref
        world.become(world.guest(ref), Status(State.PAUSED, Reason.SAVE), job="save")
        return lambda: not world.guest(ref).run.job

    return leave
