"""A plan as people look at it: every option, file and command of a start, with nothing done and no secret in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    MASKED,
    LaunchCommand,
    LaunchDescriptor,
    LaunchFile,
    LaunchLink,
    LaunchPlan,
    LaunchProgram,
)

from anyvirt_qemu.devices.numa import ranges
from anyvirt_qemu.guest import LOG, STATUS
from anyvirt_qemu.planning.plan import JOURNAL
from anyvirt_qemu.run_dir import RECORD
from anyvirt_qemu.starting import environment

if TYPE_CHECKING:
    from anyvirt.api import Problem

    from anyvirt_qemu.planning.beside import ProgramUse
    from anyvirt_qemu.planning.plan import Plan

# arguments of QMP commands and properties of objects that hold secrets
SECRET: Final = frozenset({"password", "data", "secret-data", "key", "passphrase"})
HIDDEN: Final = re.compile(r"pass(word|wd|phrase)?|secret|token|credential", re.IGNORECASE)
# secrets in words that the definition hands to QEMU as they are
WRITTEN: Final = (
    re.compile(r"(?<=[,:?&;]password=)(?!o(?:n|ff)(?:,|$))[^,&]*"),
    re.compile(r"(?<=://)[^/@,]*:[^/@,]*(?=@)"),
    re.compile(r"(?<=[,:]key=)[^,:]*"),
)
OBJECT: Final = re.compile(r"(?<=,data=)(?:[^,]|,,)*")
# fields of a plan that are shown in a way of their own, or that another one shows
OWN: Final = {
    "argv", "env", "cwd", "fds", "copies", "overlays", "sockets", "programs", "taps", "macvtaps", "steps", "secrets",
    "warnings", "domain", "consoles", "disks", "files",
}  # fmt: skip


def unplanned(problems: Iterable[Problem]) -> LaunchPlan:
    """A start that cannot be planned, and why."""
    return LaunchPlan(blockers=tuple(problems))


def shown(plan: Plan, accelerator: str, problems: Iterable[Problem], *, paused: bool) -> LaunchPlan:
    """What a start would do as planned.

    :param paused: the processors are left stopped.
    """
    commands = [LaunchCommand(step.command, _masked(step.arguments)) for step in plan.steps]
    if not paused:
        commands.append(LaunchCommand("cont"))
    return LaunchPlan(
        argv=tuple(options(plan.argv)),
        env={name: MASKED if HIDDEN.search(name) else value for name, value in environment(plan).items()},
        cwd=plan.cwd,
        files=tuple(_files(plan)),
        descriptors=tuple(LaunchDescriptor(use.number, use.kind, use.target) for use in plan.fds),
        programs=tuple(_programs(plan)),
        links=tuple(_links(plan)),
        placement=(f"accelerator {accelerator}", *_rest(plan)),
        commands=tuple(commands),
        warnings=plan.warnings,
        blockers=tuple(problems),
    )


def options(argv: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Each option with its value, where it has one; secrets that the definition has in its own words are masked."""
    line: list[str] = []
    for word in argv:
        if line and word.startswith("-") and (len(line) != 1 or line[0] not in FREE):
            yield _written(line)
            line = []
        line.append(word)
    if line:
        yield _written(line)


# options whose value may begin with a dash
FREE: Final = frozenset({"-append", "-name", "-kernel", "-initrd", "-dtb", "-fw_cfg"})


def _written(line: list[str]) -> tuple[str, ...]:
    found = []
    for word in line:
        text = _json(word) if word.startswith("{") else word
        if line[0] == "-object" and word.startswith("secret"):
            text = OBJECT.sub(MASKED, text)
        for pattern in WRITTEN:
            text = pattern.sub(MASKED, text)
        found.append(text)
    return tuple(found)


def _json(word: str) -> str:
    try:
        given = json.loads(word)
    except ValueError:
        return word
    masked = _masked(given)
    return word if masked == given else json.dumps(masked, ensure_ascii=False, separators=(",", ":"))


def _masked(value: Any) -> Any:
    """The same with a mask in the place of every secret."""
    if isinstance(value, Mapping):
        return {name: MASKED if name in SECRET and part else _masked(part) for name, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list | tuple) else value


