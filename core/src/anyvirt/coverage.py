"""How much of what libvirt's own drivers can do each installed driver can, and on what that was proven.

``data/libvirt_functions.json`` has the functions that libvirt 9.0.0's drivers implement, each with the
drivers that do (phyp as of 1.2.13, its last state); ``storage`` and ``secret`` are those that stand beside a
hypervisor's own. Which hook stands for which function is said where the hook is declared; what was proven is in each
plug-in's own ``coverage.json``, written by a run of the contract suite.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal, get_type_hints

from anyvirt.discovery import DRIVERS, SERVICES, Plugin, plugins
from anyvirt.errors import VirtError
from anyvirt.hooks.spec import Spec
from anyvirt.hooks.table import SPECS

if TYPE_CHECKING:
    from types import ModuleType

    from anyvirt.settings import Settings

Grade = Literal["covered", "partly", "not"]
# schemes that one of libvirt's drivers serves beside its own name
OTHER_NAMES: Final = {
    "gsx": "esx", "vpx": "esx", "parallels": "vz", "vmwareplayer": "vmware", "vmwarews": "vmware",
    "vmwarefusion": "vmware",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook as a driver implements it: which parameters it takes, and of which only some values."""

    parameters: frozenset[str]
    accepts: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """One row of ``coverage.json``: a test passed that shows what the hook, or one parameter of it, does."""

    hook: str
    parameter: str
    test: str
    on: str
    date: str


@dataclass(frozen=True, slots=True)
class Driver:
    """An installed driver or service.

    :param error: why it cannot be imported; then nothing else is known of it.
    """

    name: str
    distribution: str
    version: str
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of each function that libvirt's driver of that name has.

    :param proven_on: for each function that is covered, wholly or partly, on what.
    """

    functions: Mapping[str, Grade]
    proven_on: Mapping[str, tuple[str, ...]]

    @property
    def counts(self) -> dict[Grade, int]:
        """How many are covered, partly covered and not."""
        found = Counter(self.functions.values())
        return {"covered": found["covered"], "partly": found["partly"], "not": found["not"]}


def installed(settings: Settings | None = None) -> Iterator[Driver]:
    """Every installed driver; one that cannot be imported says so and spoils nothing."""
    for plugin in plugins(DRIVERS, settings):
        yield about(plugin)


def about(plugin: Plugin) -> Driver:
    """One plug-in, imported."""
    try:
        hooks = implemented(plugin)
    except VirtError as error:
        return Driver(plugin.name, plugin.distribution, plugin.version, error=error.message)
    return Driver(plugin.name, plugin.distribution, plugin.version, hooks, _proofs(plugin))


def implemented(plugin: Plugin) -> dict[str, Hook]:
    """The hooks of what the plug-in's opener gives: of the class that it says it returns, else of all its classes.

    :raises BadDriver: where it cannot be imported.
    """
    module = plugin.load()
    opener = getattr(module, "service_open" if plugin.group == SERVICES else "connect_open", None)
    given = _given(module, opener) if opener else None
    if isinstance(given, type) and (found := _hooks(given)):
        return found
    package = plugin.value.partition(":")[0]
    loaded = [one for name, one in list(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]
    classes = {found for one in loaded for found in vars(one).values() if isinstance(found, type)}
    return {name: hook for cls in classes for name, hook in _hooks(cls).items()}


def _given(module: ModuleType, opener: Any) -> Any:
    """The class that an opener says it returns; also one that its module imports for type checkers alone."""
    try:
        return get_type_hints(opener).get("return")
    except NameError:
        import ast
        import inspect

        word = opener.__annotations__.get("return")
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and node.module and word in {one.name for one in node.names}:
                return getattr(import_module(node.module), word, None)
    return None


def proofs(driver: Driver, hook: str) -> str:
    """On what a hook was proven, in a word or two: empty where the driver lacks it, ``unproven`` where no test did."""
    if hook not in driver.hooks:
        return ""
    return ", ".join(_on(driver, hook)) or "unproven"


def covered(driver: Driver) -> Coverage:
    """What the driver covers of libvirt's driver of its name; nothing to compare where libvirt has none.

    A function counts as covered when a hook that stands for it is there, takes every wish that the function has,
    and was proven; as partly covered when some of that is lacking.
    """
    name = OTHER_NAMES.get(driver.name, driver.name)
    grades: dict[str, Grade] = {}
    on: dict[str, tuple[str, ...]] = {}
    for function, drivers in functions().items():
        if name not in drivers:
            continue
        found = [_grade(driver, hooks, wishes) for hooks, wishes in _ways(function)]
        grades[function] = min(found, key=("covered", "partly", "not").index, default="not")
        if grades[function] != "not":
            hooks = [hook for ways, _ in _ways(function) for hook in ways if hook in driver.hooks]
            on[function] = tuple(sorted({word for hook in hooks for word in _on(driver, hook)}))
    return Coverage(grades, on)


@cache
def functions() -> Mapping[str, frozenset[str]]:
    """Libvirt's functions, and which of its drivers have each."""
    data = json.loads(files("anyvirt").joinpath("data/libvirt_functions.json").read_text("utf-8"))
    return {name: frozenset(drivers.split()) for name, drivers in data.items()}


