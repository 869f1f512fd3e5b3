"""Volumes: ``vol list`` and its neighbours."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, form, named, opt, shown_form
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.jobs import follow
from anyvirt.cli.paper import size
from anyvirt.cli.usage import Usage
from anyvirt.errors import NotFound, VirtError

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Volume
    from anyvirt.model.storage import VolumeFormat

_POOL: Final = "Pool that it is in; without it every active pool is searched."
_UNITS: Final = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


@command(
    "vol list", "vol-list", "pool vol-list", examples=("anyvirt vol list default", "anyvirt vol list default --details")
)
def list_volumes(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    details: Annotated[bool, opt("--details", help="With kind and sizes.")] = False,
) -> None:
    """List the volumes of an active pool."""
    refs = [handle.ref for handle in cli.connection.lookup_pool(pool).volumes()]
    rows = []
    for ref, answer in cli.connection.volume_info(refs).items():
        row: dict[str, Any] = {"name": str(ref), "path": _path(cli, ref)}
        if answer.error is not None:
            row["error"] = cli.row_error(answer.error)
        else:
            row |= asdict(answer.get())
        rows.append(row)
    if cli.json("vol-list/1", pool=pool, volumes=rows):
        return
    heads = ["Name", "Path", *(["Type", "Capacity", "Allocation"] if details else [])]
    cli.table(heads, [_cells(row, details=details) for row in rows])


def _path(cli: Invocation, ref: Any) -> str | None:
    try:
        return cli.connection.volume_path(ref)
    except VirtError:
        return None


def _cells(row: dict[str, Any], *, details: bool) -> list[Any]:
    more = [row.get("type"), size(row.get("capacity")), size(row.get("allocation"))] if details else []
    if "error" in row:
        more = [f"error[{row['error']['code']}]: {row['error']['message']}", "-", "-"] if details else []
    return [row["name"], row["path"], *more]


@command("vol info", "vol-info", examples=("anyvirt vol info disk.qcow2 --pool default",))
def info(
    cli: Invocation,
    vol: Annotated[str, arg("Name, key or path of a volume.", "VOL")],
    pool: Annotated[str, opt("--pool", help=_POOL, metavar="POOL")] = "",
    exact: Annotated[bool, opt("--bytes", help="Sizes in bytes.")] = False,
) -> None:
    """Show kind and sizes of a volume."""
    one = _volume(cli, vol, pool)
    row = {"name": one.name, "key": one.ref.key, **asdict(one.info())}
    if cli.json("vol-info/1", volume=row):
        return
    shown = (lambda number: f"{number} bytes") if exact else size
    sizes = [
        (key.capitalize(), shown(row[key])) for key in ("capacity", "allocation", "physical") if row[key] is not None
    ]
    cli.fields([("Name", one.name), ("Type", row["type"]), *sizes])


@command("vol dumpxml", "vol-dumpxml", examples=("anyvirt vol dumpxml disk.qcow2 --pool default",))
def dumpxml(
    cli: Invocation,
    vol: Annotated[str, arg("Name, key or path of a volume.", "VOL")],
    pool: Annotated[str, opt("--pool", help=_POOL, metavar="POOL")] = "",
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a volume's description as XML, JSON or YAML."""
    from anyvirt.cli.source import show

    one = _volume(cli, vol, pool)
    show(cli, "vol-dumpxml/1", format, one.config(), name=one.name)


@command("vol path", "vol-path", examples=("anyvirt vol path disk.qcow2 --pool default",))
def path(
    cli: Invocation,
    vol: Annotated[str, arg("Name or key of a volume.", "VOL")],
    pool: Annotated[str, opt("--pool", help=_POOL, metavar="POOL")] = "",
) -> None:
    """Print where a volume is on the host."""
    one = _volume(cli, vol, pool)
    text = one.path()
    if not cli.json("vol-path/1", name=one.name, path=text):
        cli.line(text)


