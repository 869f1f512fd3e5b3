"""Emulators by the architecture of their guests: what they are called, what else they run, which package has them."""

from __future__ import annotations

import os
import shutil
from difflib import get_close_matches
from typing import Final

from anyvirt.api import Unsupported

# architectures whose guests this driver starts, from those that are asked about first
ARCHES: Final = ("x86_64", "i686", "aarch64", "armv7l", "ppc64", "riscv64", "s390x")
# architecture -> emulators, from the one that fits best; of others the name is the architecture's own
NAMES: Final = {
    "i686": ("i386", "x86_64"),
    "armv6l": ("arm", "aarch64"),
    "armv7l": ("arm", "aarch64"),
    "armv7b": ("arm",),
    "parisc": ("hppa",),
    "ppc64le": ("ppc64",),
    "openrisc": ("or1k",),
}
# architecture of an emulator -> others whose guests it runs, too
ALSO: Final = {"x86_64": ("i686",), "aarch64": ("armv7l", "armv6l"), "armv7l": ("armv6l",), "ppc64": ("ppc64le",)}
# what machines of a kind call themselves -> the architecture in a definition
HOSTS: Final = {"i386": "i686", "i486": "i686", "i586": "i686", "amd64": "x86_64", "arm64": "aarch64"}
PACKAGES: Final = {
    "x86_64": "x86", "i386": "x86", "aarch64": "arm", "arm": "arm", "ppc": "ppc", "ppc64": "ppc", "ppc64le": "ppc",
    "sparc": "sparc", "sparc64": "sparc", "mips": "mips", "mipsel": "mips", "mips64": "mips", "mips64el": "mips",
}  # fmt: skip
PREFIX: Final = "qemu-system-"
# every architecture that QEMU has machines of, as definitions name it
KNOWN: Final = frozenset({
    *ARCHES, *NAMES, "alpha", "avr", "cris", "loongarch64", "m68k", "microblaze", "microblazeel", "mips", "mips64",
    "mips64el", "mipsel", "nios2", "ppc", "riscv32", "rx", "sh4", "sh4eb", "sparc", "sparc64", "tricore", "xtensa",
    "xtensaeb",
})  # fmt: skip


def native() -> str:
    """The architecture of this host, as definitions name it."""
    name = os.uname().machine
    return HOSTS.get(name, name)


def names(arch: str) -> tuple[str, ...]:
    """Programs that run guests of an architecture, from the one that fits best."""
    return tuple(f"{PREFIX}{name}" for name in NAMES.get(arch, (arch,)))


def found(arch: str, path: str | None) -> str | None:
    """The emulator for an architecture on a search path; None where none is installed."""
    return next((place for name in names(arch) if (place := shutil.which(name, path=path))), None)


def missing(arch: str) -> Unsupported:
    """The error of an architecture without an emulator here: how it is installed, or what is meant by its name."""
    if arch in KNOWN:
        program = names(arch)[0]
        return Unsupported("this host", program, hint=f"install QEMU: apt-get install {package(program)}")
    near = [HOSTS[arch]] if arch in HOSTS else get_close_matches(arch, sorted(KNOWN), n=1, cutoff=0.65)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(ARCHES)} and others"
    return Unsupported("QEMU", f"architecture {arch}", hint=hint)


def runs(emulator: str, arch: str) -> bool:
    """Whether an emulator of this architecture runs guests of that one."""
    return emulator == arch or arch in ALSO.get(emulator, ())


def package(program: str) -> str:
    """Debian's package that has an emulator, by its name or path."""
    return f"{PREFIX}{PACKAGES.get(os.path.basename(program).removeprefix(PREFIX), 'misc')}"
