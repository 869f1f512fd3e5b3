"""Network cards."""

from __future__ import annotations

import re
from typing import Any, Final

from anyvirt.api import Interface, InterfaceSource, meaningless

from anyvirt_esx.vmx.identity import spaced, uuid_of
from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.write import Lines

CARDS: Final = 10
MAC: Final = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}", re.ASCII)
MODELS: Final = {"vlance": "vlance", "vmxnet": "vmxnet", "vmxnet2": "vmxnet2", "vmxnet3": "vmxnet3", "e1000": "e1000",
                 "e1000e": "e1000e"}  # fmt: skip
KINDS: Final = {"bridged": "bridged", "nat": "nat", "custom": "custom", "hostonly": "hostonly",
         "monitor_dev": "monitor_dev"}  # fmt: skip
ADDRESSES: Final = {"generated": "generated", "vpx": "generated", "static": "static"}
# what Workstation calls the switches that its words stand for
BRIDGED: Final = "vmnet0"
HOST_ONLY: Final = "vmnet1"
ENHANCED: Final = "15"
MADE_BY_HOST: Final = "00:0c:29:"
VMWARE: Final = "00:50:56:"
CHOSEN: Final = 0x40
MADE_BY_VCENTER: Final = 0x80
CONNECTION_MOST: Final = (1 << 31) - 1


def read(v: Settings) -> dict[str, Any]:
    """Fields of the domain."""
    cards = [_card(v, number) for (number,) in v.numbered(r"ethernet([0-9]{1,2})")]
    return {"interfaces": tuple(card for card in cards if card is not None)}


def write(x: Any, w: Lines) -> None:
    """Every card."""
    for number, card in enumerate(x.interfaces):
        if number >= CARDS:
            w.refuse(card, "type", f"a machine has at most {CARDS} cards", "take it out", "config.range")
        _write_card(card, f"ethernet{number}", w)


def _card(v: Settings, number: int) -> Any:
    place = f"ethernet{number}"
    if not v.flag(f"{place}.present"):
        v.skip(f"{place}.")
        return None
    if number >= CARDS:
        v.wrong(f"{place}.present", f"a machine has at most {CARDS} cards", "take it out", "config.range")
        return None
    fields = _joined(v, place)
    mac, kind = _address(v, place)
    if mac is not None:
        fields |= {"mac": mac, "mac_type": kind}
    if v.text(f"{place}.checkMACAddress") is not None:
        fields["mac_check"] = v.flag(f"{place}.checkMACAddress")
    model = v.one_of(f"{place}.virtualDev", MODELS)
    if model == "vmxnet" and v.text(f"{place}.features") == ENHANCED:
        model = "vmxnet2"
    if model is not None:
        fields["model"] = model
    if not v.flag(f"{place}.startConnected", default=True):
        fields["link"] = "down"
    return Interface(**fields)


def _joined(v: Settings, place: str) -> dict[str, Any]:
    """What a card is connected to."""
    if v.text(f"{place}.dvs.switchId") is not None:
        return _distributed(v, place)
    name = v.given(f"{place}.networkName")
    kind = v.one_of(f"{place}.connectionType", KINDS)
    if kind == "nat":
        return {"type": "user"}
    if kind == "custom":
        switch = v.text(f"{place}.vnet")
        if switch is None:
            v.wrong(f"{place}.vnet", "the switch is not named", "name it, such as vmnet7", "config.missing")
        return {"type": "bridge", "source": InterfaceSource(bridge=name or switch), "target": switch}
    if kind == "hostonly":
        return {"type": "bridge", "source": InterfaceSource(bridge=name or HOST_ONLY), "target": HOST_ONLY}
    if kind == "monitor_dev":
        v.note(f"left out: {place} sees what others send ({kind})")
    if name == "" or (name is None and kind is None):
        return {"type": "null"}
    return {"type": "bridge", "source": InterfaceSource(bridge=name or BRIDGED)}


