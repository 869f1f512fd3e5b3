"""libvirt's ``<node>`` documents: a whole test host in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from anyvirt.api import Invalid, Problem
from lxml import etree

NAMESPACE: Final = "{http://libvirt.org/schemas/domain/test/1.0}"
NUMBERS: Final = {
    "mhz": "mhz",
    "active": "cpus",
    "nodes": "nodes",
    "sockets": "sockets",
    "cores": "cores",
    "threads": "threads",
}
UNITS: Final = {"K": 10, "M": 20, "G": 30, "T": 40}
KINDS: Final = ("network", "interface", "pool", "domain")


@dataclass(frozen=True, slots=True)
class Given:
    """One object that a node document holds.

    :param facts: what the host counts of it: a volume's sizes, a pool's path, a network's bridge.
    :param runs: libvirt's number of the state that a domain is in; None for running, or for another kind.
    """

    kind: str
    uuid: str
    name: str
    xml: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    runs: int | None = None
    transient: bool = False
    volumes: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """What a node document says: facts of the host, and what is on it."""

    facts: dict[str, Any] = field(default_factory=dict)
    objects: tuple[Given, ...] = ()


def node(path: str, read: Callable[[str], bytes]) -> Node:
    """Read a node document and what it refers to by ``file=``, which is relative to it.

    :param read: gives a file's content.
    :raises Invalid: it is no XML, or no ``<node>``.
    """
    root = _parsed(path, read)
    if root.tag != "node":
        text = f"{path} is a <{root.tag}>, and a test host is a <node>"
        raise Invalid([Problem("xml.unknown-element", f"/{root.tag}", root.sourceline, text)])
    return Node(_facts(root), tuple(_objects(root, path, read)))


def _facts(root: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for tag, name in NUMBERS.items():
        if (text := root.findtext(f"cpu/{tag}", "").strip()).isdecimal():
            facts[name] = int(text)
    if model := root.findtext("cpu/model", "").strip():
        facts["arch"] = model
    if (text := root.findtext("memory", "").strip()).isdecimal():
        facts["memory"] = int(text) * 1024
    return facts


def _objects(root: Any, path: str, read: Callable[[str], bytes]) -> Iterator[Given]:
    for kind in KINDS:
        for element in root.findall(kind):
            file = element.get("file")
            found = _parsed(os.path.join(os.path.dirname(path), file), read) if file else element
            yield _given(kind, found)


def _given(kind: str, found: Any) -> Given:
    runs = found.findtext(f"{NAMESPACE}runstate", "").strip()
    transient = found.findtext(f"{NAMESPACE}transient") is not None
    facts: dict[str, Any] = {}
    if kind == "pool":
        facts["path"] = found.findtext("target/path", "").strip()
    if kind == "network" and (bridge := found.find("bridge")) is not None:
        facts["bridge"] = bridge.get("name")
    volumes = tuple(_volume(volume, facts["path"]) for volume in found.findall("volume"))
    for own in [*found.findall("volume"), *found.findall("domainsnapshot"), *found.findall(f"{NAMESPACE}*")]:
        found.remove(own)
    uuid, name = _identity(kind, found)
    return Given(kind, uuid, name, _text(found), facts, int(runs) if runs.isdecimal() else None, transient, volumes)


def _identity(kind: str, found: Any) -> tuple[str, str]:
    """UUID and name, which an interface has in attributes; a UUID is made where there is none."""
    if kind == "interface":
        mac = found.find("mac")
        return ("" if mac is None else mac.get("address", "")) or str(uuid4()), found.get("name", "")
    name = found.findtext("name", "").strip()
    uuid = found.findtext("uuid", "").strip().lower()
    if not uuid:
        uuid = str(uuid4())
        element = etree.Element("uuid")
        element.text = uuid
        found.insert(1, element)
    return uuid, name


def _volume(found: Any, folder: str) -> Given:
    name = found.findtext("name", "").strip()
    sizes = {tag: _bytes(found.find(tag)) for tag in ("capacity", "allocation")}
    path = found.findtext("target/path", "").strip() or f"{folder}/{name}"
    facts = {"path": path, **{tag: size for tag, size in sizes.items() if size is not None}}
    return Given("volume", "", name, _text(found), facts)


def _bytes(element: Any) -> int | None:
    text = "" if element is None else (element.text or "").strip()
    if not text.isdecimal():
        return None
    return int(text) << UNITS.get(element.get("unit", "")[:1].upper(), 0)


def _parsed(path: str, read: Callable[[str], bytes]) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        root: Any = etree.fromstring(read(path), parser)
    except etree.XMLSyntaxError as error:
        raise Invalid([Problem("xml.malformed", "/", error.lineno, f"{path}: {error.msg}")]) from error
    if root.getroottree().docinfo.doctype:
        raise Invalid([Problem("xml.malformed", "/", 1, f"{path} has a document type, and so may have entities")])
    return root


def _text(element: Any) -> str:
    element.tail = None
    return etree.tostring(element, encoding="unicode")
