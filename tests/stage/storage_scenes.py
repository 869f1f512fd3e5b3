"""What kinds of pools do with real tools: played on a machine that has them, and again from what they said there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from anyvirt.api import (
    Busy,
    Denied,
    Document,
    Exists,
    Failed,
    Invalid,
    NotFound,
    Pool,
    PoolSource,
    Run,
    Secret,
    Unreachable,
    Unsupported,
    Volume,
    WrongState,
)
from anyvirt_host.storage.images.origin import Origin
from anyvirt_host.storage.kinds.iscsi import IscsiPool
from anyvirt_host.storage.kinds.logical import LogicalPool
from anyvirt_host.storage.kinds.mpath import MpathPool
from anyvirt_host.storage.kinds.net import NetPool
from anyvirt_host.storage.kinds.scsi import ScsiPool
from anyvirt_host.storage.site import Live

MIB: Final = 1 << 20
GROUP: Final = "store"
DISKS: Final = ("/dev/vdb", "/dev/vdc")
MOUNT: Final = "/mnt"
SERVER: Final = "127.0.0.1"
PASSWORDS: Final = {"right": "sesamesesame", "wrong": "open-sesame-"}
Scene = Callable[[Run], None]


def pool_of(text: str) -> Pool:
    """A pool's definition."""
    return Document[Pool](text).model


def group_xml(name: str = GROUP, devices: tuple[str, ...] = DISKS) -> str:
    """A volume group's."""
    source = "".join(f"<device path='{path}'/>" for path in devices)
    return f"<pool type='logical'><name>{name}</name><source>{source}<name>{name}</name></source></pool>"


def net_xml(kind: str, folder: str, *, host: str = SERVER, more: str = "", target: str = MOUNT) -> str:
    """A definition of a pool of that kind of server."""
    source = f"<host name='{host}'/><dir path='{folder}'/><format type='{kind}'/>{more}"
    return f"<pool type='netfs'><name>n</name><source>{source}</source><target><path>{target}</path></target></pool>"


def target_xml(iqn: str, *, port: int = 3260, more: str = "", host: str = SERVER) -> str:
    """A definition of a pool on an iSCSI target."""
    source = f"<host name='{host}' port='{port}'/><device path='{iqn}'/>{more}"
    path = "<target><path>/dev/disk/by-path</path></target>"
    return f"<pool type='iscsi'><name>t</name><source>{source}</source>{path}</pool>"


def secret(use: str, text: str) -> Secret:
    """The value of a secret."""
    assert use in ("iscsi", "none")
    return Secret(PASSWORDS[text])


def volume_of(name: str, size: int | None, allocation: int | None = None, below: str = "") -> Volume:
    """The description of a volume."""
    store = f"<backingStore><path>{below}</path><format type='raw'/></backingStore>" if below else ""
    sizes = "" if size is None else f"<capacity>{size}</capacity>"
    sizes += "" if allocation is None else f"<allocation>{allocation}</allocation>"
    return Document[Volume](f"<volume><name>{name}</name>{sizes}{store}</volume>").model


def made(pool: LogicalPool, live: Live, model: Volume, origin: Origin | None = None, **how: Any) -> None:
    """Make a logical volume."""
    wish = pool.wish(model)
    if wish.backing:
        wish = pool.stand(live, wish)
    draft = pool.draft(live, wish.name, "0123456789ab")
    try:
        for _ in draft.copy(wish, origin, **how) if origin else draft.fill(wish):
            pass
        draft.publish()
    except BaseException:
        draft.drop()
        raise


def seen(pool: Any, live: Live) -> dict[str, str]:
    """What a listing shows, and why some of it is no volume."""
    return {found.name: found.odd for found in pool.names(live)}


def groups(run: Run) -> None:
    """A volume group from its making to its end."""
    pool = LogicalPool(run, who="somebody")
    model = pool_of(group_xml())
    live = pool.live(model)
    with pytest.raises(NotFound, match=GROUP):
        pool.start(live)
    pool.build(live, model)
    with pytest.raises(Exists, match=GROUP):
        pool.build(live, model, overwrite=True)
    other = pool_of(group_xml("other", DISKS[:1]))
    with pytest.raises(Busy, match=GROUP):
        pool.build(pool.live(other), other, overwrite=True)
    live = pool.start(live)
    assert pool.start(live) == live
    room = pool.room(live)
    assert room.capacity == room.available == 1016 * MIB
    assert [(one.name, [device.path for device in one.devices]) for one in pool.sources(None).sources] == [
        (GROUP, list(DISKS))
    ]
    made(pool, live, volume_of("one", 8 * MIB))
    with pytest.raises(Invalid, match="one"):
        pool.delete(live)
    pool.stop(live)
    assert seen(pool, live)["one"].startswith("not active")
    assert pool.look(live, "one") is None
    pool.start(live)
    assert seen(pool, live) == {"one": ""}
    pool.remove(live, "one")
    pool.stop(live)
    pool.delete(live)
    with pytest.raises(NotFound):
        pool.room(live)
    pool.stop(live)