def _distributed(v: Settings, place: str) -> dict[str, Any]:
    switch = uuid_of(v.text(f"{place}.dvs.switchId") or "")
    if switch is None:
        v.wrong(f"{place}.dvs.switchId", "it is not sixteen bytes in hexadecimal", "correct it")
    parts: dict[str, Any] = {"switchid": switch}
    for field, key in (("portid", "portId"), ("portgroupid", "portgroupId")):
        value = v.text(f"{place}.dvs.{key}")
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_+.-]+", value):
            v.wrong(f"{place}.dvs.{key}", f"{value[:40]!r} is no name", "correct it")
            value = None
        parts[field] = value
    parts["connectionid"] = v.number(f"{place}.dvs.connectionId", 0, CONNECTION_MOST)
    return {"type": "vds", "source": InterfaceSource(**parts)}


def _address(v: Settings, place: str) -> tuple[str | None, str]:
    kind = v.one_of(f"{place}.addressType", ADDRESSES) or "generated"
    key = f"{place}.generatedAddress" if kind == "generated" else f"{place}.address"
    mac = v.text(key)
    if mac is not None and not MAC.fullmatch(mac):
        v.wrong(key, f"{mac[:40]!r} is no MAC address", "such as 00:50:56:11:22:33")
        return None, kind
    return mac.lower() if mac else None, kind


def _write_card(card: Any, place: str, w: Lines) -> None:
    w.put(f"{place}.present", True)
    model = card.model
    if model is not None and model not in MODELS:
        w.refuse(card, "model", f"there is no {model} here", f"there are {', '.join(MODELS)}")
    elif model is not None:
        w.put(f"{place}.virtualDev", "vmxnet" if model == "vmxnet2" else model)
        if model == "vmxnet2":
            w.put(f"{place}.features", ENHANCED)
    _write_joined(card, place, w)
    _write_address(card, place, w)
    if card.link == "down":
        w.put(f"{place}.startConnected", False)
    if card.address is not None:
        meaningless(card, "address")


def _write_joined(card: Any, place: str, w: Lines) -> None:
    source = card.source
    if card.type == "bridge" and source is not None and source.bridge:
        w.put(f"{place}.networkName", source.bridge)
        w.put(f"{place}.connectionType", "custom" if card.target else "bridged")
        if card.target:
            w.put(f"{place}.vnet", card.target)
    elif card.type == "bridge":
        w.refuse(card, "source", "the network is not named", "write <source bridge='VM Network'/>", "config.missing")
    elif card.type == "user":
        w.put(f"{place}.connectionType", "nat")
    elif card.type == "null":
        w.put(f"{place}.networkName", "")
    elif card.type == "vds" and source is not None and source.switchid:
        w.put(f"{place}.dvs.switchId", spaced(source.switchid.replace("-", "")))
        for field, key in (("portid", "portId"), ("portgroupid", "portgroupId"), ("connectionid", "connectionId")):
            if getattr(source, field) is not None:
                w.put(f"{place}.dvs.{key}", getattr(source, field))
    elif card.type == "vds":
        w.refuse(card, "source", "the switch is not named", "write its switchid", "config.missing")
    else:
        w.refuse(card, "type", f"no card is connected to {card.type}", "there are bridge, user, vds and null")


def _write_address(card: Any, place: str, w: Lines) -> None:
    mac = card.mac
    if mac is None:
        w.put(f"{place}.addressType", "generated")
        return
    chosen = card.mac_type == "static"
    ours = mac.startswith(VMWARE) and int(mac.split(":")[3], 16) < CHOSEN
    if not chosen and mac.startswith(MADE_BY_HOST):
        kind = "generated"
    elif not chosen and mac.startswith(VMWARE) and MADE_BY_VCENTER <= int(mac.split(":")[3], 16) < 3 * CHOSEN:
        kind = "vpx"
    else:
        kind = "static"
    w.put(f"{place}.addressType", kind)
    w.put(f"{place}.{'address' if kind == 'static' else 'generatedAddress'}", mac)
    if kind == "generated":
        w.put(f"{place}.generatedAddressOffset", 0)
    if card.mac_check is not None:
        w.put(f"{place}.checkMACAddress", bool(card.mac_check))
    elif kind == "static" and not ours:
        w.put(f"{place}.checkMACAddress", False)
