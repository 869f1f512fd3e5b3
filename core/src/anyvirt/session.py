"""One connection: its plug-ins, checked against the specs, and every call to them."""

from __future__ import annotations

import inspect
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pluggy

from anyvirt.deadline import Deadline, current
from anyvirt.errors import BadDriver, Interrupted, Unsupported, VirtError
from anyvirt.hooks.spec import PROJECT, Spec, pluggy_specs
from anyvirt.hooks.table import SPECS
from anyvirt.lanes import Call, lanes
from anyvirt.ref import Answer, Ref

if TYPE_CHECKING:
    from anyvirt.host import Host
    from anyvirt.jobs import Job
    from anyvirt.uri import Uri

Timeout: TypeAlias = float | EllipsisType | None
_numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Member:
    """A plug-in in a connection: the driver, or a service beside it."""

    name: str
    distribution: str
    version: str
    plugin: Any


@dataclass(frozen=True, slots=True)
class CallInfo:
    """What a wrapper is told of a call."""

    hook: str
    arguments: Mapping[str, Any]
    uri: str
    kind: str


Wrapper: TypeAlias = Callable[[CallInfo, Callable[[], Any]], Any]


@dataclass(frozen=True, slots=True)
class _Implementation:
    member: Member
    parameters: frozenset[str]
    accepts: Mapping[str, frozenset[Any]]


class Pending:
    """A call that has begun: wait for it, or be told when it is done.

    :param complete: makes the result out of the ended (or late) call; by default its own.
    """

    def __init__(self, spec: Spec, call: Call[Any], complete: Callable[[Call[Any]], Any] | None = None) -> None:
        self.spec, self.call = spec, call
        self._complete = complete

    def result(self) -> Any:
        """The result, by the deadline."""
        return self.call.result() if self._complete is None else self._complete(self.call)

    def again(self, error: Interrupted) -> bool:
        """Whether it may be asked once more after that error."""
        return error.reason == "lost" and self.spec.idempotent and not self.call.deadline.over()


class Supports:
    """What a connection can do, asked before calling.

    ``"domain_reset" in supports``, ``"domain_start.paused" in supports``,
    ``"domain_shutdown.mode=agent" in supports``.
    """

    def __init__(self, implementations: Mapping[str, Sequence[_Implementation]]) -> None:
        self._implementations = implementations

    def __contains__(self, wanted: object) -> bool:
        hook, _, rest = str(wanted).partition(".")
        found = self._implementations.get(hook)
        if not found or not rest:
            return bool(found) and not rest
        parameter, _, value = rest.partition("=")
        return any(self._takes(one, parameter, value) for one in found)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._implementations))

    def __len__(self) -> int:
        return len(self._implementations)

    @staticmethod
    def _takes(one: _Implementation, parameter: str, value: str) -> bool:
        if parameter not in one.parameters:
            return False
        accepted = one.accepts.get(parameter)
        return not value or accepted is None or value in {_word(item) for item in accepted}


