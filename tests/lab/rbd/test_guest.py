"""Guests of QEMU whose disks are images of a cluster, by the name of a volume of their pool."""

from __future__ import annotations

import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyvirt
import pytest
from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection
from anyvirt.errors import VirtError
from sector_stage import UP, boot_disk, read_until, sector_xml
from storage_stage.ceph import Daemons

UUID = "5a1f7b3e-8a54-4c1c-9d0b-64a1e4f3a003"
USAGE = "<usage type='ceph'><name>client.libvirt guest</name></usage>"
SECRET = f"<secret private='yes'><uuid>{UUID}</uuid>{USAGE}</secret>"
AUTH = f"<auth username='libvirt' type='ceph'><secret uuid='{UUID}'/></auth>"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing")
    with anyvirt.open("qemu:///session", state_dir=tmp_path / "state", timeout=120.0) as opened:
        yield opened
        for domain in opened.domain_list():
            with suppress(VirtError):
                domain.destroy()


@pytest.mark.parametrize(("cluster", "raw"), [("plain", False), ("guarded", False), ("guarded", True)])
def test_a_guest_boots_from_an_image_with_the_key_of_its_pool(
    connection: Connection, tmp_path: Path, cluster: str, raw: bool, request: pytest.FixtureRequest
) -> None:
    daemons: Daemons = request.getfixturevalue(cluster)
    key = daemons.key if cluster == "guarded" else "unused"
    value = b64decode(key).decode("utf-8", "surrogateescape") if raw else key  # as libvirt's secrets have it
    connection.secret_define(SECRET).set_value(Secret(value))
    auth = AUTH if cluster == "guarded" else ""
    source = f"<host name='127.0.0.1' port='{daemons.port}'/><name>libvirt</name>{auth}"
    pool = connection.pool_create(f"<pool type='rbd'><name>images</name><source>{source}</source></pool>")
    disk = boot_disk(tmp_path / "boot.img")
    made = "<volume><name>boot</name><capacity unit='MiB'>4</capacity></volume>"
    volume = connection.volume(connection.volume_create(pool, made).wait(60))
    with volume.upload() as stream:
        stream.write(disk.read_bytes())
    words = sector_xml(disk).replace("type='file'", "type='volume'", 1)
    domain = connection.domain_define(words.replace(f"file='{disk}'", "pool='images' volume='boot'"))
    plan = domain.plan()
    assert plan.blockers == ()
    assert key not in repr(plan)
    domain.start()
    with domain.console() as console:
        read_until(console, UP)
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(key.encode() in words for words in running)
    domain.destroy()
    pool.stop()
    daemons.empty()
