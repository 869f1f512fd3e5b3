"""A Debian with LVM, NFS, CIFS, GlusterFS, iSCSI and several paths to one disk, none of which this machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import debian_stage
import pytest
from anyvirt.api import Connection, Run
from anyvirt.settings import Settings
from anyvirt.transport.far import FarRun
from anyvirt.transport.ssh import SshRun
from anyvirt.uri import Uri
from storage_scenes import PASSWORDS

SLOW = 120.0  # seconds
SERVERS = f"""
mkdir -p /srv/nfs /srv/smb /srv/brick
systemctl start nfs-server rpcbind smbd glusterd tgt iscsid
useradd -M joe && printf '%s\\n' {PASSWORDS["right"]} {PASSWORDS["right"]} | smbpasswd -s -a joe
gluster --mode=script volume create gv 10.0.2.15:/srv/brick force && gluster --mode=script volume start gv
truncate -s 64M /srv/unit1 && truncate -s 32M /srv/unit2 && cp --sparse=always /srv/unit1 /srv/unit3
tgt() {{ tgtadm --lld iscsi "$@"; }}
tgt --op new --mode target --tid 1 -T iqn.2026-01.test:store
tgt --op new --mode logicalunit --tid 1 --lun 1 -b /srv/unit1
tgt --op new --mode logicalunit --tid 1 --lun 2 -b /srv/unit2
tgt --op new --mode target --tid 2 -T iqn.2026-01.test:locked
tgt --op new --mode logicalunit --tid 2 --lun 1 -b /srv/unit3
tgt --op new --mode account --user joe --password {PASSWORDS["right"]}
tgt --op bind --mode account --tid 2 --user joe
tgt --op bind --mode target --tid 1 -I ALL
tgt --op bind --mode target --tid 2 -I ALL
modprobe scsi_debug dev_size_mb=48 num_tgts=1 max_luns=2 add_host=2 vpd_use_hostno=0
udevadm settle
modprobe dm-multipath && systemctl start multipathd && multipath -v0; udevadm settle
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write down what the tools say, for tests without them")
    parser.addoption("--machine", default="", help="folder of a machine that runs already, for whoever writes tests")


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[debian_stage.Machine]:
    given = request.config.getoption("--machine")
    if given:
        yield debian_stage.running(Path(given))
        return
    made = debian_stage.started(debian_stage.image(), tmp_path_factory.mktemp("machine"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def run(machine: debian_stage.Machine) -> Iterator[Run]:
    """Runs programs on it, in shells that stay: a session of ssh for each takes a second there."""
    with closing(SshRun(Uri.of(machine.uri()), Settings.read())) as ssh, closing(FarRun(ssh.begin, "store")) as made:
        yield made


@pytest.fixture(scope="session")
def servers(run: Run) -> None:
    """What it serves to itself."""
    if run("test", "-d", "/srv/nfs").code == 0:
        return
    out = run("sh", "-e", input=SERVERS)
    assert out.code == 0, (out.text, out.err.decode())


@pytest.fixture
def connection_uri(machine: debian_stage.Machine, servers: None) -> str:
    return machine.uri()


@pytest.fixture
def connection(open_connection: Callable[..., Connection]) -> Connection:
    """Its calls have the time that an emulated machine takes."""
    return open_connection(timeout=SLOW)


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def patience() -> float:
    return SLOW
