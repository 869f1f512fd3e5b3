"""One QMP command as a value, and the ones that are refused because they kill a guest or more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anyvirt.api import Failed, Invalid

READS: Final = ("query-", "qom-get", "qom-list", "device-list-properties")
SAVES: Final = frozenset({"migrate", "savevm", "snapshot-save", "snapshot-load", "xen-save-devices-state"})
# QEMU's own shell under QMP takes these and their abbreviations past every check made here
SHELL_REFUSED: Final = re.compile(
    r"\s*(mig|savevm|loadvm|snapshot_|exec|x_colo|chardev-|drive_|object_)", re.IGNORECASE
)
RESTORING: Final = frozenset({"restore-vm", "inmigrate"})


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a monitor.

    :param fds: descriptors that travel with it (``getfd``, ``add-fd``).
    :param checked: the caller vouches for a migration stream that is about to be read: a bad one ends QEMU.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fds: tuple[int, ...] = ()
    checked: bool = False

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.name.startswith(READS)

    @property
    def saves(self) -> bool:
        """Whether it aborts a QEMU that is still loading a saved state."""
        return self.name in SAVES


def check(command: Command, guest: str) -> None:
    """Refuse what is known to end QEMU outright or to run programs as its user.

    :raises Invalid: with the reason.
    """
    name, arguments = command.name, command.arguments
    if name in {"migrate", "migrate-incoming", "migrate-recover"}:
        if "exec" in _transports(arguments):
            raise Invalid(
                f"{guest}: {name} with exec: runs a program as QEMU's user, or ends a QEMU that may not start any"
            )
        if name == "migrate-incoming" and not command.checked:
            raise Invalid(f"{guest}: {name} of a stream that nobody checked: a bad one ends QEMU")
    elif name == "human-monitor-command":
        if SHELL_REFUSED.match(str(arguments.get("command-line", ""))):
            raise Invalid(f"{guest}: this command of QEMU's own shell is refused", hint="use its QMP form")
    elif name == "x-exit-preconfig":
        raise Invalid(f"{guest}: {name} is refused: no guest is started that way")


def check_state(command: Command, status: str, guest: str) -> None:
    """Refuse a save while QEMU itself still loads: it would abort.

    :raises Failed: it does.
    """
    if command.saves and status in RESTORING:
        raise Failed(
            f"{guest}: {command.name} while its state is still being loaded would end QEMU", native={"status": status}
        )


def _transports(arguments: Mapping[str, Any]) -> set[str]:
    """The transports named by a URI or by a list of channels."""
    found = {str(arguments.get("uri", "")).partition(":")[0].strip().lower()}
    channels = arguments.get("channels", ())
    for channel in channels if isinstance(channels, list | tuple) else ():
        address = channel.get("addr", {}) if isinstance(channel, Mapping) else {}
        if isinstance(address, Mapping):
            found.add(str(address.get("transport", "")).lower())
    return found
