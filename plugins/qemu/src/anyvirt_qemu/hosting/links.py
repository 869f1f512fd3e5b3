"""The host's end of network cards: taps and macvtap devices, what is set on them, programs that are run for them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Exists, Failed, VirtError
from anyvirt_host.local import netlink, tap
from anyvirt_host.local.child import Child

from anyvirt_qemu.hosting import switches

if TYPE_CHECKING:
    from anyvirt_qemu.hosting import Preparation
    from anyvirt_qemu.planning.cabling import Ends, Limit, MacvtapUse, TapUse
    from anyvirt_qemu.planning.plan import Plan
    from anyvirt_qemu.run_dir import RunDir

NET: Final = Path("/sys/class/net")
IPV6: Final = Path("/proc/sys/net/ipv6/conf")
SCRIPT_SECONDS: Final = 30.0
TRIES: Final = 16
FIRST_VLAN: Final = 1  # that a bridge gives every new port
_log = logging.getLogger(__name__)


def connect(
    ready: Preparation, plan: Plan, ours: ExitStack, nets: dict[str, Mapping[str, str]]
) -> dict[str, list[int]]:
    """Make and open the devices of all network cards; descriptors by alias, which ``ours`` closes.

    :param nets: gets the name of each device.
    """
    made: dict[str, list[int]] = {}
    for use in plan.taps:
        device = _tap(use)
        ours.callback(device.close)
        made[use.alias] = list(device.fds)
        beside = not use.managed and _is_macvtap(use.name)
        kind = "macvtap" if beside else "tap" if use.managed else "own"
        nets[use.alias] = {"name": device.name, "mac": use.mac, "kind": kind}
        if use.switch is not None and use.managed:
            switches.plug_in(ready, device.name, use)
        _equip(ready, device.name, use.ends, stays=not use.managed, beside=beside, tagged=use.switch is not None)
    for macvtap in plan.macvtaps:
        name = _macvtap(ready, macvtap)
        fds = netlink.open_macvtap(name, queues=macvtap.queues)
        for fd in fds:
            ours.callback(os.close, fd)
        made[macvtap.alias] = list(fds)
        nets[macvtap.alias] = {"name": name, "mac": macvtap.mac, "kind": "macvtap"}
        _equip(ready, name, macvtap.ends, stays=False, beside=True, tagged=False)
    return made


def take_back(_place: RunDir, entry: Mapping[str, Any]) -> None:
    """Undo one thing that was done to a network device; what is gone, or another's by now, is left alone."""
    name = str(entry["name"])
    match entry["kind"]:
        case "macvtap":
            found = netlink.device(name)
            if found is not None and _made(found, entry):
                netlink.remove(name)
        case "card-address":
            found = netlink.device(name)
            if found is not None and found.mac == entry["mac"]:
                netlink.change(name, mac=str(entry["before"]))
        case "limits":
            netlink.unlimit(name)
        case "ip-address":
            netlink.remove_address(name, entry["address"], entry["prefix"], entry["peer"])
        case "route":
            netlink.remove_route(name, entry["network"], entry["gateway"], entry["metric"])
        case "coalesce" if (NET / name).exists():
            netlink.coalesce(name, int(entry["before"]))
        case "script" if entry["down"]:
            _farewell(str(entry["down"]), name)


def _made(found: netlink.Device, entry: Mapping[str, Any]) -> bool:
    """Whether this is the macvtap of an entry; the first version wrote down no index."""
    return found.kind == "macvtap" and found.mac == entry["mac"] and entry.get("index") in {None, found.index}


def _tap(use: TapUse) -> tap.Tap:
    if not use.managed and _is_macvtap(use.name):
        return tap.Tap(use.name, netlink.open_macvtap(use.name, queues=use.queues))
    node = use.node or tap.TUN
    if use.bridge is None or use.switch is not None:
        device = tap.create(use.name, queues=use.queues, node=node)
        if use.managed:
            try:
                tap.configure(device.name, mac=tap.host_mac(use.mac), mtu=use.mtu, up=True)
            except VirtError:
                device.close()
                raise
        return device
    if tap.problem(node) is None:
        return tap.bridged(use.bridge, use.mac, template=use.name, mtu=use.mtu, queues=use.queues, node=node)
    return tap.through_helper(use.bridge)


def _is_macvtap(name: str) -> bool:
    return (NET / name / "macvtap").is_dir()


