"""Reads and changes what is deep inside a model, by the paths that ``diff`` gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from anyvirt.errors import Invalid, Problem
from anyvirt.model.diff import Difference
from anyvirt.model.element import Element, conceal, hidden
from anyvirt.model.plan import Field, Node, key_of, plan_of
from anyvirt.model.rest import Rest, Xml
from anyvirt.model.types import Opaque
from anyvirt.model.walk import place

M = TypeVar("M", bound=Element)
Steps = Sequence[tuple[str, str | None]]

_STEP: Final = re.compile(r"/([^/\[\]]+)(?:\[(.*?)\])?(?=/|$)", re.DOTALL)


def get(x: Element, path: str) -> Any:
    """What stands at a path; None where the model has nothing there.

    ``get(domain, "/devices/disk[vda]/source/@file")``, ``get(domain, "/devices/disk")`` for all disks. A member of a
    list is named by its key, such as a disk's target, or by its number, from 0, where keys are no numbers.

    :raises Invalid: no model has that path, or the list has no such member; with the nearest that there is.
    """
    steps = _steps(path)
    if not steps:
        return x
    where = _place(type(x), x, steps)
    if where.holder is None:
        return None
    value = getattr(where.holder, where.field.name)
    return value if where.pick is None else value[_index(where, value)]


def change(x: M, path: str, value: Any) -> M:
    """The same model with another value at a path; None takes away what is there.

    ``change(domain, "/devices/disk[vda]/source/@file", "/b.qcow2")``. Elements that must be there for it appear. A
    text is read as the document would have it (``"yes"``, a number of KiB), any other value as the field has it. A
    path that names a list takes all its members.

    :raises Invalid: no model has that path, the list has no such member, or the value does not fit.
    """
    steps = _steps(path)
    if steps:
        return _changed(x, steps, value, "")
    if type(value) is not type(x):
        _refuse("xml.value", "/", f"must be a {type(x).__name__}, not {value!r}")
    return value


def add(x: M, *members: Element, under: str = "") -> M:
    """The same model with more devices, or other members of its lists; each goes to the end of the list of its kind.

    ``add(domain, Disk(target="vdb"), Rng())``, ``add(domain, CpuFeature(name="avx2"), under="/cpu")``.

    :raises Invalid: nothing there takes it, or a member with its key is there already.
    """
    for member in members:
        if not isinstance(member, Element):
            _refuse("config.invalid", under or "/", f"must be an element, not {member!r}", "such as Disk(target='vdb')")
        x = change(x, under, _joined(_there(x, under), member, under))
    return x


def remove(x: M, *paths: str) -> M:
    """The same model without what stands at these paths; all are looked up before any is taken away.

    ``remove(domain, "/devices/disk[vdb]", "/devices/sound[0]")``

    :raises Invalid: there is nothing at one of them.
    """
    gone = []
    for path in paths:
        value = get(x, path)
        if value is None or value == ():
            _refuse("config.missing", path, "there is nothing here")
        gone.append(Difference(path, value, None))
    x = patch(x, (item for item in gone if not isinstance(item.old, tuple)))
    for item in gone:
        if isinstance(item.old, tuple):
            x = change(x, item.path, None)
    return x


def patch(x: M, differences: Iterable[Difference]) -> M:
    """The model that differences lead to: ``patch(a, diff(a, b)) == b``.

    :raises Invalid: a difference does not fit this model, or is one of unknown content.
    """
    lists: dict[tuple[str, str], list[tuple[Difference, _Place]]] = {}
    origin = x
    for item in differences:
        steps = _steps(item.path)
        if {item.old, item.new} == {None, ""} and (found := _group(origin, steps)):
            x = _emptied(x, *found, there=item.new is not None)
            continue
        where = _place(type(x), origin, steps, new=item.old is None) if steps else None
        if where is None:
            x = change(x, item.path, item.new)
        elif _structural(item, where):
            lists.setdefault((where.above, where.field.name), []).append((item, where))
        elif where.field.classes and item.new is None and not isinstance(item.old, Element):
            x = change(x, where.spot, _untexted(get(x, where.spot)))
        else:
            x = change(x, where.spot, item.new)
    # Deep lists first: their paths count the members of the lists above as they were.
    for (above, name), changes in sorted(lists.items(), key=lambda entry: -len(_steps(entry[0][0]))):
        holder = _there(x, above)
        x = change(x, above, holder.replace(**{name: _rearranged(getattr(holder, name), changes)}))
    return x


class _Place(NamedTuple):
    """Where a path leads.

    :param above: path of the element that has the field; ``holder`` is that element, None where it is not there.
    :param pick: key or number of the member that is meant.
    :param spot: the path by numbers, which stays right when keys change; so does ``above``.
    """

    above: str
    holder: Element | None
    field: Field
    tag: str
    pick: str | None
    path: str
    spot: str = ""


def _steps(path: str) -> Steps:
    found: list[tuple[str, str | None]] = []
    done = 0
    while done < len(path) and path != "/":
        hit = _STEP.match(path, done)
        if hit is None:
            _refuse("config.invalid", path, "is no path", "write it as /devices/disk[vda]/source/@file")
        found.append((hit[1], hit[2]))
        done = hit.end()
    return found


def _spelled(steps: Steps) -> str:
    return "".join(f"/{tag}" if pick is None else f"/{tag}[{pick}]" for tag, pick in steps)


def _refuse(code: str, path: str, text: str, hint: str = "") -> NoReturn:
    raise Invalid([Problem(code, path or "/", None, text, hint)])


def _place(
    cls: type[Element], x: Element | None, steps: Steps, above: str = "", spot: str = "", *, new: bool = False
) -> _Place:
    """Follow a path; ``new`` says that its last member need not be there."""
    field, used = _field(cls, steps, above)
    tag, pick = steps[used - 1]
    path, rest = above + _spelled(steps[:used]), steps[used:]
    where = _Place(spot, x, field, tag, pick, path, spot + _spelled(steps[:used]))
    value = None if x is None else getattr(x, field.name)
    if field.many and (pick is not None or rest):
        if pick is None:
            _refuse("config.missing", path, "says not which one", f"there are {_listed(value or ())}")
        if rest or not new:
            index = _index(where, value or ())
            where = where._replace(spot=spot + _spelled([*steps[: used - 1], (tag, f"#{index}")]))
            value = (value or ())[index]
    if not rest:
        return where
    inner = _kind(field, path) if value is None else type(value)
    return _place(inner, value, rest, path, where.spot, new=new)


def _kind(field: Field, path: str) -> type[Element]:
    """The class of an element that is not there yet, whose path goes on."""
    if len(field.classes) > 1:
        kinds = ", ".join(cls.__name__ for cls in field.classes)
        _refuse("config.missing", path, "there is nothing here that could be changed", f"put one here: {kinds}")
    return field.classes[0]


def _field(cls: type[Element], steps: Steps, above: str) -> tuple[Field, int]:
    """The field that the first steps name, and how many they are."""
    plan = plan_of(cls)
    node = plan.root
    for count, (tag, pick) in enumerate(steps, 1):
        path = above + _spelled(steps[:count])
        child = node.children.get(plan.prefix + tag)
        field = node.attributes.get(tag[1:]) if tag.startswith("@") else child.field if child else _foreign(node, tag)
        if field is None and (child is None or child.node is None):
            _unknown(node, path, tag)
        if pick is not None and not (field is not None and field.many):
            _refuse("xml.unknown-element", path, f"there is one <{tag}> at most", f"write it without [{pick}]")
        if field is not None:
            if not field.name:
                _refuse("xml.value", path, f"it is what makes this a {cls.__name__}", "put another element here")
            if count < len(steps) and not field.classes:
                _refuse("xml.unknown-element", above + _spelled(steps), f"{tag} is a value, with nothing in it")
            return field, count
        assert child is not None
        assert child.node is not None
        node = child.node
    if node.text is None:
        parts = [*node.children, *(f"@{name}" for name in node.attributes)]
        _refuse("xml.unknown-element", above + _spelled(steps), f"<{node.tag}> only holds others", f"name one: {parts}")
    return node.text, len(steps)


def _foreign(node: Node, tag: str) -> Field | None:
    """The field of foreign elements, when a plug-in brought one of this name."""
    if node.foreign is None:
        return None
    from anyvirt.model.namespaces import registered

    return node.foreign if any(cls._tag == tag for cls in registered().values()) else None


def _unknown(node: Node, path: str, tag: str) -> NoReturn:
    from anyvirt.model.strict import near

    names = [*(name.rpartition("}")[2] for name in node.children), *(f"@{name}" for name in node.attributes)]
    alike = [name for name in names if name.startswith("@") == tag.startswith("@")]
    hint = near(tag, alike) or near(tag.lstrip("@"), names) or near(f"@{tag}", names)
    kind = "attribute" if tag.startswith("@") else "element"
    _refuse(f"xml.unknown-{kind}", path, f"<{node.tag}> has no {kind} {tag.lstrip('@')!r}", hint)


def _index(where: _Place, items: Sequence[Any]) -> int:
    """Position of the member that is meant: by key, by number where it has no key, by ``#number`` in any case."""
    pick = where.pick or ""
    for index, item in enumerate(items):
        if pick and key_of(item) == pick and (where.field.tag or item._tag == where.tag):
            return index
    number = pick.removeprefix("#")
    if number.isdecimal() and int(number) < len(items):
        named_by_number = any(key_of(item).isdecimal() for item in items)
        if number != pick or not key_of(items[int(number)]) or not named_by_number:
            return int(number)
    from anyvirt.model.strict import near

    names = [key_of(item) for item in items]
    _refuse(
        "config.missing", where.path, f"there is no such <{where.tag}>", near(pick, names) or f"known: {_listed(items)}"
    )


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(f"[{key_of(item) or index}]" for index, item in enumerate(items)) or "none"


