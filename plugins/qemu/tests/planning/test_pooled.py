"""Volumes of pools on servers: QEMU reaches them by itself, with the credentials that the pool has."""

from __future__ import annotations

from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from anyvirt.api import Document, NotFound, Pool, Problem, Secret, Volume
from anyvirt_qemu.readiness import pooled, unlocking

ISCSI = """<pool type='{kind}'><name>p</name><source><host name='san'/><device path='iqn.2001-04.com.example:disks'/>
<auth type='chap' username='me'><secret usage='san'/></auth>
<initiator><iqn name='iqn.2001-04.com.example:me'/></initiator>
</source><target><path>/dev/disk/by-path</path></target></pool>"""
RBD = """<pool type='rbd'><name>p</name><source><host name='one' port='6790'/><host name='two'/><name>images</name>
<auth type='ceph' username='admin'><secret uuid='11111111-2222-4333-8444-555555555555'/></auth></source></pool>"""
GLUSTER = """<pool type='gluster'><name>p</name><source><host name='one'/><dir path='/deep/down'/><name>vol</name>
</source></pool>"""
UNIT = "<volume type='{kind}'><name>unit:0:0:3</name><target><path>/dev/disk/by-path/x-lun-3</path></target></volume>"
IMAGE = "<volume type='network'><name>disk</name><target><path>images/disk</path><format type='raw'/></target></volume>"


class Calls:
    """A connection with one active pool and one volume in it."""

    supports = frozenset(pooled.HOOKS)

    def __init__(self, pool: str, volume: str) -> None:
        model: Document[Pool] = Document(pool)
        self.pool = SimpleNamespace(info=lambda: SimpleNamespace(active=True), config=lambda: model)
        kept: Document[Volume] = Document(volume)
        path = kept.model.target.path if kept.model.target else ""
        self.volume = SimpleNamespace(config=lambda: kept, path=lambda: path)

    def lookup_pool(self, name: str) -> Any:
        if name != "p":
            raise NotFound(name, "pool")
        return self.pool

    def lookup_volume(self, pool: Any, name: str) -> Any:
        assert pool is self.pool
        return self.volume


def placed(pool: str, volume: str, mode: str = "", image: str = "raw") -> tuple[Any, list[Problem]]:
    words = f" mode='{mode}'" if mode else ""
    xml = (
        f"<domain type='qemu'><name>one</name><devices><disk type='volume'><driver name='qemu' type='{image}'/>"
        f"<source pool='p' volume='v'{words}/><target dev='vda'/></disk></devices></domain>"
    )
    document: Document[Any] = Document(xml)
    calls: Any = Calls(pool, volume)
    domain, problems, _ = pooled.placed(document.model, calls)
    return domain.disks[0], problems


@pytest.mark.parametrize(
    ("kind", "mode", "type_"),
    [("iscsi-direct", "", "network"), ("iscsi-direct", "direct", "network"), ("iscsi", "direct", "block")],
)
def test_a_unit_of_a_target_is_reached_with_its_pools_credentials(kind: str, mode: str, type_: str) -> None:
    disk, problems = placed(ISCSI.format(kind=kind), UNIT.format(kind=type_), mode)
    assert problems == []
    source = disk.source
    assert (disk.type, source.protocol, source.name) == ("network", "iscsi", "iqn.2001-04.com.example:disks/3")
    assert [(host.name, host.port) for host in source.hosts] == [("san", 3260)]
    assert (source.auth.username, source.auth.secret.type, source.auth.secret.usage) == ("me", "iscsi", "san")
    assert source.initiator == "iqn.2001-04.com.example:me"
    assert (source.pool, source.volume, source.mode) == (None, None, None)


def test_a_unit_is_a_device_of_the_host_where_nothing_else_is_said() -> None:
    for mode in ("", "host"):
        disk, problems = placed(ISCSI.format(kind="iscsi"), UNIT.format(kind="block"), mode)
        assert problems == []
        assert (disk.type, disk.source.dev) == ("block", "/dev/disk/by-path/x-lun-3")


def test_an_image_of_ceph_is_reached_at_all_its_monitors() -> None:
    disk, problems = placed(RBD, IMAGE)
    assert problems == []
    source = disk.source
    assert (disk.type, source.protocol, source.name) == ("network", "rbd", "images/disk")
    assert [(host.name, host.port) for host in source.hosts] == [("one", 6790), ("two", 6789)]
    assert source.auth.secret.uuid == "11111111-2222-4333-8444-555555555555"
    assert source.auth.secret.type == "ceph"


def test_an_image_of_gluster_is_in_its_volume_and_folder() -> None:
    disk, problems = placed(GLUSTER, IMAGE)
    assert problems == []
    assert (disk.source.protocol, disk.source.name) == ("gluster", "vol/deep/down/disk")


@pytest.mark.parametrize(
    ("pool", "volume", "mode", "path"),
    [
        (RBD, IMAGE, "direct", "source/@mode"),
        (ISCSI.format(kind="iscsi-direct"), UNIT.format(kind="network"), "host", "source/@mode"),
        (ISCSI.format(kind="iscsi-direct"), IMAGE, "", "source/@volume"),
        (RBD.replace("rbd", "zfs"), IMAGE, "", "source/@pool"),
        (RBD, IMAGE.replace("'network'", "'ploop'"), "", "source/@volume"),
    ],
)
def test_what_cannot_be_reached_is_refused_by_path(pool: str, volume: str, mode: str, path: str) -> None:
    disk, problems = placed(pool, volume, mode)
    assert [problem.path for problem in problems] == [f"/devices/disk[vda]/{path}"]
    assert disk.type == "volume"


def test_the_declared_format_and_the_disks_have_to_agree() -> None:
    assert [one.path for one in placed(RBD, IMAGE, image="qcow2")[1]] == ["/devices/disk[vda]/driver/@type"]
    iso = "<volume type='file'><name>v</name><target><path>/i/v</path><format type='iso'/></target></volume>"
    disk, problems = placed("<pool type='dir'><name>p</name></pool>", iso)
    assert problems == []
    assert (disk.source.file, disk.driver.type) == ("/i/v", "raw")


def test_without_pools_the_definition_stays_as_it_is() -> None:
    document: Document[Any] = Document("<domain type='qemu'><name>one</name><devices/></domain>")
    assert pooled.placed(document.model, None) == (document.model, [], [])


def test_a_key_of_ceph_is_given_as_its_bytes_however_it_was_kept() -> None:
    raw = bytes((1, 0)) + bytes(8) + bytes((16, 0)) + bytes(range(240, 256))
    text = b64encode(raw).decode()

    def given(use: str, value: str) -> bytes:
        keeper: Any = SimpleNamespace(find=lambda _use, _text: Secret(value))
        return unlocking.bytes_of(keeper, use, "name")

    assert given("ceph", text) == given("ceph", f"{text}\n") == raw
    assert given("ceph", raw.decode("utf-8", "surrogateescape")) == raw
    assert given("iscsi", text) == text.encode()
    assert given("ceph", "no key") == b"no key"