def _macvtap(ready: Preparation, use: MacvtapUse) -> str:
    """Make the device, which has the guest's address; what is passed through whole takes it from the host's card."""
    mac = use.mac.lower()
    if use.mode == "passthrough":
        card = netlink.device(use.parent)
        if card is not None and card.mac != mac:
            ready.leave("card-address", name=use.parent, before=card.mac, mac=mac)
            netlink.change(use.parent, mac=mac)
    for _ in range(TRIES):
        name = netlink.free(use.name)
        index = netlink.unused()  # chosen beforehand: a device that another makes of this name and address has another
        ready.leave("macvtap", name=name, mac=mac, index=index)
        try:
            netlink.add_macvtap(name, use.parent, use.mode, mac, index=index)
        except Exists:
            if name == use.name:
                raise
            continue  # somebody else was first
        with suppress(OSError):  # a host without IPv6
            (IPV6 / name / "disable_ipv6").write_text("1")  # the host says nothing with the guest's address
        netlink.change(name, up=True, mtu=use.mtu, allmulti=use.ends.trusted)
        return name
    raise Exists("interface", use.name, hint="name another with <target dev='...'/>")


def _equip(ready: Preparation, name: str, ends: Ends, *, stays: bool, beside: bool, tagged: bool) -> None:
    """Set what the definition says; of a device that stays when QEMU has ended, so that it can be undone.

    :param beside: what the device sends to the host's card is what the guest sends; with a tap it is what it receives.
    :param tagged: the switch knows its VLANs.
    """
    vlans = () if tagged else ends.vlans
    for vlan in vlans:
        netlink.put_in_vlan(name, vlan.number, native=vlan.native, untagged=vlan.untagged)
    if vlans and all(vlan.number != FIRST_VLAN for vlan in vlans):
        netlink.leave_vlan(name, FIRST_VLAN)
    if ends.isolated:
        netlink.isolate(name)
    _limit(ready, name, ends, stays=stays, beside=beside)
    if ends.coalesce is not None:
        if stays:
            ready.leave("coalesce", name=name, before=netlink.coalescing(name))
        netlink.coalesce(name, ends.coalesce)
    _addresses(ready, name, ends, stays=stays)
    if ends.script or ends.downscript:  # what a program was cut off from setting up is taken down, too
        ready.leave("script", name=name, down=ends.downscript)
    if ends.script:
        _run(ends.script, name)


def _limit(ready: Preparation, name: str, ends: Ends, *, stays: bool, beside: bool) -> None:
    sent: Limit | None = ends.from_guest if beside else ends.to_guest
    received: Limit | None = ends.to_guest if beside else ends.from_guest
    if stays and (sent or received):
        ready.leave("limits", name=name)
    if sent is not None:
        netlink.limit_sent(name, sent.average, sent.peak, sent.burst)
    if received is not None:
        netlink.limit_received(name, received.average, received.burst)


def _addresses(ready: Preparation, name: str, ends: Ends, *, stays: bool) -> None:
    for one in ends.addresses:
        words = {"address": one.address, "prefix": one.prefix, "peer": one.peer}
        if stays and not netlink.has_address(name, one.address):
            ready.leave("ip-address", name=name, **words)
        netlink.add_address(name, one.address, one.prefix, one.peer)
    for way in ends.routes:
        if stays and not netlink.has_route(name, way.network, way.gateway, way.metric):
            ready.leave("route", name=name, network=way.network, gateway=way.gateway, metric=way.metric)
        netlink.add_route(name, way.network, way.gateway, way.metric)


def _run(program: str, name: str) -> None:
    """Run a program of the definition's with the name of the device, as libvirt does.

    :raises Failed: it cannot be run, says that it failed, or does not end.
    """
    with Child([program, name]) as child:
        code = child.wait(SCRIPT_SECONDS)
        if code == 0:
            return
        said = child.errors().strip()
    how = f"did not end within {SCRIPT_SECONDS:.0f} s" if code is None else f"ended with status {code}"
    text = f"{program} {name} {how}{': ' + said if said else ''}"
    raise Failed(text, native={"code": code, "text": said}, hint="run it by hand, as root, to see why")


def _farewell(program: str, name: str) -> None:
    """The guest has ended whatever this program says: its failure is told to who reads the log."""
    try:
        _run(program, name)
    except VirtError as error:
        _log.warning("%s", error.message)
