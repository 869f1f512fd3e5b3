"""The commands as Typer has them: for help, completion, mistakes, and the table that ``parse`` reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import Entry, Parsed

Sink = Callable[[Parsed], None]
GROUPS: Final = {
    "host": "The host: what it is, can do, and was found out to be.",
    "cpu": "CPU models: which there are, and what runs where.",
    "pool": "Storage pools.",
    "vol": "Volumes of storage pools.",
    "secret": "Passphrases and keys of storage and guests.",
    "net": "Virtual networks.",
    "iface": "Interfaces of the host.",
}
# how they stand in help: what is done all day first
# fmt: off
ORDER: Final = (
    "list", "define", "create", "start", "shutdown", "reboot", "reset", "destroy", "suspend", "resume", "undefine",
    "info", "state", "stats", "blkinfo", "console", "events", "wait", "dumpxml", "edit", "rename", "autostart",
    "plan", "apply", "validate", "schema", "convert", "save", "restore", "jobs", "recover", "import-libvirt",
    "drivers", "help",
    "host info", "host capabilities", "host domcapabilities", "host facts",
    "cpu models", "cpu baseline", "cpu compare",
    "pool list", "pool info", "pool dumpxml", "pool define", "pool define-as", "pool create", "pool create-as",
    "pool build", "pool start", "pool stop", "pool delete", "pool undefine", "pool refresh", "pool autostart",
    "pool edit", "pool uuid", "pool name", "pool find-sources", "pool find-sources-as", "pool capabilities",
    "pool event",
    "vol list", "vol info", "vol dumpxml", "vol path", "vol key", "vol name", "vol pool", "vol chain",
    "vol create", "vol create-as", "vol create-from", "vol clone", "vol resize", "vol wipe", "vol upload",
    "vol download", "vol delete", "vol trash", "vol restore", "vol declare",
    "secret list", "secret define", "secret dumpxml", "secret info", "secret set-value", "secret get-value",
    "secret undefine", "secret event",
    "net list", "net info", "net dumpxml", "iface list", "iface dumpxml",
    "domstats", "domblkstat", "domifstat", "dommemstat", "domid", "domuuid", "domname", "domblklist", "domiflist",
    "domxml-from-native", "domxml-to-native",
    "secret-set-value", "vcpucount", "vncdisplay", "hostname", "uri", "version",
    "domcapabilities", "cpu-models", "cpu-baseline", "cpu-compare", "hypervisor-cpu-baseline", "hypervisor-cpu-compare",
)
# fmt: on
SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMON: Final = "-c URI, --timeout S, --readonly, --quiet and --debug may stand here, too; see anyvirt --help."
EPILOG: Final = (
    "Without -c: ANYVIRT_URI, else qemu:///session (qemu:///system for root) where that driver is installed, "
    "else test:///default."
)


class Lazy(TyperGroup):
    """A group that lists names from the table and loads only the command that is called."""

    sink: Sink

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        prefix = f"{self.name} " if self.name else ""
        for path, row in COMMANDS.items():
            entry = Entry(*row)
            if path.startswith(prefix) and " " not in path.removeprefix(prefix):
                name = path.removeprefix(prefix)
                self.commands[name] = TyperCommand(name, help=entry.help, hidden=entry.hidden, rich_markup_mode=None)
        for name, text in {} if self.name else GROUPS.items():
            self.commands[name] = TyperCommand(name, help=text, rich_markup_mode=None)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names that are shown; Typer 0.26.0 shows hidden ones unless they are left out here."""
        return [name for name in super().list_commands(ctx) if not self.commands[name].hidden]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command of that name, in place of its line in the list."""
        name, found, rest = super().resolve_command(ctx, args)
        if name is None or found is None:
            return name, found, rest
        path = f"{self.name} {name}" if self.name else name
        loaded = group(path) if path in GROUPS and not self.name else load(path)
        self.commands[name] = loaded
        return name, loaded, rest


def root() -> Any:
    """The whole tree; calling a command gives what was understood."""
    app = typer.Typer(
        cls=Lazy,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=SETTINGS,
        epilog=EPILOG,
        pretty_exceptions_enable=False,
    )
    app.callback()(_top)
    return typer.main.get_command(app)


def group(name: str) -> Any:
    """One group of commands."""
    app = typer.Typer(
        name=name,
        cls=Lazy,
        help=GROUPS[name],
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=SETTINGS,
        add_completion=False,
    )
    app.callback()(_nothing)
    return typer.main.get_command(app)


def load(path: str) -> Any:
    """One command, from the table's word where its function is."""
    entry = Entry(*COMMANDS[path])
    return made(path, getattr(import_module(entry.module), entry.function))


