"""Connecting to a simulated vCenter and a simulated ESXi host (vcsim): trust, log-in, places, round trips."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyvirt
import pytest
from anyvirt.api import Ambiguous, Connection, Denied, Interrupted, Invalid, State, Unreachable
from vcsim_stage import Server

Serving = Callable[..., Server]


def thumbprint(server: Server) -> str:
    der = ssl.PEM_cert_to_DER_cert((server.folder / "cert.pem").read_text())
    return hashlib.sha256(der).hexdigest().upper()


def by_name(connection: Connection) -> dict[str, object]:
    return {domain.name: domain.ref for domain in connection.domain_list()}


def test_a_host_is_listed_with_names_and_uuids(esx: Server) -> None:
    with anyvirt.open(esx.uri()) as connection:
        domains = connection.domain_list()
        assert len(domains) == 4
        assert all(domain.name and domain.ref.uuid for domain in domains)


def test_connecting_to_a_host_takes_two_requests_and_leaves_no_session(serving: Serving) -> None:
    server = serving("esx")
    with anyvirt.open(server.uri()):
        assert server.asked() == {"RetrieveServiceContent": 1, "Login": 1}
    assert server.asked()["Logout"] == 1


def test_a_self_signed_certificate_is_refused_with_the_ways_out(vcenter: Server) -> None:
    before = vcenter.asked()
    with pytest.raises(Unreachable) as refusal:
        anyvirt.open(vcenter.uri(trust=""))
    assert refusal.value.stage == "certificate"
    assert "thumbprint" in refusal.value.hint
    assert vcenter.asked() == before


def test_a_thumbprint_is_trusted_alone(vcenter: Server) -> None:
    pinned = ":".join(thumbprint(vcenter)[i : i + 2] for i in range(0, 64, 2))
    with anyvirt.open(vcenter.uri(trust=f"thumbprint={pinned}")) as connection:
        assert connection.domain_list()


def test_another_thumbprint_is_refused_before_the_password_is_sent(vcenter: Server) -> None:
    before = vcenter.asked()
    with pytest.raises(Unreachable) as refusal:
        anyvirt.open(vcenter.uri(trust=f"thumbprint={'0' * 64}"))
    assert refusal.value.stage == "certificate"
    assert vcenter.asked() == before


def test_each_new_socket_is_checked_against_the_thumbprint(serving: Serving) -> None:
    server = serving("esx")
    with anyvirt.open(server.uri(trust=f"thumbprint={thumbprint(server)}")) as connection:
        line = connection.session.driver.plugin.line
        line.stub.DropConnections()
        object.__setattr__(line.address, "thumbprint", "0" * 64)
        with pytest.raises(Unreachable):
            connection.domain_list()


def test_no_verify_is_said_in_the_log(vcenter: Server, caplog: pytest.LogCaptureFixture) -> None:
    with anyvirt.open(vcenter.uri(trust="no_verify=1")) as connection:
        assert connection.domain_list()
    assert [record for record in caplog.records if "no_verify" in record.message]


def test_a_wrong_password_is_denied_and_not_shown(esx: Server, password: Path) -> None:
    password.write_text("not-this-one\n")
    with pytest.raises(Denied) as refusal:
        anyvirt.open(esx.uri())
    assert "not-this-one" not in str(refusal.value) + str(refusal.value.details)
    assert refusal.value.details["fault"] == "InvalidLogin"


def test_credentials_come_from_an_auth_file_as_libvirt_has_it(
    esx: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANYVIRT_PASSWORD_FILE")
    place = tmp_path / "auth.conf"
    place.write_text("[credentials-lab]\nusername=root\npassword=vmware\n[auth-esx-127.0.0.1]\ncredentials=lab\n")
    with anyvirt.open(esx.uri().replace("root@", "") + f"&authfile={place}") as connection:
        assert connection.domain_list()


def test_the_scheme_is_checked_against_the_server(esx: Server) -> None:
    with pytest.raises(Invalid, match="ESXi") as refusal:
        anyvirt.open(esx.uri().replace("esx:", "vpx:", 1))
    assert "esx://" in refusal.value.hint


def test_nobody_at_the_port_is_unreachable() -> None:
    with pytest.raises(Unreachable) as refusal:
        anyvirt.open("esx://root@127.0.0.1:1/")
    assert refusal.value.stage == "connect"


def test_a_place_has_its_own_machines(vcenter: Server) -> None:
    names = {}
    for place in ("", "DC0", "DC0/DC0_H0", "DC0/DC0_C0"):
        with anyvirt.open(vcenter.uri(place)) as connection:
            names[place] = set(by_name(connection))
    assert names[""] == names["DC0"] == names["DC0/DC0_H0"] | names["DC0/DC0_C0"]
    assert len(names["DC0/DC0_H0"]) == len(names["DC0/DC0_C0"]) == 4


def test_a_place_that_is_not_there_is_told_with_those_that_are(vcenter: Server) -> None:
    with pytest.raises(Invalid, match="DC0/nowhere") as refusal:
        anyvirt.open(vcenter.uri("DC0/nowhere"))
    assert "DC0_H0" in refusal.value.hint
    with pytest.raises(Invalid, match="DC0_H0"):
        anyvirt.open(vcenter.uri("DC0/DC0_H0/more"))


@pytest.mark.parametrize("number", [10, 300])
def test_a_list_with_states_takes_the_same_requests_for_any_number(serving: Serving, number: int) -> None:
    server = serving("esx", "-vm", str(number))
    with anyvirt.open(server.uri()) as connection:
        before = server.asked()
        domains = connection.domain_list()
        assert len(domains) == number
        first = server.asked() - before
        assert sum(first.values()) == 4, first
        states = connection.domain_state(domains)
        assert {answer.get().state for answer in states.values()} == {State.RUNNING}
        connection.domain_list()
        assert server.asked() - before - first == {"WaitForUpdatesEx": 2}


def test_a_start_takes_few_requests(esx: Server) -> None:
    with anyvirt.open(esx.uri()) as connection:
        domain = connection.domain_list()[0]
        domain.destroy()
        before = esx.asked()
        domain.start()
        asked = esx.asked() - before
        assert asked["PowerOnVM_Task"] == 1
        assert sum(asked.values()) <= 6, asked


def test_a_session_that_ended_is_renewed_once_and_the_change_is_made_once(serving: Serving) -> None:
    server = serving("vpx")
    with anyvirt.open(server.uri()) as connection:
        domain = connection.domain_list()[0]
        line = connection.session.driver.plugin.line
        for change, state in ((domain.destroy, State.SHUTOFF), (domain.start, State.RUNNING)):
            before = server.asked()
            line.stub.cookie = 'vmware_soap_session="gone"'
            change()
            assert domain.state().state is state
            assert (server.asked() - before)["Login"] == 1
        assert server.asked()["PowerOffVM_Task"] == server.asked()["PowerOnVM_Task"] == 1


def test_a_slow_task_is_named_when_the_deadline_passes(serving: Serving) -> None:
    server = serving("esx", "-method-delay", "WaitForUpdatesEx:2000")
    with anyvirt.open(server.uri()) as connection:
        domain = connection.domain_list(timeout=20)[0]
        begun = time.monotonic()
        with pytest.raises(Interrupted) as late:
            connection.domain_destroy(domain, timeout=1.5)
        assert time.monotonic() - begun < 2.0
        assert late.value.reason == "deadline"
        assert late.value.details["task"].startswith("task-")


def test_a_server_that_is_gone_hangs_nobody(serving: Serving) -> None:
    server = serving("esx")
    with anyvirt.open(server.uri()) as connection:
        domain = connection.domain_list()[0]
        server.simulator.end()
        begun = time.monotonic()
        for call in (connection.domain_list, domain.state, domain.destroy):
            with pytest.raises((Unreachable, Interrupted)):
                call()
        assert connection.connect_alive() is False
        assert time.monotonic() - begun < 5


def test_two_of_one_name_are_ambiguous_and_both_are_named(serving: Serving) -> None:
    server = serving("vpx", "-dc", "2", "-vm", "1", "-cluster", "0")
    with anyvirt.open(server.uri()) as connection:
        first, second = connection.domain_list()
        line = connection.session.driver.plugin.line
        task = line.ask("rename", second.ref, line.object("VirtualMachine", second.ref.key).Rename_Task, first.name)
        connection.session.driver.plugin.tasks.wait("rename", second.ref, task)
        with pytest.raises(Ambiguous) as refusal:
            connection.lookup(first.name)
        assert all(str(domain.ref.uuid) in str(refusal.value) for domain in (first, second))
        assert connection.lookup(second.ref.uuid or "").ref == second.ref


def test_names_are_shown_as_people_wrote_them(serving: Serving) -> None:
    server = serving("esx", "-vm", "1")
    with anyvirt.open(server.uri()) as connection:
        (domain,) = connection.domain_list()
        line = connection.session.driver.plugin.line
        machine = line.object("VirtualMachine", domain.ref.key)
        task = line.ask("rename", domain.ref, machine.Rename_Task, "a%2fb %25 ü\u4e2d")
        connection.session.driver.plugin.tasks.wait("rename", domain.ref, task)
        assert connection.lookup("a/b % ü\u4e2d").ref == domain.ref


def test_the_line_of_commands_lists_a_host(esx: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anyvirt.cli.main", "-c", esx.uri(), "list", "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "ha-host_VM0" in done.stdout
