"""What only a real target shows of pools of the type iscsi-direct."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyvirt
import pytest
from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection
from anyvirt.errors import Denied, Invalid, NotFound, Unreachable, Unsupported
from anyvirt.transport.run import LocalRun
from storage_stage import scenes
from storage_stage.tgt import HIDDEN, INITIATOR, LOCKED, OPEN, PASSWORD, SIZES, USER, Target

UUID = "5a1f7b3e-8a54-4c1c-9d0b-64a1e4f3a001"
AUTH = f"<auth username='{USER}' type='chap'><secret uuid='{UUID}'/></auth>"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with anyvirt.open("storage:///session", state_dir=tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def secret(connection: Connection) -> Callable[[str], None]:
    """``secret(value)``: what is shown to the target that wants a password."""
    usage = "<usage type='iscsi'><target>anyvirt-lab</target></usage>"
    made = connection.secret_define(f"<secret><uuid>{UUID}</uuid>{usage}</secret>")
    return lambda value: connection.secret_set_value(made, Secret(value))


def test_the_targets_of_a_portal_are_found(connection: Connection, target: Target) -> None:
    host = f"<host name='127.0.0.1' port='{target.port}'/>"
    asked = f"<source>{host}<initiator><iqn name='{INITIATOR}'/></initiator></source>"
    found = connection.pool_sources("iscsi-direct", asked).model.sources
    assert sorted(source.devices[0].path or "" for source in found) == sorted([HIDDEN, LOCKED, OPEN])
    assert {source.hosts[0].port for source in found} == {target.port}
    with pytest.raises(Invalid):
        connection.pool_sources("iscsi-direct", f"<source>{host}</source>")


@pytest.mark.parametrize("iqn", [OPEN, HIDDEN])
def test_units_have_the_names_keys_and_sizes_that_libvirt_gives_them(
    connection: Connection, target: Target, described: Callable[..., str], iqn: str
) -> None:
    pool = connection.pool_define(described("disks", iqn))
    pool.start()
    volumes = {volume.name: volume for volume in pool.volumes()}
    assert sorted(volumes) == [f"unit:0:0:{lun}" for lun in SIZES]
    for lun, size in SIZES.items():
        volume = volumes[f"unit:0:0:{lun}"]
        assert volume.path() == f"ip-127.0.0.1:{target.port}-iscsi-{iqn}-lun-{lun}"
        info = volume.info()
        assert (info.type, info.capacity, info.allocation, info.physical) == ("network", size, size, size)
    whole = pool.info()
    assert (whole.capacity, whole.available) == (sum(SIZES.values()), 0)


def test_what_is_uploaded_is_on_the_server_and_a_wipe_leaves_zeros_there(
    connection: Connection, target: Target, described: Callable[..., str]
) -> None:
    target.fresh(OPEN, 2)
    pool = connection.pool_define(described("disks"))
    pool.start()
    volume = pool.lookup_volume("unit:0:0:2")
    with volume.upload(offset=4096) as stream:
        stream.write(b"on the server")
    image = target.image(OPEN, 2)
    assert image.read_bytes()[4096:4109] == b"on the server"
    volume.wipe("zero").wait(30)
    assert image.read_bytes() == bytes(SIZES[2])
    with pytest.raises(Unsupported):
        volume.wipe("trim").wait(30)


def test_a_target_that_wants_a_password_gets_it_and_nobody_else_sees_it(
    connection: Connection, target: Target, described: Callable[..., str], secret: Callable[[str], None], tmp_path: Path
) -> None:
    target.fresh(LOCKED, 1)
    pool = connection.pool_define(described("locked", LOCKED, AUTH))
    with pytest.raises(NotFound, match="value"):
        pool.start()
    secret("not the password")
    with pytest.raises(Denied):
        pool.start()
    secret(PASSWORD)
    pool.start()
    volume = pool.lookup_volume("unit:0:0:1")
    with volume.upload() as stream:
        stream.write(b"behind a password")
        argvs = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)]
        assert any(b"qemu-storage-daemon" in argv for argv in argvs)
        assert not any(PASSWORD.encode() in argv for argv in argvs)
    with volume.download(length=17) as stream:
        assert stream.read() == b"behind a password"
    volume.wipe("zero").wait(30)
    assert target.image(LOCKED, 1).read_bytes() == bytes(SIZES[1])
    assert PASSWORD not in pool.config().text


def test_a_server_that_does_not_answer_and_a_target_that_is_none_are_told_apart(
    connection: Connection, target: Target, described: Callable[..., str]
) -> None:
    nobody = connection.pool_define(described("nobody").replace(f"port='{target.port}'", "port='1'"))
    with pytest.raises(Unreachable):
        nobody.start()
    none = connection.pool_define(described("none", f"{OPEN}-not"))
    with pytest.raises(NotFound):
        none.start()
    locked = connection.pool_define(described("locked", LOCKED))
    with pytest.raises(Denied):
        locked.start()


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_the_scene_that_was_recorded_is_a_real_targets(target: Target) -> None:
    scenes.units(LocalRun(), f"127.0.0.1:{target.port}")
