"""What the parts of a plan write into while it is made."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Domain, Problem, line, path_of

from anyvirt_qemu.planning.cabling import MacvtapUse, TapUse
from anyvirt_qemu.planning.options import Options, Unsafe, jsonstr, optstr, word
from anyvirt_qemu.planning.plan import (
    FIRST_FD,
    AssignedUse,
    Caps,
    ConsoleUse,
    CopyUse,
    DiskUse,
    FdKind,
    FdUse,
    Machine,
    NodeUse,
    OverlayUse,
    Paths,
    Serving,
    Step,
    Storage,
)
from anyvirt_qemu.planning.tuning import Tuning

if TYPE_CHECKING:
    from anyvirt_qemu.planning.beside import Program, ProgramUse

DRIVER: Final = "qemu"
SOCKET_MAX: Final = 107
TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*", re.ASCII)


class Build:
    """A plan in the making: words of the command line, descriptors, steps, problems.

    :param domain: stand-in of the definition, so that what nobody reads can be refused.
    """

    def __init__(
        self,
        domain: Domain,
        caps: Caps,
        paths: Paths,
        accelerator: str,
        machine: Machine,
        chains: Mapping[str, Sequence[NodeUse]],
        now: int = 0,
        serving: Serving | None = None,
    ) -> None:
        self.domain, self.caps, self.paths, self.machine, self.chains = domain, caps, paths, machine, chains
        self.accelerator, self.now = accelerator, now
        self.serving = serving or Serving()
        self._ports = iter(self.serving.ports)
        self.words: list[str] = []
        self.env: dict[str, str] = {}
        self.fds: list[FdUse] = []
        self.taps: list[TapUse] = []
        self.macvtaps: list[MacvtapUse] = []
        self.assigned: list[AssignedUse] = []
        self.copies: list[CopyUse] = []
        self.overlays: list[OverlayUse] = []
        self.programs: list[ProgramUse] = []
        self.sockets: list[str] = []
        self.steps: list[Step] = []
        self.consoles: list[ConsoleUse] = []
        self.disks: list[DiskUse] = []
        self.tuning = Tuning()
        self.warnings: list[str] = []
        self.problems: list[Problem] = []
        self.refused: set[str] = set()
        self.unread: set[str] = set()  # elements that were left half read
        self.boot: dict[str, int] = {}
        self.storage = Storage()
        self.known: Mapping[str, Program] = {}
        self.secrets: dict[str, bytes] = {}
        self.managers: set[str] = set()
        self.shared_slots: set[tuple[int, int]] = set()
        # by alias: properties of a device that are other than planned; None leaves one out
        self.overrides: dict[str, dict[str, Any]] = {}
        self._nodes = 0

    def option(self, *words: str) -> None:
        """Words of our own making, as they are."""
        self.words += words

    def text(self, flag: str, text: str) -> None:
        """An option whose whole argument is one text."""
        self.words += (flag, word(text))

    def options(self, flag: str, head: str, options: Options) -> None:
        """An option of the form ``head,key=value``."""
        self.words += (flag, optstr(head, options))

    def device(self, options: Options) -> None:
        """A device, with what the definition overrides of it."""
        other = self.overrides.pop(str(options.get("id")), None)
        if other is not None:
            options = {key: value for key, value in {**options, **other}.items() if value is not None}
        self._json("-device", "driver", options, json=self.caps.json_device)

    def netdev(self, options: Options) -> None:
        """The host side of a network card."""
        self._json("-netdev", "type", options, json=self.caps.json_netdev)

    def qom(self, options: Options) -> None:
        """A back end that devices refer to."""
        self.words += ("-object", jsonstr(options))

    def blockdev(self, options: Options) -> None:
        """A node of the block graph; a backing file is always named, or null: QEMU never follows what an image says."""
        self.words += ("-blockdev", jsonstr(options, null=("backing",)))

    def _json(self, flag: str, head: str, options: Options, *, json: bool) -> None:
        if json:
            self.words += (flag, jsonstr(options))
        else:
            rest = dict(options)
            self.words += (flag, optstr(str(rest.pop(head)), rest))

    def fd(self, kind: FdKind, target: str) -> int:
        """A descriptor to be inherited; the number under which QEMU will have it."""
        number = FIRST_FD + len(self.fds)
        self.fds.append(FdUse(number, kind, target))
        return number

    def fdset(self, kind: FdKind, target: str) -> str:
        """A descriptor for an option that takes a path: the path that stands for it."""
        number = self.fd(kind, target)
        self.option("-add-fd", f"set={number},fd={number}")
        return f"/dev/fdset/{number}"

    def port(self, x: object, field: str) -> int:
        """A free TCP port of this host; a problem where none is known."""
        found = next(self._ports, 0)
        if not found:
            self.problem(x, field, "no free port was found for it", "choose one", "resource.busy")
        return found

    def beside(self, name: str) -> Program:
        """What is known of a program that may run beside QEMU; ``NAME PATH`` for one that the definition places."""
        from anyvirt_qemu.planning.beside import usual

        return self.known.get(name) or usual(name)

    def near(self, socket: str) -> str:
        """Path of a socket in the guest's part of the run directory, in which QEMU starts; short enough for it."""
        path = f"{self.paths.guest}/{socket}"
        return path if len(os.fsencode(path)) <= SOCKET_MAX else socket

    def secret(self, name: str, value: bytes) -> str:
        """Bytes that only QEMU reads, in base64; the path where it finds them."""
        return self.content(name, base64.b64encode(value))

    def content(self, name: str, value: bytes) -> str:
        """What only QEMU reads, as it is; the path where it finds it."""
        self.secrets[name] = value
        return f"/dev/fd/{self.fd('secret', name)}"

    def handed(self, group: str, count: int) -> str:
        """The descriptors of a group that somebody has handed over, as one set; the path that stands for it."""
        numbers = [self.fd("passed", f"{group}/{index}") for index in range(count)]
        for number in numbers:
            self.option("-add-fd", f"set={numbers[0]},fd={number}")
        return f"/dev/fdset/{numbers[0]}"

    def node(self) -> int:
        """A number for a new node of the block graph."""
        self._nodes += 1
        return self._nodes

    def problem(self, x: object, field: str, text: str, hint: str = "", code: str = "config.invalid") -> None:
        """Something that is wrong with a field of an element."""
        self.problems.append(Problem(code, path_of(x, field), line(x, field), text, hint))

    def refuse(self, x: object, field: str, hint: str = "", *, text: str = "") -> None:
        """Something that is right, and that this driver or this QEMU cannot honour."""
        self.refused.add(path_of(x))
        self.problem(x, field, text or f"{DRIVER} does not honour this here", hint, "unsupported.config")

    def path(self, x: object, field: str, value: str | None) -> str:
        """An absolute path from the definition; a problem where it is none."""
        if not value:
            self.problem(x, field, "a path is missing", "name the file")
            return "/"
        if not value.startswith("/"):
            self.problem(x, field, f"{value!r} is no absolute path", "start it with /")
        return value

    def token(self, x: object, field: str, value: str) -> str:
        """A word that stands in an option without quoting; a problem where it is more than a word."""
        if not TOKEN.fullmatch(value):
            self.problem(x, field, f"{value!r} is no plain word", "use letters, digits, dot, dash and underscore")
            return "invalid"
        return value

    def has(self, x: object, field: str, driver: str) -> str:
        """A device driver that this QEMU must have."""
        if not self.caps.has_device(driver):
            text = f"this QEMU ({self.caps.binary}) has no device {driver}"
            self.refuse(x, field, "choose another model, or install the QEMU package that has it", text=text)
        return driver

    @contextmanager
    def within(self, x: object) -> Iterator[None]:
        """A text that QEMU cannot take becomes a problem of this element."""
        try:
            yield
        except Unsafe as unsafe:
            self.unread.add(path_of(x))
            self.problem(x, "", str(unsafe), "take the character out")

    def step(self, command: str, arguments: Mapping[str, Any]) -> None:
        """A QMP command to run before the guest does."""
        self.steps.append(Step(command, arguments))
