"""Devices whose plan depends on the host, on its settings, or on another program."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, parse
from anyvirt_qemu.planning import defaults
from anyvirt_qemu.planning.beside import USUAL, Program
from anyvirt_qemu.planning.plan import Plan, Serving
from anyvirt_qemu.readiness import preflight, serving

Guest = Callable[..., str]
Planned = Callable[..., Plan]
CERTIFIED = Serving(certificates={name: f"/pki/{name}" for name in ("chardev", "spice", "vnc")}, ports=(5901, 5902))
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def told(plan: Plan, flag: str) -> list[str]:
    """Every argument of an option."""
    words = plan.argv
    return [words[place + 1] for place, word in enumerate(words) if word == flag]


def made(plan: Plan, flag: str, key: str) -> dict[str, dict[str, Any]]:
    """Options in JSON by one of their members."""
    found = [json.loads(word) for word in told(plan, flag) if word.startswith("{")]
    return {one[key]: one for one in found}


def refused(make: Callable[[], Plan]) -> dict[str, str]:
    """What is wrong with a plan, by path."""
    with pytest.raises(Invalid) as caught:
        make()
    return {problem.path: problem.text for problem in caught.value.problems}


def test_a_connection_is_encrypted_with_certificates_of_the_host(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<serial type='tcp'><source mode='connect' host='h' service='5555' tls='yes'>"
        "<reconnect enabled='yes' timeout='5'/></source></serial>"
        "<serial type='tcp'><source mode='bind' host='::1' service='5556' tls='yes'/></serial>"
        "<serial type='tcp'><source mode='bind' host='h' service='5557' tls='no'/></serial>"
    )
    plan = planned(text, serving=CERTIFIED)
    objects = made(plan, "-object", "id")
    credentials = {"qom-type": "tls-creds-x509", "dir": "/pki/chardev", "verify-peer": True}
    for name, end in (("objcharserial0_tls0", "client"), ("objcharserial1_tls0", "server")):
        assert objects[name] == {**credentials, "id": name, "endpoint": end}
    lines = [line for line in told(plan, "-chardev") if ",id=charserial" in line]
    assert "reconnect-ms=5000,tls-creds=objcharserial0_tls0" in lines[0]
    assert "tls-creds=objcharserial1_tls0" in lines[1]
    assert "tls-creds" not in lines[2]


def test_a_qemu_that_counts_seconds_connects_again_after_seconds(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest(
        "<serial type='unix'><source mode='connect' path='/s'><reconnect enabled='yes' timeout='5'/></source></serial>"
    )
    plan = planned(text, caps=caps(lacking=frozenset({"chardev.reconnect-ms"})))
    assert any(line.startswith("socket,id=charserial0,path=/s,reconnect=5") for line in told(plan, "-chardev"))


def test_settings_of_the_host_encrypt_vnc_and_ask_who_a_client_is(planned: Planned, guest: Guest) -> None:
    text = guest("<graphics type='vnc' port='5903' autoport='no' listen='127.0.0.1'/>")
    settings = Serving(certificates={"vnc": "/pki/vnc"}, keys={"vnc": b"hunter2"}, vnc_tls=True, vnc_sasl=True)
    plan = planned(text, serving=settings)
    assert told(plan, "-vnc") == ["vnc=127.0.0.1:3,tls-creds=vnc-tls-creds0,sasl=on,audiodev=audio1"]
    objects = made(plan, "-object", "id")
    assert objects["vnc-tls-creds0"]["passwordid"] == "vnc-tls-creds0-secret0"
    assert plan.secrets == {"vnc-tls-creds0-secret0": b"aHVudGVyMg=="}
    assert "hunter2" not in " ".join(plan.argv)
    assert "hunter2" not in repr(settings)


def test_certificates_that_nothing_unlocks_are_refused_where_they_are_needed(planned: Planned, guest: Guest) -> None:
    settings = Serving(certificates={"vnc": "/pki/vnc"}, locked={"vnc": "vnc.secret: no secret 'pki'"}, vnc_tls=True)
    text = guest("<graphics type='vnc' port='5903' autoport='no' listen='127.0.0.1'/>")
    assert "vnc.secret: no secret 'pki'" in str(refused(lambda: planned(text, serving=settings)))
    planned(guest(""), serving=settings)


def test_spice_gets_free_ports_and_encrypts_what_is_asked(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<graphics type='spice' autoport='yes'><channel name='main' mode='secure'/>"
        "<channel name='inputs' mode='secure'/><channel name='display' mode='insecure'/></graphics>"
    )
    plan = planned(text, serving=CERTIFIED)
    (line,) = told(plan, "-spice")
    assert line == (
        "port=5901,tls-port=5902,addr=127.0.0.1,disable-ticketing=on,x509-dir=/pki/spice,seamless-migration=on,"
        "tls-channel=main,tls-channel=inputs,plaintext-channel=display"
    )
    found = refused(lambda: planned(text))
    assert found["/devices/graphics[spice]/@port"] == "no free port was found for it"
    assert "encrypted" in found["/devices/graphics[spice]/channel[main]/@mode"]


def test_a_password_of_the_host_is_that_of_screens_without_one(planned: Planned, guest: Guest) -> None:
    text = guest("<graphics type='spice'/><graphics type='vnc' passwd='own'/>")
    plan = planned(text, serving=Serving(passwords={"spice": "theirs", "vnc": "theirs"}))
    assert [step.arguments for step in plan.steps] == [
        {"protocol": "spice", "password": "theirs"},
        {"protocol": "vnc", "password": "own"},
    ]
    assert "theirs" not in " ".join(plan.argv)
    assert "disable-ticketing" not in told(plan, "-spice")[0]


@pytest.mark.parametrize(
    ("window", "display"),
    [
        (
            "<graphics type='sdl' display=':0' xauth='/x' fullscreen='yes'><gl enable='yes'/></graphics>",
            {"type": "sdl", "full-screen": True, "gl": "on"},
        ),
        (
            "<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>",
            {"type": "egl-headless", "rendernode": "/dev/dri/renderD128"},
        ),
        ("<graphics type='dbus' p2p='yes'/>", {"type": "dbus", "p2p": True}),
        ("<graphics type='dbus' address='unix:path=/b,c'/>", {"type": "dbus", "addr": "unix:path=/b,c"}),
    ],
)
def test_a_window_is_the_display_and_there_is_one(
    window: str, display: dict[str, Any], planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    plan = planned(guest(window))
    assert [json.loads(word) for word in told(plan, "-display")] == [display]
    assert plan.env.get("DISPLAY") == (":0" if "sdl" in window else None)
    lacking = frozenset({f"display.{display['type']}"})
    assert "no display" in refused(lambda: planned(guest(window), caps=caps(lacking=lacking))).popitem()[1]
    twice = refused(lambda: planned(guest(f"{window}<graphics type='dbus' p2p='yes'/>")))
    assert any("already" in text for text in twice.values())


def test_a_tpm_of_the_host_is_opened_for_qemu_and_one_outside_is_connected(planned: Planned, guest: Guest) -> None:
    plan = planned(guest("<tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm1'/></backend></tpm>"))
    opened = [(use.kind, use.target) for use in plan.fds if use.kind in {"open", "cancel"}]
    assert opened == [("open", "/dev/tpm1"), ("cancel", "/dev/tpm1")]
    numbers = [use.number for use in plan.fds if use.kind in {"open", "cancel"}]
    line = f"passthrough,id=tpm-tpm0,path=/dev/fdset/{numbers[0]},cancel-path=/dev/fdset/{numbers[1]}"
    assert told(plan, "-tpmdev") == [line]
    assert made(plan, "-device", "id")["tpm0"] == {"driver": "tpm-crb", "tpmdev": "tpm-tpm0", "id": "tpm0"}
    source = "<backend type='external'><source type='unix' mode='connect' path='/run/s,x'/></backend>"
    plan = planned(guest(f"<tpm>{source}</tpm>"))
    assert told(plan, "-tpmdev") == ["emulator,id=tpm-tpm0,chardev=chrtpm0"]
    assert "socket,id=chrtpm0,path=/run/s,,x" in told(plan, "-chardev")


def test_programs_beside_qemu_are_planned_and_told_before_a_start(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest(
        "<tpm><backend type='emulator' version='2.0'/></tpm>"
        "<interface type='user'><mac address='52:54:00:00:00:01'/><backend type='passt'/>"
        "<portForward proto='tcp'><range start='1'/></portForward></interface>"
        "<video><model type='virtio'/><driver name='vhostuser'/></video>",
        extra=SHARED,
    )
    plan = planned(text, caps=caps(binary="/bin/true"))
    assert [(use.title, use.socket) for use in plan.programs] == [
        ("passt-net0", ""),
        ("swtpm-tpm0", "tpm0.sock"),
        ("vhost-user-gpu-video0", ""),
    ]
    numbers = {use.target: str(use.number) for use in plan.fds if use.kind == "pair"}
    assert made(plan, "-netdev", "id")["hostnet0"]["addr"] == {"type": "fd", "str": numbers["passt-net0"]}
    assert f"socket,id=chr-vu-video0,fd={numbers['vhost-user-gpu-video0']}" in told(plan, "-chardev")
    assert "socket,id=chrtpm0,path=/run/q/tpm0.sock" in told(plan, "-chardev")


def test_a_program_that_is_not_installed_is_told_with_its_package_before_a_start(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest(
        "<tpm><backend type='emulator' version='2.0'/></tpm>"
        "<interface type='user'><mac address='52:54:00:00:00:01'/><backend type='passt'/></interface>"
        "<video><model type='virtio'/><driver name='vhostuser'/></video>",
        extra=SHARED,
    )
    programs = {name: Program(f"/nowhere/{name}", USUAL[name].can) for name in USUAL}
    plan = planned(text, caps=caps(binary="/bin/true"), programs=programs)
    problems = {one.path: one for one in preflight.blockers(plan.domain, plan) if "package" in one.text}
    assert set(problems) == {"/devices/interface[52:54:00:00:00:01]", "/devices/tpm[0]", "/devices/video[0]"}
    assert all("apt install" in one.hint and ", or " in one.hint for one in problems.values())


def test_switches_in_other_programs_and_devices_that_speak_virtio(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<interface type='vhostuser'><mac address='52:54:00:00:00:01'/>"
        "<source type='unix' path='/s1' mode='client'><reconnect enabled='yes' timeout='10'/></source>"
        "<model type='virtio'/><driver queues='2'/></interface>"
        "<interface type='vhostuser'><mac address='52:54:00:00:00:02'/>"
        "<source type='unix' path='/s2' mode='server'/><model type='virtio'/></interface>"
        "<interface type='vdpa'><mac address='52:54:00:00:00:03'/><source dev='/dev/vhost-vdpa-0'/></interface>"
    )
    plan = planned(text)
    nets = made(plan, "-netdev", "id")
    assert nets["hostnet0"] == {"type": "vhost-user", "chardev": "charnet0", "queues": 2, "id": "hostnet0"}
    assert nets["hostnet1"] == {"type": "vhost-user", "chardev": "charnet1", "id": "hostnet1"}
    (opened,) = [use for use in plan.fds if use.kind == "open"]
    assert opened.target == "/dev/vhost-vdpa-0"
    assert nets["hostnet2"]["vhostdev"] == f"/dev/fdset/{opened.number}"
    chardevs = told(plan, "-chardev")
    assert "socket,id=charnet0,path=/s1,reconnect-ms=10000" in chardevs
    assert "socket,id=charnet1,path=/s2,server=on" in chardevs
    assert plan.sockets == ("/s2",)
    assert made(plan, "-device", "id")["net0"]["vectors"] == 6


def test_memory_is_shared_by_name_or_through_a_server(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<shmem name='plain' role='master'><model type='ivshmem-plain'/><size unit='M'>8</size></shmem>"
        "<shmem name='bell'><model type='ivshmem-doorbell'/><server path='/s'/>"
        "<msi vectors='4' ioeventfd='on'/></shmem>"
    )
    plan = planned(text)
    region = made(plan, "-object", "id")["shmmem-shmem0"]
    assert (region["mem-path"], region["size"], region["share"]) == ("/dev/shm/plain", 8 << 20, True)
    devices = made(plan, "-device", "id")
    assert (devices["shmem0"]["memdev"], devices["shmem0"]["master"]) == ("shmmem-shmem0", "on")
    assert (devices["shmem1"]["chardev"], devices["shmem1"]["vectors"]) == ("charshmem1", 4)
    assert "socket,id=charshmem1,path=/s" in told(plan, "-chardev")
    wrong = "<shmem name='../x'><model type='ivshmem-plain'/><size unit='M'>3</size></shmem>"
    found = refused(lambda: planned(guest(wrong)))
    assert set(found) == {"/devices/shmem[../x]/@name", "/devices/shmem[../x]/size"}


def test_smart_cards_are_the_hosts_or_made_of_certificates(planned: Planned, guest: Guest) -> None:
    names = "".join(f"<certificate>cert{number},x</certificate>" for number in (1, 2, 3))
    plan = planned(guest(f"<smartcard mode='host-certificates'>{names}</smartcard>"))
    card = made(plan, "-device", "id")["smartcard0"]
    assert (card["backend"], card["cert2"], card["db"]) == ("certificates", "cert2,x", "/etc/pki/nssdb")
    assert made(planned(guest("<smartcard mode='host'/>")), "-device", "id")["smartcard0"]["backend"] == "nss-emulated"
    few = refused(
        lambda: planned(guest("<smartcard mode='host-certificates'><certificate>c</certificate></smartcard>"))
    )
    assert "three certificates" in " ".join(few.values())


def test_input_devices_of_the_host_are_shared_or_given_away(planned: Planned, guest: Guest) -> None:
    text = guest(
        "<input type='evdev'><source dev='/dev/input/event1' grab='all' grabToggle='alt-alt' repeat='on'/></input>"
        "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event2'/></input>"
    )
    plan = planned(text)
    shared = made(plan, "-object", "qom-type")["input-linux"]
    assert shared == {
        "qom-type": "input-linux", "id": "input0", "evdev": "/dev/input/event1", "repeat": True, "grab_all": True,
        "grab-toggle": "alt-alt",
    }  # fmt: skip
    assert made(plan, "-device", "id")["input1"]["evdev"] == "/dev/input/event2"


def test_a_socket_that_libvirt_made_for_a_run_is_not_kept(caps: Callable[..., Any]) -> None:
    text = "<domain type='qemu'><name>web</name><memory>1</memory><devices>{}</devices></domain>"
    for path, kept in (("/run/domain-7-web/vnc.sock", False), ("/run/web/vnc.sock", True)):
        screen = f"<graphics type='vnc' socket='{path}'><listen type='socket' socket='{path}'/></graphics>"
        domain = defaults.complete(parse(text.format(screen), Domain), caps(), random.Random(1).randbytes)
        (found,) = domain.graphics
        assert (found.socket == path) is kept
        assert (found.listens[0].socket == path) is kept


def test_certificates_are_where_libvirt_or_qemu_has_them_and_ports_are_free(tmp_path: Path) -> None:
    for name in ("libvirt-vnc", "qemu"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca-cert.pem").touch()
    text = "<domain type='qemu'><name>g</name><devices>{}</devices></domain>"
    auto = parse(text.format("<graphics type='spice' autoport='yes'/><graphics type='vnc' port='5901'/>"), Domain)
    found = serving.found(auto, {5900, 5902}, tmp_path)
    assert found.certificates["vnc"].endswith("/libvirt-vnc")
    assert found.certificates["spice"].endswith("/qemu")
    assert found.ports == (5903, 5904)
    nothing = serving.found(parse(text.format(""), Domain), {5900}, tmp_path / "none")
    assert nothing == Serving()
