"""KVM or emulation: KVM only where guest code was seen to run under it.

That ``/dev/kvm`` opens, a VM can be made and QEMU starts says little: nested
hosts without hardware real mode do all three and need minutes for a firmware.
"""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from anyvirt.api import VirtError
from anyvirt_host.local.child import Child

from anyvirt_qemu.probing import cache
from anyvirt_qemu.qmp import failure

FORMAT: Final = 1
KIND: Final = "accelerator"
DEVICE: Final = "/dev/kvm"
LIMIT: Final = 1.0
SIGNAL: Final = 0x21
EXIT_CODE: Final = SIGNAL << 1 | 1  # what the isa-debug-exit device makes of it
# mov dx, 0xf4; mov al, SIGNAL; out dx, al; cli; hlt; jmp back to hlt - and the signature of a boot sector
BOOT_SECTOR: Final = (b"\xba\xf4\x00\xb0" + bytes([SIGNAL]) + b"\xee\xfa\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"
DISK: Final = 1 << 20
FAMILIES: Final = {"x86_64": ("x86_64", "i386"), "i686": ("i386",), "i386": ("i386",)}
FALLBACK: Final = "using emulation (TCG)"


@dataclass(frozen=True, slots=True)
class Choice:
    """The accelerator for guests of one binary.

    :param name: ``kvm`` or ``tcg``.
    :param reason: one sentence for the user.
    :param seconds: what the boot sector took, where one ran.
    """

    name: str
    reason: str
    seconds: float | None = None


def choose(binary: str, folder: Path, *, device: str = DEVICE, limit: float = LIMIT) -> Choice:
    """KVM if a boot sector runs under it within ``limit`` seconds, or else emulation, with the reason.

    Asked once per binary, kernel and boot, then kept in ``folder``.

    :raises NotFound: there is no such program.
    """
    problem = refused(binary, device)
    if problem:
        return Choice("tcg", f"{problem}: {FALLBACK}")
    key = [*cache.identity(binary), FORMAT, device, limit]
    kept = cache.load(folder, KIND, key)
    if kept is not None:
        try:
            return Choice(**kept)
        except TypeError:
            kept = None
    choice = _try(binary, limit)
    if choice.seconds is not None:  # that QEMU did not start may be over the next time
        cache.keep(folder, KIND, key, asdict(choice))
    return choice


def refused(binary: str, device: str = DEVICE) -> str | None:
    """Why KVM is out of the question here, as a sentence without its full stop; None when it is worth a try."""
    target = Path(binary).name.rpartition("-")[2]
    machine = os.uname().machine
    if target not in FAMILIES.get(machine, ()) and target not in {"kvm", "system"}:
        return f"KVM runs {machine} guests here, and {Path(binary).name} is for others"
    if machine not in FAMILIES:
        return f"there is no probe of KVM for {machine} hosts yet"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"{device} is missing (no virtualization in the CPU or firmware, or the module is not loaded)"
    except PermissionError:
        return f"{device}: permission denied for user {_user()} (an administrator can add them to the group kvm)"
    except OSError as error:
        return f"{device}: {error.strerror}"
    return None


def _try(binary: str, limit: float) -> Choice:
    started = time.monotonic()
    try:
        code, words = boot(binary, "kvm", limit)
    except VirtError as error:
        return Choice("tcg", f"KVM was not tried ({error}): {FALLBACK}")
    took = round(time.monotonic() - started, 3)
    if code == EXIT_CODE:
        return Choice("kvm", f"a boot sector ran under KVM in {took:.2f} s", took)
    if code is None:
        text = f"KVM is there, but a boot sector did not run under it within {limit:g} s"
        return Choice("tcg", f"{text}: {FALLBACK}", took)
    return Choice("tcg", f"KVM is there, but QEMU does not start with it ({words or f'exit {code}'}): {FALLBACK}")


def boot(binary: str, accel: str, limit: float) -> tuple[int | None, str]:
    """Boot the sector through the firmware: QEMU's exit code (None: not within ``limit``) and its words.

    :raises Failed: QEMU cannot be run.
    :raises Interrupted: the deadline passed.
    """
    written = os.memfd_create("boot", os.MFD_CLOEXEC)
    try:
        os.write(written, BOOT_SECTOR)
        os.ftruncate(written, DISK)  # SeaBIOS does not boot from a disk of one sector
        # QEMU takes a descriptor from a set only when its mode fits: read-only
        disk = os.open(f"/proc/self/fd/{written}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(written)
    try:
        argv = [binary, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-boot", "strict=on"]
        argv += ["-machine", f"q35,accel={accel}", "-m", "32", "-add-fd", f"set=1,fd={disk}"]
        argv += ["-blockdev", _json_disk(), "-device", "virtio-blk-pci,drive=boot,bus=pcie.0,bootindex=1"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        with Child(argv, fds=[disk]) as child:
            code = child.wait(limit)
            return code, failure.log_tail(child.errors())
    finally:
        os.close(disk)


def _json_disk() -> str:
    file = '{"driver":"file","filename":"/dev/fdset/1","read-only":true,"locking":"off"}'
    return f'{{"driver":"raw","node-name":"boot","read-only":true,"file":{file}}}'


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
