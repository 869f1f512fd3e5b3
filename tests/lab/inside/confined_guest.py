"""Run in a guest whose kernel has AppArmor, and before on the host: a guest in that guest, and what its QEMU may do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from anyvirt.api import Document, Domain, Host, Settings, Uri, VirtError
from anyvirt_qemu import connect_open
from anyvirt_qemu.hosting import confined
from anyvirt_qemu.planning import apparmor
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL

SECTOR = bytes.fromhex("b0 75 ba f8 03 ee b0 70 ee fb f4 eb fd")  # prints "up" on the first serial port, and waits
LABELS = (
    "<seclabel type='static' model='dac' relabel='yes'><label>+1234:+1235</label></seclabel>",
    "<seclabel type='dynamic' model='apparmor'/>",
)
DISK = "<disk type='file'><source file='{}'/><target dev='{}' bus='virtio'/>{}</disk>"


def definition(folder: Path, *, inside: bool) -> str:
    """A guest with a disk that it boots, one with a name full of letters that mean something, overlays and memory."""
    boot, data, dropped = folder / "boot.img", folder / "da,ta {x} 'y'.img", folder / "dropped.img"
    boot.write_bytes(SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    data.write_bytes(bytes(1 << 20))
    dropped.write_bytes(bytes(1 << 20))
    disks = DISK.format(boot, "vda", "<boot order='1'/>") + DISK.format(str(data).replace("'", "&apos;"), "vdb", "")
    disks += DISK.format(dropped, "vdc", "<transient/>")
    ends = (
        f"<channel type='unix'><source mode='bind' path='{folder}/c.sock'/><target type='virtio' name='b'/></channel>"
    )
    return (
        "<domain type='qemu'><name>one</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>"
        f"<devices>{disks}<serial type='pty'/>{ends}</devices>{''.join(LABELS[: 1 + inside])}</domain>"
    )


def opened(monitor: Monitor, path: str) -> str:
    """Why QEMU cannot open a file; empty where it can."""
    try:
        monitor.execute("blockdev-add", **{"driver": "file", "node-name": "x", "filename": path, "read-only": True})
    except VirtError as error:
        return error.message
    monitor.execute("blockdev-del", **{"node-name": "x"})
    return ""


def main(folder: Path, *, inside: bool) -> dict[str, Any]:
    """Start the guest, and look at it in every way."""
    state = folder / "state"
    state.mkdir(parents=True)
    for path in (folder, state):
        path.chmod(0o755)
    secret = folder / "secret"
    secret.write_bytes(bytes(512))
    host = Host(uri=Uri.of("qemu:///system"), settings=Settings.read(), state_dir=state)
    host.run("true")  # what runs programs is there, too
    plugin: Any = connect_open(host.uri, host)
    ref = plugin.domain_define(Document[Domain](definition(folder, inside=inside)))
    found: dict[str, Any] = {"problems": [str(problem) for problem in plugin.domain_preflight(ref)]}
    plugin.domain_start(ref, False)
    site = plugin._site
    with site.run(ref.key) as run:
        status = Path(f"/proc/{run.process.pid}/status").read_text().splitlines()
        found["uid"] = next(line.split()[1] for line in status if line.startswith("Uid"))
        found["label"] = Path(f"/proc/{run.process.pid}/attr/current").read_text().strip() if inside else ""
        with Monitor(run.place.place(CONTROL), "one") as monitor:
            found["secret"] = opened(monitor, str(secret))
            found["own"] = opened(monitor, str(folder / "boot.img"))
        log = Path(run.place.guest_path) / "console-serial0.log"
        end = time.monotonic() + 60
        while log.read_bytes() != b"up" and time.monotonic() < end:
            time.sleep(0.05)
        found["printed"] = log.read_text()
        found["events"] = [event.name for event in run.events()]
    found["uuid"] = ref.key
    found["loaded"] = sorted(name for name in confined.loaded() if name.startswith(apparmor.PREFIX))
    plugin.domain_destroy(ref, False)
    found["left"] = sorted(name for name in confined.loaded() if name.startswith(apparmor.PREFIX))
    return found


if __name__ == "__main__":
    if sys.argv[1] == "here":
        main(Path(sys.argv[2]), inside=False)
    else:
        subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=True)
        os.environ["PATH"] = f"/usr/bin:/bin:{sys.argv[1]}"
        told = json.dumps(main(Path("/srv"), inside=True))
        sys.stdout.write(f"FOUND {told} END\n")
