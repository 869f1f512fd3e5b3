"""A definition in the making: elements so far, what options are left, what the reader is to be told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeVar

from anyvirt.api import Boot, CcwAddress, Element, MmioAddress, PciAddress, SpaprAddress

from anyvirt_qemu.argv.given import Given, number, words_of
from anyvirt_qemu.namespace import QemuDevice, QemuProperty

X = TypeVar("X", bound=Element)
ADDRESS: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{1,2})(?:\.(?:0x)?([0-7]))?")
CCW: Final = re.compile(r"([0-9a-f]{1,2})\.([0-3])\.([0-9a-f]{1,4})", re.IGNORECASE)
UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
ROOTS: Final = ("pci.0", "pcie.0", "pci", "pcie")
# what nobody but the reader of the line is to see again: after a key, as JSON, within a URL
SECRET: Final = re.compile(r"""((?:\b|-)(?:data|key|passw(?:or)?d)(?:=|"\s*:\s*"))(?:[^,":]|,,)+""")
# the same where it is meant: with its value, of options that QEMU would get as they stand
PASSWORD: Final = re.compile(r"(?:[\w.-]+\.)?passw(?:or)?d|(?:[\w.-]+\.)?passphrase", re.IGNORECASE)
PART: Final = re.compile(rf"(?:^|,)(?:{PASSWORD.pattern})=(?!(?:on|off)(?:,|$))(?:[^,]|,,)*", re.IGNORECASE)
RADOS: Final = re.compile(r"(rbd:[^,]*?):key=(?:\\.|[^:,\\])*")
PUBLIC: Final = "everybody on the host can read the words of a process; have it asked for by <secret> in <auth>"
WITHIN_URL: Final = re.compile(r"(://[^/@:\s]*:)[^@/\s]*@")
VARIANTS: Final = ("-non-transitional", "-transitional")
TRANSPORTS: Final = ("-pci", "-ccw", "-device")
# properties whose on and off are words, not switches
WORDED: Final = frozenset({
    "disable-legacy", "acpi", "smm", "pit", "vmport", "sata", "guest-loader", "display", "rombar-auto", "aer-auto",
    "msi", "msix", "x-pci-hole64-fix", "write-cache", "backend_defaults", "hpet-auto",
})  # fmt: skip
# keys of a device whose values are names, and so the same as JSON
NAMED: Final = frozenset({
    "driver", "id", "drive", "chardev", "netdev", "rng", "memdev", "fsdev", "tpmdev", "audiodev", "bus",
})  # fmt: skip
# option -> the option with its back end
BACKENDS: Final = {
    "drive": "drive", "blockdev": "blockdev", "chardev": "chardev", "netdev": "netdev", "fsdev": "fsdev",
    "tpmdev": "tpmdev", "object": "object", "audiodev": "audiodev",
}  # fmt: skip


class Draft:
    """What is known so far.

    :param given: every option, in order; what nobody heeds becomes words of ``qemu:commandline``.
    :param arch: architecture of the guests.
    """

    def __init__(self, given: Iterable[Given], arch: str) -> None:
        self.given, self.arch = list(given), arch
        self.fields: dict[str, Any] = {}
        self.many: dict[str, list[Any]] = {}
        self.notes: list[str] = []
        self.arguments: list[str] = []
        self.overrides: list[QemuDevice] = []
        self.buses: dict[str, tuple[str, int]] = {}  # id of a controller -> its kind and index
        self.machine = ""
        self.floppies: dict[int, int | None] = {}  # places in the boot order, by unit
        self.folder = ""  # where QEMU is run, as far as that is known
        self.expiry: str | None = None  # what happens when a watchdog expires
        self._back: dict[tuple[str, str], Given] = {}
        self._names = 0
        for one in self.given:
            if one.flag in BACKENDS and one.id:
                self._back.setdefault((one.flag, one.id), one)

    @property
    def q35(self) -> bool:
        """The machine has a PCI Express chipset of Intel's."""
        return "q35" in self.machine

    @property
    def pci(self) -> bool:
        """Devices sit on PCI."""
        return self.machine not in {"isapc", "microvm", "none"} and self.arch != "s390x"

    def every(self, *flags: str) -> list[Given]:
        """Options of these flags that nobody has heeded yet, in order."""
        return [one for one in self.given if one.flag in flags and not one.done]

    def last(self, *flags: str) -> Given | None:
        """The last option of these flags, which is heeded with those before it; None where there is none."""
        found = self.every(*flags)
        for one in found:
            one.done = True
        return found[-1] if found else None

    def back(self, flag: str, name: object) -> Given | None:
        """The back end of that kind and id that nobody has heeded yet."""
        found = self._back.get((flag, words_of(name) if name is not None else ""))
        return None if found is None or found.done else found

    def note(self, text: str) -> None:
        """Something that the reader is told, once."""
        text = WITHIN_URL.sub(r"\1***@", text)
        if text not in self.notes:
            self.notes.append(text)

    def keep(self, given: Given, why: str = "") -> None:
        """An option that no definition has words for: QEMU gets it as it stands."""
        given.done = True
        if any(UNWRITABLE.search(word) for word in given.words):
            self.note(f"left out: {shown(given)!a} (it holds a character that XML cannot carry)")
            return
        kept = without_secrets(given)
        if kept.words != given.words:
            self.note(f"secret left out: {shown(given)} ({PUBLIC})")
        if kept.text or not given.text:
            self.arguments += _later(kept)
            self.note(f"kept in qemu:commandline: {shown(kept)}{f' ({why})' if why else ''}")

    def drop(self, given: Given, why: str) -> None:
        """An option that a definition cannot have."""
        given.done = True
        self.note(f"left out: {shown(given)} ({why})")

    def add(self, field: str, x: Any, given: Given | None = None) -> None:
        """An element; properties of its device that nobody has taken are told to QEMU as overrides."""
        if given is not None:
            given.done = True
            if given.id.startswith("ua-"):
                x = x.replace(alias=given.id)
            left = {key: value for key, value in given.options.items() if key not in {"id", "driver"}}
            for key in [key for key, value in left.items() if _closed(key, value)]:
                del left[key]
                self.note(f"secret left out: {key} of {given.options.get('driver', '')} ({PUBLIC})")
            if left:
                self._names += 1
                name = re.sub(r"[^A-Za-z0-9_-]", "-", given.id) or f"device{self._names}"
                alias = f"ua-{name.removeprefix('ua-')}"
                x = x.replace(alias=alias)
                rows = tuple(_property(key, value) for key, value in left.items())
                self.overrides.append(QemuDevice(alias=alias, properties=rows))
                self.note(f"kept in qemu:override: {given.options.get('driver', '')} {', '.join(left)}")
        self.many.setdefault(field, []).append(x)

    def path(self, text: str) -> str:
        """A path from the root of the host, where it can be told."""
        if text.startswith("/") or not text:
            return text
        if self.folder:
            return f"{self.folder.rstrip('/')}/{text}"
        self.note(f"{text} is no whole path: write it as one that starts with /")
        return text

    def place(self, given: Given) -> PciAddress | CcwAddress | SpaprAddress | MmioAddress | None:
        """Where a device sits, on PCI or on what the machine has in its place, if a definition can name that."""
        at = CCW.fullmatch(str(given.options.get("devno", "")))
        if at is not None:
            given.take("devno")
            return CcwAddress(cssid=int(at[1], 16), ssid=int(at[2], 16), devno=int(at[3], 16))
        if "reg" in given.options:
            return SpaprAddress(reg=given.number("reg"))
        if str(given.options.get("driver", "")).endswith("-device") and "bus" not in given.options:
            return MmioAddress()
        return self._slot(given)

    def _slot(self, given: Given) -> PciAddress | None:
        bus = given.options.get("bus")
        index = 0 if bus is None or bus in ROOTS else None
        if index is None:
            kind, found = self.buses.get(str(bus), ("", 0))
            if kind != "pci":
                return None
            index = found
        text = given.options.get("addr")
        at = ADDRESS.fullmatch(words_of(text)) if text is not None else None
        if at is None:
            if text is None and index == 0:
                given.take("bus")
            elif text is None:
                given.take("bus")
                return PciAddress(domain=0, bus=index, slot=0, function=0)
            return None
        given.take("bus")
        given.take("addr")
        return PciAddress(
            domain=0,
            bus=index,
            slot=int(at[1], 16),
            function=int(at[2] or "0", 16),
            multifunction=given.switch("multifunction"),
        )

    def boot(self, given: Given) -> Boot | None:
        """The place in the boot order."""
        found = given.options.get("bootindex")
        place = number(found)
        if place is None or place < 0:
            return None
        del given.options["bootindex"]
        return Boot(order=place or 1)


def without_secrets(given: Given) -> Given:
    """The option without passwords; without its text where nothing else is in that."""
    if given.json:
        options = _open(given.options)
        if options == given.options:
            return given
        text = json.dumps(options, separators=(",", ":"))
    else:
        options = {key: value for key, value in given.options.items() if not _closed(key, value)}
        text = RADOS.sub(r"\1", PART.sub("", given.text))
        text = WITHIN_URL.sub(lambda found: f"{found[1][:-1]}@", text).removeprefix(",")
        if text == given.text:
            return given
    return replace(given, text=text, options=options, words=(f"-{given.flag}", text))


def _closed(key: str, value: Any) -> bool:
    return PASSWORD.fullmatch(key) is not None and words_of(value) not in {"on", "off"}


def _open(value: Any) -> Any:
    """JSON without what is a password in it."""
    if isinstance(value, dict):
        return {key: _open(part) for key, part in value.items() if not _closed(key, part)}
    if isinstance(value, list):
        return [_open(part) for part in value]
    return WITHIN_URL.sub(lambda found: f"{found[1][:-1]}@", value) if isinstance(value, str) else value


def shown(given: Given) -> str:
    """An option as it was written, without passwords."""
    return " ".join(SECRET.sub(r"\1***", word) for word in given.words)


def _later(given: Given) -> tuple[str, ...]:
    """The words of a device that names no place so that it finds one after those that have theirs.

    QEMU makes devices that are given as keys before all that are given as JSON, whatever their order is.
    """
    if given.flag != "device" or given.json or set(given.options) - NAMED:
        return given.words
    return (given.words[0], json.dumps(given.options, separators=(",", ":")))


def variant(driver: str) -> tuple[str, str | None]:
    """A virtio device without its transport, and the model that its name asks for."""
    for ending in VARIANTS:
        if driver.endswith(ending):
            return driver.removesuffix(ending).removesuffix("-pci"), f"virtio{ending}"
    for ending in TRANSPORTS:
        if driver.endswith(ending):
            return driver.removesuffix(ending), None
    return driver, None


def made(cls: type[X], **values: Any) -> X:
    """An element from words of a command line, which are checked when the definition is whole."""
    return cls(**values)


def tuned(given: Given) -> dict[str, Any]:
    """Virtio's own switches, those that are there."""
    found = {
        "iommu": given.switch("iommu_platform"),
        "ats": given.switch("ats"),
        "packed": given.switch("packed"),
        "page_per_vq": given.switch("page-per-vq"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _property(name: str, value: Any) -> QemuProperty:
    if isinstance(value, bool):
        return QemuProperty(name=name, type="bool", value="true" if value else "false")
    if isinstance(value, int):
        return QemuProperty(name=name, type="unsigned" if value >= 0 else "signed", value=str(value))
    text = words_of(value)
    if text in {"on", "off"} and name not in WORDED:
        return QemuProperty(name=name, type="bool", value="true" if text == "on" else "false")
    if re.fullmatch(r"0|[1-9][0-9]{0,17}", text):
        return QemuProperty(name=name, type="unsigned", value=text)
    return QemuProperty(name=name, type="string", value=text)
