"""Guests of this host that libvirt runs now; they are shown, and never started a second time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anyvirt_qemu.site import Site

# where libvirt 9.0 keeps them: definitions; status files of running guests
SYSTEM: Final = (Path("/etc/libvirt/qemu"), Path("/run/libvirt/qemu"))
FILE_MAX: Final = 10 << 20
_UUID: Final = re.compile(rb"<uuid>\s*([0-9a-fA-F-]{36})\s*</uuid>")
_PID: Final = re.compile(rb"<domstatus\b[^>]*\bpid=['\"](\d+)['\"]")


def definitions(site: Site) -> Path:
    """Libvirt's folder of definitions that belong to this scope."""
    return SYSTEM[0] if site.scope.kind == "system" else site.host.settings.user_config_dir / "libvirt/qemu"


def held(site: Site) -> dict[str, str]:
    """Guests that libvirt runs now: UUID -> who runs them, in words."""
    found = {}
    for path in _statuses(site):
        try:
            with open(path, "rb") as file:
                data = file.read(FILE_MAX)
        except OSError:
            continue
        pid, uuid = _PID.search(data), _UUID.search(data)
        if pid and uuid and _runs(int(pid[1]), uuid[1]):
            found[uuid[1].decode().lower()] = f"libvirt (QEMU has pid {pid[1].decode()})"
    return found


def _statuses(site: Site) -> Iterator[str]:
    """Status files of guests that belong to this scope; a user's libvirtd may have seen another environment."""
    folders = [SYSTEM[1]]
    if site.scope.kind != "system":
        settings = site.host.settings
        tops = {settings.runtime_dir, Path(f"/run/user/{os.geteuid()}"), settings.cache_home, settings.home / ".cache"}
        folders = [top / "libvirt/qemu/run" for top in tops if top is not None]
    for folder in folders:
        with suppress(OSError):
            yield from [entry.path for entry in os.scandir(folder) if entry.name.endswith(".xml")]


def _runs(pid: int, uuid: bytes) -> bool:
    """Whether that process is still the guest's QEMU: a status file outlives a killed libvirtd."""
    try:
        return uuid.lower() in Path(f"/proc/{pid}/cmdline").read_bytes().lower()
    except OSError:
        return False