def _changed(x: M, steps: Steps, value: Any, above: str) -> M:
    field, used = _field(type(x), steps, above)
    (tag, pick), rest = steps[used - 1], steps[used:]
    where = _Place(above, x, field, tag, pick, above + _spelled(steps[:used]))
    old = getattr(x, field.name)
    if field.many:
        new = _members(where, old, rest, value)
    elif rest:
        held = _new(_kind(field, where.path), where.path) if old is None else old
        new = _changed(held, rest, value, where.path)
    else:
        new = _value(where, old, value)
    return x.replace(**{field.name: new})


def _members(where: _Place, old: tuple[Any, ...], rest: Steps, value: Any) -> tuple[Any, ...]:
    if where.pick is None:
        if rest:
            _refuse("config.missing", where.path, "says not which one", f"there are {_listed(old)}")
        if value is not None and not isinstance(value, (tuple, list)):
            _refuse(
                "xml.value", where.path, f"takes all members, not {value!r}", "give a tuple, or write [..] behind it"
            )
        return tuple(_value(where, None, item) for item in value or ())
    if not rest and isinstance(value, Element) and _follows(where.pick, value, old):
        return (*old, _value(where, None, value))
    index = _index(where, old)
    if value is None and not rest:
        return (*old[:index], *old[index + 1 :])
    new = _changed(old[index], rest, value, where.path) if rest else _value(where, old[index], value)
    return (*old[:index], new, *old[index + 1 :])


