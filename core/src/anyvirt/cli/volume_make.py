"""Volumes: making them, empty, out of another one, or out of a file or what a web server has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from anyvirt.cli.declare import arg, command, form, named, opt, volume, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.jobs import follow
from anyvirt.cli.sizes import in_bytes
from anyvirt.cli.usage import Usage
from anyvirt.cli.volume import POOL, found

if TYPE_CHECKING:
    from anyvirt.model.storage import Volume as Model
    from anyvirt.model.storage import VolumeFormat, VolumeTarget
    from anyvirt.ref import Ref

FORMATS: Final = ("raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc", "luks", "iso", "dir", "ploop")
METADATA: Final = "Allocate the metadata of an image that grows."
SHARED: Final = "Share blocks with the source; fails where the file system cannot."


@command(
    "vol create",
    "vol-create",
    examples=(
        "anyvirt vol create default disk.xml",
        "anyvirt vol create default --from https://cloud.example/debian.qcow2 --format qcow2 --checksum sha256:9f86...",
        "anyvirt vol create default --from ./debian.raw --name web.raw --capacity 20G",
    ),
)
def create(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    file: Annotated[str, arg("File with the description; - reads what is piped in.", "FILE")] = "",
    source: Annotated[
        str, opt("--from", help="Take the content of this file, or of what http(s) gives.", metavar="URL-OR-FILE")
    ] = "",
    name: Annotated[str, opt("--name", help="With --from: its name, in place of the file's.", metavar="NAME")] = "",
    image: Annotated[
        str,
        opt(
            "--format",
            help="Of the content (raw without it); of FILE: xml, json or yaml.",
            metavar="FORMAT",
            autocompletion=words(*FORMATS, "xml", "json", "yaml"),
        ),
    ] = "",
    capacity: Annotated[str, opt("--capacity", help="With --from: grow it to this size.", metavar="SIZE")] = "",
    checksum: Annotated[
        str, opt("--checksum", help="With --from: refuse other content, such as sha256:9f86...", metavar="SUM")
    ] = "",
    prealloc_metadata: Annotated[bool, opt("--prealloc-metadata", help=METADATA)] = False,
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    validate: Annotated[bool, opt("--validate", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
) -> None:
    """Make a volume, empty or out of a file or a URL.

    Cancelled with Ctrl-C, nothing is left. What a file or a server has goes into the volume
    byte for byte, without the room that zeros would take. Its format is what --format says,
    never what it looks like.
    """
    if bool(file) is bool(source):
        raise Usage("give a FILE with a description, or --from", hint="anyvirt vol create-as takes a name and a size")
    if source:
        from anyvirt.cli.bringing import bring

        bring(cli, pool, source, name=name, form=image, capacity=capacity, checksum=checksum)
        return
    for given, flag in ((name, "--name"), (capacity, "--capacity"), (checksum, "--checksum")):
        if given:
            raise Usage(f"{flag} is for --from", hint="write it into the description")
    from anyvirt.cli.source import given as read

    ref = cli.connection.lookup_pool(pool).ref
    job = cli.connection.volume_create(
        ref, read(file, image, "volume"), prealloc_metadata, keep_unknown=keep_unknown, timeout=cli.patience
    )
    _made(cli, "vol-create/1", follow(cli, job), f"created from {file}")


@command(
    "vol create-as",
    "vol-create-as",
    examples=(
        "anyvirt vol create-as default data.qcow2 20G --format qcow2",
        "anyvirt vol create-as default clone.qcow2 20G --format qcow2 --backing-vol base.qcow2",
        "anyvirt vol create-as default safe.raw 1G --format luks --secret /srv/images/safe.raw",
    ),
)
def create_as(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    name: Annotated[str, arg("Name that it gets.", "NAME")],
    capacity: Annotated[str, arg("What the guest can see, in bytes, or with k, M, G, T behind it.", "CAPACITY")],
    image: Annotated[
        str,
        opt("--format", help="Format of the image: raw, qcow2 ...", metavar="FORMAT", autocompletion=words(*FORMATS)),
    ] = "",
    allocation: Annotated[str, opt("--allocation", help="What is set aside at once.", metavar="SIZE")] = "",
    backing_vol: Annotated[
        str, opt("--backing-vol", help="Volume below it: its name in the pool, key or path.", metavar="VOL")
    ] = "",
    backing_vol_format: Annotated[
        str,
        opt(
            "--backing-vol-format",
            help="Format of that; without it, as it was declared.",
            metavar="FORMAT",
            autocompletion=words(*FORMATS),
        ),
    ] = "",
    compat: Annotated[str, opt("--compat", help="Version of qcow2: 0.10 or 1.1.", metavar="VERSION")] = "",
    cluster_size: Annotated[str, opt("--cluster-size", help="Cluster of qcow2.", metavar="SIZE")] = "",
    lazy_refcounts: Annotated[bool, opt("--lazy-refcounts", help="Write reference counts late.")] = False,
    extended_l2: Annotated[bool, opt("--extended-l2", help="Have subclusters.")] = False,
    secret: Annotated[
        str, opt("--secret", help="Encrypt it with LUKS and the value of this secret.", metavar="SECRET")
    ] = "",
    prealloc_metadata: Annotated[bool, opt("--prealloc-metadata", help=METADATA)] = False,
    print_xml: Annotated[bool, opt("--print-xml", help="Print the description, and make nothing.")] = False,
) -> None:
    """Make a volume from a name and a size."""
    one = cli.connection.lookup_pool(pool)
    target = _target(image, compat, cluster_size, lazy=lazy_refcounts, extended=extended_l2)
    model = _model(name, in_bytes(capacity), in_bytes(allocation) if allocation else None, target)
    if secret:
        model = _locked(cli, model, secret)
    if backing_vol:
        model = _standing(cli, one.ref, model, backing_vol, backing_vol_format)
    if _printed(cli, "vol-create-as/1", model, print_xml=print_xml):
        return
    job = cli.connection.volume_create(one.ref, model, prealloc_metadata, timeout=cli.patience)
    _made(cli, "vol-create-as/1", follow(cli, job), "created")


@command(
    "vol create-from",
    "vol-create-from",
    examples=("anyvirt vol create-from default copy.xml disk.qcow2 --inputpool fast",),
)
def create_from(
    cli: Invocation,
    pool: Annotated[str, named("pool")],
    file: Annotated[str, arg("File with the description; - reads what is piped in.", "FILE")],
    vol: Annotated[str, volume("Name, key or path of the volume whose content it gets.")],
    inputpool: Annotated[str, opt("--inputpool", help="Pool of that volume.", metavar="POOL")] = "",
    prealloc_metadata: Annotated[bool, opt("--prealloc-metadata", help=METADATA)] = False,
    reflink: Annotated[bool, opt("--reflink", help=SHARED)] = False,
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
    validate: Annotated[bool, opt("--validate", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Make a volume with the content of another one, in any format."""
    from anyvirt.cli.source import given

    home = cli.connection.lookup_pool(pool).ref
    source = found(cli, vol, inputpool)
    job = cli.connection.volume_create_from(
        home,
        given(file, format, "volume"),
        source.ref,
        prealloc_metadata,
        reflink,
        keep_unknown=keep_unknown,
        timeout=cli.patience,
    )
    _made(cli, "vol-create-from/1", follow(cli, job), f"created from {source.name}")


