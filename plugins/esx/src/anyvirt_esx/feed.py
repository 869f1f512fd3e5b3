"""Changes of the virtual machines in a place of the inventory, from one property collector."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from anyvirt.api import NotFound, Ref, State, Status

from anyvirt_esx.address import unescaped
from anyvirt_esx.connect import Line

FIELDS: Final = {
    "name": "name",
    "config.uuid": "uuid",
    "config.instanceUuid": "instance",
    "config.template": "template",
    "runtime.powerState": "power",
    "runtime.connectionState": "link",
}
STATES: Final = {
    "poweredOn": Status(State.RUNNING),
    "poweredOff": Status(State.SHUTOFF),
    "suspended": Status(State.PAUSED),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine as last told; what was not told is None.

    :param key: of the managed object: ``vm-42`` on a vCenter, ``42`` on a host.
    :param link: what its host says of it: ``connected``, ``inaccessible``, ``orphaned`` ...
    """

    key: str
    name: str | None = None
    uuid: str | None = None
    instance: str | None = None
    template: bool | None = None
    power: str | None = None
    link: str | None = None

    @property
    def ref(self) -> Ref:
        name = None if self.name is None else unescaped(self.name)
        return Ref("domain", self.key, name=name, uuid=None if self.uuid is None else self.uuid.lower())

    @property
    def status(self) -> Status:
        """Never ``shut off`` where nobody can see it: what a host that is away said last proves nothing."""
        if self.link not in (None, "connected"):
            return Status(State.UNKNOWN, detail=self.link or "")
        return STATES.get(self.power or "", Status(State.UNKNOWN, detail=self.power or ""))

    @property
    def number(self) -> int | None:
        """The digits of the key while it runs, as libvirt numbers it."""
        digits = self.key.removeprefix("vm-")
        return int(digits) if digits.isdecimal() and self.status.state not in {State.SHUTOFF, State.UNKNOWN} else None


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one machine: None before it was there, and after it was gone."""

    before: Machine | None
    after: Machine | None
    at: float


class Changes:
    """A property collector of its own, and what it has told so far; for one thread at a time.

    :param root: managed object below which machines are looked for.
    """

    def __init__(self, line: Line, root: Any) -> None:
        self.machines: dict[str, Machine] = {}
        self._line, self._root = line, root
        self._collector: Any = None
        self._version, self._logins = "", 0

    def catch_up(self) -> list[Step]:
        """All that has changed since the last time: one request, whatever the number of machines.

        The first time, and after a new log-in, the view and the filter come first: three more.
        """
        return self._line.run(lambda: [step for page in self._pages() for step in page])

    def wait(self, seconds: int) -> list[Step]:
        """As ``catch_up``, up to that long for a change to come."""

        def once() -> list[Step]:
            self._prepare()
            return next(self._pages(seconds))

        return self._line.run(once)

    def forget(self) -> None:
        """Begin anew with the next request: what was told so far may have lost its end."""
        self._collector = None

    def _pages(self, seconds: int = 0) -> Iterator[list[Step]]:
        self._prepare()
        while True:
            steps, more = self._page(seconds)
            yield steps
            if not more:
                return

    def _page(self, seconds: int) -> tuple[list[Step], bool]:
        options = self._line.collecting.WaitOptions(maxWaitSeconds=seconds)
        try:
            told = self._line.ask("updates", "inventory", self._collector.WaitForUpdatesEx, self._version, options)
        except NotFound:  # it went with a session that ended meanwhile
            self.forget()
            self._prepare()
            return self._page(seconds)
        except BaseException:
            self.forget()  # an answer that was lost is not told again
            raise
        fresh, now = not self._version, time.time()
        if told is None:
            return [], False
        objects = [one for part in told.filterSet for one in part.objectSet]
        before = dict(self.machines) if fresh else {}
        if fresh:
            self.machines = {}
        steps = [step for step in (self._take(one, before, now) for one in objects) if step is not None]
        if fresh:
            steps += [Step(machine, None, now) for key, machine in before.items() if key not in self.machines]
        self._version = str(told.version)
        return steps, bool(told.truncated)

    def _take(self, update: Any, before: dict[str, Machine], now: float) -> Step | None:
        key = str(update.obj._moId)  # noqa: SLF001 - the vendor's name for the key
        old = self.machines.get(key) or before.get(key)
        if update.kind == "leave":
            return Step(self.machines.pop(key), None, now) if key in self.machines else None
        new = told_of(key, {one.name: one.val for one in update.changeSet}, old)
        self.machines[key] = new
        return Step(old, new, now) if new != old else None

    def _prepare(self) -> None:
        if self._collector is not None and self._logins == self._line.logins:
            return
        line, types = self._line, self._line.collecting
        content, machine = line.content, line.vim.VirtualMachine
        view = line.ask("view", "inventory", content.viewManager.CreateContainerView, self._root, [machine], True)
        collector = line.ask("collector", "inventory", content.propertyCollector.CreatePropertyCollector)
        through = types.TraversalSpec(type=line.vim.view.ContainerView, path="view", skip=False)
        spec = types.FilterSpec(
            objectSet=[types.ObjectSpec(obj=view, skip=True, selectSet=[through])],
            propSet=[types.PropertySpec(type=machine, pathSet=list(FIELDS))],
        )
        line.ask("filter", "inventory", collector.CreateFilter, spec, False)
        self._collector, self._version, self._logins = collector, "", line.logins


def told_of(key: str, told: Mapping[str, Any], before: Machine | None = None) -> Machine:
    """A machine with what was told of it, by the server's names."""
    return replace(before or Machine(key), **{FIELDS[name]: _plain(told[name]) for name in told if name in FIELDS})


def _plain(value: Any) -> Any:
    """A value of the vendor's as one of ours: names and states are subclasses of ``str`` there."""
    return value if value is None or isinstance(value, bool) else str(value)