def _ways(function: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The hooks that stand for a function, each way with the function's wishes."""
    return _table().get(function, [])


@cache
def _table() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    from anyvirt.client import derived

    table: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for spec in SPECS.values():
        for function, wishes in spec.covers.items():
            table.setdefault(function, []).append(((spec.name,), tuple(wishes)))
    marked = [found.anyvirt_derived for found in vars(derived).values() if hasattr(found, "anyvirt_derived")]
    for made in (one for one in marked if one.needs):
        for function, wishes in made.covers.items():
            table.setdefault(function, []).append((made.needs, tuple(wishes)))
    return table


def _grade(driver: Driver, hooks: tuple[str, ...], wishes: tuple[str, ...]) -> Grade:
    if not all(hook in driver.hooks or _opens(hook) for hook in hooks):
        return "not"
    whole = all(_takes(SPECS[hook], driver.hooks.get(hook), wish) for hook in hooks for wish in wishes)
    proven = all(_on(driver, hook) or _opens(hook) for hook in hooks)
    return "covered" if whole and proven else "partly"


def _opens(hook: str) -> bool:
    """Whether every driver has it, or it would be none."""
    return hook == "connect_open"


def _takes(spec: Spec, hook: Hook | None, wish: str) -> bool:
    """Whether a wish of a function is honoured: a parameter, a value of one, or what the hook does anyway."""
    if hook is None or wish in hook.parameters:
        return True
    if wish in spec.parameters:
        return False
    for parameter in spec.parameters:
        if wish in _values(spec, parameter):
            return parameter in hook.parameters and wish in hook.accepts.get(parameter, {wish})
    return True


def _values(spec: Spec, parameter: str) -> set[str]:
    """The words of an enum that a parameter is annotated with."""
    from anyvirt.model import choices

    name = str(spec.function.__annotations__[parameter]).partition(" ")[0]
    kind = getattr(choices, name, None)
    return {str(member.value) for member in kind} if isinstance(kind, type) and issubclass(kind, Enum) else set()


def _on(driver: Driver, hook: str) -> list[str]:
    return sorted({proof.on for proof in driver.proofs if proof.hook == hook})


def _hooks(cls: type) -> dict[str, Hook]:
    import inspect

    found = {}
    for name in dir(cls):
        method: Any = inspect.getattr_static(cls, name)
        accepts = getattr(method, "anyvirt_accepts", None)
        if accepts is not None:
            names = frozenset(list(inspect.signature(method).parameters)[1:])
            values = {key: frozenset(str(getattr(v, "value", v)) for v in some) for key, some in accepts.items()}
            found[name] = Hook(names, values)
    return found


def _proofs(plugin: Plugin) -> tuple[Proof, ...]:
    whole = plugin.value.partition(":")[0]
    for package in (whole, whole.partition(".")[0]):  # a distribution of several drivers has a file for each
        try:
            data = json.loads(files(package).joinpath("coverage.json").read_text("utf-8"))
            return tuple(Proof(**row) for row in data["proven"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ()
