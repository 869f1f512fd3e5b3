"""Everything that stands in the way of a start is told at once, by path, with the way out."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Problem
from anyvirt_host.local import tap
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import preflight, servers
from anyvirt_qemu.readiness.rights import Rights

Guest = Callable[..., str]
Planned = Callable[..., Plan]
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may pass through."""
    path = Path(tempfile.mkdtemp(prefix="anyvirt-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights, where the test runs as root; else as the test's own."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def blocked(planned: Planned, caps: Callable[..., Any]) -> Callable[[str], dict[str, Problem]]:
    """The blockers of a document, by path."""

    def ask(text: str, **options: Any) -> dict[str, Problem]:
        options.setdefault("caps", caps(binary="/bin/true"))
        plan = planned(text, **options)
        return {problem.path: problem for problem in preflight.blockers(plan.domain, plan)}

    return ask


def disk(path: Path | str, target: str = "vda", more: str = "") -> str:
    return f"<disk type='file'><source file='{path}'/><target dev='{target}'/>{more}</disk>"


def test_nothing_stands_in_the_way_of_a_guest_whose_files_are_there(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    (folder / "a").write_bytes(b"")
    assert blocked(guest(disk(folder / "a"))) == {}


def test_all_that_is_missing_is_told_at_once(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    text = guest(
        disk(folder / "none") + disk(folder / "sub" / "none", "vdb")
        + "<interface type='bridge'><source bridge='nosuchbr'/><model type='virtio'/></interface>"
        + "<serial type='unix'><source mode='bind' path='/no/such/folder/s'/></serial>"
    ).replace("</os>", f"<kernel>{folder}/vmlinuz</kernel><initrd>{folder}/initrd</initrd></os>")  # fmt: skip
    found = blocked(text)
    mac = "52:54:00:bb:86:c3"
    assert set(found) == {
        "/devices/disk[vda]/source/@file",
        "/devices/disk[vdb]/source/@file",
        "/os/kernel",
        "/os/initrd",
        f"/devices/interface[{mac}]/source/@bridge",
        "/devices/serial[0]/source[0]/@path",
    }
    assert all(problem.hint for problem in found.values())
    assert found["/devices/disk[vda]/source/@file"].code == "file.not-found"
    assert f"folder {folder}/sub: No such file" in found["/devices/disk[vdb]/source/@file"].text
    assert "ip link add nosuchbr" in found[f"/devices/interface[{mac}]/source/@bridge"].hint


def test_a_missing_qemu_is_told_with_its_package(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, caps: Callable[..., Any]
) -> None:
    (problem,) = blocked(guest(), caps=caps(binary="/nowhere/qemu-system-x86_64")).values()
    assert problem.path == "/devices/emulator"
    assert "apt install qemu-system-x86" in problem.hint


def test_firmware_needs_variables_or_a_template_of_them(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    (folder / "code").write_bytes(b"")
    loader = f"<loader type='pflash' readonly='yes'>{folder}/code</loader>"
    assert set(blocked(guest().replace("</os>", f"{loader}</os>"))) == {"/os/nvram"}
    template = f"{loader}<nvram template='{folder}/vars'/></os>"
    assert set(blocked(guest().replace("</os>", template))) == {"/os/nvram/@template"}
    (folder / "vars").write_bytes(b"")
    assert blocked(guest().replace("</os>", template)) == {}


def test_a_right_that_is_missing_is_named_with_user_and_component(folder: Path) -> None:
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_bytes(b"")
    (folder / "secret").write_bytes(b"")
    (folder / "shown").write_bytes(b"")
    (folder / "closed").chmod(0)
    (folder / "secret").chmod(0)
    (folder / "shown").chmod(0o444)
    with nobody():
        ours = Rights()
        user = ours.user
        assert ours.reach(str(folder / "shown")) is None
        inside = ours.reach(str(folder / "closed" / "file"))
        secret = ours.reach(str(folder / "secret"), write=True)
        shown = ours.reach(str(folder / "shown"), write=True)
    (folder / "closed").chmod(0o700)
    assert inside is not None
    assert secret is not None
    assert shown is not None
    assert inside[0] == secret[0] == shown[0] == "denied"
    assert f"user {user} may not pass through folder {folder}/closed (right x)" in inside[1]
    assert f"user {user} may not read it (right r)" in secret[1]
    assert f"user {user} may not write it (right w)" in shown[1]
    assert secret[2] == f"setfacl -m u:{user}:rw {folder}/secret"


def test_a_read_only_disk_needs_no_right_to_write(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    (folder / "a").write_bytes(b"")
    (folder / "a").chmod(0o444)
    with nobody():
        assert blocked(guest(disk(folder / "a", more="<readonly/>"))) == {}
        assert set(blocked(guest(disk(folder / "a")))) == {"/devices/disk[vda]/source/@file"}


def test_a_backing_file_that_is_missing_is_told_with_its_place_in_the_chain(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    (folder / "a").write_bytes(struct.pack(">4sIQIIQ", b"QFI\xfb", 2, 0, 0, 16, 1 << 20).ljust(72, b"\0"))
    below = f"<backingStore type='file'><format type='raw'/><source file='{folder}/none'/></backingStore>"
    text = guest(disk(folder / "a", more=below).replace("<source", "<driver type='qcow2'/><source", 1))
    assert set(blocked(text)) == {"/devices/disk[vda]/backingStore"}
    (folder / "a").write_bytes(b"")
    assert "no qcow2 image" in blocked(text)["/devices/disk[vda]/source/@file"].text


def test_an_image_of_the_wrong_kind_or_of_two_disks_is_told(
    blocked: Callable[..., dict[str, Problem]], guest: Guest, folder: Path
) -> None:
    (folder / "a").write_bytes(b"")
    os.link(folder / "a", folder / "b")
    found = blocked(guest(disk(folder / "a") + disk(folder / "b", "vdb") + disk(folder, "vdc")))
    assert "is the image of vda, too" in found["/devices/disk[vdb]/source/@file"].text
    assert "no regular file" in found["/devices/disk[vdc]/source/@file"].text
    block = f"<disk type='block'><source dev='{folder}/a'/><target dev='vda'/></disk>"
    assert "no block device" in blocked(guest(block))["/devices/disk[vda]/source/@dev"].text
    shared = blocked(guest(disk(folder / "a", more="<shareable/>") + disk(folder / "b", "vdb", "<shareable/>")))
    assert shared == {}


def test_a_port_that_is_taken_is_told(blocked: Callable[..., dict[str, Problem]], guest: Guest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in servers.listening()
        if port < servers.VNC_FIRST:
            pytest.skip("the port is no VNC port")
        found = blocked(guest(f"<graphics type='vnc' port='{port}' autoport='no'/>"))
        assert found["/devices/graphics[vnc]/@port"].code == "resource.busy"
        assert blocked(guest(f"<graphics type='vnc' port='{port}' autoport='yes'/>")) == {}


def test_a_tap_that_this_user_may_not_make_is_told_with_the_device_and_the_user(
    blocked: Callable[..., dict[str, Problem]], guest: Guest
) -> None:
    with nobody():
        found = blocked(guest("<interface type='ethernet'><model type='virtio'/></interface>"))
        user = Rights().user
    (problem,) = found.values()
    assert tap.TUN in problem.text
    assert "type='user'" in problem.hint
    if problem.code == "denied" and "Permission" in problem.text:
        assert user in problem.text


def test_chains_are_read_and_what_is_wrong_with_them_is_told(guest: Guest, folder: Path) -> None:
    from anyvirt.api import parse

    (folder / "noise").write_bytes(b"noise")
    qcow2 = "<disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='{}'/></disk>"
    text = guest(qcow2.format(folder / "noise", "vda") + qcow2.format(folder / "none", "vdb") + disk("/x", "vdc"))
    found, problems = preflight.chains(parse(text, Domain))
    assert [(problem.path, problem.code) for problem in problems] == [
        ("/devices/disk[vda]/source/@file", "config.invalid")
    ]
    assert set(found) == {"vda", "vdb"}
