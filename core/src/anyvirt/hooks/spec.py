"""How hooks are declared (``@spec``) and implemented (``@impl``)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Final, Literal, TypeVar, overload

import pluggy

PROJECT: Final = "anyvirt"
Kind = Literal["call", "bulk", "job", "stream"]
Access = Literal["read", "secret", "write"]
F = TypeVar("F", bound=Callable[..., Any])

_hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Spec:
    """What core knows of a hook; clients, read-only mode, retries, docs and coverage read it.

    :param kind: ``call`` gives one value, ``bulk`` yields ``(Ref, Answer)`` pairs, ``job`` yields
        ``Progress`` and returns a value, ``stream`` gives a ``Stream`` or goes on yielding.
    :param access: ``read``, ``secret`` (a read that reveals secrets) or ``write``.
    :param all: every plug-in of the connection answers, each under its own error.
    :param idempotent: safe to ask again when the line was lost in the middle.
    :param covers: libvirt's functions that it stands for, with the wishes of theirs that it takes.
    :param gives: kind of the object whose ref it gives, where that is not the hook's own area.
    """

    name: str
    area: str
    kind: Kind
    access: Access
    all: bool
    idempotent: bool
    since: str
    covers: Mapping[str, tuple[str, ...]]
    gives: str
    function: FunctionType
    defaults: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()


def spec(
    area: str,
    *,
    kind: Kind = "call",
    access: Access = "read",
    all: bool = False,  # noqa: A002 - the design's word
    idempotent: bool | None = None,
    since: str = "0.1",
    covers: Mapping[str, tuple[str, ...]] | None = None,
    gives: str = "",
) -> Callable[[F], F]:
    """Declare a hook; optional parameters have their default here and nowhere else."""

    def declare(function: F) -> F:
        assert isinstance(function, FunctionType)
        signature = inspect.signature(function)
        names = tuple(name for name in signature.parameters if name != "self")
        taken = {
            name: parameter.default
            for name, parameter in signature.parameters.items()
            if parameter.default is not parameter.empty
        }
        again = access == "read" and kind in {"call", "bulk"} if idempotent is None else idempotent
        function.anyvirt_meta = Spec(  # type: ignore[attr-defined]
            name=function.__name__,
            area=area,
            kind=kind,
            access=access,
            all=all,
            idempotent=again,
            since=since,
            covers=dict(covers or {}),
            gives=gives or function.__name__.partition("_")[0],
            function=function,
            defaults=taken,
            parameters=names,
        )
        return function

    return declare


@overload
def impl(function: F) -> F: ...
@overload
def impl(*, accepts: Mapping[str, AbstractSet[Any]]) -> Callable[[F], F]: ...
def impl(function: F | None = None, *, accepts: Mapping[str, AbstractSet[Any]] | None = None) -> F | Callable[[F], F]:
    """Mark a method as the implementation of the hook of its name.

    It names its parameters as the spec does, may leave some out, and gives none a default.

    :param accepts: values that it can take of a parameter, where it cannot take all:
        ``@impl(accepts={"mode": {"acpi", "agent"}})``.
    """

    def mark(function: F) -> F:
        function.anyvirt_accepts = dict(accepts or {})  # type: ignore[attr-defined]
        return _hookimpl(function)

    return mark(function) if function is not None else mark


def plain(function: FunctionType) -> FunctionType:
    """``function`` as pluggy wants a spec: without defaults, which it keeps apart from arguments otherwise."""
    bare = FunctionType(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
    bare.__doc__ = function.__doc__
    return bare


def pluggy_specs(specs: Mapping[str, Spec]) -> type:
    """A namespace that ``PluginManager.add_hookspecs`` reads."""
    return type(
        "Specs",
        (),
        {name: _hookspec(firstresult=not meta.all)(plain(meta.function)) for name, meta in specs.items()},
    )


def specs_of(area: type) -> dict[str, Spec]:
    """The specs that a class declares, by name, in order."""
    return {name: member.anyvirt_meta for name, member in vars(area).items() if hasattr(member, "anyvirt_meta")}
