"""Ports of Open vSwitch: its database keeps them until somebody takes them out."""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Failed, VirtError
from anyvirt_host.local.child import Child

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.cabling import TapUse, VlanUse
    from anyvirt_qemu.run_dir import RunDir

PROGRAM: Final = "ovs-vsctl"
PACKAGE: Final = "openvswitch-switch"
FOLDERS: Final = f"{os.defpath}:/usr/local/bin"
SECONDS: Final = 10.0
GUEST: Final = "external_ids:vm-id"
_log = logging.getLogger(__name__)


def program(folders: str = FOLDERS) -> str | None:
    """Path of the program that talks to the switch; None where it is not installed."""
    return shutil.which(PROGRAM, path=folders)


def plug_in(ready: Preparation, name: str, use: TapUse, folders: str = FOLDERS) -> None:
    """Make a tap a port of the switch's bridge, and say whose it is.

    :raises Failed: the switch does not take it.
    """
    path = program(folders)
    if path is None:
        raise Failed(f"{PROGRAM} is not installed", hint=f"install it (on Debian and Ubuntu: apt install {PACKAGE})")
    guest = ready.record.uuid
    ready.leave("switch-port", name=name, guest=guest, program=path)
    _ask(path, *words(name, use, guest))


def words(name: str, use: TapUse, guest: str) -> list[str]:
    """What the switch is told: all of it in one transaction, as libvirt does it."""
    assert use.switch is not None
    told = {
        "attached-mac": use.mac,
        "iface-id": use.switch.interface or str(uuid.uuid5(uuid.UUID(guest), use.alias)),
        "vm-id": guest,
        "port-profile": use.switch.profile,
        "iface-status": "active",
    }
    found = ["--", "--if-exists", "del-port", name, "--", "add-port", use.bridge or "", name, *_vlans(use.ends.vlans)]
    for key, value in told.items():
        if value:
            found += ["--", "set", "Interface", name, f"external_ids:{key}={json.dumps(value)}"]
    return found


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Take a port out; one that is another guest's by now is left alone.

    The guest has ended whatever the switch says: a switch that does not answer is told of in the log.
    """
    name, path = str(entry["name"]), str(entry["program"])
    try:
        whose = _ask(path, "--", "--if-exists", "get", "Interface", name, GUEST).strip().strip('"')
        if whose == entry["guest"]:
            _ask(path, "--", "--if-exists", "del-port", name)
    except VirtError as error:
        _log.warning("port %s is left in Open vSwitch: %s", name, error.message)


def _vlans(vlans: tuple[VlanUse, ...]) -> list[str]:
    if not vlans:
        return []
    native = next((vlan for vlan in vlans if vlan.native), None)
    if len(vlans) == 1 and native is not None and native.untagged:
        return [f"tag={native.number}"]
    found = [f"trunks=[{','.join(str(vlan.number) for vlan in vlans)}]"]
    if native is not None:
        found += [f"vlan_mode=native-{'untagged' if native.untagged else 'tagged'}", f"tag={native.number}"]
    return found


def _ask(path: str, *what: str) -> str:
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    try:
        with Child([path, "--timeout=5", *what], out=said) as child:
            code = child.wait(SECONDS)
            errors = child.errors().strip()
        if code != 0:
            native = {"code": code, "text": errors}
            raise Failed(f"Open vSwitch: {errors or 'no answer'}", native=native, hint=f"{PROGRAM} show")
        return os.pread(said, 4096, 0).decode(errors="replace")
    finally:
        os.close(said)
