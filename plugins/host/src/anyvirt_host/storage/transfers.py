"""Hooks that carry the bytes of volumes: download, upload, and what is kept of an upload that broke off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anyvirt.api import Busy, Invalid, NotFound, Ref, Stream, Unfinished, Unsupported, VirtError, impl

from anyvirt_host.storage.carrying.content import Carrying, carrier_of, span_of
from anyvirt_host.storage.site import MOMENT
from anyvirt_host.storage.users import refuse_running
from anyvirt_host.storage.volumes import RAW, Volumes

if TYPE_CHECKING:
    from anyvirt.api import Answer, Document, Volume

    from anyvirt_host.storage.backend import Backend, Sight
    from anyvirt_host.storage.carrying.content import Carrier, Kept, Upload
    from anyvirt_host.storage.known import Known
    from anyvirt_host.storage.site import Live


class Transfers(Volumes):
    """A file is written beside the volume and takes its place at the end; a device is written where it is."""

    @impl
    def volume_download(self, ref: Ref, offset: int, length: int | None, sparse: bool) -> Stream:
        span = span_of(offset, length, sparse=sparse)
        live = self._home(ref)
        sight = self._seen(ref, live)
        return self._carrier(ref, live, sight).download(ref.key, sight, span)

    @impl
    def volume_upload(self, ref: Ref, offset: int, length: int | None, sparse: bool, resume: bool) -> Stream:
        span = span_of(offset, length, sparse=sparse)
        live = self._home(ref)
        assert ref.parent is not None
        with self.site.content(ref, "upload", wait=MOMENT), self.site.locks.hold(ref.parent.key, "upload"):
            sight = self._seen(ref, live)
            carrier = self._carrier(ref, live, sight)
            refuse_running(self.site.run, self.backend(live), live, ref)
            kept = self._resumed(ref, carrier, sight, offset) if resume else None
            said = self._said(ref.key, live, sight)
            grows = said is not None and said.format != RAW
            upload = carrier.upload(ref.key, sight, span, grows=grows, kept=kept)
            if said is not None and upload.inode:
                # from now on, so that the volume is what it was said to be at every moment
                self.site.declare(said._replace(heir=upload.inode, heir_generation=upload.generation))
        sending = Sending(upload, lambda: self._publish(ref, sight, upload))
        what = f"an upload to {ref.key}"
        return Stream(
            writer=upload.writer, what=what, finish=sending.finish, abandon=upload.abandon, reason=upload.wrong
        )

    @impl
    def volume_unfinished(self, ref: Ref) -> Unfinished | None:
        live = self._home(ref)
        sight = self._seen(ref, live)
        try:
            kept = self._kept(ref, self._carrier(ref, live, sight), sight)
        except (Unsupported, Invalid):  # it takes no uploads at all
            return None
        return Unfinished(kept.offset, kept.done, kept.since) if kept else None

    def uploading(self, ref: Ref, live: Live, sight: Sight) -> Kept | None:
        """What is there of an upload to the volume, whether somebody is at it or not."""
        try:
            return self._carrier(ref, live, sight).kept(ref.key)
        except (Unsupported, Invalid):
            return None

    def _carrier(self, ref: Ref, live: Live, sight: Sight) -> Carrier:
        """What carries the bytes of a volume.

        :raises Invalid: it is a folder.
        :raises Unsupported: nothing here can.
        """
        if sight.type == "dir":
            raise Invalid(f"{ref.key} is a folder, whose bytes are no stream", hint="copy what is in it")
        backend: Backend = self.backend(live)
        far = getattr(self.site.run, "far", False)  # what serves a volume that has no path serves it to its own host
        if isinstance(backend, Carrying) and not far:
            return backend.carrier(live)
        if not ref.key.startswith("/"):
            raise Unsupported("storage", f"carrying the bytes of volumes of the type {live.type}")
        return carrier_of(self.site.run)

    def _kept(self, ref: Ref, carrier: Carrier, sight: Sight) -> Kept | None:
        """What is kept for the file that is there now."""
        kept = carrier.kept(ref.key)
        return kept if kept and kept.inode == sight.inode else None

    def _resumed(self, ref: Ref, carrier: Carrier, sight: Sight, offset: int) -> Kept:
        kept = self._kept(ref, carrier, sight)
        if kept is None:
            raise NotFound(ref.key, "upload", hint="begin a new one, without resume")
        if kept.offset != offset:
            text = f"the unfinished upload to {ref.key} began at byte {kept.offset}, and not at {offset}"
            raise Invalid(text, hint=f"resume it with the offset {kept.offset}, or begin a new one")
        return kept

    def _publish(self, ref: Ref, before: Sight, upload: Upload) -> None:
        """Let the bytes count, as long as it is the same volume and nobody has it open."""
        assert ref.parent is not None
        with self.site.content(ref, "upload", wait=MOMENT), self.site.locks.hold(ref.parent.key, "upload"):
            live = self._home(ref)
            sight = self._seen(ref, live)
            if sight.inode == before.inode:
                refuse_running(self.site.run, self.backend(live), live, ref, own=upload.process)
            elif sight.inode != upload.inode:  # which it is where the deadline passed meanwhile
                hint = "look at the volume again; what came is kept until something is uploaded to it"
                raise Busy(ref, holder="whoever replaced the file", purpose="another volume", hint=hint)
            upload.publish()
            said = self.site.declared(ref.key, upload.inode) if upload.inode else None
            if said is not None:
                self.site.declare(said)

    def _described(self, known: Known) -> Answer[Document[Volume]]:
        answer = super()._described(known)
        ref = known.ref
        kept = self.uploading(ref, known.live, known.sight) if known.may_have_upload else None
        if kept is None or answer.value is None:
            return answer
        what = "is under way" if kept.held else "was not finished; resume it, or begin another"
        answer.value.notes = (*answer.value.notes, f"an upload to {ref.key} {what}: {kept.done} bytes are there")
        return answer


class Sending:
    """The end of an upload: everything is made ready first, then it counts at once."""

    def __init__(self, upload: Upload, publish: Callable[[], None]) -> None:
        self._upload, self._publish = upload, publish

    def finish(self) -> None:
        """Bring it to its end; what fails before that leaves the volume as it was."""
        self._upload.prepare()
        try:
            self._publish()
        except VirtError as error:
            if error.code != "interrupted.deadline":
                self._upload.abandon()
            raise
