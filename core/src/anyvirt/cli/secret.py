"""Secrets: what storage and guests open things with; their values pass through here and stay nowhere."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, form, named, opt, shown_form, words, wrap, xpath
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.usage import Usage
from anyvirt.errors import Invalid

if TYPE_CHECKING:
    from anyvirt.auth import Secret
    from anyvirt.client._generated_sync import KeptSecret

KEEPERS: Final = ("file", "keyring", "credential")
LONGEST: Final = 1 << 20  # bytes that are read of a value; who keeps it may take less
_KEEPER: Final = "file (mode 0600), keyring (the kernel's) or credential (encrypted by systemd)."


@command("secret list", "secret-list", examples=("anyvirt secret list", "anyvirt --json secret list --private"))
def list_secrets(
    cli: Invocation,
    ephemeral: Annotated[bool, opt("--ephemeral", help="Only those that are kept in memory.")] = False,
    no_ephemeral: Annotated[bool, opt("--no-ephemeral", help="Only those that are not.")] = False,
    private: Annotated[bool, opt("--private", help="Only those whose value is never given out.")] = False,
    no_private: Annotated[bool, opt("--no-private", help="Only the others.")] = False,
) -> None:
    """List secrets, and what each is for."""
    refs = [handle.ref for handle in cli.connection.secret_list()]
    configs, infos = cli.connection.secret_config(refs), cli.connection.secret_info(refs)
    rows: list[dict[str, Any]] = []
    for ref in refs:
        error = configs[ref].error or infos[ref].error
        if error is not None:
            rows.append({"uuid": ref.uuid or ref.key, "usage": ref.name, "error": cli.row_error(error)})
        else:
            rows.append({**_about(configs[ref].get().model, ref.uuid or ref.key), **asdict(infos[ref].get())})
    for field, only, never in (("ephemeral", ephemeral, no_ephemeral), ("private", private, no_private)):
        rows = rows if only is never else [row for row in rows if row.get(field) in {None, only}]
    if cli.json("secret-list/1", secrets=rows):
        return
    cli.table(("UUID", "Usage", "Value", "Private"), [_cells(row) for row in rows])
    if not rows:
        cli.note(f"no secrets to show on {cli.connection.uri}")


def _about(model: Any, uuid: str) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "usage_type": model.usage_type or "none",
        "usage": model.usage_volume or model.usage_target or model.usage_name,
        "ephemeral": bool(model.ephemeral),
        "private": bool(model.private),
        "description": model.description,
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    if "error" in row:
        return [row["uuid"], row["usage"], f"error[{row['error']['code']}]: {row['error']['message']}", None]
    use = f"{row['usage_type']} {row['usage']}" if row["usage"] else "unused"
    return [row["uuid"], use, row["keeper"] or None, row["private"]]


@command("secret define", "secret-define", examples=("anyvirt secret define luks.xml",))
def define(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    validate: Annotated[bool, opt("--validate", help="The default.", hidden=True)] = False,  # noqa: ARG001 - virsh's
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
) -> None:
    """Store what a secret is for.

    Its value comes with secret set-value, never with the definition.
    """
    from anyvirt.cli.source import given

    made = cli.connection.secret_define(given(file, format, "secret"))
    _done(cli, "secret-define/1", made, f"Secret {made.uuid} created")


@command("secret dumpxml", "secret-dumpxml", examples=("anyvirt secret dumpxml /srv/images/safe.raw",))
def dumpxml(
    cli: Invocation,
    secret: Annotated[str, named("secret")],
    xpath: Annotated[str, xpath()] = "",
    wrap: Annotated[bool, wrap()] = False,
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a secret's definition; its value is not in it."""
    from anyvirt.cli.source import part, show

    one = cli.connection.lookup_secret(secret)
    if xpath:
        part(cli, "secret-dumpxml/1", one.config(), xpath, wrap=wrap, uuid=one.uuid)
    else:
        show(cli, "secret-dumpxml/1", format, one.config(), uuid=one.uuid)


@command("secret info", examples=("anyvirt secret info client.admin",))
def info(cli: Invocation, secret: Annotated[str, named("secret")]) -> None:
    """Show what a secret is for, and who keeps its value."""
    one = cli.connection.lookup_secret(secret)
    row = {**_about(one.config().model, one.uuid or one.ref.key), **asdict(one.info())}
    if cli.json("secret-info/1", secret=row):
        return
    cli.fields(
        [
            ("UUID", row["uuid"]),
            ("Usage", f"{row['usage_type']} {row['usage'] or ''}".strip()),
            ("Description", row["description"]),
            ("Private", row["private"]),
            ("Ephemeral", row["ephemeral"]),
            ("Value", f"kept by {row['keeper']}" if row["has_value"] else "none"),
        ]
    )


