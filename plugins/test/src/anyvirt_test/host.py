"""The host: what machine it is, and tidying up on it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from anyvirt.api import Document, Fact, Host, HostInfo, Imported, Uri, impl

from anyvirt_test.domain import identified
from anyvirt_test.world import World

if TYPE_CHECKING:
    from anyvirt.api import Capabilities, Domain

CAPABILITIES = """\
<capabilities>
  <host>
    <uuid>8f9a3c1e-55a5-4d0b-9d0e-7e57c0ffee00</uuid>
    <cpu><arch>{arch}</arch></cpu>
    <power_management/>
    <iommu support='no'/>
  </host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='{arch}'>
      <wordsize>{bits}</wordsize>
      <emulator>/usr/bin/test-hv</emulator>
      <domain type='test'/>
    </arch>
  </guest>
</capabilities>
"""


class Machine:
    """A machine of the year 2001, as libvirt's own test host is."""

    world: World
    uri: Uri
    host: Host

    @impl
    def connect_alive(self) -> bool:
        return True

    @impl
    def connect_ready(self, calls: Any) -> None:
        self.calls = calls

    @impl
    def connect_close(self) -> None:
        self.world.close()

    @impl
    def host_info(self) -> HostInfo:
        facts = self._machine()
        return HostInfo(
            hostname=os.uname().nodename,
            hypervisor="TEST",
            hypervisor_version="0.0.2",
            uri=str(self.uri),
            **facts,
        )

    @impl
    def host_facts(self) -> Sequence[Fact]:
        kept = "for as long as this connection" if not self.world.boot else "in a store, for every process"
        return [Fact("state", "memory" if not self.world.boot else "store", f"guests are there {kept}")]

    @impl
    def host_capabilities(self) -> Document[Capabilities]:
        arch = self._machine()["arch"]
        return Document(CAPABILITIES.format(arch=arch, bits=64 if "64" in arch else 32))

    @impl
    def domain_import(self, dry_run: bool) -> Sequence[Imported]:
        folder = self.uri.param("libvirt")
        if folder is None:
            return []
        names = [name for name in self.host.files.list(folder) if name.endswith(".xml")]
        return [self._bring_in(f"{folder}/{name}", dry_run=dry_run) for name in sorted(names)]

    def _bring_in(self, path: str, *, dry_run: bool) -> Imported:
        given: Document[Domain] = Document.of(self.host.files.read(path))
        config, ref = identified(given)
        for guest in self.world.guests():
            if given.model.uuid == guest.row.uuid or guest.row.name == ref.name:
                return Imported(guest.row.name, guest.row.uuid, path, "there already", ref=guest.ref)
        if dry_run:
            return Imported(str(ref), ref.key, path, "would define")
        return Imported(str(ref), ref.key, path, "defined", ref=self.calls.domain_define(config).ref)

    def _machine(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.world.store.blob("host", "host", "facts") or b"{}")
        return facts
