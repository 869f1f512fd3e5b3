"""The firmware that a guest starts with, and the variables that it keeps."""

from __future__ import annotations

from typing import Any

from anyvirt.api import Domain, Os, SourceType, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.plan import CopyUse


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
    file = {"driver": "file", "node-name": "pflash0-proto", "filename": loader, "auto-read-only": True}
    b.blockdev(file | {"discard": "unmap"})
    b.blockdev({"driver": "raw", "node-name": "pflash0", "file": "pflash0-proto", "read-only": True})
    if os.loader_readonly is False:
        b.refuse(os, "loader_readonly", "firmware is shared and stays as it is; write readonly='yes'")
    if os.loader_secure:
        b.option("-global", "driver=cfi.pflash01,property=secure,value=on")
    if os.loader_stateless:
        if os.nvram or os.nvram_source is not None or os.nvram_template:
            b.problem(os, "nvram", "this firmware keeps no variables", "take <nvram> out, or write stateless='no'")
        return {"pflash0": "pflash0"}
    return {"pflash0": "pflash0", "pflash1": _variables(b, domain, os)}


def _variables(b: Build, domain: Domain, os: Os) -> str:
    """The guest's own copy of the firmware's variables."""
    node: dict[str, Any] = {"driver": "file"}
    source = os.nvram_source
    if source is not None and os.nvram_type in {None, SourceType.FILE, SourceType.BLOCK}:
        block = os.nvram_type == SourceType.BLOCK
        path = b.path(source, "dev", source.dev) if block else b.path(source, "file", source.file)
        node["driver"] = "host_device" if block else "file"
    elif source is not None:
        b.refuse(os, "nvram_type", "use a file or a block device")
        meaningless(source)
        path = "/"
    elif os.nvram:
        path = b.path(os, "nvram", os.nvram)
    else:
        path = f"{b.paths.nvram}/{domain.uuid}.fd"
    meaningless(os, "nvram", "nvram_type")
    if os.nvram_template is not None:
        b.copies.append(CopyUse(b.path(os, "nvram_template", os.nvram_template), path))
    b.blockdev(node | {"node-name": "pflash1-proto", "filename": path, "auto-read-only": True, "discard": "unmap"})
    b.blockdev({"driver": "raw", "node-name": "pflash1", "file": "pflash1-proto", "read-only": False})
    return "pflash1"
