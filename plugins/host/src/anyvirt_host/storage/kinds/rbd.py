"""Pools of the type rbd: the images in a pool of a ceph cluster."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Invalid,
    NotFound,
    Problem,
    ProcessId,
    Progress,
    Run,
    Secret,
    Unsupported,
    VolumeTarget,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.images.errand import errand
from anyvirt_host.storage.images.origin import Origin
from anyvirt_host.storage.images.pouring import poured
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.cluster import Ceph, Cluster, drop
from anyvirt_host.storage.kinds.overwrite import overwritten
from anyvirt_host.storage.kinds.serving import NodeCarrier
from anyvirt_host.storage.namespace import rbd_options
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import HIDDEN, bad_name

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

    from anyvirt_host.storage.wish import Wish

ABOUT: Final = About(volumes=("raw",), tools=("rbd", "ceph"))
END: Final = ".new"
UPLOAD: Final = "anyvirt-upload-"  # and those that uploads go back to
SNAPSHOT: Final = "anyvirt-"  # how the snapshots begin that copies stand on
_NAME: Final = re.compile(r"[^/@\s]+(/[^/@\s]+)?")
_SECTOR: Final = 512  # what QEMU counts in
_GONE: Final = 2
_FEW: Final = 4  # images that are asked about one by one
_JSON: Final = ("--format", "json")


class RbdPool(Bare):
    """Names are those of images; each call asks the cluster."""

    kind = "rbd"

    def __init__(self, run: Run, secret: Callable[[str, str], Secret] | None = None) -> None:
        super().__init__(run)
        self._secret = secret

    def live(self, pool: Pool) -> Live:
        """Cluster and name of the definition."""
        asked, problems = heeded(pool), []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        name = asked.source.name or "" if asked.source else ""
        if not _NAME.fullmatch(name) or name.startswith("-"):
            text = "a pool of the type rbd needs the name of a pool of the cluster"
            hint = "such as <source><name>libvirt</name></source>, or libvirt/namespace"
            problems.append(
                Problem("config.missing" if not name else "config.invalid", "/source/name", None, text, hint)
            )
        cluster = _cluster(asked, problems)
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        source = f"{','.join(cluster.hosts)}/{name}"
        return Live("rbd", name, source, more={**cluster._asdict(), "folder": ""})

    def start(self, live: Live) -> Live:
        """Keep what the tools need, and see that the pool answers."""
        more = dict(live.more or {})
        made = Cluster(tuple(more["hosts"]), more["user"], more["secret"], tuple(map(tuple, more["options"])))
        live = live._replace(more={**more, "folder": made.keep(self.run, self._secret)})
        try:
            list(self.names(live))
        except BaseException:
            self.stop(live)
            raise
        return live

    def stop(self, live: Live) -> None:
        """Forget the key."""
        folder = str((live.more or {}).get("folder", ""))
        if folder:
            drop(self.run, folder)

    def room(self, live: Live) -> Room:
        """What the cluster has; nothing where no manager daemon of it counts that."""
        stats = json.loads(Ceph(self.run, live).ceph(*_JSON, "df").text).get("stats", {})
        return Room(int(stats.get("total_bytes", 0)), int(stats.get("total_avail_bytes", 0)))

    def names(self, live: Live) -> Iterator[Found]:
        """Every image; those that are being made say so."""
        out = Ceph(self.run, live).rbd(*_JSON, "ls", live.path)
        return (Found(str(name), _odd(str(name))) for name in json.loads(out.text))

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them, with what it takes in the cluster; all of it where that is not counted."""
        told = self.told(live, name)
        if told is None or _odd(name):
            return None
        size = int(told["size"])
        taken = self._taken(live, name) if "fast-diff" in told.get("features", ()) else size
        return _sight(str(told["id"]), taken, size)

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """Several; many of them in two questions about all images."""
        if len(names) <= _FEW:
            return super().looks(live, names)
        ceph, wanted = Ceph(self.run, live), {name for name in names if not _odd(name)}
        used = json.loads(ceph.rbd(*_JSON, "du", "-p", *_spaced(live.path)).text)["images"]
        taken = {str(row["name"]): int(row["used_size"]) for row in used if "snapshot" not in row}
        rows = [row for row in json.loads(ceph.rbd(*_JSON, "ls", "-l", live.path).text) if "snapshot" not in row]
        seen = {str(row["image"]): row for row in rows if row["image"] in wanted}
        return {
            name: _sight(row["id"], taken.get(name, int(row["size"])), int(row["size"])) for name, row in seen.items()
        }

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:  # noqa: ARG002
        """Without owner, mode and times, which an image has not."""
        return model.replace(target=(model.target or VolumeTarget()).replace(permissions=None, timestamps=None))

    def protocol(self, live: Live, name: str) -> Mapping[str, Any]:
        """As QEMU opens it: who one is stands in the file, not here."""
        pool, _, namespace = live.path.partition("/")
        node = {"driver": "rbd", "pool": pool, "image": name, "conf": Ceph(self.run, live).conf}
        user = str((live.more or {}).get("user", ""))
        return {**node, **({"namespace": namespace} if namespace else {}), **({"user": user} if user else {})}

    def carrier(self, live: Live) -> NodeCarrier:
        """Carries its bytes."""
        self.here()
        return NodeCarrier(lambda place: self.protocol(live, self.called(live, place)), guard=Snapshots(live, self.run))

    def in_use(self, live: Live, name: str) -> bool:
        """Whether somebody watches it, as all do who have it open for writing."""
        out = Ceph(self.run, live).rbd(*_JSON, "status", self._spec(live, name), about=name, content=(0, _GONE))
        return not out.code and bool(json.loads(out.text).get("watchers"))

    def wish(self, model: Volume) -> Wish:
        """Name and size of an image."""
        return _wanted(model)

    def draft(self, live: Live, name: str, mark: str) -> RbdDraft:
        """Begin one, under a name that tells who is at it."""
        return RbdDraft(self, live, name, mark)

    def making(self, live: Live) -> int:
        """How many somebody is at."""
        return sum(1 for found in self.names(live) if (maker := _maker(found.name)) and maker.alive())

    def sweep(self, live: Live, mark: str = "") -> list[str]:
        """Remove what makers of this boot left that live no more; others' are told apart by their mark alone."""
        said = []
        for found in list(self.names(live)):
            maker = _maker(found.name)
            if maker is None or (mark and not found.name.startswith(f"{HIDDEN}{mark}.")):
                continue
            if maker.alive() is not False or (not mark and maker.boot != ProcessId.own().boot[:8]):
                continue
            try:
                self.destroy(live, found.name)
            except Busy:  # a tool that outlived its maker still writes: the next time
                continue
            said.append(f"{self._spec(live, found.name)}: removed, a killed process was making a volume")
        return [*said, *self._restored(live)] if not mark else said

    def _restored(self, live: Live) -> Iterator[str]:
        """Put back what images held that killed processes of this boot uploaded to; a sentence each."""
        rows = json.loads(Ceph(self.run, live).rbd(*_JSON, "ls", "-l", live.path).text)
        for row in rows:
            name = str(row.get("snapshot", ""))
            who = _who(name.removeprefix(UPLOAD)) if name.startswith(UPLOAD) else None
            if who and who.boot == ProcessId.own().boot and who.alive() is False:
                place = self._spec(live, str(row["image"]))
                Snapshots(live, self.run).restore(place, name)
                yield f"{place}: what it held is back, a killed process was uploading to it"

    def resize(self, live: Live, name: str, size: int, *, allocate: bool) -> Generator[Progress, None, None]:
        """Make one larger or smaller.

        :raises Unsupported: its space is to be taken: a cluster takes it when it is written.
        """
        if allocate:
            raise Unsupported("storage", "taking the space of an rbd image", hint="leave allocate out")
        yield Progress(0, size, "B", "resizing")
        told = self.told(live, name)
        if told is None:
            raise NotFound(name, "volume")
        shrink = ["--allow-shrink"] if size < int(told["size"]) else []
        words = ["resize", "--no-progress", *shrink, "--size", _bytes(size), self._spec(live, name)]
        Ceph(self.run, live).rbd(*words, about=name)

    def settle(self, live: Live, name: str, size: int) -> None:
        """Nothing: a size is changed at one moment."""

    def wipe(self, live: Live, name: str, algorithm: str) -> Generator[Progress, None, None]:
        """Overwrite all of it."""
        told = self.told(live, name)
        if told is None:
            raise NotFound(name, "volume")
        yield from overwritten(self.run, self.protocol(live, name), int(told["size"]), algorithm, name)

    def remove(self, live: Live, name: str) -> None:
        """Remove one, with the snapshots that copies of it stood on.

        :raises Busy: copies stand on it still, it has snapshots of others, or it is open somewhere.
        """
        if self.told(live, name) is None:
            raise NotFound(name, "volume")
        if self.in_use(live, name):
            hint = f"rbd status {self._spec(live, name)} tells who"
            raise Busy(name, holder="whoever has it open", purpose="its content", hint=hint)
        self.destroy(live, name)

    def destroy(self, live: Live, name: str) -> None:
        """Remove an image of any name."""
        ceph, spec = Ceph(self.run, live), self._spec(live, name)
        mine = []
        for row in json.loads(ceph.rbd(*_JSON, "snap", "ls", spec, about=name).text):
            snapshot = f"{spec}@{row['name']}"
            above = json.loads(ceph.rbd(*_JSON, "children", snapshot, about=name).text)
            if above:
                names = ", ".join(sorted(str(child["image"]) for child in above))
                hint = f"delete {names} first, or 'rbd flatten' what is to stay"
                raise Busy(name, holder=names, purpose="their own content", hint=hint)
            if not str(row["name"]).startswith(SNAPSHOT):
                hint = f"rbd snap purge {spec}"
                raise Busy(name, holder=f"the snapshot {row['name']!r}", purpose="what it was then", hint=hint)
            mine.append((snapshot, str(row.get("protected", "false")) == "true"))
        for snapshot, protected in mine:
            if protected:
                ceph.rbd("snap", "unprotect", snapshot, about=name)
            ceph.rbd("snap", "rm", "--no-progress", snapshot, about=name)
        ceph.rbd("rm", "--no-progress", spec, about=name)

    def told(self, live: Live, name: str) -> dict[str, Any] | None:
        """What the cluster says of an image of any name; None where there is none."""
        if "/" in name or "@" in name or bad_name(name.replace(HIDDEN, "", 1)):
            return None
        out = Ceph(self.run, live).rbd(*_JSON, "info", self._spec(live, name), about=name, content=(0, _GONE))
        told: dict[str, Any] | None = None if out.code else json.loads(out.text)
        return told

    def _taken(self, live: Live, name: str) -> int:
        out = Ceph(self.run, live).rbd(*_JSON, "du", self._spec(live, name), about=name)
        rows = [row for row in json.loads(out.text)["images"] if "snapshot" not in row]
        return int(rows[0]["used_size"]) if rows else 0

    def _spec(self, live: Live, name: str) -> str:
        return f"{live.path}/{name}"


