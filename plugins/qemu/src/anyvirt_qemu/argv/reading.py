"""From a command line of QEMU to a definition; pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from anyvirt.api import Document, Domain, Invalid, Memballoon, Problem, dump, parse

from anyvirt_qemu.argv import board, chars, network, parts, screens, storage
from anyvirt_qemu.argv.draft import Draft
from anyvirt_qemu.argv.given import Given, options, words_of
from anyvirt_qemu.argv.words import line_of
from anyvirt_qemu.namespace import QemuArgument, QemuCommandLine, QemuOverride, QemuVariable
from anyvirt_qemu.planning.plan import JOURNAL
from anyvirt_qemu.probing.capability import ARCHES
from anyvirt_qemu.probing.emulators import native
from anyvirt_qemu.run_dir import MONITORS

PROGRAM: Final = re.compile(r"qemu-system-([a-z0-9_]+)")
NAME: Final = re.compile(r"[\x00-\x1f\x7f/]+")
# options of whoever manages a guest -> why they are none of a definition's
OWN: Final = {
    "S": "the driver stops and lets go itself",
    "daemonize": "a guest here outlives whoever starts it",
    "pidfile": "the driver keeps that itself",
    "monitor": "the driver has its own monitors",
    "qmp": "the driver has its own monitors",
    "qmp-pretty": "the driver has its own monitors",
    "mon": "the driver has its own monitors",
    "runas": "the driver decides as whom QEMU runs",
    "chroot": "the driver decides where QEMU runs",
    "sandbox": "the driver confines QEMU itself",
    "msg": "the driver keeps QEMU's messages itself",
    "D": "the driver keeps QEMU's messages itself",
    "no-shutdown": "what happens at the end is told by on_poweroff",
    "incoming": "a start takes up no migration",
    "loadvm": "a start goes on from no snapshot",
    "add-fd": "descriptors are opened by the driver",
}  # fmt: skip
USUAL: Final = ("no-user-config", "nodefconfig", "overcommit", "realtime", "no-fd-bootchk")
# variables that a shell or libvirt gives QEMU, and that say nothing of the guest
QUIET: Final = re.compile(
    r"LC_.*|LANG|PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|PWD|XDG_.*|DISPLAY|XAUTHORITY|QEMU_AUDIO_DRV"
)


def read(data: bytes) -> Document[Domain]:
    """The definition that a command line stands for, with notes on what it cannot say.

    :raises Invalid: there is no command line of a QEMU.
    """
    line = line_of(data)
    name = line.program.rpartition("/")[2]
    found = PROGRAM.match(name)
    if found is None and name not in {"kvm", "qemu-kvm", "qemu"}:
        text = f"{name} is no QEMU that emulates a machine"
        raise Invalid([Problem("config.invalid", "", 1, text, "give a line that starts qemu-system-...")])
    arch = ARCHES.get(found[1], found[1]) if found is not None else native()
    d = Draft(options(line.words), arch)
    d.folder = line.folder
    if name in {"kvm", "qemu-kvm"}:
        d.given.append(Given("enable-kvm", "", ()))
    for word in line.unexpanded:
        d.note(f"{word} is taken as it stands: no shell was asked what it stands for; write that in its place")
    for word in line.before:
        if word.rpartition("/")[2] in {"sudo", "doas"}:
            d.note(f"left out: {word} (system guests belong to root: anyvirt -c qemu:///system)")
    _managers(d)
    _everything(d)
    domain = _domain(d, line.program if line.program.startswith("/") else None, line.env)
    return Document(model=parse(dump(domain), Domain), notes=d.notes)


def _managers(d: Draft) -> None:
    """What belongs to whoever runs the guest."""
    monitors = {words_of(given.options.get("chardev", "")) for given in d.every("mon")}
    ours = {f"mon-{name}" for name in MONITORS} | {JOURNAL}
    for given in d.given:
        if given.flag in USUAL:
            given.done = given.flag not in {"overcommit", "realtime"}
        elif given.flag in OWN:
            if given.flag == "mon" and words_of(given.options.get("chardev", "")) in ours:
                given.done = True
            else:
                d.drop(given, OWN[given.flag])
        elif given.flag == "chardev" and given.id in monitors:
            given.done = True
            if given.id not in ours:
                d.drop(given, OWN["mon"])
    for given in d.every("object"):
        if given.options.get("qom-type") == "secret":
            d.drop(given, "a definition names a secret by its UUID: make it with `anyvirt secret`")


def _everything(d: Draft) -> None:
    board.machine(d)
    for step in board.STEPS:
        step(d)
    screens.audios(d)
    parts.controllers(d)
    storage.disks(d)
    network.cards(d)
    chars.ports(d)
    parts.folders(d)
    screens.screens(d)
    parts.small(d)
    screens.cards(d)
    for given in d.given:
        if not given.done and given.words:
            d.keep(given)


def _domain(d: Draft, emulator: str | None, env: tuple[tuple[str, str], ...]) -> Domain:
    fields = dict(d.fields)
    d.fields = fields
    made: dict[str, Any] = board.whole(d)
    ordered = any(getattr(x, "boot", None) is not None for found in d.many.values() for x in found)
    if ordered and made["os"].boots:
        d.note("left out: the order of -boot (devices have places in one, which stand before it)")
        made["os"] = made["os"].replace(boots=())
    for key in ("nodefaults", "nographic"):
        fields.pop(key, None)
    many = {key: tuple(found) for key, found in d.many.items() if found}
    if fields.pop("snapshot", False):
        many["disks"] = tuple(x.replace(transient=True) for x in many.get("disks", ()))
    fields["name"] = _name(fields.get("name", ""), many.get("disks", ()))
    if "memballoon" not in fields:
        fields["memballoon"] = Memballoon(model="none")
    variables = [QemuVariable(name=key, value=value) for key, value in env if not QUIET.fullmatch(key)]
    extensions: list[Any] = []
    if d.arguments or variables:
        words = tuple(QemuArgument(value=word) for word in d.arguments)
        extensions.append(QemuCommandLine(arguments=words, variables=tuple(variables)))
    if d.overrides:
        extensions.append(QemuOverride(devices=tuple(d.overrides)))
    return Domain(**{**fields, **made, **many}, emulator=emulator, extensions=tuple(extensions))


def _name(name: str, disks: tuple[Any, ...]) -> str:
    """A name for the guest: its own, or that of its first image."""
    for x in disks:
        if not name and x.source is not None and (x.source.file or x.source.dev) and x.device == "disk":
            name = PurePosixPath(x.source.file or x.source.dev).stem
    return NAME.sub("-", name) or "guest"