def thick(run: Run) -> None:
    """Volumes whose space is set aside: made, resized, snapped, copied and removed."""
    pool = LogicalPool(run, who="somebody")
    model = pool_of(group_xml())
    live = pool.live(model)
    pool.build(live, model, overwrite=True)
    pool.start(live)
    made(pool, live, volume_of("one", 15 * MIB + 1))
    sight = pool.look(live, "one")
    assert sight
    assert (sight.type, sight.physical, sight.allocation) == ("block", 16 * MIB, 16 * MIB)
    with pytest.raises(Exists):
        made(pool, live, volume_of("one", MIB))
    with pytest.raises(Failed) as failed:
        made(pool, live, volume_of("large", 1 << 40))
    assert failed.value.code == "file.no-space"
    assert pool.look(live, "large") is None
    run("dd", "if=/dev/urandom", f"of=/dev/{GROUP}/one", "bs=1M", "count=1", "conv=fsync")
    made(pool, live, volume_of("snap", None, below=f"/dev/{GROUP}/one"))
    told = pool.volume_told(live, "snap", volume_of("snap", None))
    assert told.backing_store
    assert told.backing_store.path == f"/dev/{GROUP}/one"
    assert pool.head(live, "snap", 512) == pool.head(live, "one", 512) != bytes(512)
    with pytest.raises(Busy, match="snap"):
        pool.remove(live, "one")
    pool.remove(live, "snap")
    extents = pool.volume_told(live, "one", volume_of("one", None)).source_devices
    assert [(one.path, [(part.start, part.end) for part in one.extents]) for one in extents] == [
        (DISKS[0], [(0, 16 * MIB)])
    ]
    for size in (32 * MIB, 8 * MIB):
        list(pool.resize(live, "one", size, allocate=False))
        sight = pool.look(live, "one")
        assert sight
        assert sight.physical == size
    origin = Origin(f"/dev/{GROUP}/one", "raw", {"driver": "host_device", "filename": f"/dev/{GROUP}/one"}, 8 * MIB)
    made(pool, live, volume_of("copy", 12 * MIB), origin)
    assert pool.head(live, "copy", 512) == pool.head(live, "one", 512)
    with pytest.raises(Unsupported):
        made(pool, live, volume_of("linked", 8 * MIB), origin, reflink=True)
    assert seen(pool, live) == {"one": "", "copy": ""}
    emptied(pool, live)


def thin(run: Run) -> None:
    """Volumes whose space is taken as they are written."""
    pool = LogicalPool(run, who="somebody")
    model = pool_of(group_xml())
    live = pool.live(model)
    pool.build(live, model, overwrite=True)
    pool.start(live)
    with pytest.raises(Invalid, match="no pool of thin volumes"):
        made(pool, live, volume_of("thin", 1 << 30, 0))
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "128m", GROUP)
    made(pool, live, volume_of("thin", 1 << 30, 0))
    assert seen(pool, live) == {"thin": ""}
    sight = pool.look(live, "thin")
    assert sight
    assert (sight.physical, sight.allocation) == (1 << 30, 0)
    run("dd", "if=/dev/urandom", f"of=/dev/{GROUP}/thin", "bs=1M", "count=10", "conv=fsync")
    sight = pool.look(live, "thin")
    assert sight
    assert 9 * MIB < sight.allocation < 12 * MIB
    made(pool, live, volume_of("snap", 2 << 30, below=f"/dev/{GROUP}/thin"))
    sight = pool.look(live, "snap")
    assert sight
    assert sight.physical == 2 << 30
    origin = Origin(f"/dev/{GROUP}/thin", "raw", {"driver": "host_device", "filename": f"/dev/{GROUP}/thin"}, 1 << 30)
    made(pool, live, volume_of("linked", 1 << 30), origin, reflink=True)
    assert pool.head(live, "linked", 512) == pool.head(live, "thin", 512) != bytes(512)
    with pytest.raises(Unsupported):
        list(pool.resize(live, "linked", 2 << 30, allocate=True))
    pool.remove(live, "thin")
    assert pool.head(live, "linked", 1) == pool.head(live, "snap", 1)
    assert seen(pool, live) == {"snap": "", "linked": ""}
    for name in ("snap", "linked"):
        pool.remove(live, name)
    run("lvremove", "--yes", f"{GROUP}/pool")
    emptied(pool, live)


