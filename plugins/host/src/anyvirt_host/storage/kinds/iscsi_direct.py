"""Pools of the type iscsi-direct: the units of a target, with an initiator in each tool instead of the kernel's."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Denied,
    Failed,
    Invalid,
    NotFound,
    Output,
    PoolDevice,
    PoolHost,
    PoolSource,
    PoolSources,
    Problem,
    Progress,
    Run,
    Secret,
    Unreachable,
    Unsupported,
    VolumeTarget,
    heeded,
    meaningless,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend, Found, Room, Sight
from anyvirt_host.storage.faults import needing
from anyvirt_host.storage.kinds.bare import Bare
from anyvirt_host.storage.kinds.overwrite import overwritten
from anyvirt_host.storage.kinds.serving import KEY, NodeCarrier
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool, Volume

ABOUT: Final = About(volumes=("raw",), tools=("iscsi-ls", "iscsi-readcapacity16"))
PORT: Final = 3260
UNIT: Final = "unit:0:0:"
_DISK: Final = "DIRECT_ACCESS"
_MOST: Final = 64  # units that are asked for one by one, where the target does not list them
_IQN: Final = re.compile(r"(iqn|eui|naa)\.[A-Za-z0-9.:_-]+", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_TARGET: Final = re.compile(r"^Target:(\S+) Portal:(\S+?),")
_LUN: Final = re.compile(r"^Lun:(\d+)\s+Type:(\S+)")


class IscsiDirectPool(Bare):
    """Each call logs in, asks and logs out: nothing is kept, neither here nor in the kernel."""

    kind = "iscsi-direct"

    def __init__(self, run: Run, secret: Callable[[str, str], Secret] | None = None) -> None:
        super().__init__(run)
        self._secret = secret

    def live(self, pool: Pool) -> Live:
        """Portal, target and who asks, as the definition has them."""
        asked = heeded(pool)
        problems: list[Problem] = []
        meaningless(asked, "type", "name", "uuid", "capacity", "allocation", "available")
        source = asked.source
        portal = _portal(source, problems)
        device = source.devices[0].path or "" if source and len(source.devices) == 1 else ""
        if not _IQN.fullmatch(device):
            hint = "such as <source><device path='iqn.2013-06.com.example:target'/></source>"
            problems.append(_missing("/source/device", "such a pool needs the name of one target", hint))
        initiator = source.initiator or "" if source else ""
        if not _IQN.fullmatch(initiator):
            hint = "such as <source><initiator><iqn name='iqn.2013-06.com.example:me'/></initiator></source>"
            problems.append(_missing("/source/initiator/iqn/@name", "such a pool needs the name of who asks", hint))
        user, secret = _credentials(source, problems)
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        more = {"portal": portal, "target": device, "initiator": initiator, "user": user, "secret": secret}
        return Live("iscsi-direct", f"ip-{portal}-iscsi-{device}", f"{portal}/{device}", more=more)

    def start(self, live: Live) -> Live:
        """See that the target answers."""
        list(self._units(live))
        return live

    def sources(self, asked: PoolSource | None) -> PoolSources:
        """The targets that a portal tells of."""
        problems: list[Problem] = []
        portal = _portal(asked, problems, "/host")
        initiator = asked.initiator or "" if asked else ""
        if not _IQN.fullmatch(initiator):
            hint = "such as <source><initiator><iqn name='iqn.2013-06.com.example:me'/></initiator></source>"
            problems.append(_missing("/initiator/iqn/@name", "looking for targets needs the name of who asks", hint))
        if problems:
            raise Invalid(problems)
        out = self._asked(["iscsi-ls", "-i", initiator, f"iscsi://{portal}"], portal, {})
        name, _, port = portal.rpartition(":")
        host = PoolHost(name=name.strip("[]"), port=int(port))
        names = sorted({found[1] for line in out.text.splitlines() if (found := _TARGET.match(line))})
        return PoolSources(
            sources=tuple(
                PoolSource(hosts=(host,), devices=(PoolDevice(path=target),), initiator=initiator) for target in names
            )
        )

    def room(self, live: Live) -> Room:
        """The sum of the units; what else the target has is not known here."""
        sizes = [self._size(live, number) or 0 for number in self._units(live)]
        return Room(sum(sizes), 0)

    def names(self, live: Live) -> Iterator[Found]:
        """Every unit that is a disk."""
        return (Found(f"{UNIT}{number}") for number in self._units(live))

    def place(self, live: Live, name: str) -> str:
        """Portal, target and number of the unit in a word, as libvirt has it."""
        return f"{live.path}-lun-{name.removeprefix(UNIT)}"

    def called(self, live: Live, place: str) -> str:
        """The name of the unit of that number."""
        number = place.removeprefix(f"{live.path}-lun-")
        return f"{UNIT}{number}" if number != place and _number(number) is not None else ""

    def look(self, live: Live, name: str) -> Sight | None:
        """One of them, as large as it says."""
        number = _number(name.removeprefix(UNIT)) if name.startswith(UNIT) else None
        size = None if number is None else self._size(live, number)
        if number is None or size is None:
            return None
        return Sight("network", number, size, size, 0, 0, 0, (0, 0, 0))

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:  # noqa: ARG002
        """Without what no unit has: owner, mode, and when it was used."""
        target = (model.target or VolumeTarget()).replace(permissions=None, timestamps=None)
        return model.replace(target=target)

    def protocol(self, live: Live, name: str) -> Mapping[str, Any]:
        """As QEMU opens it.

        :raises Unsupported: the target asks for a password, which is no part of a node.
        """
        if (live.more or {}).get("user"):
            what = "copying a volume of a target that asks for a password"
            raise Unsupported("storage", what, hint="download it, or upload to it")
        return self._node(live, name)

    def carrier(self, live: Live) -> NodeCarrier:
        """Carries its bytes."""
        self.here()
        return NodeCarrier(lambda place: self._node(live, self.called(live, place)), lambda: self._password(live))

    def wipe(self, live: Live, name: str, algorithm: str) -> Generator[Progress, None, None]:
        """Overwrite all of it."""
        sight = self.look(live, name)
        if sight is None:
            raise NotFound(name, "volume")
        if algorithm == "trim" and not self._thin(live, name):
            raise Unsupported("storage", f"trimming {name!r}, whose target keeps every block", hint="use zero")
        node, key = self._node(live, name), self._password(live)
        yield from overwritten(self.run, node, sight.physical, algorithm, name, key)

    def _node(self, live: Live, name: str) -> dict[str, Any]:
        more = live.more or {}
        node = {
            "driver": "iscsi",
            "transport": "tcp",
            "portal": more["portal"],
            "target": more["target"],
            "lun": int(name.removeprefix(UNIT)),
            "initiator-name": more["initiator"],
        }
        return {**node, "user": more["user"], "password-secret": KEY} if more["user"] else node

    def _units(self, live: Live) -> Iterator[int]:
        """The numbers of the units that are disks."""
        more = live.more or {}
        argv = ["iscsi-ls", "-s", "-i", str(more["initiator"]), f"iscsi://{more['portal']}"]
        with needing("iscsi-ls"):
            out = self.run(*argv, env=self._who(live))
        found = units(out.text, str(more["target"]))
        if not out.code and found is None:
            raise NotFound(
                str(more["target"]), "target", hint=f"iscsi-ls iscsi://{more['portal']} tells which there are"
            )
        if found is not None and (not out.code or found):
            return iter(found)
        if "socket error" in out.err.decode("utf-8", "replace") or found is not None:
            self._judged(out, live.path)
        # The portal has another target that does not let us in, and it broke off there.
        return (number for number in range(_MOST) if self._size(live, number) is not None)

    def _size(self, live: Live, number: int) -> int | None:
        """Bytes of a unit; None where there is none of that number, or no disk."""
        more = live.more or {}
        url = f"iscsi://{more['portal']}/{more['target']}/{number}"
        with needing("iscsi-readcapacity16"):
            out = self.run("iscsi-readcapacity16", "-s", "-i", str(more["initiator"]), url, env=self._who(live))
        if out.code and (b"SENSE KEY:" in out.err or b"readcapacity" in out.err):  # none there, or no disk
            return None
        if out.code:
            self._judged(out, live.path)
        return int(out.text)

    def _thin(self, live: Live, name: str) -> bool:
        """Whether the target lets go of blocks of a unit."""
        more = live.more or {}
        url = f"iscsi://{more['portal']}/{more['target']}/{name.removeprefix(UNIT)}"
        argv = ["iscsi-readcapacity16", "-i", str(more["initiator"]), url]
        return "LBPME:1" in self._asked(argv, live.path, self._who(live)).text

    def _who(self, live: Live) -> dict[str, str | Secret]:
        """What the tools read of who asks; a password in a URL would be seen by everybody."""
        password = self._password(live)
        if password is None:
            return {}
        return {"LIBISCSI_CHAP_USERNAME": str((live.more or {})["user"]), "LIBISCSI_CHAP_PASSWORD": password}

    def _password(self, live: Live) -> Secret | None:
        more = live.more or {}
        if not more.get("user"):
            return None
        if self._secret is None:
            raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
        return self._secret("iscsi", str(more["secret"]))

    def _asked(self, argv: list[str], about: str, env: dict[str, str | Secret]) -> Output:
        with needing(argv[0]):
            out = self.run(*argv, env=env)
        if out.code:
            self._judged(out, about)
        return out

    def _judged(self, out: Output, about: str) -> None:
        """Say what is wrong."""
        said = f"{out.text}\n{out.err.decode('utf-8', 'replace')}"  # it complains on either
        if "uthentication failure" in said or "uthorization failure" in said:
            raise Denied(
                f"the target of {about!r} does not let us in", hint="correct the pool's <auth> and <initiator>"
            )
        if "Target not found" in said:
            raise NotFound(about, "target", hint="correct the pool's source device")
        if "socket error" in said or "onnect" in said or "resolve" in said:
            last = said.strip().rpartition("\n")[2]
            raise Unreachable(about, "connect", hint="see whether the target runs", details={"stderr": last})
        out.ok()
        raise Failed(f"{out.tool} told nothing of {about!r}", native={"stderr": said})


def units(text: str, target: str) -> list[int] | None:
    """The numbers of a target's units that are disks, as ``iscsi-ls -s`` tells; None where there is no such target."""
    found: list[int] | None = None
    inside = False
    for line in text.splitlines():
        if head := _TARGET.match(line):
            inside = head[1] == target
            if inside and found is None:
                found = []
        elif inside and found is not None and (lun := _LUN.match(line)) and lun[2] == _DISK:
            found.append(int(lun[1]))
    return found if found is None else sorted(set(found))


