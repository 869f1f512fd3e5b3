"""What a start takes, as values to look at: what would run, what it gets, what would be done to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anyvirt.errors import Problem

MASKED: Final = "***"


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """A file, folder, socket or image on the host that a start touches.

    :param action: ``create``, ``copy``, ``open``, or ``give`` to the user that the hypervisor runs as.
    :param mode: its rights where the start gives it some, such as ``0o600``.
    :param source: what it is a copy of, or lies above.
    :param what: what it is for, in a word or two.
    """

    path: str
    action: str
    mode: int | None = None
    source: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class LaunchDescriptor:
    """An open file that the hypervisor inherits under ``number``: what kind it is, and of what."""

    number: int
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class LaunchProgram:
    """A program that runs beside the hypervisor.

    :param argv: its command line, as far as it is known before the start.
    :param package: what has it.
    :param path: the element that asks for it, as a path.
    :param cwd: the directory that it starts in.
    """

    argv: tuple[str, ...]
    package: str = ""
    path: str = ""
    cwd: str = ""


@dataclass(frozen=True, slots=True)
class LaunchLink:
    """A network device of the host that is made or opened.

    :param kind: ``tap``, ``macvtap`` ...
    :param name: its name, or a pattern of one; ``""`` where the host chooses.
    """

    kind: str
    name: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchCommand:
    """Something that the hypervisor is told once it is up, before the guest runs or to let it; secrets are masked."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """All of a start, with nothing done yet; the parts that a hypervisor does not have are empty.

    No secret is in it: ``***`` stands in the place of each.

    :param argv: the hypervisor's command line, each option with its value; empty where nothing can be planned.
    :param env: its environment.
    :param cwd: the directory that it starts in.
    :param placement: what is decided of its threads, memory, groups and limits, a sentence each.
    :param commands: what it is told then, in order.
    :param warnings: what the user is told: choices that the definition did not make.
    :param blockers: everything that keeps it from starting; none where it would start.
    """

    argv: tuple[tuple[str, ...], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    files: tuple[LaunchFile, ...] = ()
    descriptors: tuple[LaunchDescriptor, ...] = ()
    programs: tuple[LaunchProgram, ...] = ()
    links: tuple[LaunchLink, ...] = ()
    placement: tuple[str, ...] = ()
    commands: tuple[LaunchCommand, ...] = ()
    warnings: tuple[str, ...] = ()
    blockers: tuple[Problem, ...] = ()
