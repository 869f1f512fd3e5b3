"""What ``./bootstrap`` does before a session starts, on machines put together from stand-ins for apt and Python."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[2] / "bootstrap"
# What any Debian has; the machine's PATH holds these and what a test adds.
ESSENTIAL = ("sh", "env", "cat", "cksum", "dirname", "id", "mktemp", "printf", "rm", "tr", "mkdir", "ln", "chmod")
PYTHON = """#!/bin/sh
case "$*" in
-V) echo Python 3.13.0 ;;
*venv*ensurepip* | *ensurepip*venv*) [ -e "{root}/has-venv" ] ;;
"-c "*) exit 0 ;;
"-m venv "*)
    mkdir -p "$3/bin" && echo made >>"{root}/log"
    printf '#!/bin/sh\\necho pip "$@" >>"{root}/log"\\n' >"$3/bin/python"
    printf '#!/bin/sh\\necho nox "$@"\\n' >"$3/bin/nox"
    chmod +x "$3/bin/python" "$3/bin/nox" ;;
esac
"""
APT = """#!/bin/sh
echo apt "$@" >>"{root}/log"
case "$*" in *install*) {install} ;; esac
"""


class Machine:
    """A checkout and a PATH of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        (root / "checkout").mkdir()
        shutil.copy(BOOTSTRAP, root / "checkout" / "bootstrap")
        for name in ESSENTIAL:
            (root / "bin" / name).symlink_to(shutil.which(name) or name)
        self.add("python-of-a-test", PYTHON.format(root=root))
        (root / "has-venv").touch()

    def add(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def with_apt(self, install: str = "true") -> None:
        self.add("apt-get", APT.format(root=self.root, install=install))

    def as_user(self, number: int) -> None:
        (self.root / "bin" / "id").unlink()
        self.add("id", f"#!/bin/sh\necho {number}\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(self.root / "checkout" / "bootstrap"), *words],
            env={"PATH": str(self.root / "bin"), "ANYVIRT_PYTHON": str(self.root / "bin" / "python-of-a-test")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_session_runs_with_its_arguments(machine: Machine) -> None:
    done = machine.run("unit", "-k", "two words")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("--session unit -- -k two words\n")


def test_the_second_time_nothing_is_made(machine: Machine) -> None:
    machine.run("unit")
    first = machine.log()
    done = machine.run("unit")
    assert done.returncode == 0
    assert machine.log() == first
    assert done.stderr == ""


def test_the_environment_is_made_anew_when_the_checkout_has_moved(machine: Machine) -> None:
    machine.run("unit")
    (machine.root / "checkout").rename(machine.root / "elsewhere")
    (machine.root / "elsewhere").rename(machine.root / "checkout")
    stamp = machine.root / "checkout" / ".venv" / "stamp"
    stamp.write_text(stamp.read_text(encoding="utf-8").replace(str(machine.root), "/elsewhere"), encoding="utf-8")
    machine.run("unit")
    assert machine.log().count("made") == 2


def test_root_installs_what_the_demo_misses_and_not_what_is_there(machine: Machine) -> None:
    machine.with_apt()
    machine.as_user(0)
    machine.add("qemu-img", "#!/bin/sh\n")
    assert machine.run("demo").returncode == 0
    (line,) = [line for line in machine.log().splitlines() if line.startswith("apt ") and " install " in line]
    assert line.endswith("qemu-system-x86")


def test_a_tool_may_take_several_packages(machine: Machine) -> None:
    machine.with_apt()
    machine.as_user(0)
    assert machine.run("bench").returncode == 0
    (line,) = [line for line in machine.log().splitlines() if line.startswith("apt ") and " install " in line]
    assert line.endswith(" libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu python3-libvirt")


def test_a_user_whom_nobody_can_ask_is_told_and_goes_on(machine: Machine) -> None:
    machine.with_apt()
    machine.as_user(1000)
    machine.add("sudo", f"#!/bin/sh\necho sudo >>{machine.root}/log\n")
    done = machine.run("demo")
    assert done.returncode == 0
    assert "sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils" in done.stderr
    assert "sudo" not in machine.log()


def test_a_user_without_sudo_is_told_and_goes_on(machine: Machine) -> None:
    machine.with_apt()
    machine.as_user(1000)
    done = machine.run("demo")
    assert done.returncode == 0
    assert "neither root nor sudo; going on without: qemu-system-x86 qemu-utils" in done.stderr


def test_what_apt_says_is_shown_when_it_fails(machine: Machine) -> None:
    machine.with_apt("echo no such package >&2; exit 100")
    machine.as_user(0)
    done = machine.run("demo")
    assert done.returncode == 0
    assert "no such package" in done.stderr
    assert "going on without" in done.stderr


def test_a_python_without_venv_is_named_with_its_package(machine: Machine) -> None:
    (machine.root / "has-venv").unlink()
    done = machine.run("unit")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_help_names_both_words_and_an_unknown_option_is_a_usage_error(machine: Machine) -> None:
    shown = machine.run("--help")
    assert shown.returncode == 0
    assert "./bootstrap demo" in shown.stdout
    assert "./bootstrap tests" in shown.stdout
    assert machine.run("--frobnicate").returncode == 2
    assert machine.log() == ""
