"""Pools of the type iscsi: the units of a target that the host's own initiator is logged in to."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from anyvirt.api import (
    Busy,
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
    Run,
    Secret,
    Unreachable,
    Unsupported,
    VirtError,
    WrongState,
    heeded,
    unheeded,
)

from anyvirt_host.storage.backend import About, Backend
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.kinds.luns import Luns
from anyvirt_host.storage.kinds.scsi import target
from anyvirt_host.storage.site import Live

if TYPE_CHECKING:
    from anyvirt.api import Pool

ABOUT: Final = About(tools=("iscsiadm", "lsblk", "find", "stat", "getent"), root=True)
PORT: Final = 3260
# Statuses of iscsiadm: its manual page has them all.
_NONE: Final = 21
_THERE: Final = 15
_REFUSED: Final = (5, 24)
_NO_ANSWER: Final = {4: "connect", 7: "connect", 8: "connect", 11: "greeting", 12: "greeting"}
_NO_TARGET: Final = 19
_SESSION: Final = re.compile(r"\w+: \[(\d+)\] (\S+),-?\d+ (\S+)(?: \(.*\))?")
_RECORD: Final = re.compile(r"(\S+),-?\d+ (\S+)")
_QUICKLY: Final = {"node.session.initial_login_retry_max": "2", "node.startup": "manual"}
# Adds the lines of its input to the records of a target at a portal, so that no password is a word of a command.
_TELL: Final = """umask 077; told=$(cat); some=1
for top in /etc/iscsi/nodes /var/lib/iscsi/nodes; do for file in "$top/$1/$2" "$top/$1/$2,"* "$top/$1/$2,"*/*; do
[ -f "$file" ] || continue
{ grep -v -e '^node\\.session\\.auth\\.\\(authmethod\\|username\\|password\\) ' -e '^# END RECORD' -- "$file"
printf '%s\\n# END RECORD\\n' "$told"; } >"$file.anyvirt" && mv -- "$file.anyvirt" "$file" && some=0
done; done; exit $some"""


class Session(NamedTuple):
    """A log-in."""

    number: int
    portal: str
    target: str


class IscsiPool(Luns):
    """The session is the pool: starting logs in, stopping logs out."""

    kind = "iscsi"

    def __init__(self, run: Run, secret: Callable[[str, str], Secret] | None = None) -> None:
        super().__init__(run)
        self._secret = secret

    def live(self, pool: Pool) -> Live:
        """Server, target and initiator of the definition."""
        asked = heeded(pool)
        problems: list[Problem] = []
        path, source = target(asked, problems), asked.source
        hosts = source.hosts if source else ()
        host = hosts[0].name or "" if len(hosts) == 1 else ""
        if not host or host.startswith("-"):
            text = "a pool of the type iscsi needs one server"
            hint = "such as <source><host name='iscsi.example.com'/></source>"
            problems.append(Problem("config.missing", "/source/host", None, text, hint))
        devices = source.devices if source else ()
        iqn = devices[0].path or "" if len(devices) == 1 else ""
        if not iqn or "/" in iqn or iqn.startswith(("-", ".")):
            text = "a pool of the type iscsi needs one target"
            hint = "such as <source><device path='iqn.2026-01.com.example:storage'/></source>"
            problems.append(Problem("config.missing", "/source/device", None, text, hint))
        port = (hosts[0].port if len(hosts) == 1 else None) or PORT
        initiator = (source.initiator or "") if source else ""
        more = {
            "host": host,
            "port": port,
            "target": iqn,
            "initiator": initiator,
            "auth": _credentials(source, problems),
        }
        counts = "capacity" if asked.refresh_allocation == "capacity" else ""
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        return Live("iscsi", path, f"iscsi {host}:{port} {iqn} {initiator}".strip(), counts=counts, more=more)

    def start(self, live: Live) -> Live:
        """Log in, unless the host is, and wait for the units.

        :raises Unreachable: the server does not answer.
        :raises NotFound: it has no such target.
        :raises Denied: it does not take the secret, or wants one.
        """
        more = dict(live.more or {})
        portals = self._portals(more)
        if self._session(more, portals) is None:
            self._log_in(more, portals[0])
        live = live._replace(more={**more, "portals": portals})
        self.refresh(live)
        return live

    def stop(self, live: Live) -> None:
        """Log out, unless somebody did, and forget what was needed to log in.

        :raises Busy: a unit is in use.
        """
        more = live.more or {}
        portals = more.get("portals") or self._portals(more)
        session = self._session(more, portals)
        if session is not None:
            used = [one for one in self.luns(live) if one.used]
            if used:
                names = ", ".join(one.node for one in used)
                raise Busy(more["target"], holder=f"what is on {names}", hint="unmount it first")
            self._node(more, session.portal, "--logout", content=(0, _NONE))
        for portal in {portals[0], session.portal if session else portals[0]}:
            self._node(more, portal, "--op", "delete", content=(0, _NONE))
        if more["initiator"]:
            self.tool(
                "iscsiadm", "--mode", "iface", "--interface", _interface(more), "--op", "delete", content=(0, _NONE)
            )

    def refresh(self, live: Live) -> None:
        """Have the initiator look for units of the target, and wait for their nodes."""
        self._kept.clear()
        session = self._here(live)
        self.tool("iscsiadm", "--mode", "session", "--sid", str(session.number), "--rescan", about=session.target)
        self.settled()

    def sources(self, asked: PoolSource | None) -> PoolSources:
        """The targets of a server, as it tells whoever asks.

        :raises Unreachable: it does not answer.
        """
        hosts = asked.hosts if asked else ()
        host = hosts[0].name or "" if hosts else ""
        if not host or host.startswith("-"):
            text = "a server is asked for its targets, and none is named"
            hint = "such as <source><host name='iscsi.example.com'/></source>"
            raise Invalid([Problem("config.missing", "/host/@name", None, text, hint)])
        more = {"host": host, "port": hosts[0].port or PORT, "initiator": (asked.initiator or "") if asked else ""}
        told = PoolHost(name=host, port=hosts[0].port)
        found = self._discovered(more, self._portals(more)[0])
        return PoolSources(sources=tuple(PoolSource(hosts=(told,), devices=(PoolDevice(path=name),)) for name in found))

    def adapter(self, live: Live) -> int:
        """The number of the adapter that the session is."""
        number = self._here(live).number
        out = self.tool("find", "/sys/class/iscsi_session", "-type", "l", "-printf", r"%f %l\n", content=(0, 1))
        for row in out.text.splitlines():
            name, _, link = row.partition(" ")
            host = re.search(r"/host(\d+)/", link)
            if name == f"session{number}" and host:
                return int(host[1])
        raise self._gone(live)

    def _log_in(self, more: dict[str, Any], portal: str) -> None:
        known: list[str] = []
        with suppress(Denied):  # a server may tell nobody what it has, and let one in nevertheless
            known = self._discovered(more, portal)
        if known and more["target"] not in known:
            raise NotFound(more["target"], "file", hint=f"the server {more['host']} has {', '.join(known)}")
        if more["initiator"]:
            self._interface(more)
        self._node(more, portal, "--op", "new")
        try:
            for name, value in _QUICKLY.items():
                self._node(more, portal, "--op", "update", "--name", name, "--value", value)
            self._tell(more, portal)
            self._node(more, portal, "--login", content=(0, _THERE))
        except VirtError:
            with suppress(VirtError):
                self._node(more, portal, "--op", "delete", content=(0, _NONE))
            raise

    def _tell(self, more: dict[str, Any], portal: str) -> None:
        """Have the record of the target hold name and password."""
        auth = more["auth"]
        if not auth:
            return
        if self._secret is None:
            raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
        value = self._secret("iscsi", auth["secret"]).reveal()
        if "\n" in value or "\n" in auth["user"]:
            raise Invalid("a name or password of CHAP has no line's end in it", hint="set the secret's value anew")
        start = "node.session.auth."
        lines = (f"{start}authmethod = CHAP", f"{start}username = {auth['user']}", f"{start}password = {value}")
        host, _, port = portal.rpartition(":")
        words = ("sh", "-c", _TELL, "sh", more["target"], f"{host.strip('[]')},{port}")
        out = self.run(*words, input=Secret("\n".join(lines)))
        if out.code:
            raise Failed(
                "the records of iscsiadm are not where they were looked for", native={"stderr": out.err.decode()}
            )

    def _interface(self, more: dict[str, Any]) -> None:
        """Have an interface whose initiator has the name that the definition says."""
        words = ("iscsiadm", "--mode", "iface", "--interface", _interface(more), "--op")
        self.tool(*words, "new", content=(0, _THERE))
        self.tool(*words, "update", "--name", "iface.initiatorname", "--value", more["initiator"])

    def _node(self, more: dict[str, Any], portal: str, *words: str, content: tuple[int, ...] = (0,)) -> Output:
        where = ("--interface", _interface(more)) if more["initiator"] else ()
        named = ("--portal", portal, "--targetname", more["target"])
        return self._judged(("--mode", "node", *where, *named, *words), more, content)

    def _discovered(self, more: dict[str, Any], portal: str) -> list[str]:
        """The targets that the server tells of; nothing of that is kept."""
        words = ["--mode", "discovery", "--type", "sendtargets", "--portal", portal, "--op", "nonpersistent"]
        if more["initiator"]:
            self._interface(more)
            words += ["--interface", _interface(more)]
        rows = self._judged(tuple(words), more, (0, _NONE)).text.splitlines()
        found = [match[2] for row in rows if (match := _RECORD.fullmatch(row.strip()))]
        return sorted(set(found))

    def _judged(self, words: tuple[str, ...], more: dict[str, Any], content: tuple[int, ...]) -> Output:
        with needing("iscsiadm"):
            out = self.run("iscsiadm", *words)
        if out.code in content:
            return out
        what, said = f"{more['host']}:{more['port']}", {"stderr": out.err.decode("utf-8", "replace")}
        if out.code in _REFUSED:
            hint = "see which secret the pool names, and what the server lets this initiator do"
            raise Denied(f"the server {what} refuses the log-in to {more.get('target', 'it')}", hint=hint, details=said)
        if out.code in _NO_ANSWER:
            hint = "see that its name is right, and that it runs and lets this host in"
            raise Unreachable(f"the server {what}", _NO_ANSWER[out.code], hint=hint, details=said)
        if out.code == _NO_TARGET and "target" in more:
            raise NotFound(more["target"], "file", hint=f"see what {what} has: anyvirt pool find-sources iscsi")
        return done(out, what)

    def _portals(self, more: dict[str, Any]) -> list[str]:
        """The server's addresses, as iscsiadm writes them.

        :raises Unreachable: its name leads nowhere.
        """
        with needing("getent"):
            out = self.run("getent", "ahosts", more["host"].strip("[]"))
        found: dict[str, None] = {}
        for row in out.text.splitlines():
            address = row.split()[0]
            found[f"{f'[{address}]' if ':' in address else address}:{more['port']}"] = None
        if out.code or not found:
            raise Unreachable(f"the server {more['host']}", "resolve", hint="see that its name is right")
        return list(found)

    def _sessions(self) -> list[Session]:
        out = self.tool("iscsiadm", "--mode", "session", content=(0, _NONE))
        rows = (_SESSION.fullmatch(row.strip()) for row in out.text.splitlines())
        return [Session(int(row[1]), row[2], row[3]) for row in rows if row]

    def _session(self, more: dict[str, Any], portals: list[str]) -> Session | None:
        found = (one for one in self._sessions() if one.target == more["target"])
        return next((one for one in found if one.portal in portals), None)

    def _here(self, live: Live) -> Session:
        """The pool's session.

        :raises WrongState: somebody logged out.
        """
        more = live.more or {}
        session = self._session(more, more["portals"])
        if session is None:
            raise self._gone(live)
        return session

    def _gone(self, live: Live) -> WrongState:
        what = (live.more or {})["target"]
        return WrongState("logged out", ["logged in"], "this", what=what, kind="pool", hint="stop it and start it")


def _interface(more: dict[str, Any]) -> str:
    """What iscsiadm calls the interface of an initiator's name."""
    return f"anyvirt-{sha256(more['initiator'].encode()).hexdigest()[:12]}"


def _credentials(source: PoolSource | None, problems: list[Problem]) -> dict[str, str] | None:
    """User, and UUID or target of the secret with its password."""
    auth = source.auth if source else None
    if auth is None:
        return None
    user, secret = auth.username or "", auth.secret
    name = (secret.uuid or secret.usage or "") if secret else ""
    if auth.type not in (None, "chap") or not user or not name:
        text = "credentials of iSCSI are those of CHAP: a user, and a secret that has the password"
        hint = "such as <auth type='chap' username='joe'><secret usage='libvirtiscsi'/></auth>"
        problems.append(Problem("config.missing", "/source/auth", None, text, hint))
    return {"user": user, "secret": name}


def backend(run: Run, secret: Callable[[str, str], Secret] | None = None) -> Backend:
    """The back-end."""
    return IscsiPool(run, secret)
