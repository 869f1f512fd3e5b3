"""Deleted volumes that a folder keeps for a while, hidden in it; changed under the pool's lock."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from anyvirt.api import Exists, Invalid, NotFound

from anyvirt_host.storage.carrying.content import GONE
from anyvirt_host.storage.faults import done
from anyvirt_host.storage.ground.ground import IMAGE, ground_of
from anyvirt_host.storage.site import Declared
from anyvirt_host.storage.wish import HIDDEN, bad_name

if TYPE_CHECKING:
    from anyvirt.api import Run

    from anyvirt_host.storage.backend import Sight
    from anyvirt_host.storage.site import Live

RECORD: Final = "record"
_NOBODY: Final = "65534"


class Binned(NamedTuple):
    """A volume in the trash.

    :param hidden: the folder that it is in.
    :param said: what it was declared as, as ``Declared`` has it; None where nobody had, or somebody else says so:
        whoever may write in the folder can put a record there.
    :param sight: None where it was not moved there, or is back again.
    """

    hidden: str
    name: str
    deleted_at: float
    until: float
    said: dict[str, Any] | None
    sight: Sight | None


class Trash:
    """The trash of one folder. A kill leaves a volume in its place or in here, with all that was said of it."""

    def __init__(self, folder: str, run: Run) -> None:
        self._folder, self._run, self._ground = folder, run, ground_of(run)

    def put(self, name: str, until: float, now: float, said: dict[str, Any] | None) -> str:
        """Move a volume here; the hidden folder that it is in then."""
        hidden = f"{HIDDEN}{os.urandom(6).hex()}{GONE}"
        place = f"{self._folder}/{hidden}"
        record = {"name": name, "deleted_at": now, "until": until, "said": said}
        self._do("mkdir", "-m", "700", "--", place)
        done(self._run("dd", "status=none", "conv=fsync", f"of={place}/{RECORD}", input=json.dumps(record)), place)
        self._do("mv", "-nT", "--", f"{self._folder}/{name}", f"{place}/{IMAGE}")
        self._do("sync", "--", place, self._folder)
        return hidden

    def entries(self) -> list[Binned]:
        """What is in it, the first one deleted first; what a kill left of a record that was never whole is left out."""
        found = []
        for hidden, _ in self._ground.berths(self._folder, HIDDEN, GONE):
            place = f"{self._folder}/{hidden}"
            # whoever may write in the folder may have put a fifo or a link there
            flags = ("bs=65536", "count=1", "iflag=nofollow,nonblock", "status=none")
            out = self._run("dd", f"if={place}/{RECORD}", *flags)
            try:
                told = json.loads(out.text)
                words = (str(told["name"]), float(told["deleted_at"]), float(told["until"]))
                said = told["said"] if told["said"] and self._ours(hidden) else None
                declared = Declared(**said)._asdict() if said else None
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if not bad_name(words[0]):
                found.append(Binned(hidden, *words, declared, self._ground.sights(place, [IMAGE]).get(IMAGE)))
        return sorted(found, key=lambda one: one.deleted_at)

    def back(self, one: Binned) -> None:
        """Give a volume its name back.

        :raises Exists: something has that name.
        """
        image, place = f"{self._folder}/{one.hidden}/{IMAGE}", f"{self._folder}/{one.name}"
        if self._ground.sights(self._folder, [one.name]):
            raise Exists("volume", one.name, holder=f"a volume in {self._folder}", hint="delete it, or keep it")
        self._do("mv", "-nT", "--", image, place)
        if self._ground.sights(f"{self._folder}/{one.hidden}", [IMAGE]):  # mv -n says nothing
            raise Exists("volume", one.name, holder=f"something in {self._folder}", hint="move that elsewhere")
        self._do("sync", "--", self._folder)
        self._ground.clear(self._folder, one.hidden)

    def sweep(self, now: float) -> list[str]:
        """Remove what has been kept for its time, and what a kill left; a sentence for each volume."""
        said = []
        known = {one.hidden: one for one in self.entries()}
        for hidden, _ in self._ground.berths(self._folder, HIDDEN, GONE):
            one = known.get(hidden)
            if one is not None and one.sight is not None:
                if one.until > now:
                    continue
                said.append(f"volume {one.name}: removed for good, its time in the trash is over")
            self._ground.clear(self._folder, hidden)
        return said

    def path(self, one: Binned) -> str:
        """Where a volume is kept."""
        return f"{self._folder}/{one.hidden}/{IMAGE}"

    def last(self, name: str) -> Binned:
        """The volume of that name that was deleted last.

        :raises NotFound: there is none.
        """
        found = [one for one in self.entries() if one.name == name and one.sight is not None]
        if not found:
            raise NotFound(name, "volume", hint="its time in the trash is over, or it was deleted without one")
        return found[-1]

    def _ours(self, hidden: str) -> bool:
        """Whether this user made a folder; what root makes on NFS is nobody's."""
        sight = self._ground.sights(self._folder, [hidden]).get(hidden)
        return sight is not None and str(sight.owner) in (done(self._run("id", "-u"), "id").text.strip(), _NOBODY)

    def _do(self, *argv: str) -> None:
        done(self._run(*argv), self._folder)


@runtime_checkable
class Keeping(Protocol):
    """A kind of pool that can keep deleted volumes for a while."""

    def trash(self, live: Live) -> Trash:
        """Where it does."""
        ...


def kept_for(seconds: int, *, zeroed: bool) -> int:
    """Seconds for which a deleted volume is to be kept.

    :raises Invalid: it cannot be.
    """
    if seconds < 0:
        raise Invalid(f"a volume is not kept for {seconds} seconds", hint="0 keeps it not at all")
    if seconds and zeroed:
        raise Invalid("a volume whose content is overwritten cannot be kept", hint="leave out trash or zeroed")
    return seconds
