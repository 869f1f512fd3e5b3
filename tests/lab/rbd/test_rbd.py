"""What only a real cluster shows of pools of the type rbd."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyvirt
import pytest
from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection, Pool, Volume
from anyvirt.errors import Busy, Denied, NotFound
from anyvirt.transport.run import LocalRun
from storage_stage import scenes
from storage_stage.ceph import Daemons
from storage_stage.record import kept, prepared

UUID = "5a1f7b3e-8a54-4c1c-9d0b-64a1e4f3a002"
AUTH = f"<auth username='libvirt' type='ceph'><secret uuid='{UUID}'/></auth>"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def connection(state: Path) -> Iterator[Connection]:
    with anyvirt.open("storage:///session", state_dir=state, timeout=120.0) as opened:
        yield opened


@pytest.fixture
def pool(connection: Connection, plain: Daemons) -> Iterator[Pool]:
    made = connection.pool_define(described(plain))
    made.start()
    yield made
    made.stop()
    plain.empty()


def described(daemons: Daemons, auth: str = "", name: str = "libvirt") -> str:
    source = f"<host name='127.0.0.1' port='{daemons.port}'/><name>{name}</name>{auth}"
    return f"<pool type='rbd'><name>images</name><source>{source}</source></pool>"


def make(connection: Connection, pool: Pool, name: str = "one", size: int = 8) -> Volume:
    xml = f"<volume><name>{name}</name><capacity unit='MiB'>{size}</capacity></volume>"
    return connection.volume(connection.volume_create(pool, xml).wait(60))


def put(volume: Volume, data: bytes) -> None:
    with volume.upload() as stream:
        stream.write(data)


def got(volume: Volume, count: int) -> bytes:
    with volume.download(length=count) as stream:
        return b"".join(iter(stream.read, b""))


def test_the_scene_that_was_recorded_is_a_real_clusters(plain: Daemons, tmp_path: Path) -> None:
    prepared(plain)
    try:
        with kept(plain, tmp_path / "kept"):
            scenes.images(LocalRun(), str(tmp_path / "kept"))
    finally:
        plain.empty()


def test_a_cluster_that_wants_a_key_gets_it_and_nobody_else_sees_it(connection: Connection, guarded: Daemons) -> None:
    secret = connection.secret_define(
        f"<secret><uuid>{UUID}</uuid><usage type='ceph'><name>client.libvirt</name></usage></secret>"
    )
    pool = connection.pool_define(described(guarded, AUTH))
    with pytest.raises(NotFound, match="value"):
        pool.start()
    connection.secret_set_value(secret, Secret("no key"))
    with pytest.raises(Denied):
        pool.start()
    connection.secret_set_value(secret, Secret(guarded.key))
    pool.start()
    volume = make(connection, pool)
    with volume.upload() as stream:
        stream.write(b"behind a key")
        argvs = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if alive(path)]
        assert any(b"qemu-storage-daemon" in argv for argv in argvs)
        assert not any(guarded.key.encode() in argv for argv in argvs)
    assert got(volume, 12) == b"behind a key"
    assert guarded.key not in pool.config().text
    kept_in = [path for path in Path("/run").glob("anyvirt-rbd.*/keyring") if guarded.key in path.read_text()]
    assert len(kept_in) == 1
    assert (kept_in[0].stat().st_mode & 0o777, kept_in[0].parent.stat().st_mode & 0o777) == (0o600, 0o700)
    volume.delete()
    pool.stop()
    assert not kept_in[0].parent.exists()


def test_an_image_that_a_copy_shares_its_blocks_with_stays(connection: Connection, pool: Pool) -> None:
    one = make(connection, pool)
    put(one, b"shared")
    xml = "<volume><name>two</name><capacity unit='MiB'>12</capacity></volume>"
    two = connection.volume(connection.volume_create_from(pool, xml, one.ref, reflink=True).wait(60))
    assert (got(two, 6), two.info().capacity) == (b"shared", 12 << 20)
    put(one, b"other ")
    assert got(two, 6) == b"shared"
    with pytest.raises(Busy, match="two"):
        one.delete()
    two.delete()
    one.delete()
    assert pool.volumes() == ()


def test_what_an_image_takes_is_counted(connection: Connection, pool: Pool) -> None:
    volume = make(connection, pool, size=64)
    assert (volume.info().capacity, volume.info().allocation) == (64 << 20, 0)
    put(volume, b"x" * 4096)
    assert volume.info().allocation == 4 << 20  # one object


def test_images_of_a_namespace_are_apart(connection: Connection, pool: Pool, plain: Daemons) -> None:
    plain.tool("rbd", "namespace", "create", "libvirt/apart")
    other = connection.pool_define(described(plain, name="libvirt/apart").replace(">images<", ">apart<"))
    other.start()
    inner = make(connection, other)
    put(inner, b"apart")
    assert inner.path() == "libvirt/apart/one"
    assert got(inner, 5) == b"apart"
    assert pool.volumes() == ()
    inner.delete()
    other.stop()
    plain.tool("rbd", "namespace", "remove", "libvirt/apart")


VICTIM = """
import os, sys
from pathlib import Path
from anyvirt.api import open
with open("storage:///session", state_dir=Path(sys.argv[1])) as connection:
    stream = connection.lookup_pool("images").lookup_volume("one").upload()
    stream.write(b"half" * (1 << 18))
    print("written", flush=True)
    sys.stdin.read()
"""


def test_an_image_whose_uploader_was_killed_holds_again_what_it_held(
    connection: Connection, pool: Pool, state: Path
) -> None:
    volume = make(connection, pool)
    put(volume, b"before" * 1000)
    argv = [sys.executable, "-c", VICTIM, str(state)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "written\n"
        victim.send_signal(signal.SIGKILL)
    said = connection.recover()
    assert [line for line in said if "is back" in line] != []
    assert connection.recover() == ()
    assert got(volume, 6000) == b"before" * 1000


def alive(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
