"""A guest whose disks are volumes, and what its QEMU does to them and says of them while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from anyvirt.api import Connection, VirtError
from anyvirt.client._generated_sync import Domain as Handle
from anyvirt.client._generated_sync import Volume
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import CONTROL
from anyvirt_qemu.site import Site

from tests.lab.sizes.images import UNIT, Image, Sizes, writes

GUEST = """<domain type='qemu'><name>sizes</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{disks}</devices></domain>"""
DISK = """<disk type='file'><driver name='qemu' type='{format}' discard='unmap'/><source file='{path}'/>
<target dev='{target}' bus='virtio'/></disk>"""


class Guest:
    """A paused guest.

    :param disks: target of each disk -> the image that it is on.
    """

    def __init__(self, connection: Connection, domain: Handle, site: Site, disks: dict[str, Image]) -> None:
        self._connection, self.domain, self._site, self.disks = connection, domain, site, disks
        with site.run(domain.ref.key) as run:
            assert run is not None
            assert run.record is not None
            self._nodes = {target: run.record.disks[target]["node"] for target in disks}

    def change(self, random: Random, target: str) -> None:
        """What happens to an image under a guest: writes, discards, a longer disk, a snapshot in it."""
        image = self.disks[target]
        node = self._nodes[target]
        for command in writes(random):
            self._ask("human-monitor-command", command_line=f'qemu-io {node} "{command}"')
        if random.random() < 0.3:
            size = int(image.told()["virtual-size"]) + random.randint(1, 16) * UNIT
            self._ask("block_resize", node_name=node, size=size)
        if image.format == "qcow2" and random.random() < 0.2:
            name = f"s{random.randrange(1 << 40)}"
            self._ask("blockdev-snapshot-internal-sync", device=node, name=name)
        self._ask("human-monitor-command", command_line=f'qemu-io {node} "flush"')

    def said(self, target: str) -> Sizes:
        """What QEMU itself says, and the end of the file."""
        nodes = {node["node-name"]: node for node in self._ask("query-named-block-nodes")}
        image = nodes[self._nodes[target]]["image"]
        return Sizes(image["virtual-size"], image["actual-size"], self.disks[target].path.stat().st_size)

    def block_info(self, target: str) -> Sizes:
        """What the driver says of the disk."""
        found = next(info for info in self.domain.block_info() if info.target == target)
        assert found.capacity is not None
        assert found.allocation is not None
        assert found.physical is not None
        return Sizes(found.capacity, found.allocation, found.physical)

    def stats(self, target: str) -> Sizes:
        """What its statistics say."""
        found = self._connection.stats_collect([self.domain], {"block"})[self.domain.ref].get()
        disk = next(one for one in found.block or () if one.name == target)
        assert disk.capacity is not None
        assert disk.allocation is not None
        assert disk.physical is not None
        return Sizes(disk.capacity, disk.allocation, disk.physical)

    def _ask(self, command: str, **arguments: Any) -> Any:
        with self._site.run(self.domain.ref.key) as run:
            assert run is not None
            with Monitor(run.place.place(CONTROL), "one") as monitor:
                return monitor.execute(command, **arguments)


@contextmanager
def guest(connection: Connection, volumes: dict[Volume, str]) -> Iterator[Guest]:
    """A paused guest with these volumes as its disks; gone afterwards.

    :param volumes: each with its format.
    """
    disks = {
        f"vd{chr(ord('a') + number)}": Image(Path(one.path()), kind)
        for number, (one, kind) in enumerate(volumes.items())
    }
    text = "".join(DISK.format(format=image.format, path=image.path, target=target) for target, image in disks.items())
    domain = connection.domain_define(GUEST.format(disks=text))
    held: Any = connection
    try:
        domain.start(paused=True)
        yield Guest(connection, domain, held.session.members[0].plugin._site, disks)
    finally:
        with suppress(VirtError):
            domain.destroy()
        domain.undefine()
