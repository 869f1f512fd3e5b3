"""``drivers``: which plug-ins are installed, what each can do, and what is wrong with those that are broken."""

from __future__ import annotations

import sys
from typing import Annotated, Any, get_type_hints

from anyvirt.cli.declare import command, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.discovery import DRIVERS, SERVICES, Plugin, plugins
from anyvirt.errors import VirtError


@command(
    "drivers",
    examples=("anyvirt drivers", "anyvirt drivers --coverage", "anyvirt --json drivers"),
    exits="Exit status: 0 every plug-in can be used; 1 one is broken; 2 wrong usage.",
)
def drivers(
    cli: Invocation,
    coverage: Annotated[
        bool, opt("--coverage", help="How many of the functions that libvirt's own driver has are covered.")
    ] = False,
) -> None:
    """List installed drivers and services: scheme, version, how many hooks each implements.

    A plug-in that cannot be imported is listed with the reason; the others are not
    affected. Hooks that this anyvirt does not know are shown as what they need. With
    --coverage: per driver, how many functions of libvirt's driver of that name are
    covered, partly covered or not, and on what each was proven.
    """
    if coverage:
        from anyvirt.cli.covered import show

        show(cli)
        return
    rows = [about(plugin) for group in (DRIVERS, SERVICES) for plugin in plugins(group, cli.settings)]
    cli.failed = any(row["error"] for row in rows)
    if cli.json("drivers/1", drivers=rows):
        return
    cli.table(
        ("Name", "Kind", "Distribution", "Version", "Hooks", "Note"),
        [
            (row["name"], row["kind"], row["distribution"], row["version"], len(row["hooks"]), _note(row))
            for row in rows
        ],
    )
    if not rows:
        cli.note("no driver is installed; pip install anyvirt-qemu brings one")


def about(plugin: Plugin) -> dict[str, Any]:
    """One plug-in as plain data; its import contained."""
    from anyvirt.hooks.table import OPENERS, SPECS

    row: dict[str, Any] = {
        "name": plugin.name,
        "kind": "driver" if plugin.group == DRIVERS else "service",
        "distribution": plugin.distribution,
        "version": plugin.version,
        "hooks": [],
        "unknown": [],
        "needs": "",
        "error": "",
    }
    try:
        names = hooks(plugin)
    except VirtError as error:
        row["error"] = error.message
        return row
    known = SPECS.keys() - set(OPENERS)
    row["hooks"] = sorted(names & known)
    row["unknown"] = sorted(names - SPECS.keys())
    if row["unknown"]:
        row["needs"] = f"anyvirt >= {_floor(plugin)}"
    return row


def hooks(plugin: Plugin) -> set[str]:
    """Names of the hooks that a plug-in implements: those of what its opener gives.

    :raises BadDriver: where it cannot be imported.
    """
    module = plugin.load()
    opener = getattr(module, "connect_open" if plugin.group == DRIVERS else "service_open", None)
    try:
        given = get_type_hints(opener).get("return") if opener else None
    except NameError:
        given = None
    classes = {given} if isinstance(given, type) and _marked(given) else _classes(plugin.value.partition(":")[0])
    return {name for cls in classes for name in _marked(cls)}


def _classes(package: str) -> set[type]:
    loaded = [module for name, module in list(sys.modules.items()) if name == package or name.startswith(f"{package}.")]
    return {found for module in loaded for found in vars(module).values() if isinstance(found, type)}


def _marked(cls: type) -> set[str]:
    return {name for name in dir(cls) if hasattr(getattr(cls, name, None), "anyvirt_accepts")}


def _floor(plugin: Plugin) -> str:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires(plugin.distribution) or []
    except PackageNotFoundError:
        wanted = []
    mine = [text.replace(" ", "") for text in wanted if text.replace(" ", "").startswith(("anyvirt>=", "anyvirt<"))]
    floors = [part[2:] for text in mine for part in text.removeprefix("anyvirt").split(",") if part.startswith(">=")]
    return floors[0] if floors else "?"


def _note(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"broken: {row['error']}"
    return f"needs {row['needs']}: {', '.join(row['unknown'])}" if row["unknown"] else ""
