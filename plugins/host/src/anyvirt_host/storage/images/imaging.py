"""What is put into a new volume: an image of any format, empty or with the content of another one."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Failed, Invalid, Problem, Progress, Run, Secret, Unsupported

from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.pinned import FILE, pinned
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.sealing import objects

if TYPE_CHECKING:
    from anyvirt_host.storage.images.origin import Origin
    from anyvirt_host.storage.wish import Wish

KEY: Final = "made"  # what QEMU calls the passphrase of the new image
FROM: Final = "from"  # and that of the image whose content it gets
_PART: Final = 256 << 20  # bytes that are set aside in one step
_PARTS: Final = 64
_SELINUX: Final = "/sys/fs/selinux/enforce"
# QEMU measures how fast it makes keys; where the kernel counts time by ticks it sees none pass now and then.
_COARSE: Final = "Unable to get accurate CPU usage"
_TRIES: Final = 8
_KEPT: Final = "kept"
_LOCKED: Final = 'Failed to get shared "write" lock'
_NO_CLONE: Final = (b"failed to clone", b"not supported", b"cross-device")


class Image:
    """A file that becomes an image; all of it is done by tools, so that the file may be on any host.

    :ivar path: of the file, which is there and empty.
    :ivar place: a hidden folder that is ours, where tools leave word.
    :ivar about: what people know it by.
    """

    def __init__(self, path: str, place: str, run: Run, about: str = "") -> None:
        self.path, self.place, self._run, self.about = path, place, run, about or path

    def make(self, wish: Wish) -> Generator[Progress, None, None]:
        """Make it an empty image."""
        self.prepare(wish)
        yield Progress(0, wish.allocation or None, "B", "making")
        if wish.format == "raw":
            yield from self._raw(wish)
        elif wish.format == "ploop":
            yield from self._tool(
                "ploop", "init", "-s", f"{-(-(wish.capacity or 0) >> 20)}M", "-t", "none", f"{self.path}/root.hds"
            )
        elif wish.format != "dir":
            size = [] if wish.capacity is None else [str(wish.capacity)]
            if wish.key:
                yield from self._sealed(wish, wish.key, size)
            else:
                yield from self._tool("qemu-img", *create_words(wish), self.path, *size)
        yield Progress(wish.allocation, wish.allocation or None, "B", "making")

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Make it an image with the content of another one, and what is beyond that empty."""
        if reflink:
            yield from self._linked(wish, origin)
            return
        yield from self.make(wish)
        target = origin.sealed(wish.format, {"driver": "file", "filename": self.path}, KEY if wish.key else "")
        keys = {name: key for name, key in ((FROM, origin.key), (KEY, wish.key)) if key}
        # what was never written to luks reads as noise
        zero = [] if wish.format == "luks" else ["--target-is-zero"]
        words = ["convert", "-p", "-n", *zero, *objects(list(keys)), "-O", wish.format]
        given, size = list(keys.values()), origin.capacity
        try:
            yield from self._tool("qemu-img", *words, origin.spec, target, keys=given, total=size, about="copying")
        except Failed as error:
            if _LOCKED not in str(error.details.get("stderr", "")):
                raise
            raise Busy(origin.path, holder="a QEMU that writes to it", hint="shut the guest down first") from error

    def prepare(self, wish: Wish) -> None:
        """See to what has to be so before there is content.

        :raises Unsupported: a label, on a host without SELinux.
        """
        if wish.label:
            if self._run("test", "-e", _SELINUX).code:
                hint = "remove <label>, or leave it to the host's own rules"
                raise Unsupported("this host", f"the label {wish.label!r}: SELinux is not on there", hint=hint)
            done(self._run("chcon", "--", wish.label, self.path), self.about)
        if wish.nocow:
            self._run("chattr", "+C", self.path)  # what has no copy on write has nothing to turn off

    def _linked(self, wish: Wish, origin: Origin) -> Generator[Progress, None, None]:
        """A copy that shares its blocks with the original, and is grown then."""
        if wish.format != origin.format or wish.key or origin.key or origin.below or origin.type != "file":
            text = "only a whole file shares its blocks, of the same format, not encrypted, on no backing file"
            raise Unsupported("reflink", text, hint="leave reflink out")
        self.prepare(wish)
        yield Progress(0, origin.capacity, "B", "copying")
        out = yield from errand(
            self._run, "cp", "--reflink=always", "--", origin.path, self.path, folder=self.place, about="copying"
        )
        if out.code and any(word in out.err.lower() for word in _NO_CLONE):
            what = f"sharing blocks between {origin.path!r} and a file in the new volume's folder"
            raise Unsupported("this file system", what, hint="leave reflink out")
        done(out, self.about)
        size = wish.capacity or 0
        if size > origin.capacity and wish.format == "raw":
            lengthen(self._run, self.path, size, self.about)
        elif size > origin.capacity:
            yield from self._tool("qemu-img", "resize", "-q", "-f", wish.format, self.path, str(size))
        yield Progress(origin.capacity, origin.capacity, "B", "copying")

    def _raw(self, wish: Wish) -> Generator[Progress, None, None]:
        size, aside = wish.capacity or 0, wish.allocation
        lengthen(self._run, self.path, size, self.about)
        yield from set_aside(self._run, self.path, 0, aside, about=self.about)

    def _tool(
        self, *argv: str, keys: list[Secret] | None = None, total: int | None = None, about: str = "making"
    ) -> Generator[Progress, None, None]:
        with needing(argv[0]):
            out = yield from errand(self._run, *argv, keys=keys or (), folder=self.place, total=total, about=about)
        done(out, self.about)

    def _sealed(self, wish: Wish, key: Secret, size: list[str]) -> Generator[Progress, None, None]:
        """An encrypted image; tried again where QEMU was mistaken about its speed, and then removed the file."""
        kept = f"{self.place}/{_KEPT}"
        self._run("ln", self.path, kept)
        for last in (*(False,) * _TRIES, True):
            try:
                yield from self._tool("qemu-img", *create_words(wish), self.path, *size, keys=[key])
            except Failed as error:
                if last or _COARSE not in str(error.details.get("stderr", "")):
                    raise
                self._run("ln", kept, self.path)
            else:
                break
        self._run("rm", "-f", kept)


