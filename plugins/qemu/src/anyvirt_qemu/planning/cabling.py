"""What the network cards of a guest are plugged into on the host, as values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limit:
    """How much traffic may pass in one direction: bytes a second in the long run and at most, bytes at once."""

    average: int
    peak: int | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class VlanUse:
    """A VLAN of a bridge's port.

    :param native: what comes without a tag belongs to it.
    :param untagged: its packets leave without their tag.
    """

    number: int
    native: bool = False
    untagged: bool = False


@dataclass(frozen=True, slots=True)
class AddressUse:
    """An IP address of the host's end of an interface, and that of the other end where it has one."""

    address: str
    prefix: int
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class RouteUse:
    """A route through the host's end of an interface; the network as ``address/prefix``."""

    network: str
    gateway: str | None = None
    metric: int | None = None


@dataclass(frozen=True, slots=True)
class SwitchUse:
    """A port of Open vSwitch.

    :param interface: UUID by which its controller knows the guest's card; one is made up where it is empty.
    :param profile: name of a set of settings of the controller's.
    """

    interface: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Ends:
    """What is done to the host's end of an interface once it is there.

    :param to_guest: limit of what the guest receives.
    :param from_guest: limit of what it sends.
    :param isolated: ports of its bridge that are isolated, too, do not hear it.
    :param coalesce: packets that are collected before QEMU hears of them.
    :param script: program that is run with the name of the interface, before QEMU; absolute path.
    :param downscript: program that is run when the guest has ended.
    :param trusted: every multicast packet passes: nobody follows what the guest subscribes to.
    """

    to_guest: Limit | None = None
    from_guest: Limit | None = None
    vlans: tuple[VlanUse, ...] = ()
    isolated: bool = False
    coalesce: int | None = None
    addresses: tuple[AddressUse, ...] = ()
    routes: tuple[RouteUse, ...] = ()
    script: str = ""
    downscript: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class TapUse:
    """A tap device to be made, or opened, for an interface.

    :param name: its name on the host, or a pattern with ``%d``; an existing one where ``managed`` is False.
    :param bridge: bridge that it joins, or None.
    :param switch: the bridge is one of Open vSwitch, and this is known of the port.
    :param node: device node that makes taps; the usual one where it is empty.
    :param place: the interface, as a path.
    """

    alias: str
    mac: str
    name: str
    bridge: str | None = None
    mtu: int | None = None
    queues: int = 1
    managed: bool = True
    node: str = ""
    ends: Ends = field(default_factory=Ends)
    place: str = "/devices/interface"
    switch: SwitchUse | None = None


@dataclass(frozen=True, slots=True)
class MacvtapUse:
    """A macvtap device to be made beside a network card of the host.

    :param name: its name on the host, or a pattern with ``%d``.
    :param parent: the host's network card.
    :param mode: ``vepa``, ``bridge``, ``private`` or ``passthrough``.
    :param place: the interface, as a path.
    """

    alias: str
    mac: str
    name: str
    parent: str
    mode: str
    mtu: int | None = None
    queues: int = 1
    ends: Ends = field(default_factory=Ends)
    place: str = "/devices/interface"
