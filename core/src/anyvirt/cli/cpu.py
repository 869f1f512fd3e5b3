"""CPU models: ``cpu models``, ``cpu baseline``, ``cpu compare``, and what guests of a machine type can have."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

from anyvirt.cli.declare import arg, command, opt, shown_form
from anyvirt.cli.invocation import Invocation

if TYPE_CHECKING:
    from anyvirt.model.cpu import CpuSpec

SHOWN: Final = 4  # of the features that a model lacks; --json has them all
_FILES = "Files with a CPU: <cpu>, a domain, or what host capabilities or domcapabilities print; - reads the input."
_EMULATOR = "Path of the program that runs the guests."
_ARCH = "Architecture of the guests; the host's without it."
_MACHINE = "Machine type; the default one without it."
_VIRTTYPE = "Type of the domain, such as kvm or qemu; the best that works here without it."


@command(
    "host domcapabilities",
    "domcapabilities",
    examples=(
        "anyvirt host domcapabilities --machine q35",
        "anyvirt host domcapabilities --virttype qemu --format yaml",
    ),
)
def domcapabilities(
    cli: Invocation,
    virttype: Annotated[str, opt("--virttype", help=_VIRTTYPE, metavar="TYPE")] = "",
    emulator: Annotated[str, opt("--emulatorbin", help=_EMULATOR, metavar="PATH")] = "",
    arch: Annotated[str, opt("--arch", help=_ARCH, metavar="ARCH")] = "",
    machine: Annotated[str, opt("--machine", help=_MACHINE, metavar="TYPE")] = "",
    format: Annotated[str, shown_form()] = "xml",  # noqa: A002 - its name
) -> None:
    """Print what guests can have, as <domainCapabilities>.

    Firmware, CPU models with what they lack here, devices and their models, features. Every value
    was found out from the hypervisor at hand.
    """
    from anyvirt.cli.source import show

    found = cli.connection.domain_capabilities(**_which(emulator, arch, machine, virttype))
    show(cli, "host-domcapabilities/1", format, found)


@command("cpu models", "cpu-models", examples=("anyvirt cpu models", "anyvirt cpu models x86_64 --virttype qemu"))
def models(
    cli: Invocation,
    arch: Annotated[str, arg(_ARCH, "[ARCH]")] = "",
    virttype: Annotated[str, opt("--virttype", help=_VIRTTYPE, metavar="TYPE")] = "",
    emulator: Annotated[str, opt("--emulatorbin", help=_EMULATOR, metavar="PATH")] = "",
) -> None:
    """List CPU models, and what keeps those that do not run here from it."""
    from anyvirt.model.domaincaps import CustomMode

    found = cli.connection.domain_capabilities(**_which(emulator, arch, "", virttype)).model
    rows: list[dict[str, Any]] = []
    for mode in found.cpu_modes:
        if isinstance(mode, CustomMode):
            lacks = {one.model: [x.name for x in one.features] for one in mode.blockers}
            rows += [
                {
                    "name": one.name,
                    "usable": one.usable,
                    "vendor": one.vendor,
                    "deprecated": one.deprecated,
                    "missing": lacks.get(one.name, []),
                }
                for one in mode.models
            ]
    if cli.json("cpu-models/1", models=rows):
        return
    heads = ("Model", "Usable", "Vendor", "Missing")
    cli.table(heads, [(row["name"], row["usable"], row["vendor"], _some(row["missing"])) for row in rows])


@command(
    "cpu baseline",
    "cpu-baseline",
    "hypervisor-cpu-baseline",
    examples=("anyvirt cpu baseline host1.xml host2.xml", "anyvirt cpu baseline --migratable hosts/*.xml"),
)
def baseline(
    cli: Invocation,
    files: Annotated[list[str], arg(_FILES, "FILE...")],
    expand: Annotated[bool, opt("--features", help="Name the features of the model, too.")] = False,
    migratable: Annotated[bool, opt("--migratable", help="Leave out what keeps a guest where it is.")] = False,
    virttype: Annotated[str, opt("--virttype", help=_VIRTTYPE, metavar="TYPE")] = "",
    emulator: Annotated[str, opt("--emulator", help=_EMULATOR, metavar="PATH")] = "",
    arch: Annotated[str, opt("--arch", help=_ARCH, metavar="ARCH")] = "",
    machine: Annotated[str, opt("--machine", help=_MACHINE, metavar="TYPE")] = "",
) -> None:
    """Print the CPU that a guest can have wherever one of the CPUs in these files is.

    Each of them has all that it has, so a guest with it can move between their hosts.
    """
    cpus = [cpu for name in files for cpu in _cpus(name)]
    which = _which(emulator, arch, machine, virttype)
    found = cli.connection.cpu_baseline(cpus, expand=expand, migratable=migratable, keep_unknown=True, **which)
    if not cli.json("cpu-baseline/1", xml=found.text):
        cli.document(found.text)


@command(
    "cpu compare",
    "cpu-compare",
    "hypervisor-cpu-compare",
    examples=("anyvirt cpu compare cpu.xml", "anyvirt cpu compare web.xml && anyvirt start web"),
    exits="Exit status: 0 a guest with it can run here; 1 it cannot, or error[CODE] on stderr; 2 wrong usage.",
)
def compare(
    cli: Invocation,
    file: Annotated[str, arg("File with a CPU: <cpu>, a domain, or capabilities; - reads what is piped in.", "FILE")],
    error: Annotated[
        bool, opt("--error", help="An incompatible CPU is an error, as virsh has it.", hidden=True)
    ] = False,
    virttype: Annotated[str, opt("--virttype", help=_VIRTTYPE, metavar="TYPE")] = "",
    emulator: Annotated[str, opt("--emulator", help=_EMULATOR, metavar="PATH")] = "",
    arch: Annotated[str, opt("--arch", help=_ARCH, metavar="ARCH")] = "",
    machine: Annotated[str, opt("--machine", help=_MACHINE, metavar="TYPE")] = "",
) -> None:
    """Tell whether a guest with the CPU in a file can run here: identical, superset or incompatible.

    Superset means that the host has all of it and more.
    """
    (cpu,) = _cpus(file)
    found = cli.connection.cpu_compare(cpu, keep_unknown=True, **_which(emulator, arch, machine, virttype))
    cli.failed = cli.failed or bool(found.reason)
    if cli.json("cpu-compare/1", file=file, **asdict(found)):
        return
    cli.line(f"{file}: {found.match}{f': {found.reason}' if found.reason else ''}")
    if error and found.reason:
        from anyvirt.errors import Invalid

        raise Invalid(f"the CPU in {file} is incompatible: {found.reason}")


def _some(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - SHOWN
    return " ".join([*names[:SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _which(emulator: str, arch: str, machine: str, virttype: str) -> dict[str, Any]:
    wanted = {"emulator": emulator, "arch": arch, "machine": machine, "virttype": virttype}
    return {name: value for name, value in wanted.items() if value}


def _cpus(name: str) -> tuple[CpuSpec, ...]:
    from anyvirt.cli.source import read
    from anyvirt.model.cpu_sets import cpus_of
    from anyvirt.model.written import model_of

    return cpus_of(model_of(read(name), ""))