def _portal(source: PoolSource | None, problems: list[Problem], path: str = "/source/host") -> str:
    """Host and port; a problem where that is not one server."""
    hosts = source.hosts if source else ()
    for host in hosts if len(hosts) > 1 else ():  # told of once
        meaningless(host, "name", "port")
    name = hosts[0].name or "" if len(hosts) == 1 else ""
    if not _HOST.fullmatch(name) or name.startswith("-"):
        hint = "such as <source><host name='iscsi.example.com'/></source>"
        problems.append(_missing(path, "such a pool needs one server", hint))
        return ""
    return f"{f'[{name}]' if ':' in name else name}:{hosts[0].port or PORT}"


def _credentials(source: PoolSource | None, problems: list[Problem]) -> tuple[str, str]:
    auth = source.auth if source else None
    if auth is None:
        return "", ""
    user, secret = auth.username or "", (auth.secret.uuid or auth.secret.usage or "") if auth.secret else ""
    if auth.secret:
        meaningless(auth.secret, "type")
    if auth.type not in (None, "chap"):
        text = f"a target knows nobody by {auth.type}"
        problems.append(Problem("config.invalid", "/source/auth/@type", None, text, "use chap"))
    if not user or not secret:
        hint = "such as <auth username='me' type='chap'><secret usage='libvirtiscsi'/></auth>"
        problems.append(_missing("/source/auth", "credentials of a target are a user and a secret", hint))
    return user, secret


def _missing(path: str, text: str, hint: str) -> Problem:
    return Problem("config.missing", path, None, text, hint)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,4}", text) else None


def backend(run: Run, secret: Callable[[str, str], Secret] | None = None) -> Backend:
    """The back-end."""
    return IscsiDirectPool(run, secret)
