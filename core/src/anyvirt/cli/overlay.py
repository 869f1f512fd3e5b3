"""A document that says only what its author cares for, laid over what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyvirt.model.plan import Field, key_of, plan_of

if TYPE_CHECKING:
    from anyvirt.model.element import Element

E = TypeVar("E", bound="Element")
# What no driver adds by itself: where the document has none of them, none is wanted.
# fmt: off
OWNED: Final = frozenset({
    "title", "description", "metadata", "features", "disks", "filesystems", "interfaces", "hostdevs", "graphics",
    "sounds", "watchdogs", "rngs", "tpms", "vsock", "smartcards", "redirdevs", "shmems",
})
# fmt: on


def laid_over(stored: E, wanted: E) -> E:
    """``wanted`` with what it leaves out taken from ``stored``: addresses, MACs, UUID, what a driver filled in.

    Disks, network interfaces and the like (``OWNED``) that it leaves out are gone.
    """
    changes: dict[str, Any] = {}
    for field in plan_of(type(wanted)).fields:
        before, after = getattr(stored, field.name), getattr(wanted, field.name)
        value = _field(field, before, after)
        if value is not after:
            changes[field.name] = value
    return wanted.replace(**changes) if changes else wanted


def _field(field: Field, before: Any, after: Any) -> Any:
    if field.many and field.classes:
        kept = before if field.name not in OWNED else ()
        return _many(before, after, kept)
    if after is None or (field.many and not after):
        return after if field.name in OWNED else before
    if field.name == "machine" and _is_version(before, after):
        return before
    if field.classes and before is not None and type(before) is type(after):
        return laid_over(before, after)
    return after


def _is_version(stored: Any, wanted: Any) -> bool:
    """Whether a machine type is a version of the wanted one: ``pc-q35-7.2`` of ``q35``, which the driver made of it."""
    return isinstance(stored, str) and stored[-1:].isdigit() and wanted in stored.split("-")[:-1]


def _many(before: Sequence[Any], after: Sequence[Any], kept: Sequence[Any]) -> tuple[Any, ...]:
    """Each member over its counterpart; then those of ``kept`` that have none."""
    free = list(before)
    out: list[Any] = list(after)
    for same in (_same_key, _same_kind):
        for index, item in enumerate(after):
            match = next((one for one in free if out[index] is item and same(one, item)), None)
            if match is not None:
                free = [one for one in free if one is not match]
                out[index] = laid_over(match, item)
    out += [one for one in kept if any(one is left for left in free)]
    return (
        tuple(after) if len(out) == len(after) and all(a is b for a, b in zip(out, after, strict=True)) else tuple(out)
    )


def _same_key(one: Any, item: Any) -> bool:
    return type(one) is type(item) and bool(key_of(item)) and key_of(one) == key_of(item)


def _same_kind(one: Any, item: Any) -> bool:
    """Whether the document's member, which has no key of its own, says nothing that the stored one contradicts."""
    if type(one) is not type(item) or key_of(item):
        return False
    fields = plan_of(type(item)).fields
    simple = [field.name for field in fields if field.codec is not None]
    return all(getattr(item, name) in {None, getattr(one, name)} for name in simple if not _is_flag(item, name))


def _is_flag(item: Any, name: str) -> bool:
    return isinstance(getattr(item, name), bool)
