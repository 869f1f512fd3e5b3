"""Volumes: ``vol list`` and other ways to look at them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, named, opt, shown_form, volume, wrap, xpath
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import size
from anyvirt.errors import NotFound, VirtError

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Volume
    from anyvirt.ref import Ref

POOL: Final = "Pool that it is in; without it every active pool is searched."


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
    if not (details or cli.options.json):  # names alone ask nothing of any volume
        cli.table(["Name", "Path"], [(str(ref), _path(cli, ref)) for ref in refs])
        return
    rows = []
    for ref, answer in cli.connection.volume_info(refs).items():
        row: dict[str, Any] = {"name": str(ref), "path": _path(cli, ref)}
        if answer.error is not None:
            row["error"] = cli.row_error(answer.error)
        else:
            row |= asdict(answer.get())
        rows.append(row)
    if not cli.json("vol-list/1", pool=pool, volumes=rows):
        cli.table(["Name", "Path", "Type", "Capacity", "Allocation"], [_cells(row) for row in rows])


def _path(cli: Invocation, ref: Ref) -> str | None:
    """Where a volume is; the key of one on this host says so itself, and need not be asked for."""
    if ref.key.startswith("/"):
        return ref.key
    try:
        return cli.connection.volume_path(ref)
    except VirtError:
        return None


def _cells(row: dict[str, Any]) -> list[Any]:
    more = [row.get("type"), size(row.get("capacity")), size(row.get("allocation"))]
    if "error" in row:
        more = [f"error[{row['error']['code']}]: {row['error']['message']}", "-", "-"]
    return [row["name"], row["path"], *more]


@command("vol info", "vol-info", examples=("anyvirt vol info disk.qcow2 --pool default",))
def info(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    exact: Annotated[bool, opt("--bytes", help="Sizes in bytes.")] = False,
    physical: Annotated[bool, opt("--physical", help="With the size of the image, without what it takes.")] = False,
) -> None:
    """Show kind and sizes of a volume.

    Capacity is what a guest sees, allocation what it takes, physical where its image ends.
    """
    one = found(cli, vol, pool)
    row = {"name": one.name, "key": one.ref.key, **asdict(one.info())}
    if cli.json("vol-info/1", volume=row):
        return
    shown = (lambda number: f"{number} bytes") if exact else size
    keys = ("capacity", "physical") if physical else ("capacity", "allocation", "physical")
    sizes = [(key.capitalize(), shown(row[key])) for key in keys if row[key] is not None]
    cli.fields([("Name", one.name), ("Type", row["type"]), *sizes])


@command("vol dumpxml", "vol-dumpxml", examples=("anyvirt vol dumpxml disk.qcow2 --pool default",))
def dumpxml(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    xpath: Annotated[str, xpath()] = "",
    wrap: Annotated[bool, wrap()] = False,
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a volume's description as XML, JSON or YAML."""
    from anyvirt.cli.source import part, show

    one = found(cli, vol, pool)
    if xpath:
        part(cli, "vol-dumpxml/1", one.config(), xpath, wrap=wrap, name=one.name)
    else:
        show(cli, "vol-dumpxml/1", format, one.config(), name=one.name)


@command("vol path", "vol-path", examples=("anyvirt vol path disk.qcow2 --pool default",))
def path(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
) -> None:
    """Print where a volume is on the host."""
    one = found(cli, vol, pool)
    text = one.path()
    if not cli.json("vol-path/1", name=one.name, path=text):
        cli.line(text)


@command("vol key", "vol-key", examples=("anyvirt vol key disk.qcow2 --pool default",))
def key(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
) -> None:
    """Print the key of a volume."""
    one = found(cli, vol, pool)
    if not cli.json("vol-key/1", volume={"name": one.name, "key": one.ref.key}):
        cli.line(one.ref.key)


@command("vol name", "vol-name", examples=("anyvirt vol name /srv/images/disk.qcow2",))
def name(cli: Invocation, vol: Annotated[str, arg("Key or path of a volume.", "VOL")]) -> None:
    """Print the name of a volume."""
    one = found(cli, vol, "")
    if not cli.json("vol-name/1", volume={"name": one.name, "key": one.ref.key}):
        cli.line(one.name)


@command("vol pool", "vol-pool", examples=("anyvirt vol pool /srv/images/disk.qcow2",))
def pool_of(
    cli: Invocation,
    vol: Annotated[str, volume()],
    uuid: Annotated[bool, opt("--uuid", help="Its UUID in place of its name.")] = False,
) -> None:
    """Print the pool that a volume is in."""
    one = cli.connection.volume_pool(found(cli, vol, "").ref)
    if not cli.json("vol-pool/1", pool={"name": one.name, "uuid": one.uuid}):
        cli.line(one.uuid or one.ref.key if uuid else one.name)


@command("vol chain", examples=("anyvirt vol chain disk.qcow2 --pool default",))
def chain(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
) -> None:
    """Show a volume's image and those below it.

    What nobody declared, and only the image above says, is shown as such: no guest is given it.
    """
    one = found(cli, vol, pool)
    links = [asdict(link) for link in one.chain()]
    if cli.json("vol-chain/1", name=one.name, links=links):
        return
    rows = [
        (row["path"], row["format"], row["declared"], size(row["capacity"]), size(row["allocation"]), row["note"])
        for row in links
    ]
    cli.table(("Path", "Format", "Declared", "Capacity", "Allocation", "Note"), rows)


def found(cli: Invocation, text: str, pool: str = "") -> Volume:
    """The volume of that name, key or path: of one pool, or of any.

    :raises NotFound: there is none.
    :raises Usage: several pools have one of that name.
    """
    calls = cli.connection
    if pool:
        return calls.lookup_volume(calls.lookup_pool(pool), text)
    if text.startswith("/") and "volume_find" in calls.supports:
        return calls.volume_find(text)
    there = []
    for one in calls.pool_list():
        try:
            there.append((one.name, calls.lookup_volume(one, text)))
        except VirtError as error:
            if error.code not in {"volume.not-found", "pool.wrong-state"}:
                raise
    if len(there) > 1:
        from anyvirt.cli.usage import Usage

        pools = ", ".join(sorted(name for name, _ in there))
        raise Usage(f"{len(there)} pools have a volume {text!r}: {pools}", hint="--pool says which one is meant")
    if there:
        return there[0][1]
    if "volume_find" in calls.supports:  # a key need not look like a path
        try:
            return calls.volume_find(text)
        except NotFound:
            pass
    raise NotFound(text, "volume", hint="--pool says where it is; anyvirt vol list POOL shows what is there")
