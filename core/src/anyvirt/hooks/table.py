"""Every spec by name: what a plug-in is checked against and clients are generated from."""

from __future__ import annotations

from typing import Final

from anyvirt.hooks.config import ConfigSpec
from anyvirt.hooks.connect import ConnectSpec
from anyvirt.hooks.domain import DomainSpec
from anyvirt.hooks.network import NetworkSpec
from anyvirt.hooks.secret import SecretSpec
from anyvirt.hooks.spec import Spec, specs_of
from anyvirt.hooks.stats import StatsSpec
from anyvirt.hooks.storage import StorageSpec

AREAS: Final[tuple[type, ...]] = (ConnectSpec, DomainSpec, StorageSpec, SecretSpec, NetworkSpec, StatsSpec, ConfigSpec)

# these belong to a plug-in's module, the rest to what connect_open and service_open give
OPENERS: Final = ("connect_open", "service_open", "config_import", "config_export")

SPECS: Final[dict[str, Spec]] = {name: meta for area in AREAS for name, meta in specs_of(area).items()}
