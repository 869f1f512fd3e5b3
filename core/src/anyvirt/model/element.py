"""Declaring models: ``Element`` and ``at``; everything else is derived from the declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import repeat
from operator import attrgetter, call
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    import inspect

    from anyvirt.model.rest import Rest

T = TypeVar("T")
MISSING: Final[Any] = object()


if TYPE_CHECKING:

    class Many(Generic[T]):
        """Annotation of a field that holds several: a tuple, which is made of any iterable."""

        @overload
        def __get__(self, x: None, owner: Any) -> Self: ...
        @overload
        def __get__(self, x: object, owner: Any) -> tuple[T, ...]: ...
        def __get__(self, x: Any, owner: Any) -> Any: ...

        def __set__(self, x: object, value: Sequence[T]) -> None: ...

else:

    class Many:
        """Annotation of a field that holds several: a tuple, which is made of any iterable."""

        def __class_getitem__(cls, item: Any) -> Any:
            return tuple[item, ...]


class At:
    """Where a field stands in the XML, and the sentence that documents it."""

    __slots__ = ("default", "doc", "key", "path")

    def __init__(self, path: str, doc: str, default: Any, key: bool) -> None:
        self.path, self.doc, self.default, self.key = path, doc, default, key

    @property
    def required(self) -> bool:
        return self.default is MISSING


@overload
def at(path: str, doc: str, *, default: tuple[()], key: bool = False) -> Any: ...
@overload
def at(path: str, doc: str, *, default: T, key: bool = False) -> T: ...
@overload
def at(path: str, doc: str, *, key: bool = False) -> Any: ...
def at(path: str, doc: str, *, default: Any = MISSING, key: bool = False) -> Any:
    """Declare a field.

    :param path: ``a/b/@c``, ``a/b``, ``@c`` or ``.`` (own text, or children of any declared tag).
    :param doc: one sentence for the reference.
    :param default: value where the XML has nothing; None, False or (). Without it the field is required.
    :param key: the field identifies the element among its siblings.
    """
    return At(path, doc, default, key)


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda x: tuple(getattr(x, name) for name in names)


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=True, field_specifiers=(at,))
class ElementType(type):
    """Turns annotated ``at`` declarations into slots; nothing is compiled before first use."""

    _fields: dict[str, At]
    _places: dict[str, int]  # of fields in what follows
    _required: tuple[str, ...]
    _defaults: list[Any]
    _values: Callable[[Any], tuple[Any, ...]]  # of an element
    _puts: tuple[Callable[[Any, Any], None], ...]  # each sets one field; the last ones what ``hidden`` returns
    _tag: str
    _when: tuple[str, str] | None
    _namespace: tuple[str, str] | None

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        body: dict[str, Any],
        *,
        tag: str = "",
        when: tuple[str, str] | None = None,
        namespace: tuple[str, str] | None = None,
    ) -> ElementType:
        own = {key: value for key, value in body.items() if isinstance(value, At)}
        for key in own:
            del body[key]
        body.setdefault("__slots__", tuple(own))
        fields = dict(own)
        for base in bases:
            for key, value in getattr(base, "_fields", {}).items():
                fields.setdefault(key, value)
        # ``case Disk("vda")``: what identifies an element is what one looks for.
        body.setdefault("__match_args__", tuple(key for key, spec in fields.items() if spec.key))
        made = super().__new__(cls, name, bases, body)
        parent = bases[0] if bases else None
        made._fields = fields
        made._places = {key: place for place, key in enumerate(fields)}
        made._required = tuple(key for key, spec in fields.items() if spec.required)
        made._defaults = [spec.default for spec in fields.values()]
        made._values = _getter(list(fields))
        made._puts = tuple(getattr(made, key).__set__ for key in (*fields, "_rest", "_raw", "_line"))
        made._tag = tag or getattr(parent, "_tag", "")
        made._when = when
        made._namespace = namespace or getattr(parent, "_namespace", None)
        return made

    @property
    def __signature__(cls) -> inspect.Signature:
        import inspect

        return inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if spec.required else spec.default,
                    annotation=cls.__annotations__.get(name, inspect.Parameter.empty),
                )
                for name, spec in cls._fields.items()
            ]
        )


class Element(metaclass=ElementType):
    """A frozen value that stands for one XML element; build it with keywords, change it with ``replace``.

    Equality is semantic: spelling, units and line numbers do not count, unknown content does.
    """

    __slots__ = ("_line", "_raw", "_rest")

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        given = _with(cls, cls._defaults.copy(), values)
        for name in cls._required:
            if name not in values:
                msg = f"{cls.__name__} needs {name}= ({cls._fields[name].doc})"
                raise TypeError(msg)
        put_all(self, given, None, None, None)

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed; unknown content stays and moves with its neighbours."""
        cls = type(self)
        new = cls.__new__(cls)
        values = _with(cls, list(cls._values(self)), changes)
        rest, raw, line = hidden(self)
        put_all(new, values, None, None, line)
        if rest is not None:
            rest = rest.after(self, new, changes)
        if raw is not None:
            raw = {name: text for name, text in raw.items() if name not in changes} or None
        if rest is not None or raw is not None:
            conceal(new, rest, raw, line)
        return new

    __replace__ = replace

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"{type(self).__name__} is frozen; use .replace({name}=...)"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"{type(self).__name__} is frozen; use .replace({name}=None)"
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        values = type(self)._values
        return values(self) == values(other) and rest_of(self) == rest_of(other)

    def __hash__(self) -> int:
        return hash((type(self), type(self)._values(self)))

    def __repr__(self) -> str:
        parts = []
        for name, spec in type(self)._fields.items():
            value = getattr(self, name)
            if value != spec.default or type(value) is not type(spec.default):
                parts.append(f"{name}={_shown(value)}")
        rest = rest_of(self)
        if rest is not None and rest.count:
            parts.append(f"<{rest.count} unknown>")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        cls = type(self)
        values = {
            name: value for name, spec in cls._fields.items() if (value := getattr(self, name)) is not spec.default
        }
        return restore, (cls, values, *hidden(self))


