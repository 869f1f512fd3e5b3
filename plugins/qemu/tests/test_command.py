"""Commands that end a guest, or run programs, are refused before they are sent."""

from __future__ import annotations

import pytest
from anyvirt.api import Failed, Invalid
from anyvirt_qemu.qmp.command import Command, check, check_state


@pytest.mark.parametrize(
    "command",
    [
        Command("migrate", {"uri": "exec:cat > /tmp/x"}),
        Command("migrate", {"uri": " EXEC:cat"}),
        Command("migrate", {"channels": [{"channel-type": "main", "addr": {"transport": "exec", "args": ["sh"]}}]}),
        Command("migrate-incoming", {"uri": "exec:cat"}, checked=True),
        Command("migrate-incoming", {"uri": "unix:/x"}),
        Command("migrate-recover", {"uri": "exec:cat"}),
        Command("human-monitor-command", {"command-line": "migrate exec:sh"}),
        Command("human-monitor-command", {"command-line": "  migrate_incoming exec:sh"}),
        Command("human-monitor-command", {"command-line": "savevm x"}),
        Command("x-exit-preconfig"),
    ],
    ids=str,
)
def test_dangerous_commands_are_refused(command: Command) -> None:
    with pytest.raises(Invalid, match="web"):
        check(command, "web")


@pytest.mark.parametrize(
    "command",
    [
        Command("migrate", {"uri": "unix:/run/exec:"}),
        Command("migrate-incoming", {"uri": "fd:stream"}, checked=True),
        Command("human-monitor-command", {"command-line": "info usb"}),
        Command("query-status"),
    ],
    ids=str,
)
def test_harmless_commands_pass(command: Command) -> None:
    check(command, "web")


@pytest.mark.parametrize("name", ["migrate", "savevm", "snapshot-save"])
def test_a_save_while_a_state_is_loaded_is_refused(name: str) -> None:
    with pytest.raises(Failed, match="loaded"):
        check_state(Command(name), "restore-vm", "web")
    check_state(Command(name), "paused", "web")


def test_only_queries_read() -> None:
    assert Command("query-block").reads
    assert Command("qom-get").reads
    assert not Command("qom-set").reads
    assert not Command("system_reset").reads
