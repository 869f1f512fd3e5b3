"""What comes from whoever watches the guest: USB devices and smart cards; and smart cards of the host."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import CcidAddress, Redirdev, RedirRule, Smartcard, meaningless

from anyvirt_qemu.devices.chardev import backend
from anyvirt_qemu.devices.common import bootindex, controller_id, usb
from anyvirt_qemu.planning.build import Build

DATABASE: Final = "/etc/pki/nssdb"
CERTIFICATES: Final = 3


def redirdev(b: Build, x: Redirdev) -> None:
    """A USB device that comes through a character device."""
    meaningless(x, "bus")
    back = backend(b, x, "redirdev", x.type)
    options: dict[str, Any] = {"driver": b.has(x, "", "usb-redir"), "chardev": back, "id": x.alias}
    rules = b.domain.redirfilter.rules if b.domain.redirfilter else ()
    options["filter"] = "|".join(_rule(rule) for rule in rules) or None
    b.device({**options, "bootindex": bootindex(b, x, x.boot), **usb(b, x)})


def _rule(x: RedirRule) -> str:
    """``class:vendor:product:version:allow``; -1 for any."""
    words = [_hex(x.class_code, 2), _hex(x.vendor, 4), _hex(x.product, 4), _version(x.version)]
    return ":".join([*words, "1" if x.allow else "0"])


def _hex(value: int | None, digits: int) -> str:
    return "-1" if value is None or value < 0 else f"0x{value:0{digits}X}"


def _version(value: str | None) -> str:
    """A version such as 1.10, as USB devices tell it: a digit in four bits."""
    if value is None or value == "-1":
        return "-1"
    major, _, minor = value.partition(".")
    return f"0x{int(major):02d}{int(minor or 0):02d}"


def smartcard(b: Build, x: Smartcard) -> None:
    """A smart card in a reader."""
    if x.target is not None:
        meaningless(x.target)
    options: dict[str, Any] = {"id": x.alias, **_slot(b, x)}
    if x.mode == "passthrough":
        back = backend(b, x, "smartcard", x.type)
        b.device({"driver": b.has(x, "mode", "ccid-card-passthru"), "chardev": back, **options})
        return
    driver = b.has(x, "mode", "ccid-card-emulated")
    if x.mode == "host":
        b.device({"driver": driver, "backend": "nss-emulated", **options})
        return
    if len(x.certificates) != CERTIFICATES:
        b.problem(x, "certificates", "a smart card has three certificates", "name three")
    names = {f"cert{number}": name for number, name in enumerate(x.certificates, 1)}
    database = b.path(x, "database", x.database) if x.database is not None else DATABASE
    b.device({"driver": driver, "backend": "certificates", **names, "db": database, **options})


def _slot(b: Build, x: Smartcard) -> dict[str, Any]:
    at = x.address
    if not isinstance(at, CcidAddress):
        b.problem(x, "address", "the card needs a place in a reader", "leave the address out")
        return {}
    if at.slot:
        b.refuse(at, "slot", "a reader has one slot, 0")
    return {"bus": f"{controller_id(b, 'ccid', at.controller or 0)}.0"}
