"""What two QEMUs say of themselves, made comparable, and what differs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.device_tree.line import Option, fields
from tests.device_tree.peer import Peer

NAMELESS: Final = re.compile(r"/machine/peripheral-anon/device\[\d+\]")
# Numbers of descriptors, and ports that the host gave to the other end of a connection.
PASSING: Final = re.compile(r"(\bfds?=|connection from [0-9.]+:)[0-9:]+")
Tree = dict[str, Any]
REFERRED: Final = ("key-secret", "password-secret", "cookie-secret", "tls-creds", "pr-manager")
# Commands whose answers describe the guest's hardware.
ASKED: Final = (
    "query-memdev",
    "query-memory-devices",
    "query-hotpluggable-cpus",
    "query-machines",
    "query-vnc-servers",
)
# Options that no command shows again once QEMU runs.
WRITTEN: Final = {
    "-blockdev": "", "-chardev": "backend", "-netdev": "", "-numa": "kind", "-smbios": "", "-fw_cfg": "",
    "-acpitable": "", "-boot": "", "-rtc": "", "-vnc": "vnc", "-spice": "", "-fsdev": "backend", "-tpmdev": "backend",
    "-audiodev": "", "-global": "", "-smp": "cpus", "-no-shutdown": "", "-no-reboot": "",
}  # fmt: skip
# Words for what is so without them.
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "-blockdev": {
        "read-only": False, "discard": "ignore", "detect-zeroes": "off", "force-share": False,
        "cache": {"direct": False, "no-flush": False},
    },
    "-chardev": {"server": "off", "append": "off", "logappend": "off", "wait": "on", "telnet": "off"},
    "-rtc": {"base": "utc", "clock": "host", "driftfix": "none"},
    "-smp": {"sockets": "1", "dies": "1", "cores": "1", "threads": "1"},
}  # fmt: skip


def tree(peer: Peer, line: list[Option], notes: list[Any]) -> Tree:
    """Everything that is compared: objects, memory, CPUs, and the options that cannot be asked for."""
    found: Tree = {"objects": peer.objects("/machine", "/objects", "/chardevs")}
    found |= zip(ASKED, peer.ask(ASKED), strict=True)
    for name in ("info numa", "info network"):
        said = peer.ask([("human-monitor-command", {"command-line": name})])[0]
        found[name] = PASSING.sub(r"\1N", said).splitlines()
    found["options"] = {flag: [] for flag in WRITTEN}
    for option in line:
        if option.flag in WRITTEN:
            found["options"][option.flag].append(_written(option))
    found["notes"] = sorted(map(_told, notes))
    return found


def _told(value: Any) -> str:
    """A text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, default=repr)


def _written(option: Option) -> Any:
    if not option.text:
        return True
    said = fields(option.text, WRITTEN[option.flag])
    if not option.json:
        said = {key: "on" if value is True else value for key, value in said.items()}
    if str(said.get("filename", "")).startswith("/dev/fdset/"):
        said["filename"] = "a descriptor"
    return _without(said, DEFAULTS.get(option.flag, {}))


