"""Who has an image open on the host now: running guests by name, and others that write to it."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Busy, Output, Ref, Run, Unsupported, VirtError

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Backend
    from anyvirt_host.storage.site import Live

# Programs that run guests or serve their disks: what they have open even for reading must stay as it is.
HYPERVISORS: Final = (
    "qemu",
    "kvm",
    "vbox",
    "virtualbox",
    "vmware-vmx",
    "prl_vm_app",
    "bhyve",
    "tapdisk",
    "cloud-hyper",
)
STOP: Final = "shut it down first"
_NAME: Final = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")
_PUMP: Final = "/anyvirt_host/storage/carrying/pump.py"
_WRITES: Final = os.O_WRONLY | os.O_RDWR


class Opener(NamedTuple):
    """A process that has an image open.

    :param who: it in words, such as ``guest web (QEMU, process 17)``.
    :param guest: it runs a guest, or serves a disk to one.
    """

    who: str
    pid: int
    guest: bool
    writes: bool


def refuse_running(run: Run, backend: Backend, live: Live, ref: Ref, *, own: int | None = None) -> None:
    """See that nobody uses a volume now: to be asked under the pool's lock, before its content is changed.

    :param own: the process of an upload that asks for itself; 0 where it has none here.
    :raises Busy: a running guest has it open, or something else writes to it; everybody is named.
    """
    names = busy_with(run, backend, live, ref.key, own=own or 0)
    if own is None and uploading(run, ref.key):
        names.append("an upload")
    if names:
        raise Busy(ref, holder=", ".join(names), purpose="it is open there", hint=STOP)


def busy_with(run: Run, backend: Backend, live: Live, place: str, *, own: int = 0) -> list[str]:
    """Everybody who uses a volume now, in words; but for the process ``own``."""
    names = [one.who for one in openers(run, place) if (one.guest or one.writes) and one.pid != own]
    names += loops(run, place)
    if not names and _locked(backend, live, place):
        names.append("a QEMU that this user may not see")
    return names


def uploading(run: Run, place: str) -> bool:
    """Whether somebody is at an upload to a file."""
    if not place.startswith("/"):
        return False
    from anyvirt_host.storage.carrying.content import carrier_of

    kept = carrier_of(run).kept(place)
    return kept is not None and kept.held


def openers(run: Run, path: str) -> list[Opener]:
    """Every other process that has the file, or the device, open.

    What the kernel tells of descriptors is read first, so that nothing on storage that hangs is touched but what
    has the number of the very file.
    """
    if not path.startswith("/"):
        return []
    told = run("stat", "-L", "-c", "%d %i", "--", path)
    if told.code:
        return []
    identity = told.text.strip()
    number = identity.split()[1]
    looked = ("find", "/proc", "-maxdepth", "3", "-path", "/proc/[0-9]*/fdinfo/*")
    # processes come and go meanwhile, and others' cannot be read: neither's status means anything
    found = run(*looked, "-exec", "grep", "-lsE", f"^ino:[[:space:]]*{number}$", "{}", "+").text.splitlines()
    if not found:
        return []
    fds = {place.replace("/fdinfo/", "/fd/"): place for place in found}
    same = run("stat", "-L", "-c", "%d %i %n", "--", *fds).text.splitlines()
    ours = [fds[line.removeprefix(identity + " ")] for line in same if line.startswith(identity + " ")]
    return _described(run, ours) if ours else []


def loops(run: Run, path: str) -> list[str]:
    """Loop devices that stand on a file, in words."""
    try:
        out = run("losetup", "--noheadings", "--output", "NAME", "--associated", path)
    except Unsupported:
        return []
    return [f"the loop device {line.strip()}" for line in out.text.splitlines() if line.strip()] if not out.code else []


def _described(run: Run, places: list[str]) -> list[Opener]:
    modes: dict[int, bool] = {}
    for line in run("grep", "-Hs", "^flags:", "--", *places).text.splitlines():
        place, _, flags = line.partition(":flags:")
        pid = int(place.split("/")[2])
        modes[pid] = modes.get(pid, False) or bool(int(flags.strip(), 8) & _WRITES)
    found = []
    for pid, writes in sorted(modes.items()):
        words = _words(run("cat", f"/proc/{pid}/cmdline"))
        if words:
            who, guest = named(words, pid)
            found.append(Opener(who, pid, guest, writes))
    return found


def _words(out: Output) -> list[str]:
    return out.text.split("\0") if not out.code else []


def named(words: list[str], pid: int) -> tuple[str, bool]:
    """A process in words, by its command line; and whether it has to do with guests."""
    program = os.path.basename(words[0])
    # an emulator may be started by a loader or a tracer: its own name is the second or third word then
    known = any(os.path.basename(word).lower().startswith(HYPERVISORS) for word in words[:3])
    if known:
        for flag, value in pairwise(words):
            if flag in ("-name", "--comment"):
                found = _NAME.search(value)
                name = found[1].replace(",,", ",") if found else value.partition(",")[0]
                return f"guest {name} ({'QEMU, ' if flag == '-name' else ''}process {pid})", True
    if any(word.endswith(_PUMP) for word in words[1:5]):
        program = "an upload"
    return f"{program} (process {pid})", known


def _locked(backend: Backend, live: Live, place: str) -> bool:
    """Whether some QEMU holds its own locks on the image, whoever's it is."""
    try:
        return backend.in_use(live, backend.called(live, place))
    except VirtError:  # it is no file, or gone: then nobody holds one
        return False
