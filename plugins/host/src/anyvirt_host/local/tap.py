"""Tap devices: made, put into a bridge and handed over as descriptors; gone when the last one is closed."""

from __future__ import annotations

import array
import fcntl
import os
import pwd
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from anyvirt.api import Denied, Failed, Invalid, NotFound, VirtError, breaks, current

from anyvirt_host.local.spawn import spawn

TUN = "/dev/net/tun"
HELPERS = (
    "/usr/lib/qemu/qemu-bridge-helper",
    "/usr/libexec/qemu-bridge-helper",
    "/usr/libexec/qemu/qemu-bridge-helper",
)
TUNSETIFF = 0x400454CA
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFMTU, SIOCSIFHWADDR, SIOCGIFINDEX = 0x8922, 0x8924, 0x8933
SIOCBRADDIF = 0x89A2
IFF_UP = 0x1
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x100
ARPHRD_ETHER = 1
NAME_MAX = 15


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap device: its name on the host and one descriptor per queue, which the caller closes."""

    name: str
    fds: tuple[int, ...]

    def close(self) -> None:
        """Close our ends; the device is gone once no other process holds one."""
        for fd in self.fds:
            os.close(fd)


def create(template: str = "anyv%d", *, queues: int = 1, header: bool = True, node: str = TUN) -> Tap:
    """Make a tap device; ``%d`` in the template becomes the first free number.

    :param header: whether frames carry virtio's header (``IFF_VNET_HDR``).
    :param node: the device node that makes taps.
    :raises Denied: the device node or the request is refused to this user.
    :raises Invalid: the name is too long or not a name.
    """
    _checked(template)
    flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if header else 0) | (IFF_MULTI_QUEUE if queues > 1 else 0)
    fds: list[int] = []
    name = template
    try:
        for _ in range(queues):
            fd = os.open(node, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            fds.append(fd)
            answer = fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            name = answer[:16].rstrip(b"\0").decode()
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _refused(error, node, "making a tap device") from error
    return Tap(name, tuple(fds))


def gone(names: Iterable[str], seconds: float = 1.0) -> bool:
    """Wait until none of these devices is there any more, as the last descriptor of each is closed; whether it is so.

    Closing takes the kernel a moment longer than the end of the process that had it seems to say.
    """
    left, end = set(names), time.monotonic() + seconds
    while left := {name for name in left if Path("/sys/class/net", name).exists()}:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def attach(name: str, bridge: str) -> None:
    """Put interface ``name`` into ``bridge``.

    :raises NotFound: there is no such bridge (kind ``interface``).
    :raises Denied: this user may not change bridges.
    """
    _checked(name)
    _checked(bridge)
    with _control() as sock:
        index = _index(sock, name)
        _index(sock, bridge)
        try:
            fcntl.ioctl(sock, SIOCBRADDIF, struct.pack("16si20x", bridge.encode(), index))
        except OSError as error:
            raise _refused(error, bridge, f"putting {name} into bridge {bridge}") from error


def configure(name: str, *, mac: str | None = None, mtu: int | None = None, up: bool | None = None) -> None:
    """Set address, MTU and whether the interface is up; what is None stays.

    :raises Denied: this user may not.
    """
    _checked(name)
    with _control() as sock:
        try:
            if mac is not None:
                packed = struct.pack("16sH6s16x", name.encode(), ARPHRD_ETHER, _octets(mac))
                fcntl.ioctl(sock, SIOCSIFHWADDR, packed)
            if mtu is not None:
                fcntl.ioctl(sock, SIOCSIFMTU, struct.pack("16si20x", name.encode(), mtu))
            if up is not None:
                answer = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh22x", name.encode(), 0))
                (flags,) = struct.unpack_from("H", answer, 16)
                flags = flags | IFF_UP if up else flags & ~IFF_UP
                fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))
        except OSError as error:
            raise _refused(error, name, f"setting up interface {name}") from error


def bridged(
    bridge: str,
    mac: str,
    *,
    template: str = "anyv%d",
    mtu: int | None = None,
    queues: int = 1,
    header: bool = True,
    node: str = TUN,
) -> Tap:
    """Make a tap for the guest address ``mac``, put it into ``bridge`` and bring it up.

    :raises Denied, NotFound, Invalid: as the single steps; nothing is left then.
    """
    tap = create(template, queues=queues, header=header, node=node)
    try:
        configure(tap.name, mac=host_mac(mac), mtu=mtu)
        attach(tap.name, bridge)
        configure(tap.name, up=True)
    except VirtError:
        tap.close()
        raise
    return tap


def host_mac(mac: str) -> str:
    """The host side's address for a guest's: ``fe:`` first, so that a bridge never takes it for its own."""
    return "fe:" + ":".join(f"{octet:02x}" for octet in _octets(mac)[1:])


def helper() -> str | None:
    """Path of QEMU's set-uid bridge helper, or None where it is missing or not set-uid."""
    for path in HELPERS:
        try:
            mode = Path(path).stat().st_mode
        except OSError:
            continue
        if os.access(path, os.X_OK) and (mode & 0o4000 or os.geteuid() == 0):
            return path
    return None


