"""All of the contract suite about pools and volumes, on a pool of the type dir of another host."""

from __future__ import annotations

from anyvirt.testing.contract.pools import *  # noqa: F403