def lengthen(run: Run, path: str, size: int, about: str = "") -> None:
    """Give a file that length, at once: the rest of it goes, or is a hole.

    :raises Invalid: no file can be so long there.
    """
    with needing("truncate"):
        out = pinned(run, path, "truncate", "-c", "-s", str(size), FILE)
    if out.code and b"File too large" in out.err:
        text = f"{size} bytes are more than a file can have there"
        raise Invalid([Problem("config.range", "/capacity", None, text, "choose a smaller size")])
    done(out, about or path)


def set_aside(
    run: Run, path: str, start: int, end: int, *, beyond: bool = False, about: str = ""
) -> Generator[Progress, None, None]:
    """Take the space of a part of a file, bit by bit.

    :param beyond: the file keeps its length, where its file system can do that.
    """
    step = max(_PART, -(-(end - start) // _PARTS))
    for at in range(start, end, step):
        yield Progress(at - start, end - start, "B", "allocating")
        words = ["-o", str(at), "-l", str(min(step, end - at)), FILE]
        with needing("fallocate"):
            out = pinned(run, path, "fallocate", *(["-n"] if beyond else []), *words)
            if out.code and b"not supported" in out.err:  # then zeros are written, and it grows with them
                out = pinned(run, path, "fallocate", "--posix", *words)
        done(out, about or path)


def create_words(wish: Wish) -> list[str]:
    """The words of ``qemu-img`` before path and size."""
    options = dict(_options(wish))
    # Nothing below is opened: what an image says that it stands on is its own word.
    below = ["-u", "-b", wish.backing, "-F", wish.backing_format] if wish.backing else []
    given = ["-o", ",".join(f"{key}={value.replace(',', ',,')}" for key, value in options.items())] if options else []
    return ["create", "-q", "-f", wish.format, *objects([KEY] if wish.cipher else []), *below, *given]


def _options(wish: Wish) -> Generator[tuple[str, str], None, None]:
    if wish.format == "qcow2":
        yield "compat", wish.compat or "1.1"
        if wish.cluster is not None:
            yield "cluster_size", str(wish.cluster)
        if wish.lazy:
            yield "lazy_refcounts", "on"
        if wish.extended_l2:
            yield "extended_l2", "on"
    elif wish.format == "vpc":
        yield "force_size", "on"  # else it is rounded to what cylinders and heads can say
    if wish.cipher:
        before = "" if wish.format == "luks" else "encrypt."
        if before:
            yield "encrypt.format", "luks"
        yield f"{before}key-secret", KEY
        for key, value in wish.cipher.options:
            yield before + key, value
    if wish.allocation or wish.preallocate:
        yield "preallocation", "falloc" if wish.allocation else "metadata"
