"""Secrets of a host that has nothing but a shell: files of its own, and nothing of its kernel."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Scope, Secret, Unsupported
from anyvirt.far import FarScope
from anyvirt.testing import connected
from anyvirt.transport.far import FarRun
from anyvirt_host.secret.keyring import OtherKernel
from anyvirt_host.secret.safe import Safe
from anyvirt_host.secret.service import Alone
from anyvirt_host.secret.site import Site

VALUE = b"Tr0ub4dor\n\x00\xff"
RELAY = 'cat | setsid sh -c "$0" | cat'
Spoken = list[str]


@pytest.fixture
def spoken() -> Spoken:
    """The command lines that were sent."""
    return []


@pytest.fixture
def tools(spoken: Spoken) -> Iterator[FarRun]:
    def begin(command: str) -> subprocess.Popen[bytes]:
        spoken.append(command)
        pipe = subprocess.PIPE
        words = ["sh", "-c", RELAY, command]
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)

    made = FarRun(begin, "far")
    yield made
    made.close()


@pytest.fixture
def far(tools: FarRun, tmp_path: Path) -> Connection:
    scope = FarScope.find("session", tools, str(tmp_path / "state"))
    store = scope.files("secret")
    site = Site(store, scope.locks, Safe(store, tools, scope.state, OtherKernel()))
    return connected(Alone(lambda: site), "secret:///session")


def test_a_far_host_keeps_values_in_files_of_its_own(
    far: Connection, secret_xml: Callable[..., str], tmp_path: Path, spoken: Spoken
) -> None:
    one = far.secret_define(secret_xml())
    one.set_value(Secret(VALUE.decode("utf-8", "surrogateescape")))
    assert one.value().reveal().encode("utf-8", "surrogateescape") == VALUE
    near = Scope.find("session", state_dir=tmp_path / "state").files("secret")
    assert near.blob("secret", one.ref.key, "value")
    (file,) = (tmp_path / "state/session/secret/_blob/secret/value").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any("Tr0ub4dor" in line or "VHIwdWI0ZG9y" in line for line in spoken)
    one.undefine()
    assert not file.exists()


def test_a_far_kernel_keeps_nothing(far: Connection, secret_xml: Callable[..., str], tmp_path: Path) -> None:
    one = far.secret_define(secret_xml())
    passing = far.secret_define(secret_xml("tls", "pki", ephemeral=True))
    for secret, keeper in ((one, "keyring"), (passing, "file")):
        with pytest.raises(Unsupported, match="it is another host's"):
            secret.set_value(Secret("hidden"), keeper)
        assert not secret.info().has_value
    assert far.recover() == ()
    assert not list(tmp_path.rglob("value/*"))
