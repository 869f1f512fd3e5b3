"""Models as plain data, ready for JSON, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from anyvirt.errors import Invalid, Problem
from anyvirt.model.element import Element, conceal, rest_of
from anyvirt.model.plan import Field, Plan, plan_of
from anyvirt.model.rest import Attribute, Rest, Stray, Xml
from anyvirt.model.types import Bytes, Codec, Integer, Presence, Switch, Text, Words
from anyvirt.model.walk import place

E = TypeVar("E", bound=Element)
_NAME: Final = re.compile(r"(\{[^{}\s\"'<>&]+\})?[^\W\d][\w.-]*")
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
KIND: Final = "$kind"
UNKNOWN: Final = "$unknown"


class Object(dict[str, Any]):
    """A JSON object that knows the line of each of its keys."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class Items(list[Any]):
    """A JSON array that knows the line of each of its items."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def to_json(x: Element) -> dict[str, Any]:
    """Fields that are set, as dicts, lists, strings, numbers and booleans; sizes in bytes.

    What is one of several classes has ``$kind``; unknown content is under ``$unknown``.
    """
    made: dict[str, Any] = {}
    for field in plan_of(type(x)).fields:
        value = getattr(x, field.name)
        if value is None or value == field.at.default:
            continue
        made[field.name] = [_out(field, item) for item in value] if field.many else _out(field, value)
    rest = rest_of(x)
    if rest is not None:
        made[UNKNOWN] = {
            "attributes": [list(item) for item in rest.attributes],
            "content": [[*item[:5], str(item.text)] for item in rest.strays],
            "bare": list(rest.bare),
        }
    return made


def _out(field: Field, value: Any) -> Any:
    if isinstance(value, Element):
        made = to_json(value)
        if len(field.classes) > 1 or field.classes == (Element,):
            made[KIND] = kind_of(type(value))
        return made
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, frozenset):
        return field.codec.write(value) if field.codec and value else sorted(value)
    return str(value)


def from_json(cls: type[E], data: Mapping[str, Any]) -> E:
    """The model that ``to_json`` came from.

    :raises Invalid: every key and value that does not fit, by path; with lines where ``data`` is made of
        ``Object`` and ``Items``.
    """
    problems: list[Problem] = []
    kind = data.get(KIND, cls._tag) if isinstance(data, Mapping) else cls._tag
    if kind != cls._tag and kind != kind_of(cls):
        raise Invalid([Problem("xml.unknown-element", f"/{KIND}", None, f"this is a {kind}, not a {cls._tag}")])
    try:
        made = _element(cls, data, "", problems)
    except RecursionError as error:
        raise Invalid([Problem("xml.limits", "", None, "the document is nested too deep to be read")]) from error
    if problems or made is None:
        raise Invalid(problems or [Problem("xml.value", "/", None, "must be an object")])
    return made


def _element(cls: type[E], data: Any, path: str, problems: list[Problem], line: int | None = None) -> E | None:
    plan = plan_of(cls)
    if not isinstance(data, Mapping):
        problems.append(Problem("xml.value", path or "/", line, "must be an object"))
        return None
    values: dict[str, Any] = {}
    lines = data.lines if isinstance(data, Object) else {}
    for name, value in data.items():
        field = plan.by_name.get(name)
        if field is not None:
            values[name] = _field(field, value, place(field, path), problems, lines.get(name))
        elif name not in (UNKNOWN, KIND):
            from anyvirt.model.strict import near

            hint = near(name, list(plan.by_name))
            problems.append(
                Problem("xml.unknown-element", f"{path}/{name}", lines.get(name), f"no field {name!r}", hint)
            )
    problems += [
        Problem("xml.value", place(field, path), line, "is missing", field.at.doc)
        for field in plan.fields
        if field.at.required and field.name not in values
    ]
    if problems:
        return None
    made = cls(**values)
    rest = _rest(plan, data[UNKNOWN], path, problems) if UNKNOWN in data else None
    own = {_home(plan.by_name[name]): lines[name] for name in lines if name in values}
    conceal(made, rest, None, {**own, "": line} if own else line)
    return made


def _field(field: Field, value: Any, path: str, problems: list[Problem], line: int | None) -> Any:
    if field.many:
        if not isinstance(value, list):
            problems.append(Problem("xml.value", path, line, "must be a list"))
            return ()
        lines = value.lines if isinstance(value, Items) else [line] * len(value)
        items = enumerate(zip(value, lines, strict=True))
        return tuple(_item(field, item, f"{path}[{index}]", problems, own) for index, (item, own) in items)
    if value is None:
        if field.at.required:
            problems.append(Problem("xml.value", path, line, "is missing", field.at.doc))
        return field.at.default if not field.at.required else None
    return _item(field, value, path, problems, line)


def _item(field: Field, value: Any, path: str, problems: list[Problem], line: int | None) -> Any:
    if field.classes:
        cls = _class(field, value)
        if cls is None:
            problems.append(Problem("xml.value", path, line, f"needs {KIND}", "name one of the kinds of the reference"))
            return None
        return _element(cls, value, path, problems, line)
    codec = field.codec
    assert codec is not None
    try:
        if isinstance(value, str) and _ILLEGAL.search(value):
            raise ValueError("holds a character that XML cannot carry")
        if isinstance(value, str) and codec.name != "text":
            read = Xml(value) if codec.name == "any XML" else codec.read(value, *(None for _ in codec.beside))
        else:
            read = frozenset(value) if isinstance(value, list) else value
            _fits(codec, value)
        codec.write(read)
    except (ValueError, TypeError) as error:
        problems.append(Problem("xml.value", path, line, f"{value!r} {error}", _way_out(codec, value)))
        return None
    return read


def _fits(codec: Codec, value: Any) -> None:
    """Python takes a truth value for a number, and any value for a truth value; a document may not."""
    if isinstance(value, bool) and isinstance(codec, (Integer, Bytes)):
        raise ValueError("is a truth value")  # noqa: TRY004 - what a codec raises
    if type(value) is int and isinstance(codec, (Words, Presence, Switch)):
        raise ValueError("is a number")
    if isinstance(value, list) and not all(type(one) is int for one in value):
        raise ValueError("is no list of numbers")


def _home(field: Field) -> str:
    """The element inside its owner that a field is in, or is."""
    return "/".join(part for part in (field.node, field.tag) if part)


def _way_out(codec: Codec, value: Any) -> str:
    if codec.absent is False:  # what is there or not
        return "write true or false"
    if codec.words:
        return f"use one of {', '.join(codec.words)}"
    return "write it in quotes" if isinstance(codec, Text) and not isinstance(value, str) else ""


def kind_of(cls: type[Element]) -> str:
    """What ``$kind`` says of an element of this class."""
    return cls._when[1] if cls._when else cls._tag


def _class(field: Field, value: Any) -> type[Element] | None:
    if len(field.classes) == 1 and field.classes != (Element,):
        return field.classes[0]
    kind = value.get(KIND) if isinstance(value, Mapping) else None
    classes = field.classes
    if classes == (Element,):
        from anyvirt.model.namespaces import registered

        classes = tuple(registered().values())
    return next((cls for cls in classes if kind == kind_of(cls)), None)


def _rest(plan: Plan, data: Any, path: str, problems: list[Problem]) -> Rest | None:
    try:
        attributes = tuple(Attribute(*map(str, item)) for item in data["attributes"])
        content = [
            (str(node), str(after), int(number), str(why), str(tag), str(text))
            for node, after, number, why, tag, text in data["content"]
        ]
        bare = tuple(map(str, data["bare"]))
    except (KeyError, TypeError, ValueError) as error:
        problems.append(Problem("xml.value", f"{path}/{UNKNOWN}", None, f"is not as written by to_json: {error!r}"))
        return None
    wrong = _wrong_rest(plan, attributes, content, bare)
    problems += [Problem("xml.value", f"{path}/{UNKNOWN}", None, text, "write what to_json gave") for text in wrong]
    strays = [Stray(*item[:5], Xml(item[5]) if item[4] else item[5], None) for item in content]
    return Rest(attributes, tuple(strays), bare)


def _wrong_rest(
    plan: Plan,
    attributes: Sequence[Attribute],
    content: Sequence[tuple[str, str, int, str, str, str]],
    bare: Sequence[str],
) -> Iterator[str]:
    """What could not be written as XML, or would be lost."""
    from anyvirt.model.strict import node_at
    from anyvirt.model.xml import sound

    for node in {*(item.node for item in attributes), *(item[0] for item in content), *bare}:
        if node_at(plan, node) is None:
            yield f"there is no element {node!r} to hold it"
    for item in attributes:
        if not _NAME.fullmatch(item.name) or _ILLEGAL.search(item.value):
            yield f"{item.name!r} is no attribute that XML can carry"
    for _, _, _, _, tag, text in content:
        if tag and (reason := sound(text)):
            yield reason
        elif not tag and _ILLEGAL.search(text):
            yield f"{text!r} holds a character that XML cannot carry"
