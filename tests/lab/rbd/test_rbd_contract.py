"""The contract suite on pools of the type rbd, with a real cluster behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from anyvirt.testing.contract.removal import *  # noqa: F403
from anyvirt.testing.contract.storage import *  # noqa: F403
from anyvirt.testing.contract.transfers import *  # noqa: F403
from anyvirt.testing.contract.volumes import *  # noqa: F403
from storage_stage.ceph import Daemons

KEPT = "an upload to an image that was given up leaves what was there before, and nothing to go on with"
RAW = "images of a cluster are raw"


@pytest.fixture
def shared() -> bool:
    return True


@pytest.fixture
def patience() -> float:
    return 60.0


@pytest.fixture
def cannot() -> Mapping[str, str]:
    formats = dict.fromkeys((f"volume_create.config={kind}" for kind in ("qcow2", "luks", "vmdk")), RAW)
    return {
        **formats,
        "volume_resize.allocate": "a cluster takes the space of an image when it is written",
        "volume_upload.resume": KEPT,
        "volume_unfinished": KEPT,
        "volume_delete.trash": "a pool of a cluster keeps nothing that was deleted",
        "volume_restore": "a pool of a cluster keeps nothing that was deleted",
        "pool_build": "a pool of a cluster is made by who runs the cluster",
        "pool_delete": "a pool of a cluster is removed by who runs the cluster",
    }


@pytest.fixture
def pool_xml(plain: Daemons) -> Iterator[Callable[[str], str]]:
    def made(name: str) -> str:  # some tests look for the first <name>, and put a UUID before it
        source = f"<name >libvirt</name><host name='127.0.0.1' port='{plain.port}'/>"
        return f"<pool type='rbd'><name>{name}</name><source>{source}</source></pool>"

    yield made
    plain.empty()
