"""``convert``: definitions from one format to another."""

from __future__ import annotations

from typing import Annotated

from anyvirt.cli.declare import arg, command, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.paper import clean

_FROM = "Format of the file; told from the content of XML, JSON and YAML without it."
_TO = "Format that is wanted; domain, which is libvirt's XML, without it."


@command(
    "convert",
    examples=(
        "anyvirt convert --to yaml web.xml",
        "anyvirt convert --from vmx --to domain web.vmx | anyvirt define -",
        "anyvirt convert --from qemu-argv start.sh > web.xml",
        "anyvirt convert --list",
    ),
)
def convert(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "[FILE]")] = "",
    source: Annotated[str, opt("--from", help=_FROM, metavar="FORMAT")] = "",
    target: Annotated[str, opt("--to", help=_TO, metavar="FORMAT")] = "domain",
    pretty: Annotated[bool, opt("--pretty", help="For people to read; of a command line, one option a line.")] = False,
    every: Annotated[bool, opt("--list", help="List the formats that there are, and what brings each.")] = False,
) -> None:
    """Print a definition in another format.

    No hypervisor is asked. What a format cannot say is an error by its path, not left out.
    """
    if every:
        _list(cli)
        return
    if not file:
        from anyvirt.cli.usage import Usage

        raise Usage("there is no file to convert", hint="name one; - reads what is piped in")
    from anyvirt.cli.source import read

    _print(cli, "convert/1", read(file), source, target, pretty=pretty)


@command("domxml-from-native", hidden=True)
def from_native(
    cli: Invocation,
    format: Annotated[str, arg("Format of the file.", "FORMAT")],  # noqa: A002 - its name
    config: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
) -> None:
    """Print another program's definition as a domain's XML."""
    from anyvirt.cli.source import read

    _print(cli, "domxml-from-native/1", read(config), format, "domain")


@command("domxml-to-native", hidden=True)
def to_native(
    cli: Invocation,
    format: Annotated[str, arg("Format that is wanted.", "FORMAT")],  # noqa: A002 - its name
    domain: Annotated[str, arg("Name, UUID or number of a domain.", "[DOMAIN]")] = "",
    xml: Annotated[str, opt("--xml", help="A file in place of a domain.", metavar="FILE")] = "",
) -> None:
    """Print a domain's definition in another program's format."""
    if bool(domain) == bool(xml):
        from anyvirt.cli.usage import Usage

        raise Usage("a domain is wanted, or --xml with a file, and not both")
    from anyvirt.cli.source import read, stored

    data = read(xml) if xml else stored(cli, cli.connection.lookup(domain)).text.encode()
    _print(cli, "domxml-to-native/1", data, "domain", format)


def _print(cli: Invocation, schema: str, data: bytes, source: str, target: str, *, pretty: bool = False) -> None:
    from anyvirt.formats import BUILT_IN, converted

    pretty = pretty and target not in BUILT_IN  # which are written for people anyway
    found = converted(data, source, target, pretty=pretty, timeout=cli.timeout, settings=cli.settings)
    made, text = found.data, found.data.decode("utf-8", "backslashreplace")
    if cli.json(schema, source=source or None, target=target, text=text, notes=list(found.notes)):
        return
    for note in found.notes:
        print(f"note: {clean(note)}", file=cli.err)
    cli.out.flush()
    raw = getattr(cli.out, "buffer", None)
    if raw is None:
        cli.document(made.decode("utf-8", "backslashreplace"))
    else:
        raw.write(made)
        raw.flush()


def _list(cli: Invocation) -> None:
    from anyvirt.formats import formats

    found = formats(cli.settings)
    rows = [{"name": one.name, "distribution": one.distribution, "version": one.version or None} for one in found]
    if not cli.json("convert/1", formats=rows):
        cli.table(("Format", "Distribution", "Version"), [list(row.values()) for row in rows])