def through_helper(bridge: str, *, header: bool = True, path: str | None = None) -> Tap:
    """Let QEMU's bridge helper make the tap: the way for users without rights.

    :raises Denied: there is no usable helper, or its ``bridge.conf`` does not allow the bridge.
    """
    _checked(bridge)
    path = path or helper()
    if path is None:
        raise Denied(
            f"user {_user()} may not put a guest into bridge {bridge}: there is no set-uid qemu-bridge-helper",
            hint="chmod u+s the helper and allow the bridge in /etc/qemu/bridge.conf, use network type user, or qemu:///system",
        )
    ours, theirs = socket.socketpair()
    words, text_end = os.pipe()
    try:
        argv = [path, *(["--use-vnet"] if header else []), f"--br={bridge}", f"--fd={theirs.fileno()}"]
        pid = spawn(argv, {"LC_ALL": "C"}, {2: text_end}, keep=[theirs.fileno()])
        os.close(text_end)
        text_end = -1
        theirs.close()
        try:
            with breaks(ours.shutdown, socket.SHUT_RDWR, what=f"bridge helper for {bridge}"):
                fds = _received(ours)
                current().check(f"bridge helper for {bridge}")
        finally:
            text = _text(words)
            _ended(pid)
    finally:
        for fd in (words, text_end):
            if fd >= 0:
                os.close(fd)
        ours.close()
        theirs.close()
    if not fds:
        raise Denied(
            f"qemu-bridge-helper refused bridge {bridge} to user {_user()}: {text or 'no reason given'}",
            hint=f"put 'allow {bridge}' into /etc/qemu/bridge.conf",
            details={"text": text},
        )
    answer = fcntl.ioctl(fds[0], 0x800454D2, bytes(40))  # TUNGETIFF
    return Tap(answer[:16].rstrip(b"\0").decode(), tuple(fds))


def problem(node: str = TUN) -> str | None:
    """Why this user cannot make a tap device, as a sentence; None when he can."""
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return _refused(error, node, "making a tap device").message
    return None


def _received(sock: socket.socket) -> list[int]:
    fds: array.array[int] = array.array("i")
    try:
        _, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _text(fd: int) -> str:
    """What the helper said; it may live on a little, so only what is there within a moment counts."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    data = b""
    while len(data) < 4096 and poll.poll(500):
        part = os.read(fd, 4096)
        if not part:
            break
        data += part
    return data.decode(errors="replace").strip()


def _ended(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


@contextmanager
def _control() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


def _index(sock: socket.socket, name: str) -> int:
    try:
        answer = fcntl.ioctl(sock, SIOCGIFINDEX, struct.pack("16s24x", name.encode()))
    except OSError as error:
        raise NotFound(name, "interface", hint="create it first, for instance: ip link add NAME type bridge") from error
    return int(struct.unpack_from("i", answer, 16)[0])


def _checked(name: str) -> None:
    good = 0 < len(name.encode()) <= NAME_MAX and name.isascii() and name.isprintable() and name not in {".", ".."}
    if not good or "/" in name or ":" in name or " " in name:
        raise Invalid(f"{name!r} is no name for a network interface (1 to {NAME_MAX} plain characters)")


def _octets(mac: str) -> bytes:
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        octets = b""
    if len(octets) != 6 or len(mac) != 17:
        raise Invalid(f"{mac!r} is no MAC address")
    return octets


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _refused(error: OSError, device: str, action: str) -> VirtError:
    native = {"errno": error.errno, "text": error.strerror, "device": device}
    if error.errno in {1, 13}:
        return Denied(
            f"{action}: {device}: {error.strerror} for user {_user()}",
            hint="use network type user, let an administrator allow it, or use qemu:///system as root",
            details=native,
        )
    if error.errno in {2, 6, 19}:
        return Failed(
            f"{action}: {device}: {error.strerror}", native=native, hint="load the kernel module: modprobe tun"
        )
    return Failed(f"{action}: {device}: {error.strerror}", native=native)
