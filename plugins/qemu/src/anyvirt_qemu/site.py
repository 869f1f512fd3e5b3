"""What every area of the driver shares: the scope's store, locks and run directories of one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Document,
    Entry,
    Host,
    NotFound,
    Reason,
    Ref,
    State,
    Status,
    Uri,
)

if TYPE_CHECKING:
    from anyvirt.api import Change, Connection, Domain, Lifecycle, Row, Scope, Store

    from anyvirt_qemu.configured import Configured
    from anyvirt_qemu.guest import Record, Run
    from anyvirt_qemu.macs import Macs
    from anyvirt_qemu.probing.capability import Capability

DRIVER: Final = "qemu"
KIND: Final = "domain"
STOPPED: Final = "stopped"  # blob: why it stopped last


class Site:
    """One connection's view of the guests on this host.

    :param step: called before each lasting effect with its name; tests kill themselves there.
    :ivar calls: what beside guests this connection has, such as storage; None until it is open.
    """

    def __init__(self, uri: Uri, host: Host) -> None:
        self.uri, self.host = uri, host
        self.calls: Connection | None = None
        self.step: Callable[[str], None] = host.given.get("step", _nothing)
        self._probed: dict[str, Capability] = {}

    @cached_property
    def scope(self) -> Scope:
        """State, locks and run state."""
        return self.host.scope

    @cached_property
    def store(self) -> Store:
        """Definitions and the event log."""
        return self.scope.store(DRIVER)

    @cached_property
    def macs(self) -> Macs:
        """MAC addresses that definitions have."""
        from anyvirt_qemu.macs import Macs

        return Macs(self.store)

    @cached_property
    def configured(self) -> Configured:
        """The driver's settings.

        :raises Invalid, Denied: the file cannot be understood, or not be trusted.
        """
        from anyvirt_qemu import configured

        system = self.uri.path == "system"
        given = self.host.given.get("configured")
        return configured.read(given or configured.place(self.host.settings, system=system), system=system)

    @cached_property
    def runs(self) -> Path:
        """The folder of run directories, one a guest, named by its UUID."""
        return self.scope.folder(DRIVER, run=True)

    @cached_property
    def binary(self) -> str:
        """The emulator for guests of this host's own architecture.

        :raises Unsupported: QEMU is not installed.
        """
        return self.emulator(None)

    def emulator(self, arch: str | None) -> str:
        """The emulator for definitions of an architecture that name none; of this host's own for None.

        :raises Unsupported: it is not installed.
        """
        from anyvirt_qemu.probing import emulators

        wanted = arch or emulators.native()
        found = emulators.found(wanted, self.host.settings.child_env.get("PATH"))
        if found is None:
            raise emulators.missing(wanted)
        return found

    def caps(self, binary: str | None = None) -> Capability:
        """What a QEMU binary can do; probed once and remembered on disk."""
        from anyvirt_qemu.probing.capability import probe

        path = binary or self.binary
        found = self._probed.get(path)
        if found is None:
            found = self._probed[path] = probe(path, self.host.settings.user_cache_dir)
        return found

    def row(self, ref: Ref) -> Row:
        """What the store has of a domain.

        :raises NotFound: nothing.
        """
        try:
            return self.store.get(KIND, ref.key)
        except NotFound as error:
            raise NotFound(ref, hint="it was undefined, or was transient and has ended") from error

    def status(self, row: Row, stops: dict[str, bytes] | None = None) -> Status:
        """State of a domain, from what is on this host; asks QEMU nothing.

        :param stops: why domains stopped last, where the caller has read that for all.
        """
        if row.run:
            with self.run(row.uuid) as run:
                if run is not None:
                    return run.status()
        kept = self.store.blob(KIND, row.uuid, STOPPED) if stops is None else stops.get(row.uuid)
        reason = Reason.UNKNOWN
        with suppress(ValueError):
            reason = Reason(kept.decode()) if kept else Reason.UNKNOWN
        return Status(State.SHUTOFF, reason)

    @contextmanager
    def run(self, uuid: str) -> Iterator[Run | None]:
        """The run of a guest, open inside the block; None where it has none."""
        from anyvirt_qemu.guest import Run  # not needed where nothing runs

        run = Run.open(self.runs, uuid)
        try:
            yield run
        finally:
            if run is not None:
                run.close()

    @contextmanager
    def hold(self, ref: Ref, purpose: str, *, ask: bool = True) -> Iterator[Row]:
        """Hold the guest's lock inside the block; what killed processes left of it is settled first.

        :param ask: QEMU may be asked for that; without, what needs its answer is left as it is.
        :raises Busy: somebody else holds it until the deadline.
        :raises NotFound: there is no such domain.
        """
        with self.scope.locks.hold(ref.key, purpose):
            self.settle(ref.key, ask=ask)
            yield self.row(ref)

    def settle(self, uuid: str, *, ask: bool = True) -> str | None:
        """Bring a guest's run to its end where it ended, or where its starter was killed; under its lock.

        :return: a sentence on what was done, or None where nothing was to be done.
        """
        from anyvirt_qemu.ending import settle

        return settle(self, uuid, ask=ask)

    def rows(self) -> list[Row]:
        """Every domain, without its document; transient ones only while they run."""
        found = self.store.rows(KIND)
        return [row for row in found if not row.transient or self.lives(row)]

    def heard(self, record: Record) -> bool:
        """Whether the log has the start of a run; asked where its starter may have been killed as he told of it."""
        if record.phase != "telling":
            return record.told
        found = (entry for entry in self.store.events() if isinstance(entry, Entry))
        return any(entry.run == record.run for entry in found)

    def lives(self, row: Row) -> bool:
        """Whether a run of it may still be there: not known counts as yes."""
        with self.run(row.uuid) as run:
            return run is not None and run.alive() is not False


def ref_of(row: Row) -> Ref:
    """The ref of a row."""
    return Ref(KIND, row.uuid, name=row.name, uuid=row.uuid)


def lifecycle(row: Row, change: Change, detail: str, *, run: str = "") -> Lifecycle:
    """An event of a domain, for the log."""
    from anyvirt.api import Lifecycle

    return Lifecycle(ref=ref_of(row), change=change, detail=detail, run=run)


def document(xml: str | None) -> Document[Domain]:
    """A definition as the store has it."""
    return Document(xml or "")


def _nothing(_name: str) -> None:
    return
