"""Folders of the host that the guest sees."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Filesystem

from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.write import Lines

OFF: Final = "isolation.tools.hgfs.disable"


def read(v: Settings) -> dict[str, Any]:
    """Fields of the domain."""
    off = v.flag(OFF)
    found = [_share(v, number, off) for (number,) in v.numbered(r"sharedfolder([0-9]{1,3})")]
    v.skip("sharedfolder.")
    return {"filesystems": tuple(share for share in found if share is not None)}


def write(x: Any, w: Lines) -> None:
    """Every folder, and that they are seen at all."""
    if not x.filesystems:
        return
    w.put(OFF, False)
    w.put("sharedFolder.maxNum", len(x.filesystems))
    for number, share in enumerate(x.filesystems):
        place = f"sharedFolder{number}"
        if share.type not in {None, "mount"} or not share.source_dir or not share.target:
            w.refuse(share, "type", "folders of the host are shared alone", "write type='mount', a source and a target")
            continue
        if share.accessmode not in {None, "passthrough"}:
            w.refuse(share, "accessmode", "owners are those of the host", "write passthrough")
        w.put(f"{place}.present", True)
        w.put(f"{place}.enabled", True)
        w.put(f"{place}.readAccess", True)
        w.put(f"{place}.writeAccess", not share.readonly)
        w.put(f"{place}.hostPath", share.source_dir)
        w.put(f"{place}.guestName", share.target)


def _share(v: Settings, number: int, off: bool) -> Any:
    place = f"sharedFolder{number}"
    if off or not v.flag(f"{place}.present") or not v.flag(f"{place}.enabled", default=True):
        v.skip(f"{place}.")
        return None
    folder, name = v.text(f"{place}.hostPath"), v.text(f"{place}.guestName")
    if folder is None or name is None:
        key = "hostPath" if folder is None else "guestName"
        v.wrong(f"{place}.{key}", "a shared folder has a path and a name", "give it", "config.missing")
        return None
    readonly = not v.flag(f"{place}.writeAccess")
    fields: dict[str, Any] = {"type": "mount", "accessmode": "passthrough"}
    return Filesystem(**fields, source_dir=folder, target=name, readonly=readonly)