def faults(run: Run) -> None:
    """A volume that is open, a lock that is held, a maker that was killed, a device that is gone."""
    pool, hasty = (LogicalPool(run, who="somebody", patience=patience) for patience in (30.0, 0.0))
    model = pool_of(group_xml())
    live = pool.live(model)
    pool.build(live, model, overwrite=True)
    pool.start(live)
    made(pool, live, volume_of("one", 600 * MIB))
    run("dmsetup", "create", "holder", "--table", f"0 2048 linear /dev/{GROUP}/one 0")
    assert pool.in_use(live, "one")
    with pytest.raises(Busy, match=f"/dev/{GROUP}/one"):
        pool.stop(live)
    with pytest.raises(Busy):
        pool.remove(live, "one")
    run("dmsetup", "remove", "holder")
    assert not pool.in_use(live, "one")
    lock = f"/run/lock/lvm/V_{GROUP}"
    run("sh", "-c", f"(exec flock {lock} sleep 8 >/dev/null 2>&1 </dev/null &)")
    with pytest.raises(Busy, match="another command of LVM"):
        hasty.remove(live, "one")
    run("flock", lock, "true")
    draft = pool.draft(live, "two", "fedcba987654")
    list(draft.fill(pool.wish(volume_of("two", MIB))))
    assert sorted(map(bool, seen(pool, live).values())) == [False, True]
    assert pool.making(live) == 0
    assert pool.sweep(live) == []
    assert len(pool.sweep(live, "fedcba987654")) == 1
    assert seen(pool, live) == {"one": ""}
    pool.stop(live)
    run("sh", "-c", "echo 1 >/sys/block/vdc/device/../remove; sleep 1")
    with pytest.raises(Failed, match="physical volume is missing"):
        pool.start(live)
    with pytest.raises(Failed, match="physical volume is missing"):
        made(pool, live, volume_of("two", MIB))
    run("sh", "-c", "echo 1 >/sys/bus/pci/rescan; udevadm settle; sleep 1")
    pool.start(live)
    emptied(pool, live)


def emptied(pool: LogicalPool, live: Live) -> None:
    """Remove everything."""
    for name in seen(pool, live):
        pool.remove(live, name)
    pool.stop(live)
    pool.delete(live)


def nfs(run: Run) -> None:
    """What a server of NFS exports."""
    pool = NetPool(run)
    found = pool.sources(Document[PoolSource](f"<source><host name='{SERVER}'/></source>").model).sources
    assert [(one.dir, str(one.format)) for one in found] == [("/srv/nfs", "nfs")]
    live = pool.start(pool.live(pool_of(net_xml("nfs", "/srv/nfs/"))))
    assert pool.start(live) == live
    with pytest.raises(Busy, match="/srv/nfs"):
        pool.start(pool.live(pool_of(net_xml("nfs", "/srv/other"))))
    run("sh", "-c", f"(cd {MOUNT} && exec sleep 1000 >/dev/null 2>&1 </dev/null & echo $! >/run/holder)")
    with pytest.raises(Busy, match="file open"):
        pool.stop(live)
    run("sh", "-c", "kill $(cat /run/holder); sleep 1")
    pool.stop(live)
    pool.stop(live)
    live = pool.start(pool.live(pool_of(net_xml("nfs", "/srv/nfs", more="<protocol ver='4.1'/>"))))
    assert "vers=4.1" in run("findmnt", "--noheadings", "--output", "OPTIONS", MOUNT).text
    assert {"nodev", "nosuid", "noexec"} <= set(
        run("findmnt", "--noheadings", "--output", "OPTIONS", MOUNT).text.split(",")
    )
    pool.stop(live)
    with pytest.raises(Denied, match="access denied"):
        pool.start(pool.live(pool_of(net_xml("nfs", "/srv/gone"))))
    with pytest.raises(Unreachable) as lost:
        pool.start(pool.live(pool_of(net_xml("nfs", "/srv/nfs", host="store.invalid"))))
    assert lost.value.stage == "resolve"
    with pytest.raises(Unreachable):
        pool.sources(Document[PoolSource]("<source><host name='store.invalid'/></source>").model)
    run("mv", "/sbin/mount.nfs", "/sbin/away.nfs")
    with pytest.raises(Unsupported) as lacking:
        pool.start(pool.live(pool_of(net_xml("nfs", "/srv/nfs"))))
    assert "nfs-common" in lacking.value.hint
    run("mv", "/sbin/away.nfs", "/sbin/mount.nfs")


