"""Pools of the type netfs: a folder of an NFS, GlusterFS or CIFS server, mounted while the pool is active."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Busy,
    Deadline,
    Denied,
    Interrupted,
    Invalid,
    NotFound,
    Output,
    PoolFormat,
    PoolHost,
    PoolSource,
    PoolSources,
    Problem,
    Run,
    Secret,
    Unreachable,
    Unsupported,
    heeded,
    left,
    unheeded,
    within,
)

from anyvirt_host.storage.backend import About, Backend
from anyvirt_host.storage.faults import done, needing
from anyvirt_host.storage.ground.folder import Folder
from anyvirt_host.storage.kinds.folder import FolderPool, make_folder, target_of
from anyvirt_host.storage.kinds.fs import OPTIONS, FsPool
from anyvirt_host.storage.namespace import mount_options
from anyvirt_host.storage.site import Live
from anyvirt_host.storage.wish import FORMATS as VOLUMES

if TYPE_CHECKING:
    from anyvirt.api import Pool

FORMATS: Final = ("auto", "nfs", "glusterfs", "cifs")
ABOUT: Final = About(
    FORMATS,
    volumes=tuple(VOLUMES),
    tools=("mount", "umount", "findmnt"),
    root=True,
    makes={"nfs": "mount.nfs", "glusterfs": "mount.glusterfs", "cifs": "mount.cifs"},
)
PATIENCE: Final = 10.0  # seconds that a server has to say good-bye
_REFUSED: Final = (16, 32)  # statuses of umount, and of what it has for NFS, where the kernel refuses
_SECRETS: Final = ("password", "pass", "password2", "passwd", "credentials", "cred")
# What the tools say, in lower case, where the server does not answer, has no such folder, or does not let one in.
_STAGES: Final = (
    ("unknown host", "resolve"),
    ("could not resolve", "resolve"),
    ("failed to resolve", "resolve"),
    ("resource temporarily unavailable", "resolve"),
    ("connection refused", "connect"),
    ("timed out", "connect"),
    ("could not connect", "connect"),
    ("unable to receive", "connect"),
    ("no route to host", "connect"),
    ("network is unreachable", "connect"),
    ("host is down", "connect"),
    ("program not registered", "greeting"),
)
_GONE: Final = ("no such file or directory", "mount error(2)")
_DENIED: Final = ("access denied", "permission denied", "required key not available")
_NO_HELPER: Final = "you might need a /sbin/mount."


class NetPool(FsPool):
    """The mounted folder is the pool."""

    def __init__(self, run: Run, secret: Callable[[str, str], Secret] | None = None) -> None:
        super().__init__(run)
        self._secret = secret

    def live(self, pool: Pool) -> Live:
        """Server, folder and protocol of the definition."""
        asked = heeded(pool)
        path, problems = target_of(asked)
        source = asked.source
        kind = str(source.format or "auto") if source else "auto"
        if kind not in FORMATS:
            text = f"{kind!r} is no file system of a server"
            problems.append(
                Problem("unsupported.config", "/source/format/@type", None, text, f"use {', '.join(FORMATS)}")
            )
        given = mount_options(asked, problems)
        if any(word.partition("=")[0] in _SECRETS for word in given.split(",")):
            text = "a password is no option of a mount that anybody may read"
            problems.append(Problem("config.invalid", "/fs:mount_opts", None, text, "name a secret: <auth>"))
        server, port = _server(source, kind, problems)
        place = _place(server, kind, source.dir or "" if source else "", problems)
        own = _options(source, kind, port, problems)
        options = ",".join(filter(None, (*own, given)))
        more = {"server": server, "auth": _credentials(source, kind, problems)}
        counts = "capacity" if asked.refresh_allocation == "capacity" else ""
        problems += unheeded(asked, "storage")
        if problems:
            raise Invalid(problems)
        kind = "" if kind == "auto" else kind
        return Live("netfs", path, place, format=kind, options=options, counts=counts, more=more)

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002 - nothing is lost by it
        """Make the mount point; what is mounted there is the server's."""
        make_folder(live.path, pool, self.run)

    def delete(self, live: Live, *, zeroed: bool = False) -> None:
        """Remove the mount point; what is on the server stays.

        :raises Unsupported: its content is to be zeroed: that is the server's.
        """
        if zeroed:
            raise Unsupported("storage", "zeroing what a server has", hint="delete the pool without that")
        FolderPool.delete(self, live)

    def start(self, live: Live) -> Live:
        """Mount it, unless it is.

        :raises Unreachable: the server does not answer.
        :raises NotFound: it has no such folder.
        :raises Denied: it does not let this host, or that user, in.
        """
        source = self._mounted(live.path)
        if source and not self._same(source, live.source):
            raise Busy(live.path, holder=source, purpose="a mount", hint=f"umount {live.path}, or use another folder")
        if not source:
            Folder(live.path, self.run).check()
            words = ("-o", ",".join(filter(None, (OPTIONS, live.options))))
            kind = ("-t", live.format) if live.format else ()
            with needing("mount"):
                out = self.run("mount", *words, *kind, live.source, live.path, input=self._told(live))
            self._judged(out, live)
        return live._replace(device=Folder(live.path, self.run).device())

    def stop(self, live: Live) -> None:
        """Unmount it, unless somebody did; from a server that does not answer, without its good-bye.

        :raises Busy: somebody has a file open there.
        """
        if not self._same(self._mounted(live.path), live.source):
            return
        try:
            with within(Deadline(min(PATIENCE, left(PATIENCE) or 0))):
                out = self._tool("umount", live.path, content=(0, *_REFUSED))
        except Interrupted:
            out = self._tool("umount", "--lazy", "--no-canonicalize", live.path, content=(0, *_REFUSED))
            if b"not mounted" in out.err:  # it had got that far
                return
        if b"busy" in out.err:
            raise Busy(live.path, holder="whoever has a file open there", hint=f"fuser -vm {live.path} tells")
        done(out, live.path)

    def sources(self, asked: PoolSource | None) -> PoolSources:
        """What a server exports: NFS by ``showmount``, GlusterFS by its own command.

        :raises Unreachable: the server does not answer.
        """
        host = next((one.name or "" for one in asked.hosts), "") if asked else ""
        if not _harmless(host):
            text = "a server is asked what it exports, and none is named"
            hint = "such as <source><host name='nfs.example.com'/></source>"
            raise Invalid([Problem("config.missing", "/host/@name", None, text, hint)])
        kind = asked.format if asked else None
        if kind is PoolFormat.GLUSTERFS:
            rows = self._asked("gluster", f"--remote-host={host}", "volume", "list", server=host).text.splitlines()
            found = [f"/{row}" for row in rows if row.strip()]
        elif kind in {None, PoolFormat.AUTO, PoolFormat.NFS}:
            kind = PoolFormat.NFS
            rows = self._asked("showmount", "--no-headers", "-e", host, server=host).text.splitlines()
            found = [row.rpartition(" ")[0].rstrip() or row for row in rows if row.strip()]
        else:
            raise Unsupported("storage", f"asking what a {kind} server has", hint="name host and folder yourself")
        hosts = (PoolHost(name=host),)
        return PoolSources(sources=tuple(PoolSource(hosts=hosts, dir=path, format=kind) for path in found))

    def _mounted(self, path: str) -> str:
        """What is mounted there; the place itself is never looked at, as a dead server's keeps whoever looks."""
        out = self._tool("findmnt", "--json", "--list", "--output", "SOURCE,TARGET", content=(0, 1))
        rows: list[dict[str, Any]] = json.loads(out.text or "{}").get("filesystems", [])
        return next((str(row["source"]) for row in reversed(rows) if row["target"] == path), "")

    def _same(self, source: str, device: str) -> bool:
        return bool(source) and source.rstrip("/") == device.rstrip("/")

    def _told(self, live: Live) -> Secret | None:
        """What mount.cifs reads as its file of credentials."""
        auth = (live.more or {}).get("auth")
        if not auth:
            return None
        if self._secret is None:
            raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
        value = self._secret("none", auth["secret"]).reveal()
        if "\n" in value:
            raise Invalid(f"the secret {auth['secret']!r} has a line's end in it, which no password of CIFS has")
        return Secret(f"username={auth['user']}\npassword={value}\n")

    def _asked(self, *argv: str, server: str) -> Output:
        with needing(argv[0]):
            out = self.run(*argv)
        _reached(out, server)
        return done(out, server)

    def _judged(self, out: Output, live: Live) -> None:
        """Whether it was mounted."""
        said, server = out.err.decode("utf-8", "replace"), (live.more or {})["server"]
        if not out.code:
            return
        if _NO_HELPER in said:
            package = {"nfs": "nfs-common (Debian, Ubuntu), nfs-utils (Fedora)", "cifs": "cifs-utils"}
            hint = f"install {package.get(live.format, 'glusterfs-client (Debian), glusterfs-fuse (Fedora)')}"
            raise Unsupported("the host", f"mounting {live.format or 'such file systems'}", hint=hint)
        _reached(out, server)
        last = said.strip().splitlines()[0] if said.strip() else f"status {out.code}"
        if any(word in said.lower() for word in _GONE):
            raise NotFound(live.source, "file", hint=f"see what {server} exports: {last}")
        if any(word in said.lower() for word in _DENIED):
            hint = "see what the server exports to whom, and which secret the pool names"
            raise Denied(f"{live.source!r}: {last}", hint=hint)
        done(out, live.source)


