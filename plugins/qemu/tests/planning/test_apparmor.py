"""A profile names what a plan names, whatever is in its names; and guests are in one where somebody asks for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from anyvirt_qemu.hosting import confined
from anyvirt_qemu.planning import apparmor
from anyvirt_qemu.planning.plan import Account, Plan, ProfileUse, Serving

Planned = Callable[..., Plan]
Guest = Callable[..., str]
NAME = "anyvirt-1"
DISK = "<disk type='file'><source file='{}'/><target dev='{}'/>{}</disk>"
LABEL = "<seclabel type='{}' model='apparmor'>{}</seclabel>"
HOSTILE = "/srv/a&quot; rw,\n}} profile b {{ /** rwk, #@{{HOME}} *?[a-z]^\\é"


def labelled(text: str, label: str) -> str:
    return text.replace("</domain>", f"{label}</domain>")


def rules(plan: Plan) -> dict[str, str]:
    text = apparmor.profile(NAME, plan, real=lambda path: path)
    rows = [line.strip().removesuffix(",").rpartition(" ") for line in text.splitlines() if line.startswith('  "')]
    return {pattern.strip('"'): rights for pattern, _, rights in rows}


def test_a_profile_has_each_file_with_what_is_done_to_it(planned: Planned, guest: Guest) -> None:
    devices = DISK.format("/data.img", "vda", "") + DISK.format("/cd.iso", "vdb", "<readonly/>")
    devices += "<filesystem type='mount'><source dir='/share'/><target dir='x'/><readonly/></filesystem>"
    devices += "<serial type='unix'><source mode='bind' path='/run/s.sock'/></serial>"
    text = labelled(guest(devices), LABEL.format("dynamic", "")).replace("</os>", "<kernel>/vmlinuz</kernel></os>")
    found = rules(planned(text))
    assert found["/data.img"] == "rwk"
    assert found["/cd.iso"] == found["/vmlinuz"] == "rk"
    assert found["/share/{,**}"] == "r"
    assert found["/run/s.sock"] == "rw"
    assert found["/run/q/{,**}"] == "rwk"
    assert found["/usr/bin/qemu-system-x86_64"] == "rix"
    assert "/etc/shadow" not in apparmor.profile(NAME, planned(text))


def test_only_root_has_capabilities_there(planned: Planned, guest: Guest) -> None:
    text = labelled(guest(), LABEL.format("dynamic", ""))
    assert "capability dac_override" in apparmor.profile(NAME, planned(text))
    assert "capability" not in apparmor.profile(NAME, planned(text, account=Account(1, 1, (1,), "a")))


def test_no_path_is_more_than_a_path(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    hostile = HOSTILE.replace("{{", "{").replace("}}", "}").replace("\n", "&#10;")
    text = labelled(guest(DISK.format(hostile, "vda", "")), LABEL.format("dynamic", ""))
    profile = apparmor.profile(NAME, planned(text), real=lambda path: path)
    (line,) = [line for line in profile.splitlines() if "/srv/a" in line]
    assert line == (r'  "/srv/a\" rw\,\012\} profile b \{ /\*\* rwk\, #\@\{HOME\} \*\?\[a-z\]\^?\303\251" rwk,')
    assert profile.count("profile ") == 2
    if shutil.which("apparmor_parser") is None:
        pytest.skip("apparmor_parser is not installed")
    file = tmp_path / "profile"
    file.write_text(profile)
    argv = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", str(file)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == f"{NAME}\n"


@pytest.mark.parametrize(
    ("label", "always", "use"),
    [
        ("", False, None),
        ("", True, "anyvirt-{}"),
        ("<seclabel type='none'/>", True, None),
        (LABEL.format("none", ""), True, None),
        (LABEL.format("dynamic", ""), False, "anyvirt-{}"),
        (LABEL.format("static", "<label>my-own</label>"), False, "my-own"),
    ],
)
def test_a_guest_is_confined_where_its_label_or_the_settings_ask_for_it(
    planned: Planned, guest: Guest, label: str, always: bool, use: str | None
) -> None:
    plan = planned(labelled(guest(), label), serving=Serving(apparmor=always))
    wanted = use and ProfileUse(use.format(plan.domain.uuid), made="{}" in use)
    assert plan.profile == wanted
    shown = [one.label for one in plan.domain.seclabels if one.model == "apparmor" and one.type != "none"]
    assert shown == ([plan.profile.name] if plan.profile is not None else [])


def test_what_the_host_lacks_for_it_is_told_by_path(tmp_path: Path) -> None:
    settings = SimpleNamespace(child_env={"PATH": str(tmp_path)})
    site: Any = SimpleNamespace(host=SimpleNamespace(settings=settings))
    plan: Any = SimpleNamespace(profile=ProfileUse("other", made=False))
    (problem,) = confined.blockers(site, plan, tmp_path / "none")
    assert (problem.path, problem.text) == ("/seclabel[apparmor]", "this host has no apparmor")
    assert list(confined.blockers(site, SimpleNamespace(profile=None), tmp_path / "none")) == []  # type: ignore[arg-type]


def test_a_profile_of_somebody_elses_has_to_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("/usr/bin/man (enforce)\nmy-own (complain)\n")
    assert confined.loaded(tmp_path) == {"/usr/bin/man", "my-own"}
    assert confined.loaded(tmp_path / "none") == set()
