"""What a domain boots: firmware, kernel, order."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import Source, SourceType
from anyvirt.model.types import Integer, YesNo
from anyvirt.model.words import Arch


class OsType(StrEnum):
    """Kind of guest."""

    HVM = "hvm"
    XEN = "xen"
    LINUX = "linux"
    XENPVH = "xenpvh"
    EXE = "exe"
    UML = "uml"


class BootDevice(StrEnum):
    """Kind of device that is booted from."""

    HD = "hd"
    FD = "fd"
    CDROM = "cdrom"
    NETWORK = "network"


class OsBoot(Element, tag="boot"):
    """One step of the boot order."""

    dev: BootDevice | None = at("@dev", "Kind of device", default=None)


class FirmwareFeature(Element, tag="feature"):
    """Something that automatically chosen firmware must or must not have."""

    enabled: YesNo | None = at("@enabled", "Wanted or not", default=None)
    name: Literal["enrolled-keys", "secure-boot"] | None = at("@name", "The feature", default=None, key=True)


class InitVariable(Element, tag="initenv"):
    """A variable of a container's first process."""

    name: str | None = at("@name", "Name", default=None, key=True)
    value: str = at(".", "Value", default="")


class AcpiTable(Element, tag="table"):
    """An ACPI table given to the guest."""

    type: Literal["slic"] | None = at("@type", "Kind of table", default=None)
    path: str = at(".", "File that holds the table", default="")


class Os(Element, tag="os"):
    """What a domain boots."""

    firmware: Literal["bios", "efi"] | None = at("@firmware", "Choose firmware automatically", default=None)
    type: OsType | None = at("type", "Kind of guest", default=None)
    arch: Arch | None = at("type/@arch", "Architecture, such as x86_64", default=None)
    machine: str | None = at("type/@machine", "Machine type, such as q35", default=None)
    firmware_features: Many[FirmwareFeature] = at("firmware/feature", "What the firmware must have", default=())
    init: str | None = at("init", "First process of a container", default=None)
    initargs: Many[str] = at("initarg", "Its arguments", default=())
    initenvs: Many[InitVariable] = at("initenv", "Its variables", default=())
    initdir: str | None = at("initdir", "Its working directory", default=None)
    inituser: str | None = at("inituser", "Its user", default=None)
    initgroup: str | None = at("initgroup", "Its group", default=None)
    loader: str | None = at("loader", "Path of the firmware", default=None)
    loader_readonly: YesNo | None = at("loader/@readonly", "The firmware cannot be written", default=None)
    loader_secure: YesNo | None = at("loader/@secure", "The firmware enforces signed boot", default=None)
    loader_type: Literal["rom", "pflash"] | None = at("loader/@type", "How the firmware is mapped", default=None)
    loader_stateless: YesNo | None = at("loader/@stateless", "There is no variable store", default=None)
    nvram: str | None = at("nvram", "Path of the variable store", default=None)
    nvram_template: str | None = at("nvram/@template", "File that a new variable store is copied from", default=None)
    nvram_type: SourceType | None = at("nvram/@type", "Kind of storage of the variable store", default=None)
    nvram_source: Source | None = at("nvram/source", "Where the variable store is", default=None)
    kernel: str | None = at("kernel", "Path of the kernel on the host", default=None)
    initrd: str | None = at("initrd", "Path of the initial RAM disk on the host", default=None)
    cmdline: str | None = at("cmdline", "Arguments of the kernel", default=None)
    dtb: str | None = at("dtb", "Path of the device tree", default=None)
    root: str | None = at("root", "Root device of a paravirtual guest", default=None)
    acpi_tables: Many[AcpiTable] = at("acpi/table", "ACPI tables", default=())
    boots: Many[OsBoot] = at("boot", "Boot order by kind of device", default=())
    bootmenu: YesNo | None = at("bootmenu/@enable", "The user may choose at start", default=None)
    bootmenu_timeout: Annotated[int, Integer(0, 65535)] | None = at(
        "bootmenu/@timeout", "Milliseconds that the menu waits", default=None
    )
    bios_useserial: YesNo | None = at("bios/@useserial", "The BIOS talks on the serial port", default=None)
    bios_reboot_timeout: Annotated[int, Integer(-1, 65535)] | None = at(
        "bios/@rebootTimeout", "Milliseconds until a failed boot starts again; -1 never", default=None
    )
    smbios: Literal["emulate", "host", "sysinfo"] | None = at(
        "smbios/@mode", "Where SMBIOS data comes from", default=None
    )