def made(path: str, function: Callable[..., Any]) -> Any:
    """The Typer command of a function."""
    about = function.anyvirt_command  # type: ignore[attr-defined]
    app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings=SETTINGS)
    app.command(
        path.rpartition(" ")[2],
        help=inspect.cleandoc(function.__doc__ or ""),
        epilog=_epilog(about.examples, about.exits),
        hidden=about.hidden or path != about.names[0],
    )(_callback(function))
    return typer.main.get_command(app)


def _epilog(examples: tuple[str, ...], exits: str) -> str:
    shown = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples) + "\n\n" if examples else ""
    return f"{shown}{COMMON}\n\n{exits}"


def _callback(function: Callable[..., Any]) -> Callable[..., None]:
    """A function that Typer reads as ``function``, with the global options beside its own."""
    own = inspect.signature(function, eval_str=True)
    mine = [parameter for parameter in own.parameters.values() if parameter.name != "cli"]
    taken = {flag for parameter in mine for flag in _flags(parameter.annotation)}
    common = [
        parameter.replace(name=f"_{parameter.name}", annotation=_quiet(parameter.annotation, parameter.name))
        for parameter in inspect.signature(_top, eval_str=True).parameters.values()
        if parameter.name != "version" and not taken.intersection(_flags(parameter.annotation))
    ]

    def call(ctx: typer.Context, **given: Any) -> None:
        parsed = Parsed(function.__module__, function.__name__)
        parsed.options.update({k: v for k, v in ctx.find_root().params.items() if hasattr(parsed.options, k)})
        parsed.options.update({k[1:]: given.pop(k) for k in [k for k in given if k.startswith("_")]})
        parsed.arguments = given
        ctx.find_root().obj(parsed)

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    own_words = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in [*mine, *common]]
    call.__signature__ = inspect.Signature([context, *own_words])  # type: ignore[attr-defined]
    call.__annotations__ = {}
    return call


def _quiet(annotation: Any, name: str) -> Any:
    """The same option, left out of the help of commands unless it is ``--json``."""
    kind, option = annotation.__origin__, annotation.__metadata__[0]
    flags = _flags(annotation)
    return Annotated[kind, typer.Option(*flags, help=option.help, hidden=name != "json", show_default=False)]


def _flags(annotation: Any) -> tuple[str, ...]:
    option = annotation.__metadata__[0]
    declared = (option.default, *(option.param_decls or ()))
    return tuple(flag for flag in declared if isinstance(flag, str) and flag.startswith("-"))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"anyvirt {version('anyvirt')}")
        raise typer.Exit


def _top(
    connect: Annotated[
        str, typer.Option("-c", "--connect", metavar="URI", help="Connection to use.", show_default=False)
    ] = "",
    timeout: Annotated[
        str,
        typer.Option(
            "--timeout", metavar="S", help="Seconds that any call may take, or none. Default 30.", show_default=False
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.", show_default=False)] = False,
    readonly: Annotated[bool, typer.Option("-r", "--readonly", help="Refuse changes.", show_default=False)] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No notes, no progress, only results.", show_default=False)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an unexpected error came from.", show_default=False)
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True, show_default=False)
    ] = False,
) -> None:
    """Manage virtual machines on any hypervisor, with libvirt's XML, URIs and words.

    These options may stand before the command or after it.
    """


def _nothing() -> None:
    pass
