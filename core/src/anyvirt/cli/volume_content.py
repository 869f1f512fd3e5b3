"""Volumes: their content, in and out, and their size."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

from anyvirt.cli.declare import arg, command, opt, volume, words
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.jobs import follow
from anyvirt.cli.sizes import in_bytes
from anyvirt.cli.usage import Usage
from anyvirt.cli.volume import POOL, found

if TYPE_CHECKING:
    from anyvirt.cli.moving import Part
    from anyvirt.client._generated_sync import Volume

ALGORITHMS: Final = (
    "zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random", "trim",
)  # fmt: skip


@command(
    "vol resize",
    "vol-resize",
    examples=(
        "anyvirt vol resize disk.qcow2 40G --pool default",
        "anyvirt vol resize disk.qcow2 10G --delta",
        "anyvirt vol resize disk.raw 5G --shrink",
    ),
)
def resize(
    cli: Invocation,
    vol: Annotated[str, volume()],
    capacity: Annotated[str, arg("New size, in bytes, or with k, M, G, T behind it.", "CAPACITY")],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    allocate: Annotated[bool, opt("--allocate", help="Take the new space at once.")] = False,
    delta: Annotated[bool, opt("--delta", help="The size is the difference; it may be below 0.")] = False,
    shrink: Annotated[bool, opt("--shrink", help="It may get smaller; what is behind its end is lost.")] = False,
) -> None:
    """Change the size that a guest sees."""
    change = in_bytes(capacity, signed=delta)
    if delta and shrink and change > 0:
        change = -change  # as virsh: --shrink --delta 1G is a gigabyte less
    one = found(cli, vol, pool)
    follow(cli, one.resize(change, allocate, delta, shrink, timeout=cli.patience))
    size = one.info().capacity
    if not cli.json("vol-resize/1", volume={"name": one.name, "key": one.ref.key, "capacity": size}):
        cli.line(f"Size of volume '{one.name}' successfully changed to {size}")


@command(
    "vol wipe",
    "vol-wipe",
    examples=("anyvirt vol wipe disk.raw --pool default", "anyvirt vol wipe disk.raw --algorithm random"),
)
def wipe(
    cli: Invocation,
    vol: Annotated[str, volume()],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    algorithm: Annotated[
        str,
        opt(
            "--algorithm",
            help=f"{', '.join(ALGORITHMS[:4])} ...; zero without it.",
            metavar="ALGORITHM",
            autocompletion=words(*ALGORITHMS),
        ),
    ] = "zero",
) -> None:
    """Overwrite all of a volume's content.

    The volume stays. zero writes zeros, random random bytes; nnsa, dod, bsi, gutmann, schneier, pfitzner7 and
    pfitzner33 write patterns in several passes; trim tells the storage that nothing is there.
    On flash and on storage that copies on write, old content may be left in spite of that.
    """
    if algorithm not in ALGORITHMS:
        raise Usage(f"--algorithm {algorithm!r} is none", hint=f"one of {', '.join(ALGORITHMS)}")
    one = found(cli, vol, pool)
    follow(cli, one.wipe(algorithm, timeout=cli.patience))
    if not cli.json("vol-wipe/1", volume={"name": one.name, "key": one.ref.key}, algorithm=algorithm):
        cli.line(f"Vol {one.name} wiped")


@command(
    "vol upload",
    "vol-upload",
    examples=(
        "anyvirt vol upload disk.raw disk.img --pool default --sparse",
        "anyvirt vol upload disk.raw disk.img --resume",
        "zcat disk.img.gz | anyvirt vol upload disk.raw - --sparse",
    ),
)
def upload(
    cli: Invocation,
    vol: Annotated[str, volume()],
    file: Annotated[str, arg("File on this side; - sends what is piped in.", "FILE")],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    offset: Annotated[str, opt("--offset", help="First byte of the volume that is written.", metavar="SIZE")] = "0",
    length: Annotated[str, opt("--length", help="Bytes at most; all of the file without it.", metavar="SIZE")] = "",
    sparse: Annotated[bool, opt("--sparse", help="Send holes as holes.")] = False,
    resume: Annotated[bool, opt("--resume", help="Go on where an unfinished upload ended.")] = False,
) -> None:
    """Write a file into a volume's image.

    It goes there byte for byte. What was there is replaced when all has arrived. An upload
    that is stopped half-way leaves the volume as it was, and --resume goes on with it.
    """
    from anyvirt.cli import moving

    one, start = found(cli, vol, pool), in_bytes(offset)
    most = in_bytes(length) if length else None
    with moving.opened(file) as source:
        size, done = moving.size_of(source), 0
        if resume:
            done = _resumed(one, file, start, source)
        parts = moving.parts_of(source, done, None if most is None else most - done, sparse=sparse)
        total = min(x for x in (size, most) if x is not None) if (size, most) != (None, None) else None
        bar = moving.Bar(cli, "upload", total, done)
        with one.upload(start, most, sparse, resume) as stream:
            cli.lasting()
            moving.send(stream, bar.counted(parts), sparse=sparse)
    if not cli.json("vol-upload/1", volume={"name": one.name, "key": one.ref.key}, bytes=bar.done, resumed=done):
        cli.line(f"{bar.done} bytes of {file} are in vol {one.name}{f', {done} of them from before' if done else ''}")


def _resumed(one: Volume, file: str, start: int, source: BinaryIO) -> int:
    """How many bytes have arrived already.

    :raises Usage: it cannot be gone on with that file.
    """
    from anyvirt.cli.moving import size_of
    from anyvirt.errors import NotFound

    if size_of(source) is None:
        raise Usage(f"{file}: what is piped in cannot be resumed", hint="name a file")
    kept = one.unfinished()
    if kept is None:
        raise NotFound(str(one.ref), "upload", hint="upload it without --resume")
    if kept.offset != start:
        raise Usage(f"the unfinished upload began at {kept.offset}", hint=f"--offset {kept.offset}")
    return kept.length


@command(
    "vol download",
    "vol-download",
    examples=(
        "anyvirt vol download disk.raw disk.img --pool default --sparse",
        "anyvirt vol download disk.raw disk.img --resume",
        "anyvirt vol download disk.raw - --length 1M | xxd | head",
    ),
)
def download(
    cli: Invocation,
    vol: Annotated[str, volume()],
    file: Annotated[str, arg("File on this side; - prints it.", "FILE")],
    pool: Annotated[str, opt("--pool", help=POOL, metavar="POOL")] = "",
    offset: Annotated[str, opt("--offset", help="First byte of the volume that is read.", metavar="SIZE")] = "0",
    length: Annotated[str, opt("--length", help="Bytes at most; all without it.", metavar="SIZE")] = "",
    sparse: Annotated[bool, opt("--sparse", help="Leave holes as holes.")] = False,
    resume: Annotated[bool, opt("--resume", help="Go on behind what FILE has already.")] = False,
) -> None:
    """Write a volume's image into a file.

    It is copied byte for byte. A download that is stopped half-way leaves what it has, and
    --resume goes on with it.
    """
    from anyvirt.cli import moving

    one, start, most = found(cli, vol, pool), in_bytes(offset), in_bytes(length) if length else None
    if file == "-":
        with one.download(start, most) as stream:
            cli.lasting()
            moving.put(moving.received(stream, sparse=False), _print)
        sys.stdout.buffer.flush()
        return
    done = _there(file) if resume else 0
    if most is not None and done > most:
        raise Usage(f"{file} has {done} bytes already, and --length is {most}", hint="leave --resume out")
    size = one.info().physical
    rest = None if most is None else most - done
    expected = [n for n in (None if size is None else max(size - start, 0), most) if n is not None]
    bar = moving.Bar(cli, "download", min(expected) if expected else None, done)
    try:
        target = open(file, "r+b" if resume and os.path.exists(file) else "wb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise moving.said(error, file) from None
    with target, one.download(start + done, rest, sparse) as stream:
        cli.lasting()
        target.seek(done)
        try:
            moving.put(bar.counted(moving.received(stream, sparse=sparse)), lambda part: _write(target, part))
            target.truncate()
        except OSError as error:
            raise moving.said(error, file) from None
    if not cli.json("vol-download/1", volume={"name": one.name, "key": one.ref.key}, bytes=bar.done, resumed=done):
        cli.line(f"{bar.done} bytes of vol {one.name} are in {file}{f', {done} of them from before' if done else ''}")


def _there(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _write(target: BinaryIO, part: Part) -> None:
    from anyvirt.sparse import Hole

    if isinstance(part, Hole):
        target.truncate(target.seek(part.length, os.SEEK_CUR))
    else:
        target.write(part)


def _print(part: Part) -> None:
    assert isinstance(part, bytes)
    sys.stdout.buffer.write(part)
