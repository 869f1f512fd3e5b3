"""Definitions of domains: put them in, show them, change them, take them out."""

from __future__ import annotations

from typing import Annotated

from anyvirt.cli.declare import arg, command, domain, domains, form, opt, shown_form
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.lifecycle import DRY, each

_ALWAYS = "Check the document first; always done."
_KEEP = "Take over elements and attributes that anyvirt does not know."


@command(
    "define",
    examples=(
        "anyvirt define web.xml",
        "virsh dumpxml --inactive web | anyvirt define -",
        "anyvirt define newer.xml --keep-unknown",
        "anyvirt dumpxml web --format yaml | sed s/web/www/ | anyvirt define -",
    ),
)
def define(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    keep_unknown: Annotated[bool, opt("--keep-unknown", help=_KEEP)] = False,
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
    validate: Annotated[bool, opt("--validate", help=_ALWAYS, hidden=True)] = False,  # noqa: ARG001 - always so
) -> None:
    """Store a domain's definition.

    The document is a <domain> as libvirt has it, or what ``dumpxml --format json`` and
    ``--format yaml`` print. A domain of the same name and UUID gets
    it in place of its old one; if it runs, the new one counts from its next boot. Whatever
    is wrong is listed with path and line before anything is stored; ``validate`` does the
    same without storing.
    """
    from anyvirt.cli.source import given

    made = cli.connection.domain_define(given(file, format), keep_unknown=keep_unknown)
    if not cli.json("define/1", domain={"name": made.name, "uuid": made.uuid}):
        cli.line(f"Domain '{made.name}' defined from {file}")


@command(
    "create",
    examples=(
        "anyvirt create scratch.xml",
        "anyvirt create scratch.xml --paused",
        "anyvirt create scratch.xml --dry-run",
    ),
)
def create(
    cli: Invocation,
    file: Annotated[str, arg("File with the definition; - reads what is piped in.", "FILE")],
    paused: Annotated[bool, opt("--paused", help="Leave the processors stopped.")] = False,
    keep_unknown: Annotated[bool, opt("--keep-unknown", help=_KEEP)] = False,
    format: Annotated[str, form()] = "",  # noqa: A002 - its name
    validate: Annotated[bool, opt("--validate", help=_ALWAYS, hidden=True)] = False,  # noqa: ARG001 - always so
    dry_run: Annotated[bool, opt("--dry-run", help=DRY)] = False,
) -> None:
    """Boot a transient domain, which is gone when it stops.

    ``define`` and ``start`` boot one that stays. --dry-run shows what ``start`` with it does.
    """
    from anyvirt.cli.source import given

    if dry_run:
        from anyvirt.cli.dry_run import show_all

        document = given(file, format)
        wish = {"keep_unknown": keep_unknown}
        show_all(cli, [file], lambda _: cli.connection.domain_plan_create(document, paused, **wish))
        return
    made = cli.connection.domain_create(given(file, format), paused, keep_unknown=keep_unknown)
    if not cli.json("create/1", domain={"name": made.name, "uuid": made.uuid}):
        cli.line(f"Domain '{made.name}' created from {file}")


@command("undefine", examples=("anyvirt undefine web", "anyvirt undefine web --keep-nvram"))
def undefine(
    cli: Invocation,
    domains: Annotated[list[str], domains()],
    keep_nvram: Annotated[bool, opt("--keep-nvram", help="Leave the firmware's variables where they are.")] = False,
    nvram: Annotated[bool, opt("--nvram", help="Remove them; the default.")] = False,
    keep_tpm: Annotated[bool, opt("--keep-tpm", help="Leave the state of an emulated TPM where it is.")] = False,
    tpm: Annotated[bool, opt("--tpm", help="Remove it, even where the definition says that it persists.")] = False,
) -> None:
    """Remove the definitions of domains.

    Disks stay. A domain that runs goes on as a transient one and is gone when it stops.
    """
    if nvram and keep_nvram:
        from anyvirt.cli.usage import Usage

        raise Usage("--nvram and --keep-nvram contradict each other")
    if tpm and keep_tpm:
        from anyvirt.cli.usage import Usage

        raise Usage("--tpm and --keep-tpm contradict each other")
    kept: dict[str, bool | None] = {"keep_nvram": keep_nvram}
    if tpm or keep_tpm:
        kept["keep_tpm"] = keep_tpm
    each(cli, "undefine", domains, kept, "Domain '{}' has been undefined")


@command(
    "dumpxml",
    examples=("anyvirt dumpxml web", "anyvirt dumpxml web --inactive > web.xml", "anyvirt dumpxml web --canonical"),
)
def dumpxml(
    cli: Invocation,
    domain: Annotated[str, domain()],
    inactive: Annotated[bool, opt("--inactive", help="The definition that the next boot has.")] = False,
    live: Annotated[bool, opt("--live", help="The one that runs; fails where none does.")] = False,
    canonical: Annotated[bool, opt("--canonical", help="In anyvirt's own spelling, units and order.")] = False,
    security_info: Annotated[bool, opt("--security-info", help="With the passwords in it.")] = False,
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print a domain's definition as XML, JSON or YAML.

    Without an option it is the running one, or the stored one of a domain that does not
    run. Passwords of displays are left out unless they are asked for.
    """
    if inactive and live:
        from anyvirt.cli.usage import Usage

        raise Usage("--inactive and --live contradict each other")
    from anyvirt.cli.source import show
    from anyvirt.model.choices import Which

    which = Which.CONFIG if inactive else Which.LIVE if live else Which.EFFECTIVE
    one = cli.connection.lookup(domain)
    document = one.config(which, security_info)
    if canonical:
        from anyvirt.document import Document
        from anyvirt.model.write import dump

        document = Document(dump(document.model, canonical=True))
    show(cli, "dumpxml/1", format, document, name=one.name, uuid=one.uuid, which=which.value)


@command("rename", "domrename", examples=("anyvirt rename web www",))
def rename(
    cli: Invocation,
    domain: Annotated[str, domain()],
    new_name: Annotated[str, arg("The name that it gets.", "NEW-NAME")],
) -> None:
    """Give a stopped domain another name."""
    made = cli.connection.lookup(domain).rename(new_name)
    if not cli.json("rename/1", domain={"name": made.name, "uuid": made.uuid}):
        cli.line("Domain successfully renamed")


@command(
    "autostart",
    examples=(
        "anyvirt autostart web",
        "anyvirt autostart web --disable",
        "anyvirt list --inactive --autostart --name | xargs -r anyvirt start",
    ),
)
def autostart(
    cli: Invocation,
    domain: Annotated[str, domain()],
    disable: Annotated[bool, opt("--disable", help="Take the mark away.")] = False,
) -> None:
    """Mark a domain to be started with the host.

    A hypervisor with a service of its own starts what is marked. Where there is none, as
    with QEMU, the host's own start-up calls the last example.
    """
    one = cli.connection.lookup(domain)
    one.set_autostart(not disable)
    if not cli.json("autostart/1", domain={"name": one.name, "uuid": one.uuid, "autostart": not disable}):
        cli.line(f"Domain '{one.name}' {'unmarked' if disable else 'marked'} as autostarted")
