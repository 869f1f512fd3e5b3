"""Programs that run beside QEMU, on a real QEMU: what they are for, and what becomes of them however a start ends."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyvirt.api import (
    Connection,
    Denied,
    Failed,
    Host,
    Interrupted,
    Invalid,
    NotFound,
    Secret,
    Settings,
    Uri,
    VirtError,
)
from anyvirt.testing import connected
from anyvirt_qemu import connect_open
from anyvirt_qemu.hosting import states
from anyvirt_qemu.planning.beside import StateUse
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.site import Site
from qemu_stage.scene import Scene

URI = "qemu:///session"
SECRET = "11111111-2222-4333-8444-555555555555"
TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'>{}</backend></tpm>"
SHARE = "<filesystem><driver type='virtiofs'/>{}<source dir='{}'/><target dir='tag'/></filesystem>"
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
PASST = "<interface type='user'><backend type='passt'/>{}</interface>"
DISK = "<disk type='file'><source file='{}'><reservations managed='yes'/></source><target dev='sda' bus='scsi'/></disk>"


def xml(devices: str, name: str = "one") -> str:
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>{SHARED}"
        f"<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"
    )


def need(*names: str) -> None:
    for name in names:
        if shutil.which(name, path=f"{os.environ['PATH']}:/usr/lib/qemu:/usr/libexec") is None:
            pytest.skip(f"{name} is not installed")


class Held:
    """Who has values of secrets, by UUID."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self.values = values

    def find(self, use: str, text: str) -> Secret:
        if text not in self.values:
            raise NotFound(text, "secret")
        assert use == "vtpm"
        return Secret(self.values[text].decode())


class Stage:
    """Guests in a state folder of their own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.steps: list[str] = []

    def connect(self, secrets: Mapping[str, bytes] | None = None, path: str = "") -> tuple[Connection, Site]:
        """A connection that tells its steps, and the driver's own view.

        :param path: folders in which programs are looked for before all others.
        """
        settings = Settings.read({**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else None)
        host = Host(Uri.of(URI), settings, state_dir=self.state, given={"step": self.steps.append})
        host.secrets = Held(secrets or {})
        driver: Any = connect_open(Uri.of(URI), host)
        return connected(driver, URI, on=host), driver._site

    def processes(self) -> list[str]:
        """What runs with a place in the state folder: in its environment, or as the folder that it is in."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "environ").read_bytes() + os.readlink(entry / "cwd").encode()
                if bytes(self.state) in words and int(entry.name) != os.getpid():
                    found.append((entry / "cmdline").read_bytes().split(b"\0")[0].decode())
        return found

    def forget(self) -> None:
        """No TPM has a state any more."""
        for folder in self.state.glob("*/qemu/tpm"):
            shutil.rmtree(folder)

    def gone(self) -> None:
        """Nothing runs any more; what ends by itself has a moment for it."""
        until = time.monotonic() + 5
        while self.processes() and time.monotonic() < until:
            time.sleep(0.02)
        assert self.processes() == []


@pytest.fixture
def stage(qemu: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "state")
    yield made
    with made.connect()[0] as connection:
        for domain in connection.domain_list():
            with suppress(VirtError):
                domain.destroy()
    made.gone()


def asked(site: Site, uuid: str, command: str, **arguments: Any) -> Any:
    with site.run(uuid) as run:
        assert run is not None
        with Monitor(run.place.place("r0"), "one") as monitor:
            return monitor.execute(command, **arguments)


def permanent(stage: Stage) -> tuple[int, str]:
    """Inode of the folder of the TPM's state, and what is in it."""
    (file,) = stage.state.glob("session/qemu/tpm/*/2.0/tpm2-00.permall")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    return file.parent.stat().st_ino, hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_tpm_is_emulated_and_its_state_is_there_for_the_next_run(stage: Stage) -> None:
    need("swtpm", "swtpm_setup")
    connection, site = stage.connect()
    guest = connection.domain_define(xml(TPM.format("<active_pcr_banks><sha384/></active_pcr_banks>")))
    guest.start()
    (tpm,) = asked(site, guest.ref.key, "query-tpm")
    assert tpm["model"] == "tpm-crb"
    assert tpm["options"]["type"] == "emulator"
    assert any("swtpm" in one for one in stage.processes())
    guest.destroy()
    stage.gone()
    made = permanent(stage)
    assert "make-state" in stage.steps
    stage.steps.clear()
    guest.start()
    guest.destroy()
    assert permanent(stage)[0] == made[0]
    assert "make-state" not in stage.steps
    assert "change-state" in stage.steps


