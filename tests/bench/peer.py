"""What a side can do; the two sides are in ``anyvirt_peer`` and ``libvirt_peer``. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from tests.bench.storing import Store

IMAGE: Final = 16 << 20
PREFIX: Final = "be9c0000-0000-4000-8000-"
# Emulated, so that both sides start the same thing everywhere.
XML: Final = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{image}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'>
      <model type='virtio'/>
    </interface>
    <serial type='pty'/>
    <video>
      <model type='none'/>
    </video>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def name_of(number: int) -> str:
    """The name of a guest."""
    return f"bench-{number:04}"


def uuid_of(number: int) -> str:
    """The UUID of a guest."""
    return f"{PREFIX}{number:012x}"


def image_of(number: int, images: Path) -> Path:
    """The image of a guest's disk, a sparse file; made where it is missing."""
    path = images / f"{name_of(number)}.img"
    if not path.exists():
        with path.open("wb") as file:
            file.truncate(IMAGE)
    return path


def xml_of(number: int, images: Path) -> str:
    """The definition of a guest; both sides get this text."""
    return XML.format(name=name_of(number), uuid=uuid_of(number), image=image_of(number, images))


class Peer(Protocol):
    """A connection to the guests of one side. Guests are named by their numbers.

    :ivar store: the pools beside them.
    """

    store: Store

    def define(self, xml: str) -> None:
        """Keep a definition."""
        ...

    def names_and_states(self) -> list[tuple[str, str]]:
        """Every guest with its state."""
        ...

    def dump(self) -> list[str]:
        """The XML of every guest."""
        ...

    def stats(self, *, running: bool) -> int:
        """All groups of figures of the guests that run, or that do not; how many answered."""
        ...

    def start(self, number: int) -> None:
        """Start a guest, paused."""
        ...

    def destroy(self, number: int) -> None:
        """End a guest."""
        ...

    def stops(self) -> AbstractContextManager[Iterator[tuple[str, float]]]:
        """UUID and time (monotonic) of each guest that has stopped, as its event is seen."""
        ...

    def process(self) -> int:
        """Pid of the process that manages the guests for as long as anybody is interested."""
        ...


def rss(pid: int) -> float:
    """Memory of a process, in MB of 1,000,000 bytes; of it and its threads, not of its children."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} is gone")


def qemus() -> dict[str, int]:
    """Pid of the QEMU of each guest of ours on this host, by UUID, from the command lines."""
    found = {}
    ours = re.compile(PREFIX.encode() + rb"[0-9a-f]{12}")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" not in words.partition(b"\0")[0]:
            continue
        found.update({uuid.decode(): int(folder.name) for uuid in ours.findall(words)})
    return found
