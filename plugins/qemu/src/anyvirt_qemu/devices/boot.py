"""What is booted and what firmware tells: order, kernel, SMBIOS, ACPI tables, firmware configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from anyvirt.api import Domain, FwCfg, Os, Smbios, meaningless

from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.options import optstr

TABLES: Final = {"slic": "SLIC"}
CONFIG_NAME: Final = re.compile(r"opt/[\x21-\x7e]{1,51}", re.ASCII)
RELEASE: Final = re.compile(r"\d{1,3}\.\d{1,3}", re.ASCII)
UNTOLD: Final = ("ppc64", "s390x")  # guests without SMBIOS and without QEMU's way to hand them files
FROM_SYSINFO: Final = "sysinfo"


def boot(b: Build, domain: Domain, os: Os) -> None:
    """Everything that the firmware is told, and the kernel that it loads."""
    meaningless(os, "type", "arch", "machine")
    options: dict[str, Any] = {"menu": os.bootmenu}
    if os.bootmenu:
        options["splash-time"] = os.bootmenu_timeout
    meaningless(os, "bootmenu_timeout")
    options["reboot-timeout"] = os.bios_reboot_timeout
    b.options("-boot", "", {**options, "strict": True})
    if os.bios_useserial:
        b.device({"driver": b.has(os, "bios_useserial", "sga"), "id": "sga0"})
    _kernel(b, os)
    for table in os.acpi_tables:
        b.options("-acpitable", "", {"sig": TABLES[table.type or "slic"], "file": b.path(table, "path", table.path)})
    _told(b, domain, os)


def loadparm(b: Build, domain: Domain) -> str | None:
    """What an s390 guest boots of the first device in the order."""
    found = [x.boot for field in ("disks", "interfaces", "hostdevs") for x in getattr(domain, field) if x.boot]
    named = [x for x in found if x.loadparm is not None]
    if named and b.caps.arch != "s390x":
        b.refuse(named[0], "loadparm", "take it out", text=f"guests of {b.caps.arch} have no such menu")
    first = next((x.loadparm for x in named if x.order == min(y.order or 1 for y in found)), None)
    return None if first is None else first.upper()


def _kernel(b: Build, os: Os) -> None:
    if os.kernel:
        b.text("-kernel", b.path(os, "kernel", os.kernel))
        if os.initrd:
            b.text("-initrd", b.path(os, "initrd", os.initrd))
        if os.cmdline:
            b.text("-append", os.cmdline)
        if os.dtb:
            b.text("-dtb", b.path(os, "dtb", os.dtb))
    elif os.cmdline or os.initrd:
        b.problem(
            os, "cmdline" if os.cmdline else "initrd", "there is no <kernel> that it belongs to", "name the kernel"
        )


def _told(b: Build, domain: Domain, os: Os) -> None:
    """SMBIOS, and items of the firmware configuration."""
    if os.smbios == "host":
        text = "this host tells nothing of its own hardware"
        b.refuse(os, "smbios", "use sysinfo, and write in <sysinfo type='smbios'> what the guest is to read", text=text)
    tables = [x for x in domain.sysinfos if isinstance(x, Smbios)]
    told = [x for x in domain.sysinfos if not isinstance(x, Smbios) or os.smbios == FROM_SYSINFO]
    if told and b.caps.arch in UNTOLD:
        b.refuse(told[0], "", "take it out", text=f"the firmware of {b.machine.name} tells guests nothing of this kind")
    if os.smbios == FROM_SYSINFO and not tables:
        b.problem(os, "smbios", "there is no <sysinfo type='smbios'>", "write one, or use emulate")
    for table in tables:
        if os.smbios == FROM_SYSINFO:
            _smbios(b, domain, table)
        else:
            b.warnings.append("the guest reads nothing of <sysinfo type='smbios'>: <smbios mode='sysinfo'/> is missing")
            meaningless(table)
    for x in domain.sysinfos:
        if isinstance(x, FwCfg):
            _config(b, x)


def _smbios(b: Build, domain: Domain, x: Smbios) -> None:
    for entry in x.bios:
        if entry.name == "release" and not RELEASE.fullmatch(entry.value):
            b.problem(entry, "value", f"{entry.value!r} is no release", "write two numbers, such as 1.2")
    for fact in x.system:
        if fact.name == "uuid" and fact.value.lower() != (domain.uuid or "").lower():
            b.problem(fact, "value", f"is not {domain.uuid}, the guest's own", "leave the entry out")
    _table(b, 0, x.bios)
    _table(b, 1, x.system)
    for board in x.base_boards:
        _table(b, 2, board.entries)
    _table(b, 3, x.chassis)
    if x.oem_strings:
        b.option("-smbios", ",".join(["type=11", *(optstr("", {"value": text}) for text in x.oem_strings)]))


def _table(b: Build, kind: int, entries: Iterable[Any]) -> None:
    found = {entry.name: entry.value for entry in entries if entry.name is not None and entry.value}
    if found:
        b.options("-smbios", "", {"type": kind, **found})


def _config(b: Build, x: FwCfg) -> None:
    for entry in x.entries:
        name = entry.name or ""
        if not CONFIG_NAME.fullmatch(name):
            b.problem(
                entry, "name", f"{name!r} is no name of an item", "start it with opt/, with 55 characters at most"
            )
        elif entry.file is not None:
            b.options("-fw_cfg", "", {"name": name, "file": b.path(entry, "file", entry.file)})
        elif entry.value:
            b.options("-fw_cfg", "", {"name": name, "string": entry.value})
        else:
            b.problem(entry, "value", "the item has neither text nor file", "give it one of them")