def _server(source: PoolSource | None, kind: str, problems: list[Problem]) -> tuple[str, int | None]:
    """Name and port of the one server."""
    hosts = source.hosts if source else ()
    if len(hosts) != 1 or not _harmless(hosts[0].name or ""):
        text = "a pool of the type netfs needs one server"
        hint = "such as <source><host name='nfs.example.com'/></source>"
        problems.append(Problem("config.missing", "/source/host", None, text, hint))
        return "", None
    return hosts[0].name or "", None if kind == "glusterfs" else hosts[0].port


def _harmless(host: str) -> bool:
    return bool(host) and not host.startswith("-")


def _place(server: str, kind: str, folder: str, problems: list[Problem]) -> str:
    """The source as ``mount`` takes it."""
    if not folder or (kind != "cifs" and not folder.startswith("/")):
        text = "a pool of the type netfs needs a folder of its server"
        hint = "such as <source><dir path='/srv/images'/></source>"
        problems.append(Problem("config.missing", "/source/dir/@path", None, text, hint))
    if kind == "cifs":
        return f"//{server}/{folder.strip('/')}"
    return f"{f'[{server}]' if ':' in server else server}:{folder.rstrip('/') or '/'}"


def _options(source: PoolSource | None, kind: str, port: int | None, problems: list[Problem]) -> list[str]:
    """What the definition says that is an option of the mount."""
    found = ["direct-io-mode=1"] if kind == "glusterfs" else []
    if source and source.protocol_ver:
        if kind != "nfs":
            text = f"a version of NFS is asked for, and the format is {kind!r}"
            problems.append(Problem("config.invalid", "/source/protocol/@ver", None, text, "use the format nfs"))
        found.append(f"nfsvers={source.protocol_ver}")
    if port is not None:
        found.append(f"port={port}")
    if kind == "cifs":
        found.append("credentials=/dev/stdin" if source and source.auth else "guest")
    return found


def _credentials(source: PoolSource | None, kind: str, problems: list[Problem]) -> dict[str, str] | None:
    """User, and UUID or usage of the secret with its password."""
    auth = source.auth if source and kind == "cifs" else None
    if auth is None:
        return None
    user, secret = auth.username or "", auth.secret
    name = (secret.uuid or secret.usage or "") if secret else ""
    if not user or not name or "\n" in user:
        text = "credentials are a user and a secret that has the password"
        hint = "such as <auth username='joe'><secret uuid='...'/></auth>"
        problems.append(Problem("config.missing", "/source/auth", None, text, hint))
    return {"user": user, "secret": name}


def _reached(out: Output, server: str) -> None:
    """Whether the server answered."""
    said = out.err.decode("utf-8", "replace")
    stage = next((stage for word, stage in _STAGES if word in said.lower()), "") if out.code else ""
    if stage:
        hint = "see that its name is right, and that it runs and lets this host in"
        raise Unreachable(server, stage, hint=hint, details={"stderr": said})


def backend(run: Run, secret: Callable[[str, str], Secret] | None = None) -> Backend:
    """The back-end."""
    return NetPool(run, secret)
