"""Security labels of a domain."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, at
from anyvirt.model.types import YesNo


class DomainLabel(Element, tag="seclabel"):
    """How one security driver confines the guest."""

    type: Literal["dynamic", "static", "none"] | None = at("@type", "Who chooses the label", default=None)
    model: Literal["selinux", "apparmor", "dac", "none"] | None = at(
        "@model", "Security driver", default=None, key=True
    )
    relabel: YesNo | None = at("@relabel", "The driver labels what the guest uses", default=None)
    label: str | None = at("label", "The label of the process", default=None)
    imagelabel: str | None = at("imagelabel", "The label of its images, live only", default=None)
    baselabel: str | None = at("baselabel", "What a dynamic label starts from", default=None)
