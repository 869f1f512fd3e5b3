"""``schema``: what documents may have in them, for editors and other programs."""

from __future__ import annotations

from typing import Annotated, Any

from anyvirt.cli.declare import arg, command, opt, words
from anyvirt.cli.invocation import Invocation

_FORMAT = "json: JSON Schema of the JSON and YAML forms; rng: RELAX NG of the XML."


def _format() -> Any:
    return opt("--format", help=_FORMAT, metavar="json|rng", autocompletion=words("json", "rng"))


@command(
    "schema",
    examples=(
        "anyvirt schema domain > domain.schema.json",
        "anyvirt schema --format rng > anyvirt.rng && xmllint --noout --relaxng anyvirt.rng web.xml",
    ),
)
def schema(
    cli: Invocation,
    root: Annotated[str, arg("Tag of the root element, such as domain; all kinds without it.", "[ROOT]")] = "",
    format: Annotated[str, _format()] = "json",  # noqa: A002 - its name
) -> None:
    """Print the schema of a kind of document, or of all kinds.

    It is written from what this anyvirt and the plug-ins that are installed know. ``validate``
    finds more: what contradicts itself.
    """
    if format == "rng":
        from anyvirt.model.grammar import relax_ng

        text = relax_ng(root or None)
        if not cli.json("schema/1", format=format, root=root or None, text=text):
            cli.document(text)
        return
    if format != "json":
        from anyvirt.cli.usage import Usage

        raise Usage(f"--format {format!r} is none", hint="write json or rng")
    from anyvirt.model.schema import json_schema

    made = json_schema(root or None)
    if not cli.json("schema/1", format=format, root=root or None, **{"json-schema": made}):
        import json

        cli.document(json.dumps(made, indent=1))
