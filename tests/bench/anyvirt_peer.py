"""anyvirt's side, through its sync client: ``python -m tests.bench.anyvirt_peer SCENARIO``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyvirt
from anyvirt.api import Change, Connection, Feed, Lifecycle, Ref, State

from tests.bench.launching import launching
from tests.bench.peer import uuid_of
from tests.bench.scenario import PATIENCE, run
from tests.bench.storing import POOL, Store

URI = "qemu:///session"


class Anyvirt:
    """A connection as ``anyvirt.open`` gives it."""

    def __init__(self) -> None:
        self._connection = anyvirt.open(URI, timeout=120)
        self.store: Store = Storage(self._connection)

    def define(self, xml: str) -> None:
        self._connection.domain_define(xml)

    def names_and_states(self) -> list[tuple[str, str]]:
        states = self._connection.domain_state(self._connection.domain_list())
        return [(str(ref), answer.get().state.value) for ref, answer in states.items()]

    def dump(self) -> list[str]:
        documents = self._connection.domain_config(self._connection.domain_list())
        return [answer.get().text for answer in documents.values()]

    def stats(self, *, running: bool) -> int:
        found = [answer.get() for answer in self._connection.stats().values()]
        return sum(one.state is not None and (one.state.state is not State.SHUTOFF) is running for one in found)

    def start(self, number: int) -> None:
        self._connection.domain_start(_ref(number), paused=True)

    def destroy(self, number: int) -> None:
        self._connection.domain_destroy(_ref(number))

    @contextmanager
    def stops(self) -> Iterator[Iterator[tuple[str, float]]]:
        with self._connection.events() as events:
            yield _stops(events)

    def process(self) -> int:
        return os.getpid()


class Storage:
    """The pools of that connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pool(self, name: str, path: Path) -> None:
        self._connection.pool_define(POOL.format(name=name, path=path)).start()

    def refresh(self, name: str) -> None:
        self._connection.lookup_pool(name).refresh()

    def volumes(self, name: str) -> int:
        return len([one.name for one in self._connection.lookup_pool(name).volumes()])

    def details(self, name: str) -> int:
        found = self._connection.volume_info(self._connection.lookup_pool(name).volumes())
        return len([answer.get() for answer in found.values()])


def _stops(events: Feed) -> Iterator[tuple[str, float]]:
    while True:
        event = events.get(PATIENCE)
        if isinstance(event, Lifecycle) and event.ref and event.change is Change.STOPPED:
            yield event.ref.key, time.monotonic()


def _ref(number: int) -> Ref:
    return Ref("domain", uuid_of(number))


if __name__ == "__main__":
    if sys.argv[2:] == ["launching"]:
        json.dump(launching(Path(sys.argv[1])), sys.stdout)
        sys.stdout.flush()
    else:
        run(Anyvirt(), sys.argv[1:])
