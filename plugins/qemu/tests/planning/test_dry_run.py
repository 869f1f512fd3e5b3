"""A plan as people see it: nothing of it is left out, and no secret is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import LaunchPlan, Problem
from anyvirt_qemu.planning.plan import Account, AssignedUse, FileUse, Plan
from anyvirt_qemu.readiness import dry_run

Guest = Callable[..., str]
Planned = Callable[..., Plan]
SECRET = "sesam-17"


def seen(plan: Plan, *, paused: bool = False) -> LaunchPlan:
    return dry_run.shown(plan, "tcg", (), paused=paused)


def test_every_field_of_every_golden_plan_is_shown(planned: Planned, document: Path) -> None:
    plan = planned(document.read_text(encoding="utf-8"))
    found = seen(plan)
    text = json.dumps(asdict(found))
    assert [word for line in found.argv for word in line] == list(plan.argv)
    for use in plan.copies:
        assert use.target in text
    for path in (*plan.sockets, *(use.path for use in plan.overlays), *(use.path for use in plan.files)):
        assert json.dumps(path)[1:-1] in text
    assert len(found.links) == len(plan.taps) + len(plan.macvtaps)
    assert [one.command for one in found.commands] == [step.command for step in plan.steps] + ["cont"]
    assert len(found.descriptors) == len(plan.fds)
    # what makes a state is a program, too
    assert len(found.programs) == sum(1 + (use.state is not None) for use in plan.programs)
    for secret in plan.secrets.values():
        assert secret.decode() not in text


def test_what_has_no_place_of_its_own_is_said_in_words(planned: Planned, guest: Guest) -> None:
    plan = replace(planned(guest()), assigned=(AssignedUse("pci", "0000:06:02.1", managed=True),))
    assert "assigned: kind pci, address 0000:06:02.1, managed True" in seen(plan).placement


def test_an_option_stands_with_its_value_whatever_that_begins_with(planned: Planned, guest: Guest) -> None:
    text = guest().replace("</os>", "<kernel>/k</kernel><cmdline>-S -append</cmdline></os>")
    assert ("-append", "-S -append") in seen(planned(text)).argv
    assert ("-S",) in seen(planned(text)).argv


@pytest.mark.parametrize(
    "word",
    [
        "<qemu:arg value='-object'/><qemu:arg value='secret,id=s,data={},format=raw'/>",
        '<qemu:arg value="-object"/><qemu:arg value=\'{{"qom-type":"secret","id":"s","data":"{}"}}\'/>',
        "<qemu:arg value='-drive'/><qemu:arg value='file=rbd:p/i:id=u:key={}:auth_supported=cephx'/>",
        "<qemu:arg value='-drive'/><qemu:arg value='file=http://user:{}@host/x'/>",
        "<qemu:arg value='-iscsi'/><qemu:arg value='user=u,password={}'/>",
        "<qemu:env name='MY_TOKEN' value='{}'/>",
    ],
)
def test_no_secret_of_a_definition_is_shown(planned: Planned, guest: Guest, word: str) -> None:
    screen = f"<graphics type='vnc' port='-1' passwd='{SECRET}'/>"
    own = f"<qemu:commandline>{word.format(SECRET)}</qemu:commandline></domain>"
    text = guest(screen).replace("</domain>", own).replace("<domain ", f"<domain xmlns:qemu='{QEMU}' ")
    plan = planned(text)
    found = json.dumps(asdict(seen(plan)))
    assert SECRET not in found
    assert "***" in found
    assert "password=on" in found


QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def test_the_records_of_a_run_are_among_its_files(planned: Planned, guest: Guest) -> None:
    found = {one.path: (one.action, one.mode) for one in seen(planned(guest())).files}
    for path in ("/run/process.json", "/run/status.json", "/run/q/ev.in", "/run/q/ev.out"):
        assert found[path] == ("create", 0o600)


def test_the_state_of_a_tpm_is_among_the_files(planned: Planned, guest: Guest, tmp_path: Path) -> None:
    plan = planned(guest("<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"))
    (program,) = plan.programs
    assert program.state is not None
    state = replace(program.state, folder=str(tmp_path / "tpm"))
    plan = replace(plan, programs=(replace(program, state=state),))

    def actions() -> dict[str, str]:
        return {one.path: one.action for one in seen(plan).files if one.path.startswith(state.folder)}

    kept = f"{state.folder}/{state.file}"
    assert actions() == {state.folder: "create", kept: "create"}
    Path(state.folder).mkdir()
    assert actions() == {state.folder: "open", kept: "create"}
    Path(kept).touch()
    assert actions() == {state.folder: "open", kept: "open"}


def test_a_guest_that_stays_paused_is_not_told_to_go_on(planned: Planned, guest: Guest) -> None:
    assert seen(planned(guest())).commands[-1].command == "cont"
    assert "cont" not in {one.command for one in seen(planned(guest()), paused=True).commands}


def test_what_is_given_to_another_user_is_said(planned: Planned, guest: Guest) -> None:
    who = Account(uid=64055, gid=64055, name="anyvirt-qemu")
    use = FileUse("/images/a", "/devices/disk[vda]", owner=(64055, 64055))
    found = seen(replace(planned(guest()), account=who, files=(use,)))
    (given,) = (one for one in found.files if one.action == "give")
    assert (given.path, given.what) == ("/images/a", "to user 64055 and group 64055, while the guest runs")
    assert any("name anyvirt-qemu" in one for one in found.placement)
    assert next(one for one in found.files if one.what == "run directory").mode == 0o711


def test_tuning_is_said_in_words(planned: Planned, guest: Guest) -> None:
    tune = "<vcpu cpuset='0-3'>2</vcpu><cputune><shares>512</shares><vcpupin vcpu='1' cpuset='0,2'/></cputune>"
    found: Any = seen(planned(guest(extra=tune))).placement
    assert "accelerator tcg" in found
    assert "cpus: 0-3" in found
    assert "pins: kind vcpu, number 1, cpus 0,2" in found
    assert any("cpu.shares" in one and "512" in one for one in found)


def test_blockers_are_passed_on() -> None:
    problem = Problem("denied", "/os/kernel", None, "no", "yes")
    assert dry_run.unplanned([problem]) == LaunchPlan(blockers=(problem,))
