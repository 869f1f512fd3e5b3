"""A real QEMU takes every command line of the golden files: it starts paused and answers."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyvirt.api import Interrupted, NotFound, ProcessId, Unreachable, VirtError, unix
from anyvirt_host.local import tap
from anyvirt_host.local.launch import Spec, launch
from anyvirt_qemu.planning.plan import FdUse, Paths, Plan
from anyvirt_qemu.probing import emulators
from anyvirt_qemu.probing.capability import probe
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.qmp import failure, journal
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.monitor import Monitor
from anyvirt_qemu.run_dir import RunDir

IMAGES = (
    "plain.img",
    "a,b=c.img",
    "shared.img",
    "floppy.img",
    "cd.iso",
    "code.fd",
    "vars.fd",
    "mine.fd",
    "vmlinuz",
    "initrd",
)


Real = Callable[[str], Caps]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    """The QEMU of this machine for a document, probed."""
    cache = tmp_path_factory.mktemp("cache")

    def find(text: str) -> Caps:
        named = re.search(r"<type[^>]*\barch='(\w+)'", text)
        name = emulators.names(named[1] if named else emulators.native())[0]
        binary = shutil.which(name)
        if binary is None:
            pytest.skip(f"{name} is not installed")
        return Caps(probe(binary, cache))

    return find


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with everything that the documents name."""
    for name in IMAGES:
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 20)
    with (tmp_path / "vmlinuz").open("r+b") as kernel:  # as much of Linux's boot protocol as QEMU looks at
        kernel.seek(0x1F1)
        kernel.write(b"\1")
        kernel.seek(0x202)
        kernel.write(b"HdrS\x0c\x02")
        kernel.seek(0x22C)
        kernel.write(b"\xff\xff\xff\x7f")
    for name in ("folder", "a,b"):
        (tmp_path / name).mkdir()
    for name, below in (("base", "plain.img"), ("top", "base.qcow2")):
        (tmp_path / f"{name}.qcow2").write_bytes(qcow2(below, b"raw" if name == "base" else b"qcow2"))
    return tmp_path