@command("vol create", "vol-create", examples=("anyvirt vol create default disk.xml",))
def create(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    file: Annotated[str, arg("File with the description; - reads what is piped in.", "FILE")],
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Make a volume. Cancelled with Ctrl-C, nothing is left."""
    from anyvirt.cli.source import given

    ref = cli.connection.lookup_pool(pool).ref
    document = given(file, format, "volume")
    made = follow(cli, cli.connection.volume_create(ref, document, keep_unknown=keep_unknown, timeout=cli.patience))
    if not cli.json("vol-create/1", volume={"name": str(made), "key": made.key}):
        cli.line(f"Vol {made} created from {file}")


@command(
    "vol create-as",
    "vol-create-as",
    examples=("anyvirt vol create-as default data.qcow2 20G --format qcow2",),
)
def create_as(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    name: Annotated[str, arg("Name that it gets.", "NAME")],
    capacity: Annotated[str, arg("What the guest can see, in bytes, or with k, M, G, T behind it.", "CAPACITY")],
    image: Annotated[str, opt("--format", help="Format of the image: raw, qcow2 ...", metavar="FORMAT")] = "",
    allocation: Annotated[str, opt("--allocation", help="What is set aside at once.", metavar="SIZE")] = "",
) -> None:
    """Make a volume from a name and a size."""
    from anyvirt.document import Document
    from anyvirt.model.storage import Volume as Model
    from anyvirt.model.storage import VolumeTarget

    model = Model(
        name=name,
        capacity=_bytes(capacity),
        allocation=_bytes(allocation) if allocation else None,
        target=VolumeTarget(format=_format(image)) if image else None,
    )
    ref = cli.connection.lookup_pool(pool).ref
    made = follow(cli, cli.connection.volume_create(ref, Document.of(model), timeout=cli.patience))
    if not cli.json("vol-create-as/1", volume={"name": str(made), "key": made.key}):
        cli.line(f"Vol {made} created")


@command("vol delete", "vol-delete", examples=("anyvirt vol delete disk.qcow2 --pool default",))
def delete(
    cli: Invocation,
    vol: Annotated[str, arg("Name, key or path of a volume.", "VOL")],
    pool: Annotated[str, opt("--pool", help=_POOL, metavar="POOL")] = "",
) -> None:
    """Remove a volume and its content."""
    one = _volume(cli, vol, pool)
    one.delete()
    if not cli.json("vol-delete/1", volume={"name": one.name, "key": one.ref.key}):
        cli.line(f"Vol {one.name} deleted")


def _format(word: str) -> VolumeFormat:
    from anyvirt.cli.usage import Usage
    from anyvirt.model.storage import VolumeFormat

    try:
        return VolumeFormat(word)
    except ValueError:
        raise Usage(f"--format {word!r} is none", hint=f"write {', '.join(VolumeFormat)}") from None


def _volume(cli: Invocation, text: str, pool: str) -> Volume:
    if pool:
        return cli.connection.lookup_volume(cli.connection.lookup_pool(pool), text)
    for one in cli.connection.pool_list():
        try:
            return cli.connection.lookup_volume(one, text)
        except VirtError as error:
            if error.code not in {"volume.not-found", "pool.wrong-state"}:
                raise
    raise NotFound(text, "volume", hint="--pool says where it is; anyvirt vol list POOL shows what is there")


def _bytes(text: str) -> int:
    number = text.strip().rstrip("".join(_UNITS) + "".join(_UNITS).upper() + "i ")
    unit = text.strip()[len(number) :].strip().lower()
    shift = _UNITS.get(unit if unit in {"", "b"} else unit.removesuffix("b").removesuffix("i"))
    if not (number.isascii() and number.isdigit()) or shift is None:
        raise Usage(f"{text!r} is no size", hint="write 1073741824, 1048576k, 1024M or 1G")
    return int(number) << shift
