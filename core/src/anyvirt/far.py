"""``Scope`` of a host that is reached over ssh: its state folder, locks and stores, with nothing but a shell there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.errors import Denied, Failed, Invalid
from anyvirt.identity import boot_id
from anyvirt.scope import SYSTEM_RUN, SYSTEM_STATE, Kind, driver_name, refuse_remote
from anyvirt.store.names import file_name, quote
from anyvirt.store.place import HEAD

if TYPE_CHECKING:
    from anyvirt.model.values import JobRecord
    from anyvirt.store.contract import Store
    from anyvirt.store.files import FileStore
    from anyvirt.transport.far import FarRun
    from anyvirt.transport.shell import Shell

_FACTS: Final = r"""printf '%s\0' "$(id -u)" "$HOME" "${ANYVIRT_STATE_DIR-}" \
  "$(cat /etc/machine-id 2>/dev/null || cat /var/lib/dbus/machine-id 2>/dev/null)" "$(uname -n)" \
  "$(cat /proc/sys/kernel/random/boot_id)" """
# Each folder's owner, mode and file system; what it is not for a machine to say is said by what fails.
_PREPARE: Final = r"""umask 077
for folder; do
  [ -e "$folder" ] || [ -h "$folder" ] || mkdir -p -- "$folder" || exit 1
  if [ -h "$folder" ] || [ ! -d "$folder" ]; then kind=other; else kind=folder; fi
  owner=$(stat -c %u -- "$folder") && mode=$(stat -c %a -- "$folder") && system=$(stat -f -c %T -- "$folder") || exit 1
  case $kind$mode in folder700|folder711|other*) ;; *) [ "$owner" != "$(id -u)" ] || chmod 700 -- "$folder" ;; esac
  printf '%s\0' "$kind" "$owner" "$system"
done"""
_ALIVE: Final = r"""cat /proc/sys/kernel/random/boot_id; stat -Lc %i /proc/self/ns/pid
for pid; do printf '\0'; sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null || :; done"""
_DEAD: Final = frozenset("ZXx")
# What GNU stat calls them, by the name that the kernel has.
_SYSTEMS: Final = {"smb": "cifs", "smb2": "smb3", "v9fs": "9p", "fuseblk": "fuse"}


class FarScope:
    """All state of one user (``session``) or of the machine (``system``) on another host.

    The same as anyvirt has there by itself: a host shows the same definitions from near and far. Made with
    ``FarScope.find``. There ``ANYVIRT_STATE_DIR`` moves it as it does here; this host's own variable does not.

    :param state: absolute path of the folder of definitions, logs and locks there.
    :param run: of what belongs to running guests there.
    :param boot_id: of that host.
    :param tools: runs programs there, under the locks that a thread holds.
    """

    def __init__(self, kind: Kind, tools: FarRun, state: str, run: str, boot: str) -> None:
        self.kind, self.tools, self.state, self.run, self.boot_id = kind, tools, state, run, boot

    def __repr__(self) -> str:
        return f"FarScope({self.kind!r}, {self.tools.host!r}, {self.state!r})"

    @classmethod
    def find(cls, kind: Kind, tools: FarRun, state_dir: str | None = None) -> FarScope:
        """The scope, its folders made where they are missing, owned by the user there and closed to others.

        :param state_dir: holds the state there instead, in a folder named after ``kind``.
        :raises Denied: the system's as another than root, somebody else's folder, a network file system.
        """
        if kind not in ("session", "system"):
            raise Invalid(f"{kind!r} is no scope", hint="session and system are")
        words = tools("sh", "-c", _FACTS).ok().text.split("\0")
        uid, home, moved, machine, node, boot = words[:6]
        if kind == "system" and uid != "0":
            raise Denied(
                f"the system's guests on {tools.host} belong to root, and this is uid {uid}",
                hint="log in as root (+ssh://root@host), or use the session URI",
            )
        place = state_dir or moved
        if place:
            if not place.startswith("/"):
                raise Invalid(f"{place!r} is no absolute path", hint="ANYVIRT_STATE_DIR is written from / on")
            state = f"{os.path.normpath(place)}/{kind}"
        elif kind == "system":
            state = str(SYSTEM_STATE)
        else:
            known = machine.strip() if re.fullmatch(r"[0-9a-f]{32}\s*", machine) else "host-" + quote(node)
            state = f"{home.rstrip('/')}/.local/state/anyvirt/{known}"
        run = str(SYSTEM_RUN) if state == str(SYSTEM_STATE) else f"{state}/run"
        made = cls(kind, tools, state, run, boot)
        made._prepare(uid, state, run, f"{state}/locks")
        return made

    @cached_property
    def locks(self) -> FarLocks:
        """The locks of all objects there: ``with scope.locks.hold(uuid, purpose="start"):``."""
        return FarLocks(self.tools, f"{self.state}/locks")

    def is_now(self, boot: str) -> bool:
        """Whether something of that boot id may still run there."""
        return boot == self.boot_id

    def folder(self, *names: str, run: bool = False) -> str:
        """A folder below ``state`` (or ``run``) there, made 0700 where missing; names are taken as they are.

        :raises Denied: somebody else owns it.
        """
        place, places = self.run if run else self.state, []
        for name in names:
            place = f"{place}/{name}"
            places.append(place)
        self._prepare("", *places)
        return place

    def files(self, driver: str) -> FileStore:
        """The store of ``driver`` there, in plain files."""
        from anyvirt.store.files import FileStore
        from anyvirt.transport.files import FarFiles

        lock = f"{self.state}/locks/{file_name(f'store-{driver}')}"
        folder = self.folder(driver_name(driver))
        return FileStore.far(self.tools, FarFiles(self.tools), folder, driver, lock, boot=self.boot_id)

    def stores(self) -> Iterator[Store]:
        """The store of every driver that keeps something in plain files there, by the drivers' names."""
        found = self.tools("find", self.state, "-mindepth", "2", "-maxdepth", "2", "-name", HEAD, "-printf", "%h\n")
        for folder in sorted(found.text.splitlines()):
            yield self.files(folder.rpartition("/")[2])

    def book(self, store: Store) -> FarBook:
        """Records of running jobs, in a store there."""
        return FarBook(store, self.tools)

    def close(self) -> None:
        """End the shells there."""
        self.tools.close()

    def _prepare(self, uid: str, *folders: str) -> None:
        if not folders:
            return
        out = self.tools("sh", "-c", _PREPARE, "sh", *folders)
        if out.code:
            said = out.err.decode("utf-8", "replace").strip()
            hint = "set ANYVIRT_STATE_DIR there to another place"
            raise Denied(f"{folders[0]} on {self.tools.host}: {said}", hint=hint)
        words = out.text.split("\0")
        for number, folder in enumerate(folders):
            kind, owner, system = words[3 * number : 3 * number + 3]
            if kind != "folder":
                raise Denied(f"{folder} on {self.tools.host} is no folder, or a symbolic link to one")
            if uid and owner != uid:
                raise Denied(
                    f"{folder} on {self.tools.host} belongs to uid {owner}, and this is uid {uid}",
                    hint="log in as its owner, or set ANYVIRT_STATE_DIR there to a folder of your own",
                )
            refuse_remote(_SYSTEMS.get(system, system), Path(folder))