def cifs(run: Run) -> None:
    """What a server of CIFS shares, with everybody and with those who know a password."""
    pool = NetPool(run, secret)
    live = pool.start(pool.live(pool_of(net_xml("cifs", "open"))))
    pool.stop(live)
    for name, opens in (("wrong", False), ("right", True)):
        auth = f"<auth username='joe'><secret usage='{name}'/></auth>"
        closed = pool.live(pool_of(net_xml("cifs", "/closed/", more=auth)))
        if opens:
            pool.stop(pool.start(closed))
        else:
            with pytest.raises(Denied, match="closed"):
                pool.start(closed)
    with pytest.raises(NotFound, match="nothing"):
        pool.start(pool.live(pool_of(net_xml("cifs", "nothing"))))
    with pytest.raises(Unreachable):
        pool.start(pool.live(pool_of(net_xml("cifs", "open", host="127.0.0.9"))))


def gluster(run: Run) -> None:
    """A volume of GlusterFS."""
    pool = NetPool(run)
    asked = "<source><host name='10.0.2.15'/><format type='glusterfs'/></source>"
    assert [one.dir for one in pool.sources(Document[PoolSource](asked).model).sources] == ["/gv"]
    pool.stop(pool.start(pool.live(pool_of(net_xml("glusterfs", "/gv", host="10.0.2.15")))))
    with pytest.raises(Failed):
        pool.start(pool.live(pool_of(net_xml("glusterfs", "/none", host="10.0.2.15"))))


def iscsi(run: Run) -> None:
    """Targets of iSCSI, open and with CHAP."""
    pool = IscsiPool(run, secret)
    found = pool.sources(Document[PoolSource](f"<source><host name='{SERVER}'/></source>").model).sources
    assert [one.devices[0].path for one in found] == ["iqn.2026-01.test:locked", "iqn.2026-01.test:store"]
    live = pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:store"))))
    assert pool.start(live) == live
    names = sorted(seen(pool, live))
    assert names == ["unit:0:0:1", "unit:0:0:2"]
    place = pool.place(live, "unit:0:0:2")
    assert place == "/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-iqn.2026-01.test:store-lun-2"
    assert pool.called(live, place) == "unit:0:0:2"
    sight = pool.look(live, "unit:0:0:2")
    assert sight
    assert (sight.type, sight.physical) == ("block", 32 * MIB)
    assert pool.room(live) == (96 * MIB, 0)
    assert pool.head(live, "unit:0:0:1", 512) == bytes(512)
    with pytest.raises(Unsupported):
        pool.wish(volume_of("unit:0:0:3", MIB))
    server = ("tgtadm", "--lld", "iscsi", "--mode", "logicalunit", "--tid", "1", "--lun", "2")
    run(*server, "--op", "delete")
    assert run("dd", f"if={place}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct").code != 0
    pool.refresh(live)
    assert sorted(seen(pool, live)) == names
    run(*server, "--op", "new", "--backing-store", "/srv/unit2")
    pool.stop(live)
    with pytest.raises(WrongState, match="logged out"):
        list(pool.names(live))
    pool.stop(live)
    assert run("iscsiadm", "--mode", "node").code == 21
    initiator = "<initiator><iqn name='iqn.2026-01.test:somebody'/></initiator>"
    live = pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:store", more=initiator))))
    said = run("sh", "-c", "cat /sys/class/iscsi_session/*/initiatorname").text.split()
    assert said == ["iqn.2026-01.test:somebody"]
    pool.stop(live)


def refused(run: Run) -> None:
    """Log-ins that a server refuses, and servers that do not answer."""
    pool = IscsiPool(run, secret)
    for name, opens in (("wrong", False), ("right", True)):
        auth = f"<auth type='chap' username='joe'><secret usage='{name}'/></auth>"
        locked = pool.live(pool_of(target_xml("iqn.2026-01.test:locked", more=auth)))
        if opens:
            live = pool.start(locked)
            assert list(seen(pool, live)) == ["unit:0:0:1"]
            pool.stop(live)
        else:
            with pytest.raises(Denied, match="refuses"):
                pool.start(locked)
    with pytest.raises(Denied, match="refuses"):
        pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:locked"))))
    with pytest.raises(NotFound, match="elsewhere") as lost:
        pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:elsewhere"))))
    assert "iqn.2026-01.test:store" in lost.value.hint
    with pytest.raises(Unreachable):
        pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:store", port=3261))))
    with pytest.raises(Unreachable):
        pool.start(pool.live(pool_of(target_xml("iqn.2026-01.test:store", host="store.invalid"))))
    assert run("iscsiadm", "--mode", "node").code == 21


