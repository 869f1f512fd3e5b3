from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Settings
from anyvirt.api import open as opened
from anyvirt.discovery import DRIVERS, KEPT, KEPT_SECONDS, SERVICES, WRAPPERS, driver, one, plugins
from anyvirt.errors import BadDriver, Interrupted, Invalid, Unsupported
from anyvirt.opening import default_uri

Install = Callable[..., None]
DRIVER = """
from anyvirt.api import impl, Ref
class Driver:
    services = {services!r}
    @impl
    def domain_list(self):
        return iter([Ref("domain", "1", name={name!r})])
@impl
def connect_open(uri, host):
    return Driver()
"""

SERVICE = """
from anyvirt.api import impl, Ref
class Service:
    @impl
    def pool_list(self):
        return iter([Ref("pool", {name!r}, name={name!r})])
def service_open(uri, host):
    return Service()
"""
MISFIT = """
from anyvirt.api import impl
class Driver:
    @impl
    def domain_list(self, x=1): ...
def connect_open(uri, host):
    return Driver()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution on the path, as an installer would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(
        name: str, entry: str, module: str, code: str, *, group: str = DRIVERS, version: str = "1.0", file: str = ""
    ) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry} = {module}\n")
        (site / f"{file or module}.py").write_text(code)

    return put


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, cache_home=tmp_path / "cache")


def test_an_installed_driver_is_found_and_only_it_is_imported(install: Install, settings: Settings) -> None:
    install("anyvirt-first", "first", "first_driver_module", DRIVER.format(name="web", services=()))
    install("anyvirt-second", "second", "second_driver_module", "raise SystemError('never imported')")
    found = driver("first", settings)
    assert (found.distribution, found.version) == ("anyvirt-first", "1.0")
    with opened("first:///") as connection:
        assert [domain.name for domain in connection.domain_list()] == ["web"]
    assert "second_driver_module" not in sys.modules


def test_two_distributions_of_one_scheme_are_an_error_that_names_both(install: Install, settings: Settings) -> None:
    install("anyvirt-one", "twice", "twice_one", "")
    install("other-driver", "twice", "twice_two", "", version="2.0")
    with pytest.raises(BadDriver) as clash:
        driver("twice", settings)
    assert clash.value.code == "driver.clash"
    assert "anyvirt-one 1.0" in str(clash.value)
    assert "other-driver 2.0" in str(clash.value)
    chosen = one(DRIVERS, "twice", settings, distribution="Other_Driver")
    assert chosen is not None
    assert chosen.value == "twice_two"


def test_a_service_of_two_distributions_is_chosen_in_the_uri(install: Install) -> None:
    install("anyvirt-with", "with", "with_driver", DRIVER.format(name="web", services=("shelf",)))
    install("dist-one", "shelf", "shelf_one", SERVICE.format(name="one"), group=SERVICES)
    install("dist-two", "shelf", "shelf_two", SERVICE.format(name="two"), group=SERVICES)
    with pytest.raises(BadDriver) as clash:
        opened("with:///")
    assert clash.value.code == "driver.clash"
    with opened("with:///?service.shelf=dist-two") as connection:
        assert [pool.name for pool in connection.pool_list()] == ["two"]


def test_a_missing_service_is_no_error_at_opening(install: Install) -> None:
    install("anyvirt-without", "without", "without_driver", DRIVER.format(name="web", services=("nowhere",)))
    with opened("without:///") as connection:
        assert len(connection.domain_list()) == 1
        with pytest.raises(Unsupported):
            connection.pool_list()


def test_a_broken_import_is_that_plug_ins_fault_alone(install: Install, settings: Settings) -> None:
    install("anyvirt-broken", "broken", "broken_driver", "import no_such_library_anywhere", version="3.1")
    install("anyvirt-whole", "whole", "whole_driver", DRIVER.format(name="web", services=()))
    with pytest.raises(BadDriver, match=r"anyvirt-broken 3.1: .*no_such_library_anywhere") as bad:
        opened("broken:///")
    assert isinstance(bad.value.__cause__, ImportError)
    assert {plugin.name for plugin in plugins(DRIVERS, settings)} >= {"broken", "whole"}
    with opened("whole:///") as connection:
        assert len(connection.domain_list()) == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1", "has no connect_open"),
        ("def connect_open(uri, host, more): ...", "its parameters are uri and host"),
        ("def connect_open(uri, host): raise KeyError('native')", "connect_open raised KeyError"),
        (MISFIT, "does not fit"),
    ],
    ids=["none", "signature", "raises", "hook"],
)
def test_what_is_no_driver_is_said_to_be_none(install: Install, code: str, said: str, request: Any) -> None:
    scheme = request.node.callspec.id
    install("anyvirt-odd", scheme, f"odd_driver_{scheme}", code)
    with pytest.raises(BadDriver, match=said):
        opened(f"{scheme}:///")


def test_what_was_opened_is_closed_when_the_opening_fails(install: Install, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    code = (
        "from anyvirt.api import impl\nclass D:\n    services = ('failing',)\n    @impl\n"
        f"    def connect_close(self): open({str(closed)!r}, 'w').close()\n"
        "def connect_open(uri, host): return D()\n"
    )
    install("anyvirt-opened", "opened", "opened_driver", code)
    install("dist-failing", "failing", "failing_service", "def service_open(uri, host): raise OSError", group=SERVICES)
    with pytest.raises(BadDriver, match="service_open raised OSError"):
        opened("opened:///")
    assert closed.exists()


def test_a_scheme_that_nobody_serves_says_what_to_install(settings: Settings) -> None:
    with pytest.raises(Unsupported) as lacking:
        driver("nosuch", settings)
    assert lacking.value.code == "connect.no-driver"
    assert "pip install anyvirt-nosuch" in lacking.value.hint
    assert "test" in lacking.value.hint
    with pytest.raises(Invalid):
        opened("not a uri")


def test_a_scheme_that_is_misspelt_is_answered_with_the_nearest(settings: Settings) -> None:
    with pytest.raises(Unsupported) as lacking:
        driver("tset", settings)
    assert lacking.value.hint.startswith("did you mean test:///?; installed: ")


def test_the_default_is_the_environments_or_what_is_installed(settings: Settings) -> None:
    assert default_uri(Settings(uri="test:///mine")) == "test:///mine"
    found = default_uri(settings)
    assert found.partition(":")[0] in {"qemu", "test"}


# -- the list of plug-ins is kept between commands ---------------------------------------------


def test_the_list_is_read_again_when_the_path_changed(install: Install, settings: Settings) -> None:
    before = {plugin.name for plugin in plugins(DRIVERS, settings)}
    (kept,) = settings.user_cache_dir.glob("plugins-*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    install("anyvirt-later", "later", "later_driver", "")
    assert {plugin.name for plugin in plugins(DRIVERS, settings)} == {*before, "later"}


def test_a_kept_list_is_used_and_one_that_is_damaged_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = [entry for entry in sys.path if "site-packages" in entry]  # a checkout changes while it is worked on
    monkeypatch.setattr(sys, "path", steady)
    plugins(DRIVERS, settings)
    (kept,) = settings.user_cache_dir.glob("plugins-*.json")
    stamp, rows = json.loads(kept.read_text())
    rows.append({"group": DRIVERS, "name": "kept", "value": "x", "distribution": "d", "version": "1"})
    kept.write_text(json.dumps([stamp, rows]))
    assert "kept" in {plugin.name for plugin in plugins(DRIVERS, settings)}
    for damaged in ("{", '[[], [{"group": 1}]]', "[7]", "", json.dumps([stamp, [{"group": 1}]])):
        kept.write_text(damaged)
        assert "test" in {plugin.name for plugin in plugins(DRIVERS, settings)}


def test_lists_of_environments_that_are_used_no_more_are_removed(settings: Settings) -> None:
    folder = settings.user_cache_dir
    folder.mkdir(parents=True)
    now = time.time()
    ages = {f"plugins-{number:08x}.json": number * 3600.0 for number in range(1, 20)}
    ages |= {"plugins-0000aaaa.json": KEPT_SECONDS + 60, "plugins-0000bbbb.77": KEPT_SECONDS + 60}
    for name, age in {**ages, "capabilities.json": 2 * KEPT_SECONDS}.items():
        (folder / name).touch()
        os.utime(folder / name, (now - age, now - age))
    plugins(DRIVERS, settings)
    left = {one.name for one in folder.iterdir()}
    assert left >= {"capabilities.json", *(f"plugins-{number:08x}.json" for number in range(1, KEPT))}
    assert len(left) == KEPT + 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a file to somebody else")
def test_a_list_that_somebody_else_wrote_is_not_believed(settings: Settings) -> None:
    plugins(DRIVERS, settings)
    (kept,) = settings.user_cache_dir.glob("plugins-*.json")
    stamp, _ = json.loads(kept.read_text())
    kept.write_text(json.dumps([stamp, []]))
    os.chown(kept, 12345, 12345)
    assert "test" in {plugin.name for plugin in plugins(DRIVERS, settings)}


def test_looking_for_plug_ins_imports_none_of_them() -> None:
    code = (
        "import sys\nfrom anyvirt.discovery import plugins\nplugins('anyvirt.drivers')\n"
        "print([name for name in sys.modules if name.startswith(('anyvirt_', 'lxml', 'pluggy'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


CLOSING = """
import time
from pathlib import Path
class Run:
    def close(self): Path({closed!r}).touch()
