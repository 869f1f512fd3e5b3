"""Pools of the type disk on a loop device: nodes of partitions are made and removed one by one, with no udev."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Busy, Connection, Document, Exists, Failed, Invalid, NotFound, Pool
from anyvirt.api import Volume as Description
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import Pool as Handle
from anyvirt.client._generated_sync import Volume
from anyvirt.testing.killing import PHASES, killed_at_phase
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.backend import Backend, Resizes, backend_of
from anyvirt_host.storage.site import Live

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: partitions are made"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")
        for tool in ("sfdisk", "lsblk", "losetup", "addpart")
    ),
]
MIB = 1 << 20
DISK = 160 << 20


def described(device: Path, label: str = "gpt", words: str = "") -> str:
    return (
        f"<pool type='disk'><name>disk</name><source><device path='{device}'{words}/>"
        f"<format type='{label}'/></source><target><path>/dev</path></target></pool>"
    )


def asked(name: str, size: int = 8, kind: str = "linux") -> str:
    words = f"<capacity unit='MiB'>{size}</capacity><target><format type='{kind}'/></target>"
    return f"<volume><name>{name}</name>{words}</volume>"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def storage(state: Path) -> Iterator[Connection]:
    with opened("storage:///session", state_dir=state) as connection:
        yield connection


@pytest.fixture(params=["gpt", "dos"])
def label(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(storage: Connection, device: Path, label: str) -> Handle:
    made = storage.pool_define(described(device, label))
    made.build().wait(20)
    made.start()
    return made


def make(storage: Connection, pool: Handle, name: str, size: int = 8, kind: str = "linux") -> Volume:
    return storage.volume(storage.volume_create(pool, asked(name, size, kind)).wait(20))


def table(device: Path) -> list[tuple[str, int, int]]:
    told = json.loads(subprocess.check_output(["sfdisk", "--json", str(device)]))["partitiontable"]
    return [
        (Path(row["node"]).name, row["start"] * told["sectorsize"], row["size"] * told["sectorsize"])
        for row in told.get("partitions", ())
    ]


def nodes(device: Path) -> dict[str, int]:
    out = subprocess.check_output(["lsblk", "--json", "--list", "--bytes", "--output", "KNAME,SIZE", str(device)])
    rows = sorted((row["kname"], row["size"]) for row in json.loads(out)["blockdevices"][1:])
    return dict(rows)


def test_a_partition_is_made_with_its_node_and_removed_with_it(storage: Connection, pool: Handle, device: Path) -> None:
    one = make(storage, pool, f"{device.name}p1")
    two = make(storage, pool, f"{device.name}p2", 12, "linux-swap")
    assert table(device) == [(f"{device.name}p1", MIB, 8 * MIB), (f"{device.name}p2", 9 * MIB, 12 * MIB)]
    assert nodes(device) == {f"{device.name}p1": 8 * MIB, f"{device.name}p2": 12 * MIB}
    assert one.path() == f"{device}p1"
    assert os.path.exists(one.path())
    info, model = two.info(), two.config().model
    assert (info.type, info.capacity, info.allocation, info.physical) == ("block", 12 * MIB, 12 * MIB, 12 * MIB)
    assert model.target
    assert model.target.format == "linux-swap"
    assert [(extent.start, extent.end) for extent in model.source_devices[0].extents] == [(9 * MIB, 21 * MIB)]
    one.delete()
    assert [name for name, *_ in table(device)] == [f"{device.name}p2"] == list(nodes(device))
    again = make(storage, pool, f"{device.name}p1", 4)
    assert [start for _, start, _ in table(device)] == [MIB, 9 * MIB]
    assert again.info().capacity == 4 * MIB


def test_a_pool_tells_what_is_free_on_the_disk(storage: Connection, pool: Handle, device: Path, label: str) -> None:
    make(storage, pool, f"{device.name}p1")
    two = make(storage, pool, f"{device.name}p2")
    make(storage, pool, f"{device.name}p3")
    two.delete()
    model = pool.config().model
    assert model.source
    free = [(extent.start, extent.end) for extent in model.source.devices[0].free_extents]
    assert free[0] == (9 * MIB, 17 * MIB)
    assert free[1][0] == 25 * MIB
    assert DISK - MIB < (free[1][1] or 0) <= DISK
    info = pool.info()
    assert info.capacity == DISK
    assert info.available == sum((end or 0) - (start or 0) for start, end in free)
    assert ((free[1][1] or 0) == DISK) is (label == "dos")
    storage.pool_define(pool.config().text)  # what is told is taken again


def test_a_partition_that_fits_nowhere_is_refused_before_anything_changed(
    storage: Connection, pool: Handle, device: Path
) -> None:
    with pytest.raises(Failed) as refused:
        make(storage, pool, f"{device.name}p1", 500)
    assert refused.value.code == "file.no-space"
    assert "the longest has 166" in refused.value.message
    assert table(device) == []


@pytest.mark.parametrize("name", ["one", "p2"])
def test_another_name_than_the_next_partitions_is_refused_with_that(
    storage: Connection, pool: Handle, device: Path, name: str
) -> None:
    with pytest.raises(Invalid, match=f"{device.name}p1") as refused:
        make(storage, pool, name)
    assert [problem.path for problem in refused.value.problems] == ["/name"]
    assert table(device) == []


def test_nodes_that_are_missing_come_back_with_a_start_and_a_refresh(
    storage: Connection, pool: Handle, device: Path
) -> None:
    make(storage, pool, f"{device.name}p1")
    subprocess.run(["delpart", str(device), "1"], check=True)
    assert nodes(device) == {}
    pool.refresh()
    assert nodes(device) == {f"{device.name}p1": 8 * MIB}
    pool.stop()
    subprocess.run(["delpart", str(device), "1"], check=True)
    pool.start()
    assert nodes(device) == {f"{device.name}p1": 8 * MIB}


def test_a_partition_that_is_open_stays_and_so_does_its_node(storage: Connection, pool: Handle, device: Path) -> None:
    one = make(storage, pool, f"{device.name}p1")
    with open(one.path(), "rb"), pytest.raises(Busy, match=f"{device.name}p1"):
        one.delete()
    assert nodes(device) == {f"{device.name}p1": 8 * MIB}
    assert len(table(device)) == 1
    with open(one.path(), "rb"), pytest.raises(Busy):
        backend_of("disk", LocalRun()).build(live_of(device, "gpt"), model_of(device, "gpt"), overwrite=True)
    assert nodes(device) == {f"{device.name}p1": 8 * MIB}


def test_a_kind_of_partition_that_a_table_has_not_is_refused(storage: Connection, pool: Handle, device: Path) -> None:
    with pytest.raises(Invalid) as refused:
        make(storage, pool, f"{device.name}p1", 8, "qcow2")
    assert [problem.path for problem in refused.value.problems] == ["/target/format/@type"]
    with pytest.raises(Invalid) as refused:
        storage.volume_create(pool, f"<volume><name>{device.name}p1</name></volume>").wait(20)
    assert [problem.path for problem in refused.value.problems] == ["/capacity"]
    assert table(device) == []


@pytest.mark.parametrize("label", ["dos"], indirect=True)
def test_logical_partitions_stand_in_an_extended_one_and_move_up(
    storage: Connection, pool: Handle, device: Path
) -> None:
    name = device.name
    for number, kind in enumerate(("linux", "fat16", "fat32", "extended"), start=1):
        make(storage, pool, f"{name}p{number}", 30 if kind == "extended" else 4, kind)
    five, six = (make(storage, pool, f"{name}p{number}", 4, "linux-lvm") for number in (5, 6))
    assert nodes(device)[f"{name}p4"] == 1024
    assert nodes(device)[f"{name}p6"] == 4 * MIB
    assert [volume.name for volume in pool.volumes()] == [f"{name}p{number}" for number in range(1, 7)]
    with pytest.raises(Invalid, match="logical partitions in it"):
        storage.lookup_volume(pool, f"{name}p4").delete()
    with open(six.path(), "rb"), pytest.raises(Busy, match=f"{name}p6"):
        five.delete()
    assert len(table(device)) == 6
    assert len(nodes(device)) == 6
    start = {row: at for row, at, _ in table(device)}[f"{name}p6"]
    five.delete()
    assert {row: at for row, at, _ in table(device)}[f"{name}p5"] == start
    assert list(nodes(device)) == [f"{name}p{number}" for number in range(1, 6)]
    with pytest.raises(Invalid, match="an extended partition already"):
        make(storage, pool, f"{name}p6", 4, "extended")


def test_what_is_on_a_device_is_not_overwritten_unasked(device: Path) -> None:
    backend, live, model = backend_of("disk", LocalRun()), live_of(device, "dos"), model_of(device, "dos")
    with pytest.raises(Invalid, match="no partition table"):
        backend.start(live)
    subprocess.run(["mkfs.ext4", "-q", str(device)], check=True)
    with pytest.raises(Exists, match="ext4"):
        backend.build(live, model)
    backend.build(live, model, overwrite=True)
    assert backend.start(live) == live
    with pytest.raises(Invalid, match="'dos', not 'gpt'"):
        backend.start(live_of(device, "gpt"))
    backend.delete(live)
    with pytest.raises(Invalid, match="no partition table"):
        backend.start(live)


def test_a_partition_is_made_longer_into_what_is_free_behind_it_and_shorter(device: Path, label: str) -> None:
    backend, live = built(device, label)
    for name, size in ((f"{device.name}p1", 4), (f"{device.name}p2", 4)):
        draft = backend.draft(live, name, "x")
        list(draft.fill(backend.wish(wished(name, size))))
        draft.publish()
        draft.close()
    with pytest.raises(Failed) as refused:
        resize(backend, live, f"{device.name}p1", 5 * MIB)
    assert refused.value.code == "file.no-space"
    resize(backend, live, f"{device.name}p2", 20 * MIB)
    assert nodes(device)[f"{device.name}p2"] == 20 * MIB
    resize(backend, live, f"{device.name}p1", 2 * MIB)
    assert nodes(device)[f"{device.name}p1"] == 2 * MIB
    assert [size for *_, size in table(device)] == [2 * MIB, 20 * MIB]


def test_two_partitions_of_a_disk_are_not_made_at_once(device: Path, label: str) -> None:
    backend, live = built(device, label)
    name = f"{device.name}p1"
    first, second = (backend.draft(live, name, mark) for mark in "ab")
    assert backend.making(live) == 0
    list(first.fill(backend.wish(wished(name, 4))))
    assert backend.making(live) == 1
    with pytest.raises(Busy):
        list(second.fill(backend.wish(wished(name, 4))))
    first.publish()
    first.close()
    assert backend.making(live) == 0
    with pytest.raises(Invalid, match=f"{device.name}p2"):
        list(second.fill(backend.wish(wished(name, 4))))
    second.close()
    first.drop()
    assert table(device) == []
    assert nodes(device) == {}


def test_what_is_in_use_is_known(device: Path, tmp_path: Path) -> None:
    backend, live = built(device, "gpt")
    name = f"{device.name}p1"
    draft = backend.draft(live, name, "x")
    list(draft.fill(backend.wish(wished(name, 20))))
    draft.publish()
    draft.close()
    assert not backend.in_use(live, name)
    subprocess.run(["mkfs.ext4", "-q", f"/dev/{name}"], check=True)
    subprocess.run(["mount", f"/dev/{name}", str(tmp_path)], check=True)
    try:
        assert backend.in_use(live, name)
        with pytest.raises(Busy):
            backend.remove(live, name)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    backend.remove(live, name)
    with pytest.raises(NotFound):
        backend.remove(live, name)


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_a_maker_that_was_killed_leaves_a_whole_partition_or_none(
    storage: Connection, pool: Handle, device: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(state))
    name = f"{device.name}p1"
    for phase in range(1, PHASES):
        if not killed_at_phase("storage:///session", phase, "volume_create", pool.name, asked(name)):
            assert phase > 1
            break
        storage.recover()
        assert storage.recover() == ()
        assert nodes(device) == {row: size for row, _, size in table(device)}
        for volume in pool.volumes():
            volume.delete()


VICTIM = """
import os, signal, sys
from anyvirt.transport.run import LocalRun
from anyvirt_host.storage.kinds.disk import DiskPool
from anyvirt_host.storage.site import Live

