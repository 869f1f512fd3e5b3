"""What protects a guest from its host, its keys, its user IDs; and what is counted of it."""

from __future__ import annotations

from typing import Annotated, Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, Hexadecimal, OnOff, YesNo


class IdRange(Element):
    """User or group IDs of a container and what they are on the host."""

    start: Count | None = at("@start", "First ID in the container", default=None, key=True)
    target: Count | None = at("@target", "First ID on the host", default=None)
    count: Count | None = at("@count", "How many", default=None)


class IdMap(Element, tag="idmap"):
    """The container's user namespace."""

    uids: Many[IdRange] = at("uid", "User IDs", default=())
    gids: Many[IdRange] = at("gid", "Group IDs", default=())


class KeyCipher(Element, tag="cipher"):
    """Whether keys of one kind can be wrapped."""

    name: Literal["aes", "dea"] | None = at("@name", "Kind of key", default=None, key=True)
    state: OnOff | None = at("@state", "They can", default=None)


class SevLaunch(Element, tag="launchSecurity", when=("type", "sev")):
    """AMD's encrypted memory; numbers that are missing come from the host."""

    kernel_hashes: YesNo | None = at("@kernelHashes", "The measurement covers a kernel booted directly", default=None)
    cbitpos: Count | None = at("cbitpos", "Bit of an address that says encrypted", default=None)
    reduced_phys_bits: Count | None = at("reducedPhysBits", "Bits that addresses lose", default=None)
    policy: Annotated[int, Hexadecimal(4, 0xFFFFFFFF)] | None = at("policy", "What the guest allows", default=None)
    handle: Count | None = at("handle", "Number of a guest whose keys are shared", default=None)
    dh_cert: str | None = at("dhCert", "The owner's Diffie-Hellman key, base64", default=None)
    session: str | None = at("session", "The owner's session, base64", default=None)


class S390Launch(Element, tag="launchSecurity", when=("type", "s390-pv")):
    """IBM Secure Execution; the guest's image says all else."""


class PerfEvent(Element, tag="event"):
    """One performance event that is counted while the guest runs."""

    name: (
        Literal[
            "cmt", "mbmt", "mbml", "cpu_cycles", "instructions", "cache_references", "cache_misses",
            "branch_instructions", "branch_misses", "bus_cycles", "stalled_cycles_frontend", "stalled_cycles_backend",
            "ref_cpu_cycles", "cpu_clock", "task_clock", "page_faults", "context_switches", "cpu_migrations",
            "page_faults_min", "page_faults_maj", "alignment_faults", "emulation_faults",
        ]
        | None
    ) = at("@name", "Which one", default=None, key=True)  # fmt: skip
    enabled: YesNo | None = at("@enabled", "It is counted", default=None)
