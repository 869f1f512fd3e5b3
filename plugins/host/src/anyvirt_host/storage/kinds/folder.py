"""Pools of the type dir: a folder that is there, and the images in it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid, Permissions, Problem, Run, Unsupported, heeded, meaningless, unheeded

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.folder import FileDraft, Folder
from anyvirt_host.storage.ground.ground import ground_of
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.trash import Trash
from anyvirt_host.storage.wish import FORMATS

if TYPE_CHECKING:
    from anyvirt.api import Pool, PoolSource, PoolSources, Progress, Volume

    from anyvirt_host.storage.wish import Wish

ABOUT: Final = About(volumes=tuple(FORMATS))
SELINUX: Final = "/sys/fs/selinux/enforce"
MODE: Final = 0o711  # of a folder that is built, where its definition says nothing else


class FolderPool:
    """The folder is the pool: starting looks whether it is there, stopping does nothing to it."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def live(self, pool: Pool) -> Live:
        """The folder of the definition."""
        asked = heeded(pool)
        path, problems = target_of(asked)
        live = chosen(Live("dir", path), asked)
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return live

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:
        """Make the folder where it is missing, as its definition says; ``overwrite`` also changes one that is there."""
        label = pool.permissions and pool.permissions.label
        check_choices(live, label or "", self.run)
        make_folder(live.path, pool, self.run, again=overwrite)
        set_cow(live, self.run)

    def start(self, live: Live) -> Live:
        """See that the folder is there."""
        self.folder(live).check()
        return live

    def stop(self, live: Live) -> None:
        """Nothing: the folder stays."""

    def delete(self, live: Live, *, zeroed: bool = False) -> None:  # noqa: ARG002 - an empty one has no content
        """Remove the folder, which has to be empty."""
        ground_of(self.run).remove_folder(live.path)

    def refresh(self, live: Live) -> None:
        """See that the folder is there; what is in it is seen whenever somebody asks."""
        self.folder(live).check()

    def sources(self, asked: PoolSource | None) -> PoolSources:  # noqa: ARG002 - there is nothing to ask
        """Nothing tells of folders that could be pools.

        :raises Unsupported: always.
        """
        raise Unsupported("storage", "asking what pools of this type could be made of", hint="name the place yourself")

    def room(self, live: Live) -> Room:
        """What its file system has."""
        return self.folder(live).room()

    def names(self, live: Live) -> Iterator[Found]:
        """What is in the folder."""
        return self.folder(live).names()

    def place(self, live: Live, name: str) -> str:
        """Its path."""
        return f"{live.path}/{name}"

    def called(self, live: Live, place: str) -> str:
        """The last word of its path."""
        folder, _, name = place.rpartition("/")
        return name if folder == live.path else ""

    def pool_told(self, live: Live, model: Pool) -> Pool:
        """With the mode and the owner that its folder has."""
        parent, _, name = live.path.rpartition("/")
        sight = ground_of(self.run).sights(parent or "/", [name]).get(name)
        if sight is None:
            return model
        rights = model.permissions or Permissions()
        return model.replace(permissions=rights.replace(mode=sight.mode, owner=sight.owner, group=sight.group))

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:  # noqa: ARG002
        """The same."""
        return model

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several of them."""
        return self.folder(live).sights(names)

    def heads(self, live: Live, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of several."""
        return self.folder(live).heads(names, count)

    def generations(self, live: Live, names: Sequence[str]) -> Mapping[str, int]:
        """What tells files from later ones."""
        return self.folder(live).generations(names)

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them."""
        return self.folder(live).look(name)

    def head(self, live: Live, name: str, count: int) -> bytes:
        """The first bytes of one."""
        return self.folder(live).head(name, count)

    def wish(self, model: Volume) -> Wish:
        """An image's."""
        from anyvirt_host.storage.wish import wish

        return wish(model)

    def draft(self, live: Live, name: str, mark: str) -> FileDraft:
        """Begin one."""
        return self.folder(live).draft(name, mark)

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make a raw one that large."""
        return self.folder(live).resize(name, size, allocate=allocate)

    def settle(self, live: Live, name: str, size: int) -> None:
        """Give a raw one its size back."""
        self.folder(live).settle(name, size)

    def blank(self, live: Live, name: str, mark: str, wish: Wish) -> Generator[Progress, None, None]:
        """Put an empty image into one."""
        return self.folder(live).blank(name, mark, wish)

    def making(self, live: Live) -> int:
        """How many somebody is at."""
        return self.folder(live).making()

    def sweep(self, live: Live, mark: str = "") -> list[str]:
        """Remove what killed makers left."""
        return self.folder(live).sweep(mark)

    def home(self, live: Live) -> str:
        """What tells the folder from another in its place."""
        return self.folder(live).home()

    def generation(self, live: Live, name: str) -> int:
        """What tells a file from a later one."""
        return self.folder(live).generation(name)

    def in_use(self, live: Live, name: str) -> bool:
        """Whether some QEMU has it open."""
        return self.folder(live).in_use(name)

    def remove(self, live: Live, name: str) -> None:
        """Remove one."""
        self.folder(live).remove(name)

    def trash(self, live: Live) -> Trash:
        """What keeps deleted ones for a while."""
        return Trash(self.folder(live).path, self.run)

    def folder(self, live: Live) -> Folder:
        """The folder that the volumes are in."""
        return Folder(live.path, self.run)


def target_of(asked: Pool) -> tuple[str, list[Problem]]:
    """The folder that a pool's volumes are in, and what is wrong with it."""
    meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
    if asked.permissions:
        meaningless(asked.permissions, "mode", "owner", "group", "label")
    given = asked.target or ""
    path = given.rstrip("/") or given
    if not given:
        text = "a pool needs a place on the host"
        hint = "such as <target><path>/srv/images</path></target>"
        return "", [Problem("config.missing", "/target/path", None, text, hint)]
    if not path.startswith("/") or os.path.normpath(path) != path:
        text = f"{given!r} is no absolute path without detours"
        return path, [Problem("config.invalid", "/target/path", None, text, "write it in full")]
    return path, []


