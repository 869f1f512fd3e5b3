"""USB devices of whoever watches the guest, and which of them may come in."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.devices.char import CharDevice
from anyvirt.model.devices.device import Boot
from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Hexadecimal, Pattern, YesNo

Any2 = Annotated[int, Hexadecimal(2, 0xFF, -1)]
Any4 = Annotated[int, Hexadecimal(4, 0xFFFF, -1)]
UsbVersion = Annotated[str, Pattern("USB version or -1", r"-1|[0-9]{1,2}(\.[0-9]{1,2})?", "2.00", "-1")]


class Redirdev(CharDevice, tag="redirdev"):
    """A USB device that comes through a character device."""

    bus: Literal["usb"] | None = at("@bus", "Kind of device", default=None)
    boot: Boot | None = at("boot", "Place in the boot order", default=None)


class RedirRule(Element, tag="usbdev"):
    """Lets matching devices in, or keeps them out; -1 matches all."""

    class_code: Any2 | None = at("@class", "USB class", default=None)
    vendor: Any4 | None = at("@vendor", "Vendor number", default=None)
    product: Any4 | None = at("@product", "Product number", default=None)
    version: UsbVersion | None = at("@version", "Version of the device, -1 for any", default=None)
    allow: YesNo | None = at("@allow", "Devices that match may come in", default=None)


class Redirfilter(Element, tag="redirfilter"):
    """Which USB devices may be redirected; the first rule that matches counts."""

    rules: Many[RedirRule] = at("usbdev", "Rules in their order", default=())
