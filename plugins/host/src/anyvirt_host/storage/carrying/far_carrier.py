"""``Carrier`` of another host: dd there at one end of a line, a stream here at the other."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Deadline,
    FarRun,
    Interrupted,
    Invalid,
    NotFound,
    Output,
    Stream,
    VirtError,
    current,
    lanes,
)

from anyvirt_host.storage.carrying.content import PART, Kept, Span, part_name
from anyvirt_host.storage.carrying.far_pump import CLEAR, DOWNLOAD, FOUND, KEPT, PREPARE, PUBLISH, REFUSED, UPLOAD
from anyvirt_host.storage.faults import needing
from anyvirt_host.storage.ground.far import told
from anyvirt_host.storage.wish import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyvirt.api import Pipe

    from anyvirt_host.storage.backend import Sight

_RECORDS: Final = 2000  # of one stream; smaller holes than leave so many are sent as what they are
_SMALLEST: Final = 64 << 10
_BOOT: Final = "/proc/sys/kernel/random/boot_id"
_HINTS: Final = {
    "too-much": "resize the volume first, or send less", "past": "choose an offset inside",
    "records": "leave sparse out, or send records",
}  # fmt: skip


class FarCarrier:
    """Carries the bytes of files and devices there; holes are found with qemu-img, as QEMU sees them."""

    def __init__(self, tools: FarRun) -> None:
        self._tools = tools

    def download(self, place: str, sight: Sight, span: Span) -> Stream:
        """The bytes of a range."""
        device = sight.type == "block"
        count = -1 if span.length is None else span.length
        parts = self._parts(place, span, device=device) if span.sparse else []
        words = (place, str(0 if device else sight.inode), str(span.offset), str(count), str(int(span.sparse)))
        pipe = self._tools.pipe("sh", "-c", DOWNLOAD, "sh", *words, what=f"the bytes of {place}")
        try:
            _ready(pipe, place)
            os.write(pipe.writer, "".join(f"{part}\n" for part in parts).encode())
        except BaseException:
            os.close(pipe.reader)
            pipe.drop()
            raise
        finally:
            os.close(pipe.writer)
        return Stream(pipe.reader, what=pipe.what, finish=lambda: _finished(pipe, place), abandon=pipe.drop)

    def upload(self, place: str, sight: Sight, span: Span, *, grows: bool, kept: Kept | None = None) -> FarUpload:
        """Take bytes for a range."""
        return FarUpload(self._tools, place, sight, span, self._boot(), grows=grows, kept=kept)

    def kept(self, place: str) -> Kept | None:
        """What is there of an upload."""
        folder, _, name = place.rpartition("/")
        out = self._tools("sh", "-c", KEPT, "sh", f"{folder}/{part_name(name)}")
        if out.code:
            return None
        boot, about, done, held = out.text.split("\0")[:4]
        try:
            said = json.loads(about)
            count, synced = (int(word) for word in done.split())
            if said["name"] != name:
                return None
            count = count if said["boot"] == boot.strip() else synced
            return Kept(int(said["inode"]), int(said["offset"]), count, float(said["since"]), held=held == "1")
        except (ValueError, KeyError, TypeError):  # cut short while it was begun
            return None

    def drop(self, place: str) -> None:
        """Remove that."""
        folder, _, name = place.rpartition("/")
        out = self._tools("sh", "-c", CLEAR, "sh", folder, part_name(name))
        if out.code == 65:
            raise Busy(place, holder="an upload", purpose="its bytes", hint="wait for it, or end it")
        if out.code:
            raise told(out, place)

    def sweep(self, folder: str, inode: Callable[[str], int]) -> list[str]:
        """Remove what came for volumes that are gone."""
        words = self._tools("sh", "-c", FOUND, "sh", folder, f"{HIDDEN}*{PART}").text.split("\0")[:-1]
        said = []
        for hidden, about, held in zip(words[::3], words[1::3], words[2::3], strict=True):
            name, number = _meant(about)
            if held != "1" and (not name or hidden != part_name(name) or inode(name) != number):
                out = self._tools("sh", "-c", CLEAR, "sh", folder, hidden)
                if out.code:
                    raise told(out, f"{folder}/{hidden}")
                said.append(f"{folder}/{hidden}: removed, it came of an upload to a volume that is gone")
        return said

    def _boot(self) -> str:
        return self._tools("cat", _BOOT).ok().text.strip()

    def _parts(self, place: str, span: Span, *, device: bool) -> list[str]:
        """A line for each record: its kind, where it begins, its length, and its head for printf."""
        file = {"driver": "host_device" if device else "file", "filename": place}
        with needing("qemu-img"):
            image = "json:" + json.dumps({"driver": "raw", "file": file})
            out = self._tools("qemu-img", "map", "-U", "--output=json", image)
        if out.code:
            raise told(out, place)
        found: list[dict[str, Any]] = json.loads(out.text)
        full = [(int(one["start"]), int(one["length"]), bool(one["data"])) for one in found]
        end = sum(length for _, length, _ in full)
        stop = end if span.length is None else min(end, span.offset + span.length)
        inside = [
            (max(at, span.offset), min(at + length, stop), data)
            for at, length, data in full
            if at < stop and at + length > span.offset
        ]
        return [
            f"{'D' if data else 'H'} {at} {to - at} {'D' if data else 'H'}{_octal(to - at)}"
            for at, to, data in _fewer(inside)
        ]


class FarUpload:
    """``Upload`` of another host."""

    def __init__(
        self, tools: FarRun, place: str, sight: Sight, span: Span, boot: str, *, grows: bool, kept: Kept | None
    ) -> None:
        self._tools, self._place, self._old = tools, place, sight.inode
        self._folder, _, self._name = place.rpartition("/")
        self._device, self._part = sight.type == "block", part_name(self._name)
        self._offset, self._anew = span.offset, grows and not span.offset and span.length is None
        about = {"name": self._name, "inode": sight.inode, "offset": span.offset, "boot": boot, "grows": grows}
        text = json.dumps({**about, "since": time.time()})
        limit = -1 if span.length is None else span.length
        words = (
            self._folder, self._part, self._name, str(0 if self._device else sight.inode), str(span.offset), str(limit),
            str(int(grows)), str(int(span.sparse)), str(kept.done) if kept else "", text,
        )  # fmt: skip
        self._pipe = tools.pipe("sh", "-c", UPLOAD, "sh", *words, what=f"an upload to {place}")
        try:
            inode, generation = _ready(self._pipe, place)[:2]
        except BaseException:
            os.close(self._pipe.writer)
            self._pipe.drop()
            raise
        finally:
            os.close(self._pipe.reader)
        self.writer, self.inode, self.generation = self._pipe.writer, inode, generation
        self.process = 0  # what carries them there has ended when they are to count
        self._ready: Any = None

    def prepare(self) -> None:
        """Have everything ready."""
        code = self._pipe.wait()
        if code:
            error = _wrong(self._pipe, code, self._place)
            self._pipe.drop()
            if isinstance(error, Invalid) and not self._device:  # what came can never be brought to an end
                self._tools("sh", "-c", CLEAR, "sh", self._folder, self._part)
            raise error
        self._pipe.drop()
        if self._device:
            return
        if self._ready is None:  # it may take longer than the call that waits for it
            self._ready = lanes.start(f"upload:{self._place}", self._prepared, Deadline(None))
        while not self._ready.done():
            self._wait()
        self._ready.result()

    def publish(self) -> None:
        """Let it count."""
        if not self._device:
            words = (self._folder, self._part, self._name, str(self._old), str(self.inode))
            self._judged(self._tools("sh", "-c", PUBLISH, "sh", *words))

    def abandon(self) -> None:
        """Leave what came; the far end writes down how much that is."""
        try:
            if not self._pipe.ended:
                self._pipe.wait()
        except VirtError:
            pass
        self._pipe.drop()

    def wrong(self) -> None:
        """Say why nobody takes the bytes."""
        code = self._pipe.wait()
        if code:
            raise _wrong(self._pipe, code, self._place)

    def _prepared(self) -> None:
        words = (self._folder, self._part, self._name, str(self._offset), str(int(self._anew)))
        self._judged(self._tools("sh", "-c", PREPARE, "sh", *words))

    def _wait(self) -> None:
        current().check(f"an upload to {self._place}")
        time.sleep(0.02)

    def _judged(self, out: Output) -> None:
        if out.code in REFUSED:
            raise _refused(out.code, self._place)
        if out.code:
            error = told(out, self._place)
            if error.code == "file.no-space":
                error.hint = "free space there and resume the upload: what came is kept"
            raise error


def _ready(pipe: Pipe, place: str) -> list[int]:
    """The numbers of its first line.

    :raises VirtError: why it could not begin.
    """
    word, *numbers = pipe.line().split() or [""]
    if word != "ready":
        raise _wrong(pipe, pipe.wait(), place)
    return [int(number) for number in numbers]


def _finished(pipe: Pipe, place: str) -> None:
    """See that all was sent; whoever reads no more needs no more."""
    try:
        code = pipe.wait() if pipe.ended else 0
        if code:
            raise _wrong(pipe, code, place)
    finally:
        pipe.drop()


def _wrong(pipe: Pipe, code: int, place: str) -> VirtError:
    if code in REFUSED:
        return _refused(code, place)
    if code < 0 or code == 255:
        return pipe.lost()
    error = told(Output(code, b"", pipe.errors().encode()), place)
    if error.code == "file.no-space":
        error.hint = "free space there and resume the upload: what came is kept"
    return error


def _refused(code: int, place: str) -> VirtError:
    word, text = REFUSED[code]
    if word == "busy":
        return Busy(place, holder="another upload", purpose="its bytes", hint="wait for it, or end it")
    if word == "stale":
        return Busy(place, holder="whoever replaced the file", purpose=text, hint="look at the volume again")
    if word == "shrunk":
        return Interrupted("lost", f"{place}: {text}")
    if word == "gone":
        return NotFound(place, "file")
    return Invalid(f"{place}: {text}", hint=_HINTS.get(word, ""))


def _meant(about: str) -> tuple[str, int]:
    try:
        said = json.loads(about)
        return str(said["name"]), int(said["inode"])
    except (ValueError, KeyError, TypeError):
        return "", 0


def _octal(number: int) -> str:
    return re.sub(r"..", lambda two: f"\\{int(two[0], 16):03o}", f"{number:016x}")


def _fewer(parts: Iterable[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """The same range in few records: what is between two pieces of data counts as data where it is small."""
    found, smallest = _joined(parts, 0), _SMALLEST
    while len(found) > _RECORDS:
        found, smallest = _joined(found, smallest), smallest * 2
    return found


def _joined(parts: Iterable[tuple[int, int, bool]], smallest: int) -> list[tuple[int, int, bool]]:
    found: list[tuple[int, int, bool]] = []
    for at, to, data in parts:
        full = data or to - at < smallest
        if found and found[-1][2] == full:
            found[-1] = (found[-1][0], to, full)
        else:
            found.append((at, to, full))
    return found
