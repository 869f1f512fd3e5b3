"""Starting, stopping, defining: what is said, and what is passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import ShutdownMode
from anyvirt.cli import main

DOMAIN = (
    "<domain type='test'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
)


def test_start_says_what_virsh_says(cli: Any, fake: Any) -> None:
    result = cli("start", "old", "--paused")
    assert (result.code, result.out, result.err) == (0, "Domain 'old' started\n", "")
    assert fake.calls == [("start", "old", True)]


def test_start_says_why_a_guest_that_asks_for_kvm_is_emulated(cli: Any, fake: Any) -> None:
    guest = next(guest for guest in fake.guests.values() if guest.ref.name == "old")
    guest.xml = guest.xml.replace("<domain type='test'>", "<domain id='1' type='kvm'>")
    assert cli("start", "old").err == "note: emulated (TCG): no guest code ran under KVM\n"
    cli("destroy", "old")
    assert cli("--quiet", "start", "old").err == ""


def test_one_that_fails_does_not_keep_the_others_back(cli: Any, fake: Any) -> None:
    result = cli("start", "web", "nosuch", "old")
    assert result.code == 1
    assert result.out == "Domain 'old' started\n"
    assert result.err.splitlines() == [
        "error[domain.wrong-state]: domain 'web' is running; start needs it shut off",
        "hint: shut it down or destroy it first",
        "error[domain.not-found]: no domain 'nosuch'",
        "hint: anyvirt -c fake:///default list --all shows what there is",
    ]


def test_the_only_one_that_fails_prints_no_result(cli: Any) -> None:
    result = cli("start", "web", "--json")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error[domain.wrong-state]: domain 'web' is running")


def test_a_mode_is_passed_on_and_a_wrong_one_is_wrong_usage(cli: Any, fake: Any) -> None:
    assert cli("shutdown", "web", "--mode", "acpi").out == "Domain 'web' is being shutdown\n"
    assert fake.calls == [("shutdown", "web", ShutdownMode.ACPI)]
    wrong = cli("shutdown", "web", "--mode", "politely")
    assert wrong.code == 2
    assert "one of acpi, agent, initctl, signal, paravirt" in wrong.err


def test_a_mode_that_the_driver_lacks_is_named_before_anything_happens(cli: Any, fake: Any) -> None:
    result = cli("shutdown", "web", "--mode", "agent")
    assert result.code == 1
    assert "fake does not support domain_shutdown(mode=agent)" in result.err
    assert fake.calls == []


def test_readonly_refuses_changes(cli: Any, fake: Any) -> None:
    result = cli("--readonly", "destroy", "web")
    assert result.code == 1
    assert result.err.startswith("error[readonly]: ")
    assert fake.calls == []


def test_define_takes_what_is_piped_in(cli: Any, fake: Any) -> None:
    result = cli("define", "-", stdin=DOMAIN.format("new"))
    assert (result.code, result.out) == (0, "Domain 'new' defined from -\n")
    assert [call[0] for call in fake.calls] == ["define"]


def test_define_refuses_what_it_does_not_know_unless_told(cli: Any, fake: Any) -> None:
    text = DOMAIN.format("new").replace("<vcpu>1</vcpu>", "<vcpu>1</vcpu><flavour>sweet</flavour>")
    refused = cli("define", "-", stdin=text)
    assert refused.code == 1
    assert "error[xml.unknown-element]" in refused.err
    assert "flavour" in refused.err
    assert fake.calls == []
    assert cli("define", "-", "--keep-unknown", stdin=text).code == 0


def test_every_problem_is_listed(cli: Any) -> None:
    text = DOMAIN.format("new").replace("<vcpu>1</vcpu>", "<vpcu>1</vpcu>\n<fetures/>")
    lines = cli("define", "-", stdin=text).err.splitlines()
    assert lines[0].startswith("error[xml.unknown-element]: 2 problems")
    assert lines[1] == "  /vpcu (line 1): <domain> has no element <vpcu>; did you mean 'vcpu'?"
    assert lines[2] == "  /fetures (line 2): <domain> has no element <fetures>; did you mean 'features'?"


def test_a_file_that_is_not_there_is_named(cli: Any) -> None:
    result = cli("define", "/nowhere/web.xml")
    assert result.code == 1
    assert result.err == (
        "error[file.not-found]: no file '/nowhere/web.xml'\nhint: correct the path; - reads what is piped in\n"
    )


@pytest.mark.parametrize(
    ("options", "kept"),
    [((), (False, None)), (("--keep-nvram", "--keep-tpm"), (True, True)), (("--nvram", "--tpm"), (False, False))],
)
def test_undefine_passes_on_what_happens_to_the_firmware_and_to_a_tpm(
    cli: Any, fake: Any, options: tuple[str, ...], kept: tuple[bool, bool | None]
) -> None:
    cli("undefine", "old", *options)
    assert fake.calls == [("undefine", "old", *kept)]
    assert cli("undefine", "web", "--nvram", "--keep-nvram").code == 2
    assert cli("undefine", "web", "--tpm", "--keep-tpm").code == 2


def test_dumpxml_prints_the_document_as_it_is_or_as_anyvirt_writes_it(cli: Any) -> None:
    assert "<memory unit='KiB'>1048576</memory>" in cli("dumpxml", "web", "--inactive").out
    assert "1048576" in cli("dumpxml", "web", "--canonical").out


def test_rename_and_autostart(cli: Any, fake: Any) -> None:
    assert cli("rename", "old", "older").out == "Domain successfully renamed\n"
    assert "error[domain.exists]" in cli("rename", "web", "db").err
    assert cli("autostart", "web", "--disable").out == "Domain 'web' unmarked as autostarted\n"


def test_wait_is_over_when_it_is_so_or_when_time_is_up(cli: Any) -> None:
    assert cli("wait", "old").out == "shut off (shutdown)\n"
    assert cli("wait", "web", "--state", "paused", "--state", "running").out == "running (booted)\n"
    late = cli("wait", "web", "--timeout", "0.05")
    assert late.code == 1
    assert late.err.startswith("error[interrupted.deadline]: the deadline passed (web is running")
    assert "hint: allow more time" in late.err
    assert cli("wait", "web", "--state", "asleep").code == 2


def test_a_job_gives_its_outcome(cli: Any) -> None:
    assert cli("save", "web", "/tmp/web.save").out == "Domain 'web' saved to /tmp/web.save\n"
    failed = cli("save", "old", "/tmp/old.save")
    assert failed.code == 1
    assert failed.err.startswith("error[domain.wrong-state]")


def test_a_file_of_a_saved_domain_is_meant_beside_the_user(cli: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("save", "web", "web.save").out == f"Domain 'web' saved to {tmp_path}/web.save\n"
    assert cli("restore", "./web.save").out == f"Domain restored from {tmp_path}/web.save\n"


def test_what_any_active_domain_can_do_asks_for_an_active_one(cli: Any) -> None:
    assert "domain 'old' is shut off; destroy needs it active\n" in cli("destroy", "old").err


def test_two_definitions_at_once_are_wrong_usage(cli: Any) -> None:
    assert (wrong := cli("dumpxml", "web", "--inactive", "--live")).code == 2
    assert "--inactive and --live contradict each other" in wrong.err


@pytest.mark.parametrize("text", ["0", "-3", "soon", "inf"])
def test_a_timeout_that_is_none_is_refused(text: str, cli: Any) -> None:
    result = cli("list", f"--timeout={text}")
    assert result.code == 2
    assert "write seconds above 0, or none" in result.err


def test_what_controls_a_terminal_is_shown_and_not_sent(cli: Any, fake: Any) -> None:
    ref = next(ref for ref in fake.guests if ref.name == "web")
    object.__setattr__(ref, "name", "web\x1b[31m\n")
    out = cli("list").out
    assert "\x1b" not in out
    assert "web\\x1b[31m\\n" in out


def test_several_names_of_which_one_is_not_there_give_the_others(cli: Any) -> None:
    result = cli("state", "web", "nosuch")
    assert result.code == 1
    assert result.out == "nosuch: error[domain.not-found]: no domain 'nosuch'\nweb: running\n"


def test_what_nobody_expected_is_a_short_message_and_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_cli: Any) -> Any:
        raise RuntimeError("boom\nand more")

    for words in (["list"], ["--debug", "list"]):
        parsed = main.parse(words)
        assert not isinstance(parsed, int)
        assert main.run(parsed, broken) == 1
        err = capsys.readouterr().err
        assert "error[internal]: RuntimeError: boom\nhint: " in err
        assert ("Traceback" in err) is ("--debug" in words)
