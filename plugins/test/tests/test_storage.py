"""What of the test host's storage other drivers need not do as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Exists, Invalid, NotFound, Unsupported
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool, Volume

NODE = """\
<node>
  <pool type='dir'>
    <name>images</name>
    <target><path>/images</path></target>
    <volume type='file'>
      <name>disk</name>
      <capacity unit='MiB'>4</capacity>
      <allocation>0</allocation>
      <target><format type='qcow2'/></target>
    </volume>
  </pool>
</node>
"""


@pytest.fixture
def connection() -> Iterator[Connection]:
    with opened("test:///default") as made:
        yield made


@pytest.fixture
def pool(connection: Connection) -> Pool:
    return connection.lookup_pool("default-pool")


def fs(name: str) -> str:
    return (
        f"<pool type='fs'><name>{name}</name><source><device path='/dev/vdz'/></source>"
        f"<target><path>/mnt/{name}</path></target></pool>"
    )


def made(pool: Pool, name: str, below: str = "") -> Volume:
    kind = "qcow2" if below else "raw"
    store = f"<backingStore><path>{below}</path><format type='raw'/></backingStore>" if below else ""
    target = f"<target><format type='{kind}'/></target>"
    xml = f"<volume><name>{name}</name><capacity unit='MiB'>1</capacity>{target}{store}</volume>"
    connection: Connection = pool.connection
    return connection.volume(connection.volume_create(pool, xml).wait(10))


def test_what_a_volume_of_a_node_document_is_stays_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "node.xml"
    path.write_text(NODE)
    with opened(f"test:///{path}") as connection:
        (volume,) = connection.lookup_pool("/images").volumes()
        target = volume.config().model.target
        assert target is not None
        assert (target.format, target.path) == ("qcow2", "/images/disk")
        assert (volume.info().capacity, volume.info().allocation) == (4 << 20, 0)


def test_sources_are_found_where_libvirts_test_host_has_them(connection: Connection) -> None:
    groups = connection.pool_sources("logical").model.sources
    assert [(one.name, str(one.format)) for one in groups] == [("testvg1", "lvm2"), ("testvg2", "lvm2")]
    (share,) = connection.pool_sources("netfs", "<source><host name='nas'/></source>").model.sources
    assert (share.hosts[0].name, share.dir) == ("nas", "/testshare")
    with pytest.raises(Unsupported):
        connection.pool_sources("rbd")


def test_a_file_system_is_built_over_another_only_when_that_is_asked_for(connection: Connection) -> None:
    pool = connection.pool_define(fs("data"))
    pool.start()
    volume = made(pool, "old")
    pool.stop()
    with pytest.raises(Exists):
        pool.build().wait(10)
    with pytest.raises(Busy, match="old"):
        pool.delete()
    pool.start()
    assert volume.info().capacity == 1 << 20
    pool.stop()
    pool.build(overwrite=True).wait(10)
    pool.start()
    assert pool.volumes() == ()


def test_a_place_that_is_gone_is_gone_for_every_pool(connection: Connection) -> None:
    pool, other = connection.pool_define(fs("data")), connection.pool_define(fs("data").replace("data", "again", 1))
    pool.delete()
    with pytest.raises(NotFound):
        other.start()
    with pytest.raises(NotFound):
        pool.delete()
    other.start(build=True)
    with pytest.raises(Busy, match="again"):
        pool.start()


def test_a_guest_uses_what_is_below_its_disk(connection: Connection, pool: Pool) -> None:
    base = made(pool, "base")
    over = made(pool, "over", base.path())
    xml = connection.lookup("test").config().text.replace("/guest/diskimage1", over.path())
    xml = xml.replace("<name>test</name>", "<name>two</name>").replace("6695eb01", "6695eb02").replace("testnet0", "t1")
    guest = connection.domain_define(xml)
    guest.start()
    for volume in (base, over):
        with pytest.raises(Busy, match="two"):
            volume.wipe().wait(10)
    guest.destroy()
    assert {loss.user for loss in base.losses()} == {"", "domain two", "volume over of default-pool"}
    base.wipe().wait(10)


def test_no_pool_is_anywhere_but_on_the_host(connection: Connection) -> None:
    with pytest.raises(Invalid, match="place"):
        connection.pool_define(
            "<pool type='rbd'><name>far</name><source><host name='a'/><name>b</name></source></pool>"
        )
