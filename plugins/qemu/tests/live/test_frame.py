"""A guest boots with NUMA cells, memory of files, threads and a CPU like the host's, and QEMU tells of them."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

from anyvirt.api import Connection
from anyvirt_qemu.guest import Run
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL
from anyvirt_qemu.site import Site
from sector_stage import UP, read_until

MIB = 1 << 20
CPU = """<cpu mode='host-model'>
  <feature policy='disable' name='svm'/>
  <numa>
    <cell id='0' cpus='0' memory='16' unit='MiB'/>
    <cell id='1' cpus='1' memory='16' unit='MiB'/>
  </numa>
</cpu>"""
FRAME = f"""<maxMemory slots='2' unit='GiB'>1</maxMemory>
<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>
<iothreads>2</iothreads>
<sysinfo type='smbios'><system><entry name='serial'>a,b=c</entry></system></sysinfo>
{CPU}"""
MODULE = """<memory model='dimm'>
  <target><size unit='MiB'>128</size><node>1</node></target>
</memory>"""


def test_a_guest_has_the_frame_that_was_asked_for(connection: Connection, site: Site, xml: Callable[..., str]) -> None:
    text = xml("framed", MODULE, vcpus=2).replace("<os>", "<os><smbios mode='sysinfo'/>")
    text = text.replace("<devices>", f"{FRAME}<devices>").replace("<memory unit='MiB'>32", "<memory unit='MiB'>160", 1)
    domain = connection.domain_define(text)
    domain.start()
    with domain.console() as console:
        read_until(console, UP)
    live = domain.config().text
    found = re.search(
        r"<cpu mode='custom' match='exact' check='partial'>\s*<model fallback='forbid'>([^<]+)</model>", live
    )
    assert found, live
    assert "<feature policy='disable' name='svm'/>" in live
    assert live.count("name='svm'") == 1
    with site.run(domain.ref.key) as run:
        assert run is not None
        _told(run)
    folder = site.scope.folder("qemu", "memory")
    assert list(folder.iterdir()) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    domain.destroy()
    assert "host-model" in domain.config().text


def _told(run: Run) -> None:
    with Monitor(run.place.place(CONTROL), "framed") as monitor:
        memory = {row["id"]: row for row in monitor.execute("query-memdev")}
        assert {name: (row["size"], row["share"]) for name, row in memory.items()} == {
            "ram-node0": (16 * MIB, True),
            "ram-node1": (16 * MIB, True),
            "memdimm0": (128 * MIB, True),
        }
        assert {row["id"] for row in monitor.execute("query-iothreads")} == {"iothread1", "iothread2"}
        cells = [row["props"]["node-id"] for row in monitor.execute("query-hotpluggable-cpus")]
        assert sorted(cells) == [0, 1]
        (module,) = monitor.execute("query-memory-devices")
        assert (module["data"]["id"], module["data"]["node"], module["data"]["slot"]) == ("dimm0", 1, 0)
