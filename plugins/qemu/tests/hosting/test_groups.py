"""A guest's control groups on the host at hand: what the kernel says of them while it runs, and after every end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from anyvirt.api import Connection, Invalid, ProcessId, State, VirtError, open  # noqa: A004
from anyvirt.client._generated_sync import Domain
from anyvirt_host.local.groups import Hierarchy, hierarchies
from anyvirt_qemu.guest import Run
from anyvirt_qemu.hosting import groups, threads
from anyvirt_qemu.planning.tuning import LimitUse, Tuning
from qemu_stage.scene import Scene

MIB = 1 << 20
TUNED = (
    "<memtune><hard_limit unit='MiB'>700</hard_limit><soft_limit unit='MiB'>500</soft_limit></memtune>"
    "<cputune><shares>300</shares><global_quota>90000</global_quota><period>20000</period><quota>10000</quota>"
    "<emulator_period>50000</emulator_period><emulator_quota>25000</emulator_quota></cputune>"
)


def tree(controller: str) -> Hierarchy:
    """The hierarchy that has a controller; skips where this host's cannot be used."""
    if os.geteuid() != 0:
        pytest.skip("needs root, or groups of one's own")
    found = next((tree for tree in hierarchies() if controller in tree.controllers), None)
    if found is None or not os.access(found.mount, os.W_OK) or os.statvfs(found.mount).f_flag & os.ST_RDONLY:
        pytest.skip(f"needs root on a host that lets it use the {controller} controller")
    return found


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is missing")
    with open("qemu:///system", state_dir=tmp_path / "state") as made:
        yield made
        for domain in made.domain_list():
            with suppress(VirtError):
                domain.destroy()


def xml(tuned: str) -> str:
    return (
        "<domain type='qemu'><name>one</name><memory unit='MiB'>16</memory><vcpu>2</vcpu><iothreads>1</iothreads>"
        f"{tuned}<os><type machine='q35'>hvm</type></os></domain>"
    )


def process(connection: Connection, key: str) -> ProcessId:
    with Run.open(connection.session.host.scope.folder("qemu", run=True), key) or pytest.fail("it has no run") as run:
        assert run.process is not None
        return run.process


def group(pid: int, controller: str) -> Path:
    """The group of a process."""
    own = next(tree for tree in hierarchies(own=f"/proc/{pid}/cgroup") if controller in tree.controllers)
    return Path(own.own)


def said(folder: Path, *files: str) -> list[str]:
    return [(folder / file).read_text().strip() for file in files]


def left(guest: Domain) -> list[Path]:
    """Groups of a guest that are there."""
    return [path for tree in hierarchies() for path in Path(tree.mount, "machine").glob(f"anyvirt-{guest.ref.key}-*")]


def test_limits_are_the_kernel_s_own_and_gone_with_the_guest(connection: Connection) -> None:
    if tree("cpu").version != 1 or tree("memory").version != 1:
        pytest.skip("needs root on a host that has version 1 of control groups")
    guest = connection.domain_define(xml(TUNED))
    guest.start()
    found = process(connection, guest.ref.key)
    whole = group(found.pid, "memory")
    assert said(whole, "memory.limit_in_bytes", "memory.soft_limit_in_bytes") == [str(700 * MIB), str(500 * MIB)]
    emulator = group(found.pid, "cpu")
    assert (emulator.name, emulator.parent.name) == ("emulator", whole.name)
    assert emulator.parent.parent.name == "machine"
    assert said(emulator.parent, "cpu.shares", "cpu.cfs_quota_us") == ["300", "90000"]
    assert said(emulator, "cpu.cfs_period_us", "cpu.cfs_quota_us") == ["50000", "25000"]
    for number in (0, 1):
        part = emulator.parent / f"vcpu{number}"
        assert said(part, "cpu.cfs_period_us", "cpu.cfs_quota_us") == ["20000", "10000"]
        (thread,) = said(part, "tasks")
        assert Path(f"/proc/{found.pid}/task/{thread}/comm").read_text().startswith(f"CPU {number}/")
    assert "IO iothread1\n" in {Path(f"/proc/{t}/comm").read_text() for t in said(emulator.parent, "tasks")[0].split()}
    assert len(left(guest)) == 2
    guest.destroy()
    assert left(guest) == []
    guest.start()
    process(connection, guest.ref.key).signal(9)
    process(connection, guest.ref.key).wait(10)
    connection.recover()
    assert left(guest) == []


