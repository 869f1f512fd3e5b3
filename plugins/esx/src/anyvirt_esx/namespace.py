"""What a definition says of VMware's inventory: elements of libvirt's own namespace for it, prefix ``vmware``."""

from __future__ import annotations

from typing import Final

from anyvirt.api import Element, at

URI: Final = "http://libvirt.org/schemas/domain/vmware/1.0"


class DatacenterPath(Element, tag="datacenterpath", namespace=(URI, "vmware")):
    """Where the machine's datacenter is in the inventory."""

    value: str = at(".", "Names of folders and the datacenter, with slashes between them", default="")


class Moref(Element, tag="moref", namespace=(URI, "vmware")):
    """The server's own reference to the machine."""

    value: str = at(".", "The reference, such as vm-42", default="")


MODELS: Final = tuple((URI, model, "vmware") for model in (DatacenterPath, Moref))
