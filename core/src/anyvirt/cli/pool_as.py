"""Storage pools out of words on the command line, without a document: ``define-as`` and ``create-as``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyvirt.cli import objects
from anyvirt.cli.declare import arg, command, opt, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.pool import TYPES
from anyvirt.cli.pool_change import building
from anyvirt.cli.usage import Usage

if TYPE_CHECKING:
    from anyvirt.model.source import Auth
    from anyvirt.model.storage import Adapter, Pool, PoolSource


@command(
    "pool define-as",
    "pool-define-as",
    examples=(
        "anyvirt pool define-as images dir --target /srv/images",
        "anyvirt pool define-as vg0 logical --source-dev /dev/sdb --source-name vg0 --target /dev/vg0",
        "anyvirt pool define-as nas netfs --source-host nas --source-path /export --target /mnt/nas --print-xml",
    ),
)
def define_as(
    cli: Invocation,
    name: Annotated[str, arg("Name that it gets.", "NAME")],
    type: Annotated[str, arg("What it is made of.", "TYPE", autocompletion=words(*TYPES))],  # noqa: A002 - virsh's word
    print_xml: Annotated[bool, opt("--print-xml", help="Print the definition, and store nothing.")] = False,
    target: Annotated[str, opt("--target", help="Where it stands on the host.", metavar="PATH")] = "",
    source_host: Annotated[str, opt("--source-host", help="Server that it is on.", metavar="HOST")] = "",
    source_path: Annotated[str, opt("--source-path", help="Directory on the server.", metavar="PATH")] = "",
    source_dev: Annotated[str, opt("--source-dev", help="Device that it is on.", metavar="PATH")] = "",
    source_name: Annotated[str, opt("--source-name", help="Name of its source.", metavar="NAME")] = "",
    source_format: Annotated[str, opt("--source-format", help="What is on the source.", metavar="FORMAT")] = "",
    source_protocol_ver: Annotated[
        str, opt("--source-protocol-ver", help="Version of the protocol, such as 4.2.", metavar="VERSION")
    ] = "",
    source_initiator: Annotated[str, opt("--source-initiator", help="iSCSI initiator name.", metavar="IQN")] = "",
    auth_type: Annotated[str, opt("--auth-type", help="chap or ceph.", metavar="TYPE")] = "",
    auth_username: Annotated[str, opt("--auth-username", help="Who logs on.", metavar="NAME")] = "",
    secret_usage: Annotated[str, opt("--secret-usage", help="What its secret is for.", metavar="TEXT")] = "",
    secret_uuid: Annotated[str, opt("--secret-uuid", help="UUID of its secret.", metavar="UUID")] = "",
    adapter_name: Annotated[str, opt("--adapter-name", help="SCSI adapter.", metavar="NAME")] = "",
    adapter_wwnn: Annotated[str, opt("--adapter-wwnn", help="Node name of a vHBA.", metavar="WWN")] = "",
    adapter_wwpn: Annotated[str, opt("--adapter-wwpn", help="Port name of a vHBA.", metavar="WWN")] = "",
    adapter_parent: Annotated[str, opt("--adapter-parent", help="Parent of a vHBA.", metavar="NAME")] = "",
    adapter_parent_wwnn: Annotated[str, opt("--adapter-parent-wwnn", help="Its node name.", metavar="WWN")] = "",
    adapter_parent_wwpn: Annotated[str, opt("--adapter-parent-wwpn", help="Its port name.", metavar="WWN")] = "",
    adapter_parent_fabric_wwn: Annotated[
        str, opt("--adapter-parent-fabric-wwn", help="Its fabric.", metavar="WWN")
    ] = "",
) -> None:
    """Store a pool's definition made of options."""
    given = {key: value for key, value in locals().items() if key not in {"cli", "print_xml"}}
    model = _pool(given)
    if not _printed(cli, "pool-define-as/1", model, print_xml=print_xml):
        made = cli.connection.pool_define(model)
        objects.done(cli, "pool-define-as/1", "pool", made, f"Pool {made.name} defined")


