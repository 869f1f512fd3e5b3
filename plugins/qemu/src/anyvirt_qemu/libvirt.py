"""Bringing in the definitions that libvirt keeps of QEMU guests on this host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import Denied, Document, Invalid, NotFound, VirtError, impl

from anyvirt_qemu.foreign import definitions, held
from anyvirt_qemu.lifecycle import Lifecycle
from anyvirt_qemu.site import KIND, ref_of

if TYPE_CHECKING:
    from anyvirt.api import Domain, Imported

FILE_MAX: Final = 10 << 20


class Import(Lifecycle):
    """The hook that brings libvirt's definitions in."""

    @impl
    def domain_import(self, dry_run: bool) -> Sequence[Imported]:
        folder = definitions(self._site)
        started = folder / "autostart"
        return [self._one(path, (started / path.name).is_symlink(), dry_run=dry_run) for path in _definitions(folder)]

    def _one(self, path: Path, autostart: bool, *, dry_run: bool) -> Imported:
        from anyvirt.api import Imported, check, unknown  # brings the models in

        source = str(path)
        try:
            document: Document[Domain] = Document.of(_content(path))
            domain = document.model
            problems = [*unknown(domain), *check(domain)]
            if problems:
                raise Invalid(problems)
        except VirtError as error:
            return Imported(path.stem, "", source, "refused", str(error))
        name, uuid = domain.name, str(domain.uuid or "")
        holder = held(self._site).get(uuid, "")
        try:
            store = self._site.store
            row = store.get(KIND, uuid) if uuid else store.by_name(KIND, name)
            return Imported(name, uuid, source, "there already", f"as {row.name}", ref_of(row))
        except (NotFound, Invalid):
            pass
        try:
            if dry_run:
                self.completed(document)
                return Imported(name, uuid, source, "would define", holder and f"runs under {holder}")
            ref = self.domain_define(document)
            if autostart:
                self.domain_set_autostart(ref, True)
        except VirtError as error:
            return Imported(name, uuid, source, "refused", str(error))
        if holder:
            return Imported(name, uuid, source, "foreign", f"defined; it runs under {holder}", ref)
        return Imported(name, uuid, source, "defined", "", ref)


def _definitions(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.glob("*.xml"))
    except PermissionError as error:
        raise Denied(f"{folder} cannot be read", hint="run as its owner") from error


def _content(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return file.read(FILE_MAX + 1)
    except OSError as error:
        raise Denied(f"{path} cannot be read: {error.strerror}", hint="run as its owner") from error
