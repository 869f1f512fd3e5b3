"""Definitions of machines, from their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SERIAL: Final = "<serial type='pty'><target port='0'/></serial>"


def definition(
    name: str,
    os: str,
    devices: str,
    *,
    machine: str = "q35",
    memory: int = 256,
    vcpus: int = 1,
    more: str = "",
    extra: str = "",
) -> str:
    """A domain's XML.

    :param os: what is in ``<os>`` beside the machine type.
    :param memory: MiB.
    :param more: other children of the domain.
    :param extra: attributes of ``<os>``.
    """
    return (
        f"<domain type='kvm'><name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>{vcpus}</vcpu>"
        f"<os{extra}><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os><features><acpi/></features>"
        f"{more}<devices>{SERIAL}{devices}</devices></domain>"
    )


def image(path: Path, rest: str, *, form: str = "raw", device: str = "disk", driver: str = "") -> str:
    """A disk whose image is a file.

    :param rest: its target and what else it has.
    :param driver: attributes of ``<driver>``.
    """
    return (
        f"<disk type='file' device='{device}'><driver name='qemu' type='{form}'{driver}/>"
        f"<source file='{path}'/>{rest}</disk>"
    )
