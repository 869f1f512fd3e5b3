"""QEMU's own words, from a refused command or from its log, as coded errors."""

from __future__ import annotations

import re
from typing import Final

from anyvirt.api import Busy, Denied, Failed, NotFound, Unsupported, VirtError

from anyvirt_qemu.qmp.wire import Refusal

# what a line of the log is about, when it is not about why QEMU ended
CHATTER: Final = re.compile(r"warning: |: info: |^\s*$|^(char device redirected|VNC server running)", re.IGNORECASE)
STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ")
PREFIX: Final = re.compile(r"^\S*qemu-system-\S+: ")
LOG_LINES: Final = 5
LOG_LETTERS: Final = 2000

NO_MEMORY = "the host has not that much memory free; give the guest less"
DATA = "install QEMU's firmware (on Debian and Ubuntu: apt install qemu-system-data)"
UPGRADE = "use another machine type, model or device, or another QEMU"
# words that QEMU uses -> a way out, where there is one worth telling
HINTS: Final[tuple[tuple[str, str], ...]] = (
    ("No such file or directory", "create the file, or correct the path"),
    ("Image is not in", "name the image's real format in <driver type=...>"),
    ("Cannot allocate memory", NO_MEMORY),
    ("cannot set up guest memory", NO_MEMORY),
    ("is not a valid device model name", UPGRADE),
    ("unsupported machine type", UPGRADE),
    ("unable to find CPU model", UPGRADE),
    (
        "Could not access KVM kernel module",
        "use emulation (type='qemu'), or load the module and open /dev/kvm to this user",
    ),
    ("failed to initialize kvm", "use emulation (type='qemu'), or load the module and open /dev/kvm to this user"),
    ("requires kvm", "this device works under KVM alone: choose another, or one that QEMU serves itself"),
    ("Address already in use", "choose another port"),
    ("No space left on device", "make room on the disk that holds it"),
    ("speed mismatch trying to attach usb device", "use an xHCI controller, or all companions of the EHCI controller"),
    ("Unable to load the RISC-V firmware", "install it (on Debian and Ubuntu: apt install opensbi)"),
    ("Could not find LPAR firmware", DATA),
    ("could not find stage1 bootloader", DATA),
    ("could not load PC BIOS", "install it (on Debian and Ubuntu: apt install seabios)"),
    ("VFIO_MAP_DMA failed", "raise the limit of locked memory"),
)


def refused(command: str, refusal: Refusal, guest: str) -> VirtError:
    """The error for a command that QEMU refused; ``details`` keep its class and words."""
    native = {"class": refusal.kind, "desc": refusal.text, "command": command}
    if refusal.kind == "CommandNotFound":
        error: VirtError = Unsupported("qemu", f"the command {command}", hint="this QEMU lacks it: use a newer one")
    elif refusal.kind == "DeviceNotFound":
        quoted = re.search(r"'([^']*)'", refusal.text)
        error = NotFound(quoted.group(1) if quoted else command, "device", hint=f"list the devices of {guest}")
    else:
        error = _from_words(refusal.text, f"{guest}: {command}: {refusal.text}")
    error.details.update(native)
    return error


def ended(log: str, guest: str) -> VirtError:
    """The error for a QEMU that ended by itself, from what it wrote to its log in this run."""
    text = log_tail(log)
    if not text:
        return Failed(
            f"{guest}: QEMU ended without a word", native={"log": ""}, hint="was it killed? look at the kernel's log"
        )
    error = _from_words(text, f"{guest}: QEMU ended: {text}")
    error.details.setdefault("log", text)
    return error


def log_tail(log: str) -> str:
    """The last lines that say why, without time stamps and the program's name; warnings where there is nothing else."""
    written = [line.strip() for line in log.splitlines()]
    why = [line for line in written if not CHATTER.search(line)] or written
    lines = (PREFIX.sub("", STAMP.sub("", line)) for line in why)
    printable = ("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines)
    return "; ".join(list(filter(None, printable))[-LOG_LINES:])[-LOG_LETTERS:]


def _from_words(text: str, message: str) -> VirtError:
    if "lock" in text and ("Failed to get" in text or "Failed to lock" in text):
        path = re.search(r"image \[(.+)\]\?|image '?([^']+?)'?(?:$|;|:)|'([^']+)'", text)
        what = next(filter(None, path.groups()), "image") if path else "an image of the guest"
        error: VirtError = Busy(
            what, holder="another process", purpose="writing", hint="stop the guest that uses the image"
        )
        error.details["desc"] = text
        return error
    if "Permission denied" in text or "Operation not permitted" in text:
        return Denied(message, hint="open the file or device to the user that runs QEMU", details={"desc": text})
    hint = next((hint for words, hint in HINTS if words in text), "")
    return Failed(message, native={"desc": text}, hint=hint)
