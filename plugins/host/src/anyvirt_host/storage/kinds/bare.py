"""What a kind of pool answers whose volumes are no files of a folder, where it has nothing of its own to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from anyvirt.api import Run, Unsupported

from anyvirt_host.storage.faults import done, needing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anyvirt.api import Output, Pool, PoolSource, PoolSources, Volume

    from anyvirt_host.storage.backend import Backend, Draft, Sight
    from anyvirt_host.storage.site import Live
    from anyvirt_host.storage.wish import Wish


class Bare:
    """Nothing is built, made, removed or left behind; a kind says what of that it can."""

    kind = ""

    def __init__(self, run: Run) -> None:
        self.run = run

    def build(self, live: Live, pool: Pool, *, overwrite: bool = False) -> None:  # noqa: ARG002
        """Refused: what the pool is on is made elsewhere."""
        raise self.cannot("building a pool", "make it with the tools of its server")

    def delete(self, live: Live, *, zeroed: bool = False) -> None:  # noqa: ARG002
        """Refused: what the pool is on is removed elsewhere."""
        raise self.cannot("deleting a pool", "remove it with the tools of its server")

    def refresh(self, live: Live) -> None:
        """Nothing: it is asked anew each time."""

    def sources(self, asked: PoolSource | None) -> PoolSources:  # noqa: ARG002
        """Refused: nobody tells of them."""
        raise self.cannot("finding sources for pools", "name the source yourself")

    def stop(self, live: Live) -> None:
        """Nothing: the volumes stay where they are."""

    def place(self, live: Live, name: str) -> str:
        """Its name below the pool's."""
        return f"{live.path}/{name}"

    def called(self, live: Live, place: str) -> str:
        """The last word of it."""
        above, _, name = place.rpartition("/")
        return name if above == live.path else ""

    def pool_told(self, live: Live, model: Pool) -> Pool:  # noqa: ARG002
        """The same."""
        return model

    def volume_told(self, live: Live, name: str, model: Volume) -> Volume:  # noqa: ARG002
        """The same."""
        return model

    def looks(self, live: Live, names: Sequence[str]) -> Mapping[str, Sight]:
        """One after the other."""
        look = cast("Backend", self).look  # each kind has one of its own
        looked = {name: look(live, name) for name in names}
        return {name: sight for name, sight in looked.items() if sight is not None}

    def heads(self, live: Live, names: Sequence[str], count: int) -> Mapping[str, bytes]:  # noqa: ARG002
        """Nothing: what such volumes hold is raw, whatever they begin with."""
        return {}

    def generations(self, live: Live, names: Sequence[str]) -> Mapping[str, int]:  # noqa: ARG002
        """Nothing tells them from later ones."""
        return dict.fromkeys(names, 0)

    def head(self, live: Live, name: str, count: int) -> bytes:  # noqa: ARG002
        """Nothing: what such a volume holds is raw, whatever it begins with."""
        return b""

    def wish(self, model: Volume) -> Wish:  # noqa: ARG002
        """Refused."""
        raise self.cannot("making a volume", "make it on the server, then refresh the pool")

    def draft(self, live: Live, name: str, mark: str) -> Draft:  # noqa: ARG002
        """Refused: its volumes are made elsewhere."""
        raise self.cannot("making a volume", "make it on the server, then refresh the pool")

    def making(self, live: Live) -> int:  # noqa: ARG002
        """None: a volume is made in one step, or elsewhere."""
        return 0

    def sweep(self, live: Live, mark: str = "") -> list[str]:  # noqa: ARG002
        """Nothing was left behind."""
        return []

    def home(self, live: Live) -> str:
        """Its source, which is what it is started with."""
        return f"{live.type}:{live.source or live.path}"

    def generation(self, live: Live, name: str) -> int:  # noqa: ARG002
        """Nothing tells one from a later one."""
        return 0

    def in_use(self, live: Live, name: str) -> bool:  # noqa: ARG002
        """Not known here."""
        return False

    def remove(self, live: Live, name: str) -> None:  # noqa: ARG002
        """Refused: its volumes are removed elsewhere."""
        raise self.cannot("removing a volume", "remove it on the server, then refresh the pool")

    def here(self) -> None:
        """See that it is this host whose programs are run.

        :raises Unsupported: bytes of volumes that have no path are not carried over ssh.
        """
        if getattr(self.run, "far", False):
            raise self.cannot("carrying the bytes of volumes over ssh, in pools", "open the storage of that host there")

    def cannot(self, what: str, hint: str) -> Unsupported:
        """The error for what such a pool has not."""
        return Unsupported("storage", f"{what} of the type {self.kind}", hint=hint)

    def tool(self, *argv: str, content: tuple[int, ...] = (0,), about: str = "", given: str | None = None) -> Output:
        """Run a tool.

        :param content: the statuses with which it is.
        :param about: what it is asked about; its last word unless given.
        :param given: its input.
        """
        with needing(argv[0]):
            out = self.run(*argv, input=given)
        return out if out.code in content else done(out, about or argv[-1])
