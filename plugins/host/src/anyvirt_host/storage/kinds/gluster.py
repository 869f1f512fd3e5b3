"""Pools of the type gluster: the files of a GlusterFS volume, mounted for us alone while the pool is active."""

from __future__ import annotations

import os.path
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import unescape

from anyvirt.api import (
    Invalid,
    NotFound,
    PoolFormat,
    PoolHost,
    PoolSource,
    PoolSources,
    Problem,
    Progress,
    Run,
    Unreachable,
    WrongState,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.fs import OPTIONS
from anyvirt_host.storage.kinds.overwrite import overwritten
from anyvirt_host.storage.kinds.serving import NodeCarrier
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool

ABOUT: Final = About(volumes=("raw",), tools=("mount", "mount.glusterfs"), root=True)
PORT: Final = 24007
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*", re.ASCII)
_VOLUME: Final = re.compile(r"<volume>\s*(.*?)\s*</volume>", re.DOTALL)
_FIELD: Final = re.compile(r"<(name|statusStr)>([^<]*)</\1>")
_PLACE: Final = 'umask 077; base=/run; [ -w "$base" ] || base=/tmp; exec mktemp -d "$base/anyvirt-gluster.XXXXXXXX"'


class GlusterPool(Bare):
    """A volume's key is its URL, as libvirt has it; its bytes come through the mount."""

    kind = "gluster"

    def live(self, pool: Pool) -> Live:
        """Server, volume and folder of the definition."""
        asked = heeded(pool)
        problems: list[Problem] = []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        source = asked.source
        host = source.hosts[0].name or "" if source and len(source.hosts) == 1 else ""
        if not _HOST.fullmatch(host):
            hint = "such as <source><host name='gluster.example.com'/></source>"
            problems.append(Problem("config.missing", "/source/host", None, "such a pool needs one server", hint))
        port = source.hosts[0].port if source and len(source.hosts) == 1 else None
        name = source.name or "" if source else ""
        if not _NAME.fullmatch(name):
            hint = "such as <source><name>images</name></source>"
            text = "such a pool needs the name of a volume of the server"
            problems.append(Problem("config.missing", "/source/name", None, text, hint))
        inner = (source.dir or "/" if source else "/").rstrip("/")
        if inner and (not inner.startswith("/") or os.path.normpath(inner) != inner):
            text = f"{inner!r} is no absolute path without detours"
            problems.append(Problem("config.invalid", "/source/dir/@path", None, text, "write it in full"))
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        shown = f"[{host}]" if ":" in host else host
        path = f"gluster://{shown}{f':{port}' if port else ''}/{name}{inner}"
        more = {"host": host, "port": port, "volume": f"{name}{inner}", "mount": ""}
        return Live("gluster", path, f"{shown}:/{name}{inner}", more=more)

    def start(self, live: Live) -> Live:
        """Mount it where nobody else looks."""
        place = self.tool("sh", "-c", _PLACE).text.strip()
        port = (live.more or {}).get("port")
        options = f"{OPTIONS},server-port={port}" if port else OPTIONS
        with needing("mount"):
            out = self.run("mount", "-t", "glusterfs", "-o", options, live.source, place)
        if out.code:
            self.run("rmdir", "--", place)
            self._judged(out.err.decode("utf-8", "replace"), live)
            done(out, live.source)
        return live._replace(more={**(live.more or {}), "mount": place}, device=Folder(place, self.run).device())

    def stop(self, live: Live) -> None:
        """Unmount it."""
        place = str((live.more or {}).get("mount", ""))
        if place and not self.run("mountpoint", "-q", place).code:
            self.tool("umount", place)
        if place:
            self.run("rmdir", "--", place)

    def sources(self, asked: PoolSource | None) -> PoolSources:
        """The volumes that a server tells of; as pools of the type netfs have them, too."""
        host = asked.hosts[0].name or "" if asked and len(asked.hosts) == 1 else ""
        if not _HOST.fullmatch(host):
            hint = "such as <source><host name='gluster.example.com'/></source>"
            raise Invalid([Problem("config.missing", "/host", None, "looking for volumes needs a server", hint)])
        out = self.tool("gluster", "--xml", "--log-file=/dev/null", f"--remote-host={host}", "volume", "info", "all")
        made = [PoolSource(hosts=(PoolHost(name=host),), name=name, dir="/") for name in volumes(out.text)]
        return PoolSources(sources=tuple(one.replace(format=PoolFormat.GLUSTERFS) for one in made))

    def room(self, live: Live) -> Room:
        """What the volume has."""
        return self._folder(live).room()

    def names(self, live: Live) -> Iterator[Found]:
        """What is in the folder."""
        return self._folder(live).names()

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several, in one go."""
        seen = self._folder(live).sights(names)
        return {name: sight if sight.type == "dir" else sight._replace(type="network") for name, sight in seen.items()}

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        return self.looks(live, [name]).get(name)

    def protocol(self, live: Live, name: str) -> Mapping[str, Any]:
        """As QEMU opens it here: through the mount, which asks for no other right than a file's."""
        return {"driver": "file", "filename": f"{self._folder(live).path}/{name}"}

    def carrier(self, live: Live) -> NodeCarrier:
        """Carries its bytes."""
        self.here()
        return NodeCarrier(lambda place: self.protocol(live, self.called(live, place)))

    def wipe(self, live: Live, name: str, algorithm: str) -> Generator[Progress, None, None]:
        """Overwrite all of it."""
        sight = self.look(live, name)
        if sight is None:
            raise NotFound(name, "volume")
        yield from overwritten(self.run, self.protocol(live, name), sight.physical, algorithm, name)

    def in_use(self, live: Live, name: str) -> bool:
        """Whether some QEMU has it open, as its locks tell."""
        return self._folder(live).in_use(name)

    def remove(self, live: Live, name: str) -> None:
        """Remove one."""
        self._folder(live).remove(name)

    def _folder(self, live: Live) -> Folder:
        """The mounted folder.

        :raises WrongState: it is mounted no more.
        """
        folder = Folder(str((live.more or {}).get("mount", "")), self.run)
        try:
            there = folder.device() == live.device
        except NotFound:
            there = False
        if not there:
            hint = "stop it and start it"
            raise WrongState("unmounted", ["mounted"], "this", what=live.path, kind="pool", hint=hint)
        return folder

    def _judged(self, said: str, live: Live) -> None:
        words = said.lower()
        if "no such" in words or "unknown volume" in words:
            raise NotFound(live.source, "source", hint="gluster volume info tells which there are")
        if "failed to resolve" in words or "failed to fetch volume file" in words or "check the log" in words:
            raise Unreachable(live.source, "connect", hint="see whether glusterd runs there")


def volumes(text: str) -> list[str]:
    """The names of the started volumes that ``gluster --xml volume info`` tells of."""
    found = []
    for volume in _VOLUME.findall(text):
        fields = dict(reversed(_FIELD.findall(volume)))  # the first of a name is the volume's own, others are bricks'
        if fields.get("name") and fields.get("statusStr", "Started") == "Started":
            found.append(unescape(fields["name"]))
    return sorted(found)


def backend(run: Run) -> Backend:
    """The back-end."""
    return GlusterPool(run)
