"""What this host's firmware tells of its hardware, for guests that are to be told the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from anyvirt.api import BiosEntry, BoardEntry, ChassisEntry, Domain, Mainboard, Smbios, SystemEntry
from anyvirt_host.local import files

TOLD: Final = Path("/sys/class/dmi/id")
HOST: Final = "host"
# Linux's name of each fact, and libvirt's; serial numbers can be read by root alone.
BIOS: Final = {"bios_vendor": "vendor", "bios_version": "version", "bios_date": "date", "bios_release": "release"}
SYSTEM: Final = {"sys_vendor": "manufacturer", "product_name": "product", "product_version": "version",
                 "product_serial": "serial", "product_sku": "sku", "product_family": "family"}  # fmt: skip
BOARD: Final = {"board_vendor": "manufacturer", "board_name": "product", "board_version": "version",
                "board_serial": "serial", "board_asset_tag": "asset"}  # fmt: skip
CHASSIS: Final = {"chassis_vendor": "manufacturer", "chassis_version": "version", "chassis_serial": "serial",
                  "chassis_asset_tag": "asset"}  # fmt: skip


def told(domain: Domain, place: Path = TOLD) -> Domain:
    """The definition with this host's facts written out, where it asks for them; as it is where there are none.

    :param place: folder with a file for each fact, as Linux has it.
    """
    os = domain.os
    if os is None or os.smbios != HOST:
        return domain
    found = Smbios(
        bios=_entries(place, BIOS, BiosEntry),
        system=_entries(place, SYSTEM, SystemEntry),
        base_boards=(Mainboard(entries=board),) if (board := _entries(place, BOARD, BoardEntry)) else (),
        chassis=_entries(place, CHASSIS, ChassisEntry),
    )
    if found == Smbios():
        return domain
    others = tuple(table for table in domain.sysinfos if not isinstance(table, Smbios))
    return domain.replace(os=os.replace(smbios="sysinfo"), sysinfos=(found, *others))


def _entries(place: Path, names: dict[str, str], cls: Any) -> tuple[Any, ...]:
    found = {name: files.text(place / file) for file, name in names.items()}
    return tuple(cls(name=name, value=value) for name, value in found.items() if value)
