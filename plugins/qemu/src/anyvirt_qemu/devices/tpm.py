"""Trusted platform modules: the host's, an emulator's, or one that somebody else runs."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Tpm, meaningless

from anyvirt_qemu.build import Build
from anyvirt_qemu.devices.chardev import connection, socket_path
from anyvirt_qemu.devices.swtpm import swtpm

MODELS: Final = ("tpm-tis", "tpm-crb", "tpm-spapr")
DEVICE: Final = "/dev/tpm0"


def tpm(b: Build, x: Tpm) -> None:
    """A TPM."""
    model = x.model or "tpm-tis"
    if model not in MODELS:
        b.refuse(x, "model", f"use {', '.join(MODELS)}")
        return
    ident = f"tpm-{x.alias}"
    if x.type == "passthrough":
        device = b.path(x, "device", x.device or DEVICE)
        paths = {"path": b.fdset("open", device), "cancel-path": b.fdset("cancel", device)}
        b.options("-tpmdev", "passthrough", {"id": ident, **paths})
    else:
        path = swtpm(b, x) if x.type == "emulator" else _external(b, x)
        b.options("-tpmdev", "emulator", {"id": ident, "chardev": connection(b, f"chr{x.alias}", path)})
    b.device({"driver": b.has(x, "model", model), "tpmdev": ident, "id": x.alias})


def _external(b: Build, x: Tpm) -> str:
    if x.type != "external":
        b.refuse(x, "type", "use emulator, passthrough or external")
    meaningless(x, "source_type", "source_mode")
    return socket_path(b, x, "source_path", x.source_path or "")
