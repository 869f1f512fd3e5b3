"""A plan as people look at it: every option, file and command of a start, with nothing done and no secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
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

from anyvirt_qemu.guest import LOG
from anyvirt_qemu.run_dir import RECORD
from anyvirt_qemu.starting import environment

if TYPE_CHECKING:
    from anyvirt.api import Problem

    from anyvirt_qemu.plan import Plan

# arguments of QMP commands and properties of objects that hold secrets
SECRET: Final = frozenset({"password", "data", "secret-data", "key", "passphrase"})
HIDDEN: Final = re.compile(r"pass(word|wd|phrase)?|secret|token|credential", re.IGNORECASE)
# secrets in words that the definition hands to QEMU as they are
WRITTEN: Final = (
    re.compile(r"(?<=[,:?&;](?:password)=)[^,&]*|(?<=://)[^/@,]*:[^/@,]*(?=@)"),
    re.compile(r"(?<=[,:]key=)[^,:]*"),
)
OBJECT: Final = re.compile(r"(?<=,data=)(?:[^,]|,,)*")
OWN: Final = {
    "argv", "env", "cwd", "fds", "copies", "overlays", "sockets", "programs", "taps", "macvtaps", "steps", "secrets",
    "warnings", "domain", "consoles", "disks",
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
    yield LaunchFile(manager, "create", 0o700, what="run directory")
    yield LaunchFile(f"{manager}/{RECORD}", "create", 0o600, what="who QEMU is")
    yield LaunchFile(plan.cwd, "create", 0o700, what="QEMU's part of it")
    yield LaunchFile(f"{plan.cwd}/{LOG}", "create", 0o600, what="what QEMU prints")
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
    for disk in plan.disks:
        for depth, node in enumerate(disk.nodes):
            if node.path.startswith("/"):
                what = f"{node.format} image of {disk.target}" + (f", {depth} below" if depth else "")
                yield LaunchFile(node.path, "open", what=what)


def _programs(plan: Plan) -> Iterator[LaunchProgram]:
    for use in plan.programs:
        words = [word for name in ("name", "argv") if (word := getattr(use, name, None))]
        argv = tuple(part for word in words for part in ([word] if isinstance(word, str) else word))
        yield LaunchProgram(argv, use.package, use.place)


def _links(plan: Plan) -> Iterator[LaunchLink]:
    for kind, uses in (("tap", plan.taps), ("macvtap", getattr(plan, "macvtaps", ()))):
        for use in uses:
            details = {field.name: getattr(use, field.name) for field in fields(use) if field.name != "name"}
            yield LaunchLink(kind, getattr(use, "name", ""), {k: v for k, v in details.items() if v not in (None, "")})


def _rest(plan: Plan) -> Iterator[str]:
    """Everything else that is planned, in its own words."""
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name in OWN or not field.repr or not value:
            continue
        if isinstance(value, Mapping):
            yield from (f"{_words(field.name)} {key}: {_said(part)}" for key, part in value.items())
        elif isinstance(value, tuple | list | frozenset):
            yield from (f"{_words(field.name)}: {_said(part)}" for part in value)
        else:
            yield f"{_words(field.name)}: {_said(value)}"


def _said(value: Any) -> str:
    """A value of a plan in words; what is not to be shown is not in it."""
    if not is_dataclass(value) or isinstance(value, type):
        return str(value)
    parts = ((field.name, getattr(value, field.name)) for field in fields(value) if field.repr)
    return ", ".join(f"{_words(name)} {_said(part)}" for name, part in parts if part not in (None, "", (), {}))


def _words(name: str) -> str:
    return name.replace("_", " ")