def _without(said: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in said.items():
        usual = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(usual, Mapping):
            if inner := _without(value, usual):
                found[key] = inner
        elif value != usual:
            found[key] = value
    return found


class Renaming:
    """Names that mean nothing, in the words of the left side: of objects, of nodes, of files below a scratch folder."""

    def __init__(self, left: Tree, right: Tree, folders: tuple[str, str]) -> None:
        self._folders = folders
        self.names: dict[str, str] = {}  # right -> left
        self._nameless: dict[str, str] = {}  # paths of devices that the left side has given no name
        self._devices(left["objects"], right["objects"])
        self._nodes(left, right)
        self._rest(left["objects"], right["objects"])

    def _devices(self, left: Tree, right: Tree) -> None:
        """Devices of the same name are the same; what is left over is paired by kind, in order."""
        ours, theirs = (
            {path: kind for path, kind in _users(side).items() if kind != "secret"} for side in (left, right)
        )
        for path in list(theirs):
            if path in ours and ours[path] == theirs[path]:
                del ours[path], theirs[path]
        for path, kind in theirs.items():
            fit = next((other for other, same in ours.items() if same == kind and _parent(other) == _parent(path)), "")
            if fit:
                del ours[fit]
                self.names[path.rpartition("/")[2]] = fit.rpartition("/")[2]

        unnamed = {
            path: found["type"] for path, found in left.items() if NAMELESS.fullmatch(path)
        }  # fmt: skip
        for path, kind in theirs.items():
            fit = next((other for other, same in unnamed.items() if same == kind), "")
            if fit and path.rpartition("/")[2] not in self.names:
                del unnamed[fit]
                self._nameless[path] = fit

    def _nodes(self, left: Tree, right: Tree) -> None:
        """Nodes by the drive that shows them, then down the graph."""
        ours = {node["node-name"]: node for node in left["options"]["-blockdev"]}
        theirs = {node["node-name"]: node for node in right["options"]["-blockdev"]}
        for path, properties in right["objects"].items():
            other = left["objects"].get(self.path(path), {})
            if properties.get("drive") and other.get("drive"):
                self._pair(str(other["drive"]), str(properties["drive"]), ours, theirs)
        for flash in ("pflash0", "pflash1"):
            self._pair(
                str(left["objects"]["/machine"].get(flash, "")), str(right["objects"]["/machine"].get(flash, "")),
                ours, theirs,
            )  # fmt: skip

    def _pair(self, left: str, right: str, ours: Tree, theirs: Tree) -> None:
        if left in ours and right in theirs:
            self.names[right] = left
            self._secrets(ours[left], theirs[right])
            for key in ("file", "backing", "data-file"):
                if isinstance(ours[left].get(key), str) and isinstance(theirs[right].get(key), str):
                    self._pair(ours[left][key], theirs[right][key], ours, theirs)

    def _rest(self, left: Tree, right: Tree) -> None:
        """Secrets of what is no node are the same in their order; which bytes they are is a note."""
        known = set(self.names.values())
        ours = [path for path, kind in _users(left).items() if kind == "secret"]
        theirs = [path for path, kind in _users(right).items() if kind == "secret"]
        names = [path.rpartition("/")[2] for path in ours]
        free = [name for name in names if name not in known and name != "masterKey0"]
        more = [name for name in (path.rpartition("/")[2] for path in theirs) if name not in self.names]
        self.names |= dict(zip(more, free, strict=False))

    def _secrets(self, left: Tree, right: Tree) -> None:
        """What two nodes refer to, by the words for it."""
        for key in left.keys() & right.keys():
            if isinstance(left[key], dict) and isinstance(right[key], dict):
                self._secrets(left[key], right[key])
            elif key in REFERRED:
                self.names[str(right[key])] = str(left[key])

    def path(self, path: str) -> str:
        """A path of objects."""
        for mine, other in self._nameless.items():
            if path == mine or path.startswith(f"{mine}/"):
                path = path.replace(mine, other, 1)
        return "/".join(self.word(part) for part in path.split("/"))

    def word(self, word: str) -> str:
        """A name, or the name of a bus of a device."""
        name, dot, number = word.partition(".")
        return self.names.get(word) or (f"{self.names[name]}{dot}{number}" if dot and name in self.names else word)

    def value(self, value: Any) -> Any:
        """Any value of the right side."""
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, str):
            text = value.replace(self._folders[1], self._folders[0])
            if "/remote/" in text:
                head, _, name = text.rpartition("/")
                return f"{head}/{self.word(name)}"
            return self.path(text) if text.startswith("/machine") else self.word(text)
        return value


def _users(objects: Tree) -> dict[str, str]:
    """Objects that somebody named: devices, back ends."""
    pattern = re.compile(r"/machine/peripheral/[^/]+|/objects/[^/]+|/chardevs/[^/]+")
    return {path: found["type"] for path, found in objects.items() if pattern.fullmatch(path)}


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def differences(left: Tree, right: Tree, folders: tuple[str, str], allowed: Callable[[str], bool]) -> list[str]:
    """Each difference as a line: where, what the left side has, what the right side has."""
    names = Renaming(left, right, folders)
    other = dict(right)
    other["objects"] = {names.path(path): names.value(found) for path, found in right["objects"].items()}
    for key in right:
        if key != "objects":
            other[key] = names.value(right[key])
    _opened(left, other)
    for side in (left, other):
        for flag, found in side["options"].items():
            side["options"][flag] = sorted(found, key=_told)
        side["query-memdev"] = sorted(side["query-memdev"], key=repr)
    return [line for place, line in _walk("", left, other) if not allowed(place)]


def _opened(left: Tree, right: Tree) -> None:
    """A file that one side opens itself stands for the other's descriptor of it; whoever opens it truncates it."""
    passed = {one["id"]: one for one in left["options"]["-chardev"] if str(one.get("path")).startswith("/dev/fdset/")}
    for one in right["options"]["-chardev"]:
        if one["id"] in passed and one["backend"] == passed[one["id"]]["backend"]:
            for key in ("path", "append"):
                passed[one["id"]].pop(key, None)
                one.pop(key, None)


def _walk(place: str, left: Any, right: Any) -> Iterator[tuple[str, str]]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys(), key=str):
            here = f"{place} {key}".strip()
            if key not in right:
                yield here, f"{here}: only libvirt has it: {_short(left[key])}"
            elif key not in left:
                yield here, f"{here}: only anyvirt has it: {_short(right[key])}"
            else:
                yield from _walk(here, left[key], right[key])
    elif isinstance(left, list) and isinstance(right, list):
        if left != right:
            yield from _lists(place, left, right)
    elif left != right:
        yield place, f"{place}: {_short(left)} | {_short(right)}"


def _lists(place: str, left: list[Any], right: list[Any]) -> Iterator[tuple[str, str]]:
    gone = [item for item in left if item not in right]
    new = [item for item in right if item not in left]
    if len(gone) == len(new):
        for one, other in zip(gone, new, strict=True):
            yield from _walk(place, one, other)
        if not gone:
            yield place, f"{place}: another order, or another number of the same"
        return
    for one in gone:
        yield place, f"{place}: only libvirt has it: {_short(one)}"
    for one in new:
        yield place, f"{place}: only anyvirt has it: {_short(one)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 160 else f"{text[:157]}..."