@command(
    "vol clone",
    "vol-clone",
    examples=("anyvirt vol clone disk.qcow2 copy.qcow2 --pool default", "anyvirt vol clone base copy --reflink"),
)
def clone(
    cli: Invocation,
    vol: Annotated[str, volume()],
    newname: Annotated[str, arg("Name that the copy gets.", "NAME")],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    prealloc_metadata: Annotated[bool, opt("--prealloc-metadata", help=METADATA)] = False,
    reflink: Annotated[bool, opt("--reflink", help=SHARED)] = False,
    print_xml: Annotated[bool, opt("--print-xml", help="Print the description, and make nothing.")] = False,
) -> None:
    """Copy a volume within its pool, under another name."""
    one = found(cli, vol, pool)
    model = _like(one.config().model, newname)
    if _printed(cli, "vol-clone/1", model, print_xml=print_xml):
        return
    home = one.ref.parent
    if home is None:
        raise Usage(f"volume {one.name!r} is in no pool", hint="anyvirt vol create-from takes a pool")
    job = cli.connection.volume_create_from(home, model, one.ref, prealloc_metadata, reflink, timeout=cli.patience)
    _made(cli, "vol-clone/1", follow(cli, job), f"cloned from {one.name}")


def _like(model: Model, name: str) -> Model:
    """The description of a copy: what only the original has is left out."""
    target = model.target.replace(path=None, timestamps=None) if model.target else None
    return model.replace(name=name, key=None, allocation=None, physical=None, source_devices=(), target=target)


def _made(cli: Invocation, schema: str, ref: Ref, text: str) -> None:
    if not cli.json(schema, volume={"name": str(ref), "key": ref.key}):
        cli.line(f"Vol {ref} {text}")


def _printed(cli: Invocation, schema: str, model: Model, *, print_xml: bool) -> bool:
    if print_xml:
        from anyvirt.cli.source import show
        from anyvirt.document import Document

        show(cli, schema, "xml", Document(model=model))
    return print_xml


def _model(name: str, capacity: int, allocation: int | None, target: VolumeTarget | None) -> Model:
    from anyvirt.model.storage import Volume

    return Volume(name=name, capacity=capacity, allocation=allocation, target=target)


def _target(image: str, compat: str, cluster: str, *, lazy: bool, extended: bool) -> VolumeTarget | None:
    from anyvirt.errors import Invalid
    from anyvirt.model.storage import VolumeTarget

    try:
        target = VolumeTarget(
            format=image_format(image) if image else None,
            compat=compat or None,
            cluster_size=in_bytes(cluster) if cluster else None,
            lazy_refcounts=lazy,
            extended_l2=extended,
        )
    except Usage:
        raise
    except Invalid as error:
        raise Usage(error.message, hint=error.hint) from None
    return target if target != VolumeTarget() else None


def _locked(cli: Invocation, model: Model, text: str) -> Model:
    """The description with the encryption that a secret opens."""
    from anyvirt.model.source import Encryption, SecretRef
    from anyvirt.model.storage import VolumeTarget

    uuid = cli.connection.lookup_secret(text).uuid
    encryption = Encryption(format="luks", secrets=(SecretRef(type="passphrase", uuid=uuid),))
    return model.replace(target=(model.target or VolumeTarget()).replace(encryption=encryption))


def _standing(cli: Invocation, pool: Ref, model: Model, text: str, image: str) -> Model:
    """The description with the image below it."""
    from anyvirt.errors import NotFound
    from anyvirt.model.storage import VolumeBackingStore

    try:
        below = cli.connection.lookup_volume(pool, text)
    except NotFound:
        below = found(cli, text)
    target = below.config().model.target
    kind = image_format(image) if image else target.format if target else None
    return model.replace(backing_store=VolumeBackingStore(path=below.path(), format=kind))


def image_format(word: str) -> VolumeFormat:
    """A format of images.

    :raises Usage: there is none of that name.
    """
    from anyvirt.model.storage import VolumeFormat

    try:
        return VolumeFormat(word)
    except ValueError:
        raise Usage(f"--format {word!r} is none", hint=f"write {', '.join(VolumeFormat)}") from None
