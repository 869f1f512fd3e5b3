"""The driver's settings: ``/etc/anyvirt/qemu.toml`` for the machine's guests, a file of the user's own for theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Denied, Invalid

if TYPE_CHECKING:
    from anyvirt.api import Settings

SYSTEM: Final = Path("/etc/anyvirt/qemu.toml")
NAME: Final = "anyvirt/qemu.toml"
# a table's name in the file -> what stands in it: the key, and the type of its value
TOP: Final[Mapping[str, type]] = {
    "user": str,
    "group": str,
    "ownership": bool,
    "sandbox": bool,
    "apparmor": bool,
    "partition": str,
}
TABLES: Final[Mapping[str, Mapping[str, type]]] = {
    "vnc": {"certificates": str, "key": str, "secret": str, "password": str, "sasl": bool, "socket": bool, "tls": bool},
    "spice": {"certificates": str, "key": str, "secret": str, "password": str, "sasl": bool, "socket": bool},
    "chardev": {"certificates": str, "key": str, "secret": str, "tls": bool},
    "nbd": {"certificates": str, "key": str, "secret": str},
    "limits": {"core": int, "files": int, "memlock": int, "oom": int, "processes": int},
    "hugepages": {"mounts": list},
}
WORDS: Final = {str: "a text", bool: "true or false", int: "a whole number", list: "a list of texts"}
OF_ROOT: Final = ("user", "group", "ownership", "apparmor")
SECRET: Final = ("key", "password")
FOLDERS: Final = ("certificates",)
LIMITS: Final = {
    "core": "RLIMIT_CORE",
    "files": "RLIMIT_NOFILE",
    "memlock": "RLIMIT_MEMLOCK",
    "processes": "RLIMIT_NPROC",
}
LOWEST: Final = {"oom": -1000}
HIGHEST: Final = {"oom": 1000}


@dataclass(frozen=True, slots=True)
class Configured:
    """What the settings say; what they do not is as libvirt has it.

    :param file: where it stands; empty where there is no file.
    :param user: the user that QEMU runs as, its name or number; ``""`` leaves it to the account made for it.
    :param group: its group; ``""`` for the user's own.
    :param ownership: files that this user could not open are given to it while a guest runs.
    :param sandbox: QEMU gives up system calls that it does not need, where it can.
    :param apparmor: guests without a label of their own are confined with AppArmor.
    :param services: what is said of ``vnc``, ``spice``, ``chardev`` and ``nbd``, by key.
    :param limits: ``core``, ``memlock`` in bytes, ``files``, ``processes``, and ``oom`` from -1000 to 1000.
    :param mounts: where huge pages are taken from; any mount that QEMU may write to without them.
    :param partition: control group below which each guest has one of its own; ``""`` for guests that ask for one.
    """

    file: str = ""
    user: str = ""
    group: str = ""
    ownership: bool = True
    sandbox: bool = True
    apparmor: bool = False
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    limits: Mapping[str, int] = field(default_factory=dict)
    mounts: tuple[str, ...] = ()
    partition: str = ""

    def where(self, key: str) -> str:
        """A key with its file, for messages."""
        return f"{self.file}: {key}" if self.file else key

    def rlimits(self) -> tuple[tuple[str, int, int], ...]:
        """Limits of the process that QEMU will be, as ``setrlimit`` takes them."""
        return tuple((name, self.limits[key], self.limits[key]) for key, name in LIMITS.items() if key in self.limits)

    def of(self, service: str, key: str, default: Any = None) -> Any:
        """What is said of a service."""
        return self.services.get(service, {}).get(key, default)


def place(settings: Settings, *, system: bool) -> Path:
    """Where the settings of the machine's guests, or of this user's, are."""
    return SYSTEM if system else settings.user_config_dir / NAME


def read(file: Path, *, system: bool) -> Configured:
    """What a file says; what is usual, where there is none.

    :raises Invalid: it is no TOML, or has a key or a value that there is not.
    :raises Denied: others may change it, or read the passwords in it.
    """
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return Configured()
    except OSError as error:
        raise Denied(f"{file}: {error.strerror}", hint="let this user read it, or remove it") from error
    import tomllib

    with os.fdopen(fd, "rb") as opened:
        mode = os.fstat(fd)
        try:
            found = tomllib.load(opened)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} is no TOML: {error}", hint="correct the line, or remove the file") from error
    _guarded(file, found, mode)
    return _understood(file, found, system=system)


def _guarded(file: Path, found: Mapping[str, Any], mode: os.stat_result) -> None:
    if mode.st_uid not in {0, os.geteuid()} or stat.S_IMODE(mode.st_mode) & 0o022:
        hint = f"chown {os.geteuid()} {file}; chmod go-w {file}"
        raise Denied(f"{file}: others than user {os.geteuid()} may change it", hint=hint)
    secrets = [
        f"{name}.{key}" for name, table in found.items() if isinstance(table, dict) for key in SECRET if key in table
    ]
    if secrets and stat.S_IMODE(mode.st_mode) & 0o077:
        raise Denied(f"{file}: others may read {secrets[0]}", hint=f"chmod 600 {file}")


def _understood(file: Path, found: Mapping[str, Any], *, system: bool) -> Configured:
    tables = {}
    for name, value in found.items():
        if name in TOP:
            _typed(file, name, value, TOP[name])
        elif name in TABLES:
            _typed(file, name, value, dict)
            tables[name] = _table(file, name, value)
        else:
            raise _unknown(file, name, [*TOP, *TABLES])
        if name in OF_ROOT and not system:
            hint = f"take it out; {SYSTEM} is for the guests of qemu:///system"
            raise Invalid(f"{file}: {name} has no meaning for this user's guests, which run as this user", hint=hint)
    if found.get("group") and not found.get("user"):
        raise Invalid(f"{file}: group is given without user", hint="name the user, too")
    if not str(found.get("partition", "/")).startswith("/"):
        text = f"{file}: partition has {found['partition']!r}, which is no absolute path"
        raise Invalid(text, hint="write it like /machine/production")
    limits, mounts = tables.pop("limits", {}), tables.pop("hugepages", {}).get("mounts", ())
    top = {name: found[name] for name in TOP if name in found}
    return Configured(file=str(file), **top, services=tables, limits=limits, mounts=tuple(mounts))


def _table(file: Path, name: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    known = TABLES[name]
    for key, value in table.items():
        path = f"{name}.{key}"
        if key not in known:
            raise _unknown(file, path, [f"{name}.{one}" for one in known])
        _typed(file, path, value, known[key])
        lowest, highest = LOWEST.get(key, 0), HIGHEST.get(key, 1 << 62)
        if known[key] is int and not lowest <= value <= highest:
            raise Invalid(f"{file}: {path} is {value}", hint=f"write a number from {lowest} to {highest}")
        paths: Any = value if known[key] is list else (value,) if key in FOLDERS else ()
        for one in paths:
            if not one.startswith("/"):
                raise Invalid(f"{file}: {path} has {one!r}, which is no absolute path", hint="start it with /")
    return table


def _typed(file: Path, path: str, value: Any, wanted: type) -> None:
    fits = type(value) is wanted and (type(value) is not list or all(type(one) is str for one in value))
    if wanted is dict:
        if not fits:
            raise Invalid(f"{file}: {path} is a table", hint=f"write [{path}] on a line of its own")
    elif not fits:
        raise Invalid(f"{file}: {path} is {WORDS[wanted]}", hint=f"correct it, such as {path.rpartition('.')[2]} = ...")


def _unknown(file: Path, path: str, known: list[str]) -> Invalid:
    from difflib import get_close_matches

    near = get_close_matches(path, known, n=1)
    hint = f"{near[0]} is meant" if near else f"there are {', '.join(known)}"
    return Invalid(f"{file}: there is no setting {path}", hint=hint)
