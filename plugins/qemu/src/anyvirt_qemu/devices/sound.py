"""Sound cards."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Sound, meaningless

from anyvirt_qemu.devices import audio
from anyvirt_qemu.devices.common import pci, usb
from anyvirt_qemu.planning.build import Build

PCI: Final = {"ich6": "intel-hda", "ich7": "intel-hda", "ich9": "ich9-intel-hda", "ac97": "AC97", "es1370": "ES1370"}
OTHERS: Final = {"sb16": "sb16", "usb": "usb-audio", "pcspk": "isa-pcspk"}
CODECS: Final = frozenset({"ich6", "ich7", "ich9"})


def sound(b: Build, x: Sound) -> None:
    """A sound card, on the back end that it names, or the guest's first."""
    model = x.model or "ich6"
    driver = (PCI | OTHERS).get(model)
    if driver is None:
        b.refuse(x, "model", f"use {', '.join(PCI | OTHERS)}")
        return
    back = audio.chosen(b, b.domain, x)
    if model == "pcspk":  # the machine has it
        meaningless(x, "alias")
        b.option("-global", f"isa-pcspk.audiodev={back}")
        return
    options: dict[str, Any] = {"driver": b.has(x, "model", driver), "id": x.alias}
    if model in PCI:
        options |= pci(b, x)
    elif model == "usb":
        options |= {**usb(b, x), "multi": x.multichannel}
    if model not in CODECS:
        b.device(options | {"audiodev": back})
        return
    b.device(options)
    for number, kind in enumerate([codec.type or "duplex" for codec in x.codecs] or ["duplex"]):
        codec = {"id": f"{x.alias}-codec{number}", "bus": f"{x.alias}.0", "cad": number, "audiodev": back}
        b.device({"driver": b.has(x, "model", f"hda-{kind}"), **codec})
