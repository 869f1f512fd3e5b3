"""What hosts say of their control groups, what limits become in files, and groups that systemd makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anyvirt.api import Busy, Failed
from anyvirt_host.local import groups, scope
from anyvirt_host.local.groups import Hierarchy, Limit

MIXED = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / {root}/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
38 31 0:35 /docker/a {root}/with\\040space rw,relatime - cgroup cgroup rw,blkio
40 31 0:37 / {root}/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / {root}/unified rw,relatime - cgroup2 cgroup2 rw
"""
OWN = "9:name=systemd:/x\n7:blkio:/docker/a/b\n1:cpu,cpuacct:/\n0::/user.slice/user@{uid}.service/a:b/c\n"


@pytest.fixture
def host(tmp_path: Path) -> tuple[str, str]:
    """A host with both versions, as the kernel tells of it."""
    unified = tmp_path / "unified"
    unified.mkdir()
    (unified / "cgroup.controllers").write_text("memory hugetlb cpuset\n")
    (tmp_path / "mountinfo").write_text(MIXED.format(root=tmp_path))
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(OWN.format(uid=os.geteuid()))
    return str(tmp_path / "mountinfo"), str(tmp_path / "proc/self/cgroup")


def test_each_hierarchy_has_its_controllers_and_the_group_of_this_process(host: tuple[str, str]) -> None:
    root = os.path.dirname(host[0])
    unified = f"{root}/unified"
    service = f"{unified}/user.slice/user@{os.geteuid()}.service"
    assert groups.hierarchies(*host) == (
        Hierarchy(1, frozenset({"cpu"}), f"{root}/cpu", f"{root}/cpu"),
        Hierarchy(1, frozenset({"io"}), f"{root}/with space", f"{root}/with space/b"),
        Hierarchy(2, frozenset({"memory", "cpuset"}), unified, f"{service}/a:b/c"),
    )
    last = groups.hierarchies(*host)[-1]
    assert scope.delegated(last, user=True) == service
    assert scope.delegated(last, user=False) == unified


HARD = Limit("memory.hard", (70,))


