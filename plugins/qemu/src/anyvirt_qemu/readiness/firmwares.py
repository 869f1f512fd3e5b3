"""Firmware that packages of the host describe in files, and the choice of one for a guest that names none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from anyvirt.api import Domain, Features, Invalid, Os, Problem

from anyvirt_qemu.planning.plan import Machine

FOLDERS: Final = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))
SIZE: Final = 1 << 20
INTERFACES: Final = {"efi": "uefi", "bios": "bios"}
PACKAGES: Final = {"aarch64": "qemu-efi-aarch64", "armv7l": "qemu-efi-arm", "riscv64": "qemu-efi-riscv64"}
QEMU_ARCHES: Final = {"i686": "i386", "armv7l": "arm"}


@dataclass(frozen=True, slots=True)
class Firmware:
    """What one file describes.

    :param name: name of the file.
    :param device: ``flash``, ``memory`` or ``kernel``.
    :param mode: of flash: ``split``, ``combined`` or ``stateless``.
    :param template: content of new variable stores; ``""`` without one.
    :param formats: of the firmware and the template.
    :param targets: architecture, and patterns of machine types, of guests that it is for.
    """

    name: str
    interfaces: frozenset[str]
    device: str
    mode: str
    path: str
    template: str
    formats: frozenset[str]
    targets: tuple[tuple[str, tuple[str, ...]], ...]
    features: frozenset[str]


def read(folders: Iterable[Path] = FOLDERS) -> list[Firmware]:
    """What is described in the folders, best first; a file hides one of its name in an earlier folder.

    An empty file hides, too, and a file that makes no sense is passed over.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        files |= {path.name: path for path in folder.glob("*.json")}
    found = []
    for name in sorted(files):
        try:
            with files[name].open("rb") as file:
                found.append(_described(name, json.loads(file.read(SIZE))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _described(name: str, said: Mapping[str, Any]) -> Firmware:
    where = said["mapping"]
    device = str(where["device"])
    program = where["executable"] if device == "flash" else where
    template = where.get("nvram-template", {})
    return Firmware(
        name=name,
        interfaces=frozenset(map(str, said["interface-types"])),
        device=device,
        mode=str(where.get("mode", "split")) if device == "flash" else "stateless",
        path=str(program["filename"]),
        template=str(template.get("filename", "")),
        formats=frozenset({str(program.get("format", "raw")), str(template.get("format", "raw"))}),
        targets=tuple((str(one["architecture"]), tuple(map(str, one["machines"]))) for one in said["targets"]),
        features=frozenset(map(str, said["features"])),
    )


def needed(domain: Domain) -> bool:
    """Whether the definition leaves something open that descriptions of firmware tell."""
    os = domain.os
    if os is None:
        return False
    bare = os.loader is not None and os.loader_type == "pflash" and os.nvram_template is None
    return bare or (os.loader is None and os.firmware is not None)


def chosen(domain: Domain, arch: str, machine: Machine, found: Sequence[Firmware]) -> Domain:
    """The definition with the firmware that it asks for, and with the template that belongs to the one that it names.

    :raises Invalid: none fits; the hint says why each does not.
    """
    os = domain.os or Os()
    if os.loader is not None:
        fit = next((one for one in found if one.path == os.loader and one.template), None)
        bare = os.loader_type == "pflash" and os.nvram_template is None and not os.loader_stateless
        return domain.replace(os=os.replace(nvram_template=fit.template)) if fit is not None and bare else domain
    if os.firmware is None:
        return domain
    reasons: list[str] = []
    for one in found:
        reason = _unfit(one, domain, os, arch, machine)
        if not reason:
            return _with(domain, os, one)
        reasons.append(f"{one.name}: {reason}")
    if os.firmware == "bios" and not os.firmware_features:
        return domain  # the one that QEMU brings along
    asked = " ".join([os.firmware, *(f"{x.name}={'yes' if x.enabled else 'no'}" for x in os.firmware_features)])
    text = f"no installed firmware fits {asked} on {machine.name}"
    name = QEMU_ARCHES.get(arch, arch)
    meant = any(name == other for one in found for other, _ in one.targets)
    package = PACKAGES.get(arch, "ovmf")
    install = f"install it (on Debian and Ubuntu: apt install {package}), or name the file in <loader>"
    hint = "; ".join(reasons) if meant else install
    raise Invalid([Problem("unsupported.config", "/os/@firmware", None, text, hint)])


def _with(domain: Domain, os: Os, one: Firmware) -> Domain:
    changes: dict[str, Any] = {"loader": one.path, "loader_type": "rom" if one.device == "memory" else "pflash"}
    features = domain.features or Features()
    if one.device == "flash":
        changes["loader_readonly"] = True
        if one.mode == "stateless":
            changes["loader_stateless"] = True
        elif os.nvram_template is None and one.template:
            changes["nvram_template"] = one.template
        if "requires-smm" in one.features:
            changes["loader_secure"] = True
            features = features.replace(smm=True)
    return domain.replace(os=os.replace(**changes), features=features)


def _unfit(one: Firmware, domain: Domain, os: Os, arch: str, machine: Machine) -> str:
    """Why this firmware is not for this guest; ``""`` if it is."""
    name = QEMU_ARCHES.get(arch, arch)
    if INTERFACES[os.firmware or "bios"] not in one.interfaces:
        return f"is no {os.firmware}"
    if not any(
        name == other and any(fnmatchcase(machine.name, glob) for glob in globs) for other, globs in one.targets
    ):
        return f"is not for {machine.name}"
    if one.device == "kernel" or one.mode == "combined":
        return "is mapped in a way that is not supported"
    if one.formats != {"raw"}:
        return "has another format than raw"
    if os.loader_type is not None and (os.loader_type == "pflash") != (one.device == "flash"):
        return f"is no {os.loader_type}"
    if os.loader_stateless is not None and os.loader_stateless != (one.mode == "stateless"):
        return "keeps variables" if os.loader_stateless else "keeps no variables"
    if one.mode == "split" and one.device == "flash" and not (one.template or os.nvram_template or os.nvram):
        return "has no template for variables"
    return _unlike(one, domain, os)


def _unlike(one: Firmware, domain: Domain, os: Os) -> str:
    wanted = {x.name: x.enabled is not False for x in os.firmware_features}
    if os.loader_secure is not None:
        wanted.setdefault("secure-boot", os.loader_secure)
    for name in ("secure-boot", "enrolled-keys"):
        if name in wanted and wanted[name] != (name in one.features):
            return f"has {'no ' if wanted[name] else ''}{name}"
    if "requires-smm" in one.features and domain.features is not None and domain.features.smm is False:
        return "needs system management mode"
    for asked, name in ((domain.suspend_to_mem, "acpi-s3"), (domain.suspend_to_disk, "acpi-s4")):
        if asked and name not in one.features:
            return f"has no {name}"
    return ""