class Driver:
    @impl
    def connect_close(self): Path({closed!r} + "-driver").touch()
def connect_open(uri, host):
    host.given["run"] = Run()
    assert host.run
    {then}
    return Driver()
"""


def test_what_the_host_began_is_ended_when_the_driver_cannot_open(install: Install, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    code = "from anyvirt.api import impl\n" + CLOSING.format(closed=str(closed), then="raise OSError('no')")
    install("anyvirt-lets", "lets", "lets_driver", code)
    with pytest.raises(BadDriver, match="connect_open raised OSError: no"):
        opened("lets:///")
    assert closed.exists()


def test_what_opens_too_late_is_closed_again(install: Install, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    code = "from anyvirt.api import impl\n" + CLOSING.format(closed=str(closed), then="time.sleep(0.4)")
    install("anyvirt-late", "late", "late_driver", code)
    with pytest.raises(Interrupted):
        opened("late:///", timeout=0.1)
    end = time.monotonic() + 5
    while not (tmp_path / "closed-driver").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert (tmp_path / "closed-driver").exists()


def test_a_service_that_the_uri_names_and_nobody_has_is_an_error(install: Install) -> None:
    install("anyvirt-asks", "asks", "asks_driver", DRIVER.format(name="web", services=("shelf",)))
    with pytest.raises(Unsupported, match="dist-none") as lacking:
        opened("asks:///?service.shelf=dist-none")
    assert "pip install dist-none" in lacking.value.hint


def test_a_wrapper_can_be_named(install: Install) -> None:
    install("anyvirt-named", "named", "named_driver", DRIVER.format(name="web", services=()))
    code = "seen = []\ndef around(call, proceed):\n    seen.append(call.hook)\n    return proceed()\n"
    install("dist-audit", "audit", "dist_audit:around", code, group=WRAPPERS, file="dist_audit")
    with opened("named:///", wrappers=("audit",)) as connection:
        connection.domain_list()
    assert sys.modules["dist_audit"].seen == ["domain_list"]
    with pytest.raises(Unsupported, match="the wrapper 'nosuch'") as lacking:
        opened("named:///", wrappers=("nosuch",))
    assert "audit" in lacking.value.hint


def test_a_pickled_connection_keeps_what_it_was_opened_with(install: Install, tmp_path: Path) -> None:
    install("anyvirt-kept", "kept", "kept_driver", DRIVER.format(name="web", services=()))
    with opened("kept:///", readonly=True, timeout=7.0, state_dir=tmp_path) as connection:
        again = pickle.loads(pickle.dumps(connection))
    with again:
        assert (again.session.readonly, again.session.timeout) == (True, 7.0)
        assert again.session.host.state_dir == tmp_path
