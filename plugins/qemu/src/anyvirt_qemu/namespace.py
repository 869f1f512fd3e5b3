"""What a definition says to QEMU alone: elements of libvirt's own namespace for it, with the prefix ``qemu``."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, cast

from anyvirt.api import Domain, Element, Many, at

from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.options import jsonstr, word
from anyvirt_qemu.planning.plan import Caps

URI: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
NUMBER: Final = re.compile(r"-?(0x[0-9a-fA-F]+|0|[1-9][0-9]*)", re.ASCII)
DEPRECATED: Final = {
    "omit": {"deprecated-output": "hide"},
    "reject": {"deprecated-output": "hide", "deprecated-input": "reject"},
    "crash": {"deprecated-output": "hide", "deprecated-input": "crash"},
}
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class QemuArgument(Element, tag="arg", namespace=(URI, "qemu")):
    """One word of QEMU's command line."""

    value: str | None = at("@value", "The word, which QEMU is given as it stands", default=None)


class QemuVariable(Element, tag="env", namespace=(URI, "qemu")):
    """One variable of QEMU's environment."""

    name: str = at("@name", "Name of the variable", key=True)
    value: str | None = at("@value", "Its value; empty without it", default=None)


class QemuCommandLine(Element, tag="commandline", namespace=(URI, "qemu")):
    """Words and variables that QEMU is started with, beside those that follow from the definition."""

    arguments: Many[QemuArgument] = at("arg", "Words, at the end of the command line", default=())
    variables: Many[QemuVariable] = at("env", "Variables, above those of the driver", default=())


class QemuCapability(Element, tag="add", namespace=(URI, "qemu")):
    """One ability of QEMU as libvirt names it."""

    capability: str = at("@capability", "libvirt's name of the ability", key=True)


class QemuCapabilities(Element, tag="capabilities", namespace=(URI, "qemu")):
    """Abilities that libvirt believes a QEMU to have or not to have, whatever it found out."""

    added: Many[QemuCapability] = at("add", "Abilities that QEMU is said to have", default=())
    removed: Many[QemuCapability] = at("del", "Abilities that QEMU is said to lack", default=())


class QemuProperty(Element, tag="property", namespace=(URI, "qemu")):
    """One property of a device of QEMU."""

    name: str = at("@name", "QEMU's name of the property", key=True)
    type: Literal["string", "signed", "unsigned", "bool", "remove"] | None = at(
        "@type", "How the value is read; remove leaves the property out", default=None
    )
    value: str | None = at("@value", "The value; nothing for remove", default=None)


class QemuDevice(Element, tag="device", namespace=(URI, "qemu")):
    """Properties of one device."""

    alias: str = at("@alias", "Alias of the device", key=True)
    properties: Many[QemuProperty] = at(
        "frontend/property", "Properties of what the guest sees, instead of those that follow", default=()
    )


class QemuOverride(Element, tag="override", namespace=(URI, "qemu")):
    """Properties of devices that are other than what follows from the definition."""

    devices: Many[QemuDevice] = at("device", "Devices by alias", default=())


class QemuDeprecation(Element, tag="deprecation", namespace=(URI, "qemu")):
    """What QEMU does about commands that are deprecated."""

    behavior: Literal["none", "omit", "reject", "crash"] | None = at(
        "@behavior", "Nothing, leave them out of answers, refuse them, or crash at them", default=None
    )


MODELS: Final = tuple(
    (URI, model, "qemu") for model in (QemuCommandLine, QemuCapabilities, QemuOverride, QemuDeprecation)
)


