"""Options of QEMU as they are given: flags with their text, texts taken apart into keys and values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anyvirt.api import Invalid, Problem

# flags without a value
SWITCHES: Final = frozenset({
    "S", "h", "help", "version", "snapshot", "no-fd-bootchk", "no-acpi", "no-hpet", "no-reboot", "no-shutdown",
    "daemonize", "nographic", "nodefaults", "no-user-config", "nodefconfig", "enable-kvm", "usb", "full-screen", "s",
    "singlestep", "only-migratable", "enable-fips", "semihosting", "win2k-hack", "rtc-td-hack", "portrait",
    "no-quit", "alt-grab", "ctrl-grab", "curses", "sdl", "gtk", "enable-sync-profile", "mem-prealloc", "preconfig",
    "old-param", "async-teardown", "no-kvm", "no-frame", "no-kvm-irqchip", "no-kvm-pit", "xen-attach",
    "xen-domid-restrict", "prom-env-no", "localtime", "trace-no", "echr-no", "one-insn-per-tb",
})  # fmt: skip
# key of a first part without =
IMPLIED: Final = {
    "device": "driver", "object": "qom-type", "netdev": "type", "nic": "type", "net": "type", "chardev": "backend",
    "blockdev": "driver", "machine": "type", "cpu": "model", "smp": "cpus", "m": "size", "name": "guest",
    "vnc": "vnc", "display": "type", "boot": "order", "accel": "accel", "numa": "type", "tpmdev": "type",
    "fsdev": "fsdriver", "virtfs": "fsdriver", "audiodev": "driver", "fw_cfg": "name", "sandbox": "enable",
    "mon": "chardev", "icount": "shift", "watchdog-action": "action",
}  # fmt: skip
SAME: Final = {"M": "machine", "g": "vga-mode", "usbdevice": "usbdevice"}
# whose text is one value, whatever it holds
WHOLE: Final = frozenset({
    "append", "kernel", "initrd", "dtb", "bios", "pflash", "hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb",
    "uuid", "vga", "serial", "parallel", "monitor", "qmp", "qmp-pretty", "mem-path", "pidfile", "runas", "chroot",
    "D", "d", "k", "L", "watchdog", "watchdog-action", "debugcon", "gdb", "incoming", "loadvm", "set", "global",
    "readconfig", "writeconfig", "usbdevice", "soundhw", "drive-file", "mtdblock", "sd", "tdf", "trace",
    "virtioconsole", "compat", "add-fd", "option-rom", "rotate", "win2k", "echr", "prom-env", "balloon",
    "semihosting-config", "plugin", "xen-domid", "dfilter", "seed", "perfmap", "jitdump", "action-text",
})  # fmt: skip


# keys that may stand there several times
REPEATED: Final = frozenset({"cpus", "hostfwd", "guestfwd", "value", "tls-channel", "plaintext-channel"})


@dataclass
class Given:
    """One option.

    :param words: as it was given.
    :param options: what its text says; whoever heeds a part takes it out.
    :param done: somebody has heeded it.
    """

    flag: str
    text: str
    words: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    json: bool = False
    done: bool = False

    def take(self, *names: str) -> Any:
        """The value of the first of these keys that is there, taken out; None where there is none."""
        found = [self.options.pop(name, None) for name in names]
        return next((value for value in found if value is not None), None)

    def string(self, *names: str) -> str | None:
        """The same as text."""
        value = self.take(*names)
        return None if value is None else words_of(value)

    def number(self, *names: str) -> int | None:
        """The same as a number; one that is none stays."""
        for name in names:
            if name in self.options and (found := number(self.options[name])) is not None:
                del self.options[name]
                return found
        return None

    def switch(self, *names: str) -> bool | None:
        """The same as on or off; what is neither stays."""
        for name in names:
            value = self.options.get(name)
            if isinstance(value, bool) or words_of(value) in {"on", "off", "yes", "no", "true", "false"}:
                del self.options[name]
                return on(value) or words_of(value) in {"yes", "true"}
        return None

    @property
    def id(self) -> str:
        """Its id; ``""`` without one."""
        return words_of(self.options.get("id", self.options.get("node-name", "")))


def options(words: Iterable[str]) -> Iterator[Given]:
    """Every option of a line; a word that belongs to none is a disk's path, as QEMU has it."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            path = "/" in word or "." in word
            yield Given("hda" if path else "", word, (word,))
            continue
        flag = word.removeprefix("-").removeprefix("-")
        flag, _, joined = flag.partition("=") if word.startswith("--") and "=" in word else (flag, "", "")
        if flag in SWITCHES:
            yield Given(flag, "", (word,))
            continue
        text = joined or next(rest, None)
        if text is None:
            yield Given(flag, "", (word,))
            continue
        given = Given(SAME.get(flag, flag), text, (word,) if joined else (word, text))
        if given.flag not in WHOLE:
            given.options, given.json = parsed(text, IMPLIED.get(given.flag, ""))
        yield given


