"""Volumes that QEMU reaches by a node of its block layer, as files of this host: over FUSE, while they are read."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import tempfile
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyvirt.api import Busy, Denied, Failed, Interrupted, Secret, Stream, Unsupported, current

from anyvirt_host.local.spawn import spawn
from anyvirt_host.storage.carrying.content import Kept, Span
from anyvirt_host.storage.carrying.pumping import LocalCarrier, LocalUpload

if TYPE_CHECKING:
    from anyvirt_host.storage.backend import Sight

KEY: Final = "key"  # what QEMU calls the password that the server wants
_GRACE: Final = 10.0  # seconds that the last bytes may take on their way
_LOOK: Final = 0.1
_SMALL: Final = 4096
# It ends what it serves when its input does, which is when whoever asked is gone, too.
_SERVE: Final = """
IFS= read -r key
printf %s "$key" | qemu-storage-daemon --object "secret,id=key,format=base64,file=/dev/stdin" \
    --blockdev "$2" --export "$3" --pidfile "$1/pid" --daemonize || { rm -f "$1/image"; rmdir "$1"; exit 1; }
read -r p <"$1/pid"
echo ready
cat >/dev/null
kill "$p"
n=0
while [ -e "$1/pid" ] && [ $n -lt 160 ]; do  # it removes that with its last breath
    sleep 0.05
    n=$((n + 1))
done
[ $n -lt 160 ] || kill -9 "$p"
umount -q -l "$1/image" 2>/dev/null || fusermount3 -q -u -z "$1/image" 2>/dev/null
rm -f "$1/pid" "$1/image"
rmdir "$1"
echo ended
"""


class Served:
    """A volume as a file, ``path``, until ``end``.

    :raises Unsupported: nothing here can serve it.
    :raises Failed: QEMU does not open it.
    """

    def __init__(self, node: Mapping[str, Any], about: str, *, writable: bool, key: Secret | None = None) -> None:
        self._about = about
        folder = tempfile.mkdtemp(prefix="anyvirt-served-")
        self.path = f"{folder}/image"
        with open(self.path, "xb"):
            pass
        block = {"driver": "raw", "node-name": "volume", "read-only": not writable, "file": dict(node)}
        export = {"type": "fuse", "id": "volume", "node-name": "volume", "mountpoint": self.path, "writable": writable}
        orders, self._orders = os.pipe()
        self._answers, report = os.pipe()
        try:
            argv = ["/bin/sh", "-c", _SERVE, "sh", folder, json.dumps(block), json.dumps(export)]
            env = {"LC_ALL": "C.UTF-8", "PATH": os.defpath + ":/usr/sbin:/sbin"}
            self._pid = spawn(argv, env, {0: orders, 1: report, 2: report})
        finally:
            os.close(orders)
            os.close(report)
        text = key.reveal() if key else "-"
        os.write(self._orders, b64encode(text.encode("utf-8", "surrogateescape")) + b"\n")
        self._heard = b""
        try:
            self._wait(b"ready\n")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Let go of it, when its last byte is where it belongs; any number of times.

        :raises Failed: that took too long.
        """
        if self._orders < 0:
            return
        os.close(self._orders)
        self._orders = -1
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while poll.poll(_GRACE * 1000):
            data = os.read(self._answers, _SMALL)
            if not data:
                break
            self._heard += data
        else:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        os.close(self._answers)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _wait(self, word: bytes) -> None:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while word not in self._heard:
            current().check(f"the storage of {self._about}")
            if not poll.poll(_LOOK * 1000):
                continue
            data = os.read(self._answers, _SMALL)
            if not data:
                raise self._failure()
            self._heard += data

    def _failure(self) -> Failed | Unsupported:
        said = self._heard.decode("utf-8", "replace").strip()
        last = said.rpartition("\n")[2]
        if "not found" in last or "'fuse'" in last:
            hint = "install qemu-system-common (Debian, Ubuntu) or qemu-img (Fedora)"
            return Unsupported("this host", f"serving {self._about} as a file ({last})", hint=hint)
        hint = "install fuse3, and see whether this user may use /dev/fuse" if "FUSE" in last else ""
        return Failed(f"QEMU does not open {self._about}: {last}", native={"stderr": said}, hint=hint)