def test_a_partition_is_made_where_it_is_missing_and_goes_with_its_last_guest(connection: Connection) -> None:
    memory = tree("memory")
    name = f"t{os.getpid()}"
    guest = connection.domain_define(xml(f"<resource><partition>/machine/{name}</partition></resource>"))
    guest.start()
    place = group(process(connection, guest.ref.key).pid, "memory")
    assert place.parent == Path(memory.mount, "machine", f"{name}.partition")
    guest.destroy()
    assert not place.parent.exists()


def test_what_runs_beside_qemu_is_in_the_guest_s_group_and_goes_before_it(connection: Connection) -> None:
    tree("memory")
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed")
    tpm = "<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>"
    limit = "<memtune><hard_limit unit='MiB'>700</hard_limit></memtune>"
    guest = connection.domain_define(xml(limit).replace("</domain>", f"{tpm}</domain>"))
    guest.start()
    folder = group(process(connection, guest.ref.key).pid, "memory")
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in said(folder, "cgroup.procs")[0].split()]
    assert sorted(names) == ["qemu-system-x86", "swtpm"]
    guest.destroy()
    assert left(guest) == []


def test_nodes_of_the_host_bind_what_no_back_end_binds(connection: Connection) -> None:
    tree("cpuset")
    cells = "<cell id='0' cpus='0' memory='8192'/><cell id='1' cpus='1' memory='8192'/>"
    nodes = "<memory mode='restrictive' nodeset='0'/><memnode cellid='1' mode='restrictive' nodeset='0'/>"
    guest = connection.domain_define(xml(f"<numatune>{nodes}</numatune><cpu><numa>{cells}</numa></cpu>"))
    guest.start()
    found = process(connection, guest.ref.key)
    whole = group(found.pid, "cpuset")
    assert whole.name.startswith("anyvirt-")
    assert said(whole, "cpuset.mems") == said(whole / "vcpu1", "cpuset.mems") == ["0"]
    threads = Path(f"/proc/{found.pid}/task")
    (thread,) = (path.name for path in threads.iterdir() if path.joinpath("comm").read_text().startswith("CPU 1/"))
    assert group(int(thread), "cpuset") == whole / "vcpu1"


def weighed(io: Hierarchy) -> bool:
    """Whether groups have a weight there; the root shows none."""
    probe = Path(io.mount, f"anyvirt-probe-{os.getpid()}")
    probe.mkdir()
    try:
        return any((probe / name).exists() for name in ("blkio.bfq.weight", "blkio.weight"))
    finally:
        probe.rmdir()


