"""Guests whose disks are volumes of the connection's own pools."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Invalid, Secret
from anyvirt.client._generated_sync import Pool
from sector_stage import UP, read_until

Xml = Callable[..., str]


@pytest.fixture
def pool(connection: Connection, tmp_path: Path) -> Pool:
    place = tmp_path / "images"
    return connection.pool_create(
        f"<pool type='dir'><name>images</name><target><path>{place}</path></target></pool>", build=True
    )


@pytest.fixture
def volume(pool: Pool, disk: Path, tmp_path: Path) -> Path:
    """The boot sector, as a volume that nobody declared: it is raw."""
    return Path(shutil.copy(disk, tmp_path / "images/boot"))


def named(text: str, disk: Path, kind: str = "raw", volume: str = "boot", rest: str = "") -> str:
    """The definition with a volume in the place of the disk's file."""
    source = f"<source pool='images' volume='{volume}' {rest}/>"
    changed = text.replace("<disk type='file'", "<disk type='volume'").replace(f"<source file='{disk}'/>", source)
    assert source in changed
    return changed.replace("type='raw'", f"type='{kind}'") if kind else changed.replace(" type='raw'", "")


def problems(connection: Connection, text: str) -> dict[str, str]:
    return {one.path: one.code for one in connection.domain_define(text).preflight()}


def test_a_guest_boots_from_a_volume(connection: Connection, xml: Xml, disk: Path, volume: Path) -> None:
    domain = connection.domain_define(named(xml("one"), disk))
    assert list(domain.preflight()) == []
    assert any(str(volume) in word for option in domain.plan().argv for word in option)
    assert str(volume) not in domain.config().text
    domain.start()
    with domain.console() as stream:
        read_until(stream, UP)
    assert [info.physical for info in domain.block_info()] == [volume.stat().st_size]
    domain.destroy()


def test_the_format_of_a_volume_is_the_one_that_it_was_made_with(
    connection: Connection, xml: Xml, disk: Path, pool: Pool
) -> None:
    made = "<volume><name>made</name><capacity>1048576</capacity><target><format type='qcow2'/></target></volume>"
    connection.volume_create(pool, made).wait(20)
    plain = named(xml("plain"), disk, kind="", volume="made")
    assert '"driver": "qcow2"' in repr(connection.domain_define(plain).plan().argv).replace('":"', '": "')
    assert problems(connection, named(xml("one"), disk, kind="qcow2", volume="made")) == {}
    wrong = problems(connection, named(xml("two"), disk, kind="raw", volume="made"))
    assert wrong == {"/devices/disk[vda]/driver/@type": "config.invalid"}


def test_what_a_guest_wrote_into_a_raw_volume_makes_it_no_other(
    connection: Connection, xml: Xml, disk: Path, volume: Path
) -> None:
    volume.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(4096))
    wrong = problems(connection, named(xml("two"), disk, kind="qcow2"))
    assert wrong == {"/devices/disk[vda]/driver/@type": "config.invalid"}
    assert problems(connection, named(xml("one"), disk)) == {}


def test_what_has_no_place_is_refused_by_path_before_anything_is_done(
    connection: Connection, xml: Xml, disk: Path, pool: Pool, volume: Path
) -> None:
    source = "/devices/disk[vda]/source"
    domain = connection.domain_define(named(xml("one"), disk))
    assert problems(connection, named(xml("two"), disk, volume="none")) == {f"{source}/@volume": "volume.not-found"}
    assert problems(connection, named(xml("three"), disk, rest="mode='host'")) == {f"{source}/@mode": "config.invalid"}
    lost = named(xml("four"), disk).replace("pool='images'", "pool='lost'")
    assert problems(connection, lost) == {f"{source}/@pool": "pool.not-found"}
    pool.stop()
    connection.pool_define(f"<pool type='dir'><name>images</name><target><path>{volume.parent}</path></target></pool>")
    assert {one.path: one.code for one in domain.preflight()} == {f"{source}/@pool": "pool.wrong-state"}
    with pytest.raises(Invalid, match="not active"):
        domain.start()
    assert [one.path for one in domain.plan().blockers] == [f"{source}/@pool"]


def test_a_drive_whose_volume_may_be_missing_starts_empty(
    connection: Connection, xml: Xml, disk: Path, volume: Path
) -> None:
    drive = (
        "<disk type='volume' device='cdrom'><source pool='images' volume='none' startupPolicy='optional'/>"
        "<target dev='sda' bus='sata'/></disk>"
    )
    plan = connection.domain_define(xml("one", drive)).plan()
    assert plan.blockers == ()
    assert any("no volume 'none'" in warning for warning in plan.warnings)


def test_a_volume_that_was_made_encrypted_opens_with_its_own_secret(
    connection: Connection, xml: Xml, disk: Path, pool: Pool
) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    uuid = "11111111-2222-4333-8444-555555555555"
    place = connection.pool_config([pool])[pool.ref].get().model.target
    usage = f"<usage type='volume'><volume>{place}/locked</volume></usage>"
    kept = connection.secret_define(f"<secret private='yes'><uuid>{uuid}</uuid>{usage}</secret>")
    kept.set_value(Secret("Tr0ub4dor"), "file")
    encryption = f"<encryption format='luks'><secret type='passphrase' uuid='{uuid}'/></encryption>"
    target = f"<target><format type='raw'/>{encryption}</target>"
    made: Any = f"<volume><name>locked</name><capacity>1048576</capacity>{target}</volume>"
    connection.volume_create(pool, made).wait(60)
    domain = connection.domain_define(named(xml("one"), disk, volume="locked"))
    assert domain.plan().blockers == ()
    assert "luks" in repr(domain.plan().argv)
    domain.start(paused=True)
    domain.destroy()
