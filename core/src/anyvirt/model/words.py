"""Words that several documents share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from anyvirt.model.types import Words

# libvirt's names of architectures, src/util/virarch.c
_ARCHES: Final = (
    "alpha armv6l armv7l armv7b aarch64 cris i686 ia64 lm32 loongarch64 m68k microblaze microblazeel mips mipsel "
    "mips64 mips64el openrisc parisc parisc64 ppc ppcle ppc64 ppc64le ppcemb riscv32 riscv64 s390 s390x sh4 sh4eb "
    "sparc sparc64 unicore32 x86_64 xtensa xtensaeb hppa"
)

Arch = Annotated[str, Words({word: word for word in _ARCHES.split()})]


class DomainType(StrEnum):
    """What runs the domain."""

    QEMU = "qemu"
    KQEMU = "kqemu"
    KVM = "kvm"
    XEN = "xen"
    LXC = "lxc"
    UML = "uml"
    OPENVZ = "openvz"
    TEST = "test"
    VMWARE = "vmware"
    HYPERV = "hyperv"
    VBOX = "vbox"
    PHYP = "phyp"
    PARALLELS = "parallels"
    VZ = "vz"
    BHYVE = "bhyve"
    HVF = "hvf"
