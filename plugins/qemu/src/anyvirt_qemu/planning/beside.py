"""Programs that run beside QEMU, as values: which there are, what they can do, how they are started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

End = Literal["listen", "pair", "secret", "folder", "text"]
FIRST_FD: Final = 10


@dataclass(frozen=True, slots=True)
class Program:
    """A program of this host.

    :param path: absolute; where it usually is, where it is not installed.
    :param can: options and features that it tells of.
    :param rooted: it has to believe that root runs it, and somebody else does.
    :param config: where its configuration is made, absolute; the host's own serves without.
    """

    path: str
    can: frozenset[str] = frozenset()
    rooted: bool = False
    config: str = ""


@dataclass(frozen=True, slots=True)
class EndUse:
    """A descriptor that a program inherits under ``number``.

    ``listen``: a socket at the program's place in the guest's part of the run directory; ``pair``: one end of a
    connection whose other end QEMU has; ``secret``: the program's secret; ``folder``: the guest's part of the run
    directory; ``text``: the program's text.
    """

    number: int
    kind: End


@dataclass(frozen=True, slots=True, kw_only=True)
class StateUse:
    """What a program keeps from one run of the guest to the next.

    :param folder: absolute; made with mode 0700 where it is not there.
    :param package: Debian's name of the package that makes it.
    :param file: its name in the folder; it is there only once ``make`` has ended well.
    :param make: absolute path and arguments of what makes the file in the folder that it is run in.
    :param again: the same for what changes a file that is there, or nothing.
    :param config: a configuration to be written first, absolute path; ``""`` where the host's own serves.
    """

    folder: str
    package: str
    file: str
    make: tuple[str, ...]
    again: tuple[str, ...] = ()
    fds: tuple[EndUse, ...] = ()
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramUse:
    """A program that runs beside QEMU: started before it, ended after it.

    :param name: its own name, such as ``swtpm``.
    :param package: Debian's name of the package that has it.
    :param place: the element that asks for it, as a path.
    :param alias: the device that it is for.
    :param path: the program, absolute.
    :param argv: what is started, with an absolute path first; no secret is among it.
    :param socket: where it listens: a name in the guest's part of the run directory.
    :param cwd: folder that it starts in, absolute; the guest's part of the run directory without it.
    :param binds: it makes the socket itself, and QEMU waits for that.
    :param folders: what it has to be able to read, absolute.
    :param text: what it reads, such as a configuration.
    :param unprivileged: it is run as the user that QEMU is run as.
    """

    name: str
    package: str
    place: str
    alias: str
    path: str
    argv: tuple[str, ...]
    socket: str = ""
    cwd: str = ""
    fds: tuple[EndUse, ...] = ()
    binds: bool = False
    state: StateUse | None = None
    secret: bytes = field(default=b"", repr=False)
    folders: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    unprivileged: bool = False

    @property
    def title(self) -> str:
        """What its log and its identity in the run directory are named after."""
        return f"{self.name}-{self.alias}"


# as Debian has them; what is not installed is planned like this, and refused before a start
USUAL: Final[Mapping[str, Program]] = {
    "swtpm": Program("/usr/bin/swtpm", frozenset({"tpm-1.2", "tpm-2.0", "cmdarg-pwd-fd", "nvram-backend-file"})),
    "swtpm_setup": Program("/usr/bin/swtpm_setup", frozenset({"cmdarg-pwdfile-fd", "cmdarg-reconfigure-pcr-banks"})),
    "virtiofsd": Program(
        "/usr/libexec/virtiofsd",
        frozenset(
            {
                *("--shared-dir", "--fd", "--sandbox", "--cache", "--xattr", "--readonly", "--thread-pool-size"),
                *("--rlimit-nofile", "--uid-map", "--gid-map", "--log-level"),
            }
        ),
    ),
    "passt": Program("/usr/bin/passt", frozenset({"--fd", "--one-off", "--foreground"})),
    "qemu-pr-helper": Program("/usr/bin/qemu-pr-helper"),
    "vhost-user-gpu": Program("/usr/lib/qemu/vhost-user-gpu", frozenset({"--fd", "--render-node", "--virgl"})),
    "dbus-daemon": Program("/usr/bin/dbus-daemon"),
}


def usual(name: str) -> Program:
    """A program as Debian has it; ``NAME PATH`` for one that is elsewhere."""
    kind, _, path = name.partition(" ")
    return replace(USUAL[kind], path=path or USUAL[kind].path)
