"""How programs beside QEMU are started, as far as a plan says; which there are, as they tell themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Invalid
from anyvirt_qemu.planning.beside import USUAL, Program, ProgramUse
from anyvirt_qemu.readiness import installed

Guest = Callable[..., str]
Planned = Callable[..., Any]
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
TPM = "<tpm model='tpm-crb'><backend type='emulator' {}>{}</backend></tpm>"
TIS = TPM.replace("tpm-crb", "tpm-tis")
FS = "<filesystem><driver type='virtiofs'/>{}<source dir='{}'/><target dir='tag'/>{}</filesystem>"
OLD = {"virtiofsd": Program("/usr/lib/qemu/virtiofsd", frozenset({"--fd", "--thread-pool-size"}))}
EVERY = frozenset(
    {"--shared-dir", "--cache", "--sandbox", "--xattr", "--readonly", "--thread-pool-size", "--rlimit-nofile"}
    | {"--uid-map", "--gid-map", "--log-level"}
)
NEW = {"virtiofsd": Program("/usr/libexec/virtiofsd", EVERY)}


@pytest.fixture
def use(planned: Planned, guest: Guest) -> Callable[..., ProgramUse]:
    """The one program beside a guest with these devices."""

    def make(devices: str, **options: Any) -> ProgramUse:
        (one,) = planned(guest(devices, extra=SHARED), **options).programs
        assert isinstance(one, ProgramUse)
        return one

    return make


def test_a_tpm_is_emulated_in_the_folder_of_its_state(use: Callable[..., ProgramUse]) -> None:
    one = use(TPM.format("version='2.0'", "<active_pcr_banks><sha1/><sha512/></active_pcr_banks>"))
    assert one.argv == (
        "/usr/bin/swtpm", "socket", "--tpmstate", "dir=.,mode=0600", "--tpm2",
        "--ctrl", "type=unixio,fd=10", "--terminate",
    )  # fmt: skip
    assert one.state is not None
    assert one.cwd == one.state.folder
    assert one.state.folder.endswith("/2.0")
    assert one.state.make == (
        "/usr/bin/swtpm_setup", "--tpm-state", ".", "--tpm2", "--create-ek-cert", "--create-platform-cert",
        "--lock-nvram", "--pcr-banks", "sha1,sha512",
    )  # fmt: skip
    assert one.state.again[-3:] == ("--reconfigure", "--pcr-banks", "sha1,sha512")


def test_a_tpm_of_version_1_2_has_a_state_of_its_own_and_one_bank(
    use: Callable[..., ProgramUse], planned: Planned, guest: Guest
) -> None:
    one = use(TIS.format("version='1.2'", ""))
    assert "--tpm2" not in one.argv
    assert one.state is not None
    assert one.state.folder.endswith("/1.2")
    assert "--tpm2" not in one.state.make
    with pytest.raises(Invalid, match="one bank"):
        planned(guest(TIS.format("version='1.2'", "<active_pcr_banks><sha256/></active_pcr_banks>")))
    with pytest.raises(Invalid, match="emulates no TPM"):
        planned(guest(TIS.format("version='1.2'", "")), programs={"swtpm": Program("/x", frozenset({"tpm-2.0"}))})


def test_the_secret_of_a_tpm_goes_by_descriptor_and_is_refused_where_nobody_has_it(
    use: Callable[..., ProgramUse], planned: Planned, guest: Guest
) -> None:
    secret = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
    one = use(TPM.format("version='2.0'", f"<encryption secret='{secret}'/>"))
    assert one.secret == b"three"
    assert "three" not in repr(one)
    assert "pwdfd=11,mode=aes-256-cbc" in one.argv
    assert one.state is not None
    assert one.state.make[4:6] == ("--pwdfile-fd", "11")
    with pytest.raises(Invalid) as caught:
        planned(guest(TPM.format("version='2.0'", f"<encryption secret='{secret[:-1]}e'/>")))
    assert [problem.path for problem in caught.value.problems] == ["/devices/tpm[0]/backend/encryption/@secret"]


def test_a_new_tpm_has_the_profile_that_is_asked_for(
    use: Callable[..., ProgramUse], planned: Planned, guest: Guest
) -> None:
    device = TPM.format("version='2.0'", "<profile source='local:restricted' removeDisabled='check' name='x'/>")
    programs = {"swtpm_setup": Program("/s", frozenset({"cmdarg-profile"}))}
    one = use(device, programs=programs)
    assert one.state is not None
    assert one.state.make[-4:] == ("--profile-name", "local:restricted", "--profile-remove-disabled", "check")
    with pytest.raises(Invalid, match="knows no profiles"):
        planned(guest(device))


def test_a_folder_is_served_in_the_words_of_either_server(use: Callable[..., ProgramUse]) -> None:
    binary = (
        "<binary xattr='on'><cache mode='always'/><sandbox mode='chroot'/>{}<thread_pool size='16'/>"
        "<openfiles max='99'/></binary>"
    )
    old = use(FS.format(binary.format("<lock posix='off' flock='on'/>"), "/a,b\\c", ""), programs=OLD)
    assert old.argv == (
        "/usr/lib/qemu/virtiofsd", "--fd=10", "-o",
        "source=/a\\,b\\\\c,log_level=warn,cache=always,sandbox=chroot,xattr,no_posix_lock,flock",
        "--rlimit-nofile=99", "--thread-pool-size=16",
    )  # fmt: skip
    assert old.package == "qemu-system-common"
    idmap = "<idmap><uid start='0' target='1000' count='1'/><gid start='0' target='100' count='2'/></idmap><readonly/>"
    new = use(FS.format(binary.format("").replace("always", "none"), "/a,b\\c", idmap), programs=NEW)
    assert new.argv == (
        "/usr/libexec/virtiofsd", "--fd=10", "--shared-dir", "/a,b\\c", "--log-level", "error",
        "--cache", "never", "--sandbox", "chroot",
        "--rlimit-nofile", "99", "--thread-pool-size", "16", "--xattr", "--readonly",
        "--uid-map", ":0:1000:1:", "--gid-map", ":0:100:2:",
    )  # fmt: skip
    assert new.package == "virtiofsd"
    assert new.folders == ("/a,b\\c",)


def test_a_server_that_needs_root_gets_a_user_namespace(use: Callable[..., ProgramUse]) -> None:
    programs = {"virtiofsd": Program("/v", frozenset(), rooted=True)}
    assert use(FS.format("", "/a", ""), programs=programs).argv[:5] == (
        "/usr/bin/unshare", "--user", "--map-root-user", "/v", "--fd=10",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "programs", "path"),
    [
        (FS.format("", "/a", "<readonly/>"), OLD, "/devices/filesystem[tag]/readonly"),
        (FS.format("", "/a", "<idmap><uid start='0' target='1' count='1'/></idmap>"), OLD,
         "/devices/filesystem[tag]/idmap"),
        (FS.format("<binary><lock posix='on'/></binary>", "/a", ""), NEW,
         "/devices/filesystem[tag]/binary/lock/@posix"),
        (FS.format("", "/a", "<readonly/>"), {"virtiofsd": Program("/v", frozenset({"--shared-dir"}))},
         "/devices/filesystem[tag]/readonly"),
    ],
)  # fmt: skip
def test_what_a_server_cannot_do_is_refused_by_its_path(
    planned: Planned, guest: Guest, devices: str, programs: Any, path: str
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest(devices, extra=SHARED), programs=programs)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_ports_of_the_host_reach_a_guest_behind_passt(use: Callable[..., ProgramUse]) -> None:
    card = (
        "<interface type='user'><mac address='52:54:00:00:00:01'/><backend type='passt' logFile='/var/log/x,y'/>"
        "<source dev='eth42'/><ip address='172.17.2.0' family='ipv4' prefix='24'/>"
        "<ip address='2001:db8::feed' family='ipv6'/>"
        "<portForward proto='tcp' address='2001:db8::1'><range start='22' to='2022'/>"
        "<range start='1000' end='1050'/><range start='1020' exclude='yes'/></portForward>"
        "<portForward proto='udp' address='1.2.3.4' dev='eth0'><range start='5000' end='5020' to='6000'/></portForward>"
        "<portForward proto='tcp'/><portForward proto='tcp' dev='lo'/></interface>"
    )
    assert use(card).argv == (
        "/usr/bin/passt", "--foreground", "--one-off", "--fd", "10", "--log-file", "/var/log/x,y",
        "--interface", "eth42", "--address", "172.17.2.0", "--netmask", "24", "--address", "2001:db8::feed",
        "--tcp-ports", "2001:db8::1/22:2022,1000-1050,~1020", "--udp-ports", "1.2.3.4%eth0/5000-5020:6000-6020",
        "--tcp-ports", "all", "--tcp-ports", "%lo/1-65535",
    )  # fmt: skip


def test_a_socket_too_far_away_is_named_from_where_qemu_starts(planned: Planned, guest: Guest, paths: Any) -> None:
    far = replace(paths, guest=f"/run/{'x' * 100}")
    plan = planned(guest(TPM.format("version='2.0'", "")), paths=far)
    assert "socket,id=chrtpm0,path=tpm0.sock" in plan.argv


def test_the_first_description_of_a_server_counts_and_a_users_own_comes_before_it(tmp_path: Path) -> None:
    for folder, name, kind, binary in (
        ("far", "10-gone.json", "fs", "/nowhere"),
        ("far", "50-fs.json", "fs", "/bin/sh"),
        ("far", "40-gpu.json", "gpu", "/bin/true"),
        ("near", "50-fs.json", "fs", "/bin/cat"),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(json.dumps({"type": kind, "binary": binary}))
    (tmp_path / "far/00-bad.json").write_text("{")
    folders = [str(tmp_path / "none"), str(tmp_path / "near"), str(tmp_path / "far")]
    assert installed.described("fs", folders) == "/bin/cat"
    assert installed.described("fs", folders[2:]) == "/bin/sh"
    assert installed.described("gpu", folders) == "/bin/true"
    assert installed.described("input", folders) == ""


def test_a_users_own_authority_is_that_of_the_host_but_for_its_place() -> None:
    lines = [
        "create_certs_tool= /usr/bin/swtpm_localca",
        "create_certs_tool_config = /etc/x",
        "active_pcr_banks = sha256",
    ]
    files = installed.authority(lines, Path("/s/a"))
    assert files["/s/a/setup.conf"].splitlines() == [
        lines[0],
        lines[2],
        "create_certs_tool_config = /s/a/authority.conf",
    ]
    assert "signingkey = /s/a/signkey.pem" in files["/s/a/authority.conf"]


def test_what_is_not_installed_is_planned_as_debian_has_it(use: Callable[..., ProgramUse]) -> None:
    assert use(FS.format("", "/a", ""), programs={}).path == USUAL["virtiofsd"].path


def test_a_screen_without_a_bus_gets_one_of_its_own(planned: Planned, guest: Guest) -> None:
    plan = planned(guest("<graphics type='dbus'/>"))
    (use,) = plan.programs
    assert use.argv[:2] == ("/usr/bin/dbus-daemon", "--config-file=/proc/self/fd/11")
    assert use.binds
    assert use.unprivileged
    assert '"addr":"unix:path=/run/q/dbus.sock"' in plan.argv[plan.argv.index("-display") + 1]


def test_a_place_for_a_state_that_cannot_be_made_is_told_before_a_start(
    planned: Planned, guest: Guest, paths: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    programs = {name: Program("/bin/true", USUAL[name].can) for name in ("swtpm", "swtpm_setup")}
    device = guest(TPM.format("version='2.0'", ""))
    assert not list(installed.blockers(planned(device, programs=programs, paths=replace(paths, tpm=str(tmp_path)))))
    closed = replace(paths, tpm=str(tmp_path / "file/here"))
    (problem,) = installed.blockers(planned(device, programs=programs, paths=closed))
    assert (problem.path, problem.code) == ("/devices/tpm[0]", "denied")
    assert str(tmp_path / "file") in problem.text


def test_a_user_who_may_have_no_namespace_is_told_before_a_start(
    planned: Planned, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {"virtiofsd": Program("/bin/true", frozenset(), rooted=True)}
    plan = planned(guest(FS.format("", tmp_path, ""), extra=SHARED), programs=programs)
    monkeypatch.setattr(installed, "CLOSED", {})
    assert not list(installed.blockers(plan))
    setting = tmp_path / "userns"
    setting.write_text("0\n")
    monkeypatch.setattr(installed, "CLOSED", {str(setting): "0"})
    (problem,) = installed.blockers(plan)
    assert problem.path == "/devices/filesystem[tag]"
    assert str(setting) in problem.text