def parsed(text: str, implied: str = "") -> tuple[dict[str, Any], bool]:
    """Keys and values of an option's text, and whether it was JSON; dotted keys stay as they are.

    :param implied: key of the first part where that has no ``=``.
    """
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found, True
    made: dict[str, Any] = {}
    for place, part in enumerate(_parts(text)):
        key, sign, value = part.partition("=")
        if not sign:
            if not place and implied:
                made[implied] = part
                continue
            off = key.startswith("no") and len(key) > 2 and key not in {"node", "nodeid", "nodes"}
            key, value = (key[2:], "off") if off else (key, "on")
        if key in REPEATED and key in made:
            made[key] = [*(made[key] if isinstance(made[key], list) else [made[key]]), value]
        elif key:
            made[key] = value
    return made, False


def _parts(text: str) -> Iterator[str]:
    """What stands between single commas, with doubled ones made one."""
    part: list[str] = []
    place = 0
    while place < len(text):
        if text[place] == ",":
            if text.startswith(",,", place):
                part.append(",")
                place += 2
                continue
            yield "".join(part)
            part = []
        else:
            part.append(text[place])
        place += 1
    yield "".join(part)


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as objects in objects, and numbered ones as lists."""
    made: dict[str, Any] = {}
    for key, value in options.items():
        *above, last = key.split(".")
        inner = made
        for name in above:
            below = inner.get(name)
            if not isinstance(below, dict):
                below = inner[name] = {}
            inner = below
        inner[last] = nested(value) if isinstance(value, Mapping) else value
    return {key: _listed(value) for key, value in made.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    found = {key: _listed(part) for key, part in value.items()}
    if found and all(key.isdecimal() for key in found):
        return [found[key] for key in sorted(found, key=int)]
    return found


def words_of(value: Any) -> str:
    """A value as QEMU writes it in an option."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def on(value: Any) -> bool:
    """Whether a value switches something on."""
    return value is True or words_of(value) == "on"


def off(value: Any) -> bool:
    """Whether a value switches something off."""
    return value is False or words_of(value) == "off"


def number(value: Any) -> int | None:
    """A number in any of QEMU's spellings; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(str(value), 16 if str(value).lower().startswith("0x") else 10)
    except ValueError:
        return None


UNITS: Final = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


def size(value: Any, unit: str = "m") -> int | None:
    """A size in bytes; None where it is none.

    :param unit: what a number without one is in.
    """
    text = str(value).strip().lower().removesuffix("ib")
    if text and text[-1] in UNITS and not text.startswith("0x"):
        text, unit = text[:-1], text[-1]
    try:
        found = int(text, 16) if text.startswith("0x") else float(text)
    except ValueError:
        return None
    if found != found or found in (float("inf"), float("-inf")) or found < 0:  # noqa: PLR0124 - only NaN is not itself
        return None
    return int(found * (1 << UNITS[unit]))


def unreadable(flag: str, text: object, what: str) -> Invalid:
    """The error of an option with a value that QEMU would not take."""
    return Invalid([Problem("config.invalid", "", None, f"-{flag} has {text}, which is {what}", "correct it")])
