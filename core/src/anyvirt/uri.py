"""Connection URIs: ``driver[+transport]://[user@][host][:port]/[path][?query]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from anyvirt.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

CODE: Final = "connect.invalid-uri"
LONGEST: Final = 8192
# libvirt has its own names for ways of using ssh; the system's ssh stands for all of them
SSH: Final = frozenset({"ssh", "libssh", "libssh2", "ext"})
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")
_UNRESERVED: Final = _LETTERS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_IN_USER: Final = _UNRESERVED | frozenset("!$*+,;=")
_IN_PATH: Final = _UNRESERVED | frozenset("!$*+,;=:@/&()'")
_IN_QUERY: Final = _UNRESERVED | frozenset("!$*+,:@/()'")
_NOT_IN_HOST: Final = frozenset(" \"'`$\\;&|<>(){}[]*?!#~^=,@/")
_SECRETS: Final = frozenset({"password", "passwd", "passphrase", "secret"})


@dataclass(frozen=True, slots=True)
class Uri:
    """A connection URI in its parts, each percent-decoded.

    ``path`` has no leading slash: ``qemu:///session`` has the path ``session``;
    where it means a file of the host, ``file`` is the absolute form, so
    ``test:///srv/node.xml`` has the file ``/srv/node.xml``. What is absent is None
    (``path`` is then empty). ``str`` writes the canonical form: ``Uri.of(str(uri)) == uri``.
    Passwords are never part of a URI and are refused in one.

    :raises Invalid: ``connect.invalid-uri``, also from the constructor.
    """

    scheme: str
    transport: str | None = None
    user: str | None = None
    host: str | None = None
    port: int | None = None
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _check_word("driver", self.scheme)
        if self.transport is not None:
            _check_word("transport", self.transport)
        for name, text in (("user", self.user), ("host", self.host), ("path", self.path)):
            _check_text(name, text)
        for pair in self.query:
            _check_text("query", "=".join(pair))
            if pair[0].lower() in _SECRETS:
                _refuse(f"a URI never holds a {pair[0].lower()}", "give it in an auth file, the keyring, or when asked")
        if self.host is not None:
            _check_host(self.host)
        if self.user is not None and (not self.user or self.user.startswith("-")):
            _refuse("the user may neither be empty nor start with '-'")
        if self.port is not None and not 0 < self.port < 65536:
            _refuse(f"port {self.port} is not within 1 to 65535")
        if self.host is None and (self.user is not None or self.port is not None):
            _refuse("a user or port needs a host", "write driver+transport://user@host:port/path")

    @classmethod
    def of(cls, text: str) -> Uri:
        """Take a URI apart.

        :raises Invalid: ``connect.invalid-uri``; its text never repeats what may be a password.
        """
        if len(text) > LONGEST:
            _refuse(f"longer than {LONGEST} characters")
        head, colon, rest = text.partition(":")
        if not colon or not rest.startswith("/"):
            _refuse("no driver:// at the start")
        if "#" in rest:
            _refuse("'#' has no meaning in a URI", "write it as %23")
        scheme, plus, transport = head.lower().partition("+")
        rest, _, query = rest.partition("?")
        authority = ""
        if rest.startswith("//"):
            authority, slash, rest = rest[2:].partition("/")
            rest = slash + rest
        user, host, port = _authority(authority)
        pairs = tuple(_pairs(query))
        return cls(scheme, transport if plus else None, user, host, port, _decode("path", rest[1:]), pairs)

    def __str__(self) -> str:
        scheme = f"{self.scheme}+{self.transport}" if self.transport is not None else self.scheme
        query = "&".join(f"{_encode(k, _IN_QUERY)}={_encode(v, _IN_QUERY)}" for k, v in self.query)
        text = f"{scheme}://{self._authority()}/{_encode(self.path, _IN_PATH)}"
        return f"{text}?{query}" if query else text

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    def _authority(self) -> str:
        if self.host is None:
            return ""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else _encode(self.host, _UNRESERVED)
        user = "" if self.user is None else _encode(self.user, _IN_USER) + "@"
        return f"{user}{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def file(self) -> str:
        """The path as an absolute file name of the host: ``/`` and the path."""
        return "/" + self.path

    @property
    def local(self) -> bool:
        """Whether no host is named."""
        return self.host is None

    @property
    def far(self) -> bool:
        """Whether programs and files are those of another host, reached over ssh."""
        return self.transport in SSH or (self.host is not None and self.transport != "unix")

    def param(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter, or ``default``."""
        return next((value for key, value in self.query if key == name), default)

    def params(self, name: str) -> tuple[str, ...]:
        """Every value of a query parameter, in order."""
        return tuple(value for key, value in self.query if key == name)

    def without(self, *names: str) -> Uri:
        """The same URI less some query parameters."""
        query = tuple(pair for pair in self.query if pair[0] not in names)
        return Uri(self.scheme, self.transport, self.user, self.host, self.port, self.path, query)


