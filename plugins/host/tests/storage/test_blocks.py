"""What definitions of pools of devices and servers say, and what they cannot; no tool is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Document, Invalid, NotFound, Output, Pool, Run, Secret, Volume
from anyvirt_host.storage.backend import backend_of
from anyvirt_host.storage.kinds.iscsi import IscsiPool
from anyvirt_host.storage.kinds.logical import wanted
from anyvirt_host.storage.kinds.maker import alive, maker
from anyvirt_host.storage.kinds.scsi import ScsiPool
from anyvirt_host.storage.site import Live

MNT = "<target><path>/mnt</path></target>"
FS = "xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'"
PASSWORD = f"<fs:mount_opts {FS}><fs:option name='password=x'/></fs:mount_opts>"
Read = Callable[[str], Live]
PORTS = (
    "host5 0x2000000000000001 0x1000000000000001 0x2001000000000001 0 4\n"
    "host6 0x2000000000000002 0x1000000000000002 0x2001000000000002 4 4\n"
)


def idle(*argv: str, **_: Any) -> Output:
    raise AssertionError(argv)


@pytest.fixture
def read() -> Read:
    """What a back-end makes of a pool's inner XML."""

    def made(text: str) -> Live:
        kind, _, rest = text.partition(" ")
        document: Document[Pool] = Document(f"<pool type='{kind}'><name>p</name>{rest}</pool>")
        return backend_of(kind, idle).live(document.model)

    return made


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("logical <source><name>a b</name></source>", "/source/name"),
        ("logical <source><name>vg</name><format type='ext4'/></source>", "/source/format/@type"),
        ("logical <source><name>vg</name></source><target><path>/dev/other</path></target>", "/target/path"),
        ("logical <source><name>vg</name><device path='sdb'/></source>", "/source/device/@path"),
        (f"netfs <source><dir path='/a'/></source>{MNT}", "/source/host"),
        (f"netfs <source><host name='-o'/><dir path='/a'/></source>{MNT}", "/source/host"),
        (f"netfs <source><host name='h'/></source>{MNT}", "/source/dir/@path"),
        (
            f"netfs <source><host name='h'/><dir path='/a'/><format type='cifs'/><protocol ver='4'/></source>{MNT}",
            "/source/protocol/@ver",
        ),
        (
            f"netfs <source><host name='h'/><dir path='a'/><format type='cifs'/></source>{MNT}{PASSWORD}",
            "/fs:mount_opts",
        ),
        (
            f"netfs <source><host name='h'/><dir path='a'/><format type='cifs'/><auth username='joe'/></source>{MNT}",
            "/source/auth",
        ),
        ("iscsi <source><device path='iqn.2026-01.a:b'/></source>", "/source/host"),
        ("iscsi <source><host name='h'/><device path='../../x'/></source>", "/source/device"),
        ("scsi <source/>", "/source/adapter"),
        ("scsi <source><adapter type='scsi_host' name='sda'/></source>", "/source/adapter/@name"),
        ("scsi <source><adapter name='host1'/></source><target><path>/srv</path></target>", "/target/path"),
        ("mpath <target><path>/dev/disk</path></target>", "/target/path"),
    ],
)
def test_a_definition_that_cannot_be_is_refused_by_path(read: Read, text: str, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(text)
    assert path in {problem.path for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("text", "path", "source"),
    [
        ("logical <source><name>vg</name></source><target><path>/dev/vg</path></target>", "/dev/vg", ""),
        ("logical", "/dev/p", ""),
        (
            f"netfs <source><host name='::1'/><dir path='/a/'/><format type='nfs'/></source>{MNT}",
            "/mnt",
            "[::1]:/a",
        ),
        (
            f"netfs <source><host name='h'/><dir path='/share/'/><format type='cifs'/></source>{MNT}",
            "/mnt",
            "//h/share",
        ),
        ("scsi <source><adapter name='host3'/></source>", "/dev/disk/by-path", "scsi_host3"),
        (
            "scsi <source><adapter type='fc_host' wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'/></source>",
            "/dev/disk/by-path",
            "fc_host 20000000c9831b4b 10000000c9831b4b",
        ),
        (
            "iscsi <source><host name='h'/><device path='iqn.1-01.a:b'/></source><target><path>/dev/sd</path></target>",
            "/dev/sd",
            "iscsi h:3260 iqn.1-01.a:b",
        ),
        ("mpath", "/dev/mapper", ""),
    ],
)
def test_a_definition_says_what_the_pool_is_made_of(read: Read, text: str, path: str, source: str) -> None:
    live = read(text)
    assert (live.path, live.source) == (path, source)


@pytest.mark.parametrize("name", ["a b", "-a", ".", "snapshot1", "a_tdata", "x" * 80, ".anyvirt-a"])
def test_a_name_that_lvm_does_not_take_is_refused(name: str) -> None:
    document: Document[Volume] = Document(f"<volume><name>{name}</name><capacity>1</capacity></volume>")
    with pytest.raises(Invalid, match="name"):
        wanted(document.model)


def test_a_maker_is_told_from_others() -> None:
    who = maker()
    assert alive(who) is True
    place, pid, began = who.split(".")
    assert alive(f"{place}.{pid}.{int(began, 16) + 1:x}") is False
    assert alive(f"{place[:8]}00000000.{pid}.{began}") is False
    assert alive(f"00000000{place[8:]}.{pid}.{began}") is None
    assert alive("somebody") is None


def test_a_virtual_port_is_made_on_a_parent_with_room_and_removed_again(read: Read) -> None:
    written: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> Output:
        if argv[0] == "sh" and argv[-1].startswith("/sys/class/fc_host/"):
            written.append(argv[-2:])
        elif argv[0] == "sh" and "fc_host" in argv[2]:
            more = "host9 0x20000000c9831b4b 0x10000000c9831b4b 0x2001000000000001 - -\n" if written else ""
            return Output(0, (PORTS + more).encode())
        return Output(0)

    live = read("scsi <source><adapter type='fc_host' wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'/></source>")
    pool = ScsiPool(run)
    started = pool.start(live)
    assert pool.adapter(started) == 9
    pool.stop(started)
    words = "10000000c9831b4b:20000000c9831b4b"
    assert written == [
        (words, "/sys/class/fc_host/host5/vport_create"),
        (words, "/sys/class/fc_host/host5/vport_delete"),
    ]


def test_a_virtual_port_is_not_made_where_none_has_room(read: Read) -> None:
    def run(*argv: str, **_: Any) -> Output:
        return Output(0, PORTS.splitlines()[1].encode() if argv[0] == "sh" else b"")

    live = read("scsi <source><adapter type='fc_host' wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'/></source>")
    with pytest.raises(NotFound, match="virtual port"):
        ScsiPool(run).start(live)


def test_a_password_is_never_a_word_of_a_command() -> None:
    asked: list[tuple[tuple[str, ...], Any]] = []

    def run(*argv: str, input: Any = None, **_: Any) -> Output:  # noqa: A002
        asked.append((argv, input))
        return Output(0, b"127.0.0.1 STREAM\n" if argv[0] == "getent" else b"")

    def secret(use: str, text: str) -> Secret:
        assert (use, text) == ("iscsi", "storage")
        return Secret("open-sesame")

    document: Document[Pool] = Document(
        "<pool type='iscsi'><name>p</name><source><host name='h'/><device path='iqn.2026-01.a:b'/>"
        "<auth type='chap' username='joe'><secret usage='storage'/></auth></source></pool>"
    )
    tool: Run = run
    pool = IscsiPool(tool, secret)
    with pytest.raises(Exception, match="logged out"):  # nobody is: the tools are none
        pool.start(pool.live(document.model))
    assert not [argv for argv, _ in asked if any("sesame" in word for word in argv)]
    assert [given.reveal().splitlines()[-1] for _, given in asked if given] == [
        "node.session.auth.password = open-sesame"
    ]
