"""Volumes: taking them away, the trash, and saying what an image is that was found."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli.declare import arg, command, named, opt, volume, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import size
from anyvirt.cli.sizes import in_seconds
from anyvirt.cli.usage import Usage
from anyvirt.cli.volume import POOL, found
from anyvirt.cli.volume_make import FORMATS, image_format
from anyvirt.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyvirt.client._generated_sync import Volume


@command(
    "vol delete",
    "vol-delete",
    examples=(
        "anyvirt vol delete disk.qcow2 --pool default",
        "anyvirt vol delete disk.qcow2 --dry-run",
        "anyvirt vol delete disk.qcow2 --trash 7d",
    ),
)
def delete(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    dry_run: Annotated[bool, opt("--dry-run", help="Only show what would go, and who uses it.")] = False,
    force: Annotated[bool, opt("--force", help="Also where somebody uses it.")] = False,
    yes: Annotated[bool, opt("--yes", "-y", help="Do not ask.")] = False,
    trash: Annotated[str, opt("--trash", help="Keep it so long: 90, 30m, 12h, 7d.", metavar="TIME")] = "",
    zeroed: Annotated[bool, opt("--zeroed", help="Overwrite its content first.")] = False,
    delete_snapshots: Annotated[bool, opt("--delete-snapshots", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
) -> None:
    """Remove a volume and its content.

    What goes is shown first. A volume that a guest, a snapshot or another volume uses stays,
    and they are named; --force takes it away all the same, and asks where a person sits
    there. With --trash it is kept for a while, and vol restore brings it back.
    """
    if trash and zeroed:
        raise Usage("--trash and --zeroed exclude each other", hint="what is kept is not overwritten")
    keep = in_seconds(trash) if trash else 0
    one = found(cli, vol, pool)
    told = [asdict(loss) for loss in one.losses(force)] if "volume_losses" in cli.connection.supports else []
    if dry_run:
        if not cli.json("vol-delete/1", volume={"name": one.name, "key": one.ref.key}, losses=told, deleted=False):
            _table(cli, told)
        return
    _shown(cli, told)
    if force and not yes and any(row["user"] for row in told) and not _confirmed(one):
        raise Interrupted("cancelled", f"deleting {one.name}", hint="--yes deletes without asking")
    one.delete(force, keep, zeroed)
    if not cli.json("vol-delete/1", volume={"name": one.name, "key": one.ref.key}, losses=told, deleted=True):
        cli.line(f"Vol {one.name} deleted{f'; vol restore brings it back within {trash}' if keep else ''}")


def _table(cli: Invocation, told: Sequence[dict[str, Any]]) -> None:
    cells = [(row["path"], size(row["size"]), row["why"], row["user"] or None) for row in told]
    cli.table(("Path", "Size", "What it is", "Used by"), cells)


def _shown(cli: Invocation, told: Sequence[dict[str, Any]]) -> None:
    from anyvirt.cli.paper import clean

    for row in told:
        text = f"needed by {row['user']}, " if row["user"] else "goes: "
        cli.note(clean(f"{text}{row['path']} ({size(row['size'])}): {row['why']}"))


def _confirmed(one: Volume) -> bool:
    import sys

    from anyvirt.cli.prompt import confirm

    return not sys.stdin.isatty() or confirm(f"Delete {one.name} all the same?")


@command("vol trash", examples=("anyvirt vol trash default",))
def trash_of(cli: Invocation, pool: Annotated[str, named("pool")]) -> None:
    """List deleted volumes of a pool that are still kept."""
    rows = [asdict(one) for one in cli.connection.lookup_pool(pool).trash()]
    if cli.json("vol-trash/1", pool=pool, volumes=rows):
        return
    cells = [(row["name"], size(row["size"]), _time(row["deleted_at"]), _time(row["until"])) for row in rows]
    cli.table(("Name", "Size", "Deleted", "Kept until"), cells)


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


@command("vol restore", examples=("anyvirt vol restore default disk.qcow2",))
def restore(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    name: Annotated[str, arg("What the volume was called.", "NAME")],
) -> None:
    """Bring a deleted volume back out of the trash."""
    made = cli.connection.volume_restore(cli.connection.lookup_pool(pool), name)
    if not cli.json("vol-restore/1", volume={"name": made.name, "key": made.ref.key}):
        cli.line(f"Vol {made.name} restored")


@command(
    "vol declare",
    examples=(
        "anyvirt vol declare found.qcow2 --format qcow2 --pool default",
        "anyvirt vol declare top.qcow2 --format qcow2 --backing /srv/images/base.raw --backing-format raw",
    ),
)
def declare(
    cli: Invocation,
    vol: Annotated[str, volume()],
    image: Annotated[
        str, opt("--format", help="Format that the image has.", metavar="FORMAT", autocompletion=words(*FORMATS))
    ] = "",
    backing: Annotated[str, opt("--backing", help="Path of the image below; none without it.", metavar="PATH")] = "",
    backing_format: Annotated[
        str, opt("--backing-format", help="Format of that.", metavar="FORMAT", autocompletion=words(*FORMATS))
    ] = "",
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
) -> None:
    """Say what format a found image has, and what is below it.

    Formats are never guessed from content, which a guest may have written: without this, the
    image is raw.
    """
    from anyvirt.model.storage import Volume as Model
    from anyvirt.model.storage import VolumeBackingStore, VolumeTarget

    if not image:
        raise Usage("--format is missing", hint=f"such as {', '.join(FORMATS[:3])}")
    if bool(backing) is not bool(backing_format):
        raise Usage("--backing and --backing-format belong together", hint="give both, or none")
    below = VolumeBackingStore(path=backing, format=image_format(backing_format)) if backing else None
    one, target = found(cli, vol, pool), VolumeTarget(format=image_format(image))
    one.declare(Model(name=one.name, capacity=one.info().physical or 0, target=target, backing_store=below))
    if not cli.json("vol-declare/1", volume={"name": one.name, "key": one.ref.key, "format": image}):
        cli.line(f"Vol {one.name} is {image}{f' over {backing}' if backing else ''} from now on")
