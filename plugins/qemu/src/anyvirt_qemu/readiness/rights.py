"""What the user that QEMU will be may do with files of this host: which folder of a path, which right, and the way out.

For ourselves the kernel is asked. For another user it is reckoned as the kernel does it, from modes and access
control lists; what a server of network storage makes of a user nobody can know before.
"""

from __future__ import annotations

import os
import pwd
import stat
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from anyvirt_qemu.planning.plan import Account, FileUse

BITS: Final = {"r": 4, "w": 2, "x": 1}
FLAGS: Final = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
WORDS: Final = {"r": "read", "w": "write"}
LIST: Final = "system.posix_acl_access"
HEAD: Final = struct.Struct("<I")
ENTRY: Final = struct.Struct("<HHI")
# what an entry of an access control list is about
USER, OWN_GROUP, GROUP, MASK = 2, 4, 8, 16
GROUPS: Final = (OWN_GROUP, GROUP)
NO_FILE: Final = "create it, or correct the path"


class Wrong(NamedTuple):
    """Why a file cannot be opened: code, sentence, way out."""

    code: str
    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Mode:
    """Whose a file is, and what is open to whom.

    :param acl: entries of its access control list: what it is about, bits, number.
    """

    uid: int
    gid: int
    mode: int
    acl: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def of(cls, path: str | int, found: os.stat_result | None = None) -> Mode:
        """That of a file.

        :raises OSError: it cannot be looked at.
        """
        found = os.stat(path) if found is None else found
        return cls(found.st_uid, found.st_gid, found.st_mode, _acl(path))

    def allows(self, uid: int, groups: Iterable[int], right: str) -> bool:
        """Whether a user who is in these groups has a right: ``r``, ``w`` or ``x``."""
        bit = BITS[right]
        if uid == 0:
            return right != "x" or stat.S_ISDIR(self.mode) or bool(self.mode & 0o111)
        if uid == self.uid:
            return bool(self.mode >> 6 & bit)
        if self.acl:
            return self._listed(uid, set(groups), bit)
        return bool(self.mode >> (3 if self.gid in set(groups) else 0) & bit)

    def _listed(self, uid: int, groups: set[int], bit: int) -> bool:
        mask = next((bits for tag, bits, _ in self.acl if tag == MASK), 7)
        for tag, bits, number in self.acl:
            if tag == USER and number == uid:
                return bool(bits & mask & bit)
        named = [(self.gid if tag == OWN_GROUP else number, bits) for tag, bits, number in self.acl if tag in GROUPS]
        mine = [bits for number, bits in named if number in groups]
        return any(bits & mask & bit for bits in mine) if mine else bool(self.mode & bit)


def _acl(path: str | int) -> tuple[tuple[int, int, int], ...]:
    try:
        data = os.getxattr(path, LIST)
    except OSError:  # there is none, or none can be
        return ()
    body = data[HEAD.size : len(data) - (len(data) - HEAD.size) % ENTRY.size]
    return tuple(ENTRY.iter_unpack(body)) if len(data) > HEAD.size else ()


class Rights:
    """Those of one user.

    :param account: None stands for ourselves.
    :param files: what is given to it before it needs it.
    :param passable: folders of ours, which are opened for passing before it needs that.
    """

    def __init__(
        self, account: Account | None = None, files: Iterable[FileUse] = (), passable: Iterable[str] = ()
    ) -> None:
        self._account, self._passable = account, tuple(f"{folder}/" for folder in passable)
        self._given: Mapping[str, FileUse] = {use.path: use for use in files if use.owner is not None}

    @property
    def user(self) -> str:
        """The user's name, or number."""
        if self._account is not None:
            return self._account.name
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return str(os.geteuid())

    @property
    def uid(self) -> int:
        """The user's number."""
        return os.geteuid() if self._account is None else self._account.uid

    def may(self, path: str, right: str) -> bool:
        """Whether the user has a right on a file that is there, whatever folders lead to it."""
        account = self._account
        if account is None:
            return os.access(path, FLAGS[right], effective_ids=True)
        try:
            found = os.stat(path)
            if right == "w" and not stat.S_ISCHR(found.st_mode) and sealed(path):
                return False
            return Mode.of(path, found).allows(account.uid, {account.gid, *account.groups}, right)
        except OSError:
            return False

    def reach(self, path: str, *, write: bool = False) -> Wrong | None:
        """Why the user cannot open a file; None where nothing is in the way.

        The sentence names the component of the path and the right that is missing.
        """
        wrong = self.way(path)
        if wrong is not None:
            return wrong
        given = self._given.get(path)
        try:
            os.stat(path)
        except PermissionError as error:
            hint = "correct the rights of its folders"
            return Wrong("denied", f"{path}: {error.strerror} for user {self.user}", hint)
        except OSError as error:
            if given is not None and (given.make or given.optional):
                return None
            return Wrong("file.not-found", f"{path}: {error.strerror}", NO_FILE)
        for right in ("rw" if write else "r") if given is None else "":
            if not self.may(path, right):
                return self._missing(path, right, write=write)
        return None

    def way(self, path: str) -> Wrong | None:
        """Why the user cannot get as far as a file: a folder that is none, or that it may not pass through."""
        wrong = self._along(path, path)
        if wrong is None and self._account is not None and (real := os.path.realpath(path)) != path:
            return self._along(real, path)
        return wrong

    def _along(self, way: str, path: str) -> Wrong | None:
        here = ""
        for part in way.strip("/").split("/")[:-1]:
            here = f"{here}/{part}"
            if f"{here}/".startswith(self._passable):
                continue
            try:
                found = os.stat(here)
            except PermissionError:
                break
            except OSError as error:
                return Wrong("file.not-found", f"{path}: folder {here}: {error.strerror}", NO_FILE)
            if not stat.S_ISDIR(found.st_mode):
                return Wrong("file.not-found", f"{path}: {here} is no folder", "correct the path")
            if not self.may(here, "x"):
                text = f"{path}: user {self.user} may not pass through folder {here} (right x)"
                return Wrong("denied", text, f"setfacl -m u:{self.user}:x {here}, or move the file elsewhere")
        return None

    def _missing(self, path: str, right: str, *, write: bool) -> Wrong:
        text = f"{path}: user {self.user} may not {WORDS[right]} it (right {right})"
        return Wrong("denied", text, f"setfacl -m u:{self.user}:{right}{'w' * (write and right == 'r')} {path}")


def sealed(path: str) -> bool:
    """Whether a file system takes no changes."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


OURS: Final = Rights()
