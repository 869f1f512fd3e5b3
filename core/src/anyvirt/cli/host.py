"""The host: ``host info``, ``host capabilities``, ``host facts``, and what virsh asks of a node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from anyvirt.cli.declare import command
from anyvirt.cli.invocation import Invocation


@command("host info", "nodeinfo", examples=("anyvirt host info", "anyvirt --json host info"))
def info(cli: Invocation) -> None:
    """Show the machine: hypervisor, processors, memory."""
    one = cli.connection.host_info()
    row: dict[str, Any] = {**asdict(one), "uri": one.uri or str(cli.connection.uri)}
    if cli.json("host-info/1", host=row):
        return
    cli.fields(
        [
            ("Hostname", one.hostname),
            ("URI", row["uri"]),
            ("Hypervisor", f"{one.hypervisor} {one.hypervisor_version}".strip()),
            ("Driver", one.driver_version or None),
            ("CPU model", one.arch or None),
            ("CPU(s)", one.cpus),
            ("CPU frequency", None if one.mhz is None else f"{one.mhz} MHz"),
            ("CPU socket(s)", one.sockets),
            ("Core(s) per socket", one.cores),
            ("Thread(s) per core", one.threads),
            ("NUMA cell(s)", one.nodes),
            ("Memory size", None if one.memory is None else f"{one.memory // 1024} KiB"),
        ]
    )


@command("host facts", examples=("anyvirt host facts",))
def facts(cli: Invocation) -> None:
    """Show what was found out about the host, and why it is so.

    Which accelerator guests get, which limits there are, which tools are missing.
    """
    rows = [asdict(fact) for fact in cli.connection.facts()]
    if not cli.json("host-facts/1", facts=rows):
        cli.table(("Fact", "Value", "Reason"), [(row["name"], row["value"], row["reason"]) for row in rows])


@command("host capabilities", "capabilities", examples=("anyvirt host capabilities",))
def capabilities(cli: Invocation) -> None:
    """Print what it can do, as libvirt's <capabilities>."""
    text = cli.connection.capabilities().text
    if not cli.json("host-capabilities/1", xml=text):
        cli.document(text)


@command("hostname", hidden=True)
def hostname(cli: Invocation) -> None:
    """Print the name of the host."""
    name = cli.connection.host_info().hostname
    if not cli.json("hostname/1", hostname=name):
        cli.line(name)


@command("uri", hidden=True)
def uri(cli: Invocation) -> None:
    """Print the connection's URI."""
    text = str(cli.connection.uri)
    if not cli.json("uri/1", uri=text):
        cli.line(text)


@command("version", hidden=True)
def version(cli: Invocation) -> None:
    """Print the versions of anyvirt, of the driver and of the hypervisor."""
    from importlib.metadata import version as installed

    driver, host = cli.connection.session.driver, cli.connection.host_info()
    mine = installed("anyvirt")
    row = {
        "anyvirt": mine,
        "driver": f"{driver.distribution} {driver.version}",
        "hypervisor": f"{host.hypervisor} {host.hypervisor_version}".strip(),
    }
    if cli.json("version/1", **row):
        return
    cli.line(f"Using library: anyvirt {mine}")
    cli.line(f"Using API: {row['driver']}")
    cli.line(f"Running hypervisor: {row['hypervisor']}")
