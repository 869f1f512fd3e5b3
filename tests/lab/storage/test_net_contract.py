"""A part of the contract suite on folders of servers, mounted by a far host: NFS, CIFS and GlusterFS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anyvirt.api import Run
from anyvirt.testing.contract.removal import test_a_deleted_volume_is_gone  # noqa: F401
from anyvirt.testing.contract.storage import pool, test_a_pool_is_active_between_start_and_stop  # noqa: F401
from anyvirt.testing.contract.volumes import test_a_volume_is_made_with_its_sizes  # noqa: F401
from storage_scenes import SERVER, net_xml

SOURCES = {"nfs": (SERVER, "/srv/nfs"), "cifs": (SERVER, "open"), "glusterfs": ("10.0.2.15", "/gv")}


@pytest.fixture(params=SOURCES)
def pool_xml(request: pytest.FixtureRequest, run: Run) -> Callable[[str], str]:
    host, folder = SOURCES[request.param]
    target = f"/srv/mounted-{request.param}"
    run("mkdir", "-p", target)
    xml = net_xml(request.param, folder, host=host, target=target)
    return lambda name: xml.replace("<name>n</name>", f"<name>{name}</name>")
