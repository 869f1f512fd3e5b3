from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.api import Busy, Failed, Interrupted, Invalid, NotFound, State
from anyvirt.api import open as opened

GUEST = "<domain type='test'><name>{}</name><memory>65536</memory><os><type>hvm</type></os></domain>"


def test_the_default_host_has_what_libvirts_has() -> None:
    with opened("test:///default") as connection:
        domain = connection.lookup("test")
        model = domain.config().model
        assert (domain.uuid, domain.state().state) == ("6695eb01-f6a4-8304-79aa-97f2502e193f", State.RUNNING)
        assert (model.memory, model.vcpu, domain.facts().id) == (8 << 30, 2, 1)
        info = connection.host_info()
        assert (info.arch, info.memory, info.cpus, info.mhz) == ("i686", 3 << 30, 16, 1400)
        assert [pool.name for pool in connection.pool_list()] == ["default-pool"]
        assert [network.name for network in connection.network_list()] == ["default"]
        assert [interface.name for interface in connection.interface_list()] == ["eth1"]


def test_what_the_host_keeps_of_its_guest_is_what_its_definition_says() -> None:
    from anyvirt_test.furnish import DOMAIN, SHAPE
    from anyvirt_test.shape import Shape

    assert Shape.read(DOMAIN) == SHAPE


def test_a_parameter_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Invalid, match="no parameter 'fial'") as caught, opened("test:///default?fial=domain_start"):
        pass
    assert "fail" in caught.value.hint


def test_a_bare_path_is_the_default_host() -> None:
    with opened("test:///") as connection:
        assert connection.lookup("test").name == "test"


def test_each_connection_has_a_host_of_its_own() -> None:
    with opened("test:///default") as one, opened("test:///default") as two:
        one.lookup("test").destroy()
        assert two.lookup("test").state().state is State.RUNNING


def test_the_same_steps_give_the_same_figures() -> None:
    def figures() -> list[object]:
        with opened("test:///default") as connection:
            domain = connection.lookup("test")
            seen: list[object] = [connection.stats()[domain.ref].get().flat() for _ in range(3)]
            domain.suspend()
            return [*seen, connection.stats()[domain.ref].get().flat()]

    assert figures() == figures()


def test_a_paused_guest_uses_no_time() -> None:
    with opened("test:///default") as connection:
        domain = connection.lookup("test")
        domain.suspend()
        first, second = domain.stats_cpu().time, domain.stats_cpu().time
        assert first == second
        domain.resume()
        assert (domain.stats_cpu().time or 0) > (second or 0)


# -- kept -----------------------------------------------------------------------------------


def test_a_kept_host_is_there_in_the_next_process(tmp_path: Path) -> None:
    uri = f"test:///default?state={tmp_path}/kept"
    code = (
        "import sys; from anyvirt.api import open\n"
        "with open(sys.argv[1]) as c:\n    c.domain_define(sys.argv[2]).start(); c.lookup('test').destroy()\n"
    )
    subprocess.run([sys.executable, "-c", code, uri, GUEST.format("kept")], check=True, timeout=60)
    with opened(uri) as connection:
        states = {row.ref.name: row.status.get().state for row in connection.overview()}
        assert states == {"kept": State.RUNNING, "test": State.SHUTOFF}
        assert connection.lookup("kept").facts().id == 2
    kept = tmp_path / "kept"
    assert [oct(path.stat().st_mode & 0o077) for path in kept.rglob("*") if path.stat().st_mode & 0o077] == []


def test_a_kept_host_keeps_what_it_began_with(tmp_path: Path) -> None:
    uri = f"test:///default?state={tmp_path}"
    with opened(uri) as connection:
        connection.lookup("test").destroy()
        connection.lookup("test").undefine()
    with opened(uri) as connection:
        assert connection.domain_list() == ()


def test_the_state_is_named_by_an_absolute_path() -> None:
    with pytest.raises(Invalid):
        opened("test:///default?state=here")


