"""Documents that commands read: files that are named on the command line, and what is stored."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.errors import Denied, Invalid, NotFound
from anyvirt.model.values import Which

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation
    from anyvirt.client._generated_sync import Domain
    from anyvirt.document import Document

LARGEST: Final = 64 << 20


def read(name: str) -> bytes:
    """The content of a file; ``-`` is what is piped in.

    :raises NotFound: where there is no such file.
    :raises Invalid: where it is no file, or too large.
    :raises Denied: where it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(LARGEST)
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(name, "file", hint="correct the path; - reads what is piped in") from None
    except IsADirectoryError:
        raise Invalid(f"{name} is a folder", hint="name the files in it, such as FOLDER/*.xml") from None
    except OSError as error:
        raise Denied(f"{name} cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(data) > LARGEST:
        raise Invalid(f"{name} is larger than {LARGEST >> 20} MiB, which no document is")
    return data


def stored(cli: Invocation, one: Domain) -> Document[Any]:
    """The next boot's definition; with its passwords, wherever the connection gives them, so that none is lost."""
    session = cli.connection.session
    return one.config(Which.CONFIG, not session.readonly and "domain_config.secure" in session.supports)
