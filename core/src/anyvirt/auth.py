"""Credentials: looked up once, in one order, in one place, and never printed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from anyvirt.errors import AuthNeeded, Denied, Invalid, NotFound
from anyvirt.settings import Settings
from anyvirt.uri import Uri

_CAP: Final = 1 << 20
_ETC: Final = Path("/etc/libvirt/auth.conf")


class Secret:
    """A text that prints as ``***`` wherever it lands; ``reveal()`` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the wire."""
        return self._text

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never written down")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that only a person or a store of secrets knows.

    :param name: ``username``, ``password``, or another key of libvirt's auth file.
    :param prompt: what to show the person, without a colon at its end.
    :param secret: whether the answer must not be echoed.
    """

    name: str
    prompt: str
    secret: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """A user's name and password."""

    user: str
    password: Secret


Ask = Callable[[Sequence[Question]], Mapping[str, str]]
Keyring = Callable[[str, str], "str | None"]


class Auth:
    """Answers a peer's questions for one connection.

    Each answer comes from the first that has it: the user of the URI; an auth file
    in libvirt's format (the ``?authfile=`` of the URI, else those that
    ``ANYVIRT_AUTH_FILE`` and ``LIBVIRT_AUTH_FILE`` name, else
    ``~/.config/libvirt/auth.conf`` and ``/etc/libvirt/auth.conf``);
    ``ANYVIRT_PASSWORD_FILE``; the keyring, where that extra is installed; ``ask``.

    :param ask: called with all questions that are open; gives answers by name. Only a
        program that has a person in front of it passes one.
    :param keyring: ``(service, user) -> password or None``; the keyring package unless given.
    """

    def __init__(
        self, uri: Uri, settings: Settings | None = None, ask: Ask | None = None, *, keyring: Keyring | None = None
    ) -> None:
        self._uri = uri
        self._settings = settings or Settings.read()
        self._ask = ask
        self._keyring = keyring or _from_keyring
        self._known: dict[tuple[str, str], Secret] = {}

    def __repr__(self) -> str:
        return f"Auth({str(self._uri)!r})"

    def login(self, service: str, *, user: str | None = None) -> Login:
        """Name and password for a service (``esx``, ``hyperv``, ``ssh``, ``libvirt`` ...).

        :param user: the name where neither URI nor auth file has one; asked for unless given.
        :raises AuthNeeded: nobody knows, and nobody can be asked.
        :raises Denied: the file that has the password can be read by others.
        """
        host = self._host()
        name = self._find(service, "username") or (Secret(user) if user else None)
        if name is not None:
            self._known[service, "username"] = name
        questions = [
            Question("username", f"User on {host}", secret=False),
            Question("password", f"Password for {host}"),
        ]
        found = self.answers(service, questions)
        return Login(found["username"].reveal(), found["password"])

    def answers(self, service: str, questions: Sequence[Question]) -> dict[str, Secret]:
        """Answers to questions, by name; asked for together where they are not known, and then remembered.

        :raises AuthNeeded: with those questions that stay open.
        """
        found = {question.name: self._find(service, question.name) for question in questions}
        still = [question for question in questions if found[question.name] is None]
        if still:
            given = self._ask(still) if self._ask else {}
            found.update({question.name: _secret(given.get(question.name)) for question in still})
        missing = [question for question in questions if found[question.name] is None]
        if missing:
            raise AuthNeeded(missing, target=self._host())
        known = {name: answer for name, answer in found.items() if answer is not None}
        self._known.update({(service, name): answer for name, answer in known.items()})
        return known

    def forget(self, service: str) -> None:
        """Drop what was remembered for a service: the peer refused it."""
        self._known = {key: answer for key, answer in self._known.items() if key[0] != service}

    def _host(self) -> str:
        return self._uri.host or "localhost"

    def _find(self, service: str, name: str) -> Secret | None:
        if (service, name) in self._known:
            return self._known[service, name]
        user = self._user(service)
        if name == "username":
            return _secret(user)
        group = self._group(service)
        if user is None or group.get("username", user) == user:  # another user's password is none of ours
            found = _secret(group.get(name))
            if found is not None:
                return found
        if name != "password":
            return None
        if self._settings.password_file is not None:
            return Secret(_password(self._settings.password_file))
        return _secret(self._keyring(f"anyvirt:{service}://{self._host()}", user)) if user else None

    def _user(self, service: str) -> str | None:
        if self._uri.user is not None:
            return self._uri.user
        known = self._known.get((service, "username"))
        return known.reveal() if known is not None else self._group(service).get("username")

    def _group(self, service: str) -> Mapping[str, str]:
        for path, needed in self._files():
            groups = _read_groups(path, needed)
            for host in (self._host(), "default"):
                name = groups.get(f"auth-{service}-{host}", {}).get("credentials")
                if name is None:
                    continue
                if f"credentials-{name}" not in groups:
                    raise Invalid(f"{path}: auth-{service}-{host} names [credentials-{name}], which is not there")
                return groups[f"credentials-{name}"]
        return {}

    def _files(self) -> list[tuple[Path, bool]]:
        given = self._uri.param("authfile")
        if given is not None:
            return [(Path(given), True)]
        if self._settings.auth_files:
            return [(path, True) for path in self._settings.auth_files]
        return [(self._settings.user_config_dir / "libvirt/auth.conf", False), (_ETC, False)]


def _secret(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _read_groups(path: Path, needed: bool) -> dict[str, dict[str, str]]:
    try:
        return _parse(path, _read(path)[0])
    except FileNotFoundError as error:
        if needed:
            raise NotFound(str(path), "file", hint="correct ?authfile= or the variable that names it") from error
    except OSError as error:
        if needed:
            raise Denied(f"auth file {path} cannot be read: {error.strerror}") from error
        _passed_over(f"auth file {path}", error.strerror)
    return {}


def _parse(path: Path, data: bytes) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    for number, raw in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = groups.setdefault(line[1:-1].strip(), {})
            continue
        key, equals, value = line.partition("=")
        if group is None or not equals:  # the line itself may be a secret, so it is not shown
            raise Invalid(f"{path}: line {number} is neither [group] nor key=value within one")
        group[key.strip()] = value.strip()
    return groups


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Denied(f"{path} is no regular file")
        return os.read(fd, _CAP), status
    finally:
        os.close(fd)


def _password(path: Path) -> str:
    try:
        data, status = _read(path)
    except FileNotFoundError as error:
        raise NotFound(str(path), "file", hint="correct ANYVIRT_PASSWORD_FILE") from error
    except OSError as error:
        raise Denied(f"password file {path} cannot be read: {error.strerror}") from error
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise Denied(f"password file {path} has mode {mode:04o}: others may read it", hint=f"chmod 0600 {path}")
    if status.st_uid not in {0, os.geteuid()}:
        raise Denied(f"password file {path} belongs to user {status.st_uid}", hint="use a file of your own")
    return data.decode("utf-8", "surrogateescape").partition("\n")[0].removesuffix("\r")


def _from_keyring(service: str, user: str) -> str | None:
    try:
        keyring: Any = __import__("keyring")
    except ImportError:
        return None  # an extra: anyvirt[keyring]
    try:
        found = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        _passed_over("keyring", type(error).__name__)
        return None
    return found if isinstance(found, str) else None


def _passed_over(what: str, why: str | None) -> None:
    import logging  # costs start-up time

    logging.getLogger(__name__).debug("%s passed over: %s", what, why)
