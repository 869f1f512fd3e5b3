"""A server that went away while a pool of its was active."""

from __future__ import annotations

import time

import pytest
from anyvirt.api import Deadline, Interrupted, Run, within
from anyvirt_host.storage.kinds.net import PATIENCE, NetPool
from storage_scenes import net_xml, pool_of


@pytest.mark.usefixtures("servers")
def test_a_folder_of_a_server_that_is_gone_is_unmounted_without_it(run: Run) -> None:
    pool = NetPool(run)
    definition = pool.live(pool_of(net_xml("nfs", "/srv/nfs")))
    live = pool.start(definition)
    run("systemctl", "stop", "nfs-server").ok()
    try:
        began = time.monotonic()
        pool.stop(live)
        assert time.monotonic() - began < 12 * PATIENCE
        assert run("findmnt", "/mnt").code == 1
        pool.stop(live)
        with pytest.raises(Interrupted), within(Deadline(10.0)):  # mount itself would try for two minutes
            pool.start(definition)
    finally:
        run("systemctl", "start", "nfs-server").ok()
    pool.stop(pool.start(definition))
