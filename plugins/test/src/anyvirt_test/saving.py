"""Long work on domains: save and restore, with undo and recovery."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import (
    Change,
    Document,
    Host,
    Invalid,
    JobRecord,
    NotFound,
    Op,
    Progress,
    Reason,
    Ref,
    State,
    Status,
    Undo,
    WrongState,
    current,
    impl,
    phase,
    require,
)

from anyvirt_test.console import Consoles
from anyvirt_test.shape import Shape
from anyvirt_test.world import Guest, World, said

if TYPE_CHECKING:
    from anyvirt.api import Domain

FORMAT: Final = "anyvirt-test-save/1"
STEPS: Final = 8
SAVING: Final = Status(State.PAUSED, Reason.SAVE)
SAVED: Final = Status(State.SHUTOFF, Reason.SAVED)


class Saving:
    """A job says what it is about to do before it does it, so that whoever finds its record can take it back."""

    world: World
    consoles: Consoles
    host: Host

    @impl
    def domain_save(self, ref: Ref, path: str) -> Generator[Progress, None, None]:
        world, files = self.world, self.host.files
        if not path.startswith("/"):
            raise Invalid(f"{path!r} is no absolute path", hint="write it from / on")
        with Undo() as undo:
            with world.hold(ref, "save") as guest:
                require(guest.run.status, Op.SAVE, guest.ref)
                before = guest.run.status
                phase("pause", path=path, run=guest.run.id, was=before.state.value)
                undo.callback(self._go_on, ref, before)
                world.become(guest, SAVING, said(guest, Change.SUSPENDED, "paused"), job="save")
            phase("write")
            undo.callback(self._forget, path)
            memory = world.shape(guest).current
            for step in range(STEPS):
                current().check("save")
                yield Progress(memory * step // STEPS, memory, "B", "writing memory")
            files.write(path, _image(guest, world.live(guest), before).encode())
            yield Progress(memory, memory, "B", "writing memory")
            with world.hold(ref, "save") as guest:
                if guest.run.job != "save":  # somebody pulled the plug meanwhile
                    raise WrongState(guest.run.state.value, [State.PAUSED.value], "save", what=guest.ref)
                phase("stop")
                self.consoles.end(guest, "saved")
                world.become(guest, SAVED, said(guest, Change.STOPPED, "saved"), job="")
            undo.keep()

    @impl
    def domain_restore(self, path: str, paused: bool) -> Generator[Progress, None, Ref]:
        image = _read(self.host.files.read(path).decode("utf-8", "replace"), path)
        document: Document[Domain] = Document.of(image["xml"])
        model = document.model
        ref = Ref("domain", model.uuid or "", name=model.name, uuid=model.uuid)
        shape = Shape.of_model(model)
        for step in range(STEPS):
            current().check("restore")
            yield Progress(shape.current * step // STEPS, shape.current, "B", "reading memory")
        yield Progress(shape.current, shape.current, "B", "reading memory")
        still = paused or image["was"] == State.PAUSED.value
        status = Status(State.PAUSED, Reason.USER) if still else Status(State.RUNNING, Reason.RESTORED)
        second = (Change.SUSPENDED, "restored") if still else (Change.RESUMED, "unpaused")
        with self.world.locks.hold(ref.key, "restore"):
            transient = self._room(ref)
            phase("run")
            events = said(ref, Change.STARTED, "restored"), said(ref, *second)
            self.world.launch(ref, document.text, shape, status, *events, transient=transient)
        self.host.files.remove(path)  # its disks go on changing: it must not be restored twice
        return ref

    def roll_back(self, record: JobRecord) -> str | None:
        """What became of a save whose process was killed: the guest goes on, and half a file is removed."""
        if record.hook != "domain_save" or record.ref is None:
            return None
        try:
            guest = self.world.guest(record.ref)
        except NotFound:
            return f"save of {record.ref}: it is gone"
        if guest.run.job != "save" or guest.run.id != record.undo.get("run"):
            return f"save of {guest.row.name}: it had come to its end"
        self._forget(str(record.undo["path"]))
        self._go_on(guest.ref, Status(State(record.undo["was"])))
        return f"save of {guest.row.name}: taken back, the guest goes on"

    def _room(self, ref: Ref) -> bool:
        """Whether the domain has to be made first.

        :raises WrongState: it runs.
        """
        try:
            guest = self.world.guest(ref)
        except NotFound:
            return True
        if guest.run.active:
            raise WrongState(guest.run.state.value, [State.SHUTOFF.value], "restore", what=guest.ref)
        return False

    def _go_on(self, ref: Ref, before: Status) -> None:
        with suppress(NotFound), self.world.hold(ref, "save") as guest:
            if guest.run.job != "save":
                return
            if before.state is State.PAUSED:
                self.world.become(guest, replace(before, reason=Reason.USER), job="")
            else:
                back = Status(State.RUNNING, Reason.SAVE_CANCELED)
                self.world.become(guest, back, said(guest, Change.RESUMED, "unpaused"), job="")

    def _forget(self, path: str) -> None:
        with suppress(NotFound):
            self.host.files.remove(path)


def _image(guest: Guest, xml: str, before: Status) -> str:
    return json.dumps({"format": FORMAT, "was": before.state.value, "ticks": guest.run.used, "xml": xml})


def _read(text: str, path: str) -> dict[str, str]:
    try:
        image = json.loads(text)
        if image["format"] == FORMAT:
            return {"xml": str(image["xml"]), "was": str(image["was"])}
    except (ValueError, KeyError, TypeError):
        pass
    raise Invalid(f"{path} holds no guest that this host saved", hint="give a file that save has written")