@pytest.mark.parametrize(
    ("persists", "keep", "kept"), [("no", None, False), ("yes", None, True), ("yes", False, False), ("no", True, True)]
)
def test_the_state_of_a_tpm_goes_with_the_definition_unless_it_is_to_stay(
    stage: Stage, persists: str, keep: bool | None, kept: bool
) -> None:
    need("swtpm", "swtpm_setup")
    connection, _ = stage.connect()
    text = xml(TPM.format("")).replace("version=", f"persistent_state='{persists}' version=")
    guest = connection.domain_define(text)
    made = stage.state / f"session/qemu/tpm/{guest.ref.key}/2.0"  # as a run would have left it
    made.mkdir(parents=True)
    (made / "tpm2-00.permall").write_bytes(b"state")
    guest = guest.rename("other")
    guest.undefine(keep_tpm=keep)
    assert made.exists() is kept


@pytest.mark.parametrize("persists", ["no", "yes"])
def test_the_state_of_a_transient_guests_tpm_goes_with_the_guest(stage: Stage, persists: str) -> None:
    need("swtpm", "swtpm_setup")
    connection, _ = stage.connect()
    text = xml(TPM.format("")).replace("version=", f"persistent_state='{persists}' version=")
    guest = connection.domain_create(text)
    permanent(stage)
    guest.destroy()
    assert bool(list(stage.state.glob("session/qemu/tpm/*"))) is (persists == "yes")


@pytest.mark.parametrize("kind", ["dir", "file"])
def test_the_state_of_a_tpm_is_where_the_definition_places_it_and_stays_there(
    stage: Stage, tmp_path: Path, kind: str
) -> None:
    need("swtpm", "swtpm_setup")
    connection, site = stage.connect()
    (tmp_path / "a,b").mkdir()
    place = tmp_path / "a,b" / ("state" if kind == "file" else "")
    text = xml(TPM.format(f"<source type='{kind}' path='{place}'/>")).replace("version=", "debug='5' version=")
    guest = connection.domain_define(text)
    for _ in range(2):
        guest.start()
        with site.run(guest.ref.key) as run:
            assert run is not None
            assert b"Ctrl Cmd" in (run.place.read("swtpm-tpm0.log") or b"")
        guest.destroy()
    assert stage.steps.count("make-state") == 1
    guest.undefine()
    (kept,) = (file for file in (tmp_path / "a,b").iterdir() if file.name != ".lock")
    assert kept.name == ("state" if kind == "file" else "tpm2-00.permall")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not list(stage.state.glob("session/qemu/tpm/*"))


def test_a_shared_folder_a_network_and_reservations_are_served_by_their_programs(stage: Stage, tmp_path: Path) -> None:
    need("virtiofsd", "passt", "qemu-pr-helper")
    image = tmp_path / "a,b.img"
    image.write_bytes(bytes(1 << 20))
    folder = tmp_path / "a,b\\c=d"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ports = f"<portForward proto='tcp' address='127.0.0.1'><range start='{port}' to='22'/></portForward>"
    connection, site = stage.connect()
    system = os.geteuid() == 0
    devices = SHARE.format("", folder) + PASST.format(ports) + DISK.format(image)
    guest = connection.domain_define(xml(devices))
    if not system:
        with pytest.raises(Invalid, match="works for root alone"):
            guest.start()
        guest = connection.domain_define(xml(devices.replace(DISK.format(image), "")))
    guest.start()
    held = [{"id": "pr-helper0", "connected": True}] if system else []
    assert asked(site, guest.ref.key, "query-pr-managers") == held
    devices = asked(site, guest.ref.key, "qom-list", path="/machine/peripheral")
    assert any(one["name"] == "fs0" and "vhost-user-fs" in one["type"] for one in devices)
    socket.create_connection(("127.0.0.1", port), 5).close()
    assert len(stage.processes()) >= 3 + system  # QEMU, and one for each at least
    guest.destroy()
    stage.gone()


