"""The firmware that a guest starts with, and the variables that it keeps."""

from __future__ import annotations

from typing import Any

from anyvirt.api import Domain, Os, SourceType, meaningless

from anyvirt_qemu.devices import source as storage
from anyvirt_qemu.devices.features import X86
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import CopyUse


def firmware(b: Build, domain: Domain) -> dict[str, Any]:
    """Options of the machine for the firmware that is named, by the user or by the choice that came before."""
    os = domain.os or Os()
    meaningless(os, "firmware", "firmware_features")
    for feature in os.firmware_features:
        meaningless(feature)
    if os.loader is None:
        if os.firmware == "efi":
            b.refuse(os, "firmware", "name the file in <loader>", text="nobody has chosen the firmware")
        if os.nvram or os.nvram_source is not None or os.nvram_template:
            b.problem(os, "nvram", "only firmware in flash keeps variables", "name it in <loader type='pflash'>")
        meaningless(os, "loader_readonly", "loader_type", "loader_secure", "loader_stateless")
        return {}
    loader = b.path(os, "loader", os.loader)
    if os.loader_type in {None, "rom"}:
        if os.loader_secure:
            b.problem(os, "loader_secure", "signed boot needs firmware in flash", "write type='pflash'")
        if os.nvram or os.nvram_source is not None or os.nvram_template or os.loader_stateless is False:
            b.problem(os, "nvram", "only firmware in flash keeps variables", "write <loader type='pflash'>")
        meaningless(os, "loader_readonly", "loader_stateless")
        b.text("-bios", loader)
        return {}
    if b.machine.bus == "pcie" and b.caps.arch == "x86_64" and (domain.features is None or not domain.features.acpi):
        b.problem(os, "loader", "UEFI needs ACPI, which is off", "write <features><acpi/>")
    file = {"driver": "file", "node-name": "pflash0-proto", "filename": loader, "auto-read-only": True}
    b.blockdev(file | {"discard": "unmap"})
    b.blockdev({"driver": "raw", "node-name": "pflash0", "file": "pflash0-proto", "read-only": True})
    if os.loader_readonly is False:
        b.refuse(os, "loader_readonly", "firmware is shared and stays as it is; write readonly='yes'")
    if os.loader_secure and b.caps.arch not in X86:
        hint = "ask for firmware that checks signatures: <firmware><feature enabled='yes' name='secure-boot'/>"
        b.refuse(
            os, "loader_secure", hint, text=f"guests of {b.caps.arch} have no mode that only firmware may write in"
        )
    elif os.loader_secure:
        b.option("-global", "driver=cfi.pflash01,property=secure,value=on")
    if os.loader_stateless:
        if os.nvram or os.nvram_source is not None or os.nvram_template:
            b.problem(os, "nvram", "this firmware keeps no variables", "take <nvram> out, or write stateless='no'")
        return {"pflash0": "pflash0"}
    return {"pflash0": "pflash0", "pflash1": _variables(b, domain, os)}


def _variables(b: Build, domain: Domain, os: Os) -> str:
    """The guest's own copy of the firmware's variables."""
    node: dict[str, Any] = {"driver": "file"}
    path = ""
    if os.nvram_source is not None:
        kind = os.nvram_type or SourceType.FILE
        node = storage.protocol(b, storage.Place(os, kind, os.nvram_source, "pflash1-proto"))
        path = str(node.get("filename", "")) if kind == SourceType.FILE else ""
    elif os.nvram:
        path = node["filename"] = b.path(os, "nvram", os.nvram)
    else:
        path = node["filename"] = f"{b.paths.nvram}/{domain.uuid}.fd"
    meaningless(os, "nvram", "nvram_type", "nvram_template")
    if os.nvram_template is not None and not path:
        b.warnings.append("the firmware's variables are no file of this host, and no template is copied there")
    elif os.nvram_template is not None:
        b.copies.append(CopyUse(b.path(os, "nvram_template", os.nvram_template), path))
    b.blockdev(node | {"node-name": "pflash1-proto", "auto-read-only": True, "discard": "unmap"})
    b.blockdev({"driver": "raw", "node-name": "pflash1", "file": "pflash1-proto", "read-only": False})
    return "pflash1"