def _refuse(text: str, hint: str = "") -> NoReturn:
    raise Invalid(
        f"connection URI: {text}", code=CODE, hint=hint or "write driver[+transport]://[user@]host[:port]/path"
    )


def _check_word(name: str, word: str) -> None:
    if not word or word[0] not in _LETTERS or not _LETTERS.union("0123456789-._").issuperset(word):
        _refuse(f"the {name} is a word of a-z, 0-9, '-', '.' and '_' that starts with a letter")


def _check_text(name: str, text: str | None) -> None:
    if text is not None and not text.isprintable():
        _refuse(f"control characters are not allowed in the {name}")


def _check_host(host: str) -> None:
    if not host or host.startswith("-"):
        _refuse("the host may neither be empty nor start with '-'")
    if _NOT_IN_HOST.intersection(host) or ("%" in host and ":" not in host):
        _refuse(f"{host!r} is no host name", "a name, an IPv4 address or an [IPv6 address]")


def _authority(text: str) -> tuple[str | None, str | None, int | None]:
    if not text:
        return None, None, None
    userinfo, at, rest = text.rpartition("@")
    if ":" in userinfo:
        _refuse("a URI never holds a password", "leave it out: an auth file, the keyring or a question brings it")
    host, port = _host_port(rest)
    return (_decode("user", userinfo) if at else None), host, port


def _host_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        inner, bracket, tail = text[1:].partition("]")
        if not bracket or ":" not in inner or (tail and not tail.startswith(":")):
            _refuse("an IPv6 address is written [address] or [address]:port")
        host, port = _decode("host", inner.replace("%25", "%").replace("%", "%25")), tail[1:]
    else:
        name, _, port = text.partition(":")
        if ":" in port:
            _refuse("an IPv6 address stands in brackets: [address]:port")
        host = _decode("host", name)
        if ":" in host:
            _refuse("an IPv6 address stands in brackets: [address]:port")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        _refuse("the port is a number from 1 to 65535")
    return host, int(port)


def _pairs(query: str) -> Iterable[tuple[str, str]]:
    for part in query.replace(";", "&").split("&"):
        if part:
            name, _, value = part.partition("=")
            yield _decode("query", name), _decode("query", value)


def _decode(name: str, text: str) -> str:
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    try:
        found = bytearray(first.encode())
        for part in rest:
            if not (len(part) >= 2 and part[:2].isalnum()):
                _refuse(
                    f"'%' is followed by two hexadecimal digits; the {name} has another use of it", "write % as %25"
                )
            found += bytes.fromhex(part[:2]) + part[2:].encode()
        return found.decode()
    except ValueError:
        _refuse(f"the percent-encoding of the {name} is no UTF-8")


def _encode(text: str, safe: frozenset[str]) -> str:
    return "".join(chr(byte) if chr(byte) in safe else f"%{byte:02X}" for byte in text.encode())