class Guard(Protocol):
    """Has what a volume held until an upload to it counts."""

    def take(self, place: str) -> None:
        """Remember it."""
        ...

    def keep(self, place: str) -> None:
        """Forget it: what came instead counts."""
        ...

    def back(self, place: str) -> None:
        """Put it back; nothing happens where nothing is remembered."""
        ...


class Unguarded:
    """Nothing remembers: a volume that is written where it is holds what came of an upload that was given up."""

    def take(self, place: str) -> None:
        """Nothing."""

    def keep(self, place: str) -> None:
        """Nothing."""

    def back(self, place: str) -> None:
        """Nothing."""


class NodeCarrier:
    """``Carrier`` of volumes that have no path here: written where they are, so that nothing of an upload is kept.

    :param node: what QEMU opens for the volume of a key.
    :param key: the password that its server wants.
    :param guard: remembers what a volume held.
    """

    def __init__(
        self,
        node: Callable[[str], Mapping[str, Any]],
        key: Callable[[], Secret | None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._node, self._key, self._guard = node, key, guard or Unguarded()

    def download(self, place: str, sight: Sight, span: Span) -> Stream:
        """The bytes of a range."""
        served = self._served(place, writable=False)
        try:
            return LocalCarrier().download(served.path, sight._replace(type="served"), span, ended=served.end)
        except BaseException:
            served.end()
            raise

    def upload(self, place: str, sight: Sight, span: Span, *, grows: bool, kept: Kept | None = None) -> ServedUpload:
        """Take bytes for a range."""
        lock = _alone(place)
        served = None
        try:
            self._guard.take(place)
            served = self._served(place, writable=True)
            upload = LocalCarrier().upload(served.path, sight._replace(type="served"), span, grows=grows, kept=kept)
        except BaseException:
            if served:
                served.end()
            self._guard.back(place)
            os.close(lock)
            raise
        return ServedUpload(upload, served, lambda: self._guard.keep(place), lambda: self._guard.back(place), lock)

    def kept(self, place: str) -> None:  # noqa: ARG002
        """Nothing."""
        return

    def drop(self, place: str) -> None:
        """Nothing is there."""

    def sweep(self, folder: str, inode: Callable[[str], int]) -> list[str]:  # noqa: ARG002
        """Nothing is left behind."""
        return []

    def _served(self, place: str, *, writable: bool) -> Served:
        return Served(self._node(place), place, writable=writable, key=self._key() if self._key else None)


class ServedUpload:
    """``Upload`` into a volume that is served; it is let go of before anybody asks who has it open.

    :param keep: lets what came count.
    :param back: puts back what was there.
    :param lock: held until the end.
    """

    inode = generation = 0

    def __init__(
        self, upload: LocalUpload, served: Served, keep: Callable[[], None], back: Callable[[], None], lock: int
    ) -> None:
        self._upload, self._served, self._keep, self._back, self._lock = upload, served, keep, back, lock
        self.writer, self.process = upload.writer, upload.process

    def prepare(self) -> None:
        """Have every byte where it belongs."""
        try:
            self._upload.prepare()
            self._upload.publish()
        except BaseException as error:
            if not (isinstance(error, Interrupted) and error.reason == "deadline"):
                self._end(self._back)
            raise
        self._served.end()

    def publish(self) -> None:
        """Let it count."""
        self._end(self._keep)

    def abandon(self) -> None:
        """Have what was there before, where that is remembered."""
        self._upload.abandon()
        self._end(self._back)

    def wrong(self) -> None:
        """Say why nobody takes the bytes."""
        self._upload.wrong()

    def _end(self, last: Callable[[], None]) -> None:
        if self._lock < 0:
            return
        self._served.end()
        try:
            last()
        finally:
            os.close(self._lock)
            self._lock = -1


def _alone(place: str) -> int:
    """A lock on the volume of a key, for all processes of this user; it goes with its descriptor.

    :raises Busy: somebody uploads to it.
    """
    home = f"{tempfile.gettempdir()}/anyvirt-serving-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(home, 0o700)
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_uid != os.getuid():
            raise Denied(f"{home!r} belongs to somebody else", hint="remove it")
        name = sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Busy(place, holder="another upload", purpose="its bytes", hint="wait for it, or end it") from None
    return lock