def _files(plan: Plan) -> Iterator[LaunchFile]:
    manager = plan.cwd.rpartition("/")[0]
    yield LaunchFile(manager, "create", 0o700 if plan.account is None else 0o711, what="run directory")
    yield LaunchFile(f"{manager}/{RECORD}", "create", 0o600, what="who QEMU is")
    yield LaunchFile(plan.cwd, "create", 0o700, what="QEMU's part of it")
    yield LaunchFile(f"{manager}/{STATUS}", "create", 0o600, what="how far the start has come, and what it leaves")
    yield LaunchFile(f"{plan.cwd}/{LOG}", "create", 0o600, what="what QEMU prints")
    yield LaunchFile(f"{plan.cwd}/{JOURNAL}.in", "create", 0o600, what="what QEMU is told to begin its journal")
    yield LaunchFile(f"{plan.cwd}/{JOURNAL}.out", "create", 0o600, what="journal of QEMU's events")
    for program in plan.programs:
        yield from _state(program)
    for copy in plan.copies:
        yield LaunchFile(copy.target, "copy", 0o600, copy.source, "where it is not there yet")
    for made in plan.overlays:
        yield LaunchFile(made.path, "create", 0o600, made.below, "qcow2 image, removed at the end")
    for use in plan.fds:
        if use.kind in {"monitor", "socket"}:
            yield LaunchFile(f"{manager}/{use.target}", "create", 0o600, what="socket")
        elif use.kind == "listen":
            yield LaunchFile(use.target, "create", what="socket")
        elif use.kind in {"open", "cancel"}:
            yield LaunchFile(use.target, "open", what="device")
    for path in plan.sockets:
        yield LaunchFile(path, "create", what="socket, made by QEMU")
    yield from _opened(plan)


def _state(use: ProgramUse) -> Iterator[LaunchFile]:
    """What a program keeps beyond the run."""
    state = use.state
    if state is None:
        return
    if state.config:
        yield LaunchFile(state.config, "create", 0o600, what=f"settings of what makes the state of {use.name}")
    there = os.path.isdir(state.folder)
    yield LaunchFile(state.folder, "open" if there else "create", 0o700, what=f"folder of the state of {use.name}")
    there = os.path.exists(f"{state.folder}/{state.file}")
    yield LaunchFile(f"{state.folder}/{state.file}", "open" if there else "create", 0o600, what=f"state of {use.name}")


def _opened(plan: Plan) -> Iterator[LaunchFile]:
    """What QEMU opens by its path."""
    shown: set[str] = set()
    for disk in plan.disks:
        for depth, node in enumerate(disk.nodes):
            if node.path.startswith("/"):
                shown.add(node.path)
                what = f"{node.format} image of {disk.target}" + (f", {depth} below" if depth else "")
                yield LaunchFile(node.path, "open", what=what)
    for use in plan.files:
        if use.owner is not None:
            user, group = use.owner
            yield LaunchFile(use.path, "give", what=f"to user {user} and group {group}, while the guest runs")
        elif use.path not in shown:
            yield LaunchFile(use.path, "create" if use.make else "open", what=use.place)


def _programs(plan: Plan) -> Iterator[LaunchProgram]:
    for use in plan.programs:
        state = use.state
        if state is not None and not os.path.exists(f"{state.folder}/{state.file}"):
            yield LaunchProgram(state.make, state.package, use.place, state.folder)
        elif state is not None and state.again:
            yield LaunchProgram(state.again, state.package, use.place, state.folder)
        yield LaunchProgram(use.argv or (use.name,), use.package, use.place, use.cwd or plan.cwd)


def _links(plan: Plan) -> Iterator[LaunchLink]:
    for kind, uses in (("tap", plan.taps), ("macvtap", plan.macvtaps)):
        for use in uses:
            yield LaunchLink(kind, use.name, {key: value for key, value in _plain(use).items() if key != "name"})


def _rest(plan: Plan) -> Iterator[str]:
    """Everything else that is planned, in its own words."""
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name in OWN or not field.repr or not value:
            continue
        found = _plain(value)
        if is_dataclass(value) and field.name != "account":
            for name, part in found.items():
                yield from (f"{_words(name)}: {_said(one)}" for one in (part if isinstance(part, list) else [part]))
        else:
            yield from (
                f"{_words(field.name)}: {_said(one)}" for one in (found if isinstance(found, list) else [found])
            )


def _plain(value: Any) -> Any:
    """A value of a plan in words of JSON, without what is as always and what is not to be shown."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = ((field, getattr(value, field.name)) for field in fields(value) if field.repr)
        kept = {
            field.name: part for field, part in parts if not _usual(field, part) and not field.name.endswith("place")
        }
        return {name: _plain(part) for name, part in kept.items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, frozenset):
        return ",".join(ranges(value))
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return MASKED if isinstance(value, bytes) else value


def _usual(field: Any, value: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(value == default)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(name)} {_said(part)}" for name, part in value.items())
    return " ".join(map(_said, value)) if isinstance(value, list) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