def _follows(pick: str, value: Element, old: Sequence[Any]) -> bool:
    """Whether ``pick`` names an element that is not in the list, and would be by that name at its end."""
    return pick == (key_of(value) or str(len(old))) and all(key_of(item) != pick for item in old)


def _value(where: _Place, old: Any, value: Any) -> Any:
    """The value as the field has it."""
    field = where.field
    if value is None or (field.codec is not None and field.codec.absent is False and value is False):
        if field.at.required:
            _refuse("config.missing", where.path, f"{field.name} must be there", field.at.doc)
        return field.at.default
    if field.classes:
        if isinstance(value, field.classes):
            return value
        text = plan_of(type(old)).root.text if isinstance(old, Element) else None
        if text is None or isinstance(value, Element):
            kinds = " or ".join(cls.__name__ for cls in field.classes)
            _refuse("xml.value", where.path, f"must be a {kinds}, not {value!r}")
        return old.replace(**{text.name: _value(where._replace(field=text), None, value)})
    return _scalar(where, value)


def _scalar(where: _Place, value: Any) -> Any:
    codec = where.field.codec
    assert codec is not None
    try:
        if isinstance(codec, Opaque):
            return _sound(where, value)
        if isinstance(value, str):
            return codec.read(value, *(None for _ in codec.beside))
        spelled = codec.write(value)
        return codec.read(*spelled) if isinstance(spelled, tuple) else codec.read(spelled)
    except (ValueError, TypeError, AttributeError) as error:
        from anyvirt.model.strict import near

        words = list(codec.words)
        hint = near(str(value), words) or (f"use one of {', '.join(words)}" if words else f"must be: {codec.name}")
        _refuse("xml.value", where.path, f"{value!r} {error}", hint)


