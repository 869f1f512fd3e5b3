"""From a definition to the text of a VMX file; pure."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Domain, Invalid, heeded, meaningless, unheeded

from anyvirt_esx.namespace import DatacenterPath, Moref
from anyvirt_esx.vmx import drives, identity, nics, ports, power, screens, shares
from anyvirt_esx.vmx.write import Lines

SOCKETS: Final = 7  # what has VMCI
BRIDGES: Final = 8  # what has PCI Express
DRIVER: Final = "vmware-vmx"
# what describes, holds only while a machine runs, or is made anew by the server
NOTHING: Final = (
    "id", "title", "metadata", "memory_dump_core", "emulator", "memballoon", "resource", "seclabels",
)  # fmt: skip
ENDS: Final = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy"}
ALWAYS: Final = ("acpi", "apic", "pae")
INPUTS: Final = ("ps2", None)


def write(domain: Domain, *, hardware: int = identity.HARDWARE) -> bytes:
    """The text of a VMX file, in UTF-8.

    :param hardware: version of the virtual hardware; a server has to know it.
    :raises Invalid: what the format cannot say, by path.
    """
    x: Any = heeded(domain)
    w = Lines(hardware)
    w.put(".encoding", "UTF-8")
    if x.type not in {None, "vmware"}:
        w.refuse(x, "type", f"it is of {x.type}, and the format of vmware", "write type='vmware', and see what is left")
    identity.write(x, w)
    power.write(x, w)
    screens.write_graphics(x, w)
    shares.write(x, w)
    drives.write(x, w)
    nics.write(x, w)
    ports.write(x, w)
    screens.write(x, w)
    _write_board(w)
    identity.write_last(x, w)
    _heed_rest(x, w)
    problems = [*w.problems, *unheeded(x, DRIVER)]
    if problems:
        raise Invalid(problems)
    return w.text().encode()


def _write_board(w: Lines) -> None:
    """PCI Express ports, without which there are few slots, and sockets to the host."""
    if w.hardware >= BRIDGES:
        w.put("pciBridge0.present", True)
        for number in range(4, 8):
            w.put(f"pciBridge{number}.present", True)
            w.put(f"pciBridge{number}.virtualDev", "pcieRootPort")
            w.put(f"pciBridge{number}.functions", 8)
    if w.hardware >= SOCKETS:
        w.put("vmci0.present", True)


def _heed_rest(x: Any, w: Lines) -> None:
    meaningless(x, *NOTHING)
    for name, usual in ENDS.items():
        if getattr(x, name) not in {None, usual}:
            w.refuse(x, name, f"what happens is always {usual}", f"write {usual}, or leave it out")
    if x.clock is not None and x.clock.offset not in {None, "utc"}:
        w.refuse(x.clock, "offset", "the clock's offset is the product's own", "write utc")
    if x.features is not None:
        meaningless(x.features, *ALWAYS)
    for one in x.inputs:
        if one.bus in INPUTS and one.type in {"mouse", "keyboard"}:
            meaningless(one)
    for one in x.controllers:
        if one.type in {"ide", "fdc", "isa"} or (one.type == "pci" and one.model in {None, "pci-root"}):
            meaningless(one)
        elif one.address is not None:
            meaningless(one, "address")
    for one in x.extensions:
        if isinstance(one, DatacenterPath | Moref):
            meaningless(one)
    for disk in x.disks:
        meaningless(disk, "target", "boot", "alias")
        if disk.boot is not None:
            meaningless(disk.boot, "order")
    for card in x.interfaces:
        meaningless(card, "alias")
