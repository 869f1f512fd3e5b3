"""A host that misbehaves when it is told to: ``?fail=HOOK``, ``?delay=HOOK:MS``, ``?hang=HOOK``.

``HOOK:NAME`` means one object alone, also in an answer about many: the others' answers are as they should be.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import isgeneratorfunction, signature
from threading import Event
from typing import Any, Final, Literal

from anyvirt.api import Answer, Failed, Invalid, Ref, Uri, current, fan_out

Way = Literal["fail", "delay", "hang"]
WAYS: Final[tuple[Way, ...]] = ("fail", "delay", "hang")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that goes wrong.

    :param name: the object that it goes wrong for; empty for every call.
    """

    way: Way
    hook: str
    name: str = ""
    seconds: float | None = None

    @classmethod
    def of(cls, way: Way, text: str) -> Trouble:
        """What a value in the URI asks for: ``HOOK``, ``HOOK:NAME``, and ``:MS`` at the end for a delay.

        :raises Invalid: that is none of these.
        """
        hook, *rest = text.split(":")
        seconds = None
        if way == "delay":
            if not rest or not rest[-1].isdecimal():
                raise Invalid(f"delay={text} has no time", hint="write delay=HOOK:MILLISECONDS")
            seconds = int(rest.pop()) / 1000
        return cls(way, hook, ":".join(rest), seconds)

    def concerns(self, ref: Ref) -> bool:
        """Whether it goes wrong for that object."""
        return not self.name or self.name in (ref.name, ref.key)

    def strike(self) -> None:
        """Go wrong now; a deadline or a cancel ends the wait."""
        if self.way == "fail":
            raise Failed(f"{self.hook} fails, as the URI asks", native={"hook": self.hook, "name": self.name})
        over = Event()
        with current().breaks(over.set, what=self.hook):
            over.wait(self.seconds)
            current().check(self.hook)


def misbehaving(well: type, uri: Uri) -> type:
    """The class of a host on which the hooks that the URI names go wrong; ``well`` itself where it names none.

    :raises Invalid: it names a hook that there is not.
    """
    troubles = [Trouble.of(way, text) for way in WAYS for text in uri.params(way)]
    hooks: dict[str, Callable[..., Any]] = {}
    for trouble in troubles:
        method = hooks.get(trouble.hook) or getattr(well, trouble.hook, None)
        if not hasattr(method, "anyvirt_accepts"):
            raise Invalid(f"{trouble.way}={trouble.hook}: there is no such hook", hint="anyvirt drivers lists them")
        assert method is not None
        hooks[trouble.hook] = _troubled(method, trouble)
    return type(well.__name__, (well,), hooks) if hooks else well


def _troubled(method: Callable[..., Any], trouble: Trouble) -> Callable[..., Any]:
    names = list(signature(method).parameters)[1:]

    def concerned(given: Sequence[Any]) -> bool:
        refs = [value for value in given if isinstance(value, Ref)]
        return not trouble.name or any(trouble.concerns(ref) for ref in refs)

    @wraps(method)
    def call(self: Any, *given: Any) -> Any:
        if concerned(given):
            trouble.strike()
        return method(self, *given)

    @wraps(method)
    def steps(self: Any, *given: Any) -> Generator[Any, Any, Any]:
        if concerned(given):
            trouble.strike()
        return (yield from method(self, *given))

    @wraps(method)
    def bulk(self: Any, refs: Sequence[Ref], *given: Any) -> Iterator[tuple[Ref, Answer[Any]]]:
        def one(ref: Ref) -> Any:
            if trouble.concerns(ref):
                trouble.strike()
            ((_, answer),) = method(self, [ref], *given)
            return answer.get()

        return fan_out(refs, one)

    if names[:1] == ["refs"]:
        return bulk
    return steps if isgeneratorfunction(method) else call