def test_a_screen_is_shown_on_a_bus_of_the_guests_own(stage: Stage) -> None:
    need("dbus-daemon", "dbus-send")
    connection, site = stage.connect()
    guest = connection.domain_define(xml("<graphics type='dbus'/><video><model type='vga'/></video>"))
    if "display.dbus" not in site.caps().features:
        pytest.skip("a QEMU with a D-Bus display is not installed")
    guest.start()
    address = guest.config().model.graphics[0].address
    assert address is not None
    folder, name = os.path.split(address.removeprefix("unix:path="))  # which is too long for dbus-send
    asked = ["dbus-send", f"--bus=unix:path={name}", "--dest=org.qemu", "--print-reply", "/org/qemu/Display1/VM"]
    asked += ["org.freedesktop.DBus.Properties.Get", "string:org.qemu.Display1.VM", "string:Name"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False, cwd=folder)
    assert '"one"' in said.stdout, said.stderr
    guest.destroy()
    stage.gone()
    assert guest.config().model.graphics[0].address is None


def test_the_state_of_a_tpm_is_encrypted_with_a_secret_that_no_command_line_has(stage: Stage, tmp_path: Path) -> None:
    need("swtpm", "swtpm_setup", "virtiofsd")
    connection, _ = stage.connect({SECRET: b"tell nobody"})
    devices = SHARE.format("", tmp_path) + TPM.format(f"<encryption secret='{SECRET}'/>")
    guest = connection.domain_define(xml(devices))
    guest.start()
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
    assert not any(b"tell nobody" in line for line in lines)
    assert not any(b"tell nobody" in path.read_bytes() for path in stage.state.rglob("*") if path.is_file())
    guest.destroy()
    guest.start()
    guest.destroy()
    other, _ = stage.connect({SECRET: b"another"})
    with pytest.raises(Failed, match=r"swtpm ended: .*[Dd]ecrypt"):
        other.lookup("one").start()
    stage.gone()
    nobody, _ = stage.connect()
    with pytest.raises(Invalid) as caught:
        nobody.lookup("one").start()
    assert [problem.path for problem in caught.value.problems] == ["/devices/tpm[0]/backend/encryption/@secret"]


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def script(folder: Path, name: str, text: str) -> Path:
    """A program that does not do what its name says."""
    path = folder / name
    path.write_text(
        f'#!/bin/sh\ncase "$1" in --help | --print-capabilities) echo "--shared-dir --sandbox"; exit;; esac\n{text}\n'
    )
    path.chmod(0o755)
    return path


def test_a_program_that_ends_at_once_is_told_of_in_its_own_words(stage: Stage, tmp_path: Path) -> None:
    served = script(tmp_path, "serves", "echo the moon is in the wrong quarter >&2; exit 3")
    connection, site = stage.connect()
    other = SHARE.format("", tmp_path).replace("tag", "other")
    guest = connection.domain_define(xml(other + SHARE.format(f"<binary path='{served}'/>", tmp_path)))
    with pytest.raises(Failed, match="virtiofsd ended: the moon is in the wrong quarter"):
        guest.start()
    assert list(site.runs.iterdir()) == []
    stage.gone()


