"""``kill -9`` of the managing process as it asks the system for something, wherever that is in its code."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from qemu_stage.operations import OPERATIONS, again, cleaned, order
from qemu_stage.scene import Scene

# kills of each operation, anywhere in it; "all" is one at every call, some ten minutes
KILLS = os.environ.get("ANYVIRT_TEST_SYSCALL_KILLS", "4")
SEED = int(os.environ.get("ANYVIRT_TEST_SEED", str(random.randrange(1 << 32))))
CUT_OFF = ("domain_define", "domain_start", "domain_create", "domain_destroy", "domain_undefine")
# What can change anything outside of the process; a question mark is for those that a machine does not have.
CALLS = ",".join(
    f"?{name}"
    for name in (
        *("open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2"),
        *("unlink", "unlinkat", "rmdir", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat"),
        *("chown", "fchown", "fchownat", "write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range"),
        *("ftruncate", "truncate", "fallocate", "fsync", "fdatasync", "flock", "ioctl", "utimensat", "setxattr"),
        *("socket", "bind", "connect", "listen", "accept4", "sendto", "sendmsg", "shutdown", "pipe2", "close"),
        *("clone", "clone3", "vfork", "fork", "wait4", "waitid", "kill", "pidfd_open", "pidfd_send_signal"),
    )
)


@pytest.fixture(scope="module")
def strace() -> None:
    """Skips where nothing can be traced."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with subprocess.Popen(["sleep", "60"]) as child:
        argv = ["timeout", "--signal=INT", "0.3", "strace", "-p", str(child.pid)]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
        child.kill()
    if "attached" not in said:
        pytest.skip(f"strace cannot trace here: {said.strip()[-200:]}")


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("op", CUT_OFF)
def test_killed_at_random_system_calls_an_operation_leaves_nothing_that_the_next_call_does_not_settle(
    scene: Scene, op: str, tmp_path: Path
) -> None:
    dice = random.Random(f"{SEED} {op}")
    trace = tmp_path / "trace"
    with scene.open() as connection:
        again(scene, connection, op)
        order(scene, op, traced=(trace, f"trace={CALLS}"))
        calls = re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE)
        places = range(1, len(calls) + 1)
        chosen = places if KILLS == "all" else sorted(dice.sample(places, min(int(KILLS), len(places))))
        print(f"ANYVIRT_TEST_SEED={SEED}: {op} is killed at {list(chosen)} of {len(calls)} calls")
        killed = 0
        for at in chosen:
            name = calls[at - 1]  # strace counts each kind of call for itself
            again(scene, connection, op)
            said = order(scene, op, traced=(trace, f"inject={name}:signal=KILL:when={calls[:at].count(name)}"))
            killed += said["killed"]
            try:
                cleaned(scene, connection, op, recover=dice.random() < 0.5)
            except BaseException as error:
                error.add_note(f"{op} was killed at call {at} of {len(calls)}: {trace.read_text().splitlines()[-5:]}")
                raise
        assert killed > len(chosen) * 0.7, "what it asks for differs from run to run"


def test_the_operations_are_those_that_have_steps_too() -> None:
    assert set(CUT_OFF) <= set(OPERATIONS)
