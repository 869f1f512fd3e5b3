"""What a start does to the host outside the guest's run directory, told before it is done and taken back from that.

A part is a module here with ``take_back(place, entry)``. Its entry is in the run's record before anything is done, so
whoever settles the run after a kill at any point takes it back; one that was never done, or is gone, is no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Failed, VirtError

from anyvirt_qemu.guest import STATUS

if TYPE_CHECKING:
    from anyvirt_qemu.guest import Record
    from anyvirt_qemu.run_dir import RunDir
    from anyvirt_qemu.site import Site

# kinds of entries, and the modules here that know them
KINDS: Final[Mapping[str, str]] = {
    "groups": "groups",
    "caches": "caches",
    "program": "programs",
    "state": "states",
    **dict.fromkeys(("ownership", "made"), "ownership"),
    "apparmor": "confined",
    **dict.fromkeys(("claim", "pci", "function"), "assigned"),
    **dict.fromkeys(("macvtap", "card-address", "limits", "ip-address", "route", "coalesce", "script"), "links"),
    "switch-port": "switches",
}


class Preparation:
    """The steps of one start: its record grows before each of them.

    :param record: as it is on disk.
    """

    def __init__(self, site: Site, place: RunDir, record: Record) -> None:
        self.site, self.place, self.record = site, place, record

    def note(self, **changes: Any) -> None:
        """Change the record, on disk first."""
        record = replace(self.record, **changes)
        self.place.write(STATUS, record.to_bytes())
        self.record = record

    def leave(self, kind: str, **what: Any) -> None:
        """Write down what is about to be done, in words of JSON; what it takes to undo it."""
        self.site.step(f"prepare-{kind}")
        self.note(left=(*self.record.left, {"kind": kind, **what}))

    def withdraw(self) -> None:
        """Forget what was left last: it was not done, and what is there is another's."""
        self.note(left=self.record.left[:-1])


def take_back(place: RunDir, left: Iterable[Mapping[str, Any]]) -> None:
    """Take back everything, the last first; all of it, whatever fails between.

    :raises VirtError: the first that failed.
    """
    failed: VirtError | None = None
    for entry in reversed(tuple(left)):
        name = KINDS.get(str(entry.get("kind")))
        if name is None:  # a later version of this driver did it, and has to undo it
            continue
        try:
            import_module(f"{__name__}.{name}").take_back(place, entry)
        except VirtError as error:
            failed = failed or error
        except OSError as error:
            native = {"errno": error.errno, "text": error.strerror, "entry": dict(entry)}
            failed = failed or Failed(f"cannot take back {entry['kind']}: {error}", native=native)
    if failed is not None:
        raise failed
