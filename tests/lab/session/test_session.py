"""``qemu:///session`` as a user without rights: the whole life of a guest, and the words for what is refused."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyvirt
import pytest
from anyvirt.api import Busy, Denied, Fact, Invalid, Reason, State, Status
from anyvirt.client._generated_sync import Connection
from qemu_stage.small import Small, built

GUEST = (
    "<domain type='kvm'><name>{name}</name><memory unit='MiB'>32</memory><os><type machine='q35'>hvm</type></os>"
    "<features><acpi/></features><devices>{more}</devices></domain>"
)
BRIDGED = "<interface type='bridge'><source bridge='no-such'/><model type='virtio'/></interface>"
ETHERNET = "<interface type='ethernet'><target dev='av0'/><model type='virtio'/></interface>"


@pytest.fixture(autouse=True)
def _not_root() -> None:
    if os.geteuid() == 0:
        pytest.skip("root: session_user.py runs this as a user")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with anyvirt.open("qemu:///session", state_dir=tmp_path / "state") as opened:
        yield opened


def facts(connection: Connection) -> dict[str, Fact]:
    return {fact.name: fact for answer in connection.host_facts().values() for fact in answer.get()}


def test_a_linux_guest_lives_without_any_rights(connection: Connection, tmp_path: Path) -> None:
    small = Small(connection, tmp_path, cards="<interface type='user'><model type='virtio'/></interface>").booted()
    assert small.state() == Status(State.RUNNING, Reason.BOOTED)
    assert "10.0.2.15" in small.run("until ip -4 addr show eth0 | grep 10.0.2.15; do sleep 1; done")
    assert Path(f"/proc/{small.pid()}").stat().st_uid == os.geteuid()
    small.domain.shutdown()
    assert small.off() == Status(State.SHUTOFF, Reason.SHUTDOWN)
    small.end()


def test_the_tour_runs_from_its_definition_to_its_end() -> None:
    built()
    demo = Path(__file__).parents[3] / "examples/demo.py"
    done = subprocess.run([sys.executable, str(demo)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("qemu:///session", "uname -a", "8+0 records out", "demo is shut off (shutdown)", "undefined removed"):
        assert shown in done.stdout, done.stdout


def test_state_is_where_only_the_user_can_read_it() -> None:
    with anyvirt.open("qemu:///session") as connection:
        made = connection.domain_define(GUEST.format(name="mine", more=""))
        places = list((Path.home() / ".local/state/anyvirt").glob("*/qemu/store.db"))
        assert len(places) == 1
        assert places[0].stat().st_mode & 0o777 == 0o600
        assert places[0].parent.stat().st_mode & 0o777 == 0o700
        made.undefine()


def test_the_user_is_told_which_accelerator_and_why(connection: Connection) -> None:
    choice = facts(connection)["accelerator"]
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert "boot sector" in choice.reason
        return
    assert choice.value == "tcg"
    assert choice.reason == (
        f"/dev/kvm: permission denied for user {getpass.getuser()} (an administrator can add them to the group kvm): "
        "using emulation (TCG)"
    )


def test_the_user_is_told_why_a_guest_gets_no_tap(connection: Connection) -> None:
    refused = f"making a tap device: /dev/net/tun: Permission denied for user {getpass.getuser()}"
    hint = "use type='user', let an administrator allow it, or use qemu:///system as root"
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):  # the device is open to all on some, the right is not
        refused = f"user {getpass.getuser()} may not make a tap device with /dev/net/tun (right CAP_NET_ADMIN)"
        hint = "use type='user', or qemu:///system as root"
    else:
        assert facts(connection)["tap devices"].reason == refused
    guest = connection.domain_define(GUEST.format(name="wired", more=ETHERNET))
    (problem,) = guest.preflight()
    assert (problem.code, problem.text, problem.hint) == ("denied", refused, hint)
    with pytest.raises(Invalid) as caught:
        guest.start()
    assert tuple(caught.value.problems) == (problem,)
    assert guest.state().state is State.SHUTOFF


def test_a_bridge_that_is_not_there_is_named(connection: Connection) -> None:
    (problem,) = connection.domain_define(GUEST.format(name="wired", more=BRIDGED)).preflight()
    assert (problem.code, problem.text) == ("interface.not-found", "there is no bridge no-such on this host")


def test_a_dry_run_shows_the_plan_and_everything_that_this_user_lacks(tmp_path: Path) -> None:
    closed, foreign = tmp_path / "closed", tmp_path / "foreign.img"
    closed.mkdir()
    (closed / "a.img").write_bytes(bytes(512))
    foreign.write_bytes(bytes(512))
    for path, mode in ((closed, 0), (foreign, 0o444)):
        path.chmod(mode)
    disk = "<disk type='file'><source file='{}'/><target dev='{}' bus='virtio'/></disk>"
    more = disk.format(closed / "a.img", "vda") + disk.format(foreign, "vdb") + BRIDGED
    more += "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='79'/></serial>"
    (tmp_path / "guest.xml").write_text(GUEST.format(name="blocked", more=more), "utf-8")
    words = [sys.executable, "-m", "anyvirt.cli.main", "create", str(tmp_path / "guest.xml"), "--dry-run"]
    env = {**os.environ, "ANYVIRT_STATE_DIR": str(tmp_path / "state"), "ANYVIRT_URI": "qemu:///session"}
    done = subprocess.run(words, env=env, check=False, capture_output=True, text=True, timeout=60)
    closed.chmod(0o700)
    user = getpass.getuser()
    assert done.returncode == 1, done.stderr
    assert "    -name guest=blocked,debug-threads=on \\\n" in done.stdout
    assert "#   cont\n" in done.stdout
    for told in (
        f"/devices/disk[vda]/source/@file: {closed}/a.img: user {user} may not pass through folder {closed} (right x)",
        f"setfacl -m u:{user}:x {closed}",
        f"/devices/disk[vdb]/source/@file: {foreign}: user {user} may not write it (right w)",
        "there is no bridge no-such on this host",
        f"user {user} may not have port 79 (right CAP_NET_BIND_SERVICE)",
    ):
        assert told in done.stderr
    assert not list((tmp_path / "state").rglob("process.json"))


def test_the_machines_guests_are_roots_and_there_are_three_ways_out() -> None:
    with pytest.raises(Denied) as caught, anyvirt.open("qemu:///system") as connection:
        connection.domain_list()
    assert "sudo" in caught.value.hint
    assert "qemu:///session" in caught.value.hint
    assert "ssh root@localhost anyvirt" in caught.value.hint


@pytest.fixture
def virsh(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Libvirt's own daemon in session mode, with a home of its own; the words that begin a command to it."""
    if not Path("/usr/sbin/libvirtd").exists():
        pytest.skip("libvirtd is not installed")
    folder = tempfile.TemporaryDirectory(prefix="av")  # libvirt's sockets allow no long path
    home = Path(folder.name)
    (home / "run").mkdir(mode=0o700)
    settings = home / ".config/libvirt/qemu.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text('stdio_handler = "file"\n')  # or it would start a daemon for logs, which stays
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    # It probes each emulator that it finds, twenty with all of Debian's packages: let it find one.
    (home / "bin").mkdir()
    (home / "bin/qemu-system-x86_64").symlink_to(shutil.which("qemu-system-x86_64") or pytest.skip("QEMU is missing"))
    daemon = subprocess.Popen(
        ["/usr/sbin/libvirtd"],
        env=os.environ | {"PATH": str(home / "bin")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    socket = home / "run/libvirt/libvirt-sock"
    end = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < end
        assert daemon.poll() is None
        time.sleep(0.05)
    yield ["virsh", "-q", "-c", f"qemu+unix:///session?socket={socket}"]
    daemon.terminate()
    daemon.wait(20)
    folder.cleanup()


def test_what_libvirt_has_is_brought_in_and_what_it_runs_is_left_alone(virsh: list[str], tmp_path: Path) -> None:
    def ask(*words: str) -> str:
        said = subprocess.run([*virsh, *words], check=False, capture_output=True, text=True)
        assert not said.returncode, said.stderr
        return said.stdout

    for name in ("idle", "busy"):
        path = tmp_path / f"{name}.xml"
        path.write_text(GUEST.format(name=name, more="").replace("'kvm'", "'qemu'").replace("q35", "pc"))
        ask("define", str(path))
    ask("start", "--paused", "busy")
    ask("autostart", "idle")
    ask("dominfo", "idle")
    try:
        odd = Path.home() / ".config/libvirt/qemu/odd.xml"
        odd.write_text(GUEST.format(name="odd", more="<teleporter/>"))
        with anyvirt.open("qemu:///session") as connection:
            planned = {one.name: one for one in connection.domain_import(dry_run=True)}
            outcomes = {name: one.outcome for name, one in planned.items()}
            assert outcomes == {"idle": "would define", "busy": "would define", "odd": "refused"}
            assert "teleporter" in planned["odd"].detail
            odd.unlink()
            assert connection.domain_list() == ()
            done = {one.name: one for one in connection.domain_import()}
            assert {name: one.outcome for name, one in done.items()} == {"idle": "defined", "busy": "foreign"}
            assert {one.outcome for one in connection.domain_import()} == {"there already"}
            idle, busy = connection.lookup("idle"), connection.lookup("busy")
            assert idle.uuid == ask("domuuid", "idle").strip()
            assert idle.facts().autostart is True
            assert idle.facts().foreign == ""
            assert busy.facts().foreign.startswith("libvirt (QEMU has pid ")
            with pytest.raises(Busy) as caught:
                busy.start()
            assert "libvirt" in str(caught.value)
            assert ask("domstate", "busy").strip() == "paused"
            idle.start(paused=True)
            idle.destroy()
            ask("destroy", "busy")
            assert busy.facts().foreign == ""
            busy.start(paused=True)
            busy.destroy()
            assert "idle" in ask("list", "--all", "--name"), "nothing of libvirt's was touched"
    finally:
        subprocess.run([*virsh, "destroy", "busy"], check=False, capture_output=True)
