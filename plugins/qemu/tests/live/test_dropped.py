"""What a guest writes to a transient disk is dropped when it ends; a missing image that may be missing is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anyvirt.api import Connection
from anyvirt_qemu.site import Site
from sector_stage import UP, read_until

SIZE = 16 << 20
DISK = "<disk type='file'><source file='{}'{}/><target dev='{}' bus='{}'/>{}</disk>"


def test_what_is_written_to_a_transient_disk_is_gone_with_the_guest(
    connection: Connection, site: Site, xml: Callable[..., str], tmp_path: Path
) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"\1" * SIZE)
    text = xml(more=DISK.format(base, "", "vdb", "virtio", "<transient/><boot order='2'/>"))
    domain = connection.domain_define(text)
    folder = site.scope.folder("qemu", "overlays")
    for _ in range(2):
        domain.start()
        (overlay,) = folder.iterdir()
        assert overlay.stat().st_mode & 0o777 == 0o600
        before = overlay.stat().st_size
        with domain.console(replay=True) as stream:
            read_until(stream, UP)
            stream.write(b"w")
            assert b"E" not in read_until(stream, b"W")
        assert overlay.stat().st_size > before
        domain.destroy()
        assert list(folder.iterdir()) == []
    assert base.read_bytes() == b"\1" * SIZE


def test_a_guest_starts_without_an_image_that_may_be_missing(
    connection: Connection, xml: Callable[..., str], tmp_path: Path
) -> None:
    optional = DISK.format(tmp_path / "none.iso", " startupPolicy='optional'", "sda", "sata", "")
    domain = connection.domain_define(xml(more=optional.replace("<disk type", "<disk device='cdrom' type")))
    domain.start()
    with domain.console(replay=True) as stream:
        read_until(stream, UP)
    assert "none.iso" not in domain.config().text
    domain.destroy()
    assert "none.iso" in domain.config().text