@pytest.mark.parametrize(
    ("one", "old", "new"),
    [
        (Limit("cpu.shares", (300,)), [("cpu.shares", "300")], [("cpu.weight", "300")]),
        (Limit("cpu.quota", (9, 0)), [("cpu.cfs_quota_us", "9")], [("cpu.max", "9 100000")]),
        (Limit("cpu.quota", (9, 8)), [("cpu.cfs_period_us", "8"), ("cpu.cfs_quota_us", "9")], [("cpu.max", "9 8")]),
        (Limit("cpuset.mems", (0, 2)), [("cpuset.mems", "0,2")], [("cpuset.mems", "0,2")]),
        (HARD, [("memory.limit_in_bytes", "70")], [("memory.max", "70")]),
        (Limit("memory.soft", (5,)), [("memory.soft_limit_in_bytes", "5")], [("memory.high", "5")]),
        (Limit("memory.soft", (0,)), [("memory.soft_limit_in_bytes", "0")], [("memory.high", "max")]),
        (Limit("memory.total", (90,)), [("memory.memsw.limit_in_bytes", "90")], [("memory.swap.max", "20")]),
        (
            Limit("io.weight", (500,)),
            [("blkio.bfq.weight|blkio.weight", "500")],
            [("io.bfq.weight|io.weight", "500")],
        ),
        (
            Limit("io.weight", (500,), "/dev/null"),
            [("blkio.bfq.weight_device|blkio.weight_device", "1:3 500")],
            [("io.bfq.weight|io.weight", "1:3 500")],
        ),
        (
            Limit("io.rbps", (7,), "/dev/null"),
            [("blkio.throttle.read_bps_device", "1:3 7")],
            [("io.max", "1:3 rbps=7")],
        ),
        (
            Limit("io.wiops", (7,), "/dev/null"),
            [("blkio.throttle.write_iops_device", "1:3 7")],
            [("io.max", "1:3 wiops=7")],
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
def test_a_limit_is_what_each_version_writes(one: Limit, old: list[object], new: list[object]) -> None:
    assert list(groups.written(1, one, [HARD])) == old
    assert list(groups.written(2, one, [HARD])) == new


def test_swap_alone_bounds_memory_first(tmp_path: Path) -> None:
    found = groups.written(1, Limit("memory.total", (90,)))
    assert [name for name, _ in found] == ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]


def test_a_limit_that_the_kernel_has_no_file_for_is_told(tmp_path: Path) -> None:
    tree = Hierarchy(2, frozenset({"io"}), str(tmp_path), str(tmp_path))
    with pytest.raises(Failed, match=r"has no io\.bfq\.weight or io\.weight"):
        groups.limit(tree, str(tmp_path), [Limit("io.weight", (100,))])


def test_groups_go_from_the_inside_out_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "guest/vcpu0").mkdir(parents=True)
    groups.remove(str(tmp_path / "guest"))
    groups.remove(str(tmp_path / "guest"))
    groups.prune([str(tmp_path / "a"), str(tmp_path)])
    assert not tmp_path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, or groups of one's own")
def test_a_group_that_holds_a_process_is_busy() -> None:
    tree = next((tree for tree in groups.hierarchies() if os.access(tree.mount, os.W_OK)), None)
    if tree is None or tree.version == 2:
        pytest.skip("needs root on a host with version 1 of control groups")
    folder = f"{tree.mount}/anyvirt-test-{os.getpid()}"
    groups.make(tree, folder, tree.controllers)
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        groups.join(folder, pid)
        with pytest.raises(Busy):
            groups.remove(folder, seconds=0.05)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        groups.remove(folder)
    groups.join(tree.mount, pid)  # it has ended


BUSCTL = """#!/bin/sh
echo "$@" >>{root}/asked
case "$*" in *StopUnit*gone*) echo "Call failed: Unit gone.scope not loaded." >&2; exit 1;; esac
case "$*" in *StopUnit*bad*) echo "Call failed: no" >&2; exit 1;; esac
while [ "$1" != au ]; do
    case "$1" in *.scope) unit=$1;; esac
    shift
    [ $# -gt 0 ] || exit 0
done
mkdir -p {root}/proc/$3 {root}/unified/machine.slice/$unit/guest
: >{root}/unified/machine.slice/$unit/guest/cgroup.procs
echo "0::/machine.slice/$unit" >{root}/proc/$3/cgroup
"""


def test_systemd_is_asked_for_a_scope_and_its_group_is_followed(host: tuple[str, str], tmp_path: Path) -> None:
    program = tmp_path / "busctl"
    program.write_text(BUSCTL.format(root=tmp_path))
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.defpath}"}
    assert scope.busctl(env, str(tmp_path)) == str(program)
    assert scope.busctl(env, str(tmp_path / "nothing")) == ""
    mounts, own = host
    with scope.begun("one.scope", "machine.slice", env, user=False, mounts=mounts, own=own) as folder:
        assert folder == f"{tmp_path}/unified/machine.slice/one.scope/guest"
        guard = int(Path(folder, "cgroup.procs").read_text())
        assert os.path.exists(f"/proc/{guard}")
    assert not os.path.exists(f"/proc/{guard}")
    asked = (tmp_path / "asked").read_text()
    words = "one.scope fail 4 Delegate b true CollectMode s inactive-or-failed Slice s machine.slice PIDs au 1"
    assert f"StartTransientUnit ssa(sv)a(sa(sv)) {words} {guard} 0\n" in asked
    scope.end("gone.scope", env, user=True)
    assert "--user call org.freedesktop.systemd1" in (tmp_path / "asked").read_text()
    with pytest.raises(Failed, match="StopUnit"):
        scope.end("bad.scope", env, user=False)


STARTER = """
import os, signal, sys
from anyvirt_host.local import child, scope
child.SETPRIV = "/none"
env = {"PATH": sys.argv[1]}
with scope.begun("one.scope", "machine.slice", env, user=False, mounts=sys.argv[2], own=sys.argv[3]) as folder:
    print(open(f"{folder}/cgroup.procs").read(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_keeps_a_scope_ends_with_its_starter_where_nothing_else_ends_it(
    host: tuple[str, str], tmp_path: Path
) -> None:
    program = tmp_path / "busctl"
    program.write_text(BUSCTL.format(root=tmp_path))
    program.chmod(0o755)
    words = [sys.executable, "-c", STARTER, f"{tmp_path}:{os.defpath}", *host]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    guard = int(done.stdout)
    end = time.monotonic() + 10
    while (living := lives(guard)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not living


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_path_of_groups_is_a_slice() -> None:
    assert scope.slice_of("/machine") == "machine.slice"
    assert scope.slice_of("/machine/lab-1.partition/b") == "machine-lab\\x2d1-b.slice"