class Snapshots:
    """``Guard`` of images: a snapshot, whose name tells who uploads."""

    def __init__(self, live: Live, run: Run) -> None:
        self._ceph, self._mine = Ceph(run, live), f"{UPLOAD}{_me()}"

    def take(self, place: str) -> None:
        """Make it."""
        self._ceph.rbd("snap", "create", "--no-progress", f"{place}@{self._mine}", about=place)

    def keep(self, place: str) -> None:
        """Remove it."""
        self._ceph.rbd("snap", "rm", "--no-progress", f"{place}@{self._mine}", about=place)

    def back(self, place: str) -> None:
        """Go back to it."""
        for row in json.loads(self._ceph.rbd(*_JSON, "snap", "ls", place, about=place).text):
            if row["name"] == self._mine:
                self.restore(place, self._mine)

    def restore(self, place: str, name: str) -> None:
        """Go back to a snapshot, and remove it."""
        self._ceph.rbd("snap", "rollback", "--no-progress", f"{place}@{name}", about=place)
        self._ceph.rbd("snap", "rm", "--no-progress", f"{place}@{name}", about=place)


class RbdDraft:
    """An image under a hidden name, which is renamed when it is whole."""

    def __init__(self, pool: RbdPool, live: Live, name: str, mark: str) -> None:
        self._pool, self._live, self._name = pool, live, name
        self._hidden = f"{HIDDEN}{mark}.{_me()}{END}"
        self._spec = f"{live.path}/{self._hidden}"
        self._ceph = Ceph(pool.run, live)
        self.inode = self.generation = 0

    def fill(self, wish: Wish) -> Generator[Progress, None, None]:
        """Make it, empty."""
        yield Progress(0, None, "B", "making")
        self._ceph.rbd("create", "--size", _bytes(wish.capacity or 0), self._spec, about=self._name)
        self._known()

    def copy(self, wish: Wish, origin: Origin, *, reflink: bool = False) -> Generator[Progress, None, None]:
        """Make it with the content of another volume; within a cluster the cluster copies."""
        node, size = origin.protocol, wish.capacity or 0
        near = node.get("driver") == "rbd" and node.get("conf") == self._ceph.conf and origin.format == "raw"
        if reflink and not near:
            raise Unsupported("reflink", "only images of one pool share their blocks", hint="leave reflink out")
        if not near:
            yield from self.fill(wish)
            yield from poured(self._pool.run, origin, self._pool.protocol(self._live, self._hidden), self._name)
            return
        source = f"{self._live.path}/{node['image']}"
        if reflink:
            yield Progress(0, size, "B", "copying")
            snapshot = f"{source}@{SNAPSHOT}{os.urandom(6).hex()}"
            for words in (("snap", "create", "--no-progress"), ("snap", "protect")):
                self._ceph.rbd(*words, snapshot, about=str(node["image"]))
            self._ceph.rbd("clone", snapshot, self._spec, about=self._name)
        else:
            argv = ("rbd", "-c", self._ceph.conf, *self._who(), "cp", "--no-progress", source, self._spec)
            with needing("rbd"):
                out = yield from errand(self._pool.run, *argv, total=size, about="copying")
            done(out, self._name)
        if size > origin.capacity:
            self._ceph.rbd("resize", "--no-progress", "--size", _bytes(size), self._spec, about=self._name)
        self._known()

    def publish(self) -> None:
        """Give it its name."""
        self._ceph.rbd("mv", self._spec, f"{self._live.path}/{self._name}", about=self._name)

    def drop(self) -> None:
        """Remove it, under either name."""
        for name in (self._hidden, self._name):
            told = self._pool.told(self._live, name)
            if told and (name == self._hidden or int(str(told["id"]), 16) == self.inode):
                self._pool.destroy(self._live, name)

    def close(self) -> None:
        """Nothing is kept open."""

    def _known(self) -> None:
        told = self._pool.told(self._live, self._hidden)
        if told is None:
            raise NotFound(self._hidden, "volume")
        self.inode = int(str(told["id"]), 16)

    def _who(self) -> list[str]:
        user = str((self._live.more or {}).get("user", ""))
        return ["--id", user] if user else []


