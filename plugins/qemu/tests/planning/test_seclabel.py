"""Labels say who QEMU is and which files of the host are given to it; what they cannot mean is refused by path."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, heeded, parse
from anyvirt_qemu.configured import Configured
from anyvirt_qemu.devices.seclabel import host_labels
from anyvirt_qemu.planning.inactive import inactive
from anyvirt_qemu.planning.plan import Account, NodeUse, Plan, Serving
from anyvirt_qemu.readiness import account

Planned = Callable[..., Plan]
Guest = Callable[..., str]
WHO = Account(107, 108, (108,), "somebody", {"a:b": (1, 2), "no:body": None})
DISK = "<disk type='file'><driver type='{}'/><source file='{}'>{}</source><target dev='{}'/>{}</disk>"
DAC = "<seclabel model='dac' {}/>"


def labelled(text: str, label: str) -> str:
    return text.replace("</domain>", f"{label}</domain>")


def owners(plan: Plan) -> dict[str, tuple[int, int] | None]:
    return {use.path: use.owner for use in plan.files}


def test_every_file_that_qemu_opens_is_found_once_with_how_it_is_opened(planned: Planned, guest: Guest) -> None:
    devices = (
        DISK.format("qcow2", "/top.qcow2", "", "vda", "") + DISK.format("raw", "/cd.iso", "", "vdb", "<readonly/>")
        + "<serial type='file'><source path='/s.txt'/></serial><serial type='pipe'><source path='/p'/></serial>"
        + "<channel type='unix'><source mode='connect' path='/c.sock'/><target type='virtio' name='a'/>"
        + "<log file='/c.log'/></channel><rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>"
    )  # fmt: skip
    text = guest(devices).replace("</os>", "<kernel>/k</kernel><initrd>/i</initrd></os>")
    chain = (NodeUse("", "file", "/top.qcow2", "qcow2"), NodeUse("", "file", "/base.img", "raw"))
    plan = planned(text, account=WHO, chains={"vda": chain})
    found = {use.path: (use.write, use.make, use.optional) for use in plan.files}
    assert found == {
        "/k": (False, False, False),
        "/i": (False, False, False),
        "/top.qcow2": (True, False, False),
        "/base.img": (False, False, False),
        "/cd.iso": (False, False, False),
        "/s.txt": (True, True, False),
        "/p.in": (True, False, True),
        "/p.out": (True, False, True),
        "/p": (True, False, True),
        "/c.sock": (True, False, True),
        "/c.log": (True, True, False),
        "/dev/hwrng": (False, False, False),
    }
    assert set(owners(plan).values()) == {(107, 108)}
    assert planned(text, chains={"vda": chain}).files == ()


@pytest.mark.parametrize(
    ("domain", "given"),
    [
        ("<seclabel type='dynamic' model='dac'/>", True),
        ("<seclabel type='dynamic' model='dac' relabel='no'/>", False),
        ("<seclabel type='static' model='dac'><label>a:b</label></seclabel>", False),
        ("<seclabel type='static' model='dac' relabel='yes'><label>a:b</label></seclabel>", True),
        ("<seclabel type='none' model='dac'/>", False),
        ("<seclabel type='none'/>", False),
        ("<seclabel type='dynamic' model='selinux'/>", True),
        ("", True),
    ],
)
def test_files_change_hands_where_the_guest_is_labelled(
    planned: Planned, guest: Guest, domain: str, given: bool
) -> None:
    plan = planned(labelled(guest(DISK.format("raw", "/a", "", "vda", "")), domain), account=WHO)
    assert owners(plan) == {"/a": (107, 108) if given else None}
    settled = planned(labelled(guest(DISK.format("raw", "/a", "", "vda", "")), domain), account=_keeping(WHO))
    assert owners(settled) == {"/a": None}


def _keeping(who: Account) -> Account:
    return Account(who.uid, who.gid, who.groups, who.name, who.labels, gives=False)


def test_an_image_has_a_label_of_its_own_and_what_is_below_shares_it(planned: Planned, guest: Guest) -> None:
    devices = DISK.format("raw", "/kept", DAC.format("relabel='no'"), "vda", "")
    devices += DISK.format("qcow2", "/named", "<seclabel model='dac'><label>a:b</label></seclabel>", "vdb", "")
    chain = (NodeUse("", "file", "/named", "qcow2"), NodeUse("", "file", "/base", "raw"))
    assert owners(planned(guest(devices), account=WHO, chains={"vdb": chain})) == {
        "/kept": None,
        "/named": (1, 2),
        "/base": (1, 2),
    }


def test_the_live_definition_says_who_qemu_is_and_the_stored_one_does_not(planned: Planned, guest: Guest) -> None:
    (shown,) = planned(guest(), account=WHO).domain.seclabels
    assert (shown.type, shown.label, shown.imagelabel) == ("dynamic", "+107:+108", "+107:+108")
    assert planned(guest()).domain.seclabels == ()
    stored = inactive(planned(guest(), account=WHO).domain).seclabels
    assert [(label.label, label.imagelabel) for label in stored] == [(None, None)]
    static = labelled(guest(), "<seclabel type='static' model='dac'><label>a:b</label></seclabel>")
    (shown,) = planned(static, account=WHO).domain.seclabels
    assert (shown.label, shown.imagelabel) == ("+107:+108", None)


@pytest.mark.parametrize(
    ("device", "domain", "who", "path"),
    [
        (DAC.format("relabel='yes'"), "<seclabel type='none' model='dac'/>", WHO, "relabel"),
        ("<seclabel model='dac'><label>no:body</label></seclabel>", "", WHO, "label"),
        ("<seclabel model='dac'><label>a:b</label></seclabel>", "", None, "label"),
    ],
)
def test_labels_of_devices_that_nobody_can_give_are_refused(
    planned: Planned, guest: Guest, device: str, domain: str, who: Account | None, path: str
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(labelled(guest(DISK.format("raw", "/a", device, "vda", "")), domain), account=who)
    (problem,) = caught.value.problems
    assert problem.path.startswith("/devices/disk[vda]/source/seclabel[dac]")
    assert problem.path.endswith(path)
    assert problem.hint


def test_a_static_label_has_to_name_somebody(planned: Planned, guest: Guest) -> None:
    with pytest.raises(Invalid) as caught:
        planned(labelled(guest(), "<seclabel type='static' model='dac'/>"))
    assert [problem.path for problem in caught.value.problems] == ["/seclabel[dac]/label"]


def test_labels_of_models_that_only_the_host_knows_are_told_by_path(guest: Guest) -> None:
    device = "<seclabel model='selinux'><label>x</label></seclabel>"
    text = labelled(guest(DISK.format("raw", "/a", device, "vda", "")), "<seclabel type='dynamic' model='selinux'/>")
    assert list(host_labels(heeded(parse(text, Domain)))) == [
        ("/seclabel[selinux]", "selinux"),
        ("/devices/disk[vda]/source/seclabel[selinux]", "selinux"),
    ]


def who(text: str = "", **changes: Any) -> tuple[Account | None, list[str], list[str]]:
    label = text and f"<seclabel {text}</seclabel>"
    domain = parse(f"<domain type='qemu'><name>one</name>{label}</domain>", Domain)
    found, problems, told = account.chosen(domain, Configured(**changes), system=True, name="no-such-user-here")
    return found, [problem.path for problem in problems], told


def test_the_label_comes_first_then_the_settings_then_the_account_then_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody")
    static = "type='static' model='dac'><label>+4711:+4712</label>"
    found, _, _ = who(static, user="daemon")
    assert found == Account(4711, 4712, (4712,), "4711")
    found, _, _ = who("type='dynamic' model='dac'><baselabel>+4711:+4712</baselabel>")
    assert found is not None
    assert (found.uid, found.gid) == (4711, 4712)
    found, _, _ = who("type='dynamic' model='dac'>", user="daemon", ownership=False)
    assert found is not None
    assert (found.name, found.uid, found.gives) == ("daemon", 1, False)
    domain = parse("<domain type='qemu'><name>one</name></domain>", Domain)
    found, _, _ = account.chosen(domain, Configured(), system=True, name="daemon")
    assert found is not None
    assert (found.name, found.gives) == ("daemon", True)
    assert account.chosen(domain, Configured(), system=False, name="daemon") == (None, [], [])
    found, _, told = who()
    assert found is None
    assert "useradd --system" in told[0]
    assert who("type='static' model='dac'><label>root:root</label>") == (None, [], [])
    assert who(user="root") == (None, [], [])


@pytest.mark.parametrize(
    "text", ["nobody-is-called-so:+1", "+1:nobody-is-called-so", "+1", "+1:+2:+3", "+99999999999:+1"]
)
def test_a_label_that_names_nobody_is_told_by_path(text: str) -> None:
    found, paths, _ = who(f"type='static' model='dac'><label>{text}</label>")
    assert found is None
    assert paths == ["/seclabel[dac]/label"]


@pytest.mark.parametrize(("user", "group"), [("nobody-is-called-so", ""), ("+4711", ""), ("daemon", "no-such-group")])
def test_settings_that_name_nobody_are_told_with_their_file(user: str, group: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody")
    with pytest.raises(Invalid, match=r"qemu\.toml: user"):
        who(user=user, group=group, file="/etc/anyvirt/qemu.toml")


def test_what_others_use_too_is_never_given_and_has_to_be_open(planned: Planned, guest: Guest) -> None:
    devices = (
        "<filesystem type='mount'><source dir='/share'/><target dir='x'/></filesystem>"
        "<graphics type='vnc' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics>"
        "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='5555' tls='yes'/></serial>"
    )
    serving = Serving(certificates={"chardev": "/pki"})
    found = {use.path: (use.owner, use.optional) for use in planned(guest(devices), account=WHO, serving=serving).files}
    assert found == {
        "/share": (None, False),
        "/pki/ca-cert.pem": (None, False),
        "/pki/server-cert.pem": (None, True),
        "/pki/server-key.pem": (None, True),
    }
