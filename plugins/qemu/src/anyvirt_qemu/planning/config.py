"""From a definition to a launch plan; pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from anyvirt.api import Domain, Invalid, Nvram, PciAddress, Problem, heeded, meaningless, path_of, plain, unheeded

from anyvirt_qemu.devices import (
    audio,
    char,
    controller,
    disk,
    filesystem,
    graphics,
    hostdev,
    iommu,
    machine,
    memory,
    misc,
    net,
    pointer,
    redirect,
    seclabel,
    shared,
    sound,
    tpm,
    tuning,
    video,
)
from anyvirt_qemu.devices.common import register
from anyvirt_qemu.planning import unfit
from anyvirt_qemu.planning.build import DRIVER, Build
from anyvirt_qemu.planning.naming import named
from anyvirt_qemu.planning.plan import JOURNAL, Account, Caps, Machine, NodeUse, Paths, Plan, Serving, Storage
from anyvirt_qemu.run_dir import MONITORS

if TYPE_CHECKING:
    from anyvirt_qemu.planning.beside import Program

SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# devices that may need no id in QEMU, being part of the machine or of another device
ALIASED: Final = ("controllers", "consoles", "inputs", "videos", "watchdogs", "panics")


def _module(b: Build, x: Any) -> None:
    memory.device(b, x, b.domain)


# in libvirt's order: devices of one bus show themselves to the guest in the order in which QEMU makes them
PARTS: Final[Mapping[str, Callable[[Build, Any], None]]] = {
    "iommu": iommu.iommu,  # before what it watches
    "memory_devices": _module,
    "hubs": misc.hub,  # before what is plugged into them
    "disks": disk.disk,
    "filesystems": filesystem.filesystem,
    "interfaces": net.interface,
    "smartcards": redirect.smartcard,
    "serials": char.serial,
    "parallels": char.parallel,
    "channels": char.channel,
    "consoles": char.console,
    "tpms": tpm.tpm,
    "inputs": pointer.pointer,
    "graphics": graphics.graphics,
    "videos": video.video,
    "sounds": sound.sound,
    "watchdogs": misc.watchdog,
    "redirdevs": redirect.redirdev,
    "hostdevs": hostdev.hostdev,
    "memballoon": misc.balloon,
    "rngs": misc.rng,
    "panics": misc.panic,
    "shmems": shared.shmem,
    "vsock": misc.vsock,
    "cryptos": misc.crypto,
}
COST: Final = "often 10 times slower or more"
BOOT_KINDS: Final = {"hd": ("disk", "lun"), "cdrom": ("cdrom",), "fd": ("floppy",)}


def plan(
    domain: Domain,
    caps: Caps,
    paths: Paths,
    *,
    accelerator: Literal["kvm", "tcg"],
    chains: Mapping[str, Sequence[NodeUse]] | None = None,
    why: str = "",
    now: float | None = None,
    serving: Serving | None = None,
    storage: Storage | None = None,
    account: Account | None = None,
    programs: Mapping[str, Program] | None = None,
    problems: list[Problem] | None = None,
) -> Plan:
    """What starting the domain takes.

    :param domain: a complete definition, as ``defaults.complete`` gives it.
    :param accelerator: what a probe has found to work, whatever the domain's type says.
    :param chains: images of disks by target, from the top down, where the definition does not list them.
    :param why: why this accelerator, in one sentence, for the user.
    :param now: the time for clocks that are ahead or behind, in seconds since 1970; this moment without it.
    :param serving: what this host's settings say of servers and connections.
    :param storage: what is known of disks beside their definitions, such as secrets.
    :param account: the user that QEMU is to become; None where it stays whoever starts it.
    :param programs: those that may run beside QEMU, as ``installed.found`` gives them.
    :param problems: where what is wrong is put instead of being raised; the plan leaves it out then.
    :raises Invalid: everything that is wrong, and everything that this driver cannot honour, by path.
    """
    live = named(domain)
    if live.extensions:
        from anyvirt_qemu import namespace

        caps = namespace.without(caps, live)
    found = _machine(live, caps)
    view = heeded(live)
    b = Build(view, caps, paths, accelerator, found, chains or {}, int(time.time() if now is None else now), serving)
    b.storage = storage or b.storage
    b.known = programs or b.known
    _describe(b, view, accelerator, why)
    seclabel.labels(b, view, account)
    with b.within(view):
        _everything(b, view)
    wrong = [*b.problems, *_unheeded(b, view), *unfit.problems(live, found)]
    if wrong and problems is None:
        raise Invalid(wrong)
    if problems is not None:
        problems += wrong
    return _made(b, view, account)


def _made(b: Build, view: Domain, account: Account | None) -> Plan:
    profile = seclabel.profile(plain(view), always=b.serving.apparmor)
    return Plan(
        domain=seclabel.shown(plain(view), account, profile),
        argv=(b.caps.binary, *b.words),
        env=b.env,
        cwd=b.paths.guest,
        fds=tuple(b.fds),
        taps=tuple(b.taps),
        macvtaps=tuple(b.macvtaps),
        assigned=tuple(dict.fromkeys(b.assigned)),
        copies=tuple(b.copies),
        overlays=tuple(b.overlays),
        programs=tuple(b.programs),
        sockets=tuple(b.sockets),
        steps=tuple(b.steps),
        consoles=tuple(b.consoles),
        disks=tuple(b.disks),
        secrets=b.secrets,
        account=account,
        profile=profile,
        files=seclabel.Needs(b, view, account).files() if account is not None or profile is not None else (),
        tuning=b.tuning,
        warnings=tuple(b.warnings),
    )


def _machine(domain: Domain, caps: Caps) -> Machine:
    name = (domain.os.machine if domain.os else None) or ""
    found = caps.machine(name)
    if found is None:
        text = f"this QEMU ({caps.binary}) has no machine type {name}"
        raise Invalid([Problem("unsupported.config", "/os/type/@machine", None, text, caps.near("machine", name))])
    return found


def _unheeded(b: Build, view: Domain) -> list[Problem]:
    """What nobody read; of an element that was refused, or left half read, its own problem says enough."""
    if path_of(view) in b.unread:
        return []
    within = tuple(f"{path}/" for path in b.refused | b.unread if path)
    return [problem for problem in unheeded(view, DRIVER) if not problem.path.startswith(within)]


def _everything(b: Build, x: Domain) -> None:
    if not plain(x).extensions:
        _frame(b, x)
        _devices(b, x)
        return
    from anyvirt_qemu import namespace

    namespace.overrides(b, x)
    _frame(b, x)
    _devices(b, x)
    namespace.extensions(b, x)


def _describe(b: Build, x: Domain, accelerator: str, why: str) -> None:
    """What needs no word on the command line."""
    meaningless(x, "id", "name", "title", "description", "metadata", "emulator")
    if x.idmap is not None:
        b.warnings.append("<idmap> is for containers; a virtual machine has users of its own")
        meaningless(x.idmap)
    if x.type == "kvm" and accelerator != "kvm":
        reason = why or "KVM does not run guests here"
        b.warnings.append(f"the guest asks for KVM and is emulated instead (TCG), {COST}: {reason}")
    elif x.type not in {"kvm", "qemu", None}:
        b.refuse(x, "type", "use kvm or qemu")
    if x.nvram is not None:
        _keep(b, x.nvram)
    for field in ALIASED:
        for device in getattr(x, field):
            meaningless(device, "alias")
    if x.os is None or x.os.type not in {None, "hvm"}:
        b.refuse(x.os or x, "type", "use hvm")
    b.shared_slots = {
        (at.bus or 0, at.slot or 0)
        for at in (device.address for device in plain(x).controllers)
        if isinstance(at, PciAddress) and at.function
    }
    if x.os and x.os.boots:
        b.boot = _order(b, x)


def _keep(b: Build, x: Nvram) -> None:
    """Memory of a pseries guest that its firmware keeps settings in, which the machine has."""
    meaningless(x, "alias")
    place = register(b, x)
    if b.caps.arch != "ppc64":
        b.refuse(x, "", "take it out", text=f"{b.machine.name} has no such memory")
    elif place:
        b.option("-global", f"spapr-nvram.reg={place['reg']:#x}")


def _order(b: Build, x: Domain) -> dict[str, int]:
    """Aliases of devices, with their place in the boot order, from an order by kind: the first device of each."""
    plainly = plain(x)
    if any(x.boot for x in plainly.disks) or any(x.boot for x in plainly.interfaces):
        b.problem(x.os, "boots", "the order is given by device, too", "keep one of the two")
        return {}
    order: dict[str, int] = {}
    for number, boot in enumerate(x.os.boots if x.os else (), 1):
        if boot.dev == "network":
            names = [card.alias for card in plainly.interfaces]
        else:
            kinds = BOOT_KINDS[boot.dev or "hd"]
            names = [d.alias for d in plainly.disks if (d.device or "disk") in kinds]
        if names:
            order.setdefault(names[0] or "", number)
    return order


def _frame(b: Build, x: Domain) -> None:
    b.options("-name", "", {"guest": x.name, "debug-threads": True})
    b.option("-S", "-no-user-config", "-nodefaults")
    graphics.display(b, x)
    machine.machine(b, x, misc.expiry(b, x))
    b.options("-overcommit", "", {"mem-lock": bool(x.memory_backing and x.memory_backing.locked)})
    if x.uuid:
        b.option("-uuid", x.uuid)
    for name in MONITORS:
        number = b.fd("monitor", name)
        b.option("-chardev", f"socket,id=mon-{name},fd={number},server=on,wait=off")
        b.option("-mon", f"chardev=mon-{name},mode=control")
    b.options("-chardev", "pipe", {"id": JOURNAL, "path": f"{b.paths.guest}/{JOURNAL}"})
    b.option("-mon", f"chardev={JOURNAL},mode=control")
    if b.caps.sandbox and b.serving.sandbox:
        b.option("-sandbox", SANDBOX)
    b.option("-msg", "timestamp=on")
    tuning.tuning(b, x)


def _devices(b: Build, x: Domain) -> None:
    for back in x.audios:
        _one(b, audio.audio, back)
    for part in controller.ordered(x.controllers):
        _one(b, controller.controller, part)
    for field, make in PARTS.items():
        found = getattr(x, field)
        for device in found if isinstance(found, tuple) else (found,):
            if device is not None:
                _one(b, make, device)


def _one(b: Build, make: Callable[[Build, Any], None], device: Any) -> None:
    with b.within(device):
        make(b, device)
