"""The bytes of volumes on their way: download, upload, and what is kept of an upload that did not end."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from typing import Any, Final
from uuid import uuid4

from anyvirt.api import (
    Busy,
    Deadline,
    Hole,
    Interrupted,
    Invalid,
    NotFound,
    ProcessId,
    Ref,
    Row,
    SparseDecoder,
    Stream,
    Unfinished,
    VirtError,
    impl,
    lanes,
)
from anyvirt.api import sparse as records

from anyvirt_test.content import Part, pieces
from anyvirt_test.place import image, image_length, part, volume_facts
from anyvirt_test.volumes import Volumes

ZEROS: Final = bytes(1 << 16)


class Upload(Stream):
    """The sender's end: what is written is taken at once, or refused at once."""

    def __init__(self, intake: Intake, **rest: Any) -> None:
        super().__init__(**rest)
        self._intake = intake

    def write(self, data: bytes) -> None:
        self._intake.take(data)


class Intake:
    """Adds to what has come of an upload.

    :param room: bytes of the volume that may come, with what was there before.
    """

    def __init__(self, kept: Part, room: int, *, sparse: bool) -> None:
        self._place, self._room = kept.length(), room
        self._decoder = SparseDecoder() if sparse else None
        self._fd = kept.begin()
        self._open = True

    def take(self, data: bytes) -> None:
        if not self._open:
            raise Interrupted("lost", "the upload: closed")
        for piece in self._decoder.feed(data) if self._decoder else (data,):
            many = piece.length if isinstance(piece, Hole) else len(piece)
            if self._place + many > self._room:
                raise Invalid(f"more than {self._room} bytes", hint="there is no room for more; nothing is changed")
            if isinstance(piece, Hole):
                os.ftruncate(self._fd, self._place + many)
            else:
                os.pwrite(self._fd, piece, self._place)
            self._place += many

    def whole(self) -> int:
        """How many bytes of the volume have come.

        :raises Invalid: the last record is not all there.
        """
        if self._decoder:
            self._decoder.end()
        return self._place

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)


class Transfers(Volumes):
    """An upload is put into the volume when it has ended well, and all of it at once."""

    @impl
    def volume_download(self, ref: Ref, offset: int, length: int | None, sparse: bool) -> Stream:
        row = self._volume(ref, "downloading a volume")
        end = _range(ref, image_length(volume_facts(self.world, row)), offset, length, clip=True)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        work = partial(_pump, image(self.world, row).open(), writer, offset, end, sparse=sparse)
        lanes.start(f"{ref.key}:download:{uuid4()}", work, Deadline(None))
        return Stream(reader, what=f"download of {ref}")

    @impl
    def volume_upload(self, ref: Ref, offset: int, length: int | None, sparse: bool, resume: bool) -> Stream:
        row = self._volume(ref, "uploading to a volume")
        end = _range(ref, image_length(volume_facts(self.world, row)), offset, length, clip=False)
        with self.world.locks.hold(ref.key, "upload"):
            self._not_in_use(ref, row)
            kept = part(self.world, row)
            since = self._begun(ref, row, offset, resume=resume)
            if not resume:
                kept.drop()
            self._note(row, {"offset": offset, "since": since, "process": ProcessId.own().to_json()})
            intake = Intake(kept, end - offset, sparse=sparse)
        done = partial(self._done, ref, row, intake, offset, since)
        return Upload(intake, what=f"upload to {ref}", finish=done, abandon=partial(self._left, row, intake))

    @impl
    def volume_unfinished(self, ref: Ref) -> Unfinished | None:
        row = self._volume(ref, "this")
        found = self._noted(row)
        return Unfinished(found["offset"], part(self.world, row).length(), found["since"]) if found else None

    def _begun(self, ref: Ref, row: Row, offset: int, *, resume: bool) -> float:
        """When the upload began: now, or when the one that is to go on did."""
        found = self._noted(row)
        if found and found["process"] and ProcessId.from_json(found["process"]).alive() is not False:
            who = f"process {found['process']['pid']}"
            raise Busy(ref, holder=who, purpose="an upload", hint="wait for it, or abort it")
        if not resume:
            return time.time()
        if not found:
            raise NotFound(str(ref), "upload", hint="begin a new one, without resume")
        if found["offset"] != offset:
            text = f"the unfinished upload to {ref} begins at byte {found['offset']}, not at {offset}"
            raise Invalid(text, hint="give that offset, or begin a new one")
        return float(found["since"])

    def _done(self, ref: Ref, row: Row, intake: Intake, offset: int, since: float) -> None:
        try:
            length = intake.whole()
            with self.world.locks.hold(ref.key, "upload"):
                self._not_in_use(ref, self._volume(ref, "uploading to a volume"))
                if (self._noted(row) or {}).get("since") != since:
                    raise NotFound(ref)  # another one of that name
                image(self.world, row).put(part(self.world, row), offset, length)
                part(self.world, row).drop()
                self._note(row, None)
        except VirtError:
            self._left(row, intake)
            raise
        finally:
            intake.close()

    def _left(self, row: Row, intake: Intake) -> None:
        intake.close()
        found = self._noted(row)
        if found:
            self._note(row, {**found, "process": None})

    def _noted(self, row: Row) -> dict[str, Any] | None:
        found = self.world.store.blob(row.kind, row.uuid, "upload")
        noted: dict[str, Any] | None = json.loads(found) if found else None
        return noted

    def _note(self, row: Row, said: dict[str, Any] | None) -> None:
        self.world.store.set_blob(row.kind, row.uuid, "upload", json.dumps(said).encode() if said else None)


def _range(ref: Ref, capacity: int, offset: int, length: int | None, *, clip: bool) -> int:
    """Where a range ends; at the volume's end at last.

    :raises Invalid: it begins behind that or, unless it may be clipped, ends there; or a number is negative.
    """
    end = capacity if length is None else offset + length
    if offset < 0 or (length or 0) < 0 or offset > capacity or (end > capacity and not clip):
        asked = f"{offset} on" if length is None else f"{offset} to {end}"
        raise Invalid(f"bytes from {asked} are not all in {ref}", hint=f"it has {capacity}")
    return min(end, capacity)


def _pump(fd: int, writer: int, offset: int, end: int, *, sparse: bool) -> None:
    """Carry what is there into a pipe, until its end or until the reader is gone."""
    try:
        with os.fdopen(writer, "wb", buffering=0) as out:
            for data, many in pieces(fd, offset, end):
                if data:
                    _write(out, records.data_head(many) + data if sparse else data)
                elif sparse:
                    _write(out, records.hole(many))
                else:
                    for place in range(0, many, len(ZEROS)):
                        _write(out, ZEROS[: many - place])
    except BrokenPipeError:
        return
    finally:
        os.close(fd)


def _write(out: Any, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[out.write(left) :]
