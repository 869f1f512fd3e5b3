"""Every command as Typer has it, written by tools/gen_cli_index.py: do not edit.

A row is an ``Entry`` of ``anyvirt.cli.parse``, its parameters are rows of ``Param``.
"""

from __future__ import annotations

from typing import Any, Final

# ruff: noqa: E501
# fmt: off
COMMANDS: Final[dict[str, tuple[Any, ...]]] = {
    "list": ("anyvirt.cli.listing", "list_domains", "List domains.", False, (("everything", ("--all",), "bool", False, False, False), ("inactive", ("--inactive",), "bool", False, False, False), ("running", ("--state-running",), "bool", False, False, False), ("paused", ("--state-paused",), "bool", False, False, False), ("shutoff", ("--state-shutoff",), "bool", False, False, False), ("other", ("--state-other",), "bool", False, False, False), ("persistent", ("--persistent",), "bool", False, False, False), ("transient", ("--transient",), "bool", False, False, False), ("autostart", ("--autostart",), "bool", False, False, False), ("no_autostart", ("--no-autostart",), "bool", False, False, False), ("saved", ("--with-managed-save",), "bool", False, False, False), ("unsaved", ("--without-managed-save",), "bool", False, False, False), ("title", ("--title",), "bool", False, False, False), ("table", ("--table",), "bool", False, False, False), ("name", ("--name",), "bool", False, False, False), ("uuid", ("--uuid",), "bool", False, False, False), ("number", ("--id",), "bool", False, False, False))),
    "start": ("anyvirt.cli.lifecycle", "start", "Boot defined domains.", False, (("domains", (), "str", True, True, ()), ("paused", ("--paused",), "bool", False, False, False))),
    "shutdown": ("anyvirt.cli.lifecycle", "shutdown", "Ask guests to power themselves off.", False, (("domains", (), "str", True, True, ()), ("mode", ("--mode",), "str", False, False, ""))),
    "reboot": ("anyvirt.cli.lifecycle", "reboot", "Ask guests to shut down and come up again.", False, (("domains", (), "str", True, True, ()), ("mode", ("--mode",), "str", False, False, ""))),
    "reset": ("anyvirt.cli.lifecycle", "reset", "Press the reset button of domains.", False, (("domains", (), "str", True, True, ()),)),
    "destroy": ("anyvirt.cli.lifecycle", "destroy", "Pull the plug of domains.", False, (("domains", (), "str", True, True, ()), ("graceful", ("--graceful",), "bool", False, False, False))),
    "suspend": ("anyvirt.cli.lifecycle", "suspend", "Stop the processors of domains; memory stays.", False, (("domains", (), "str", True, True, ()),)),
    "resume": ("anyvirt.cli.lifecycle", "resume", "Let the processors of paused domains go on.", False, (("domains", (), "str", True, True, ()),)),
    "info": ("anyvirt.cli.listing", "info", "Show the basic facts of a domain.", False, (("domain", (), "str", False, True, None),)),
    "dominfo": ("anyvirt.cli.listing", "info", "Show the basic facts of a domain.", True, (("domain", (), "str", False, True, None),)),
    "state": ("anyvirt.cli.listing", "state", "Say what a domain does: running, paused, shut off, crashed ...", False, (("domains", (), "str", True, True, ()), ("reason", ("--reason",), "bool", False, False, False))),
    "domstate": ("anyvirt.cli.listing", "state", "Say what a domain does: running, paused, shut off, crashed ...", True, (("domains", (), "str", True, True, ()), ("reason", ("--reason",), "bool", False, False, False))),
}