def _cluster(asked: Pool, problems: list[Problem]) -> Cluster:
    source = asked.source
    hosts = []
    for host in source.hosts if source else ():
        name = f"[{host.name}]" if ":" in (host.name or "") else host.name or ""
        if name and not re.search(r"[\s,]", name):
            hosts.append(f"{name}:{host.port}" if host.port else name)
    if not hosts:
        text = "a pool of the type rbd needs a monitor of the cluster"
        hint = "such as <source><host name='10.0.0.1'/></source>"
        problems.append(Problem("config.missing", "/source/host", None, text, hint))
    options = tuple(rbd_options(asked, problems))
    auth = source.auth if source else None
    if auth is None:
        return Cluster(tuple(hosts), options=options)
    user, secret = auth.username or "", (auth.secret.uuid or auth.secret.usage or "") if auth.secret else ""
    if auth.secret:
        meaningless(auth.secret, "type")
    if auth.type not in (None, "ceph"):
        text = f"a ceph cluster knows nobody by {auth.type}"
        problems.append(Problem("config.invalid", "/source/auth/@type", None, text, "use ceph"))
    if not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", user) or not secret:
        text = "credentials of ceph are a user and a secret"
        hint = "such as <auth username='libvirt' type='ceph'><secret usage='ceph'/></auth>"
        problems.append(Problem("config.missing", "/source/auth", None, text, hint))
    return Cluster(tuple(hosts), user, secret, options)


