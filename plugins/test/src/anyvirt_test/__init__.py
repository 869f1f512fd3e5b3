"""A whole host in memory or in a folder: ``test:///default``, ``test:///FILE``, ``?state=PATH``."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from anyvirt.api import Host, Invalid, MemoryLocks, MemoryStore, Scope, StoreBook, Uri, impl

from anyvirt_test import furnish
from anyvirt_test.console import Console, Consoles
from anyvirt_test.cpus import Cpus
from anyvirt_test.domain import Definitions
from anyvirt_test.events import Events
from anyvirt_test.host import Machine
from anyvirt_test.misbehave import misbehaving
from anyvirt_test.network import Networks
from anyvirt_test.power import Power
from anyvirt_test.recovery import Recovery
from anyvirt_test.secrets import Secrets
from anyvirt_test.stats import Figures
from anyvirt_test.trash import Trash
from anyvirt_test.world import World

DEFAULT: Final = "default"
PARAMETERS: Final = ("state", "fail", "delay", "hang", "libvirt", "authfile")


class Test(Machine, Cpus, Definitions, Power, Recovery, Console, Figures, Networks, Secrets, Events):
    """One connection: the hooks of every area, over one world."""

    __test__ = False  # what pytest collects begins with the same word

    def __init__(self, world: World, uri: Uri, host: Host) -> None:
        self.world, self.uri, self.host = world, uri, host
        self.consoles = Consoles(world)
        self.trash = Trash(world)


@impl
def connect_open(uri: Uri, host: Host) -> Test:
    """Open the host that the URI names; see the distribution's README for what a URI may say."""
    _known(uri)
    state = uri.param("state")
    world = _in_memory() if state is None else _in_file(state, host)
    host.jobs = StoreBook(world.store)
    opened: Test = misbehaving(Test, uri)(world, uri, host)
    with world.locks.hold("host", "furnish"):
        if world.store.blob("host", "host", "facts") is None:
            _furnish(world, uri, host)
    return opened


def _known(uri: Uri) -> None:
    for name, _ in uri.query:
        if name not in PARAMETERS and not name.startswith("service."):
            raise Invalid(f"{uri}: there is no parameter {name!r}", hint=f"there are {', '.join(PARAMETERS)}")


def _furnish(world: World, uri: Uri, host: Host) -> None:
    if uri.path in ("", DEFAULT):
        furnish.default(world)
        return
    from anyvirt_test import config

    furnish.loaded(world, config.node(uri.file, host.files.read))


def _in_memory() -> World:
    folder = cache(lambda: tempfile.TemporaryDirectory(prefix="anyvirt-test-"))
    return World(
        MemoryStore("test"),
        MemoryLocks(),
        lambda: Path(folder().name),
        close=lambda: folder().cleanup() if folder.cache_info().currsize else None,
    )


def _in_file(state: str, host: Host) -> World:
    if not state.startswith("/"):
        raise Invalid(f"state={state} is no absolute path", hint="write test:///default?state=/absolute/folder")
    host.scope = Scope.find("session", state_dir=Path(state), settings=host.settings)
    store = host.scope.store("test")
    return World(store, host.scope.locks, lambda: host.scope.folder("test", "consoles"), boot=host.scope.boot_id)
