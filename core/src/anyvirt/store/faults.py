"""What went wrong below a store, as coded errors with a way out."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from anyvirt.errors import CODES, Denied, Failed, VirtError

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def coded(error: OSError, path: Path | str) -> VirtError:
    """The coded error for one of the operating system at ``path``."""
    if error.errno in _FULL:
        return full(path)
    if error.errno in _DENIED:
        return Denied(
            f"{path}: {error.strerror or error}", hint="check its owner and rights, and whether it can be written"
        )
    if error.errno == errno.ELOOP:
        return Denied(f"{path} is a symbolic link, which is not followed there", hint="put the real thing in its place")
    return failed("store.io", f"{path}: {error.strerror or error}", errno=error.errno or 0)


def full(path: Path | str) -> VirtError:
    """No room for what should have been written; nothing of it was."""
    return failed("store.full", f"no room left for {path}; nothing was changed")


def corrupt(path: Path | str, words: str) -> VirtError:
    """The store cannot be understood any more."""
    hint = f"keep a copy of {path}, then put back a backup, or save what is left with: sqlite3 {path} .recover"
    return failed("store.corrupt", f"the store {path} is damaged: {words}", hint=hint)


def failed(code: str, text: str, *, hint: str = "", **native: str | int) -> VirtError:
    """A ``Failed`` of another code than the hypervisor's."""
    error = Failed(text, native=native, hint=hint or CODES[code].way_out)
    error.code = code
    return error
