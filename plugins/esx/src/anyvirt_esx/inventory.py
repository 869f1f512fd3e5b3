"""What is in a place of the inventory, as it is now: one request brings all that has changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyvirt.api import Invalid, NotFound, Ref

from anyvirt_esx.address import unescaped
from anyvirt_esx.connect import Expired, Line
from anyvirt_esx.faults import names
from anyvirt_esx.feed import FIELDS, Changes, Machine, told_of

PAGE: Final = 1000  # objects in one answer
_WAYS: Final = (("folder", "Folder", "childEntity"), ("datacenter", "Datacenter", "hostFolder"))


@dataclass(frozen=True, slots=True)
class _Node:
    """One object of the tree of folders, datacenters, clusters and hosts."""

    key: str
    kind: str
    name: str
    parent: str | None


class Inventory:
    """The machines in the place that the URI names; used by any number of threads.

    :param line: to the server.
    :param place: names from the root on; empty is all of it.
    """

    def __init__(self, line: Line, place: tuple[str, ...]) -> None:
        self.line = line
        self.root = _root(line, place)
        self._changes = Changes(line, self.root)
        self._lock = threading.Lock()

    def machines(self) -> Mapping[str, Machine]:
        """All of them by key, as they are now; templates too."""
        with self._lock:
            self._changes.catch_up()
            return dict(self._changes.machines)

    def machine(self, ref: Ref) -> Machine:
        """One of them, asked for by itself: one request, whatever else there is.

        :raises NotFound: it is not there.
        """
        line, types = self.line, self.line.collecting
        spec = types.FilterSpec(
            objectSet=[types.ObjectSpec(obj=line.object("VirtualMachine", ref.key), skip=False)],
            propSet=[types.PropertySpec(type=line.vim.VirtualMachine, pathSet=list(FIELDS))],
        )
        try:
            found = line.run(lambda: list(retrieve(line, [spec])))
        except NotFound as error:
            raise NotFound(ref) from error
        if not found:
            raise NotFound(ref)
        return told_of(ref.key, found[0][1])

    def changes(self) -> Changes:
        """A feed of its own."""
        return Changes(self.line, self.root)


def retrieve(line: Line, specs: list[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Objects and those of their properties that are set: one request for each page."""
    collector = line.content.propertyCollector
    options = line.collecting.RetrieveOptions(maxObjects=PAGE)
    page = line.ask("read", "inventory", collector.RetrievePropertiesEx, specs, options)
    while page is not None:
        for one in page.objects:
            if any("NotAuthenticated" in names(lack.fault) for lack in one.missingSet):
                raise Expired("read")  # some servers say so of each property
            yield one.obj, {found.name: found.val for found in one.propSet}
        if not page.token:
            return
        page = line.ask("read", "inventory", collector.ContinueRetrievePropertiesEx, page.token)


def under(line: Line, root: Any, kind: str, paths: list[str]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """All objects of one kind in the tree of hosts below ``root``, itself too, with some properties."""
    yield from retrieve(line, [_tree(line, root, {kind: paths})])


def _tree(line: Line, root: Any, wanted: Mapping[str, list[str]]) -> Any:
    types, vim = line.collecting, line.vim
    ways_on = [types.SelectionSpec(name=name) for name in ("folder", "datacenter", "hosts")]
    ways = [
        types.TraversalSpec(name=name, type=getattr(vim, kind), path=path, skip=False, selectSet=ways_on)
        for name, kind, path in _WAYS
    ]
    ways.append(types.TraversalSpec(name="hosts", type=vim.ComputeResource, path="host", skip=False))
    return types.FilterSpec(
        objectSet=[types.ObjectSpec(obj=root, skip=False, selectSet=ways)],
        propSet=[types.PropertySpec(type=getattr(vim, kind), pathSet=paths) for kind, paths in wanted.items()],
    )


def _root(line: Line, place: tuple[str, ...]) -> Any:
    """The managed object that the URI's path leads to: the tree is read at once and walked here."""
    top = line.content.rootFolder
    if not place:
        return top
    kinds = ("Folder", "Datacenter", "ComputeResource", "HostSystem")
    tree = _tree(line, top, {kind: ["name", "parent"] for kind in kinds})
    objects = {str(obj._moId): (obj, told) for obj, told in line.run(lambda: list(retrieve(line, [tree])))}  # noqa: SLF001
    nodes = [
        _Node(
            key, type(obj).__name__.rpartition(".")[2], unescaped(str(told.get("name", ""))), _key(told.get("parent"))
        )
        for key, (obj, told) in objects.items()
    ]
    return objects[walk(nodes, place)][0]


def _node(key: str, obj: Any, told: Mapping[str, Any]) -> _Node:
    kind = type(obj).__name__.rpartition(".")[2]
    return _Node(key, kind, unescaped(str(told.get("name", ""))), _key(told.get("parent")))


def walk(nodes: list[_Node], place: tuple[str, ...]) -> str:
    """The key of the object that names lead to from the root.

    :raises Invalid: nothing of that name is there, the hint has those that are; or a name more than there are levels.
    """
    here = next(node for node in nodes if node.parent is None or node.parent not in {one.key for one in nodes})
    for level, name in enumerate(place):
        inside = _inside(nodes, here)
        found = [node for node in inside if node.name == name]
        if not found and here.kind == "HostSystem":
            text = f"{'/'.join(place)}: nothing is below the host {here.name!r}"
            raise Invalid(text, code="connect.invalid-uri", hint="leave out what follows")
        if not found:
            there = ", ".join(sorted(node.name for node in inside)) or "nothing"
            text = f"{'/'.join(place[: level + 1])} is not in the inventory"
            raise Invalid(text, code="connect.invalid-uri", hint=f"there is {there}")
        here = found[0]
        if here.kind == "ComputeResource":  # a host without a cluster has one of its own name around it
            here = next((node for node in nodes if node.parent == here.key), here)
    return here.key


def _inside(nodes: list[_Node], here: _Node) -> list[_Node]:
    inside = [node for node in nodes if node.parent == here.key]
    if here.kind != "Datacenter":
        return inside
    return [node for node in nodes if any(node.parent == folder.key for folder in inside)]


def _key(obj: Any) -> str | None:
    return None if obj is None else str(obj._moId)  # noqa: SLF001 - the vendor's name for the key