@pytest.mark.parametrize("how", ["ends", "never listens"])
def test_a_program_that_makes_no_socket_is_told_of_or_cut_off_at_the_deadline(
    stage: Stage, tmp_path: Path, how: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to start qemu-pr-helper")
    script(tmp_path, "qemu-pr-helper", "echo no luck >&2; exit 1" if how == "ends" else "exec sleep 60")
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    connection, site = stage.connect(path=str(tmp_path))
    guest = connection.domain_define(xml(DISK.format(image)))
    if how == "ends":
        with pytest.raises(Failed, match="qemu-pr-helper ended: no luck"):
            guest.start()
    else:
        began = time.monotonic()
        with pytest.raises(Interrupted):
            guest.start(timeout=1.5)
        assert time.monotonic() - began < 10
    connection.recover()
    assert list(site.runs.iterdir()) == []


def test_a_program_that_serves_nobody_is_cut_off_at_the_deadline(stage: Stage, tmp_path: Path) -> None:
    served = script(tmp_path, "serves", "exec sleep 60")
    connection, site = stage.connect()
    guest = connection.domain_define(xml(SHARE.format(f"<binary path='{served}'/>", tmp_path)))
    with pytest.raises(Interrupted):
        guest.start(timeout=2)
    connection.recover()
    assert list(site.runs.iterdir()) == []
    stage.gone()


def test_everything_that_keeps_a_program_from_running_is_told_before_the_start(stage: Stage, tmp_path: Path) -> None:
    connection, _ = stage.connect()
    closed = tmp_path / "closed"
    closed.write_text("")
    devices = SHARE.format(f"<binary path='{closed}'/>", tmp_path / "none")
    devices += SHARE.format("<binary path='/nowhere/virtiofsd'/>", closed).replace("tag", "other")
    guest = connection.domain_define(xml(devices))
    problems = {(problem.path, problem.code) for problem in guest.preflight()}
    assert problems == {
        ("/devices/filesystem[tag]", "denied"),
        ("/devices/filesystem[tag]/source/@dir", "file.not-found"),
        ("/devices/filesystem[other]", "file.not-found"),
        ("/devices/filesystem[other]/source/@dir", "config.invalid"),
    }


def test_killed_before_any_step_a_start_leaves_no_program_that_the_next_call_does_not_end(
    qemu: str, tmp_path: Path
) -> None:
    need("swtpm", "swtpm_setup", "passt")
    scene = Scene(tmp_path, "")
    stage = Stage(scene.state)
    try:
        with scene.open() as connection:
            guest = connection.domain_define(xml(TPM.format("") + PASST.format("")))
            for made in (False, True):  # a state that is to be made, and one that is there
                if not made:
                    stage.forget()
                steps = scene.order("domain_start", ref="one")["steps"]
                guest.destroy()
                assert ("make-state" in steps) is not made
                last = steps.index("launch") + 2 if made else steps.index("keep-state") + 1
                for at in range(steps.index("prepare-program"), last + 1):
                    if not made:
                        stage.forget()
                    said = scene.order("domain_start", ref="one", at=at)
                    assert said == {"killed": True, "steps": steps[: at + 1]}
                    connection.recover()
                    stage.gone()
                    assert scene.runs() == [], steps[at]
                    assert not list(scene.state.glob("*/qemu/tpm/*/*/.new")), steps[at]
    finally:
        scene.end()
    stage.gone()


def test_what_makes_a_state_is_ended_with_all_that_it_has_started(
    qemu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("swtpm")
    script(tmp_path, "swtpm_setup", "sleep 60 & exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    scene = Scene(tmp_path, "")
    stage = Stage(scene.state)
    try:
        with scene.open() as connection:
            connection.domain_define(xml(TPM.format("")))
            scene.order("domain_start", ref="one", after=1.5)
            assert "sleep" in stage.processes()
            connection.recover()
            stage.gone()
            assert not list(scene.state.glob("*/qemu/tpm/*/*/.new"))
    finally:
        scene.end()


def test_a_guest_that_ends_by_itself_takes_its_programs_with_it(stage: Stage, tmp_path: Path) -> None:
    need("swtpm", "swtpm_setup", "virtiofsd", "passt")
    connection, site = stage.connect()
    guest = connection.domain_define(xml(TPM.format("") + SHARE.format("", tmp_path) + PASST.format("")))
    guest.start()
    asked(site, guest.ref.key, "quit")
    stage.gone()  # nobody has settled it yet


@pytest.mark.parametrize("planted", ["link", "file"])
def test_what_somebody_has_planted_where_a_state_is_made_is_told_and_not_followed(tmp_path: Path, planted: str) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    place.mkdir()
    if planted == "link":
        (place / states.NEW).symlink_to(other)
    else:
        (place / states.NEW).touch()
    connection, site = Stage(tmp_path / "state").connect()
    state = StateUse(folder=str(place), package="", file="state", make=("/bin/true",))
    left: list[str] = []
    ready: Any = SimpleNamespace(site=site, leave=lambda kind, **_what: left.append(kind))
    use: Any = SimpleNamespace(state=state)
    with connection, pytest.raises(Denied, match="is no folder"):
        states.make(ready, use, -1)
    assert left == []
    nowhere: Any = None
    states.take_back(nowhere, {"folder": str(place / states.NEW)})
    assert os.path.lexists(place / states.NEW)
    assert (other / "kept").exists()


def test_guests_that_start_together_write_the_settings_of_one_authority(tmp_path: Path) -> None:
    connection, site = Stage(tmp_path / "state").connect()
    use = StateUse(folder="", package="", file="", make=(), config=str(tmp_path / "authority/setup.conf"))
    with connection, ThreadPoolExecutor(4) as lanes:
        done = [lanes.submit(states.configure, site, use) for _ in range(200)]
    assert [one.exception() for one in done] == [None] * 200
    assert sorted(path.name for path in (tmp_path / "authority").iterdir()) == ["authority.conf", "setup.conf"]
