"""One connection to a state folder of its own, what the guests boot from, and the figures of what booted."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyvirt
import guest as small_guest
import pytest
from anyvirt.api import Secret
from anyvirt.client._generated_sync import Connection
from boot_stage import media
from boot_stage.full import full as full_guest
from boot_stage.machine import Kinds
from qemu_stage.small import URI, built

UUID_DASHES = 4
USAGE = ("<usage type='volume'><volume>", "</volume></usage>")
FIGURES = Path(__file__).with_name("kinds.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kinds", action="store_true", help="write what booted, for the documentation")


@pytest.fixture(scope="session")
def kinds(request: pytest.FixtureRequest) -> Iterator[Kinds]:
    found = Kinds()
    yield found
    if request.config.getoption("--kinds"):
        said = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"version (\S+)", said)
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "qemu": version[1] if version else ""}
        FIGURES.write_text(json.dumps({**about, "kinds": found.rows}, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with anyvirt.open(URI, state_dir=tmp_path_factory.mktemp("state")) as opened:
        yield opened


@pytest.fixture
def unlocking(tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], Connection]]:
    """Connections that keep these values of secrets and no others, each by UUID or by the volume that it is for."""
    with anyvirt.open(URI, state_dir=tmp_path / "state") as opened:

        def connect(values: dict[str, bytes]) -> Connection:
            for one in opened.secret_list():
                one.undefine()
            for text, value in values.items():
                named = f"<uuid>{text}</uuid>" if text.count("-") == UUID_DASHES else f"{USAGE[0]}{text}{USAGE[1]}"
                opened.secret_define(f"<secret private='yes'>{named}</secret>").set_value(Secret(value.decode()))
            return opened

        yield connect


def patient(guest: small_guest.Guest) -> small_guest.Guest:
    """The guest, which does not panic where its clock stands still for a while, as an emulated one may."""
    return guest._replace(cmdline=f"{guest.cmdline} no_timer_check")


@pytest.fixture(scope="session")
def small() -> small_guest.Guest:
    """The guest with the kernel for clouds."""
    return patient(built())


@pytest.fixture(scope="session")
def full() -> small_guest.Guest:
    """The guest with the usual kernel."""
    return patient(full_guest())


@pytest.fixture(scope="session")
def iso(tmp_path_factory: pytest.TempPathFactory, small: small_guest.Guest) -> Path:
    """What BIOS boots the small guest from: a CD, and a hard disk."""
    return media.iso(tmp_path_factory.mktemp("iso"), small)


@pytest.fixture(scope="session")
def big_iso(tmp_path_factory: pytest.TempPathFactory, full: small_guest.Guest) -> Path:
    """The same with the usual kernel."""
    return media.iso(tmp_path_factory.mktemp("iso"), full)


@pytest.fixture
def port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
