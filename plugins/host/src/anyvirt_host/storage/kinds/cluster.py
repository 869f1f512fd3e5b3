"""What it takes to talk to a ceph cluster: its monitors, who one is, and what its tools say is wrong."""

from __future__ import annotations

import errno
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Busy, Denied, Exists, Invalid, NotFound, Output, Secret, Unreachable, Unsupported, WrongState

from anyvirt_host.storage.faults import coded, done, needing

if TYPE_CHECKING:
    from anyvirt.api import Run

    from anyvirt_host.storage.site import Live

CONF: Final = "ceph.conf"
# Seconds after which an answer is an error, where the pool's own options say nothing else.
_PATIENCE: Final = 20
# A folder that nobody else may look into; what is fed has the key first, so that it is a word of no program.
_KEEP: Final = """set -e
umask 077
base=/run
[ "$(id -u)" = 0 ] || base=/run/user/$(id -u)
[ -w "$base" ] || base=/tmp
d=$(mktemp -d "$base/anyvirt-rbd.XXXXXXXX")
IFS= read -r key
[ -z "$key" ] || printf '[client.%s]\\n\\tkey = %s\\n' "$1" "$key" >"$d/keyring"
{ cat; printf 'keyring = %s/keyring\\n' "$d"; } >"$d/ceph.conf"
printf %s "$d"
"""
_HEAD: Final = 12  # bytes of a key before the key itself: type, time, length
_KEY: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_LOST: Final = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED)


class Cluster(NamedTuple):
    """A cluster, and as whom it is asked.

    :param hosts: its monitors, as its configuration has them.
    :param user: without ``client.``; empty where it asks nobody who he is.
    :param secret: UUID or usage of the secret that is the key.
    :param options: of its client library.
    """

    hosts: tuple[str, ...]
    user: str = ""
    secret: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def configuration(self) -> str:
        """The text of its file, but for where the key is."""
        told = {
            "mon_host": ",".join(self.hosts),
            "auth_client_required": "cephx" if self.user else "none",
            "client_mount_timeout": str(_PATIENCE),
            "rados_mon_op_timeout": str(_PATIENCE),
            "rados_osd_op_timeout": str(_PATIENCE),
            **dict(self.options),
        }
        return "\n".join(["[global]", *(f"{key} = {value}" for key, value in told.items()), ""])

    def keep(self, run: Run, find: Callable[[str, str], Secret] | None) -> str:
        """Put what its tools need into a folder that only this user reads; its path.

        :raises Denied: the secret is no key of ceph.
        :raises NotFound: there is no such secret.
        """
        key = ""
        if self.user:
            if find is None:
                raise Unsupported("storage", "secrets", hint="the connection has nobody who keeps them")
            value = find("ceph", self.secret).reveal()
            key = value.strip()
            raw = value.encode("utf-8", "surrogateescape")
            if len(raw) > _HEAD and len(raw) == _HEAD + int.from_bytes(raw[_HEAD - 2 : _HEAD], "little"):
                key = b64encode(raw).decode()  # libvirt's secrets have the bytes that the text stands for
            if not _KEY.fullmatch(key):
                hint = f"give it what 'ceph auth get-key client.{self.user}' prints"
                raise Denied(f"the value of the secret {self.secret!r} is no key of ceph", hint=hint)
        fed = Secret(f"{key}\n{self.configuration}")
        return done(run("sh", "-c", _KEEP, "sh", self.user, input=fed), "/run").text.strip()


def drop(run: Run, folder: str) -> None:
    """Remove that folder; nothing happens where it is gone."""
    run("rm", "-f", "--", f"{folder}/keyring", f"{folder}/{CONF}")
    run("rmdir", "--", folder)


class Ceph:
    """The tools of a cluster."""

    def __init__(self, run: Run, live: Live) -> None:
        more = live.more or {}
        self._run, self._folder, self._live = run, str(more.get("folder", "")), live
        self._who = ["--id", str(more["user"])] if more.get("user") else []

    @property
    def conf(self) -> str:
        """The file that its tools, and QEMU, read."""
        return f"{self._folder}/{CONF}"

    def rbd(self, *words: str, about: str = "", content: Sequence[int] = (0,)) -> Output:
        """Run ``rbd``; ``content`` are the statuses with which it is."""
        return self._tool("rbd", *words, about=about, content=content)

    def ceph(self, *words: str) -> Output:
        """Run ``ceph``."""
        return self._tool("ceph", *words)

    def _tool(self, tool: str, *words: str, about: str = "", content: Sequence[int] = (0,)) -> Output:
        with needing(tool):
            out = self._run(tool, "-c", self.conf, *self._who, *words)
        return out if out.code in content else self._judged(out, about or self._live.path)

    def _judged(self, out: Output, about: str) -> Output:
        """What it left; never where it was not content."""
        said = out.err.decode("utf-8", "replace")
        if f"can't open {CONF}" in said or (self._folder and self._run("test", "-e", self.conf).code):
            hint = "stop the pool and start it"
            raise WrongState("without the key", ["started"], "this", what=self._live.path, kind="pool", hint=hint)
        if "couldn't connect to the cluster" in said or out.code in _LOST or "error connecting" in said:
            if "handle_auth_bad_method" in said or out.code in (errno.EACCES, errno.EPERM):
                raise Denied(f"the cluster of {about!r} refuses the user and the key", hint="correct the pool's <auth>")
            raise Unreachable(f"the cluster of {about!r}", "connect", hint="see whether its monitors run")
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM):
            if out.code == number:
                raise coded(OSError(number, _last(said)), about)
        if out.code == errno.ENOENT:
            raise NotFound(about, "pool" if about == self._live.path else "volume")
        if out.code == errno.EEXIST:
            raise Exists("volume", about.rpartition("/")[2], holder=f"an image in {self._live.path}")
        if out.code == errno.EBUSY:
            raise Busy(about, holder="whoever has it open", hint=f"rbd status {about} tells")
        if out.code == errno.EINVAL:
            raise Invalid(f"{about!r}: {_last(said)}")
        return done(out, about)


def _last(said: str) -> str:
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it says not why")
