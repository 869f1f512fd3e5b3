"""What the generated clients stand on: a session, handles, and the two ways to wait."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from anyvirt.deadline import within
from anyvirt.document import Document
from anyvirt.errors import Interrupted, Invalid, Problem, VirtError
from anyvirt.lanes import lanes
from anyvirt.model.state import State, Status
from anyvirt.ref import Answer, Ref
from anyvirt.session import Pending, Session, Supports, Timeout

if TYPE_CHECKING:
    from anyvirt.client.awaiting import AsyncJob, AsyncStream
    from anyvirt.feed import Feed
    from anyvirt.jobs import Job
    from anyvirt.lanes import Call
    from anyvirt.progress import Progress
    from anyvirt.transport.stream import Stream
    from anyvirt.uri import Uri

P = ParamSpec("P")
T = TypeVar("T")


class Link:
    """A connection's session, and what does not wait."""

    _begin: float | None = None  # seconds that plug-ins have to begin their events, where there is a reason

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def uri(self) -> Uri:
        """Where it leads."""
        return self.session.uri

    @property
    def supports(self) -> Supports:
        """What can be asked for: ``"domain_reset" in connection.supports``."""
        return self.session.supports

    def events(self, after: str | None = None) -> Feed:
        """What happens from now on, or since the event whose ``token`` is given.

        Iterate it (``for`` or ``async for``), close it when done; see ``anyvirt.api.Event``.
        """
        from anyvirt.feed import Feed

        return Feed(self.session.key, self.session.feeds("events_follow", {}), after, begin=self._begin)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.uri)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        from anyvirt.opening import reopen

        session = self.session
        # neither credentials nor wrappers: a pickle is no place for secrets, and functions may not fit into one
        options = {"readonly": session.readonly, "timeout": session.timeout, "state_dir": session.host.state_dir}
        return reopen, (type(self), str(self.uri), options)


class SyncLink(Link):
    """Waits on the caller's thread, until the deadline and no longer."""

    def close(self) -> None:
        """Close the connection; guests go on."""
        self.session.close()

    def _call(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> Any:
        return self.session.call(hook, arguments, timeout)

    def _bulk(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> dict[Ref, Answer[Any]]:
        return self.session.bulk(hook, arguments, timeout)

    def _job(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> Job[Any]:
        return self.session.job(hook, arguments, timeout)

    def _derive(
        self, function: Callable[Concatenate[Any, P], T], timeout: Timeout, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with within(self.session.deadline(timeout)):
            return function(self, *args, **kwargs)

    def _work(
        self,
        function: Callable[Concatenate[Any, Ref, P], Generator[Progress, None, T]],
        timeout: Timeout,
        ref: Ref,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[T]:
        return self.session.work(function.__name__, ref, partial(function, self, ref, *args, **kwargs), timeout)

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncLink(Link):
    """Waits without holding the event loop. Cancelling an awaited call ends the wait, not the work."""

    _begin = 1.0  # the loop is held for so long at most; a plug-in that begins later tells of a gap

    async def close(self) -> None:
        """Close the connection; guests go on."""
        await settled(lanes.start(f"{self.session.key}:close", self.session.close, self.session.deadline()))

    async def _call(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> Any:
        pending = self.session.begin(hook, arguments, timeout)
        try:
            return await settled(pending)
        except Interrupted as error:
            if not pending.again(error):
                raise
        return await settled(self.session.begin(hook, arguments, pending.call.deadline.left()))

    async def _bulk(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> dict[Ref, Answer[Any]]:
        answers: dict[Ref, Answer[Any]] = await settled(self.session.begin_bulk(hook, arguments, timeout))
        return answers

    def _job(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> AsyncJob[Any]:
        from anyvirt.client.awaiting import AsyncJob

        return AsyncJob(self.session.job(hook, arguments, timeout))

    async def _stream(self, hook: str, arguments: dict[str, Any], timeout: Timeout) -> AsyncStream:
        from anyvirt.client.awaiting import AsyncStream

        pending = self.session.begin(hook, arguments, timeout)
        try:
            stream = await settled(pending)
        except BaseException:  # nobody waits for it any more: whoever holds a console keeps others from it
            pending.call.watch(partial(_abort, pending.call))
            raise
        return AsyncStream(stream, self.session.key, self.session.timeout)

    async def _derive(
        self, function: Callable[Concatenate[Any, P], T], timeout: Timeout, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        from anyvirt.client._generated_sync import Connection

        work = partial(function, Connection(self.session), *args, **kwargs)
        result: T = await settled(lanes.start(f"{self.session.key}:derived", work, self.session.deadline(timeout)))
        return result

    def _work(
        self,
        function: Callable[Concatenate[Any, Ref, P], Generator[Progress, None, T]],
        timeout: Timeout,
        ref: Ref,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncJob[T]:
        from anyvirt.client._generated_sync import Connection
        from anyvirt.client.awaiting import AsyncJob

        steps = partial(function, Connection(self.session), ref, *args, **kwargs)
        return AsyncJob(self.session.work(function.__name__, ref, steps, timeout))

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _abort(call: Call[Stream]) -> None:
    with suppress(VirtError):
        call.result().abort()


async def settled(pending: Any) -> Any:
    """Await a ``Pending`` or a lane's ``Call`` without holding the event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call = pending.call if isinstance(pending, Pending) else pending

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    call.watch(wake)
    try:
        async with asyncio.timeout(call.deadline.left()):
            await done.wait()
    except TimeoutError:
        call.deadline.expire()
    return pending.result()


class Handle:
    """One object of a connection; two handles are equal when connection and ref are."""

    __slots__ = ("connection", "ref")
    connection: Any
    ref: Ref

    def __init__(self, connection: Any, ref: Ref) -> None:
        self.connection, self.ref = connection, ref

    @property
    def name(self) -> str:
        """The name, as last seen."""
        return self.ref.name or self.ref.key

    @property
    def uuid(self) -> str | None:
        """The UUID, as last seen."""
        return self.ref.uuid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self.ref == other.ref and self.connection.uri == other.connection.uri

    def __hash__(self) -> int:
        return hash(self.ref)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {str(self.connection.uri)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.connection, self.ref)


def ref_of(what: Handle | Ref) -> Ref:
    """The ref of a handle, or the ref itself."""
    return what.ref if isinstance(what, Handle) else what


def refs_of(what: Iterable[Handle | Ref]) -> tuple[Ref, ...]:
    """The refs of handles and refs."""
    return tuple(ref_of(one) for one in what)


def admitted(what: Any, kind: str, *, keep_unknown: bool) -> Document[Any]:
    """A document that may be stored or started: well-formed, nothing in it unknown, nothing contradictory.

    :param kind: its root element.
    :raises Invalid: with every problem, by path and line.
    """
    from anyvirt.model.check_documents import problems_of

    given: Document[Any] = Document.of(what)
    root = type(given.model)._tag  # noqa: SLF001 - a model's fields are its XML's, so it has no public ones
    if root != kind:
        text = f"this is a <{root}>, and a <{kind}> is wanted"
        raise Invalid([Problem("config.invalid", f"/{root}", 1, text, f"give a document whose root is <{kind}>")])
    problems = problems_of(given.model, keep_unknown=keep_unknown)
    if problems:
        raise Invalid(problems)
    return given


def statuses(answers: dict[Ref, Answer[State | Status]]) -> dict[Ref, Answer[Status]]:
    """States that a driver gave bare, with an unknown reason."""
    return {
        ref: Answer(Status(answer.value), None, answer.at) if isinstance(answer.value, State) else answer  # type: ignore[misc]
        for ref, answer in answers.items()
    }