@command(
    "secret set-value",
    examples=(
        "anyvirt secret set-value /srv/images/safe.raw --interactive",
        "anyvirt secret set-value client.admin --file ceph.key --base64 --keeper keyring",
        'printf %s "$PASSPHRASE" | anyvirt secret set-value /srv/images/safe.raw',
    ),
)
def set_value(
    cli: Invocation,
    secret: Annotated[str, named("secret")],
    file: Annotated[str, opt("--file", help="Read it from this file, to the last byte.", metavar="FILE")] = "",
    interactive: Annotated[bool, opt("--interactive", help="Ask for it at the terminal.")] = False,
    base64: Annotated[bool, opt("--base64", help="What is read is base 64 of the value.")] = False,
    keeper: Annotated[str, opt("--keeper", help=_KEEPER, metavar="KEEPER", autocompletion=words(*KEEPERS))] = "file",
) -> None:
    """Give a secret its value.

    It comes from a file, a terminal, or what is piped in. It is never a word of the command
    line, which everybody on the host can read. All bytes count, also a newline at the end.
    """
    _set(cli, secret, _read(cli, file, interactive=interactive, coded=base64), keeper)


@command("secret-set-value", hidden=True)
def virsh_set_value(
    cli: Invocation,
    secret: Annotated[str, named("secret")],
    base64: Annotated[str, arg("Base 64 of the value; everybody on the host can read it there.", "BASE64")] = "",
    file: Annotated[str, opt("--file", help="Read it from this file.", metavar="FILE")] = "",
    plain: Annotated[bool, opt("--plain", help="The file has the value itself, no base 64 of it.")] = False,
    interactive: Annotated[bool, opt("--interactive", help="Ask for it at the terminal.")] = False,
) -> None:
    """Give a secret its value, with the options of virsh."""
    if bool(base64) + bool(file) + interactive > 1:
        raise Usage("the value, --file and --interactive exclude each other", hint="keep one of them")
    if plain and not file:
        raise Usage("--plain is for --file", hint="leave it out")
    if base64:
        text = "everybody on this host can read the words of a command; --file or --interactive hide the value"
        print(f"warning: {text}", file=cli.err)
        value = _decoded(base64.encode())
    else:
        value = _read(cli, file, interactive=interactive, coded=bool(file) and not plain)
    _set(cli, secret, value, "file")


@command(
    "secret get-value",
    "secret-get-value",
    examples=("anyvirt secret get-value client.admin", "anyvirt secret get-value client.admin --plain > key"),
)
def get_value(
    cli: Invocation,
    secret: Annotated[str, named("secret")],
    plain: Annotated[bool, opt("--plain", help="The value itself, no base 64 of it.")] = False,
) -> None:
    """Print the value of a secret, in base 64.

    That of a private one is never given out.
    """
    from base64 import b64encode

    value = cli.connection.lookup_secret(secret).value().reveal().encode("utf-8", "surrogateescape")
    coded = b64encode(value).decode()
    if cli.json("secret-get-value/1", value=coded):
        return
    if not plain:
        cli.line(coded)
        return
    cli.out.flush()
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()


@command("secret undefine", "secret-undefine", examples=("anyvirt secret undefine client.admin",))
def undefine(cli: Invocation, secret: Annotated[str, named("secret")]) -> None:
    """Remove a secret and its value.

    What it opens cannot be opened any more.
    """
    one = cli.connection.lookup_secret(secret)
    one.undefine()
    _done(cli, "secret-undefine/1", one, f"Secret {one.uuid} deleted")


def _done(cli: Invocation, schema: str, one: KeptSecret, text: str) -> None:
    if not cli.json(schema, secret={"uuid": one.uuid, "usage": one.ref.name}):
        cli.line(text)


def _set(cli: Invocation, text: str, value: Secret, keeper: str) -> None:
    if keeper not in KEEPERS:
        raise Usage(f"--keeper {keeper!r} is none", hint=f"one of {', '.join(KEEPERS)}")
    one = cli.connection.lookup_secret(text)
    one.set_value(value, keeper)
    _done(cli, "secret-set-value/1", one, f"Secret {one.uuid} value set")


def _read(cli: Invocation, file: str, *, interactive: bool, coded: bool) -> Secret:
    """The value from where the options say.

    :raises Usage: nothing is there to read it from.
    """
    if file and interactive:
        raise Usage("--file and --interactive exclude each other", hint="keep one of the two")
    if interactive or (not file and sys.stdin.isatty()):
        return _typed(coded=coded)
    from anyvirt.cli.moving import opened

    with opened(file or "-") as source:
        data = source.read(LONGEST)
    if not data:
        raise Usage("there is no value", hint="--interactive asks for it; --file names where it is")
    if not coded and not file and data.endswith(b"\n"):
        cli.note("the newline at the end is a part of the value; printf %s gives none")
    return _decoded(data) if coded else _secret(data)


def _typed(*, coded: bool) -> Secret:
    from anyvirt.auth import Question
    from anyvirt.cli.prompt import ask

    answers = ask([Question("value", "Value"), Question("again", "Once more")])
    if not answers:
        raise Usage("nobody can be asked: this is no terminal", hint="--file names where the value is")
    if answers["value"] != answers["again"]:
        raise Usage("the two values differ", hint="type the same twice")
    data = answers["value"].encode("utf-8", "surrogateescape")
    return _decoded(data) if coded else _secret(data)


def _decoded(data: bytes) -> Secret:
    """The value that base 64 stands for; no part of it is ever shown."""
    from base64 import b64decode
    from binascii import Error

    try:
        return _secret(b64decode(b"".join(data.split()), validate=True))
    except Error:
        pass
    raise Invalid("the value is no base 64", hint="--base64 (virsh: no --plain) says that it is")


def _secret(data: bytes) -> Secret:
    from anyvirt.auth import Secret

    return Secret(data.decode("utf-8", "surrogateescape"))