def test_a_guest_that_somebody_works_on_is_busy_and_the_others_are_not(tmp_path: Path) -> None:
    uri = f"test:///default?state={tmp_path}"
    with opened(uri) as one, opened(uri) as two:
        ref = one.domain_define(GUEST.format("held")).ref
        locks = one.session.host.scope.locks
        with locks.hold(ref.key, "a test"), pytest.raises(Busy) as busy:
            two.domain_start(ref, timeout=1.0)
        assert busy.value.purpose == "a test"
        two.domain_start(ref)


# -- misbehaving ----------------------------------------------------------------------------


def test_a_hook_fails_when_the_uri_asks_for_it() -> None:
    with opened("test:///default?fail=domain_suspend&fail=host_info") as connection:
        domain = connection.lookup("test")
        for ask in (domain.suspend, connection.host_info):
            with pytest.raises(Failed):
                ask()
        assert domain.state().state is State.RUNNING


def test_a_hook_fails_for_one_object_alone() -> None:
    with opened("test:///default?fail=domain_start:a") as connection:
        a, b = (connection.domain_define(GUEST.format(name)) for name in "ab")
        with pytest.raises(Failed):
            a.start()
        b.start()


def test_a_hook_takes_its_time_and_no_longer_than_the_deadline() -> None:
    with opened("test:///default?delay=domain_suspend:150") as connection:
        domain = connection.lookup("test")
        begun = time.monotonic()
        domain.suspend()
        assert time.monotonic() - begun >= 0.15
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            domain.suspend(timeout=0.05)
        assert time.monotonic() - begun < 2


def test_a_job_hangs_and_can_be_cancelled() -> None:
    with opened("test:///default?hang=domain_save") as connection:
        job = connection.domain_save(connection.lookup("test"), "/nowhere/saved")
        with pytest.raises(Interrupted):
            job.wait(0.1)
        job.cancel()
        with pytest.raises(Interrupted):
            job.wait(5)
        assert connection.lookup("test").state().state is State.RUNNING


@pytest.mark.parametrize("query", ["fail=no_such_hook", "delay=domain_start", "hang=_machine", "fail=session"])
def test_what_cannot_misbehave_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        opened(f"test:///default?{query}")


# -- jobs and others -------------------------------------------------------------------------


def test_a_save_to_what_is_no_path_leaves_no_job_behind() -> None:
    with opened("test:///default") as connection:
        with pytest.raises(Invalid, match="no absolute path"):
            connection.domain_save(connection.lookup("test"), "saved").wait(5)
        assert connection.session.host.jobs.all() == ()
        assert connection.lookup("test").state().state is State.RUNNING


def test_a_guest_that_is_being_saved_is_left_alone_by_all_but_a_destroy(tmp_path: Path) -> None:
    with opened("test:///default") as connection:
        domain = connection.lookup("test")
        world = connection.session.driver.plugin.world
        from anyvirt.api import Reason, Status

        world.become(world.guest(domain.ref), Status(State.PAUSED, Reason.SAVE), job="save")
        for change in (domain.resume, domain.reset, domain.undefine):
            with pytest.raises(Busy) as busy:
                change()
            assert busy.value.purpose == "save"
        domain.destroy()
        assert domain.state().state is State.SHUTOFF


def test_importing_reads_the_folder_that_the_uri_names(tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(GUEST.format("web"))
    (tmp_path / "notes.txt").write_text("no definition")
    with opened(f"test:///default?libvirt={tmp_path}") as connection:
        assert [one.name for one in connection.domain_import()] == ["web"]
    with opened("test:///default") as connection:
        assert connection.domain_import() == []
        with pytest.raises(NotFound):
            connection.lookup("web")


def test_nothing_is_left_on_the_disk_by_a_host_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with opened("test:///default") as connection:
        domain = connection.lookup("test")
        domain.suspend()
        assert list(tmp_path.iterdir()) == []
        domain.resume()
        domain.reset()
        console = connection.domain_console(domain, readonly=True, replay=True)
        assert console.read()
        console.close()
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
