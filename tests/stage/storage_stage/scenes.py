"""What kinds of pools that need a server do with real tools: played in the labs, and again from what was said there.

``python -m storage_stage.record FOLDER`` writes what is said, on a machine that has the servers.
"""

from __future__ import annotations

from typing import Final

import pytest
from anyvirt.api import Busy, Denied, Document, Invalid, NotFound, Pool, PoolSource, Run, Secret, Unsupported, Volume
from anyvirt_host.storage.kinds.cluster import Cluster
from anyvirt_host.storage.kinds.iscsi_direct import IscsiDirectPool
from anyvirt_host.storage.kinds.rbd import RbdPool
from anyvirt_host.storage.site import Live

from storage_stage.tgt import HIDDEN, INITIATOR, LOCKED, OPEN, PASSWORD, SIZES, USER

MIB: Final = 1 << 20
# What ``rbd`` has to be told of before the scene: each image by name, with its size in MiB.
IMAGES: Final = {"one": 8, "two": 12, "three": 16, "four": 4, "plain": 4}
FOLDER: Final = "/run/anyvirt-rbd.recorded"


def cluster(folder: str) -> Live:
    """A pool of a cluster that was started, with its key in a folder."""
    made = Cluster(("127.0.0.1",), "", "", ())
    return Live("rbd", "libvirt", "127.0.0.1/libvirt", more={**made._asdict(), "folder": folder})


def images(run: Run, folder: str = FOLDER) -> None:
    """Images that are there, with a copy ``four`` that stands on ``one``, and ``plain`` without an object map."""
    pool, live = RbdPool(run), cluster(folder)
    assert {found.name for found in pool.names(live)} == set(IMAGES)
    one = pool.look(live, "one")
    assert one
    assert (one.type, one.physical, one.allocation) == ("network", 8 * MIB, 0)
    plain = pool.look(live, "plain")
    assert plain
    assert plain.allocation == plain.physical == 4 * MIB
    assert pool.look(live, "missing") is None
    seen = pool.looks(live, sorted(IMAGES))
    assert {name: sight.physical // MIB for name, sight in seen.items()} == IMAGES
    assert seen["one"].inode == one.inode
    assert not pool.in_use(live, "one")
    assert pool.protocol(live, "one")["conf"] == f"{folder}/ceph.conf"
    told = pool.volume_told(live, "one", Document[Volume]("<volume><name>one</name></volume>").model)
    assert told.target
    assert told.target.permissions is None
    room = pool.room(live)
    assert room.capacity >= room.available >= 0
    with pytest.raises(Busy, match="four"):
        pool.remove(live, "one")
    with pytest.raises(Unsupported):
        list(pool.resize(live, "two", 16 * MIB, allocate=True))
    for size in (24, 10):
        list(pool.resize(live, "two", size * MIB, allocate=False))
    pool.remove(live, "four")
    pool.remove(live, "one")
    with pytest.raises(NotFound):
        pool.remove(live, "one")
    assert {found.name for found in pool.names(live)} == {"two", "three", "plain"}
    elsewhere = live._replace(path="nowhere")
    with pytest.raises(NotFound):
        list(pool.names(elsewhere))


def described(portal: str, iqn: str, auth: str = "") -> Pool:
    """A pool of a target."""
    host, _, port = portal.rpartition(":")
    source = (
        f"<host name='{host}' port='{port}'/><device path='{iqn}'/>{auth}"
        f"<initiator><iqn name='{INITIATOR}'/></initiator>"
    )
    return Document[Pool](f"<pool type='iscsi-direct'><name>p</name><source>{source}</source></pool>").model


def units(run: Run, portal: str = "127.0.0.1:3260") -> None:
    """Units of targets, one of which wants a password."""
    shown = [PASSWORD]
    pool = IscsiDirectPool(run, lambda use, _: Secret(shown[-1]) if use == "iscsi" else pytest.fail(use))
    host, _, port = portal.rpartition(":")
    asked = f"<source><host name='{host}' port='{port}'/><initiator><iqn name='{INITIATOR}'/></initiator></source>"
    found = pool.sources(Document[PoolSource](asked).model)
    assert [source.devices[0].path for source in found.sources] == sorted([HIDDEN, LOCKED, OPEN])
    with pytest.raises(Invalid):
        pool.sources(None)
    for iqn in (OPEN, HIDDEN):
        live = pool.start(pool.live(described(portal, iqn)))
        assert [name.name for name in pool.names(live)] == [f"unit:0:0:{lun}" for lun in SIZES]
        assert {pool.place(live, name.name) for name in pool.names(live)} == {
            f"ip-{portal}-iscsi-{iqn}-lun-{lun}" for lun in SIZES
        }
    room = pool.room(pool.live(described(portal, OPEN)))
    assert (room.capacity, room.available) == (sum(SIZES.values()), 0)
    live = pool.live(described(portal, OPEN))
    assert pool.look(live, "unit:0:0:0") is None
    assert pool.look(live, "unit:0:0:9") is None
    with pytest.raises(Unsupported):
        list(pool.wipe(live, "unit:0:0:1", "trim"))
    auth = f"<auth username='{USER}' type='chap'><secret usage='lab'/></auth>"
    locked = pool.start(pool.live(described(portal, LOCKED, auth)))
    sight = pool.look(locked, "unit:0:0:1")
    assert sight
    assert sight.physical == SIZES[1]
    shown.append("another password")
    with pytest.raises(Denied):
        pool.look(locked, "unit:0:0:1")
    with pytest.raises(Denied):
        pool.start(pool.live(described(portal, LOCKED)))
    with pytest.raises(NotFound):
        pool.look(pool.live(described(portal, f"{OPEN}-not")), "unit:0:0:1")
