"""``start --dry-run`` and ``create --dry-run``: a script of the command line, the rest beside it, nothing done."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from anyvirt.api import Problem

PLAN = """\
# old: what a start takes; nothing is done
cd '/run/fake dir'
env -i LC_ALL=C \\
/usr/bin/fake \\
    -name old \\
    -append 'a b '"'"'c'"'"''
# files:
#   copy /var/vars 0600 from /usr/share/vars (firmware)
#   open /dev/x
# descriptors:
#   10 monitor ctl
# programs beside it:
#   swtpm socket (package swtpm)
# links:
#   tap * bridge=br0
# placement:
#   accelerator tcg
# commands once it is up:
#   set_link {"up": true}
#   cont
# warnings:
#   it is emulated
"""
BLOCKERS = (
    Problem("file.not-found", "/devices/disk[vda]/source/@file", None, "there is no /a", "create it"),
    Problem("denied", "/os/kernel", None, "user me may not read /b (right r)", "setfacl"),
)


def test_a_dry_run_prints_all_of_a_start_and_does_nothing(cli: Any, fake: Any) -> None:
    result = cli("start", "old", "--dry-run")
    assert (result.code, result.out, result.err) == (0, PLAN, "")
    assert fake.calls == []
    assert "cont" not in cli("start", "old", "--dry-run", "--paused").out


def test_what_is_printed_is_a_script(cli: Any, tmp_path: Path) -> None:
    text = cli("start", "old", "--dry-run").out.replace("/usr/bin/fake", "/usr/bin/printf '[%s]'")
    text = text.replace("/run/fake dir", str(tmp_path))
    done = subprocess.run(["/bin/sh", "-eu", "-c", text], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[-name][old][-append][a b 'c']", "")


def test_a_plan_with_blockers_is_shown_with_all_of_them(cli: Any, fake: Any) -> None:
    fake.blockers = BLOCKERS
    result = cli("start", "old", "--dry-run")
    assert (result.code, result.out) == (1, PLAN)
    assert result.err.splitlines()[:3] == [
        "error[config.invalid]: old: 2 problems",
        "  /devices/disk[vda]/source/@file: there is no /a; create it",
        "  /os/kernel: user me may not read /b (right r); setfacl",
    ]


def test_one_that_runs_does_not_keep_the_plans_of_others_back(cli: Any) -> None:
    result = cli("start", "web", "old", "--dry-run")
    assert result.code == 1
    assert PLAN in result.out
    assert "error[domain.wrong-state]: domain 'web' is running" in result.err


def test_json_has_the_same_with_the_blockers_in_it(cli: Any, fake: Any) -> None:
    fake.blockers = BLOCKERS
    result = cli("--json", "start", "old", "--dry-run")
    assert result.code == 1
    found = json.loads(result.out)
    (row,) = found["domains"]
    assert (found["schema"], row["name"], row["error"]["code"]) == ("dry-run/1", "old", "config.invalid")
    assert row["plan"]["argv"][1] == ["-name", "old"]
    assert row["plan"]["files"][0]["mode"] == "0600"
    assert [one["path"] for one in row["plan"]["blockers"]] == [one.path for one in BLOCKERS]


def test_a_transient_domain_is_planned_from_its_file(cli: Any, fake: Any, tmp_path: Path) -> None:
    file = tmp_path / "new.xml"
    file.write_text("<domain type='test'><name>new</name><memory>65536</memory><os><type>hvm</type></os></domain>")
    result = cli("create", str(file), "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert "    -name new \\\n" in result.out
    assert not any(ref.name == "new" for ref in fake.guests)
