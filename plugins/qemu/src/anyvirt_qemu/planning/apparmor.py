"""An AppArmor profile for one guest: what its QEMU may touch is what its plan names, and nothing else; pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyvirt_qemu.run_dir import MONITORS

if TYPE_CHECKING:
    from anyvirt_qemu.planning.plan import Plan

PREFIX: Final = "anyvirt-"
SPECIAL: Final = frozenset('?*[]{}^"@,')
# what every QEMU needs, whatever its guest
COMMON: Final = """
  network inet, network inet6, network netlink raw,
  unix,
  signal (receive),
  ptrace (readby, tracedby),

  /{usr/,usr/local/,}lib{,32,64}/** mr,
  /usr/{,local/}libexec/** mr,
  /usr/{,local/}share/** r,
  /etc/{ld.so.cache,ld.so.preload,localtime,locale.alias,nsswitch.conf,host.conf,hosts,resolv.conf,passwd,group} r,
  /etc/{gai.conf,services,sasl2/**,gnutls/**,ssl/**,pki/**,ceph/**,glvnd/**,drirc} r,
  /{,var/}run/{systemd/resolve,NetworkManager}/*resolv.conf r,

  /dev/{null,zero,full,random,urandom} rw,
  /dev/{kvm,ptmx,net/tun,vhost-net,vhost-vsock,vhost-scsi,vhost-vdpa-*,vfio/vfio,udmabuf} rw,
  /dev/pts/ r,
  /dev/pts/* rw,
  /dev/shm/ r,
  owner /dev/shm/** rwk,
  /dev/bus/usb/{,**} r,
  /memfd:* rwk,

  @{proc}/[0-9]*/{auxv,cmdline,maps,mountinfo,stat,status,fd/} r,
  @{proc}/[0-9]*/task/[0-9]*/comm rw,
  @{proc}/{cpuinfo,filesystems,meminfo,stat,sys/**} r,
  /sys/{bus,class,devices,kernel/mm,module/vhost,module/kvm*,fs/cgroup}/{,**} r,
"""
# root gets through what it may touch whoever it belongs to
OF_ROOT: Final = "  capability dac_override, capability dac_read_search, capability ipc_lock,\n"


def named(uuid: str) -> str:
    """The name of a guest's profile."""
    return f"{PREFIX}{uuid}"


def profile(name: str, plan: Plan, real: Callable[[str], str] = os.path.realpath) -> str:
    """The text of it, as ``apparmor_parser`` takes it.

    :param real: where a path leads once links are followed, which is what the kernel looks at.
    """
    lines = [f"profile {_quoted(name)} flags=(attach_disconnected,mediate_deleted) {{"]
    lines += [line.replace("@{proc}", "/proc") for line in COMMON.replace(", network", ",\n  network").splitlines()]
    if plan.account is None:
        lines += OF_ROOT.replace(", capability", ",\n  capability").splitlines()
    seen: dict[str, str] = {}
    for path, rights, tree in _rules(plan):
        place = real(path)
        pattern = f"{_escaped(place)}/{{,**}}" if tree else _escaped(place)
        seen[pattern] = _joined(seen.get(pattern, ""), rights)
    lines += [f'  "{pattern}" {rights},' for pattern, rights in seen.items()]
    return "\n".join([*lines, "}", ""])


def _rules(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """Paths, what may be done with them, and whether that goes for all inside."""
    yield plan.argv[0], "rix", False
    yield plan.cwd, "rwk", True
    for monitor in MONITORS:
        yield f"{Path(plan.cwd).parent}/{monitor}", "rw", False
    for use in plan.fds:
        if use.kind == "socket":
            yield f"{Path(plan.cwd).parent}/{use.target}", "rw", False
        elif use.kind in {"listen", "open", "cancel"}:
            yield use.target, "rw", False
    for use_of in plan.files:
        yield use_of.path, "rwk" if use_of.write else "rk", False
    for disk in plan.disks:
        for node in disk.nodes:
            if node.path.startswith("/"):
                yield node.path, "rk", False
    for path in plan.sockets:
        yield path, "rw", False
    yield from _trees(plan)


def _trees(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """Folders whose content is the guest's: shares, and where its memory or QEMU's certificates are."""
    for share in plan.domain.filesystems:
        if share.source_dir and not (share.driver is not None and share.driver.type == "virtiofs"):
            yield share.source_dir, "r" if share.readonly else "rwkl", True
    for disk in plan.domain.disks:
        if disk.type == "dir" and disk.source is not None and disk.source.dir:
            yield disk.source.dir, "r" if disk.readonly else "rwk", True
    for word in plan.argv:
        for key, rights in (("mem-path", "rwk"), ("dir", "r")):
            found = _value(word, key)
            if found:
                yield found, rights, True


def _value(word: str, key: str) -> str:
    """The absolute path that a member of a JSON option has."""
    import json

    if not word.startswith("{") or f'"{key}":' not in word:
        return ""
    value = json.loads(word).get(key)
    return value if isinstance(value, str) and value.startswith("/") else ""


def _joined(one: str, two: str) -> str:
    return "".join(letter for letter in ("r", "w", "k", "l", "ix") if letter in one or letter in two)


def _escaped(path: str) -> str:
    """A path as a pattern that fits nothing else."""
    return "".join(_letter(byte) for byte in os.fsencode(path))


def _letter(byte: int) -> str:
    letter = chr(byte)
    if letter == "\\":
        return "?"  # the parser takes it for the beginning of an escape once more
    if not 32 <= byte < 127:
        return f"\\{byte:03o}"
    return f"\\{letter}" if letter in SPECIAL else letter


def _quoted(name: str) -> str:
    return f'"{_escaped(name)}"'