def _wanted(model: Volume) -> Wish:
    """What a description asks of an image.

    :raises Invalid: with everything in it that cannot be had.
    """
    from anyvirt_host.storage.wish import Wish

    asked = heeded(model)
    meaningless(asked, "type", "name", "key", "physical", "allocation")
    found = [Problem("config.invalid", "/name", None, text, "choose another") for text in bad_name(asked.name)]
    if "@" in asked.name:
        text = "an image has no @ in its name: that is what a snapshot's begins with"
        found.append(Problem("config.invalid", "/name", None, text, "choose another"))
    if asked.target:
        meaningless(asked.target, "path", "timestamps", "permissions")
        if str(asked.target.format or "raw") != "raw":
            text = "images of a cluster are raw"
            found.append(Problem("unsupported.config", "/target/format/@type", None, text, "use raw"))
    if asked.capacity is None:
        found.append(Problem("config.missing", "/capacity", None, "a volume needs a size", "say how many bytes"))
    found += unheeded(asked, "storage")
    if found:
        raise Invalid(found)
    size = -(-(asked.capacity or 0) // _SECTOR) * _SECTOR
    return Wish(asked.name, "raw", size, 0)


def _odd(name: str) -> str:
    if name.startswith(HIDDEN):
        return "a volume that is being made, or what a killed process left of one"
    bad = bad_name(name)
    return bad[0] if bad else ""


def _me() -> str:
    """This process in a word."""
    me = ProcessId.own()
    return f"{me.boot[:8]}.{me.pid}.{me.start}.{me.pidns}"


def _maker(name: str) -> ProcessId | None:
    """Who makes the volume that has this hidden name."""
    if not name.startswith(HIDDEN) or not name.endswith(END):
        return None
    return _who(name[len(HIDDEN) : -len(END)].partition(".")[2])


def _who(word: str) -> ProcessId | None:
    """The process of a word that ``_me`` gave; None where it is none."""
    try:
        boot, pid, start, space = word.split(".")
        me = ProcessId.own()
        return ProcessId(int(pid), int(start), me.boot if boot == me.boot[:8] else boot, int(space))
    except ValueError:
        return None


def _bytes(size: int) -> str:
    return f"{size}B"


def _sight(image: str, taken: int, size: int) -> Sight:
    return Sight("network", int(image, 16), taken, size, 0, 0, 0, (0, 0, 0))


def _spaced(path: str) -> list[str]:
    """A pool, and the namespace in it, as words behind ``-p``."""
    pool, _, namespace = path.partition("/")
    return [pool, "--namespace", namespace] if namespace else [pool]


def backend(run: Run, secret: Callable[[str, str], Secret] | None = None) -> Backend:
    """The back-end."""
    return RbdPool(run, secret)
