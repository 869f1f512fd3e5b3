"""LVM's programs: their reports as rows, their refusals in codes, and their locks, which are waited for a while."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import Busy, Denied, Exists, Failed, Invalid, NotFound, current

from anyvirt_host.storage.faults import done, full, needing

if TYPE_CHECKING:
    from anyvirt.api import Output, Run

PATIENCE: Final = 20.0  # seconds that another command may keep a lock
REPORT: Final = ("--reportformat", "json", "--units", "b", "--nosuffix")
# Said to every command, so that it tells of a lock at once and is never killed while it waits for one.
CONFIG: Final = ("--config", "global/wait_for_locks=0")
COLUMNS: Final = (
    "lv_name,lv_uuid,lv_size,origin,origin_size,data_percent,lv_layout,lv_role,pool_lv,lv_active,lv_device_open"
)
_TRY: Final = 0.2
_LOCKED: Final = ("flock failed: Resource temporarily unavailable", "Can't get lock for")
_OPEN: Final = ("in use", "contains a filesystem in use", "is used by another device", "open logical volume")
_TAKEN: Final = "already exists"
_GONE: Final = ("not found", "Failed to find logical volume", "Cannot find")
_MISSING: Final = ("while PVs are missing", "Refusing activation of partial LV", "is missing PV")


class Lv(NamedTuple):
    """A logical volume.

    :param size: bytes of the device, whatever of them is set aside.
    :param allocation: bytes that are set aside for it, or that it has written to a thin pool.
    :param kind: ``thick``, ``thin``, ``snapshot`` (of a thick one), ``pool`` (of thin ones) or ``inner``.
    """

    name: str
    uuid: str
    size: int
    allocation: int
    kind: str
    origin: str
    pool: str
    active: bool
    open: bool

    @property
    def inode(self) -> int:
        """What tells it from a later one of its name."""
        return int.from_bytes(sha256(self.uuid.encode()).digest()[:7], "big")


class Vg(NamedTuple):
    """A volume group.

    :param missing: how many of its physical volumes are not there.
    """

    name: str
    uuid: str
    size: int
    free: int
    extent: int
    missing: int


class Lvm:
    """The programs, on whatever host ``run`` runs them."""

    def __init__(self, run: Run, patience: float = PATIENCE) -> None:
        self._run, self._patience = run, patience

    def group(self, name: str) -> Vg:
        """A volume group.

        :raises NotFound: there is none of that name.
        """
        columns = "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size,vg_missing_pv_count"
        for row in self._rows("vg", "vgs", *REPORT, "-o", columns, name):
            size, free, extent = (int(row[key]) for key in ("vg_size", "vg_free", "vg_extent_size"))
            return Vg(row["vg_name"], row["vg_uuid"], size, free, extent, int(row["vg_missing_pv_count"]))
        raise NotFound(name, "file", hint=f"there is no volume group {name!r}: build the pool, or see what vgs tells")

    def volumes(self, group: str, name: str = "") -> list[Lv]:
        """The logical volumes of a group, or the one of that name; none where there is none."""
        rows = self._rows("lv", "lvs", *REPORT, "-o", COLUMNS, f"{group}/{name}" if name else group)
        return [_volume(row) for row in rows]

    def parts(self, group: str, name: str) -> list[tuple[str, int, int]]:
        """The devices that a logical volume is on: first byte and end on each, counted from the first extent."""
        rows = self._rows("seg", "lvs", *REPORT, "--segments", "-o", "seg_pe_ranges,vg_extent_size", f"{group}/{name}")
        found = []
        for row in rows:
            extent = int(row["vg_extent_size"])
            for part in str(row["seg_pe_ranges"]).split():
                device, _, extents = part.rpartition(":")
                first, _, last = extents.partition("-")
                if device.startswith("/") and first.isdigit():
                    found.append((device, int(first) * extent, (int(last or first) + 1) * extent))
        return found

    def devices(self) -> list[tuple[str, str]]:
        """Every physical volume, and the group that it is of."""
        rows = self._rows("pv", "pvs", *REPORT, "-o", "pv_name,vg_name")
        return [(str(row["pv_name"]), str(row["vg_name"])) for row in rows]

    def do(self, *argv: str, about: str) -> Output:
        """Change something.

        :param about: the volume or group that it is about.
        :raises Busy: it is in use, or another command kept a lock for too long.
        :raises Exists: a name is taken.
        :raises Failed: (``file.no-space``) there is no room.
        """
        return self._judged(self._locked(*argv), about)

    def _rows(self, part: str, *argv: str) -> list[dict[str, Any]]:
        out = self._locked(*argv)
        if out.code and any(word in out.err.decode("utf-8", "replace") for word in _GONE):
            return []
        self._judged(out, argv[-1])
        return [row for report in json.loads(out.text)["report"] for row in report.get(part, [])]

    def _locked(self, *argv: str) -> Output:
        end = time.monotonic() + self._patience
        while True:
            with needing(argv[0]):
                out = self._run(*argv, *CONFIG)
            if not out.code or not any(word in out.err.decode("utf-8", "replace") for word in _LOCKED):
                return out
            if time.monotonic() > end:
                hint = "see what runs: ps -C lvm -C vgchange -C lvcreate; try again"
                raise Busy(argv[-1], holder="another command of LVM", purpose="its lock", hint=hint)
            current().check(argv[0])
            time.sleep(_TRY)

    def _judged(self, out: Output, about: str) -> Output:
        if not out.code:
            return out
        said = out.err.decode("utf-8", "replace")
        last = (said.strip().splitlines() or [""])[0].strip()
        if "Permission denied" in said or "Running as a non-root user" in said:
            raise Denied(f"{about!r}: {out.tool} takes root", hint="use storage:///system as root")
        if "insufficient free space" in said or "free extents" in said:
            raise full(f"{about!r}: {last}", "delete a volume, or add a device: vgextend")
        if _TAKEN in said:
            raise Exists("volume", about, holder="a logical volume", hint="choose another name, or delete it")
        if any(word in said for word in _MISSING):
            hint = "bring the device back; or give up what was on it: vgreduce --removemissing"
            raise Failed(f"{about!r}: a physical volume is missing", native={"stderr": said}, hint=hint)
        if any(word in said for word in _OPEN):
            raise Busy(about, holder="whoever has it open", hint=f"lsof tells who has /dev/{about} open")
        if any(word in said for word in _GONE):
            raise NotFound(about, "volume")
        if "name" in said and "is invalid" in said:
            raise Invalid(f"{about!r} is no name of a logical volume", hint="use letters, digits and + _ . -")
        return done(out, about)


def _volume(row: dict[str, Any]) -> Lv:
    layout, role = str(row["lv_layout"]).split(","), str(row["lv_role"]).split(",")
    size = allocation = int(row["lv_size"])
    if "pool" in layout:
        kind = "pool"
    elif "private" in role:
        kind = "inner"
    elif "thin" in layout:
        kind = "thin"
        allocation = int(size * float(row["data_percent"] or 0) / 100)
    elif "thicksnapshot" in role:
        kind = "snapshot"
        size = int(row["origin_size"] or size)
    else:
        kind = "thick"
    origin = str(row["origin"]).strip("[]")
    active, opened = row["lv_active"] == "active", row["lv_device_open"] == "open"
    return Lv(row["lv_name"], row["lv_uuid"], size, allocation, kind, origin, row["pool_lv"], active, opened)
