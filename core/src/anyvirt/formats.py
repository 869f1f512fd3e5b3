"""Formats that definitions can be converted from and to: the forms of our own, and what plug-ins bring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyvirt import discovery
from anyvirt.deadline import Deadline
from anyvirt.document import Document
from anyvirt.errors import BadDriver, Unsupported, VirtError
from anyvirt.hooks.table import SPECS
from anyvirt.lanes import lanes

if TYPE_CHECKING:
    from anyvirt.settings import Settings

BUILT_IN: Final = {"domain": "xml", "json": "json", "yaml": "yaml"}
# Formats by libvirt's names for them and their own, and the distributions that are to bring them.
BROUGHT_BY: Final = {
    "bhyve-argv": "anyvirt-bhyve",
    "lxc": "anyvirt-lxc",
    "lxc-tools": "anyvirt-lxc",
    "qemu-argv": "anyvirt-qemu",
    "vmware-vmx": "anyvirt-esx",
    "vmx": "anyvirt-esx",
    "xen-xl": "anyvirt-xen",
    "xen-xm": "anyvirt-xen",
    "xl": "anyvirt-xen",
}


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is there.

    :param distribution: what brings it; ``anyvirt`` for those of core.
    """

    name: str
    distribution: str
    version: str = ""


def formats(settings: Settings | None = None) -> tuple[Format, ...]:
    """Every format that is there, by name; nothing is imported for it."""
    own = [Format(name, "anyvirt") for name in BUILT_IN]
    brought = discovery.plugins(discovery.FORMATS, settings)
    found = [*own, *(Format(plugin.name, plugin.distribution, plugin.version) for plugin in brought)]
    return tuple(sorted(found, key=lambda one: (one.name not in BUILT_IN, one.name)))


@dataclass(frozen=True, slots=True)
class Converted:
    """A document in another format.

    :param notes: what its reader should know, a sentence each.
    """

    data: bytes
    notes: tuple[str, ...] = ()


def convert(
    data: bytes, source: str = "", target: str = "domain", *, timeout: float | None = 30.0, settings: Any = None
) -> bytes:
    """``converted`` without its notes."""
    return converted(data, source, target, timeout=timeout, settings=settings).data


def converted(
    data: bytes,
    source: str = "",
    target: str = "domain",
    *,
    pretty: bool = False,
    timeout: float | None = 30.0,
    settings: Any = None,
) -> Converted:
    """A document of one format in another.

    :param source: a format that is there; told from the content without it, where that is XML, JSON or YAML.
    :param target: a format that is there.
    :param pretty: for people to read, where the format has another way for them.
    :param timeout: seconds that a plug-in may take for each of reading and writing.
    :raises Unsupported: there is no such format, or its plug-in cannot read, or write, it.
    :raises Invalid: what is wrong with the document, or what the other format cannot say.
    """
    deadline = Deadline(timeout)
    reader = _hook(source, "config_import", settings) if source and source not in BUILT_IN else None
    writer = _hook(target, "config_export", settings, pretty=pretty) if target not in BUILT_IN else None
    notes: tuple[str, ...] = ()
    if reader is None:
        from anyvirt.model.written import model_of

        model: Any = model_of(data, BUILT_IN.get(source, ""))
    else:
        document: Document[Any] = Document.of(lanes.call(f"format:{source}", partial(reader, data), deadline))
        model, notes = document.model, document.notes
    if writer is None:
        from anyvirt.model.written import text_of

        return Converted(text_of(model, BUILT_IN[target]).encode(), notes)
    return Converted(lanes.call(f"format:{target}", partial(writer, Document.of(model)), deadline), notes)


def _hook(name: str, hook: str, settings: Settings | None, *, pretty: bool = False) -> Callable[[Any], Any]:
    """The implementation of a plug-in; what it raises that is no error of ours is told as its fault."""
    plugin = discovery.one(discovery.FORMATS, name, settings)
    if plugin is None:
        there = ", ".join(one.name for one in formats(settings))
        bringing = f"pip install {BROUGHT_BY[name]}; " if name in BROUGHT_BY else ""
        raise Unsupported("anyvirt", f"the format {name!r}", hint=f"{bringing}there are {there}")
    function = getattr(plugin.load(), hook, None)
    if function is None:
        other = "written, not read" if hook == "config_import" else "read, not written"
        raise Unsupported(plugin.distribution, f"{hook} of {name!r}", hint=f"{name} can only be {other}")
    wanted, *more = SPECS[hook].parameters
    taken = list(inspect.signature(function).parameters) if callable(function) else []
    if taken[:1] != [wanted] or not set(taken[1:]) <= set(more):
        text = f"{hook} takes one parameter, {wanted}" + (f", and may take {', '.join(more)}" if more else "")
        raise BadDriver(plugin.distribution, text, version=plugin.version)
    wishes = {"pretty": pretty} if "pretty" in taken else {}
    if pretty and not wishes:
        raise Unsupported(plugin.distribution, f"{hook}(pretty) of {name!r}", hint="it is written in one way")

    def call(value: Any) -> Any:
        try:
            made = function(**{wanted: value, **wishes})
        except VirtError:
            raise
        except Exception as error:
            text = f"{hook} of {name!r} raised {type(error).__name__}: {error}"
            raise BadDriver(plugin.distribution, text, version=plugin.version) from error
        right = isinstance(made, Document if hook == "config_import" else bytes)
        if not right:
            text = f"{hook} of {name!r} gave {type(made).__name__}"
            raise BadDriver(plugin.distribution, text, version=plugin.version)
        return made

    return call