class Lacking:
    """A QEMU that is said to lack some of what it has.

    :param names: of devices, objects and features.
    """

    def __init__(self, caps: Caps, names: frozenset[str]) -> None:
        self._caps, self._names = caps, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caps, name)

    def lacks(self, name: str) -> bool:
        """Whether something that QEMU has is left out for this name."""
        caps = self._caps
        return name in self._names and (caps.has_device(name) or caps.has_object(name) or caps.has_feature(name))

    def has_device(self, name: str) -> bool:
        """Whether ``-device`` knows this driver, and may."""
        return name not in self._names and self._caps.has_device(name)

    def has_object(self, name: str) -> bool:
        """Whether ``-object`` knows this kind, and may."""
        return name not in self._names and self._caps.has_object(name)

    def has_feature(self, name: str) -> bool:
        """Whether QEMU's schema has this, and may."""
        return name not in self._names and self._caps.has_feature(name)


def without(caps: Caps, domain: Domain) -> Caps:
    """The QEMU that a definition wants to be started for, less what ``<qemu:del>`` names."""
    parts = [part for part in domain.extensions if isinstance(part, QemuCapabilities)]
    names = frozenset(one.capability for part in parts for one in part.removed)
    return cast("Caps", Lacking(caps, names)) if names else caps


def _told(b: Build, part: QemuCapabilities) -> None:
    """Most names are of libvirt's own making: they steer its choice between ways that QEMU has had over the years."""
    known = [one.capability for one in part.removed if isinstance(b.caps, Lacking) and b.caps.lacks(one.capability)]
    names = [one.capability for one in (*part.added, *part.removed) if one.capability not in known]
    if names:
        words = ", ".join(names)
        b.warnings.append(f"nothing follows from qemu:capabilities {words}: what QEMU can do is asked of QEMU itself")


def overrides(b: Build, domain: Domain) -> None:
    """Properties of devices, by alias, that the definition sets itself; before the devices are planned."""
    for part in domain.extensions:
        if isinstance(part, QemuOverride):
            for device in part.devices:
                b.overrides[device.alias] = {one.name: _value(b, one) for one in device.properties}


def _value(b: Build, x: QemuProperty) -> Any:
    text = x.value or ""
    match x.type:
        case None:
            b.problem(x, "type", "the type is missing", "such as type='unsigned'", "config.missing")
            return None
        case "remove":
            return None
        case "bool":
            if text in {"true", "false"}:
                return text == "true"
        case "signed" | "unsigned":
            if NUMBER.fullmatch(text) and (x.type == "signed" or not text.startswith("-")):
                return int(text, 0)
        case _:
            return text
    b.problem(x, "value", f"{text!r} is no {x.type}", "correct the value or its type")
    return None


def _unmet(b: Build, part: QemuOverride) -> None:
    """Overrides that have met no device."""
    for device in part.devices:
        if device.alias in b.overrides:
            text = f"no device of QEMU is named {device.alias}"
            b.problem(device, "alias", text, "give the device <alias name='ua-...'/>, and use that name")


def extensions(b: Build, domain: Domain) -> None:
    """Words and variables of the definition's own, at the end; what else the namespace has is refused by path."""
    for part in domain.extensions:
        if isinstance(part, QemuOverride):
            _unmet(b, part)
        elif isinstance(part, QemuDeprecation):
            if part.behavior is None:
                b.problem(part, "behavior", "the behavior is missing", "such as behavior='omit'", "config.missing")
            elif part.behavior != "none":
                b.option("-compat", jsonstr(DEPRECATED[part.behavior]))
        elif isinstance(part, QemuCapabilities):
            _told(b, part)
        elif not isinstance(part, QemuCommandLine):
            b.refuse(part, "", "remove it")
        if not isinstance(part, QemuCommandLine):
            continue
        for argument in part.arguments:
            if argument.value is None:
                b.problem(argument, "value", "a word is missing", "give it, or remove the element")
            else:
                b.option(word(argument.value))
        for variable in part.variables:
            if NAME.fullmatch(variable.name):
                b.env[variable.name] = word(variable.value or "")
            else:
                b.problem(variable, "name", f"{variable.name!r} names no variable", "use letters, digits, underscore")
        if part.arguments or part.variables:
            b.warnings.append("the guest runs with words or variables that the driver does not know (qemu:commandline)")
