"""Trusted platform modules."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import at
from anyvirt.model.types import UUID, Count, Present, YesNo


class TpmType(StrEnum):
    """What stands behind a TPM."""

    PASSTHROUGH = "passthrough"
    EMULATOR = "emulator"
    EXTERNAL = "external"


class Tpm(Device, tag="tpm"):
    """A trusted platform module."""

    model: Literal["tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy"] | None = at("@model", "Model", default=None)
    type: TpmType | None = at("backend/@type", "What stands behind it", default=None)
    version: Literal["1.2", "2.0"] | None = at("backend/@version", "Version of the emulator", default=None)
    persistent_state: YesNo | None = at("backend/@persistent_state", "State survives a transient guest", default=None)
    device: str | None = at("backend/device/@path", "Host device that is passed through", default=None)
    encryption: UUID | None = at("backend/encryption/@secret", "Secret that encrypts the state", default=None)
    sha1: Present = at("backend/active_pcr_banks/sha1", "PCR bank SHA-1", default=False)
    sha256: Present = at("backend/active_pcr_banks/sha256", "PCR bank SHA-256", default=False)
    sha384: Present = at("backend/active_pcr_banks/sha384", "PCR bank SHA-384", default=False)
    sha512: Present = at("backend/active_pcr_banks/sha512", "PCR bank SHA-512", default=False)
    debug: Count | None = at(
        "backend/@debug", "How much the emulator writes to its log, since libvirt 11.1", default=None
    )
    source_type: Literal["unix", "file", "dir"] | None = at(
        "backend/source/@type",
        "Connection to an external emulator, or where the state is, since libvirt 10.10",
        default=None,
    )
    source_mode: Literal["connect"] | None = at("backend/source/@mode", "Who connects", default=None)
    source_path: str | None = at("backend/source/@path", "Path of the socket or of the state", default=None)
    profile_source: str | None = at(
        "backend/profile/@source", "Profile of a new TPM, as the host has it, since libvirt 10.10", default=None
    )
    profile_remove_disabled: Literal["check", "fips-host"] | None = at(
        "backend/profile/@removeDisabled", "Take out of the profile what the host has disabled", default=None
    )
    profile_name: str | None = at("backend/profile/@name", "Name of the profile", default=None)
    shared_storage: YesNo | None = at(
        "privateData/swtpm/@can_migrate_shared_storage",
        "The state can be shared, in status only",
        default=None,
    )