def scsi(run: Run) -> None:
    """Units behind adapters: those of a simulated one, and those of an emulated one that is told by its place."""
    pool = ScsiPool(run)
    script = "grep -l -x scsi_debug /sys/class/scsi_host/*/proc_name | cut -d/ -f5"
    name = run("sh", "-c", script).text.split()[0]
    assert f"scsi_{name}" in [one.adapter.name for one in pool.sources(None).sources if one.adapter]
    adapter = f"<adapter type='scsi_host' name='scsi_{name}'/>"
    xml = f"<pool type='scsi'><name>s</name><source>{adapter}</source></pool>"
    live = pool.start(pool.live(pool_of(xml)))
    assert list(seen(pool, live)) == ["unit:0:0:0", "unit:0:0:1"]
    assert pool.room(live) == (2 * 48 * MIB, 0)
    node = pool.place(live, "unit:0:0:1")
    assert node.startswith("/dev/sd")
    run("sh", "-c", f"echo 1 >/sys/block/{node.removeprefix('/dev/')}/device/delete")
    assert pool.look(live, "unit:0:0:1") is None
    pool.refresh(live)
    sight = pool.look(live, "unit:0:0:1")
    assert sight
    assert sight.physical == 48 * MIB
    pool.stop(live)
    with pytest.raises(NotFound, match="scsi_host99") as lost:
        pool.start(pool.live(pool_of(xml.replace(name, "host99"))))
    assert name in lost.value.hint
    place = "<parentaddr unique_id='0'><address domain='0x0000' bus='0x00' slot='0x08' function='0x0'/></parentaddr>"
    xml = f"<pool type='scsi'><name>s</name><source><adapter type='scsi_host'>{place}</adapter></source></pool>"
    live = pool.start(pool.live(pool_of(xml)))
    assert list(seen(pool, live)) == ["unit:0:1:0", "unit:0:1:1"]
    path = "/dev/disk/by-path/pci-0000:00:08.0-scsi-0:0:1:1"
    assert pool.place(live, "unit:0:1:1") == path
    assert pool.called(live, path) == "unit:0:1:1"
    assert not pool.in_use(live, "unit:0:1:1")
    wwns = "wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'"
    xml = f"<pool type='scsi'><name>s</name><source><adapter type='fc_host' {wwns}/></source></pool>"
    with pytest.raises(NotFound, match="virtual port"):
        pool.start(pool.live(pool_of(xml)))


def mpath(run: Run) -> None:
    """Devices that are reached over two paths."""
    pool = MpathPool(run)
    live = pool.start(pool.live(pool_of("<pool type='mpath'><name>m</name></pool>")))
    assert sorted(seen(pool, live)) == ["mpatha", "mpathb"]
    assert pool.room(live) == (2 * 48 * MIB, 0)
    sight = pool.look(live, "mpatha")
    assert sight
    assert (sight.type, sight.physical) == ("block", 48 * MIB)
    assert pool.place(live, "mpatha") == "/dev/mapper/mpatha"
    assert pool.head(live, "mpatha", 512) == bytes(512)
    assert not pool.in_use(live, "mpatha")
    run("dmsetup", "create", "holder", "--table", "0 2048 linear /dev/mapper/mpatha 0")
    assert pool.in_use(live, "mpatha")
    assert sorted(seen(pool, live)) == ["mpatha", "mpathb"]
    run("dmsetup", "remove", "holder")
    assert pool.look(live, "holder") is None
    with pytest.raises(Unsupported):
        pool.remove(live, "mpatha")
    pool.stop(live)


# By the tool that spoke: its name is in the name of what was recorded.
SCENES: Final[dict[str, Scene]] = {
    "lvm2-groups": groups,
    "lvm2-thick": thick,
    "lvm2-thin": thin,
    "lvm2-faults": faults,
    "nfs-common": nfs,
    "cifs-utils": cifs,
    "glusterfs-client": gluster,
    "open-iscsi": iscsi,
    "open-iscsi-refused": refused,
    "udev-scsi": scsi,
    "multipath-tools": mpath,
}