class Session:
    """A plug-in manager for one connection; no hook call ever reaches two drivers.

    :param members: the driver first, then its services.
    :param wrappers: composed around every hook call, the first one outermost.
    """

    def __init__(
        self,
        uri: Uri,
        host: Host,
        members: Sequence[Member],
        *,
        readonly: bool = False,
        timeout: float | None = 30.0,
        wrappers: Sequence[Wrapper] = (),
    ) -> None:
        self.uri, self.host, self.members = uri, host, tuple(members)
        self.readonly, self.timeout = readonly, timeout
        self.key = f"{uri.scheme}#{next(_numbers)}"
        self.unknown: dict[str, str] = {}
        self.closed = False
        self._wrappers = tuple(wrappers)
        self._pid = os.getpid()
        self._implementations: dict[str, list[_Implementation]] = {}
        for member in self.members:
            self._check(member)
        used = {name: SPECS[name] for name in self._implementations}
        self._plugins = pluggy.PluginManager(PROJECT)
        if used:  # a driver may have none yet
            self._plugins.add_hookspecs(pluggy_specs(used))
        self._registered: set[str] = set()
        self._registering = threading.Lock()
        self.supports = Supports(self._implementations)

    def inner(self) -> Session:
        """The same for a plug-in's own calls: nothing is wrapped, and nothing refused to it."""
        made = copy(self)
        made.__dict__.update(readonly=False, _wrappers=())
        return made

    @property
    def driver(self) -> Member:
        """The driver among the members."""
        return self.members[0]

    def call(self, hook: str, arguments: dict[str, Any], timeout: Timeout = ...) -> Any:
        """Call a single hook: its value, or for an *all* hook one ``Answer`` for each plug-in that has it.

        A read that lost its line is asked once more, in the time that is left.
        """
        pending = self.begin(hook, arguments, timeout)
        try:
            return pending.result()
        except Interrupted as error:
            if not pending.again(error):
                raise
        return self.begin(hook, arguments, pending.call.deadline.left()).result()

    def begin(self, hook: str, arguments: dict[str, Any], timeout: Timeout = ...) -> Pending:
        """Begin what ``call`` waits for."""
        spec, arguments = self.prepare(hook, arguments)
        got: dict[str, Answer[Any]] = {}
        work = partial(self._each, spec, arguments, got) if spec.all else partial(self._ask, spec, arguments)
        around = partial(self._around, CallInfo(spec.name, arguments, str(self.uri), spec.kind), work)
        call = lanes.start(self._lane(spec, arguments), around, self.deadline(timeout), _label(spec, arguments))
        return Pending(spec, call, partial(self._complete_each, spec, got) if spec.all else None)

    def bulk(self, hook: str, arguments: dict[str, Any], timeout: Timeout = ...) -> dict[Ref, Answer[Any]]:
        """Ask for many refs at once: an answer for each, partial at the deadline, in the order asked."""
        answers: dict[Ref, Answer[Any]] = self.begin_bulk(hook, arguments, timeout).result()
        return answers

    def begin_bulk(self, hook: str, arguments: dict[str, Any], timeout: Timeout = ...) -> Pending:
        """Begin what ``bulk`` waits for."""
        spec, arguments = self.prepare(hook, arguments)
        got: dict[Ref, Answer[Any]] = {}
        work = partial(self._collect, spec, arguments, got)
        call = lanes.start(self._lane(spec, arguments), work, self.deadline(timeout), _label(spec, arguments))
        return Pending(spec, call, partial(self._complete, spec, arguments["refs"], got))

    def job(self, hook: str, arguments: dict[str, Any], timeout: Timeout = None) -> Job[Any]:
        """Begin a job; its start has the connection's deadline, then each step its own."""
        from anyvirt.jobs import Job  # few calls are jobs

        spec, arguments = self.prepare(hook, arguments)
        ref = arguments.get("ref")
        return Job(
            hook,
            ref,
            partial(self._steps, spec, arguments),
            book=lambda: self.host.jobs,
            owner=self._owner,
            key=self.key,
            timeout=None if timeout is ... else timeout,
            wrap=partial(self._around, CallInfo(hook, arguments, str(self.uri), spec.kind)),
        )

    def work(
        self, name: str, ref: Ref | None, steps: Callable[[], Generator[Any, None, Any]], timeout: Timeout = None
    ) -> Job[Any]:
        """Begin a job that core makes out of hooks; no record of it is kept."""
        from anyvirt.jobs import Job, MemoryBook

        whole = None if timeout is ... else timeout
        return Job(name, ref, steps, book=MemoryBook, key=self.key, timeout=whole)

    def prepare(self, hook: str, arguments: dict[str, Any]) -> tuple[Spec, dict[str, Any]]:
        """Refuse what this connection cannot or may not do, before anything happens.

        :raises Unsupported: for a hook, parameter or value that the driver does not take.
        :raises Denied: for a change on a read-only connection, or a read of secrets (``secure=True``).
        :raises Interrupted: (``forked``) in a child of the process that opened it.
        """
        spec = SPECS[hook]
        if os.getpid() != self._pid:
            raise Interrupted("forked", str(self.uri), hint="open a connection in the child")
        if self.closed:
            raise Interrupted("lost", f"{self.uri} is closed", hint="open a new connection")
        secure = arguments.get("secure", False)
        if self.readonly and (spec.access != "read" or secure):
            from anyvirt.errors import Denied

            what = f"{hook} with secrets" if secure else hook
            raise Denied(f"{what} on a read-only connection", code="readonly", hint="open it without readonly")
        found = self._implementations.get(hook)
        if not found:
            raise Unsupported(self.driver.name, hook, hint=self._hint(spec))
        full = {**spec.defaults, **arguments}
        for one in found if not spec.all else ():
            for name, value in full.items():
                self._allowed(spec, one, name, value)
        return spec, full

    def deadline(self, timeout: Timeout = ...) -> Deadline:
        """The deadline of a call: its own, or the connection's, and never past that of the call around it."""
        mine = self.timeout if timeout is ... else timeout
        left = current().left()
        limits = [limit for limit in (mine, left) if limit is not None]
        return Deadline(min(limits) if limits else None)

    def feeds(self, hook: str, arguments: dict[str, Any]) -> dict[str, Callable[[str | None], Iterator[Any]]]:
        """For a streaming *all* hook: how to begin each plug-in's own stream, by its name."""
        self.prepare(hook, arguments)
        return {one.member.name: partial(self._feed, hook, one, arguments) for one in self._implementations[hook]}

    def close(self) -> None:
        """Close every plug-in, the last opened first, each under its own error; then the host.

        In a child of the process that opened it nothing is ended: it is the parent's.
        """
        if self.closed:
            return
        if os.getpid() != self._pid:
            self.closed = True
            return
        try:
            if "connect_close" in self._implementations:
                self.call("connect_close", {})
        finally:
            self.closed = True
            self.host.close()

    # -- inside -----------------------------------------------------------------------------

    def _complete(self, spec: Spec, refs: Sequence[Ref], got: Mapping[Ref, Answer[Any]], call: Call[Any]) -> Any:
        missing: VirtError
        try:
            call.result()
            if call.deadline.over():  # it gave up in time, just before its caller did
                missing = Interrupted("deadline", call.what)
            else:
                missing = self._bad(f"{spec.name} left out a ref that it was asked for")
        except VirtError as error:
            if not got and not isinstance(error, Interrupted):
                raise
            missing = error
        now = dict(got)  # the lane may still be adding to got
        return {ref: now.get(ref) or Answer(error=missing) for ref in refs}

    def _complete_each(self, spec: Spec, got: Mapping[str, Answer[Any]], call: Call[Any]) -> Any:
        """What the plug-ins said, in order; at the deadline those that have not answered have that as their error."""
        try:
            return call.result()
        except Interrupted as error:
            now = dict(got)  # the lane may still be adding to got
            if not now:
                raise
            names = [one.member.name for one in self._implementations[spec.name]]
            return {name: now.get(name) or Answer(error=error) for name in names}

    def _hook(self, name: str) -> Any:
        """How pluggy calls a hook; who has it is registered only now: most calls need no service."""
        for one in self._implementations[name]:
            if one.member.name not in self._registered:
                with self._registering:
                    if one.member.name not in self._registered:
                        self._plugins.register(one.member.plugin, one.member.name)
                        self._registered.add(one.member.name)
        return getattr(self._plugins.hook, name)

    def _ask(self, spec: Spec, arguments: dict[str, Any]) -> Any:
        try:
            value = self._hook(spec.name)(**arguments)
            return tuple(value) if isinstance(value, Iterator) else value
        except VirtError:
            raise
        except Exception as error:
            raise self._bad(f"{spec.name} raised {type(error).__name__}: {error}") from error

    def _each(self, spec: Spec, arguments: dict[str, Any], got: dict[str, Answer[Any]]) -> dict[str, Answer[Any]]:
        found = self._implementations[spec.name]
        if len(found) == 1 or spec.area == "connect":  # opening, closing, recovering: one after the other
            for one in reversed(found) if spec.name == "connect_close" else found:
                self._hear(spec, one, arguments, got)
            return got
        begun = []
        for one in found:
            work = partial(self._hear, spec, one, arguments, got)
            try:
                begun.append(lanes.start(f"{self.key}/{one.member.name}", work, what=spec.name))
            except VirtError as error:
                got[one.member.name] = Answer(error=error)
        for call in begun:
            call.result()
        return {one.member.name: got[one.member.name] for one in found}

    def _hear(self, spec: Spec, one: _Implementation, arguments: Mapping[str, Any], got: dict[str, Any]) -> None:
        got[one.member.name] = self._say(spec, one, arguments)

    def _say(self, spec: Spec, one: _Implementation, arguments: Mapping[str, Any]) -> Answer[Any]:
        """One plug-in's answer; its slip is not the others'."""
        method = getattr(one.member.plugin, spec.name)
        try:
            value = method(**{name: value for name, value in arguments.items() if name in one.parameters})
            return Answer(tuple(value) if isinstance(value, Iterator) else value)
        except VirtError as error:
            return Answer(error=error)
        except Exception as error:  # noqa: BLE001 - a plug-in's slip must reach the caller as its own
            bad = self._bad(f"{spec.name} raised {type(error).__name__}: {error}", one.member)
            bad.__cause__ = error
            return Answer(error=bad)

    def _collect(self, spec: Spec, arguments: dict[str, Any], got: dict[Ref, Answer[Any]]) -> None:
        try:
            self._ask_many(spec, arguments, got)
        except Interrupted as error:
            if error.reason != "lost" or not spec.idempotent or current().over():
                raise
            left = tuple(ref for ref in arguments["refs"] if ref not in got)
            self._ask_many(spec, {**arguments, "refs": left}, got)

    def _ask_many(self, spec: Spec, arguments: dict[str, Any], got: dict[Ref, Answer[Any]]) -> None:
        info = CallInfo(spec.name, arguments, str(self.uri), spec.kind)

        def collect() -> None:
            try:
                for ref, answer in self._hook(spec.name)(**arguments):
                    if not isinstance(answer, Answer):
                        raise self._bad(f"{spec.name} yields a {type(answer).__name__} where an Answer belongs")
                    got[ref] = answer
            except VirtError:
                raise
            except Exception as error:
                raise self._bad(f"{spec.name} raised {type(error).__name__}: {error}") from error

        self._around(info, collect)

    def _steps(self, spec: Spec, arguments: dict[str, Any]) -> Generator[Any, None, Any]:
        generator: Generator[Any, None, Any] = self._hook(spec.name)(**arguments)
        return generator

    def _feed(self, hook: str, one: _Implementation, arguments: dict[str, Any], after: str | None) -> Iterator[Any]:
        wanted = {**SPECS[hook].defaults, **arguments, "after": after}
        method = getattr(one.member.plugin, hook)
        info = CallInfo(hook, wanted, str(self.uri), SPECS[hook].kind)
        begin = partial(method, **{k: v for k, v in wanted.items() if k in one.parameters})
        stream: Iterator[Any] = self._around(info, begin)
        return stream

    def _around(self, info: CallInfo, proceed: Callable[[], Any]) -> Any:
        for wrapper in reversed(self._wrappers):
            proceed = partial(wrapper, info, proceed)
        return proceed()

    def _lane(self, spec: Spec, arguments: Mapping[str, Any]) -> str:
        ref = arguments.get("ref")
        own = f":{spec.name}" if spec.name in _ALWAYS else ""
        return f"{self.key}:{ref.kind}:{ref.key}{own}" if isinstance(ref, Ref) else self.key + own

    def _allowed(self, spec: Spec, one: _Implementation, name: str, value: Any) -> None:
        if name not in one.parameters:
            if name in spec.defaults and value != spec.defaults[name]:
                raise Unsupported(self.driver.name, f"{spec.name}({name})", hint="leave it out")
            return
        accepted = one.accepts.get(name)
        if accepted is not None and value not in accepted and value != spec.defaults.get(name, _MISSING):
            words = ", ".join(sorted(_word(item) for item in accepted))
            raise Unsupported(self.driver.name, f"{spec.name}({name}={_word(value)})", hint=f"it takes {words}")

    def _check(self, member: Member) -> None:
        for name in dir(type(member.plugin)):
            function = inspect.getattr_static(type(member.plugin), name)
            if not hasattr(function, "anyvirt_accepts"):
                continue
            spec = SPECS.get(name)
            if spec is None:
                self.unknown[name] = f"{member.distribution} {member.version}"
                continue
            one = _Implementation(member, self._parameters(member, spec, function), _frozen(function.anyvirt_accepts))
            before = self._implementations.setdefault(name, [])
            if before and not spec.all:
                both = f"{before[0].member.distribution} and {member.distribution}"
                raise BadDriver(both, f"both implement {name}", code="driver.clash")
            before.append(one)

    def _parameters(self, member: Member, spec: Spec, function: Callable[..., Any]) -> frozenset[str]:
        signature = inspect.signature(function)
        names = []
        for parameter in list(signature.parameters.values())[1:]:
            fine = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
            if not fine or parameter.name not in spec.parameters:
                known = f"the spec's parameters, without defaults: {', '.join(spec.parameters) or 'none'}"
                text = f"{spec.name}{signature}: {parameter} does not fit; {known}"
                raise self._bad(text, member)
            names.append(parameter.name)
        return frozenset(names)

    def _hint(self, spec: Spec) -> str:
        if spec.area in {"storage", "network", "interface"} and spec.area not in [m.name for m in self.members]:
            return f"pip install --upgrade anyvirt-host, once a version of it has the {spec.area} service"
        return ""

    def _bad(self, wrong: str, member: Member | None = None) -> BadDriver:
        member = member or self.driver
        return BadDriver(member.distribution, wrong, version=member.version)

    @staticmethod
    def _owner() -> dict[str, Any]:
        from anyvirt.identity import ProcessId

        return ProcessId.of(os.getpid()).to_json()


_MISSING: Final = object()
# need no answer from the guest: never behind calls that hang
_ALWAYS: Final = frozenset({"connect_close", "connect_recover", "domain_destroy", "domain_undefine", "job_recover"})


def _label(spec: Spec, arguments: Mapping[str, Any]) -> str:
    ref = arguments.get("ref")
    return f"{spec.name} of {ref}" if ref is not None else spec.name


def _word(value: Any) -> str:
    return str(getattr(value, "value", value))


def _frozen(accepts: Mapping[str, Any]) -> dict[str, frozenset[Any]]:
    return {name: frozenset(values) for name, values in accepts.items()}
