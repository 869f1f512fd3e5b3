"""``vol create --from``: a volume out of a file, or of what a web server gives."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from anyvirt.cli import moving
from anyvirt.cli.jobs import follow
from anyvirt.cli.sizes import in_bytes
from anyvirt.cli.usage import Usage
from anyvirt.errors import Failed, Invalid, NotFound, Unreachable, VirtError
from anyvirt.sparse import Hole

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

    from anyvirt.cli.invocation import Invocation
    from anyvirt.client._generated_sync import Volume

SCHEMES: Final = ("http", "https")
SUMS: Final = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")
_FORBIDDEN: Final = (401, 403, 404, 410)


class Content(NamedTuple):
    """Bytes that are to become a volume.

    :param size: how many there are; None where nobody has said.
    :param pieces: reads them, once.
    """

    size: int | None
    pieces: Callable[[], Iterator[moving.Part]]


def bring(cli: Invocation, pool: str, source: str, *, name: str, form: str, capacity: str, checksum: str) -> None:
    """Make a volume with the content of a file or a URL; where that fails, none is left.

    :raises Usage: the words do not fit together.
    """
    from anyvirt.cli.volume_make import image_format

    wanted = _sum(checksum)
    kind = image_format(form) if form else None
    name = name or _name(source)
    grown = in_bytes(capacity) if capacity else None
    home = cli.connection.lookup_pool(pool).ref
    with _opened(cli, source) as content:
        size = content.size
        if size is None:
            raise Usage(f"{source} does not say how long it is", hint="download it first, and name the file")
        from anyvirt.model.storage import Volume as Model
        from anyvirt.model.storage import VolumeFormat, VolumeTarget

        plain = Model(name=name, capacity=size, allocation=0, target=VolumeTarget(format=VolumeFormat.RAW))
        made = cli.connection.volume(follow(cli, cli.connection.volume_create(home, plain, timeout=cli.patience)))
        try:
            total = _filled(cli, made, content, wanted)
            if kind not in (None, VolumeFormat.RAW):
                made.declare(Model(name=name, capacity=size, target=VolumeTarget(format=kind)))
            if grown is not None and grown != made.info().capacity:
                follow(cli, made.resize(grown, timeout=cli.patience))
        except BaseException:
            _taken_back(made)
            raise
    if not cli.json("vol-create/1", volume={"name": made.name, "key": made.ref.key}, bytes=total):
        cli.line(f"Vol {made.name} created from {source}")


def _filled(cli: Invocation, made: Volume, content: Content, wanted: tuple[str, str] | None) -> int:
    """Send the content; what does not have the checksum never becomes the volume's."""
    digest = hashlib.new(wanted[0]) if wanted else None
    bar = moving.Bar(cli, "bring in", content.size)
    cli.lasting()
    with made.upload(sparse=True) as stream:
        moving.send(stream, _summed(bar.counted(content.pieces()), digest), sparse=True)
        if bar.done != content.size:
            raise Failed(f"the source ended after {bar.done} of {content.size} bytes", hint="try again")
        if wanted and digest and digest.hexdigest() != wanted[1]:
            raise Invalid(f"the content has the {wanted[0]} {digest.hexdigest()}", hint="no volume was made of it")
    return bar.done


def _summed(parts: Iterator[moving.Part], digest: hashlib._Hash | None) -> Iterator[moving.Part]:
    for part in parts:
        if digest is not None:
            if isinstance(part, Hole):
                for _ in range(part.length // moving.PIECE):
                    digest.update(bytes(moving.PIECE))
                digest.update(bytes(part.length % moving.PIECE))
            else:
                digest.update(part)
        yield part


def _taken_back(made: Volume) -> None:
    from contextlib import suppress

    with suppress(VirtError):
        made.delete()


def _sum(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    kind, _, value = text.partition(":")
    digits = hashlib.new(kind, usedforsecurity=False).digest_size * 2 if kind in SUMS else 0
    value = value.strip().lower()
    if not digits or len(value) != digits or set(value) - set("0123456789abcdef"):
        raise Usage(f"--checksum {text!r} is none", hint=f"KIND:HEX, of {', '.join(SUMS)}")
    return kind, value


def _name(source: str) -> str:
    path = unquote(urlsplit(source).path) if _is_url(source) else os.path.abspath(source)
    name = path.rstrip("/").rpartition("/")[2]
    if not name or source == "-":
        raise Usage(f"{source} has no name for a volume", hint="--name gives it one")
    return name


def _is_url(source: str) -> bool:
    return source.partition("://")[0].lower() in SCHEMES and "://" in source


@contextmanager
def _opened(cli: Invocation, source: str) -> Iterator[Content]:
    if _is_url(source):
        with _fetched(cli, source) as content:
            yield content
        return
    if "://" in source and not os.path.exists(source):
        raise Usage(f"{source}: only http and https are fetched", hint="download it first, and name the file")
    with moving.opened(source) as file:
        yield Content(moving.size_of(file), lambda: moving.parts_of(file, 0, None, sparse=True))


@contextmanager
def _fetched(cli: Invocation, source: str) -> Iterator[Content]:
    """What a web server gives for a URL; other schemes are not followed to."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    host = urlsplit(source).hostname or source
    try:
        request = Request(source, headers={"User-Agent": "anyvirt", "Accept-Encoding": "identity"})  # noqa: S310 - of http(s)
        with _browser().open(request, timeout=cli.timeout) as answer:
            length = answer.headers.get("Content-Length")
            size = int(length) if length and length.isdigit() else None
            yield Content(size, lambda: moving.holed(iter(lambda: answer.read(moving.PIECE), b"")))
    except HTTPError as error:
        if error.code in _FORBIDDEN:
            raise NotFound(source, "file", hint=f"the server says {error.code} {error.reason}") from None
        raise Failed(f"{source}: the server says {error.code} {error.reason}", native={"status": error.code}) from None
    except URLError as error:
        raise Unreachable(host, "connect", hint=f"{error.reason}") from None
    except (HTTPException, TimeoutError, ConnectionError) as error:
        raise Unreachable(host, "transfer", hint=f"{type(error).__name__}: {error}".rstrip(": ")) from None


def _browser() -> OpenerDirector:
    """What fetches over http(s), by way of the proxies of the environment, and follows nowhere else."""
    from urllib import request

    made = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
        request.HTTPDefaultErrorHandler,
    ):
        made.add_handler(handler())
    return made