@command(
    "pool create-as",
    "pool-create-as",
    examples=("anyvirt pool create-as scratch dir --target /srv/scratch --build",),
)
def create_as(
    cli: Invocation,
    name: Annotated[str, arg("Name that it gets.", "NAME")],
    type: Annotated[str, arg("What it is made of.", "TYPE", autocompletion=words(*TYPES))],  # noqa: A002 - virsh's word
    build: Annotated[bool, opt("--build", help="First make what it stands on.")] = False,
    overwrite: Annotated[bool, opt("--overwrite", help="Also over what is there, which is lost.")] = False,
    no_overwrite: Annotated[bool, opt("--no-overwrite", help="Not over what is there; the default.")] = False,
    print_xml: Annotated[bool, opt("--print-xml", help="Print the definition, and start nothing.")] = False,
    target: Annotated[str, opt("--target", help="Where it stands on the host.", metavar="PATH")] = "",
    source_host: Annotated[str, opt("--source-host", help="Server that it is on.", metavar="HOST")] = "",
    source_path: Annotated[str, opt("--source-path", help="Directory on the server.", metavar="PATH")] = "",
    source_dev: Annotated[str, opt("--source-dev", help="Device that it is on.", metavar="PATH")] = "",
    source_name: Annotated[str, opt("--source-name", help="Name of its source.", metavar="NAME")] = "",
    source_format: Annotated[str, opt("--source-format", help="What is on the source.", metavar="FORMAT")] = "",
    source_protocol_ver: Annotated[
        str, opt("--source-protocol-ver", help="Version of the protocol, such as 4.2.", metavar="VERSION")
    ] = "",
    source_initiator: Annotated[str, opt("--source-initiator", help="iSCSI initiator name.", metavar="IQN")] = "",
    auth_type: Annotated[str, opt("--auth-type", help="chap or ceph.", metavar="TYPE")] = "",
    auth_username: Annotated[str, opt("--auth-username", help="Who logs on.", metavar="NAME")] = "",
    secret_usage: Annotated[str, opt("--secret-usage", help="What its secret is for.", metavar="TEXT")] = "",
    secret_uuid: Annotated[str, opt("--secret-uuid", help="UUID of its secret.", metavar="UUID")] = "",
    adapter_name: Annotated[str, opt("--adapter-name", help="SCSI adapter.", metavar="NAME")] = "",
    adapter_wwnn: Annotated[str, opt("--adapter-wwnn", help="Node name of a vHBA.", metavar="WWN")] = "",
    adapter_wwpn: Annotated[str, opt("--adapter-wwpn", help="Port name of a vHBA.", metavar="WWN")] = "",
    adapter_parent: Annotated[str, opt("--adapter-parent", help="Parent of a vHBA.", metavar="NAME")] = "",
    adapter_parent_wwnn: Annotated[str, opt("--adapter-parent-wwnn", help="Its node name.", metavar="WWN")] = "",
    adapter_parent_wwpn: Annotated[str, opt("--adapter-parent-wwpn", help="Its port name.", metavar="WWN")] = "",
    adapter_parent_fabric_wwn: Annotated[
        str, opt("--adapter-parent-fabric-wwn", help="Its fabric.", metavar="WWN")
    ] = "",
) -> None:
    """Start a pool made of options, without storing it.

    When it stops, nothing but its content is left of it.
    """
    apart = {"cli", "print_xml", "build", "overwrite", "no_overwrite"}
    model = _pool({key: value for key, value in locals().items() if key not in {*apart, "apart"}})
    wishes = building(build=build, overwrite=overwrite, no_overwrite=no_overwrite)
    if not _printed(cli, "pool-create-as/1", model, print_xml=print_xml):
        made = cli.connection.pool_create(model, **wishes)
        objects.done(cli, "pool-create-as/1", "pool", made, f"Pool {made.name} created")


def _printed(cli: Invocation, schema: str, model: Pool, *, print_xml: bool) -> bool:
    if print_xml:
        from anyvirt.cli.source import show
        from anyvirt.document import Document

        show(cli, schema, "xml", Document(model=model))
    return print_xml


def _pool(given: dict[str, str]) -> Pool:
    from anyvirt.errors import Invalid
    from anyvirt.model.storage import Pool, PoolType

    try:
        kind = PoolType(given["type"])
    except ValueError:
        raise Usage(f"{given['type']!r} is no type of pools", hint=f"one of {', '.join(TYPES)}") from None
    try:
        return Pool(type=kind, name=given["name"], source=_source(given), target=given["target"] or None)
    except Invalid as error:
        raise Usage(error.message, hint=error.hint) from None


def _source(given: dict[str, str]) -> PoolSource | None:
    from anyvirt.model.storage import PoolDevice, PoolFormat, PoolHost, PoolSource

    kind = given["source_format"]
    if kind and kind not in list(PoolFormat):
        raise Usage(f"--source-format {kind!r} is none", hint=f"one of {', '.join(PoolFormat)}")
    source = PoolSource(
        hosts=(PoolHost(name=given["source_host"]),) if given["source_host"] else (),
        devices=(PoolDevice(path=given["source_dev"]),) if given["source_dev"] else (),
        dir=given["source_path"] or None,
        adapter=_adapter(given),
        name=given["source_name"] or None,
        initiator=given["source_initiator"] or None,
        format=PoolFormat(kind) if kind else None,
        protocol_ver=given["source_protocol_ver"] or None,
        auth=_auth(given),
    )
    return source if source != PoolSource() else None


def _adapter(given: dict[str, str]) -> Adapter | None:
    from anyvirt.model.storage import Adapter

    names = ("name", "wwnn", "wwpn", "parent", "parent_wwnn", "parent_wwpn", "parent_fabric_wwn")
    found: dict[str, Any] = {name: given[f"adapter_{name}"] for name in names if given[f"adapter_{name}"]}
    if not found:
        return None
    return Adapter(type="fc_host" if "wwnn" in found or "wwpn" in found else "scsi_host", **found)


def _auth(given: dict[str, str]) -> Auth | None:
    from anyvirt.model.source import Auth, SecretRef

    kind: Any = given["auth_type"] or None
    usage, uuid, user = given["secret_usage"] or None, given["secret_uuid"] or None, given["auth_username"] or None
    if kind not in {None, "chap", "ceph"}:
        raise Usage(f"--auth-type {kind!r} is none", hint="chap or ceph")
    if usage and uuid:
        raise Usage("--secret-usage and --secret-uuid exclude each other", hint="keep one of the two")
    if not (kind or user or usage or uuid):
        return None
    if not (kind and user and (usage or uuid)):
        hint = "--auth-type, --auth-username, and --secret-usage or --secret-uuid"
        raise Usage("logging on takes a type, a user and a secret", hint=hint)
    return Auth(type=kind, username=user, secret=SecretRef(usage=usage, uuid=uuid))
