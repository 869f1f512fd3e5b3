"""Trusted platform modules: the host's, an emulator's, or one that somebody else runs."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Tpm, meaningless

from anyvirt_qemu.devices.chardev import connection, socket_path
from anyvirt_qemu.devices.common import register
from anyvirt_qemu.planning.build import Build

MODELS: Final = ("tpm-tis", "tpm-crb", "tpm-spapr")
PROXY: Final = "spapr-tpm-proxy"
ON_ARM: Final = {"tpm-tis": "tpm-tis-device"}
DEVICE: Final = "/dev/tpm0"


def tpm(b: Build, x: Tpm) -> None:
    """A TPM."""
    model = x.model or "tpm-tis"
    if model == PROXY and b.caps.arch == "ppc64":
        _proxy(b, x)
        return
    if model not in MODELS:
        b.refuse(x, "model", f"use {', '.join(MODELS)}")
        return
    ident = f"tpm-{x.alias}"
    if x.type == "passthrough":
        device = b.path(x, "device", x.device or DEVICE)
        paths = {"path": b.fdset("open", device), "cancel-path": b.fdset("cancel", device)}
        b.options("-tpmdev", "passthrough", {"id": ident, **paths})
    else:
        path = _emulated(b, x) if x.type == "emulator" else _external(b, x)
        b.options("-tpmdev", "emulator", {"id": ident, "chardev": connection(b, f"chr{x.alias}", path)})
    driver: str = model
    if b.caps.arch in {"aarch64", "armv7l"}:
        driver = ON_ARM.get(model, model)
    place = register(b, x) if model == "tpm-spapr" else {}
    b.device({"driver": b.has(x, "model", driver), "tpmdev": ident, "id": x.alias, **place})


def _proxy(b: Build, x: Tpm) -> None:
    """The host's TPM for what runs in the secure part of a pseries guest, beside one of its own."""
    if x.type != "passthrough":
        b.refuse(x, "type", "use passthrough")
    b.device({"driver": b.has(x, "model", PROXY), "id": x.alias, "host-path": b.path(x, "device", x.device or DEVICE)})


def _emulated(b: Build, x: Tpm) -> str:
    from anyvirt_qemu.devices.swtpm import swtpm

    return swtpm(b, x)


def _external(b: Build, x: Tpm) -> str:
    if x.type != "external":
        b.refuse(x, "type", "use emulator, passthrough or external")
    meaningless(x, "source_type", "source_mode")
    return socket_path(b, x, "source_path", x.source_path or "")
