"""Guests of this host that libvirt runs now; they are shown, and never started a second time."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from anyvirt_qemu.site import Site

# where libvirt 9.0 keeps them: definitions; status files of running guests
SYSTEM: Final = (Path("/etc/libvirt/qemu"), Path("/run/libvirt/qemu"))
FILE_MAX: Final = 10 << 20
_UUID: Final = re.compile(rb"<uuid>\s*([0-9a-fA-F-]{36})\s*</uuid>")
_PID: Final = re.compile(rb"<domstatus\b[^>]*\bpid=['\"](\d+)['\"]")


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
