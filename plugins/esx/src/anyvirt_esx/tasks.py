"""Tasks of the server: waited for by what it tells, never by asking again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from anyvirt.api import Deadline, Failed, Interrupted, Ref, current, within

from anyvirt_esx.connect import Line
from anyvirt_esx.faults import coded

MARGIN: Final = 0.25  # seconds before the caller's deadline, so that he hears which task goes on
TURN: Final = 30  # seconds that one request waits
PATHS: Final = ("info.state", "info.error")


class Tasks:
    """Begins tasks and waits for their end.

    Property collectors that nobody uses are kept for the next one.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._free: list[tuple[int, Any]] = []
        self._lock = threading.Lock()

    def do(self, operation: str, ref: Ref, begin: Callable[[], Any]) -> None:
        """Begin a task once and wait for its end.

        :param begin: the method of the managed object, which gives a task.
        :raises Interrupted: the deadline passed, or the line was lost: ``details["task"]`` is the task's key where
            one had begun; it goes on.
        """
        task = self._line.run(lambda: self._line.ask(operation, ref, begin))
        self.wait(operation, ref, task)

    def wait(self, operation: str, ref: Ref, task: Any) -> None:
        """Wait for the end of a task that runs.

        :raises VirtError: what became of it.
        """
        outer = current()
        left = outer.left()
        mine = Deadline(None if left is None else max(left - MARGIN, left / 2))
        try:
            with outer.breaks(mine.cancel, what=operation), within(mine):
                state, fault = self._line.run(lambda: self._end(task))
        except Interrupted as error:
            key = str(task._moId)  # noqa: SLF001 - the vendor's name for the key
            text = f"{operation} of {ref} goes on as {key}"
            late = Interrupted(error.reason, text, hint="look at its state before trying again")
            late.details = {"task": key, "operation": operation, "domain": ref.key}
            raise late from error
        if state == "error":
            raise coded(fault, operation, ref) if isinstance(fault, Exception) else Failed(f"{operation} of {ref}")

    def _end(self, task: Any) -> tuple[str, Any]:
        line, types = self._line, self._line.collecting
        logins, collector = self._collector()
        spec = types.FilterSpec(
            objectSet=[types.ObjectSpec(obj=task, skip=False)],
            propSet=[types.PropertySpec(type=line.vim.Task, pathSet=list(PATHS))],
        )
        watched = line.ask("task", str(task), collector.CreateFilter, spec, True)
        known: dict[str, Any] = {}
        version = ""
        while str(known.get("info.state", "")) not in {"success", "error"}:
            options = types.WaitOptions(maxWaitSeconds=TURN)
            told = line.ask("task", str(task), collector.WaitForUpdatesEx, version, options)
            if told is None:
                continue
            version = str(told.version)
            changes = [change for part in told.filterSet for one in part.objectSet for change in one.changeSet]
            known.update({change.name: change.val for change in changes})
        line.ask("task", str(task), watched.DestroyPropertyFilter)
        with self._lock:
            self._free.append((logins, collector))
        return str(known["info.state"]), known.get("info.error")

    def _collector(self) -> tuple[int, Any]:
        with self._lock:
            while self._free:
                logins, found = self._free.pop()
                if logins == self._line.logins:
                    return logins, found
        create = self._line.content.propertyCollector.CreatePropertyCollector
        return self._line.logins, self._line.ask("collector", "tasks", create)
