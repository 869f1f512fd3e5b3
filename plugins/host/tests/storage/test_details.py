"""What was read out of images, and is not read again as long as they do not change."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt_host.storage.backend import Sight
from anyvirt_host.storage.details import Detail, Details
from anyvirt_host.storage.images.header import Header

MANY = 60
SIGHT = Sight("file", 7, 4096, 8192, 0o600, 0, 0, (1, 2, 3))
DETAIL = Detail(5, Header(3, 1 << 20, 65536, "/below", "raw"), "")


def test_what_was_read_is_known_as_long_as_the_file_looks_the_same(tmp_path: Path) -> None:
    first = Details(tmp_path / "pool.json", "home")
    first.put("disk", SIGHT, DETAIL)
    first.keep()
    assert Details(tmp_path / "pool.json", "home").get("disk", SIGHT) == DETAIL
    for other in (
        SIGHT._replace(inode=8),
        SIGHT._replace(physical=8193),
        SIGHT._replace(times=(1, 9, 3)),
        SIGHT._replace(times=(1, 2, 9)),
    ):
        assert Details(tmp_path / "pool.json", "home").get("disk", other) == Detail()
    assert Details(tmp_path / "pool.json", "home").get("disk", SIGHT._replace(times=(9, 2, 3))) == DETAIL  # only read
    assert Details(tmp_path / "pool.json", "another file system").get("disk", SIGHT) == Detail()
    assert (tmp_path / "pool.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 1}', '{"version":1,"home":"h","volumes":{"a":1}}']
)
def test_what_cannot_be_read_is_thrown_away(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pool.json"
    path.write_text(text)
    details = Details(path, "h")
    assert details.get("a", SIGHT) == Detail()
    details.put("a", SIGHT, DETAIL)
    details.keep()
    assert Details(path, "h").get("a", SIGHT) == DETAIL


def test_nothing_is_lost_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    details = Details(tmp_path / "missing" / "pool.json", "home")
    details.put("disk", SIGHT, DETAIL)
    details.keep()
    assert details.get("disk", SIGHT) == DETAIL


def test_a_second_look_at_many_volumes_opens_none_of_them(
    storage: Connection, pool: Pool, make: Callable[..., Handle], place: Path, tmp_path: Path
) -> None:
    make("first", 1 << 20, "qcow2")
    for number in range(MANY):
        (place / f"found-{number}").write_bytes(b"QFI\xfb" + bytes(508))
    made = pool.volumes()
    before = {ref: answer.get() for ref, answer in storage.volume_config(made).items()}
    (kept,) = (tmp_path / "state").rglob(f"{pool.uuid}.json")
    said = json.loads(kept.read_text())
    assert set(said["volumes"]) == {one.name for one in made}
    said["volumes"]["found-0"][-1] = "vmdk"  # as if it had looked like that the last time
    kept.write_text(json.dumps(said))
    again = {ref: answer.get() for ref, answer in storage.volume_config(made).items()}
    changed = [ref.name for ref, document in again.items() if document.notes != before[ref].notes]
    assert changed == ["found-0"]
    (place / "found-0").write_bytes(b"QED\0" + bytes(508))
    notes = {ref.name: answer.get().notes for ref, answer in storage.volume_config(made).items()}
    assert "looks like qed" in notes["found-0"][0]


def test_a_resized_image_is_read_again(
    storage: Connection, pool: Pool, make: Callable[..., Handle], place: Path
) -> None:
    one = make("first", 1 << 20, "qcow2")
    for number in range(MANY):
        (place / f"found-{number}").touch()

    def capacity() -> Any:
        return storage.volume_info(pool.volumes())[one.ref].get().capacity

    assert capacity() == 1 << 20
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", str(place / "first"), "2M"], check=True)
    assert capacity() == 2 << 20
    os.utime(place / "first")
    assert capacity() == 2 << 20
