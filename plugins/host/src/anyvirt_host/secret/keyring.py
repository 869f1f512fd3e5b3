"""The kernel's keyring of this user: what is in it is on no disk, and gone with the boot at the latest."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from typing import Final, Protocol

from anyvirt.api import Failed, Unsupported

LARGEST: Final = 32767  # bytes that a key of the type "user" can hold
_TYPE: Final = b"user"
_USER, _THREAD = -4, -1  # KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING
_DESCRIBE, _LINK, _UNLINK, _SEARCH, _READ = 6, 8, 9, 10, 11
_GONE: Final = (errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED)
# add_key and keyctl, as <asm/unistd.h> of each architecture has them
_NEW: Final = (217, 219)
_NUMBERS: Final = {
    "x86_64": (248, 250),
    "aarch64": _NEW,
    "riscv64": _NEW,
    "loongarch64": _NEW,
    "ppc64le": (269, 271),
    "s390x": (278, 280),
}


class Keys(Protocol):
    """Values by name, in memory alone.

    Everything raises ``Unsupported`` where nobody can have any.
    """

    def put(self, name: str, value: bytes) -> None:
        """Keep a value under a name, in place of the one that is there."""
        ...

    def get(self, name: str) -> bytes | None:
        """The value under a name; None where there is none."""
        ...

    def drop(self, name: str) -> bool:
        """Remove what is under a name; whether there was anything."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin so."""
        ...


class OtherKernel:
    """The keys of another host, which has to be asked from within: they belong to sessions of its own."""

    def put(self, name: str, value: bytes) -> None:  # noqa: ARG002 - there is nowhere to put it
        raise _without("it is another host's")

    def get(self, name: str) -> bytes | None:  # noqa: ARG002
        raise _without("it is another host's")

    def drop(self, name: str) -> bool:  # noqa: ARG002
        raise _without("it is another host's")

    def names(self, prefix: str) -> Iterator[str]:  # noqa: ARG002
        raise _without("it is another host's")


class Keyring:
    """Keys of this user, each with a description by which any process of the user finds it."""

    def __init__(self) -> None:
        self._add, self._ctl = _NUMBERS.get(os.uname().machine, (0, 0))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long

    def put(self, name: str, value: bytes) -> None:
        """Keep a value under a name, in place of the one that is there.

        :raises Unsupported: the kernel lets nobody have keys here.
        :raises Failed: there is no room for it in the user's quota, or in any key.
        """
        self._own()
        self._call(self._add, _TYPE, name.encode(), value, ctypes.c_size_t(len(value)), ctypes.c_long(_USER))

    def get(self, name: str) -> bytes | None:
        """The value under a name; None where there is none."""
        key = self._find(name)
        room = ctypes.create_string_buffer(LARGEST + 1)
        try:
            size = self._keyctl(_READ, key, room, ctypes.c_size_t(len(room))) if key else None
            return None if size is None else room.raw[:size]
        finally:
            ctypes.memset(room, 0, len(room))

    def drop(self, name: str) -> bool:
        """Remove what is under a name; whether there was anything."""
        key = self._find(name)
        return bool(key) and self._keyctl(_UNLINK, key, ctypes.c_long(_USER)) is not None

    def names(self, prefix: str) -> Iterator[str]:
        """The names that begin so."""
        self._own()
        room = (ctypes.c_int32 * 4096)()
        size = self._keyctl(_READ, _USER, room, ctypes.c_size_t(ctypes.sizeof(room))) or 0
        for key in room[: min(size // 4, len(room))]:
            text = ctypes.create_string_buffer(4096)
            if self._keyctl(_DESCRIBE, key, text, ctypes.c_size_t(len(text))) is None:
                continue
            kind, _, rest = text.value.decode("utf-8", "replace").partition(";")  # type;uid;gid;rights;description
            name = rest.split(";", 3)[-1]
            if kind == _TYPE.decode() and name.startswith(prefix):
                yield name

    def _find(self, name: str) -> int:
        self._own()
        return self._keyctl(_SEARCH, _USER, _TYPE, name.encode(), ctypes.c_long(0)) or 0

    def _own(self) -> None:
        """Possess the user's keys in this thread: a service's session may be without them."""
        self._keyctl(_LINK, _USER, ctypes.c_long(_THREAD))

    def _keyctl(self, operation: int, key: int, *more: object) -> int | None:
        """What keyctl(2) gives; None where there is no such key (any more)."""
        try:
            return self._call(self._ctl, ctypes.c_long(operation), ctypes.c_long(key), *more)
        except KeyError:
            return None

    def _call(self, number: int, *words: object) -> int:
        if not number:
            raise _without(f"not known how to ask the kernel of {os.uname().machine}")
        found = int(self._libc.syscall(ctypes.c_long(number), *words))
        code = ctypes.get_errno()
        if found >= 0:
            return found
        if code in _GONE:
            raise KeyError(code)
        if code in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            raise _without(os.strerror(code))
        native = {"errno": errno.errorcode.get(code, "?")}
        full = "the user's keys use all that /proc/sys/kernel/keys lets them have; keep it in a file"
        raise Failed(f"the kernel's keyring: {os.strerror(code)}", native=native, hint=full * (code == errno.EDQUOT))


def _without(why: str) -> Unsupported:
    return Unsupported("this host", f"keys in the kernel's keyring ({why})", hint="keep the value in a file")
