"""Character devices: serial, parallel, console, channel, and their back ends."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import SecurityLabel
from anyvirt.model.types import Bit, Count, Hostname, IpAddress, OnOff, TcpPort, YesNo

SerialType = Literal[
    "isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial", "system-serial", "sclp-serial", "isa-debug"
]
SerialModel = Literal[
    "isa-serial", "usb-serial", "pci-serial", "spapr-vty", "pl011", "16550a", "sclpconsole", "sclplmconsole",
    "isa-debugcon",
]  # fmt: skip


class CharType(StrEnum):
    """Back end of a character device."""

    NULL = "null"
    VC = "vc"
    PTY = "pty"
    DEV = "dev"
    FILE = "file"
    PIPE = "pipe"
    STDIO = "stdio"
    UDP = "udp"
    TCP = "tcp"
    UNIX = "unix"
    SPICEVMC = "spicevmc"
    SPICEPORT = "spiceport"
    NMDM = "nmdm"
    QEMU_VDAGENT = "qemu-vdagent"
    DBUS = "dbus"


class CharSource(Element, tag="source"):
    """Host side of a character device; which fields count depends on its ``type``."""

    path: str | None = at("@path", "Path of the device, file, pipe or socket; live also of the pty", default=None)
    append: OnOff | None = at("@append", "Add to the file instead of emptying it", default=None)
    mode: Literal["bind", "connect", "client", "server"] | None = at("@mode", "Listen or connect", default=None)
    host: Hostname | None = at("@host", "Address", default=None)
    service: str | None = at("@service", "Port number or name", default=None)
    tls: YesNo | None = at("@tls", "Encrypt the connection", default=None)
    channel: str | None = at("@channel", "Name of the spice port or D-Bus channel", default=None)
    master: str | None = at("@master", "Guest's end of an nmdm pair", default=None)
    slave: str | None = at("@slave", "User's end of an nmdm pair", default=None)
    tls_from_config: Bit | None = at("@tlsFromConfig", "The driver's settings chose TLS, in status only", default=None)
    clipboard: YesNo | None = at("clipboard/@copypaste", "Share the clipboard through the agent", default=None)
    mouse: Literal["server", "client"] | None = at("mouse/@mode", "Who moves the pointer", default=None)
    reconnect: YesNo | None = at("reconnect/@enabled", "Connect again when the peer went away", default=None)
    reconnect_timeout: Count | None = at("reconnect/@timeout", "Seconds between attempts", default=None)
    seclabels: Many[SecurityLabel] = at("seclabel", "Security labels of the path", default=())


class CharDevice(Device):
    """A character device."""

    type: CharType | None = at("@type", "Back end", default=None)
    tty: str | None = at("@tty", "Path of the pty, live and old form", default=None)
    sources: Many[CharSource] = at("source", "Host side; udp may have two", default=())
    protocol: Literal["raw", "telnet", "telnets", "tls"] | None = at(
        "protocol/@type", "What is spoken on tcp; raw without it", default=None
    )
    log: str | None = at("log/@file", "File that gets everything the guest writes", default=None)
    log_append: OnOff | None = at("log/@append", "Add to the log instead of emptying it", default=None)


class SerialTarget(Element, tag="target"):
    """Guest side of a serial port."""

    type: SerialType | None = at("@type", "Kind of port", default=None)
    port: Count | None = at("@port", "Number of the port", default=None, key=True)
    model: SerialModel | None = at("model/@name", "Device that implements the port", default=None)


class Serial(CharDevice, tag="serial"):
    """A serial port."""

    target: SerialTarget | None = at("target", "Guest side", default=None)


class Parallel(CharDevice, tag="parallel"):
    """A parallel port."""

    target: SerialTarget | None = at("target", "Guest side", default=None)


class ConsoleTarget(Element, tag="target"):
    """Guest side of a console."""

    type: Literal["serial", "virtio", "xen", "lxc", "openvz", "uml", "sclp", "sclplm"] | None = at(
        "@type", "Kind of console", default=None
    )
    port: Count | None = at("@port", "Number of the console", default=None)
    model: SerialModel | None = at("model/@name", "Device of the serial port that it is", default=None)


class Console(CharDevice, tag="console"):
    """A console; the first one of a full guest is its first serial port."""

    target: ConsoleTarget | None = at("target", "Guest side", default=None)


class ChannelTarget(Element, tag="target"):
    """Guest side of a channel."""

    type: Literal["guestfwd", "virtio", "xen"] | None = at("@type", "Kind of channel", default=None)
    name: str | None = at("@name", "Name, such as org.qemu.guest_agent.0", default=None)
    state: Literal["connected", "disconnected"] | None = at(
        "@state", "Whether the guest opened it, live only", default=None
    )
    address: IpAddress | None = at("@address", "Address of guestfwd", default=None)
    port: TcpPort | None = at("@port", "Port of guestfwd", default=None)


class Channel(CharDevice, tag="channel"):
    """A private channel between host and guest."""

    target: ChannelTarget | None = at("target", "Guest side", default=None)
