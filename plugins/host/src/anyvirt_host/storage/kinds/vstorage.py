"""Pools of the type vstorage: a folder that a Virtuozzo storage cluster is mounted at while the pool is active."""

from __future__ import annotations

import grp
import pwd
import re
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Invalid, Problem, Run, Unsupported, heeded, unheeded

from anyvirt_host.storage.backend import About, Backend
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.kinds.folder import FolderPool, make_folder, target_of
from anyvirt_host.storage.kinds.fs import FsPool
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import FORMATS as VOLUMES

if TYPE_CHECKING:
    from anyvirt.api import Pool

ABOUT: Final = About(volumes=tuple(VOLUMES), tools=("vstorage-mount", "umount", "findmnt"), root=True)
MODE: Final = 0o700
_CLUSTER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


class VstoragePool(FsPool):
    """The mounted cluster is the pool; its client is a FUSE program, which names the cluster as what is mounted."""

    def live(self, pool: Pool) -> Live:
        """Folder and cluster of the definition, and whose the mount is to be."""
        asked = heeded(pool)
        path, problems = target_of(asked)
        name = asked.source.name or "" if asked.source else ""
        if not _CLUSTER.fullmatch(name):
            text = "a pool of the type vstorage needs the name of a cluster"
            hint = "such as <source><name>stor1</name></source>"
            problems.append(Problem("config.missing", "/source/name", None, text, hint))
        rights = asked.permissions
        mode = MODE if rights is None or rights.mode is None else rights.mode & 0o7777
        more = {
            "mode": f"{mode:04o}",
            "user": _named("user", rights.owner if rights else None, problems),
            "group": _named("group", rights.group if rights else None, problems),
        }
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("vstorage", path, name, more=more)

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002 - nothing is lost by it
        """Make the mount point; what is in the cluster stays."""
        make_folder(live.path, pool, self.run)

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Remove the mount point; what is in the cluster stays.

        :raises Unsupported: its content is to be zeroed: that is the cluster's.
        """
        if zeroed:
            raise Unsupported("storage", "zeroing what a cluster has", hint="delete the pool without that")
        FolderPool.delete(self, live)

    def start(self, live: Live) -> Live:
        """Mount it, unless it is."""
        source = self._mounted(live.path)
        if source and not self._same(source, live.source):
            raise Busy(live.path, holder=source, purpose="a mount", hint=f"umount {live.path}, or use another folder")
        if not source:
            Folder(live.path, self.run).check()
            more = live.more or {}
            who = [word for flag, key in (("-g", "group"), ("-u", "user")) if more[key] for word in (flag, more[key])]
            self._tool("vstorage-mount", "-c", live.source, "-m", str(more["mode"]), *who, live.path)
        return live._replace(device=Folder(live.path, self.run).device())

    def _same(self, source: str, device: str) -> bool:
        """Whether a mount is of that cluster."""
        return source == f"vstorage://{device}"


def _named(kind: str, number: int | None, problems: list[Problem]) -> str:
    """The name of a user or a group, as the tool wants it; empty where nobody is named."""
    if number is None or number < 0:
        return ""
    try:
        return grp.getgrgid(number).gr_name if kind == "group" else pwd.getpwuid(number).pw_name
    except KeyError:
        path = f"/target/permissions/{'group' if kind == 'group' else 'owner'}"
        problems.append(Problem("config.invalid", path, None, f"there is no {kind} {number}", "name one that is there"))
        return ""


def backend(run: Run) -> Backend:
    """The back-end."""
    return VstoragePool(run)
