"""Hook that overwrites what volumes hold."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anyvirt.api import Busy, Invalid, JobRecord, NotFound, Progress, Ref, Unsupported, VirtError, current, impl

from anyvirt_host.storage.backend import Blanks, Sight, Wipes
from anyvirt_host.storage.images.scrubbing import TRIM, passes_of, scrubbed
from anyvirt_host.storage.resizing import Resizing
from anyvirt_host.storage.users import refuse_running
from anyvirt_host.storage.volumes import RAW

if TYPE_CHECKING:
    from anyvirt_host.storage.images.header import Header
    from anyvirt_host.storage.site import Declared, Live
    from anyvirt_host.storage.wish import Wish


class Wiping(Resizing):
    """The volume stays: a raw one with what the last pass wrote, an image of another format empty."""

    @impl
    def volume_wipe(self, ref: Ref, algorithm: str) -> Generator[Progress, None, None]:
        if algorithm != TRIM:
            passes_of(algorithm)
        live = self._home(ref)
        assert ref.parent is not None
        with self.site.content(ref, "wipe"):
            with self.site.locks.hold(ref.parent.key, "wipe"):
                sight = self._seen(ref, live)
                self._alone_on(ref, live, sight)
                blank = self._blank(ref, live, sight)
                self._begin("wipe", ref, live, sight, blank=blank)
            for progress in self._overwritten(ref, live, sight, algorithm):
                current().check("wiping a volume")
                yield progress
            if blank:
                yield from self._emptied(ref, live, blank)

    def settled_wipe(self, record: JobRecord) -> str:
        """What became of a wipe that was killed."""
        path, blank = str(record.undo["path"]), record.undo["blank"]
        ref = Ref("volume", path, Ref("pool", str(record.undo["pool"])))
        cut = f"volume {path}: its wipe was cut short"
        try:
            live = self._home(ref)
            if self._another(record, ref, live, self._seen(ref, live)):
                return f"{cut}; it is another one now, whose content stays"
            for _ in self._emptied(ref, live, blank) if blank else ():
                pass
        except NotFound:
            return f"{cut}, and it is gone"
        except VirtError as error:
            return f"{cut}; its image could not be made anew: {error.message}"
        return f"{cut}; what was not overwritten yet may be there still, wipe it again"

    def _alone_on(self, ref: Ref, live: Live, sight: Sight) -> None:
        """Refuse what others need.

        :raises Busy: a guest has it open, or other volumes stand on it.
        :raises Invalid: it is a folder.
        """
        if sight.type == "dir":
            raise Invalid(f"{ref.key!r} is a folder, which is not wiped", hint="name a volume")
        refuse_running(self.site.run, self.backend(live), live, ref)
        above = sorted({one.user for one in self._all_above(ref, live)})
        if above:
            raise Busy(ref, holder=", ".join(above), purpose="they stand on it", hint="delete them first")

    def _overwritten(self, ref: Ref, live: Live, sight: Sight, algorithm: str) -> Generator[Progress, None, None]:
        backend = self.backend(live)
        if isinstance(backend, Wipes):
            return backend.wipe(live, backend.called(live, ref.key), algorithm)
        if sight.type == "network":
            raise Unsupported(f"pools of the type {live.type}", "wiping a volume", hint="delete it instead")
        return scrubbed(self.site.run, ref.key, sight, algorithm)

    def _blank(self, ref: Ref, live: Live, sight: Sight) -> dict[str, Any]:
        """What is needed for an empty image like this one; nothing for a raw one."""
        said = self._said(ref.key, live, sight)
        if said is None or said.format == RAW:
            return {}
        if not isinstance(self.backend(live), Blanks):
            raise Unsupported(f"pools of the type {live.type}", f"wiping volumes of the format {said.format!r}")
        if said.secret:
            self._key(said.secret)
        return _like(said, self._header(ref.key, live, said, sight))

    def _emptied(self, ref: Ref, live: Live, blank: dict[str, Any]) -> Generator[Progress, None, None]:
        """Make the volume an empty image."""
        from anyvirt_host.storage.images.sealing import Cipher
        from anyvirt_host.storage.wish import Wish

        backend, secret = self.backend(live), str(blank["secret"])
        wanted: Wish = Wish(**{key: value for key, value in blank.items() if key != "secret"})
        if secret:
            wanted = replace(wanted, cipher=Cipher(secret), key=self._key(secret))
        if isinstance(backend, Blanks):
            yield from backend.blank(live, backend.called(live, ref.key), os.urandom(6).hex(), wanted)


def _like(said: Declared, header: Header) -> dict[str, Any]:
    made: dict[str, Any] = {"name": os.path.basename(said.path), "format": said.format, "capacity": header.size}
    made |= {"allocation": 0, "backing": said.backing, "backing_format": said.backing_format, "secret": said.secret}
    if said.format == "qcow2":
        made |= {"compat": "0.10" if header.version == 2 else "1.1", "cluster": header.cluster}
        made |= {"lazy": header.lazy, "extended_l2": header.extended_l2}
    return made
