"""``Ground`` of this host where storage may hang: what is on such storage is asked in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from anyvirt_host.local.outpost import Outpost, Outposts
from anyvirt_host.storage.ground.local import LocalGround
from anyvirt_host.storage.ground.standing import may_hang

if TYPE_CHECKING:
    from anyvirt.api import Run

    from anyvirt_host.storage.backend import Room, Sight
    from anyvirt_host.storage.ground.ground import Berth, Entry

_TARGET: Final = "anyvirt_host.storage.ground.apart:Quarters"
# One set for each mount and all connections of this process: they hang together.
_posts: dict[str, Outposts] = {}
_lock: Final = Lock()


class GuardedGround:
    """This host's folders: by system calls where those surely come back, else by way of an ``Outpost``."""

    def __init__(self, run: Run) -> None:
        self._run, self._local = run, LocalGround(run)

    def entries(self, folder: str) -> Iterable[Entry]:
        """Everything in a folder."""
        found: Iterable[Entry] = self._ask(folder, "entries", folder)
        return found

    def sights(self, folder: str, names: Sequence[str]) -> Mapping[str, Sight]:
        """What is known of each."""
        found: Mapping[str, Sight] = self._ask(folder, "sights", folder, names)
        return found

    def heads(self, folder: str, names: Sequence[str], count: int) -> Mapping[str, bytes]:
        """The first bytes of each."""
        found: Mapping[str, bytes] = self._ask(folder, "heads", folder, names, count)
        return found

    def generations(self, folder: str, names: Sequence[str]) -> Mapping[str, int]:
        """What tells each from a later one."""
        found: Mapping[str, int] = self._ask(folder, "generations", folder, names)
        return found

    def room(self, folder: str) -> Room:
        """What its file system has."""
        found: Room = self._ask(folder, "room", folder)
        return found

    def home(self, folder: str) -> tuple[int, int]:
        """Its device and inode."""
        found: tuple[int, int] = self._ask(folder, "home", folder)
        return found

    def in_use(self, folder: str, name: str) -> bool:
        """Whether some QEMU has it open."""
        return bool(self._ask(folder, "in_use", folder, name))

    def remove(self, folder: str, name: str, *, is_folder: bool = False) -> None:
        """Remove one."""
        self._ask(folder, "remove", folder, name, is_folder=is_folder)

    def berth(self, folder: str, hidden: str) -> Berth:
        """Make one."""
        posts = _guarding(folder)
        return ApartBerth(posts, folder, hidden, self._run) if posts else self._local.berth(folder, hidden)

    def berths(self, folder: str, start: str, end: str) -> Iterator[tuple[str, bool]]:
        """Each, and whether somebody holds it."""
        return iter(self._ask(folder, "berths", folder, start, end))

    def clear(self, folder: str, hidden: str) -> None:
        """Remove one."""
        self._ask(folder, "clear", folder, hidden)

    def make_folder(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """Make it."""
        self._ask(path, "make_folder", path, mode, owner)

    def remove_folder(self, path: str) -> None:
        """Remove it."""
        self._ask(path, "remove_folder", path)

    def same(self, one: str, other: str) -> bool:
        """Whether they are one place."""
        return bool(self._ask(one if _guarding(one) else other, "same", one, other))

    def _ask(self, path: str, method: str, *arguments: Any, **named: Any) -> Any:
        posts = _guarding(path)
        if posts is None:
            return getattr(self._local, method)(*arguments, **named)
        return posts.ask(method, *arguments, **named)


class ApartBerth:
    """A berth that another process holds, for us alone until ``close``."""

    def __init__(self, posts: Outposts, folder: str, hidden: str, run: Run) -> None:
        self.run, self._posts = run, posts
        self._post: Outpost | None = posts.take()
        try:
            self.path, self.inode, self.generation = self._post.ask("begin", folder, hidden)
        except BaseException:
            self._let_go()
            raise

    def become_folder(self) -> None:
        """A folder in the file's place."""
        self.path, self.inode, self.generation = self._ask("become_folder")

    def sync(self) -> None:
        """Put the content on the disk."""
        self._ask("sync")

    def publish(self, name: str, mode: int, owner: tuple[int, int]) -> None:
        """Give it its name."""
        self._ask("publish", name, mode, owner)

    def drop(self, name: str) -> None:
        """Remove it."""
        self._ask("drop", name)

    def close(self) -> None:
        """Let go of it."""
        if self._post and self._post.usable:
            self._ask("close")
        self._let_go()

    def _ask(self, method: str, *arguments: Any) -> Any:
        assert self._post is not None
        return self._post.ask("with_berth", method, *arguments)

    def _let_go(self) -> None:
        if self._post:
            self._posts.give_back(self._post)
        self._post = None


class Quarters(LocalGround):
    """What the process has: the ground, and the berth that it holds."""

    def __init__(self) -> None:
        super().__init__(_no_tools)
        self._berth: Berth | None = None

    def begin(self, folder: str, hidden: str) -> tuple[str, int, int]:
        """Make a berth, and tell what is known of it."""
        self._berth = self.berth(folder, hidden)
        return self._about()

    def with_berth(self, method: str, *arguments: Any) -> tuple[str, int, int]:
        """Do something with it, and tell what is known of it then."""
        getattr(self._berth, method)(*arguments)
        return self._about()

    def _about(self) -> tuple[str, int, int]:
        assert self._berth is not None
        return self._berth.path, self._berth.inode, self._berth.generation


def _no_tools(*argv: str, **_: Any) -> Any:
    raise AssertionError(f"{argv[0]} is run by whoever asked")


def _guarding(path: str) -> Outposts | None:
    """What looks at a path for us; None where that needs nobody."""
    mount = may_hang(path)
    if mount is None:
        return None
    about = f"{mount.kind} at {mount.place}"
    with _lock:
        return _posts.setdefault(about, Outposts(_TARGET, about))
