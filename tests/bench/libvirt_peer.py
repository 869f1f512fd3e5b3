"""libvirt's side, through libvirt-python: ``/usr/bin/python3 -m tests.bench.libvirt_peer SCENARIO``."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.peer import uuid_of
from tests.bench.scenario import PATIENCE, run
from tests.bench.storing import POOL, Store

libvirt: Any = import_module("libvirt")  # has no types
URI = "qemu:///session"


class Libvirt:
    """A connection to libvirtd, with its defaults."""

    def __init__(self, pid_file: Path) -> None:
        self._daemon = int(pid_file.read_text("ascii"))
        self._seen: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, daemon=True).start()
        self._connection = libvirt.open(URI)
        self.store: Store = Storage(self._connection)

    def define(self, xml: str) -> None:
        self._connection.defineXML(xml)

    def names_and_states(self) -> list[tuple[str, str]]:
        return [(one.name(), str(one.state()[0])) for one in self._connection.listAllDomains()]

    def dump(self) -> list[str]:
        return [one.XMLDesc() for one in self._connection.listAllDomains()]

    def stats(self, *, running: bool) -> int:
        wanted = "ACTIVE" if running else "INACTIVE"
        flags = getattr(libvirt, f"VIR_CONNECT_GET_ALL_DOMAINS_STATS_{wanted}")
        return len(self._connection.getAllDomainStats(flags=flags))

    def start(self, number: int) -> None:
        self._connection.lookupByUUIDString(uuid_of(number)).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def destroy(self, number: int) -> None:
        self._connection.lookupByUUIDString(uuid_of(number)).destroy()

    @contextmanager
    def stops(self) -> Iterator[Iterator[tuple[str, float]]]:
        wanted = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        number = self._connection.domainEventRegisterAny(None, wanted, self._note, None)
        try:
            yield iter(lambda: self._seen.get(timeout=PATIENCE), None)
        finally:
            self._connection.domainEventDeregisterAny(number)

    def process(self) -> int:
        return self._daemon

    def _note(self, _connection: Any, domain: Any, event: int, _detail: int, _opaque: Any) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            self._seen.put((domain.UUIDString(), time.monotonic()))


class Storage:
    """The pools of that connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def pool(self, name: str, path: Path) -> None:
        self._connection.storagePoolDefineXML(POOL.format(name=name, path=path)).create()

    def refresh(self, name: str) -> None:
        self._connection.storagePoolLookupByName(name).refresh()

    def volumes(self, name: str) -> int:
        return len([one.name() for one in self._connection.storagePoolLookupByName(name).listAllVolumes()])

    def details(self, name: str) -> int:
        found = self._connection.storagePoolLookupByName(name).listAllVolumes()
        return len([one.info() for one in found])


def _loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    run(Libvirt(Path(sys.argv[1])), sys.argv[2:])
