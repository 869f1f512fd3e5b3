"""What definitions keep from each other and from the world: passwords, and vsock addresses."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import (
    Connection,
    Deadline,
    Denied,
    Invalid,
    LaunchPlan,
    Unsupported,
    VirtError,
    Which,
    lanes,
    open,  # noqa: A004
)
from anyvirt_qemu.probing import emulators
from anyvirt_qemu.site import Site

WORD = "sesam-17"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def connection(qemu: str, state: Path) -> Iterator[Connection]:
    """A connection of its own state; whatever runs at the end is destroyed."""
    assert qemu
    with open("qemu:///session", state_dir=state) as made:
        yield made
        for domain in made.domain_list():
            with suppress(VirtError):
                domain.destroy()


@pytest.fixture
def site(connection: Connection) -> Site:
    """The driver's own view of the same guests."""
    held: Any = connection
    found = held.session.driver.plugin._site
    assert isinstance(found, Site)
    return found


def _xml(name: str, devices: str) -> str:
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"
    )


def _display(path: Path, password: str = WORD) -> str:
    return f"<graphics type='vnc' socket='{path}' passwd='{password}'/>"


def _files(folder: Path) -> dict[str, bytes]:
    """What is in a folder and below, all but the store of definitions."""
    places = [Path(base, name) for base, _, names in os.walk(folder) for name in names]
    return {
        str(place): place.read_bytes() for place in places if place.is_file() and not place.name.startswith("store.db")
    }


def test_a_password_reaches_the_display_and_nothing_else(connection: Connection, state: Path, tmp_path: Path) -> None:
    screen = tmp_path / "screen"
    domain = connection.domain_define(_xml("one", _display(screen)))
    domain.start(paused=True)
    found = _files(state)
    (record,) = [data for place, data in found.items() if place.endswith("/status.json")]
    assert b"<graphics type=" in record
    assert [place for place, data in found.items() if WORD.encode() in data] == []
    (process,) = [
        entry.parent for entry in Path("/proc").glob("[0-9]*/cmdline") if str(screen).encode() in _read(entry)
    ]
    assert b"vnc" in _read(process / "cmdline")
    assert WORD.encode() not in _read(process / "cmdline") + _read(process / "environ")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(screen))
        client.sendall(client.recv(12))
        assert client.recv(2) == b"\x01\x02"  # one way in: VNC authentication (RFC 6143, 7.2)


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""


def test_a_password_is_shown_only_to_who_asks_and_may_change(
    connection: Connection, state: Path, tmp_path: Path
) -> None:
    domain = connection.domain_define(_xml("one", _display(tmp_path / "screen")))
    domain.start(paused=True)
    for which in Which:
        assert WORD not in domain.config(which).text
        assert [one.passwd for one in domain.config(which, secure=True).model.graphics] == [WORD]
    with open("qemu:///session", state_dir=state, readonly=True) as reader:
        assert WORD not in reader.lookup("one").config().text
        with pytest.raises(Denied, match="read-only"):
            reader.lookup("one").config(secure=True)


def test_a_new_password_is_not_shown_as_the_running_one(connection: Connection, tmp_path: Path) -> None:
    domain = connection.domain_define(_xml("one", _display(tmp_path / "screen")))
    domain.start(paused=True)
    connection.domain_define(_xml("one", _display(tmp_path / "screen", "another")))
    assert [one.passwd for one in domain.config(Which.LIVE, secure=True).model.graphics] == [None]
    assert [one.passwd for one in domain.config(Which.CONFIG, secure=True).model.graphics] == ["another"]


def test_guests_get_vsock_addresses_of_their_own_and_keep_them(connection: Connection) -> None:
    vsock = "<vsock model='virtio'><cid auto='yes'/></vsock>"

    def address(name: str) -> int | None:
        found = connection.domain_define(_xml(name, vsock)).config().model.vsock
        assert found is not None
        return found.cid

    connection.domain_define(_xml("fixed", "<vsock model='virtio'><cid auto='no' address='4'/></vsock>"))
    assert [address(name) for name in ("one", "two", "one")] == [3, 5, 3]


def test_two_that_are_defined_at_once_get_different_vsock_addresses(
    connection: Connection, site: Site, state: Path
) -> None:
    config = "<vsock model='virtio'><cid auto='yes'/></vsock>"
    begun: list[Any] = []

    def meanwhile(_step: str) -> None:
        begun.append(lanes.start("second", partial(other.domain_define, _xml("two", config)), Deadline(30)))
        time.sleep(0.3)  # long enough to choose, were it allowed now

    with open("qemu:///session", state_dir=state) as other:
        site.step = meanwhile
        made = [connection.domain_define(_xml("one", config)), begun[0].result()]
        given = [one.config().model.vsock for one in made]
    assert sorted(vsock.cid or 0 for vsock in given if vsock is not None) == [3, 4]


def test_a_definition_for_an_architecture_that_qemu_has_not_is_refused(connection: Connection) -> None:
    text = _xml("odd", "").replace("arch='x86_64' machine='q35'", "arch='ia64'")
    with pytest.raises(Unsupported, match="architecture ia64") as caught:
        connection.domain_define(text)
    assert "install" not in caught.value.hint
    made = connection.domain_define(_xml("even", ""))
    assert (made.config().model.emulator or "").endswith("/qemu-system-x86_64")


@pytest.mark.parametrize(
    ("arch", "hint"),
    [("nope", "it has x86_64, "), ("x86-64", "did you mean x86_64?"), ("arm64", "did you mean aarch64?")],
)
def test_an_architecture_that_is_none_gets_the_nearest_name(connection: Connection, arch: str, hint: str) -> None:
    with pytest.raises(Unsupported, match=f"architecture {arch}") as caught:
        connection.domain_capabilities(arch=arch)
    assert caught.value.hint.startswith(hint)


def test_an_emulator_that_is_not_there_is_named_with_its_package() -> None:
    error = emulators.missing("ppc64le")
    assert "qemu-system-ppc64" in str(error)
    assert error.hint == "install QEMU: apt-get install qemu-system-ppc"
    assert emulators.missing("sh4").hint.endswith(" qemu-system-misc")


def test_lines_are_those_of_the_users_own_file_and_of_no_stored_one(connection: Connection) -> None:
    unfit = "\n<video><model type='xen'/></video>\n\n<panic model='pseries'/>\n"
    text = _xml("lines", unfit)

    def lines(plan: LaunchPlan) -> dict[str, int | None]:
        return {problem.path: problem.line for problem in plan.blockers if problem.path.startswith("/devices/")}

    paths = ["/devices/video[0]/model/@type", "/devices/panic[pseries]/@model"]
    assert lines(connection.domain_plan_create(text)) == dict(zip(paths, (2, 4), strict=True))
    made = connection.domain_define(text)
    again = text.replace("<name>", f"\n\n<uuid>{made.uuid}</uuid><name>")  # what is known of it shifts nothing
    assert lines(connection.domain_plan_create(again)) == dict(zip(paths, (4, 6), strict=True))
    assert lines(made.plan()) == dict.fromkeys(paths)
    assert [problem.line for problem in made.preflight() if problem.path in paths] == [None, None]
    with pytest.raises(Invalid) as caught:
        made.start()
    assert [problem.line for problem in caught.value.problems if problem.path in paths] == [None, None]
    refused = _xml("other", "\n<uuidx/>")
    with pytest.raises(Invalid) as caught:
        connection.domain_define(refused)
    assert [problem.line for problem in caught.value.problems] == [2]
