"""Pools of the type fs: a file system on a device or in an image file, mounted while the pool is active."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Exists,
    Invalid,
    NotFound,
    Output,
    Problem,
    Run,
    VirtError,
    WrongState,
    heeded,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.ground.ground import ground_of
from anyvirt_host.storage.kinds.folder import FolderPool, check_choices, chosen, make_folder, set_cow, target_of
from anyvirt_host.storage.namespace import mount_options
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import FORMATS as VOLUMES

if TYPE_CHECKING:
    from anyvirt.api import Pool

# What comes with the image is somebody else's: no devices, no set-uid programs, nothing to run.
OPTIONS: Final = "nodev,nosuid,noexec"
QUIET: Final = {"ext2": ("-q", "-F"), "ext3": ("-q", "-F"), "ext4": ("-q", "-F"), "xfs": ("-q", "-f"), "vfat": ()}
FORMATS: Final = (
    *("auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat", "hfs+", "xfs", "ocfs2", "vmfs"),
)
KERNELS: Final = {"hfs+": "hfsplus"}  # what the kernel calls one otherwise
ABOUT: Final = About(
    FORMATS,
    volumes=tuple(VOLUMES),
    tools=("mount", "umount", "findmnt", "losetup", "blkid"),
    root=True,
    makes={kind: f"mkfs.{kind}" for kind in QUIET},
)
_BUSY: Final = 32  # status of umount where the kernel refuses
_NOTHING: Final = 2  # blkid's status where it knows nothing of what is there


class FsPool(FolderPool):
    """The mounted file system is the pool; a plain image file is mounted through a loop device."""

    def live(self, pool: Pool) -> Live:
        """Folder, device and format of the definition."""
        asked = heeded(pool)
        path, problems = target_of(asked)
        devices = asked.source.devices if asked.source else ()
        device = devices[0].path or "" if len(devices) == 1 else ""
        kind = str(asked.source.format or "") if asked.source else ""
        if not device.startswith("/"):
            text = "a pool of the type fs needs one device, or image file, by its absolute path"
            hint = "such as <source><device path='/dev/sdb1'/></source>"
            problems.append(Problem("config.missing", "/source/device", None, text, hint))
        if kind and kind not in FORMATS:
            hint = f"use {', '.join(FORMATS)}"
            text = f"{kind!r} is no file system on a device"
            problems.append(Problem("unsupported.config", "/source/format/@type", None, text, hint))
        options = mount_options(asked, problems)
        kind = "" if kind == "auto" else kind
        live = chosen(Live("fs", path, device, format=kind, options=options), asked)
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return live

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:
        """Make the file system and its mount point.

        :raises Exists: something is on the device, and it is not to be overwritten.
        """
        words = QUIET.get(live.format)
        if words is None:
            text = f"file systems of the format {live.format or 'auto'!r} are not made here"
            hint = f"say which: {', '.join(QUIET)}"
            raise Invalid([Problem("unsupported.config", "/source/format/@type", None, text, hint)])
        self._unused(live.source)
        found = self._tool("blkid", "-p", "-o", "export", live.source, content=(0, _NOTHING))
        if found.code == 0 and not overwrite:
            kinds = [
                line.partition("=")[2] for line in found.text.splitlines() if line.startswith(("TYPE=", "PTTYPE="))
            ]
            raise Exists("file", live.source, holder=", ".join(kinds) or "something", hint="overwrite it if it may go")
        label = pool.permissions and pool.permissions.label
        check_choices(live._replace(cow=""), label or "", self.run)
        self._tool(f"mkfs.{live.format}", *words, live.source)
        make_folder(live.path, pool, self.run)

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Take away what tells of the file system, and its mount point; its content with ``zeroed`` only.

        :raises Busy: it is mounted somewhere.
        """
        self._unused(live.source)
        self._tool("wipefs", "--all", "--quiet", live.source)
        if zeroed:
            self._zero(live.source)
        with suppress(NotFound):
            super().delete(live)

    def start(self, live: Live) -> Live:
        """Mount it, unless it is."""
        Folder(live.path, self.run).check()
        source = self._mounted(live.path)
        if source and not self._same(source, live.source):
            raise Busy(live.path, holder=source, purpose="a mount", hint=f"umount {live.path}, or use another folder")
        if not source:
            kind = ("-t", KERNELS.get(live.format, live.format)) if live.format else ()
            options = ",".join(filter(None, (OPTIONS, live.options)))
            self._tool("mount", *kind, "-o", options, live.source, live.path)
            try:
                check_choices(live, "", self.run)
                set_cow(live, self.run)
            except VirtError:
                self._tool("umount", live.path)
                raise
        return live._replace(device=Folder(live.path, self.run).device())

    def stop(self, live: Live) -> None:
        """Unmount it, unless somebody did."""
        source = self._mounted(live.path)
        if source and self._same(source, live.source):
            out = self._tool("umount", live.path, content=(0, _BUSY))
            if b"busy" in out.err:
                raise Busy(live.path, holder="whoever has a file open there", hint=f"fuser -vm {live.path} tells")
            done(out, live.path)

    def folder(self, live: Live) -> Folder:
        """The root of the file system, which has to be the one that was mounted.

        :raises WrongState: somebody unmounted it: what is seen there now is another folder.
        """
        folder = Folder(live.path, self.run)
        if folder.device() != live.device:
            raise WrongState("unmounted", ["mounted"], "this", what=live.path, kind="pool", hint="stop it and start it")
        return folder

    def _mounted(self, path: str) -> str:
        """What is mounted there; empty where nothing is."""
        out = self._tool("findmnt", "--json", "--output", "SOURCE", "--mountpoint", path, content=(0, 1))
        rows: list[dict[str, Any]] = json.loads(out.text or "{}").get("filesystems", [])
        return str(rows[-1]["source"]) if rows else ""

    def _same(self, source: str, device: str) -> bool:
        """Whether a mount is of that device, or of that image through a loop device."""
        if ground_of(self.run).same(source, device):
            return True
        if not source.startswith("/dev/loop"):
            return False
        out = self._tool("losetup", "--json", "--list", "--output", "BACK-FILE", source, content=(0, 1))
        rows: list[dict[str, Any]] = json.loads(out.text or "{}").get("loopdevices", [])
        return any(ground_of(self.run).same(str(row["back-file"]), device) for row in rows)

    def _unused(self, device: str) -> None:
        """See that nobody has it mounted, or through a loop device.

        :raises Busy: somebody has.
        """
        out = self._tool("findmnt", "--json", "--output", "TARGET", "--source", device, content=(0, 1))
        places = [str(row["target"]) for row in json.loads(out.text or "{}").get("filesystems", [])]
        out = self._tool("losetup", "--json", "--list", "--output", "NAME", "--associated", device, content=(0, 1))
        places += [str(row["name"]) for row in json.loads(out.text or "{}").get("loopdevices", [])]
        if places:
            raise Busy(device, holder=", ".join(places), purpose="what is on it", hint="unmount it first")

    def _zero(self, device: str) -> None:
        """Have nothing of the content left to be read."""
        if self._tool("test", "-b", device, content=(0, 1)).code == 0:
            self._tool("blkdiscard", "--zeroout", device)
        else:
            size = self._tool("stat", "--dereference", "--format=%s", device).text.strip()
            self._tool("fallocate", "--punch-hole", "--offset", "0", "--length", size, device)

    def _tool(self, *argv: str, content: tuple[int, ...] = (0,)) -> Output:
        """Run a tool; ``content`` are the statuses with which it is."""
        with needing(argv[0]):
            out = self.run(*argv)
        return out if out.code in content else done(out, argv[-1])


def backend(run: Run) -> Backend:
    """The back-end."""
    return FsPool(run)
