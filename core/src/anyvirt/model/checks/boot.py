"""What is booted, from where, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, duplicate, missing, wrong
from anyvirt.model.devices.device import Boot
from anyvirt.model.domain import Domain
from anyvirt.model.element import line_of
from anyvirt.model.os import Os
from anyvirt.model.sysinfo import Smbios
from anyvirt.model.walk import Step

DATE: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})", re.ASCII)


def boot(domain: Domain, steps: Sequence[Step]) -> Iterator[Problem]:
    """The boot order, the kernel and the firmware."""
    orders: dict[int, str] = {}
    for path, element, line in steps:
        if not isinstance(element, Boot):
            continue
        if element.order in orders:
            text = f"boot order {element.order} is taken by {orders[element.order]}"
            yield duplicate(f"{path}/@order", line, text, "use another number")
        if element.order is not None:
            orders.setdefault(element.order, path.removesuffix("/boot"))
    os = domain.os
    if os is None:
        yield missing("/os", line_of(domain), "nothing says what is booted", "such as <os><type>hvm</type></os>")
        return
    if os.boots and orders:
        text = "boot devices stand here and boot orders on devices"
        yield conflict("/os/boot", line_of(os), text, "use one of both")
    if os.type is None and domain.bootloader is None:
        yield missing("/os/type", line_of(os), "the type is missing", "such as <type>hvm</type>")
    yield from _kernel(domain, os)
    yield from _tables(domain)
    yield from _firmware(os)


def _kernel(domain: Domain, os: Os) -> Iterator[Problem]:
    if not os.kernel and not domain.bootloader:
        for name in ("cmdline", "initrd"):
            if getattr(os, name):
                yield missing(f"/os/{name}", line_of(os, name), f"{name} needs a kernel", "give the kernel, too")


def _tables(domain: Domain) -> Iterator[Problem]:
    for table in domain.sysinfos:
        if not isinstance(table, Smbios):
            continue
        for entry in table.bios:
            if entry.name == "date" and not _is_date(entry.value):
                text = f"{entry.value!r} is no date"
                yield wrong("/sysinfo[smbios]/bios/entry[date]", line_of(entry), text, "write mm/dd/yyyy")
        for item in table.system:
            if item.name == "uuid" and domain.uuid and item.value.strip().lower() != domain.uuid:
                text = "the machine's UUID is not the domain's"
                yield conflict("/sysinfo[smbios]/system/entry[uuid]", line_of(item), text, "leave one of both out")


def _is_date(text: str) -> bool:
    """Whether a text is ``mm/dd/yy`` or ``mm/dd/yyyy``."""
    found = DATE.fullmatch(text)
    if found is None:
        return False
    month, day, year = (int(part) for part in found.groups())
    return 1 <= month <= 12 and 1 <= day <= 31 and (year < 100 or year >= 1900)


def _firmware(os: Os) -> Iterator[Problem]:
    line = line_of(os, "loader") or line_of(os)
    nvram = "/os/nvram/@template" if os.nvram_template else "/os/nvram"
    has_nvram = any(value is not None for value in (os.nvram, os.nvram_template, os.nvram_source))
    if os.firmware is None:
        if not os.loader and (os.loader_readonly is not None or os.loader_type or os.loader_secure is not None):
            hint = "give the path, or firmware='efi' to have one chosen"
            yield missing("/os/loader", line, "the loader has no path", hint)
        elif has_nvram and os.loader and os.loader_type == "rom":
            hint = "use type='pflash', or leave the variable store out"
            yield conflict(nvram, line_of(os, "nvram"), "firmware of type rom has no variable store", hint)
    else:
        if os.loader_secure is False:  # yes is what libvirt had before it knew features
            hint = "say <feature enabled='yes' name='secure-boot'/> below <firmware>"
            text = f"firmware='{os.firmware}' chooses the loader, which then cannot be described"
            yield conflict("/os/loader/@secure", line, text, hint)
        if has_nvram and os.firmware != "efi":
            yield conflict(nvram, line_of(os, "nvram"), "only EFI has a variable store", "leave it out")
    rom = os.loader_type != "pflash" if os.firmware is None else os.firmware == "bios"
    if os.loader_stateless is False and rom:
        text = "only firmware in flash has a state"
        yield conflict("/os/loader/@stateless", line, text, "use type='pflash', or leave stateless out")
    if os.loader_stateless and has_nvram:
        text = "the firmware is stateless, but a variable store is given"
        yield conflict(nvram, line_of(os, "nvram"), text, "leave one of both out")
