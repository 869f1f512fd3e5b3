"""Who a machine is, and what it boots: name, UUIDs, guest system, firmware, boot order."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from anyvirt.api import FirmwareFeature, OsBoot, meaningless

from anyvirt_esx.vmx.parse import NAMES_MAX, Settings, unpercented
from anyvirt_esx.vmx.write import Lines, percented

# what ESXi 6.5 and Workstation 14 understand, and what came after them
HARDWARE: Final = 13
HARDWARE_LEAST: Final = 4
HARDWARE_MOST: Final = 99
NIL: Final = "0" * 32
BOOTS: Final = {"hdd": "hd", "cdrom": "cdrom", "floppy": "fd", "ethernet": "network"}
STEPS: Final = {"hd": "hdd", "cdrom": "cdrom", "fd": "floppy", "network": "ethernet0"}
OTHERS: Final = {"x86_64": "other-64", "i686": "other", "aarch64": "arm-other-64", None: "other"}
ORDERED: Final = ("disks", "interfaces", "hostdevs", "redirdevs", "filesystems")


def read(v: Settings) -> dict[str, Any]:
    """Fields of the domain."""
    if v.text("config.version") is None:
        v.wrong("config.version", "a VMX file says its version", 'write config.version = "8"', "config.missing")
    elif v.text("config.version") != "8":
        v.wrong("config.version", "only version 8 is known", "save it with a newer product")
    hardware = v.number("virtualHW.version", HARDWARE_LEAST, HARDWARE_MOST)
    if hardware is not None and hardware != HARDWARE:
        v.note(f"left out: version {hardware} of the virtual hardware (what is written has {HARDWARE})")
    fields = {
        "name": _name(v),
        "uuid": _uuid(v, "uuid.bios"),
        "genid": _genid(v),
        "description": v.text("annotation"),
        "os": _os(v),
    }
    return {name: value for name, value in fields.items() if value is not None}


def write(x: Any, w: Lines) -> None:
    """The first settings of a file."""
    w.put("config.version", 8)
    w.put("virtualHW.version", w.hardware)
    arch = x.os.arch if x.os is not None else None
    if arch not in OTHERS:
        w.refuse(x.os, "arch", f"there are no machines of {arch}", "i686, x86_64 and aarch64 are possible")
    w.put("guestOS", OTHERS.get(arch, "other"))
    digits = (x.uuid or NIL).replace("-", "")
    if digits == NIL:
        w.put("uuid.action", "create")
    else:
        w.put("uuid.bios", spaced(digits))
    w.put("displayName", percented(x.name))
    if x.description:
        w.put("annotation", x.description)
    if x.genid:
        for key, half in (("vm.genid", x.genid.replace("-", "")[:16]), ("vm.genidX", x.genid.replace("-", "")[16:])):
            number = int(half, 16)
            w.put(key, number - (1 << 64) if number >> 63 else number)
    elif x.genid is not None:
        w.refuse(x, "genid", "a new one is made by the server alone", "write one, or take it out")


def write_last(x: Any, w: Lines) -> None:
    """Firmware and the order of booting."""
    os = x.os
    if os is None:
        return
    if os.type not in {None, "hvm"}:
        w.refuse(os, "type", "every machine is a full one", "write hvm")
    if os.firmware == "efi":
        w.put("firmware", "efi")
    for feature in os.firmware_features:
        if feature.name == "secure-boot":
            w.put("uefi.secureBoot.enabled", bool(feature.enabled))
    if os.smbios == "host":
        w.put("smbios.reflecthost", True)
    elif os.smbios not in {None, "emulate"}:
        w.refuse(os, "smbios", "its tables are the product's or the host's", "write emulate or host")
    boots = [boot.dev for boot in os.boots]
    order = _devices_in_order(x)
    if order and boots:
        w.refuse(os, "boots", "devices have places in the order, too", "keep one of the two", "config.conflict")
    steps = order or [STEPS[boot] for boot in boots]
    if steps:
        w.put("bios.bootOrder", ",".join(dict.fromkeys(steps)))
    meaningless(os, "machine")


def spaced(digits: str) -> str:
    """Sixteen bytes in VMware's way: ``56 4d ... e0-c8 ... 15``."""
    parts = [digits[place : place + 2] for place in range(0, 32, 2)]
    return f"{' '.join(parts[:8])}-{' '.join(parts[8:])}"


def uuid_of(text: str) -> str | None:
    """The UUID that sixteen bytes in VMware's way are; None where they are none."""
    digits = re.sub(r"[ -]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        return None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _name(v: Settings) -> str:
    name = unpercented(v.text("displayName") or "").replace("\n", " ")
    if name.strip():
        return name
    for key in ("extendedConfigFile", "nvram"):
        name = PurePosixPath(v.text(key) or "").stem
        if name:
            break
    v.note(f"it has no displayName: called {name or 'guest'}")
    return name or "guest"


def _uuid(v: Settings, key: str) -> str | None:
    text = v.text(key)
    if text is None:
        return None
    found = uuid_of(text)
    if found is None:
        v.wrong(
            key, "it is not sixteen bytes in hexadecimal", "such as 56 4d 9b ef ac d9 b4 e0-c8 f0 ae a8 b9 10 35 15"
        )
    return found


def _genid(v: Settings) -> str | None:
    halves = [v.number(key, -(1 << 63), (1 << 63) - 1) or 0 for key in ("vm.genid", "vm.genidX")]
    digits = "".join(f"{half % (1 << 64):016x}" for half in halves)
    return uuid_of(digits) if digits != NIL else None


def _os(v: Settings) -> Any:
    from anyvirt.api import Os

    system = (v.text("guestOS") or "other").lower()
    arch = "i686"
    if system.startswith("arm-"):
        arch = "aarch64"
    elif system.endswith("-64"):
        arch = "x86_64"
    if system not in {"other", "other-64", "arm-other-64"}:
        v.note(f"left out: the guest's system, {system} (only whether it has 64 bits is kept)")
    fields: dict[str, Any] = {"type": "hvm", "arch": arch}
    firmware = v.one_of("firmware", {"bios": "", "efi": "efi"})
    if firmware:
        fields["firmware"] = firmware
    if v.flag("uefi.secureBoot.enabled") and firmware:
        fields["firmware_features"] = (FirmwareFeature(enabled=True, name="secure-boot"),)
    if v.flag("smbios.reflecthost"):
        fields["smbios"] = "host"
    fields["boots"] = tuple(_steps(v))
    return Os(**fields)


def _steps(v: Settings) -> list[OsBoot]:
    found: list[Any] = []
    strange: list[str] = []
    for word in (v.text("bios.bootOrder") or "").lower().removeprefix("allow:").split(","):
        step = word.strip().rstrip("0123456789")
        if step in BOOTS:
            found.append(BOOTS[step])
        elif step:
            strange.append(step[:40])
    if strange:
        v.note(f"left out, of the boot order: {', '.join(strange[:NAMES_MAX])}")
    return [OsBoot(dev=step) for step in dict.fromkeys(found)]


def _devices_in_order(x: Any) -> list[str]:
    """Kinds of devices as their places in the boot order have them."""
    found = []
    for name in ORDERED:
        for number, one in enumerate(getattr(x, name)):
            if one.boot is None or one.boot.order is None:
                continue
            kind = f"ethernet{number}" if name == "interfaces" else "hdd"
            if name == "disks":
                kind = {"cdrom": "cdrom", "floppy": "floppy"}.get(one.device or "disk", "hdd")
            found.append((one.boot.order, kind))
    return [kind for _, kind in sorted(found)]
