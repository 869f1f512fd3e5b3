"""``drivers``: plug-ins that are fine, broken, or ahead of this anyvirt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from anyvirt.cli.drivers import row
from anyvirt.discovery import DRIVERS, SERVICES, Plugin

SOURCE = """
from __future__ import annotations
from anyvirt.api import impl

class Acme:
    @impl
    def domain_list(self): ...
    @impl
    def {hook}(self): ...
    def no_hook(self): ...

class Bystander:
    @impl
    def pool_list(self): ...

@impl
def {opener}(uri, host){gives}:
    return Acme()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(source: str, group: str = DRIVERS) -> Plugin:
        name = f"acme_{len(made)}"
        made.append(name)
        (tmp_path / f"{name}.py").write_text(source)
        return Plugin(group, "acme", name, "anyvirt-acme", "2.0")

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_hooks_are_those_of_what_the_opener_gives(plugin: Any) -> None:
    found = row(plugin(SOURCE.format(hook="domain_state", opener="connect_open", gives=" -> Acme")))
    assert (found["hooks"], found["unknown"], found["error"]) == (["domain_list", "domain_state"], [], "")
    assert (found["name"], found["kind"], found["version"]) == ("acme", "driver", "2.0")


def test_without_a_return_type_every_marked_class_counts(plugin: Any) -> None:
    found = row(plugin(SOURCE.format(hook="domain_state", opener="service_open", gives=""), SERVICES))
    assert found["hooks"] == ["domain_list", "domain_state", "pool_list"]
    assert found["kind"] == "service"


def test_a_hook_that_is_not_known_says_what_it_needs(plugin: Any) -> None:
    found = row(plugin(SOURCE.format(hook="domain_teleport", opener="connect_open", gives=" -> Acme")))
    assert found["hooks"] == ["domain_list"]
    assert found["unknown"] == ["domain_teleport"]
    assert found["needs"].startswith("anyvirt >= ")


def test_a_plugin_that_cannot_be_imported_is_shown_with_the_reason(plugin: Any) -> None:
    found = row(plugin("import no_such_vendor_library\n"))
    assert found["hooks"] == []
    assert "No module named 'no_such_vendor_library'" in found["error"]
