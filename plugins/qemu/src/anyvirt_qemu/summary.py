"""The few facts of a definition that statistics need, read without a model, since many are asked at once."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from anyvirt.api import Domain

# what libvirt's units stand for, in bytes
UNITS: Final = {
    "b": 1, "bytes": 1, "kb": 10**3, "k": 2**10, "kib": 2**10, "mb": 10**6, "m": 2**20, "mib": 2**20,
    "gb": 10**9, "g": 2**30, "gib": 2**30, "tb": 10**12, "t": 2**40, "tib": 2**40,
}  # fmt: skip
FORMAT: Final = 1  # of a gist
DISKS: Final = "domain/devices/disk"
NETS: Final = "domain/devices/interface"
BALLOON: Final = "domain/devices/memballoon"
SOURCES: Final = ("file", "dev")


class DiskFacts(NamedTuple):
    """A disk: its target, and where its image is; path and format are empty where there is none of this host's."""

    target: str
    path: str
    format: str


class NetFacts(NamedTuple):
    """A network interface by its alias (empty in a definition that never ran) and MAC address."""

    alias: str
    mac: str


class Summary(NamedTuple):
    """What a definition says of its size; sizes in bytes.

    :param vcpus: processors at boot; ``max_vcpus`` those that it can have.
    :param memory: what the guest begins with; ``max_memory`` what it can have.
    :param balloon: alias of its memory balloon; empty where it has none, and in a definition that never ran.
    """

    vcpus: int
    max_vcpus: int
    memory: int | None
    max_memory: int | None
    disks: tuple[DiskFacts, ...]
    nets: tuple[NetFacts, ...]
    balloon: str = ""


def gist(domain: Domain) -> str:
    """The facts of a definition that does not run, as the store keeps them beside its document, for ``recall``."""
    vcpus = 1 if domain.vcpu is None else domain.vcpu
    current = vcpus if domain.vcpu_current is None else domain.vcpu_current
    memory = domain.memory if domain.current_memory is None else domain.current_memory
    disks = []
    for disk in domain.disks:
        path = (disk.source.file if disk.source.file is not None else disk.source.dev) if disk.source else None
        disks.append((disk.target or "", path or "", (disk.driver.type or "") if disk.driver else "raw"))
    nets = [(net.alias or "", net.mac or "") for net in domain.interfaces]
    return json.dumps((FORMAT, current, vcpus, memory, domain.memory, disks, nets), separators=(",", ":"))


@lru_cache(maxsize=2048)
def recall(text: str) -> Summary | None:
    """The facts that ``gist`` has written; None where another version has, or nobody."""
    kept: list[Any] = json.loads(text) if text else [0]
    if kept[0] != FORMAT:
        return None
    _, vcpus, most, memory, max_memory, disks, nets = kept
    disks, nets = (DiskFacts(*disk) for disk in disks), (NetFacts(*net) for net in nets)
    return Summary(vcpus, most, memory, max_memory, tuple(disks), tuple(nets))


@lru_cache(maxsize=2048)
def summarise(xml: str) -> Summary:
    """The facts of a document; what it does not say is None or empty.

    :raises ValueError: it is no XML, or has a document type.
    """
    from xml.parsers import expat

    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return reader.summary()


def _refuse(*_: Any) -> None:
    raise ValueError("a document type, which may bring entities, is not allowed")


class _Reader:
    def __init__(self) -> None:
        self._path = ""
        self._words: list[str] = []
        self._unit: str | None = None
        self._numbers: dict[str, int] = {}
        self._current = ""
        self._balloon, self._real = "", False
        self._disks: list[dict[str, str]] = []
        self._nets: list[dict[str, str]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path = path = f"{self._path}/{tag}" if self._path else tag
        if path in {"domain/memory", "domain/currentMemory", "domain/vcpu"}:
            self._words = []
            self._unit = attributes.get("unit")
            self._current = attributes.get("current", "") if tag == "vcpu" else self._current
        elif path == DISKS:
            self._disks.append({})
        elif path == NETS:
            self._nets.append({})
        elif path.startswith(DISKS):
            self._disk(path[len(DISKS) + 1 :], attributes)
        elif path.startswith(NETS):
            found = path[len(NETS) + 1 :]
            if found == "mac":
                self._nets[-1]["mac"] = attributes.get("address", "")
            elif found == "alias":
                self._nets[-1]["alias"] = attributes.get("name", "")
        elif path.startswith(BALLOON):
            self._put_balloon(path[len(BALLOON) + 1 :], attributes)

    def _disk(self, path: str, attributes: dict[str, str]) -> None:
        disk = self._disks[-1]
        if path == "target":
            disk["target"] = attributes.get("dev", "")
        elif path == "driver":
            disk["format"] = attributes.get("type", "")
        elif path == "source":
            disk["path"] = next((attributes[name] for name in SOURCES if name in attributes), "")

    def _put_balloon(self, path: str, attributes: dict[str, str]) -> None:
        if not path:
            self._real = attributes.get("model") != "none"
        elif path == "alias" and self._real:
            self._balloon = attributes.get("name", "")

    def text(self, text: str) -> None:
        self._words.append(text)

    def end(self, tag: str) -> None:
        if self._path in {"domain/memory", "domain/currentMemory", "domain/vcpu"}:
            word = "".join(self._words).strip()
            if word.isdecimal():
                self._numbers[tag] = int(word) * (1 if tag == "vcpu" else UNITS.get((self._unit or "KiB").lower(), 1))
        self._path = self._path.rpartition("/")[0]

    def summary(self) -> Summary:
        maximum = self._numbers.get("vcpu", 1)
        most = self._numbers.get("memory")
        return Summary(
            vcpus=int(self._current) if self._current.isdecimal() else maximum,
            max_vcpus=maximum,
            memory=self._numbers.get("currentMemory", most),
            max_memory=most,
            disks=tuple(DiskFacts(x.get("target", ""), x.get("path", ""), x.get("format", "raw")) for x in self._disks),
            nets=tuple(NetFacts(x.get("alias", ""), x.get("mac", "")) for x in self._nets),
            balloon=self._balloon,
        )
