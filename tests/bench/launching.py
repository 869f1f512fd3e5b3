"""What comes before a start, on anyvirt's side alone: the probe of QEMU, the plan, the preflight."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import anyvirt
from anyvirt.api import Domain, parse
from anyvirt_qemu.planning import config, defaults
from anyvirt_qemu.planning.plan import Paths
from anyvirt_qemu.probing import capability
from anyvirt_qemu.probing.caps import Caps

URI: Final = "qemu:///session"
PROBES: Final = 3
CALLS: Final = 20

PLAIN: Final = """<domain type='qemu'><name>bench-{name}</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices>{devices}</devices></domain>"""
DISK: Final = "<disk type='file'><source file='{path}'/><target dev='vd{letter}' bus='virtio'/></disk>"
NIC: Final = "<interface type='user'><model type='virtio'/></interface>"
# with four cards, six disks, and what every guest gets by itself
OTHERS: Final = """<serial type='pty'/>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<input type='tablet' bus='usb'/><graphics type='vnc'/><video><model type='virtio'/></video><sound model='ich9'/>
<watchdog model='i6300esb'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<controller type='scsi' model='virtio-scsi'/><hub type='usb'/>"""


def launching(images: Path) -> dict[str, list[float]]:
    """Seconds of each; the caches are those of a first and of a later call."""
    binary = shutil.which("qemu-system-x86_64")
    assert binary is not None
    image = images / "launch.img"
    image.write_bytes(bytes(1 << 20))
    times: dict[str, list[float]] = {"probe_cold": [], "probe_warm": []}
    with tempfile.TemporaryDirectory() as place:
        for number in range(PROBES):
            folder = Path(place, str(number))
            times["probe_cold"].append(_timed(partial(capability.probe, binary, folder)))
            capability._known.clear()  # as in a new process
            times["probe_warm"].append(_timed(partial(capability.probe, binary, folder)))
            capability._known.clear()  # as in a new process
        caps = Caps(capability.probe(binary, Path(place, "0")))
    devices = "".join(DISK.format(path=image, letter=letter) for letter in "abcdef") + 4 * NIC + OTHERS
    domain = defaults.complete(parse(PLAIN.format(name="many", devices=devices), Domain), caps, Random(1).randbytes)
    places = Paths(guest="/run/q", nvram="/nvram")
    times["plan_20"] = _often(lambda: config.plan(domain, caps, places, accelerator="tcg"))
    with anyvirt.open(URI, timeout=120) as connection:
        guest = connection.domain_define(PLAIN.format(name="plain", devices=DISK.format(path=image, letter="a") + NIC))
        try:
            assert list(guest.preflight()) == []
            times["preflight"] = _often(guest.preflight)
        finally:
            guest.undefine()
    return times


def _timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _often(work: Callable[[], Any]) -> list[float]:
    work()
    return [_timed(work) for _ in range(CALLS)]
