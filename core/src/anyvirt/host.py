"""What core hands to a driver when a connection is opened: ``Host``."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from anyvirt.auth import Auth, Secret
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
        run = self.__dict__.get("run")
        close = getattr(run, "close", None)
        if close is not None:
            close()
