"""``drivers``: which plug-ins are installed, what each can do, and what is wrong with those that are broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import command, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.discovery import DRIVERS, SERVICES, Plugin, plugins

if TYPE_CHECKING:
    from anyvirt.coverage import Driver


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
    """List installed drivers and services.

    Scheme, version, how many hooks each implements. A plug-in that cannot be imported is
    listed with the reason; the others are not affected. Hooks that this anyvirt does not
    know are shown as what they need. With --coverage: per driver, how many functions of
    libvirt's driver of that name are covered, partly covered or not, and on what each was
    proven; its JSON form names each function.
    """
    if coverage:
        _coverage(cli)
        return
    rows = [row(plugin) for group in (DRIVERS, SERVICES) for plugin in plugins(group, cli.settings)]
    cli.failed = any(one["error"] for one in rows)
    if cli.json("drivers/1", drivers=rows):
        return
    cli.table(
        ("Name", "Kind", "Distribution", "Version", "Hooks", "Note"),
        [
            (one["name"], one["kind"], one["distribution"], one["version"], len(one["hooks"]), _note(one))
            for one in rows
        ],
    )
    if not rows:
        cli.note("no driver is installed; pip install anyvirt-qemu brings one")


def row(plugin: Plugin) -> dict[str, Any]:
    """One plug-in as plain data; its import contained."""
    from anyvirt.coverage import about
    from anyvirt.hooks.table import SPECS

    driver = about(plugin)
    unknown = sorted(driver.hooks.keys() - SPECS.keys())
    return {
        "name": plugin.name,
        "kind": "driver" if plugin.group == DRIVERS else "service",
        "distribution": plugin.distribution,
        "version": plugin.version,
        "hooks": sorted(driver.hooks.keys() & SPECS.keys()),
        "unknown": unknown,
        "needs": f"anyvirt >= {_floor(plugin)}" if unknown else "",
        "error": driver.error,
    }


def _floor(plugin: Plugin) -> str:
    """The lowest anyvirt that the plug-in's distribution asks for; ``?`` where it does not say."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = [text.replace(" ", "") for text in requires(plugin.distribution) or ()]
    except PackageNotFoundError:
        return "?"
    mine = [text.removeprefix("anyvirt") for text in wanted if text.startswith(("anyvirt>", "anyvirt<", "anyvirt="))]
    floors = [part[2:] for text in mine for part in text.split(",") if part.startswith((">=", "=="))]
    return floors[0] if floors else "?"


def _note(one: dict[str, Any]) -> str:
    if one["error"]:
        return f"broken: {one['error']}"
    return f"needs {one['needs']}: {', '.join(one['unknown'])}" if one["unknown"] else ""


def _coverage(cli: Invocation) -> None:
    from anyvirt.coverage import installed

    rows = [_covered(driver) for driver in installed(cli.settings)]
    cli.failed = any(one["error"] for one in rows)
    if cli.json("drivers-coverage/1", drivers=rows):
        return
    cells = []
    for one in rows:
        counts = [one["error"] or "libvirt has no driver of that name", "-", "-", "-"]
        if one["functions"]:
            counts = [len(one["functions"]), one["covered"], one["partly"], one["not"]]
        proven = ", ".join(f"{number} on {word}" for word, number in one["proven_on"].items())
        cells.append((one["name"], one["version"], *counts, proven))
    cli.table(("Name", "Version", "Functions", "Covered", "Partly", "Not", "Proven"), cells)


def _covered(driver: Driver) -> dict[str, Any]:
    from anyvirt.coverage import covered

    found = covered(driver)
    words = sorted({word for words in found.proven_on.values() for word in words})
    functions = [
        {"name": name, "grade": grade, "proven_on": list(found.proven_on.get(name, ()))}
        for name, grade in sorted(found.functions.items())
    ]
    return {
        "name": driver.name,
        "distribution": driver.distribution,
        "version": driver.version,
        "error": driver.error,
        **{str(grade): number for grade, number in found.counts.items()},
        "proven_on": {word: sum(word in words for words in found.proven_on.values()) for word in words},
        "functions": functions,
    }
