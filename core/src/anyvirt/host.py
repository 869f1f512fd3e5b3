"""What core hands to a driver when a connection is opened: ``Host``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from anyvirt.auth import Auth, Secret
    from anyvirt.far import FarScope
    from anyvirt.jobs import JobBook
    from anyvirt.scope import Scope
    from anyvirt.settings import Settings
    from anyvirt.transport.files import Files
    from anyvirt.transport.run import Run
    from anyvirt.uri import Uri


class Secrets(Protocol):
    """Values of secrets for what runs in this process: private ones, too, which no hook gives out."""

    def find(self, use: str, text: str) -> Secret:
        """The value of a secret.

        :param use: what it is wanted for: ``volume``, ``ceph``, ``iscsi``, ``tls`` or ``vtpm``.
        :param text: its UUID, or the volume, the target or the name that it is for.
        :raises NotFound: there is no such secret (kind ``secret``), or it has no value (kind ``value``).
        :raises Invalid: the secret with that UUID is for something else.
        """
        ...


@dataclass
class Host:
    """The machine that a connection talks to, as core reaches it.

    Everything is made when first asked for: a driver that only runs a tool opens
    no store, and one that only reads its store starts no ssh.

    :param secrets: set by the service that keeps them; None where the connection has none.
    """

    uri: Uri
    settings: Settings
    state_dir: Path | None = None
    timeout: float | None = 30.0
    given: dict[str, Any] = field(default_factory=dict)
    secrets: Secrets | None = None

    @cached_property
    def run(self) -> Run:
        """Run a command on the host: ``host.run("tool", "arg") -> Output``."""
        if "run" in self.given:
            return self.given["run"]  # type: ignore[no-any-return]
        from anyvirt.transport.run import runner

        return runner(self.uri, self.settings, self.auth)

    @cached_property
    def files(self) -> Files:
        """Read and write files on the host."""
        if "files" in self.given:
            return self.given["files"]  # type: ignore[no-any-return]
        from anyvirt.transport.files import files

        return files(self.uri, self.settings, self.run)

    @cached_property
    def scope(self) -> Scope:
        """State, locks and stores: ``system`` where the URI's path says so, else ``session``."""
        from anyvirt.scope import Scope

        return Scope.find(
            "system" if self.uri.path == "system" else "session", state_dir=self.state_dir, settings=self.settings
        )

    @cached_property
    def far(self) -> FarScope:
        """As ``scope``, on the host that the URI names: its state, locks and stores, and its programs under them.

        :raises Denied: it has no place for state.
        """
        from anyvirt.errors import Unsupported
        from anyvirt.far import FarScope
        from anyvirt.transport.far import FarRun
        from anyvirt.transport.ssh import SshRun

        kind: Literal["session", "system"] = "system" if self.uri.path == "system" else "session"
        if not isinstance(self.run, SshRun):
            raise Unsupported(self.uri.scheme, "another host without ssh", hint="use the transport ssh")
        tools = FarRun(self.run.begin, self.uri.host or "localhost")
        try:
            return FarScope.find(kind, tools, None if self.state_dir is None else str(self.state_dir))
        except BaseException:
            tools.close()
            raise

    @cached_property
    def jobs(self) -> JobBook:
        """Records of running jobs; a driver whose objects end with the process sets a ``MemoryBook``."""
        from anyvirt.store import StoreBook

        return StoreBook(self.scope.store(self.uri.scheme))

    @cached_property
    def auth(self) -> Auth:
        """Credentials for the host."""
        from anyvirt.auth import Auth

        given = self.given.get("auth")
        return given if isinstance(given, Auth) else Auth(self.uri, self.settings, given)

    def close(self) -> None:
        """End what was opened on the way to the host."""
        for name in ("jobs", "far", "run"):
            close = getattr(self.__dict__.get(name), "close", None)
            if close is not None:
                close()
