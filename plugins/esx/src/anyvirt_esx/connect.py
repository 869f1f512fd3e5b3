"""The line to a server: TLS, sessions and requests, by way of pyVmomi, which is imported with the first of them."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from typing import Any, Final, TypeVar
from xml.parsers.expat import ExpatError

from anyvirt.api import (
    Auth,
    Denied,
    Interrupted,
    Invalid,
    NotFound,
    Ref,
    Unreachable,
    Uri,
    VirtError,
    breaks,
    left,
)

from anyvirt_esx.address import DIGESTS, SCHEMES, Address
from anyvirt_esx.faults import coded, names

T = TypeVar("T")
SERVICE: Final = "esx"  # as libvirt's auth files have it, for each scheme
KINDS: Final = {"HostAgent": "esx", "VirtualCenter": "vpx"}
LONGEST: Final = 600.0  # seconds without a word, for calls that have no deadline
POOL: Final = 4  # sockets kept for the next request
FIRST: Final = "vim.version.version9"  # what every server since 5.5 understands
log = logging.getLogger(__name__)


class _Mismatch(ssl.SSLError):
    """The certificate is not the one that was pinned."""


class Line:
    """One session with a server, used by any number of threads at once."""

    def __init__(self, address: Address, uri: Uri, auth: Auth) -> None:
        self.address, self.uri, self._auth = address, uri, auth
        self.logins = 0
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._context = _context(address) if address.secure else None

    def open(self) -> None:
        """Greet the server, see that it is what the scheme says, log in.

        :raises Unreachable: no answer, or a certificate that nobody vouches for.
        :raises Denied: the server refuses user or password.
        """
        about = self.content.about
        kind = KINDS.get(str(about.apiType), str(about.apiType))
        if kind != self.address.scheme:
            raise Invalid(f"{self.uri}: the server is {about.fullName}", hint=f"write {kind}://")
        self._speak(str(about.apiVersion))
        self._login()

    def close(self) -> None:
        """Log out; a server that does not answer ends the session by itself."""
        if "content" in self.__dict__ and self.logins:
            self.logins = 0
            with suppress(VirtError):
                self.ask("log-out", self.uri.host or "", self.content.sessionManager.Logout)
        if "stub" in self.__dict__:
            self.stub.DropConnections()

    def run(self, work: Callable[[], T]) -> T:
        """``work``, once more after a new log-in where the session has ended meanwhile.

        The server refuses a request without a session before it does anything, so that is safe for changes, too.
        """
        before = self.logins
        try:
            return work()
        except Expired:
            with self._lock:
                if self.logins == before:
                    log.info("%s: the session has ended, logging in again", self.uri)
                    self._login()
        try:
            return work()
        except Expired as error:
            raise Denied(f"{self.uri.host} ends each session at once", hint="log in by other means and look") from error

    def ask(self, operation: str, what: Ref | str, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """One request; faults come as coded errors, and none outlives the deadline."""
        try:
            with self._broken_at_the_deadline(operation):
                return method(*args, **named)
        except VirtError:
            raise
        except ssl.SSLError as error:
            raise self._untrusted(error) from error
        except (http.client.HTTPException, OSError, ExpatError) as error:
            raise self._lost(operation, error) from error
        except Exception as error:
            if "NotAuthenticated" in names(error):
                raise Expired(operation) from error
            if "MethodFault" not in names(error):
                raise
            raise coded(error, operation, what) from error

    def object(self, kind: str, key: str) -> Any:
        """The managed object with that key; nothing is asked for."""
        return getattr(self.vim, kind)(key, self.stub)

    @property
    def vim(self) -> Any:
        """The vendor's types."""
        return import_module("pyVmomi").vim

    @property
    def collecting(self) -> Any:
        """The vendor's types for reading properties."""
        return import_module("pyVmomi").vmodl.query.PropertyCollector

    @cached_property
    def content(self) -> Any:
        """What the server says of itself without a log-in."""
        root = self.object("ServiceInstance", "ServiceInstance")
        return self.ask("greeting", self.uri.host or "", root.RetrieveContent)

    @cached_property
    def stub(self) -> Any:
        """Pyvmomi's end of the line, with connections that are checked and broken as ours are."""
        adapter = import_module("pyVmomi.SoapAdapter").SoapStubAdapter
        proxy = self.address.proxy
        through = {"httpProxyHost": proxy.host, "httpProxyPort": proxy.port} if proxy else {}
        host, port = self.address.host, self.address.port if self.address.secure else -self.address.port
        stub = adapter(host=host, port=port, version=FIRST, poolSize=POOL, sslContext=self._context, **through)
        pooled = stub.GetConnection

        def connection() -> Any:
            found = pooled()
            self._mine.connection = found
            if found.sock is not None:
                found.sock.settimeout(left(LONGEST))
            return found

        stub.scheme = self._connection
        stub.GetConnection = connection
        return stub

    def _connection(self, host: str, port: int, **_: Any) -> http.client.HTTPConnection:
        host = host.strip("[]")
        made = (
            _Secure(host, port, timeout=left(LONGEST), context=self._context, thumbprint=self.address.thumbprint)
            if self._context is not None
            else http.client.HTTPConnection(host, port, timeout=left(LONGEST))
        )
        self._mine.connection = made
        return made

    @contextmanager
    def _broken_at_the_deadline(self, operation: str) -> Iterator[None]:
        mine = self._mine
        mine.connection = None
        held = mine.__dict__  # of this thread; the one that breaks it is another

        def shut() -> None:
            sock = getattr(held["connection"], "sock", None)
            if sock is not None:
                sock.shutdown(2)

        with breaks(shut, what=f"{operation}: {self.uri.host}"):
            yield

    def _speak(self, version: str) -> None:
        """Use the newest types that both know; no further question is needed for it."""
        known: dict[str, str] = import_module("pyVmomi.VmomiSupport").versionIdMap
        fitting = [
            (_numbers(number), name)
            for name, number in known.items()
            if name.startswith("vim.version.") and (0,) < _numbers(number) <= _numbers(version)
        ]
        if fitting:
            self.stub.ComputeVersionInfo(max(fitting)[1])

    def _login(self) -> None:
        login = self._auth.login(SERVICE, user=SCHEMES[self.address.scheme])
        manager = self.content.sessionManager
        try:
            self.ask("log-in", self.uri.host or "", manager.Login, login.user, login.password.reveal(), None)
        except Denied:
            self._auth.forget(SERVICE)
            raise
        self.logins += 1

    def _untrusted(self, error: ssl.SSLError) -> VirtError:
        if isinstance(error, _Mismatch):
            hint = "ask who runs it whether the certificate was changed; if so, write the new thumbprint"
        elif isinstance(error, ssl.SSLCertVerificationError):
            hint = "give its authority as ?cacert=FILE, or its ?thumbprint=SHA256; ?no_verify=1 trusts anybody"
        else:
            return self._lost("connect", error)
        words = getattr(error, "verify_message", "") or str(error)
        return Unreachable(str(self.uri), "certificate", hint=hint, details={"reason": words})

    def _lost(self, operation: str, error: Exception) -> VirtError:
        connected = self.logins or isinstance(error, http.client.RemoteDisconnected | ExpatError)
        details = {"reason": f"{type(error).__name__}: {error}"}
        if isinstance(error, http.client.HTTPException) and str(error)[:3].isdecimal():
            return Unreachable(str(self.uri), "http", details=details)
        if connected and not isinstance(error, ConnectionRefusedError):
            return Interrupted("lost", f"{operation}: {self.uri.host}")
        return Unreachable(str(self.uri), "connect", details=details)


