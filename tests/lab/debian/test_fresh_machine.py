"""``./bootstrap`` on fresh Debian machines that have Python and nothing else, made with debootstrap."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CHECKOUT = "/root/anyvirt"
PATIENCE = 900.0  # seconds for one session, with all that it fetches and installs first
# Mounts what a machine has, its root too, then becomes the machine. The namespaces end with the last process in them.
ENTER = """
mount --bind "$1" "$1" && mount -t proc proc "$1/proc" &&
mount --rbind /dev "$1/dev" && mount --bind -o ro /sys "$1/sys" &&
exec chroot "$1" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin CI=true sh -c "cd %s && $2"
"""


class Machine:
    """A fresh Debian in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sh(self, command: str) -> subprocess.CompletedProcess[str]:
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*namespaces, "sh", "-c", ENTER % CHECKOUT, "sh", str(self._folder), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )


def _mirror() -> str:
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return next((uri for uri in said if uri.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")


def _image(release: str) -> Path:
    """The machine as debootstrap leaves it, kept in the user's cache."""
    cache = Path.home() / ".cache" / "anyvirt" / "debian"
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / f"{release}-python.tar"
    if image.exists():
        return image
    made = cache / f".{release}-{os.getpid()}"
    try:
        words = ["--variant=minbase", "--include=python3,ca-certificates", release, str(made), _mirror()]
        subprocess.run(["debootstrap", *words], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(made / "var/lib/apt/lists")
        with tarfile.open(made.with_suffix(".tar"), "w") as archive:
            archive.add(made, ".", filter=lambda member: None if member.isdev() else member)
        made.with_suffix(".tar").rename(image)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return image


def _put_checkout(folder: Path) -> None:
    """What a clone would bring, together with what is not committed yet."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / CHECKOUT.lstrip("/") / name
        if source.is_file() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target, follow_symlinks=False)


def _connect(folder: Path) -> None:
    """The way to the network that this machine has: names, certificates, pip's index."""
    for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"):
        if Path(name).exists():
            (folder / name.lstrip("/")).unlink(missing_ok=True)
            shutil.copy(name, folder / name.lstrip("/"))


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if os.geteuid():
        pytest.skip("making a Debian machine needs root")
    for tool in ("debootstrap", "unshare", "git"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("fresh") / "machine"
    folder.mkdir(mode=0o755)
    subprocess.run(["tar", "-xf", str(_image(request.param)), "-C", str(folder)], check=True)
    _put_checkout(folder)
    _connect(folder)
    made = Machine(folder)
    assert made.sh("command -v qemu-system-x86_64 || command -v pip").returncode != 0
    yield made
    shutil.rmtree(folder)


def test_the_demo_runs_on_a_machine_that_has_only_python(machine: Machine) -> None:
    demo = machine.sh("./bootstrap demo")
    assert demo.returncode == 0, demo.stdout
    assert re.search(r"bootstrap: installing .*qemu-system-x86", demo.stdout)
    assert "anyvirt-guest:~# " in demo.stdout, demo.stdout


def test_core_holds_on_the_python_of_that_release(machine: Machine) -> None:
    done = machine.sh("./bootstrap unit -q -n 2")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b[1-9][0-9]* passed", done.stdout)