def _with(cls: type[Element], values: list[Any], changes: Mapping[str, Any]) -> list[Any]:
    """``values`` of all fields, with some put in; none is a list that somebody might change.

    :raises TypeError: there is no such field, or the value is of another shape; ``dump`` looks at what is inside.
    """
    from anyvirt.model.plan import plan_of

    fields = plan_of(cls).by_name
    for name, value in changes.items():
        field = fields.get(name)
        if field is None:
            from anyvirt.model.strict import near

            hint = near(name, list(fields))
            msg = f"{cls.__name__} has no field {name!r}" + (f"; {hint}" if hint else "")
            raise TypeError(msg)
        if field.many:
            value = _several(cls, name, value)  # noqa: PLW2901 - what is kept
        if field.classes and value is not None:
            for item in value if field.many else (value,):
                if not isinstance(item, field.classes):
                    _misshaped(cls, name, " or ".join(one.__name__ for one in field.classes), item)
        values[field.index] = tuple(value) if type(value) is list else value
    return values


def _several(cls: type[Element], name: str, value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if type(value) is tuple:
        return value
    if isinstance(value, str | bytes | Mapping | Element) or not isinstance(value, Iterable):
        _misshaped(cls, name, "a list", value)
    return tuple(value)


def _misshaped(cls: type[Element], name: str, wanted: str, value: Any) -> NoReturn:
    text = repr(value)
    msg = f"{cls.__name__}.{name} takes {wanted}, not {text[:60]}{'...' if len(text) > 60 else ''}"
    raise TypeError(msg)


def put_all(x: Element, values: Iterable[Any], rest: Rest | None, raw: Mapping[str, Any] | None, line: Any) -> None:
    """Set all fields of a new element, and what ``hidden`` returns; for the engine."""
    # One call that makes all others: a domain has a hundred fields, and is changed a dozen times on its way.
    any(map(call, type(x)._puts, repeat(x), (*values, rest, raw, line)))


def _shown(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)


def hidden(x: Any) -> tuple[Rest | None, Mapping[str, Any] | None, int | Mapping[str, int] | None]:
    """What an element carries besides its fields: unknown content, original spellings, line numbers."""
    return x._rest, x._raw, x._line


def rest_of(x: Any) -> Rest | None:
    """Unknown content of an element, or None."""
    rest: Rest | None = x._rest
    return rest


def line_of(x: Any, node: str = "") -> int | None:
    """Line of the document where the element, or the node ``a/b`` inside it, began."""
    lines = x._line
    if isinstance(lines, dict):
        found: int | None = lines.get(node, lines.get(""))
        return found
    return lines if isinstance(lines, int) else None


def conceal(x: Element, rest: Rest | None, raw: Mapping[str, Any] | None, line: Any) -> None:
    """Set what ``hidden`` returns; for the engine, right after construction."""
    _PUT_REST(x, rest)
    _PUT_RAW(x, raw)
    _PUT_LINE(x, line)


_PUT_REST, _PUT_RAW, _PUT_LINE = (vars(Element)[name].__set__ for name in ("_rest", "_raw", "_line"))


def restore(cls: type[Element], values: Mapping[str, Any], rest: Any, raw: Any, line: Any) -> Element:
    """Rebuild an element; the counterpart of pickling."""
    new = cls.__new__(cls)
    put_all(new, [values.get(name, spec.default) for name, spec in cls._fields.items()], rest, raw, line)
    return new
