"""Which plug-ins are installed; one is imported when it is asked for, none before."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from anyvirt.errors import BadDriver, Unsupported, VirtError

if TYPE_CHECKING:
    from anyvirt.settings import Settings

DRIVERS: Final = "anyvirt.drivers"
SERVICES: Final = "anyvirt.services"
WRAPPERS: Final = "anyvirt.wrappers"
NAMESPACES: Final = "anyvirt.namespaces"
FORMATS: Final = "anyvirt.formats"
KEPT: Final = 16  # files of the cache
KEPT_SECONDS: Final = 30 * 86400
GROUPS: Final = (DRIVERS, SERVICES, WRAPPERS, NAMESPACES, FORMATS)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: ``name`` (a URI scheme, a service ...) of a distribution."""

    group: str
    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import it.

        :raises BadDriver: where the import fails; the cause is chained.
        """
        module, _, attribute = self.value.partition(":")
        try:
            found: Any = import_module(module)
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
        except VirtError:
            raise
        except Exception as error:
            last = f"{type(error).__name__}: {error}"
            raise BadDriver(self.distribution, f"cannot be imported: {last}", version=self.version) from error
        return found


def plugins(group: str, settings: Settings | None = None) -> tuple[Plugin, ...]:
    """Every plug-in of a group, without importing any."""
    table = _cached(settings) if settings else None
    if table is None:
        table = [plugin for name in GROUPS for plugin in _scan(name)]
        if settings:
            _remember(settings, table)
    return tuple(plugin for plugin in table if plugin.group == group)


def one(group: str, name: str, settings: Settings | None = None, *, distribution: str | None = None) -> Plugin | None:
    """The plug-in of that name, or None.

    :param distribution: which one, where several have the name.
    :raises BadDriver: (``driver.clash``) where two distributions claim the name.
    """
    found = [plugin for plugin in plugins(group, settings) if plugin.name == name]
    if distribution is not None:
        found = [plugin for plugin in found if _same(plugin.distribution, distribution)]
    if len(found) > 1:
        both = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in found)
        raise BadDriver(both, f"both claim {name!r} in {group}", code="driver.clash")
    return found[0] if found else None


def driver(scheme: str, settings: Settings | None = None) -> Plugin:
    """The driver of a URI scheme.

    :raises Unsupported: (``connect.no-driver``) where none is installed; the hint says which to install.
    """
    found = one(DRIVERS, scheme, settings)
    if found is None:
        known = sorted({plugin.name for plugin in plugins(DRIVERS, settings)})
        there = f"installed: {', '.join(known)}" if known else "no driver is installed"
        error = Unsupported("anyvirt", f"the scheme {scheme!r}", hint=f"{_meant(scheme, known)}; {there}")
        error.code = "connect.no-driver"
        raise error
    return found


def _meant(scheme: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(scheme, known, n=1)
    return f"did you mean {near[0]}:///?" if near else f"pip install anyvirt-{scheme}"


def _same(a: str, b: str) -> bool:
    return a.lower().replace("_", "-") == b.lower().replace("_", "-")


def _scan(group: str) -> Iterator[Plugin]:
    # 40 ms and more: only where the cache below does not know
    from importlib_metadata import entry_points

    for point in entry_points(group=group):
        dist = point.dist
        yield Plugin(group, point.name, point.value, dist.name if dist else "?", dist.version if dist else "?")


def _stamp() -> list[object]:
    marks = []
    for entry in sys.path:
        try:
            marks.append([entry, os.stat(entry or ".").st_mtime_ns])
        except OSError:
            continue
    return [sys.version, list(GROUPS), marks]


def _place(settings: Settings) -> Path:
    paths = crc32("\0".join([sys.prefix, *sys.path]).encode("utf-8", "surrogateescape"))
    return settings.user_cache_dir / f"plugins-{paths:08x}.json"


def _cached(settings: Settings) -> list[Plugin] | None:
    try:
        place = _place(settings)
        if place.stat().st_uid != os.getuid():  # somebody else's words decide what is imported: no
            return None
        stamp, rows = json.loads(place.read_text())
        return [Plugin(**row) for row in rows] if stamp == _stamp() else None
    except (OSError, ValueError, TypeError):
        return None


def _remember(settings: Settings, table: list[Plugin]) -> None:
    rows = [{slot: getattr(plugin, slot) for slot in Plugin.__slots__} for plugin in table]
    try:
        place = _place(settings)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = place.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps([_stamp(), rows]))
        temporary.chmod(0o600)
        temporary.replace(place)
        _prune(place.parent)
    except OSError:
        return  # a cache: the next start is slower, nothing else


def _prune(folder: Path) -> None:
    """Remove what environments left that are used no more: each virtual one has a file of its own."""
    found = sorted(((one.stat().st_mtime, one) for one in folder.glob("plugins-*")), reverse=True)
    for number, (at, one) in enumerate(found):
        if number >= KEPT or time.time() - at > KEPT_SECONDS:
            one.unlink(missing_ok=True)
