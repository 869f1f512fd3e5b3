"""Storage pools: defining, building, starting and stopping them."""

from __future__ import annotations

from typing import Annotated, Any

from anyvirt.cli import objects
from anyvirt.cli.declare import arg, command, form, named, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.usage import Usage


@command("pool define", "pool-define", examples=("anyvirt pool define images.xml",))
def define(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    validate: Annotated[bool, opt("--validate", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Store a pool's definition."""
    from anyvirt.cli.source import given

    made = cli.connection.pool_define(given(file, format, "pool"), keep_unknown=keep_unknown)
    objects.done(cli, "pool-define/1", "pool", made, f"Pool {made.name} defined from {file}")


@command(
    "pool create", "pool-create", examples=("anyvirt pool create images.xml", "anyvirt pool create vg.xml --build")
)
def create(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    build: Annotated[bool, opt("--build", help="First make what it stands on.")] = False,
    overwrite: Annotated[bool, opt("--overwrite", help="Also over what is there, which is lost.")] = False,
    no_overwrite: Annotated[bool, opt("--no-overwrite", help="Not over what is there; the default.")] = False,
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    validate: Annotated[bool, opt("--validate", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Start a pool without storing its definition.

    When it stops, nothing but its content is left of it.
    """
    from anyvirt.cli.source import given

    wishes = building(build=build, overwrite=overwrite, no_overwrite=no_overwrite)
    made = cli.connection.pool_create(given(file, format, "pool"), **wishes, keep_unknown=keep_unknown)
    objects.done(cli, "pool-create/1", "pool", made, f"Pool {made.name} created from {file}")


@command(
    "pool build",
    "pool-build",
    examples=("anyvirt pool build images", "anyvirt pool build disk --overwrite"),
)
def build(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    overwrite: Annotated[bool, opt("--overwrite", help="Also over what is there, which is lost.")] = False,
    no_overwrite: Annotated[bool, opt("--no-overwrite", help="Not over what is there; the default.")] = False,
) -> None:
    """Make what a stopped pool stands on.

    That is a directory, a file system, a volume group, a partition table ...
    """
    from anyvirt.cli.jobs import follow

    wishes = building(build=True, overwrite=overwrite, no_overwrite=no_overwrite)
    one = cli.connection.lookup_pool(pool)
    follow(cli, one.build(wishes["overwrite"], timeout=cli.patience))
    objects.done(cli, "pool-build/1", "pool", one, f"Pool {one.name} built")


@command("pool start", "pool-start", examples=("anyvirt pool start images", "anyvirt pool start images --build"))
def start(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    build: Annotated[bool, opt("--build", help="First make what it stands on.")] = False,
    overwrite: Annotated[bool, opt("--overwrite", help="Also over what is there, which is lost.")] = False,
    no_overwrite: Annotated[bool, opt("--no-overwrite", help="Not over what is there; the default.")] = False,
) -> None:
    """Make a pool's volumes reachable."""
    one = cli.connection.lookup_pool(pool)
    one.start(**building(build=build, overwrite=overwrite, no_overwrite=no_overwrite))
    objects.done(cli, "pool-start/1", "pool", one, f"Pool {one.name} started")


@command("pool stop", "pool-destroy", "pool destroy", examples=("anyvirt pool stop images",))
def stop(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Let go of a pool; nothing of its content is touched."""
    one = cli.connection.lookup_pool(pool)
    one.stop()
    objects.done(cli, "pool-stop/1", "pool", one, f"Pool {one.name} stopped")


@command("pool delete", "pool-delete", examples=("anyvirt pool delete images",))
def delete(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    zeroed: Annotated[bool, opt("--zeroed", help="Overwrite what it stood on.")] = False,
) -> None:
    """Undo the build of a stopped pool.

    What it stands on is gone, its definition stays. A directory is only removed when it is empty.
    """
    one = cli.connection.lookup_pool(pool)
    one.delete(zeroed)
    objects.done(cli, "pool-delete/1", "pool", one, f"Pool {one.name} deleted")


@command("pool undefine", "pool-undefine", examples=("anyvirt pool undefine images",))
def undefine(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Remove a stopped pool's definition; its content stays."""
    one = cli.connection.lookup_pool(pool)
    one.undefine()
    objects.done(cli, "pool-undefine/1", "pool", one, f"Pool {one.name} has been undefined")


@command("pool refresh", "pool-refresh", examples=("anyvirt pool refresh images",))
def refresh(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """Look at an active pool and what is in it anew."""
    one = cli.connection.lookup_pool(pool)
    one.refresh()
    objects.done(cli, "pool-refresh/1", "pool", one, f"Pool {one.name} refreshed")


@command(
    "pool autostart",
    "pool-autostart",
    examples=("anyvirt pool autostart images", "anyvirt pool autostart images --disable"),
)
def autostart(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    disable: Annotated[bool, opt("--disable", help="Do not start it with the host.")] = False,
) -> None:
    """Start a pool when the host comes up, or no longer."""
    one = cli.connection.lookup_pool(pool)
    one.set_autostart(not disable)
    how = "unmarked" if disable else "marked"
    objects.done(cli, "pool-autostart/1", "pool", one, f"Pool {one.name} {how} as autostarted", autostart=not disable)


@command("pool edit", "pool-edit", examples=("anyvirt pool edit images",))
def edit(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
) -> None:
    """Change a pool's stored definition in an editor.

    VISUAL or EDITOR says which editor; vi without them. What is wrong is told, and the
    editor opens again if you want. An active pool has the change from its next start.
    """
    from anyvirt.cli.edit import edited
    from anyvirt.document import Document

    one = cli.connection.lookup_pool(pool)

    def stored() -> str:
        model = one.config().model.replace(capacity=None, allocation=None, available=None)
        return Document(model=model).text

    changed = edited(cli, one.name, stored, lambda text: cli.connection.pool_define(text, keep_unknown=keep_unknown))
    text = f"Pool {one.name} XML configuration {'edited' if changed else 'not changed'}."
    objects.done(cli, "pool-edit/1", "pool", one, text, changed=changed)


def building(*, build: bool, overwrite: bool, no_overwrite: bool) -> dict[str, Any]:
    """What a start is to build first.

    :raises Usage: it is to overwrite, and not to.
    """
    if overwrite and no_overwrite:
        raise Usage("--overwrite and --no-overwrite exclude each other", hint="keep one of the two")
    return {"build": build or overwrite or no_overwrite, "overwrite": overwrite}