def _sound(where: _Place, value: Any) -> Xml:
    from anyvirt.model.xml import sound

    wrong = sound(str(value), where.field.tag)
    if wrong:
        raise ValueError(wrong)
    return Xml(value)


def _there(x: Element, path: str) -> Any:
    """The element at a path, or an empty one that can stand there."""
    held = get(x, path)
    if held is not None:
        return held
    field = _place(type(x), x, _steps(path)).field
    return _new(_kind(field, path), path)


def _new(cls: type[Element], path: str) -> Any:
    try:
        return cls()
    except TypeError as error:
        _refuse("config.missing", path, f"there is no {cls.__name__} here, and an empty one cannot be", str(error))


def _joined(holder: Element, member: Element, path: str) -> Element:
    """An element with one more member in the list of its kind."""
    fields = [field for field in plan_of(type(holder)).fields if type(member) in field.classes]
    if type(member)._namespace:
        fields += [field for field in plan_of(type(holder)).fields if field.classes == (Element,)]
    if len(fields) != 1:
        kind, places = type(member).__name__, ", ".join(f"{path}/{field.at.path}" for field in fields)
        hint = f"change one of {places}" if fields else "name with under= what has a list of them"
        _refuse(
            "xml.value",
            path,
            f"{type(holder).__name__} has {'several places' if fields else 'no place'} for {kind}",
            hint,
        )
    field = fields[0]
    old = getattr(holder, field.name)
    here = f"{path}{place(field, '', member)}"
    if not field.many and old is not None:
        _refuse("config.duplicate", here, "there is one already", "change it, or remove it first")
    key = key_of(member)
    if field.many and key and any(type(item) is type(member) and key_of(item) == key for item in old):
        _refuse("config.duplicate", f"{here}[{key}]", "there is one already", "change it, or remove it first")
    return holder.replace(**{field.name: (*old, member) if field.many else member})


def _untexted(held: Element) -> Element:
    text = plan_of(type(held)).root.text
    return held if text is None else held.replace(**{text.name: text.at.default})


def _group(x: Element, steps: Steps) -> tuple[str, str] | None:
    """Path of an element, and the node inside it that only groups others, when a path names such a node."""
    from anyvirt.model.strict import node_at

    for count in range(len(steps) - 1, -1, -1):
        held = get(x, _spelled(steps[:count]))
        if isinstance(held, Element):
            inner = "/".join(tag for tag, _ in steps[count:])
            node = node_at(plan_of(type(held)), inner)
            return (_spelled(steps[:count]), inner) if node is not None and node.text is None else None
    return None


def _emptied(x: M, path: str, node: str, *, there: bool) -> M:
    """The model with a group that is there, or is not, although nothing is in it."""
    held = get(x, path)
    rest, raw, line = hidden(held)
    attributes, strays, bare = (rest.attributes, rest.strays, rest.bare) if rest else ((), (), ())
    bare = (*(name for name in bare if name != node), *((node,) if there else ()))
    new = held.replace()
    conceal(new, Rest(attributes, strays, bare) if attributes or strays or bare else None, raw, line)
    return change(x, path, new)


def _structural(item: Difference, where: _Place) -> bool:
    """Whether members of a list come, go or change places."""
    if not where.field.many or where.pick is None:
        return where.field.many and bool(where.field.classes)
    if where.field.classes:
        return isinstance(item.old, Element) is not isinstance(item.new, Element)
    return item.old is None or item.new is None


def _rearranged(old: tuple[Any, ...], changes: Sequence[tuple[Difference, _Place]]) -> tuple[Any, ...]:
    members = [(item, where) for item, where in changes if where.pick is not None]
    gone = {_index(where, old) for item, where in members if item.new is None}
    new = [member for index, member in enumerate(old) if index not in gone]
    new += [item.new for item, _ in members if item.new is not None]
    for item, where in changes:
        if where.pick is None:
            names = list(item.old)
            if len(names) != len(new) or sorted(names) != sorted(item.new):
                _refuse("config.invalid", where.path, f"is no order of its {len(new)} members: {item.new!r}")
            arranged = []
            for name in item.new:
                index = names.index(name)
                names[index] = None
                arranged.append(new[index])
            new = arranged
    return tuple(new)