class FarLocks:
    """The locks of one scope of another host: the files that its own anyvirt locks, held by a shell there."""

    def __init__(self, tools: FarRun, folder: str) -> None:
        self._tools, self.folder = tools, folder

    @contextmanager
    def hold(self, key: str, purpose: str, *, wait: float | None = None) -> Iterator[None]:
        """Hold the lock of ``key`` inside the block; what this thread runs there meanwhile holds it, too.

        :raises Busy: somebody kept it until the deadline, or for ``wait`` seconds.
        """
        with self._tools.holding(f"{self.folder}/{file_name(key)}", key, purpose, wait):
            yield


class FarBook:
    """The book of jobs of another host.

    Whether a job's owner lives can be told there alone: a shell of ours, which ends with us or with the line, stands
    for this process.
    """

    def __init__(self, store: Store, tools: FarRun) -> None:
        self._store, self._tools = store, tools
        self._keeper: Shell | None = None

    def write(self, record: JobRecord) -> None:
        """Keep the record."""
        if record.owner:
            record = replace(record, owner=dict(self._kept().identity))
        self._store.write_job(record)

    def drop(self, job: str) -> None:
        """Forget the record."""
        self._store.drop_job(job)

    def all(self) -> tuple[JobRecord, ...]:
        """Every record, the oldest first: without an owner where that is dead, else with one that is not of here."""
        found = self._store.jobs()
        owned = [record for record in found if record.owner]
        alive = dict(zip((record.id for record in owned), self._alive(owned), strict=True))
        return tuple(
            replace(record, owner=_told(record, alive[record.id])) if record.owner else record for record in found
        )

    def close(self) -> None:
        """End the shell that stands for this process; its jobs are nobody's then."""
        if self._keeper is not None:
            self._keeper.close()

    def _kept(self) -> Shell:
        if self._keeper is not None and not self._keeper.idle():  # its line was cut
            self._keeper.close()
            self._keeper = None
        if self._keeper is None:
            self._keeper = self._tools.take()
        return self._keeper

    def _alive(self, records: Sequence[JobRecord]) -> list[bool | None]:
        """As ``ProcessId.alive`` says it, of the owners."""
        if not records:
            return []
        pids = [str(int(record.owner.get("pid", 0))) for record in records]
        here, *lines = self._tools("sh", "-c", _ALIVE, "sh", *pids).ok().text.split("\0")
        boot, namespace = here.split()
        if len(lines) != len(records):
            raise Failed(f"{self._tools.host}: who runs jobs there cannot be told")
        found: list[bool | None] = []
        for record, line in zip(records, lines, strict=True):
            state, *fields = line.split() or ["X"]
            if record.owner.get("boot") != boot:
                found.append(False)
            elif str(record.owner.get("pidns")) != namespace:
                found.append(None)
            else:
                found.append(state not in _DEAD and fields[18:19] == [str(record.owner.get("start"))])
        return found


def _told(record: JobRecord, alive: bool | None) -> dict[str, Any]:
    """The owner as it is to be seen from here, where its number means nothing."""
    return {} if alive is False else {**record.owner, "boot": boot_id(), "pidns": 0}
