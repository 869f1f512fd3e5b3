"""VMware's own simulator of a vCenter or an ESXi host (vcsim of govmomi), built from Debian's source package."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import guest as small_guest
import pytest

RELEASE: Final = "bookworm"
KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LIBRARY: Final = "golang-github-vmware-govmomi"
PACKAGES: Final = ("golang-1.19-go", "golang-1.19-src", f"{LIBRARY}-dev", "golang-github-google-uuid-dev")
TOOLS: Final = ("apt-get", "dpkg-deb", "tar")
USER: Final = "root"
PASSWORD: Final = "vmware"
ASKED: Final = re.compile(r"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
START: Final = 10.0  # seconds; it takes 0.1 on a machine that has nothing else to do


@dataclass(frozen=True)
class Simulator:
    """One that runs, on loopback alone.

    :param address: host and port.
    """

    address: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def end(self) -> None:
        """Take it away; nothing of it is kept."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Server:
    """A simulator with a certificate of its own, and its file of what came in."""

    simulator: Simulator
    folder: Path
    scheme: str

    def uri(self, place: str = "", *, trust: str | None = None) -> str:
        """How it is reached; its certificate is trusted unless ``trust`` says otherwise."""
        trust = f"cacert={self.folder / 'cert.pem'}" if trust is None else trust
        return f"{self.scheme}://{USER}@127.0.0.1:{self.simulator.port}/{place}?{trust}"

    def asked(self) -> Counter[str]:
        """How often each method was asked for, up to now."""
        text = (self.folder / "trace").read_text(errors="replace")
        requests = (part.partition("Response: ")[0] for part in text.split("Request: ")[1:])
        return Counter(found[1] for part in requests if (found := ASKED.search(part)))


def certificate(folder: Path, address: str = "127.0.0.1") -> list[str]:
    """A key and a certificate that signs itself, for vcsim's command line."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=vcsim", "-addext", f"subjectAltName=IP:{address}", "-days", "2"]
    subprocess.run([*words, "-keyout", key, "-out", cert, *names], check=True, capture_output=True)
    return ["-tlscert", str(cert), "-tlskey", str(key)]


def program() -> Path:
    """The program, built once for this user; skips the test where it cannot be had.

    Packages are fetched and unpacked in a folder of the cache: nothing is installed, and no right is needed.
    """
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not KEYS.is_file():
        pytest.skip(f"{KEYS} is missing")
    cache = small_guest.cache_root().parent / "vcsim"
    kept = cache / f"vcsim-{hashlib.sha256(repr((RELEASE, PACKAGES)).encode()).hexdigest()[:16]}"
    if kept.is_file():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as scratch:
        built = _build(Path(scratch))
        for old in cache.glob("vcsim-*"):
            old.unlink()
        built.rename(kept)
    return kept


@contextmanager
def running(folder: Path, *words: str, address: str = "127.0.0.1:0") -> Iterator[Simulator]:
    """One that answers, for as long as the block lasts.

    :param words: more for its command line: ``-esx``, ``-vm 10``, ``-tlscert FILE`` ...
    """
    said = folder / "vcsim.env"
    command = [str(program()), "-l", address, "-username", USER, "-password", PASSWORD, *words]
    with said.open("wb") as out, (folder / "vcsim.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)
    try:
        yield Simulator(_address(said, process, folder / "vcsim.log"), process)
    finally:
        process.kill()
        process.wait()


def _address(said: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START
    while time.monotonic() < end:
        text = said.read_text()
        if "GOVC_URL=" in text and "\n" in text:
            return text.partition("GOVC_URL=")[2].split()[0].rpartition("@")[2].partition("/")[0]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    pytest.fail(f"vcsim did not come up: {log.read_text(errors='replace')[-2000:]}")


def _build(scratch: Path) -> Path:
    apt = _apt(scratch)
    debs, root, source = (scratch / name for name in ("debs", "root", "source"))
    for folder in (debs, root, source):
        folder.mkdir()
    _do(["apt-get", "-q", "update"], scratch, apt)
    _do(["apt-get", "-q", "download", *PACKAGES], debs, apt)
    for deb in debs.iterdir():
        _do(["dpkg-deb", "-x", str(deb), str(root)], scratch, apt)
    _do(["apt-get", "-q", "source", "--download-only", LIBRARY], source, apt)
    for archive in source.glob("*.orig.tar.*"):
        _do(["tar", "xf", str(archive)], source, apt)
    main = next(source.glob("*/vcsim/main.go"), None)
    if main is None:
        pytest.skip(f"package {LIBRARY} is missing: vcsim/main.go")
    go = root / "usr/lib/go-1.19"
    ways = {"GOROOT": str(go), "GOPATH": str(root / "usr/share/gocode"), "GOCACHE": str(scratch / "cache")}
    fixed = {"GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0", "HOME": str(scratch)}
    _do([str(go / "bin/go"), "build", "-o", str(scratch / "vcsim"), str(main)], scratch, {**apt, **ways, **fixed})
    return scratch / "vcsim"


def _apt(scratch: Path) -> Mapping[str, str]:
    """An environment in which apt keeps all that it knows in that folder."""
    mirror = _mirror()
    line = f"[signed-by={KEYS}] {mirror} {RELEASE} main\n"
    (scratch / "sources.list").write_text(f"deb {line}deb-src {line}")
    for name in ("lists/partial", "archives/partial"):
        (scratch / name).mkdir(parents=True)
    lines = {
        "Dir::Etc::sourcelist": scratch / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    (scratch / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in lines.items()))
    return {**os.environ, "APT_CONFIG": str(scratch / "apt.conf"), "LC_ALL": "C"}


def _mirror() -> str:
    """Where this machine takes Debian's packages from."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    return next((uri for uri in said if uri.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")


def _do(words: list[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(words, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"package {LIBRARY} is missing: {words[0]}: {(done.stdout + done.stderr)[-300:]}")