def locked(folder: Path) -> None:
    """Images that only secrets open, as ``conftest`` has them."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing")
    for name, form, prefix, secret in (("luks", "luks", "", b"one"), ("qcow2", "qcow2", "encrypt.", b"three")):
        options = f"{prefix}key-secret=s,{prefix}iter-time=10" + (",encrypt.format=luks" if prefix else "")
        data = base64.b64encode(secret).decode()
        argv = ["qemu-img", "create", "-q", "-f", form, "--object", f"secret,id=s,format=base64,data={data}"]
        argv += ["-o", options, str(folder / f"locked.{name}"), "1M"]
        for last in (*[False] * 29, True):  # at times it cannot time its own hashing, and gives up
            if subprocess.run(argv, check=last, timeout=60, capture_output=True).returncode == 0:
                break


def qcow2(backing: str, form: bytes, size: int = 1 << 20) -> bytes:
    """An empty image with a backing file: header, one table of reference counts, one of clusters."""
    cluster = 1 << 16
    name = backing.encode()
    head = b"QFI\xfb" + b"".join(
        number.to_bytes(width, "big")
        for number, width in (
            (3, 4), (512, 8), (len(name), 4), (16, 4), (size, 8), (0, 4), (1, 4), (3 * cluster, 8),
            (cluster, 8), (1, 4), (0, 4), (0, 8), (0, 8), (0, 8), (0, 8), (4, 4), (104, 4),
        )
    )  # fmt: skip
    head += (0xE2792ACA).to_bytes(4, "big") + len(form).to_bytes(4, "big") + form.ljust(8, b"\0")
    head = head.ljust(512, b"\0") + name
    table = (2 * cluster).to_bytes(8, "big").ljust(cluster, b"\0")
    counts = (b"\0\1" * 4).ljust(cluster, b"\0")
    return head.ljust(cluster, b"\0") + table + counts + b"\0" * cluster


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[Callable[[Plan, RunDir], ProcessId]]:
    """Starts a plan with ``-S``, and ends it after the test."""
    started: list[ProcessId] = []

    def start(plan: Plan, run: RunDir) -> ProcessId:
        journal.prepare(run.q)
        with ExitStack() as stack:
            fds = _descriptors(plan, run, stack)
            spec = Spec(argv=plan.argv, env=plan.env, fds=fds, cwd=plan.cwd, log=(run.q, "log"))
            started.append(launch(spec, name="guest"))
        return started[-1]

    yield start
    for process in started:
        process.signal(9)
        process.wait(10)


def _descriptors(plan: Plan, run: RunDir, stack: ExitStack) -> dict[int, int]:
    queues: dict[str, list[int]] = {}
    for use in plan.taps:
        made = tap.create("anyvt%d", queues=use.queues)
        stack.callback(made.close)
        queues[use.alias] = list(made.fds)
    return {use.number: _descriptor(use, plan, run, stack, queues) for use in plan.fds}


def _descriptor(use: FdUse, plan: Plan, run: RunDir, stack: ExitStack, queues: dict[str, list[int]]) -> int:
    if use.kind == "tap":
        return queues[use.target].pop(0)
    if use.kind == "secret":
        fd = os.memfd_create(use.target)
        stack.callback(os.close, fd)
        os.write(fd, plan.secrets[use.target])
        return fd
    if use.kind == "open":
        fd = os.open(use.target, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        return fd
    folder, name = (run.fd, use.target) if use.kind != "listen" else (run.q, os.path.basename(use.target))
    return stack.enter_context(unix.listen(folder, name)).fileno()


def _device_of(qdev: str) -> str:
    """Id of a device from ``/machine/peripheral/ID/...``, or from the id itself."""
    return [*qdev.split("/"), "", ""][3] if qdev.startswith("/") else qdev


def _possible(text: str, plan: Plan) -> None:
    if "type='kvm'" in text:
        pytest.skip("the golden files hold what KVM gets; KVM is not asked for here")
    if plan.taps and (os.geteuid() != 0 or tap.problem()):
        pytest.skip(tap.problem() or "a tap device takes root")
    for use in plan.fds:
        if use.kind == "open" and not _device(use.target):
            pytest.skip(f"{use.target} is missing or refused")


def _device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode) and os.access(path, os.R_OK | os.W_OK)
    except FileNotFoundError:
        return False


def test_qemu_starts_what_is_planned_and_answers(
    document: Path,
    real: Real,
    files: Path,
    planned: Callable[..., Plan],
    paused: Callable[[Plan, RunDir], ProcessId],
) -> None:
    run = RunDir.create(files, "run")
    if document.stem in {"beside", "disks-net", "passed-on", "protected", "tpm-outside"}:
        pytest.skip("servers and host devices of the golden files are not here")
    if document.stem == "disks-locked":
        locked(files)
    text = document.read_text().replace("/images/", f"{files}/").replace("/sockets/", f"{run.guest_path}/")
    paths = Paths(guest=run.guest_path, nvram=str(files))
    plan = planned(text, caps=real(text), paths=paths)
    _possible(document.read_text(), plan)
    process = paused(plan, run)
    try:
        monitor = Monitor(run.place("ctl"), "guest", greeting=20)
    except (Interrupted, NotFound, Unreachable):
        raise failure.ended(run.log_tail("log"), "guest") from None
    with monitor:
        assert monitor.execute("query-status")["status"] == "prelaunch"
        answers = monitor.execute_many([Command(step.command, step.arguments) for step in plan.steps])
        assert not [answer for answer in answers if isinstance(answer, VirtError)]
        names = {row["name"] for row in monitor.execute("qom-list", path="/machine/peripheral")}
        assert {disk.alias for disk in plan.disks} <= names
        chardevs = {row["label"] for row in monitor.execute("query-chardev")}
        assert {console.chardev for console in plan.consoles} <= chardevs
        inserted = {_device_of(row["qdev"]): row for row in monitor.execute("query-block") if row.get("qdev")}
        for disk in plan.disks:
            if disk.nodes:
                assert inserted[disk.alias]["inserted"]["node-name"] == disk.nodes[0].node
    assert process.alive()
    run.close()
