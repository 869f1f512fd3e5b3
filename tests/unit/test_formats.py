"""Conversions between formats: those of core, and those that plug-ins bring."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.errors import BadDriver, Interrupted, Invalid, Unsupported
from anyvirt.formats import Format, convert, converted, formats

Install = Callable[..., None]
XML = b"<domain type='test'><name>web</name><memory unit='MiB'>64</memory></domain>"
SHORT = """
from anyvirt.api import Document, Domain, Invalid, impl

@impl
def config_import(data):
    name, _, size = data.decode().strip().partition(" ")
    if not size.isdigit():
        raise Invalid("line 1: no size")
    return Document.of(Domain(name=name, type="test", memory=int(size) << 20))

@impl
def config_export(config):
    return f"{config.model.name} {config.model.memory >> 20}\\n".encode()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with a format on the path, as an installer would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(name: str, module: str, code: str) -> None:
        info = site / f"anyvirt_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: anyvirt-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[anyvirt.formats]\n{name} = {module}\n")
        (site / f"{module}.py").write_text(code)

    return put


def test_the_list_of_formats_needs_no_import(install: Install) -> None:
    install("short", "short_unread", "raise SystemError('never imported')")
    found = formats()
    assert found[:3] == tuple(Format(name, "anyvirt") for name in ("domain", "json", "yaml"))
    assert Format("short", "anyvirt-short", "1.0") in found
    assert [one.name for one in found[3:]] == sorted(one.name for one in found[3:])
    assert "short_unread" not in sys.modules


def test_a_format_of_a_plug_in_is_read_and_written(install: Install) -> None:
    install("short", "short_format", SHORT)
    assert b"<memory unit='KiB'>65536</memory>" in convert(b"web 64\n", "short")
    assert convert(XML, "", "short") == b"web 64\n"
    assert convert(convert(b"web 64\n", "short", "yaml"), "yaml", "short") == b"web 64\n"
    with pytest.raises(Invalid, match="no size"):
        convert(b"web", "short")


def test_a_format_that_nobody_brings_is_refused_with_those_there_are_and_what_brings_it() -> None:
    with pytest.raises(Unsupported, match="the format 'xen-xl'") as refusal:
        convert(b"", "xen-xl")
    assert refusal.value.hint.startswith("pip install anyvirt-xen; there are domain, json, yaml")
    with pytest.raises(Unsupported) as refusal:
        convert(XML, "domain", "punch-card")
    assert refusal.value.hint.startswith("there are domain, json, yaml")


NOTED = """
from anyvirt.api import Document, Domain, Unsupported, impl

@impl
def config_import(data):
    return Document(model=Domain(name="a", type="test"), notes=["the colour is left out"])

@impl
def config_export(config, pretty):
    return b"pretty" if pretty else b"plain"
"""


def test_what_a_reader_notes_is_told_and_a_format_may_have_a_way_for_people(install: Install) -> None:
    install("noted", "noted_format", NOTED)
    found = converted(b"", "noted", "domain")
    assert found.notes == ("the colour is left out",)
    assert converted(b"", "noted", "noted", pretty=True).data == b"pretty"
    assert convert(XML, "", "noted") == b"plain"
    install("short", "plain_format", SHORT)
    with pytest.raises(Unsupported, match="pretty"):
        converted(XML, "", "short", pretty=True)


def test_a_format_that_can_only_be_read_says_so(install: Install) -> None:
    install("oneway", "oneway_format", SHORT.partition("@impl\ndef config_export")[0])
    assert b"<name>web</name>" in convert(b"web 64", "oneway")
    with pytest.raises(Unsupported) as refusal:
        convert(XML, "", "oneway")
    assert refusal.value.hint == "oneway can only be read, not written"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def config_import(data): return 1 / 0", "raised ZeroDivisionError"),
        ("def config_import(data): return '<domain/>'", "gave str"),
        ("def config_import(data, x): ...", "takes one parameter, data"),
        ("config_import = 7", "takes one parameter, data"),
    ],
)
def test_a_plug_in_that_breaks_is_told_by_name(install: Install, code: str, said: str) -> None:
    module = f"broken_{abs(hash(code))}"
    install("broken", module, code)
    with pytest.raises(BadDriver, match=said) as fault:
        convert(b"", "broken")
    assert "anyvirt-broken" in str(fault.value)


def test_a_plug_in_that_hangs_is_left_at_the_deadline(install: Install) -> None:
    install("slow", "slow_format", "import time\ndef config_import(data): time.sleep(5)")
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        convert(b"", "slow", timeout=0.2)
    assert time.monotonic() - begun < 3