def test_a_block_device_is_throttled(connection: Connection) -> None:
    io = tree("io")
    found = (path for path in Path("/sys/block").iterdir() if not path.name.startswith(("loop", "ram", "zram", "sr")))
    disk = next((Path("/dev", path.name) for path in found if Path("/dev", path.name).is_block_device()), None)
    if disk is None or io.version != 1:
        pytest.skip("needs root on a host with a disk and version 1 of control groups")
    if not weighed(io):
        pytest.skip("needs root on a host whose kernel weighs groups")
    limits = "<read_bytes_sec>1048576</read_bytes_sec><write_iops_sec>77</write_iops_sec>"
    device = f"<device><path>{disk}</path>{limits}</device>"
    guest = connection.domain_define(xml(f"<blkiotune><weight>300</weight>{device}</blkiotune>"))
    guest.start()
    number = os.stat(disk).st_rdev
    name = f"{os.major(number)}:{os.minor(number)}"
    folder = group(process(connection, guest.ref.key).pid, "io")
    files = ("blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device")
    assert said(folder, *files) == [f"{name} 1048576", f"{name} 77"]
    weight = next(path for path in (folder / "blkio.bfq.weight", folder / "blkio.weight") if path.exists())
    assert weight.read_text().strip() == "300"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Somebody who is killed on the way, and a guest with limits."""
    tree("cpu"), tree("memory")
    made = Scene(tmp_path, "")
    with made.open() as connection:
        connection.domain_define(made.xml("guest").replace("<os>", f"{TUNED}<os>"))
    yield made
    with made.open() as connection, suppress(VirtError):
        connection.lookup("guest").destroy()
    made.end()


def cut(scene: Scene, op: str, before: Callable[[Domain], None]) -> list[str]:
    """Have an operation cut off at each of its steps, with the next call after it; the steps."""
    steps: list[str] = []
    with scene.open() as connection:
        guest = connection.lookup("guest")
        while True:
            before(guest)
            said = scene.order(op, ref="guest", at=len(steps))
            if not said.get("killed"):
                return steps
            steps.append(said["steps"][-1])
            connection.recover()
            assert (guest.state().state is State.SHUTOFF) == (left(guest) == []), steps


def off(guest: Domain) -> None:
    if guest.state().state is not State.SHUTOFF:
        guest.destroy()
    assert left(guest) == []


def on(guest: Domain) -> None:
    if guest.state().state is State.SHUTOFF:
        guest.start()
    assert len(left(guest)) == 2


def test_a_starter_that_is_killed_at_any_step_leaves_groups_that_the_next_call_takes_away(scene: Scene) -> None:
    steps = cut(scene, "domain_start", off)
    assert {"prepare-groups", "make-group", "divide-group", "launch", "place-threads", "cont"} <= set(steps)


def test_an_end_that_is_cut_off_at_any_step_is_finished_by_the_next_call(scene: Scene) -> None:
    assert "remove-leftovers" in cut(scene, "domain_destroy", on)


def test_what_the_host_cannot_limit_is_refused_by_path_before_anything_happens(connection: Connection) -> None:
    tree("cpu")
    devices = "<device><path>/nonexistent</path><weight>200</weight></device>"
    devices += "<device><path>/dev/null</path><read_iops_sec>2</read_iops_sec></device>"
    words = f"<numatune><memory mode='restrictive' nodeset='0,77'/></numatune><blkiotune>{devices}</blkiotune>"
    guest = connection.domain_define(xml(f"<cputune><shares>300000</shares></cputune>{words}"))
    with pytest.raises(Invalid) as caught:
        guest.start()
    found = {problem.path: (problem.code, problem.text) for problem in caught.value.problems}
    assert found["/cputune/shares"][0] == "config.range"
    assert found["/blkiotune/device[/nonexistent]/weight"][0] == "file.not-found"
    assert found["/blkiotune/device[/dev/null]/read_iops_sec"] == ("config.invalid", "/dev/null is no block device")
    assert found["/numatune/memory/@nodeset"] == ("unsupported.config", "this host has no NUMA node 77")
    assert left(guest) == []


LIMITED = Tuning(
    limits=(
        LimitUse("memory.total", (1 << 30,), "/memtune/swap_hard_limit"),
        LimitUse("cpu.quota", (5000, 0), "/cputune/quota", "vcpu0"),
        LimitUse("cpu.quota", (5000, 0), "/cputune/quota", "vcpu1"),
    )
)


def test_a_controller_that_is_not_mounted_is_refused_by_path_once_for_each_element(tmp_path: Path) -> None:
    cpu = Hierarchy(1, frozenset({"cpu"}), str(tmp_path), str(tmp_path))
    found = list(groups.blockers(LIMITED, {}, (cpu,)))
    assert [(x.path, x.code) for x in found] == [("/memtune/swap_hard_limit", "unsupported.config")]
    both = [(x.path, x.code) for x in groups.blockers(LIMITED, {}, ())]
    assert both == [("/memtune/swap_hard_limit", "unsupported.config"), ("/cputune/quota", "unsupported.config")]


def test_groups_of_somebody_else_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """A user's session: version 2, where nothing is his."""
    (tmp_path / "cgroup.controllers").write_text("pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("\n")
    tree = Hierarchy(2, frozenset({"cpu", "memory"}), str(tmp_path), str(tmp_path))
    found = list(groups.blockers(LIMITED, {}, (tree,)))
    assert [(x.path, x.code) for x in found] == [("/memtune/swap_hard_limit", "denied"), ("/cputune/quota", "denied")]
    assert found[0].text == f"{tmp_path} has no controller cpu, memory"
    assert "Delegate=" in (found[0].hint or "")


def test_a_realtime_thread_cannot_be_in_a_group_of_version_1_that_is_made_anew(connection: Connection) -> None:
    if not threads._budget():
        pytest.skip("needs root on a host whose kernel divides realtime among groups")
    words = "<shares>300</shares><vcpusched vcpus='0' scheduler='fifo' priority='1'/>"
    guest = connection.domain_define(xml(f"<cputune>{words}</cputune>"))
    with pytest.raises(Invalid) as caught:
        guest.start()
    assert [problem.path for problem in caught.value.problems] == ["/cputune/vcpusched[0]/@scheduler"]
