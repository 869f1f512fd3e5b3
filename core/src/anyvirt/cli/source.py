"""Documents that are named on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from anyvirt.errors import Denied, Invalid, NotFound

LARGEST: Final = 64 << 20


def read(name: str) -> bytes:
    """The content of a file; ``-`` is what is piped in.

    :raises NotFound: where there is no such file.
    :raises Denied: where it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(LARGEST)
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(name, "file", hint="correct the path; - reads what is piped in") from None
    except OSError as error:
        raise Denied(f"{name} cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(data) > LARGEST:
        raise Invalid(f"{name} is larger than {LARGEST >> 20} MiB, which no document is")
    return data
