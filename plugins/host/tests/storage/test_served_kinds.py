"""Pools of servers: what they ask for, and what their tools say; recorded where a lab has them, else as documented."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Busy, Denied, Document, Exists, Invalid, Pool, PoolSource, Secret, Unsupported, Volume
from anyvirt.testing.recorded import Exchange, Recorded, recorded
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.backend import Backend, Resizes, backend_of
from anyvirt_host.storage.kinds.cluster import Cluster, drop
from anyvirt_host.storage.kinds.gluster import volumes
from anyvirt_host.storage.kinds.overwrite import overwritten
from storage_stage import scenes

SPOKEN = Path(__file__).parent / "spoken"
KEY = "AQBSdFhmAAAAABAAd2hhdGV2ZXIgaXQgaXMsIG5vYm9keQ=="


def spoken(name: str, **words: str) -> Recorded:
    """A recording, with words of it in place of others."""
    path = next(SPOKEN.glob(f"{name}-*.txt"))
    played = recorded(path)

    def put(one: Exchange) -> Exchange:
        return dataclasses.replace(one, argv=tuple(words.get(word, word) for word in one.argv))

    return Recorded(path, [put(one) for one in played.exchanges])


def pool_of(text: str) -> Pool:
    document: Document[Pool] = Document(text)
    return document.model


def volume_of(text: str) -> Volume:
    document: Document[Volume] = Document(text)
    return document.model


@pytest.mark.parametrize(("name", "scene"), [("rbd", scenes.images), ("libiscsi", scenes.units)])
def test_what_the_tools_said_is_understood_without_them(name: str, scene: Callable[[Recorded], None]) -> None:
    run = spoken(name)
    scene(run)
    assert run.unasked == []


HOST = "<host name='h'/>"
INITIATOR = "<initiator><iqn name='iqn.2026-01.org.example:me'/></initiator>"
IQN = "<device path='iqn.2026-01.org.example:disks'/>"


@pytest.mark.parametrize(
    ("kind", "source", "paths"),
    [
        ("rbd", "", ["/source/name", "/source/host"]),
        ("rbd", f"<name>a@b</name>{HOST}", ["/source/name"]),
        ("rbd", f"<name>p</name>{HOST}<auth type='ceph' username='me'/>", ["/source/auth"]),
        (
            "rbd",
            f"<name>p</name>{HOST}<auth type='chap' username='me'><secret usage='x'/></auth>",
            ["/source/auth/@type"],
        ),
        ("rbd", f"<name>p</name>{HOST}<dir path='/x'/>", ["/source/dir/@path"]),
        ("iscsi-direct", f"{HOST}{IQN}", ["/source/initiator/iqn/@name"]),
        ("iscsi-direct", f"{HOST}<device path='disks'/>{INITIATOR}", ["/source/device"]),
        ("iscsi-direct", f"{IQN}{INITIATOR}", ["/source/host"]),
        ("iscsi-direct", f"{HOST}<host name='i'/>{IQN}{INITIATOR}", ["/source/host"]),
        ("iscsi-direct", f"{HOST}{IQN}{INITIATOR}<auth type='chap' username='me'/>", ["/source/auth"]),
        ("gluster", HOST, ["/source/name"]),
        ("gluster", f"<name>v</name>{HOST}<dir path='a/../b'/>", ["/source/dir/@path"]),
        ("zfs", "<name>a b</name>", ["/source/name"]),
        ("zfs", "<name>tank</name><device path='sdb'/>", ["/source/device/@path"]),
        ("vstorage", "", ["/target/path", "/source/name"]),
        ("disk", "<device path='sdb'/>", ["/source/device"]),
        ("disk", "<device path='/dev/sdb'/><format type='lvm2'/>", ["/source/format/@type"]),
    ],
)
def test_what_a_definition_cannot_have_is_refused_by_path(kind: str, source: str, paths: list[str]) -> None:
    text = f"<pool type='{kind}'><name>p</name><source>{source}</source></pool>"
    with pytest.raises(Invalid) as refused:
        backend_of(kind, LocalRun()).live(pool_of(text))
    assert [problem.path for problem in refused.value.problems] == paths


@pytest.mark.parametrize("kind", ["rbd", "zfs"])
@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("<name>.anyvirt-x</name><capacity>1</capacity>", "/name"),
        ("<name>a@b</name><capacity>1</capacity>", "/name"),
        ("<name>one</name>", "/capacity"),
        ("<name>one</name><capacity>1</capacity><target><format type='qcow2'/></target>", "/target/format/@type"),
    ],
)
def test_what_a_volume_cannot_have_is_refused_by_path(kind: str, words: str, path: str) -> None:
    backend = backend_of(kind, LocalRun())
    with pytest.raises(Invalid) as refused:
        backend.wish(volume_of(f"<volume>{words}</volume>"))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize("kind", ["iscsi-direct", "gluster"])
def test_what_is_made_elsewhere_is_not_made_here(kind: str) -> None:
    backend = backend_of(kind, LocalRun())
    with pytest.raises(Unsupported) as refused:
        backend.wish(volume_of("<volume><name>one</name><capacity>1</capacity></volume>"))
    assert refused.value.hint


def test_the_key_of_a_cluster_is_in_a_file_for_one_reader_and_goes_with_the_pool() -> None:
    made = Cluster(("10.0.0.1:6789", "[::1]:6789"), "libvirt", "ceph", (("rados_osd_op_timeout", "7"),))
    asked: list[tuple[str, str]] = []
    argvs: list[tuple[str, ...]] = []
    local = LocalRun()

    def find(use: str, text: str) -> Secret:
        asked.append((use, text))
        return Secret(KEY)

    def run(*argv: str, **rest: object) -> object:
        argvs.append(argv)
        return local(*argv, **rest)  # type: ignore[arg-type]

    folder = Path(made.keep(run, find))  # type: ignore[arg-type]
    try:
        assert asked == [("ceph", "ceph")]
        assert not any(KEY in word for argv in argvs for word in argv)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
            "ceph.conf": 0o600,
            "keyring": 0o600,
        }
        assert (folder / "keyring").read_text() == f"[client.libvirt]\n\tkey = {KEY}\n"
        told = (folder / "ceph.conf").read_text().splitlines()
        assert "mon_host = 10.0.0.1:6789,[::1]:6789" in told
        assert "auth_client_required = cephx" in told
        assert "rados_osd_op_timeout = 7" in told
        assert f"keyring = {folder}/keyring" in told
    finally:
        drop(local, str(folder))
    assert not folder.exists()
    with pytest.raises(Denied):
        made.keep(local, lambda *_: Secret("no key\nof ceph"))


def test_options_of_a_cluster_are_read_and_no_line_is_smuggled_in() -> None:
    options = "<rbd:config_opts xmlns:rbd='http://libvirt.org/schemas/storagepool/rbd/1.0'>{}</rbd:config_opts>"
    text = f"<pool type='rbd'><name>p</name><source>{HOST}<name>libvirt</name></source>{options}</pool>"
    backend = backend_of("rbd", LocalRun())
    live = backend.live(pool_of(text.format("<rbd:option name='client_mount_timeout' value='45'/>")))
    assert live.more
    assert tuple(live.more["options"]) == (("client_mount_timeout", "45"),)
    with pytest.raises(Invalid):
        backend.live(pool_of(text.format("<rbd:option name='a' value='b&#10;c = d'/>")))


def test_a_zfs_pool_is_made_of_devices_and_holds_volumes() -> None:
    run = spoken("zfs")
    backend = backend_of("zfs", run)
    model = pool_of(
        "<pool type='zfs'><name>p</name><source><name>tank</name><device path='/dev/sdb'/><device path='/dev/sdc'/>"
        "</source></pool>"
    )
    live = backend.live(model)
    assert live.path == "/dev/zvol/tank"
    backend.build(live, model, overwrite=True)
    with pytest.raises(Exists):
        backend.build(live, model)
    assert backend.start(live) == live
    assert backend.room(live) == (10737418240, 10736369664)
    assert list(backend.names(live)) == []
    draft = backend.draft(live, "one", "abc")
    list(draft.fill(backend.wish(volume_of("<volume><name>one</name><capacity unit='MiB'>8</capacity></volume>"))))
    draft.publish()
    sight = backend.look(live, "one")
    assert sight
    assert (sight.type, sight.inode, sight.physical, sight.allocation) == ("block", draft.inode, 8 << 20, 12582912)
    assert isinstance(backend, Resizes)
    list(backend.resize(live, "one", 16 << 20, allocate=True))
    with pytest.raises(Busy, match="tank/two"):
        backend.remove(live, "one")
    with pytest.raises(Busy, match="has it open"):
        backend.remove(live, "one")
    backend.remove(live, "one")
    with pytest.raises(Invalid, match="has volumes"):
        backend.delete(live)


def test_a_cluster_of_virtuozzo_is_mounted_as_its_definition_says(tmp_path: Path) -> None:
    place = tmp_path / "stor"
    place.mkdir()
    run = spoken("vstorage", PLACE=str(place))
    backend = backend_of("vstorage", run)
    rights = "<permissions><mode>0750</mode><owner>0</owner><group>0</group></permissions>"
    text = f"<source><name>stor1</name></source><target><path>{place}</path>{rights}</target>"
    live = backend.start(backend.live(pool_of(f"<pool type='vstorage'><name>p</name>{text}</pool>")))
    assert live.device == os.stat(place).st_dev
    backend.stop(live)
    assert run.unasked == []


def test_the_started_volumes_of_a_gluster_server_are_found() -> None:
    run = spoken("gluster")
    backend: Backend = backend_of("gluster", run)
    document: Document[PoolSource] = Document("<source><host name='gluster.example.com'/></source>")
    found = backend.sources(document.model).sources
    assert [(source.name, source.hosts[0].name) for source in found] == [("images", "gluster.example.com")]
    assert volumes("<volume><name>a&amp;b</name></volume>") == ["a&b"]
    with pytest.raises(Invalid):
        backend.sources(None)


def test_volumes_of_gluster_have_urls_as_keys() -> None:
    backend = backend_of("gluster", LocalRun())
    live = backend.live(
        pool_of(
            "<pool type='gluster'><name>p</name><source><host name='h' port='24009'/><name>images</name>"
            "<dir path='/sub'/></source></pool>"
        )
    )
    assert backend.place(live, "disk") == "gluster://h:24009/images/sub/disk"
    assert backend.called(live, "gluster://h:24009/images/sub/disk") == "disk"
    assert backend.called(live, "gluster://h:24009/images/disk") == ""


@pytest.mark.skipif(
    not any(os.access(f"{folder}/qemu-io", os.X_OK) for folder in os.get_exec_path()), reason="qemu-io is not installed"
)
def test_what_is_reached_by_a_node_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"private " * 4096)
    node = {"driver": "file", "filename": str(path)}
    steps = list(overwritten(LocalRun(), node, 32768, "zero", "image"))
    assert path.read_bytes() == bytes(32768)
    assert steps[-1].done == 32768
    for algorithm in ("gutmann", "random"):
        with pytest.raises(Unsupported):
            list(overwritten(LocalRun(), node, 32768, algorithm, "image"))
