"""A folder of images: seen without opening or following, changed under hidden names, whatever host it is on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid, NotFound, Progress, Run, Undo, VirtError

from anyvirt_host.storage.backend import Found, Room, Sight
from anyvirt_host.storage.carrying.content import GONE, PART
from anyvirt_host.storage.faults import done
from anyvirt_host.storage.ground.ground import Berth, Entry, Ground, ground_of
from anyvirt_host.storage.ground.pinned import FILE, pinned
from anyvirt_host.storage.images.errand import halt
from anyvirt_host.storage.images.imaging import Image, lengthen, set_aside
from anyvirt_host.storage.wish import FOLDERS, HIDDEN, bad_name

if TYPE_CHECKING:
    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.wish import Wish

END: Final = ".new"
_BEYOND: Final = 1 << 50
_ODD: Final = {"l": "a symbolic link", "s": "a socket", "p": "a fifo", "c": "a character device"}


class Folder:
    """What can be done to the volumes in a folder; names are names of files, never paths."""

    def __init__(self, path: str, run: Run, ground: Ground | None = None) -> None:
        self.path, self._run, self._ground = path, run, ground or ground_of(run)

    def check(self) -> None:
        """See that it is there and can be listed.

        :raises NotFound: it is not there.
        :raises Invalid: it is no folder.
        """
        for _ in self._ground.entries(self.path):
            return

    def room(self) -> Room:
        """What the file system that it is on has."""
        return self._ground.room(self.path)

    def names(self) -> Iterator[Found]:
        """Everything in it; what is no volume says why."""
        for entry in self._ground.entries(self.path):
            odd = _odd(entry)
            if odd is not None:
                yield Found(entry.name, odd)

    def look(self, name: str) -> Sight | None:
        """What is known of a volume; None where there is none of that name, or what has it is none."""
        return self.sights([name]).get(name)

    def sights(self, names: Sequence[str]) -> Mapping[str, Sight]:
        """What is known of volumes, in one go; without those that are not there."""
        wanted = [name for name in names if not bad_name(name)]
        return self._ground.sights(self.path, wanted) if wanted else {}

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a file."""
        return self._ground.heads(self.path, [name], count)[name]

    def heads(self, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of files, in one go; without those that cannot be read."""
        return self._ground.heads(self.path, names, count) if names else {}

    def in_use(self, name: str) -> bool:
        """Whether some QEMU has it open, as its locks on the image tell."""
        return self._ground.in_use(self.path, name)

    def remove(self, name: str) -> None:
        """Remove a file, or an empty folder.

        :raises Invalid: a folder that is not empty, a device.
        """
        found = self.look(name)
        if found is None:
            raise NotFound(name, "volume")
        if found.type == "block":
            raise Invalid(f"'{self.path}/{name}' is a device, which is not removed", hint="remove it with what made it")
        self._ground.remove(self.path, name, is_folder=found.type == "dir")

    def resize(self, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make a raw file that large; its length changes at the end, and at once."""
        found = self.look(name)
        if found is None or found.type != "file":
            raise Invalid(f"'{self.path}/{name}' is no file, whose size could be changed", hint="name a volume")
        path = f"{self.path}/{name}"
        with Undo() as undo:
            undo.callback(self.settle, name, found.physical)
            if allocate and size > found.physical:
                yield from set_aside(self._run, path, found.physical, size, beyond=True)
            lengthen(self._run, path, size)
            undo.keep()

    def settle(self, name: str, size: int) -> None:
        """Give a raw file the length that it had, and free what is beyond it."""
        path = f"{self.path}/{name}"
        lengthen(self._run, path, size)
        with suppress(VirtError):  # what the file system cannot free it frees with the file
            pinned(self._run, path, "fallocate", "-p", "-o", str(size), "-l", str(_BEYOND), FILE)

    def blank(self, name: str, mark: str, wish: Wish) -> Generator[Progress, None, None]:
        """Put an empty image into a file that is there."""
        path = f"{self.path}/{name}"
        draft = self.draft(name, mark)
        try:
            yield from draft.fill(wish)
            done(pinned(self._run, path, "cp", "--sparse=always", "--", draft.path, FILE), path)
            done(self._run("sync", "--", path), path)
        finally:
            draft.drop()
            draft.close()

    def draft(self, name: str, mark: str) -> FileDraft:
        """Begin a volume."""
        berth = self._ground.berth(self.path, f"{HIDDEN}{mark}{END}")
        return FileDraft(name, berth, self._ground, f"{self.path}/{name}")

    def drafts(self) -> Iterator[tuple[str, bool]]:
        """The marks of volumes that are being made, and whether somebody still is at it."""
        for hidden, held in self._ground.berths(self.path, HIDDEN, END):
            yield hidden[len(HIDDEN) : -len(END)], held

    def making(self) -> int:
        """How many are being made, or get other content, by somebody who still is at it."""
        parts = self._ground.berths(self.path, HIDDEN, PART)
        return sum(held for _, held in self.drafts()) + sum(held for _, held in parts)

    def sweep(self, mark: str = "") -> list[str]:
        """Remove what killed makers left; nobody may begin a volume meanwhile."""
        said = []
        for left, held in self.drafts():
            if held or (mark and left != mark):
                continue
            halt(self._run, f"{self.path}/{HIDDEN}{left}{END}")
            self._ground.clear(self.path, f"{HIDDEN}{left}{END}")
            said.append(f"{self.path}/{HIDDEN}{left}{END}: removed, a killed process was making a volume")
        return said

    def home(self) -> str:
        """What tells this folder from one that stands in its place while its file system is not mounted."""
        device, inode = self._ground.home(self.path)
        return f"{device}:{inode}"

    def device(self) -> int:
        """The number of the file system that it is on."""
        return self._ground.home(self.path)[0]

    def generation(self, name: str) -> int:
        """What tells a file from a later one with its inode; 0 where the file system has no such number."""
        return self._ground.generations(self.path, [name])[name]

    def generations(self, names: Sequence[str]) -> Mapping[str, int]:
        """The same of many, in one go; without those that cannot be read."""
        return self._ground.generations(self.path, names) if names else {}


class FileDraft:
    """A file in a hidden folder, which is held, so that others see that somebody is at it."""

    def __init__(self, name: str, berth: Berth, ground: Ground, about: str) -> None:
        self._name, self._berth, self._ground, self._run = name, berth, ground, berth.run
        self._about = about
        self.path, self.inode, self.generation = berth.path, berth.inode, berth.generation
        self._wish: Wish | None = None

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Give it its content."""
        yield from self._filled(wish, self._image(wish).make(wish))

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Give it the content of another volume."""
        yield from self._filled(wish, self._image(wish).copy(wish, origin, reflink=reflink))

    def publish(self) -> None:
        """Give it its name, its mode and its owner."""
        assert self._wish is not None
        if self._wish.backing:
            _check_backing(self._wish.backing, self._ground)
        self._berth.publish(self._name, self._wish.mode, self._wish.owner)

    def drop(self) -> None:
        """Remove it, also what has its name already."""
        self._berth.drop(self._name)

    def close(self) -> None:
        """Let go of it."""
        self._berth.close()

    def _image(self, wish: Wish) -> Image:
        if wish.format in FOLDERS:
            self._berth.become_folder()
            self.inode, self.generation = self._berth.inode, self._berth.generation
        return Image(self.path, self.path.rpartition("/")[0], self._run, self._about)

    def _filled(self, wish: Wish, steps: Generator[Progress, None, None]) -> Generator[Progress, None, None]:
        self._wish = wish
        yield from steps
        self._berth.sync()


def _odd(entry: Entry) -> str | None:
    """Why it is no volume; empty for one, None for what nobody needs to hear of."""
    if entry.name.startswith(HIDDEN) and entry.name.endswith(PART):
        return "what came of an upload to a volume, kept until it is resumed or another one begins"
    if entry.name.startswith(HIDDEN) and entry.name.endswith(GONE):
        return "a deleted volume that is kept for a while"
    if entry.name.startswith(HIDDEN):
        return "a volume that is being made, or what a killed process left of one"
    if bad := bad_name(entry.name):
        return bad[0]
    if entry.kind == "d" and entry.name == "lost+found":
        return None
    return _ODD.get(entry.kind, "")


def _check_backing(path: str, ground: Ground) -> None:
    """See that an image below is there still."""
    folder, _, name = path.rpartition("/")
    if not ground.sights(folder or "/", [name]):
        raise NotFound(path, "file")