def chosen(live: Live, asked: Pool) -> Live:
    """With what a definition says of any folder, and of the volumes in it."""
    cow = "" if asked.cow is None else "yes" if asked.cow else "no"
    return live._replace(cow=cow, counts="capacity" if asked.refresh_allocation == "capacity" else "")


def make_folder(path: str, pool: Pool, run: Run, *, again: bool = False) -> None:
    """Make a folder and what leads to it, with the mode, owner and label that the pool's definition says.

    :param again: give them to one that is there, too; otherwise that stays as it is.
    """
    rights = pool.permissions
    mode = MODE if rights is None or rights.mode is None else rights.mode
    owner = -1 if rights is None or rights.owner is None else rights.owner
    group = -1 if rights is None or rights.group is None else rights.group
    ground_of(run).make_folder(path, mode, (owner, group))
    if again and rights:
        if (owner, group) != (-1, -1):
            user = "" if owner == -1 else f"{owner}"
            done(run("chown", user if group == -1 else f"{user}:{group}", path), path)
        if rights.mode is not None:
            done(run("chmod", f"{mode & 0o7777:o}", path), path)
    if rights and rights.label:
        with needing("chcon"):
            done(run("chcon", rights.label, path), path)


def check_choices(live: Live, label: str, run: Run) -> None:
    """See that a folder there can have what the definition says of it: a label, or copying on write or not.

    :raises Invalid: the host has no SELinux; the folder is on another file system than btrfs.
    """
    if label and run("test", "-e", SELINUX).code:
        text, hint = "the host has no SELinux, and no labels", "leave it out"
        raise Invalid([Problem("unsupported.config", "/target/permissions/label", None, text, hint)])
    kind = "" if live.cow == "" else _file_system(live.path, run)
    if kind not in ("", "btrfs"):
        text = f"{live.path!r} is on {kind}, which leaves no choice"
        hint = "leave it out, or use a folder on btrfs"
        raise Invalid([Problem("unsupported.config", "/features/cow/@state", None, text, hint)])


def set_cow(live: Live, run: Run) -> None:
    """Have a folder copy on write, or not, where the definition says so: only btrfs leaves the choice."""
    if live.cow:
        with needing("chattr"):
            done(run("chattr", "+C" if live.cow == "no" else "-C", live.path), live.path)


def _file_system(path: str, run: Run) -> str:
    """What a folder is on, or would be."""
    while True:
        out = run("stat", "--file-system", "--format=%T", path)
        if not out.code or path == "/":
            return done(out, path).text.strip()
        path = os.path.dirname(path)


def backend(run: Run) -> Backend:
    """The back-end."""
    return FolderPool(run)