local, left = LocalRun(), int(sys.argv[4])

def run(*argv, **rest):
    global left
    out = local(*argv, **rest)
    left -= argv[0] in ("blkdiscard", "sfdisk", "addpart", "delpart") and "--json" not in argv
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return out

pool, live = DiskPool(run), Live.of(sys.argv[1], "")
if sys.argv[2] == "remove":
    pool.remove(live, sys.argv[3])
else:
    from anyvirt_host.storage.wish import Wish
    draft = pool.draft(live, sys.argv[3], "x")
    list(draft.fill(Wish(sys.argv[3], "linux", 4 << 20, 0)))
    draft.publish()
    draft.close()
"""


def test_a_kill_between_two_tools_leaves_a_partition_with_its_node_or_neither(device: Path, label: str) -> None:
    backend, live = built(device, label)
    name = f"{device.name}p1"
    seen = set()
    for what in ("make", "remove"):
        for step in range(1, 6):
            if what == "remove" and not table(device):
                draft = backend.draft(live, name, "x")
                list(draft.fill(backend.wish(wished(name, 4))))
                draft.publish()
                draft.close()
            ended = subprocess.run([sys.executable, "-c", VICTIM, live.text, what, name, str(step)], check=False)
            if ended.returncode == 0:
                assert step > 1
                break
            before = (len(table(device)), len(nodes(device)))
            seen.add((what, *before))
            said = backend.sweep(live)
            assert bool(said) is (before == (1, 0))
            assert backend.sweep(live) == []
            assert nodes(device) == {row: size for row, _, size in table(device)}
            if what == "make" and table(device):
                backend.remove(live, name)
    assert seen == {("make", 0, 0), ("make", 1, 0), ("make", 1, 1), ("remove", 1, 0), ("remove", 0, 0)}


def live_of(device: Path, label: str) -> Live:
    return backend_of("disk", LocalRun()).live(model_of(device, label))


def model_of(device: Path, label: str) -> Pool:
    document: Document[Pool] = Document(described(device, label))
    return document.model


def built(device: Path, label: str) -> tuple[Backend, Live]:
    backend, live = backend_of("disk", LocalRun()), live_of(device, label)
    backend.build(live, model_of(device, label))
    return backend, backend.start(live)


def wished(name: str, size: int) -> Description:
    document: Document[Description] = Document(asked(name, size))
    return document.model


def resize(backend: Backend, live: Live, name: str, size: int) -> None:
    assert isinstance(backend, Resizes)
    list(backend.resize(live, name, size, allocate=True))
