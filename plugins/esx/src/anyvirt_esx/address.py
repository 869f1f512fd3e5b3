"""What a URI of ``esx://``, ``vpx://`` or ``gsx://`` says: server, place in its inventory, wishes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from anyvirt.api import Invalid, Unsupported, Uri

SCHEMES: Final = {"esx": "root", "vpx": "administrator", "gsx": "root"}  # and who logs in when nobody is named
PARAMETERS: Final = (
    *("transport", "vcenter", "no_verify", "auto_answer", "proxy"),  # libvirt's
    *("cacert", "thumbprint", "authfile"),
)
DIGESTS: Final = {40: "sha1", 64: "sha256", 128: "sha512"}
_ESCAPED: Final = re.compile("%(2f|5c|25)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for HTTP that lets connections through."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where a connection goes.

    :param place: folders, datacenter, cluster and host below the root, unescaped; empty is all of it.
    :param thumbprint: of the server's certificate, hexadecimal in lower case; it alone decides then.
    :param vcenter: that of a host, which nothing but migration needs.
    """

    scheme: str
    host: str
    port: int
    place: tuple[str, ...] = ()
    secure: bool = True
    verify: bool = True
    cacert: str | None = None
    thumbprint: str | None = None
    proxy: Proxy | None = None
    vcenter: str | None = None

    @classmethod
    def of(cls, uri: Uri) -> Address:
        """Read a URI.

        :raises Invalid: an unknown parameter or a value that it cannot have.
        :raises Unsupported: ``gsx``, a SOCKS proxy, ``auto_answer=1``, or a password in the clear.
        """
        if uri.scheme == "gsx":
            raise Unsupported("esx", "gsx://: VMware Server ended in 2011", hint="use esx:// or vpx://")
        if uri.host is None:
            raise Invalid(f"{uri}: no server is named", hint=f"write {uri.scheme}://[user@]host/")
        for name, _ in uri.query:
            if name not in PARAMETERS and not name.startswith("service."):
                raise Invalid(f"{uri}: there is no parameter {name!r}", hint=f"there are {', '.join(PARAMETERS)}")
        if _flag(uri, "auto_answer"):
            raise Unsupported("esx", "auto_answer=1", hint="leave it out, and answer questions in VMware's own client")
        secure = _transport(uri)
        thumbprint, cacert, verify = _thumbprint(uri), uri.param("cacert"), not _flag(uri, "no_verify")
        if sum((thumbprint is not None, cacert is not None, not verify)) > 1:
            raise Invalid(f"{uri}: cacert, thumbprint and no_verify=1 exclude each other", hint="keep one of them")
        place = tuple(unescaped(item) for item in uri.path.split("/") if item) if uri.scheme == "vpx" else ()
        port = uri.port or (443 if secure else 80)
        rest = {"vcenter": uri.param("vcenter"), "proxy": _proxy(uri)}
        return cls(uri.scheme, uri.host, port, place, secure, verify, cacert, thumbprint, **rest)  # type: ignore[arg-type]


def unescaped(name: str) -> str:
    """A name as people see it; the server writes percent, slash and backslash as ``%25``, ``%2f`` and ``%5c``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def _flag(uri: Uri, name: str) -> bool:
    text = uri.param(name, "0")
    if text not in {"0", "1"}:
        raise Invalid(f"{uri}: {name} is {text!r}", hint="write 0 or 1")
    return text == "1"


def _transport(uri: Uri) -> bool:
    text = uri.param("transport", "https")
    if uri.transport is not None or text not in {"https", "http"}:
        raise Invalid(f"{uri}: there is no transport {uri.transport or text!r}", hint="?transport=https, or http")
    if text == "http" and uri.host not in {"localhost", "127.0.0.1", "::1"}:
        raise Unsupported(
            "esx", "transport=http to another host: the password would travel in the clear", hint="use https"
        )
    return text == "https"


def _thumbprint(uri: Uri) -> str | None:
    text = uri.param("thumbprint")
    if text is None:
        return None
    found = text.replace(":", "").lower()
    if len(found) not in DIGESTS or not set("0123456789abcdef").issuperset(found):
        raise Invalid(f"{uri}: thumbprint is no SHA-1, SHA-256 or SHA-512 sum", hint="write its hexadecimal digits")
    return found


def _proxy(uri: Uri) -> Proxy | None:
    text = uri.param("proxy")
    if text is None:
        return None
    kind, mark, rest = text.rpartition("://")
    if mark and kind.startswith("socks"):
        raise Unsupported("esx", f"proxy={kind}://", hint="use a proxy for HTTP")
    if mark and kind != "http":
        raise Invalid(f"{uri}: there is no proxy of the type {kind!r}", hint="http is the type")
    try:
        found = Uri.of(f"http://{rest}/")
    except Invalid as error:
        raise Invalid(f"{uri}: proxy={text}: {error}", hint="write [http://]host[:port]") from error
    if found.host is None or found.user is not None:
        raise Invalid(f"{uri}: proxy={text} names no host alone", hint="write [http://]host[:port]")
    return Proxy(found.host, found.port or 1080)
