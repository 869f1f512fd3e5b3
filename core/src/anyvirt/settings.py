"""The environment: the one place where its variables are read."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anyvirt.errors import Invalid

TIMEOUT: Final = 30.0
# What a tool or ssh may need from its caller; everything else stays here.
_PASSED_ON: Final = (
    "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "KRB5CCNAME",
    "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_SBIN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, read once when a connection or a command begins.

    :param uri: ``ANYVIRT_URI``, the default connection.
    :param state_dir: ``ANYVIRT_STATE_DIR``, absolute; the only variable that moves the state.
    :param ssh: ``ANYVIRT_SSH`` split as a shell would; ``("ssh",)`` without one.
    :param auth_files: ``ANYVIRT_AUTH_FILE``, ``LIBVIRT_AUTH_FILE``, those that are set, in this order.
    :param password_file: ``ANYVIRT_PASSWORD_FILE``.
    :param timeout: ``ANYVIRT_TIMEOUT`` in seconds, ``none`` for no limit; 30 without one.
    :param color: False when ``NO_COLOR`` is set to anything.
    :param columns: ``COLUMNS``, where it is a number.
    :param editor: ``VISUAL`` or ``EDITOR`` split as a shell would; empty without one.
    :param term: ``TERM``.
    :param home: the user's home, from ``HOME`` or else from the user database.
    :param runtime_dir: ``XDG_RUNTIME_DIR`` where absolute.
    :param child_env: what programs that anyvirt runs get to see: PATH, LC_ALL=C and a few more.
    """

    uri: str | None = None
    state_dir: Path | None = None
    ssh: tuple[str, ...] = ("ssh",)
    auth_files: tuple[Path, ...] = ()
    password_file: Path | None = None
    timeout: float | None = TIMEOUT
    color: bool = True
    columns: int | None = None
    editor: tuple[str, ...] = ()
    term: str = ""
    home: Path = Path("/")
    cache_home: Path | None = None
    config_home: Path | None = None
    runtime_dir: Path | None = None
    child_env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read ``environ``, which is ``os.environ`` unless given.

        :raises Invalid: a variable has a value that cannot be meant; it is named.
        """
        env = os.environ if environ is None else environ
        columns = env.get("COLUMNS", "")
        files = (env.get("ANYVIRT_AUTH_FILE"), env.get("LIBVIRT_AUTH_FILE"))
        return cls(
            uri=env.get("ANYVIRT_URI") or None,
            state_dir=_absolute(env, "ANYVIRT_STATE_DIR"),
            ssh=_words(env, "ANYVIRT_SSH") or ("ssh",),
            auth_files=tuple(Path(name) for name in files if name),
            password_file=Path(env["ANYVIRT_PASSWORD_FILE"]) if env.get("ANYVIRT_PASSWORD_FILE") else None,
            timeout=_timeout(env.get("ANYVIRT_TIMEOUT", "")),
            color=not env.get("NO_COLOR"),
            columns=int(columns) if columns.isdecimal() and 0 < len(columns) < 6 else None,
            editor=_words(env, "VISUAL") or _words(env, "EDITOR"),
            term=env.get("TERM", ""),
            home=_home(env),
            cache_home=_xdg(env, "XDG_CACHE_HOME"),
            config_home=_xdg(env, "XDG_CONFIG_HOME"),
            runtime_dir=_xdg(env, "XDG_RUNTIME_DIR"),
            child_env=_child(env),
        )

    @property
    def user_state_dir(self) -> Path:
        """Where the user's state lives, ``~/.local/state/anyvirt`` on Linux.

        ``XDG_STATE_HOME`` is left out on purpose: a shell that sets it and a
        service that does not would see two truths about the same guests.
        """
        if sys.platform == "darwin":
            from platformdirs import user_state_path

            return user_state_path("anyvirt")
        return self.home / ".local/state/anyvirt"

    @property
    def user_cache_dir(self) -> Path:
        """Where things that can be made again live, ``~/.cache/anyvirt`` on Linux."""
        if sys.platform == "darwin":
            from platformdirs import user_cache_path

            return user_cache_path("anyvirt")
        return (self.cache_home or self.home / ".cache") / "anyvirt"

    @property
    def user_config_dir(self) -> Path:
        """The folder of other programs' settings, ``~/.config``."""
        return self.config_home or self.home / ".config"


def _words(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = env.get(name, "")
    if not text:
        return ()
    if not set(" \t\n\"'\\").intersection(text):
        return (text,)
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Invalid(f"{name} cannot be split into words: {error}", hint="correct its quotes") from error


def _absolute(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name, "")
    if not text:
        return None
    if not text.startswith("/") or "\0" in text:
        raise Invalid(f"{name} is {text!r}, which is no absolute path", hint="write it from / on")
    return Path(text)


def _xdg(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name, "")
    return Path(text) if text.startswith("/") else None  # relative ones are to be ignored, says the XDG text


def _timeout(text: str) -> float | None:
    if not text:
        return TIMEOUT
    if text.lower() == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise Invalid(f"ANYVIRT_TIMEOUT is {text!r}", hint="write seconds above 0, or none")
    return seconds


def _home(env: Mapping[str, str]) -> Path:
    text = env.get("HOME", "")
    if text.startswith("/"):
        return Path(text)
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")


def _child(env: Mapping[str, str]) -> dict[str, str]:
    folders = [name for name in (env.get("PATH") or _PATH).split(":") if name.startswith("/")]
    folders += [name for name in _SBIN if name not in folders]
    passed = {name: env[name] for name in _PASSED_ON if name in env}
    return {**passed, "PATH": ":".join(folders), "LC_ALL": "C"}
