"""What the guest's firmware tables say: SMBIOS and QEMU's firmware configuration."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, Many, at


class BiosEntry(Element, tag="entry"):
    """One fact about the BIOS."""

    name: Literal["vendor", "version", "date", "release"] | None = at("@name", "Which one", default=None, key=True)
    value: str = at(".", "What the guest reads; a date is mm/dd/yyyy", default="")


class SystemEntry(Element, tag="entry"):
    """One fact about the machine."""

    name: Literal["manufacturer", "product", "version", "serial", "uuid", "sku", "family"] | None = at(
        "@name", "Which one", default=None, key=True
    )
    value: str = at(".", "What the guest reads; uuid must be the domain's own", default="")


class BoardEntry(Element, tag="entry"):
    """One fact about a base board."""

    name: Literal["manufacturer", "product", "version", "serial", "asset", "location"] | None = at(
        "@name", "Which one", default=None, key=True
    )
    value: str = at(".", "What the guest reads", default="")


class ChassisEntry(Element, tag="entry"):
    """One fact about the chassis."""

    name: Literal["manufacturer", "version", "serial", "asset", "sku"] | None = at(
        "@name", "Which one", default=None, key=True
    )
    value: str = at(".", "What the guest reads", default="")


class Mainboard(Element, tag="baseBoard"):
    """A base board."""

    entries: Many[BoardEntry] = at("entry", "What is told about it", default=())


class Smbios(Element, tag="sysinfo", when=("type", "smbios")):
    """What SMBIOS tells; ``os.smbios`` must be sysinfo for it to count."""

    bios: Many[BiosEntry] = at("bios/entry", "About the BIOS", default=())
    system: Many[SystemEntry] = at("system/entry", "About the machine", default=())
    base_boards: Many[Mainboard] = at("baseBoard", "About base boards", default=())
    chassis: Many[ChassisEntry] = at("chassis/entry", "About the chassis", default=())
    oem_strings: Many[str] = at("oemStrings/entry", "Texts of the vendor", default=())


class FwCfgEntry(Element, tag="entry"):
    """One item of the firmware configuration; its text or a file's content."""

    name: str | None = at("@name", "Name, which starts with opt/", default=None, key=True)
    file: str | None = at("@file", "File on the host that holds the content", default=None)
    value: str = at(".", "The content", default="")


class FwCfg(Element, tag="sysinfo", when=("type", "fwcfg")):
    """What the guest finds in QEMU's firmware configuration."""

    entries: Many[FwCfgEntry] = at("entry", "Items", default=())
