"""The settings file says what it may say, and is told by file, key and way out what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from anyvirt.api import Denied, Domain, Invalid, NotFound, Secret, parse
from anyvirt_qemu import configured
from anyvirt_qemu.configured import Configured
from anyvirt_qemu.readiness import serving

WHOLE = """
user = "qemu"
group = "+107"
ownership = false
sandbox = false

[vnc]
tls = true
sasl = true
socket = true
password = "letters"
certificates = "/etc/pki/vnc"
key = "opens"

[spice]
sasl = true

[chardev]
tls = true

[limits]
core = 0
files = 8192
oom = -10

[hugepages]
mounts = ["/dev/hugepages1G"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "qemu.toml"


def said(file: Path, text: str, *, system: bool = True) -> Configured:
    file.write_text(text)
    file.chmod(0o600)
    return configured.read(file, system=system)


def test_without_a_file_everything_is_as_usual(file: Path) -> None:
    assert configured.read(file, system=True) == Configured()
    assert configured.read(file / "below", system=True) == Configured()


def test_every_key_reaches_whoever_reads_it(file: Path) -> None:
    found = said(file, WHOLE)
    assert (found.user, found.group, found.ownership, found.sandbox) == ("qemu", "+107", False, False)
    assert found.rlimits() == (("RLIMIT_CORE", 0, 0), ("RLIMIT_NOFILE", 8192, 8192))
    assert (found.limits["oom"], found.mounts) == (-10, ("/dev/hugepages1G",))
    domain = parse("<domain type='qemu'><name>one</name></domain>", Domain)
    made = serving.found(domain, set(), file.parent, found)
    assert made.certificates == {"vnc": "/etc/pki/vnc"}
    assert (made.keys, made.passwords) == ({"vnc": b"opens"}, {"vnc": "letters"})
    assert (made.vnc_tls, made.vnc_sasl, made.spice_sasl, made.chardev_tls) == (True, True, True, True)
    assert (made.sockets, made.sandbox) == (frozenset({"vnc"}), False)


class Keeper:
    """Has one secret for TLS."""

    def find(self, use: str, text: str) -> Secret:
        if (use, text) != ("tls", "pki"):
            raise NotFound(text, "secret")
        return Secret("opens")


def test_what_unlocks_a_key_is_a_secret_that_the_host_keeps(file: Path) -> None:
    domain = parse("<domain type='qemu'><name>one</name></domain>", Domain)
    found = said(file, "[vnc]\nsecret = 'pki'\n[nbd]\nsecret = 'other'")
    made = serving.found(domain, set(), file.parent, found, Keeper())
    assert made.keys == {"vnc": b"opens"}
    assert made.locked == {"nbd": f"{file}: nbd.secret: no secret 'other'"}
    nobody = serving.found(domain, set(), file.parent, found)
    assert (nobody.keys, list(nobody.locked)) == ({}, ["nbd", "vnc"])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("usr = 'a'", "there is no setting usr", "user is meant"),
        ("[vnc]\ntsl = true", "there is no setting vnc.tsl", "vnc.tls is meant"),
        ("quite_another = 1", "there is no setting quite_another", "there are user, group"),
        ("sandbox = 'yes'", "sandbox is true or false", "sandbox = ..."),
        ("vnc = true", "vnc is a table", "[vnc]"),
        ("[limits]\nfiles = -1", "limits.files is -1", "from 0"),
        ("[limits]\nfiles = true", "limits.files is a whole number", "files"),
        ("[limits]\noom = 1001", "limits.oom is 1001", "from -1000 to 1000"),
        ("[hugepages]\nmounts = [1]", "hugepages.mounts is a list of texts", "mounts"),
        ("[hugepages]\nmounts = ['here']", "'here', which is no absolute path", "start it with /"),
        ("[nbd]\ncertificates = 'pki'", "'pki', which is no absolute path", "start it with /"),
        ("group = 'a'", "group is given without user", "name the user"),
        ("user = ", "is no TOML", "correct the line"),
    ],
)
def test_what_it_may_not_say_is_told_by_key(file: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        said(file, text)
    assert str(file) in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_users_own_guests_run_as_the_user_whatever_is_written(file: Path) -> None:
    assert said(file, "sandbox = false", system=False).sandbox is False
    with pytest.raises(Invalid, match="user has no meaning") as caught:
        said(file, "user = 'a'", system=False)
    assert "/etc/anyvirt/qemu.toml" in caught.value.hint


def test_a_file_that_others_change_is_not_heeded_and_passwords_are_for_nobody_else(file: Path) -> None:
    file.write_text("sandbox = false")
    file.chmod(0o664)
    with pytest.raises(Denied, match="may change it"):
        configured.read(file, system=True)
    file.chmod(0o644)
    assert configured.read(file, system=True).sandbox is False
    file.write_text("[vnc]\npassword = 'mellon7'")
    with pytest.raises(Denied, match=r"others may read vnc\.password") as caught:
        configured.read(file, system=True)
    assert caught.value.hint == f"chmod 600 {file}"
    assert "mellon7" not in caught.value.message
    assert os.stat(file).st_mode & 0o777 == 0o644