class Expired(Interrupted):
    """The session has ended; whoever asks logs in again."""

    def __init__(self, operation: str) -> None:
        super().__init__("lost", f"{operation}: the session has ended")


class _Secure(http.client.HTTPSConnection):
    """A connection that is checked against a thumbprint each time it is made.

    Pyvmomi's own check is passed over as soon as some authority vouches for the certificate, and after the first
    one that none vouches for.
    """

    def __init__(self, host: str, port: int, *, thumbprint: str | None, **rest: Any) -> None:
        super().__init__(host, port, **rest)
        self._thumbprint = thumbprint

    def connect(self) -> None:
        super().connect()
        if self._thumbprint is None:
            return
        der = self.sock.getpeercert(binary_form=True) or b""
        found = hashlib.new(DIGESTS[len(self._thumbprint)], der).hexdigest()
        if not hmac.compare_digest(found, self._thumbprint):
            self.close()
            raise _Mismatch(f"the server's certificate has the thumbprint {found}")


def _context(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.cacert)
    except FileNotFoundError as error:
        raise NotFound(address.cacert or "", "file", hint="correct ?cacert=") from error
    except (ssl.SSLError, OSError) as error:
        raise Invalid(f"cacert={address.cacert}: {error}", hint="give certificates in PEM") from error
    if address.thumbprint is not None or not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if not address.verify:
        log.warning("%s: the certificate is not checked (no_verify=1)", address.host)
    return context


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (0,)
