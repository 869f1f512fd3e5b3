"""What libvirt keeps of QEMU guests on this host: definitions to bring in, and guests that it runs now."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt.api import Denied, Document, Domain, Imported, Invalid, NotFound, VirtError, impl

from anyvirt_qemu.lifecycle import Lifecycle
from anyvirt_qemu.site import KIND, ref_of

if TYPE_CHECKING:
    from anyvirt_qemu.site import Site

# where libvirt 9.0 keeps them: definitions; status files of running guests
SYSTEM: Final = (Path("/etc/libvirt/qemu"), Path("/run/libvirt/qemu"))
FILE_MAX: Final = 10 << 20
_UUID: Final = re.compile(rb"<uuid>\s*([0-9a-fA-F-]{36})\s*</uuid>")
_PID: Final = re.compile(rb"<domstatus\b[^>]*\bpid=['\"](\d+)['\"]")


class Import(Lifecycle):
    """The hook that brings libvirt's definitions in."""

    @impl
    def domain_import(self, dry_run: bool) -> Sequence[Imported]:
        folder = places(self._site)[0]
        started = folder / "autostart"
        return [
            self._one(path, (started / path.name).is_symlink(), dry_run=dry_run) for path in _definitions(folder)
        ]

    def _one(self, path: Path, autostart: bool, *, dry_run: bool) -> Imported:
        source = str(path)
        try:
            document: Document[Domain] = Document.of(_content(path))
            domain = document.model
            name, uuid = domain.name, str(domain.uuid or "")
        except VirtError as error:
            return Imported(path.stem, "", source, "refused", str(error))
        holder = held(self._site).get(uuid, "")
        try:
            row = self._site.store.get(KIND, uuid)
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


def places(site: Site) -> tuple[Path, Path]:
    """Libvirt's folders of definitions and of running guests that belong to this scope."""
    if site.scope.kind == "system":
        return SYSTEM
    settings = site.host.settings
    run = settings.runtime_dir / "libvirt" if settings.runtime_dir else settings.home / ".cache/libvirt"
    return settings.user_config_dir / "libvirt/qemu", run / "qemu/run"


def held(site: Site) -> dict[str, str]:
    """Guests that libvirt runs now: UUID -> who runs them, in words."""
    folder = places(site)[1]
    found = {}
    try:
        names = [entry.path for entry in os.scandir(folder) if entry.name.endswith(".xml")]
    except OSError:
        return {}
    for name in names:
        try:
            data = Path(name).read_bytes()[:FILE_MAX]
        except OSError:
            continue
        pid, uuid = _PID.search(data), _UUID.search(data)
        if pid and uuid and _runs(int(pid[1]), uuid[1]):
            found[uuid[1].decode().lower()] = f"libvirt (QEMU has pid {pid[1].decode()})"
    return found


def _runs(pid: int, uuid: bytes) -> bool:
    """Whether that process is still the guest's QEMU: a status file outlives a killed libvirtd."""
    try:
        return uuid.lower() in Path(f"/proc/{pid}/cmdline").read_bytes().lower()
    except OSError:
        return False


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
