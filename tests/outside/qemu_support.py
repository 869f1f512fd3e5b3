"""What the QEMU driver makes of each path of a domain, tried out one value at a time.

``python -m tests.outside.qemu_support FOLDER ...`` learns from the driver's golden definitions and those in the
folders which element can stand where, puts every value that a field can have into one of them, and makes the plan for
a QEMU that has everything: what is planned is supported, what is not is refused with the driver's own words. The result
is kept in ``support.json``, from which the documentation has its table.
"""

from __future__ import annotations

import json
import random
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from anyvirt.errors import Invalid, Problem, VirtError
from anyvirt.model.domain import Domain
from anyvirt.model.element import Element
from anyvirt.model.os import Os
from anyvirt.model.plan import Field, plan_of
from anyvirt.model.walk import place
from anyvirt.model.xml import parse

ROOT: Final = Path(__file__).resolve().parents[2]
PLANNING: Final = ROOT / "plugins/qemu/tests/planning"
PROOFS: Final = ROOT / "plugins/qemu/tests/proofs.toml"
# Texts tried for a scalar until its type takes one.
SAMPLES: Final = (
    "1", "/dev/null", "yes", "2", "a", "0x1", "52:54:00:00:00:01", "127.0.0.1", "0-1", "0000:00:01.0", "1024",
    "2030-01-01T00:00:00", "6a0a3b7e-1c3c-4f0e-8f1f-0d0f0a0b0c0d", "500000000000abcd",
)  # fmt: skip
TRIES: Final = 40
DEPTH: Final = 9
BUSES: Final = {"q35": "pcie", "virt": "pcie", "s390": "pci", "microvm": "", "vexpress": "", "pseries": "pci"}
ALIASES: Final = {
    "": "pc-i440fx-7.2",
    "pc": "pc-i440fx-7.2",
    "q35": "pc-q35-7.2",
    "virt": "virt-7.2",
    "pseries": "pseries-7.2",
    "s390-ccw": "s390-ccw-virtio-7.2",
    "s390-ccw-virtio": "s390-ccw-virtio-7.2",
}
EMULATORS: Final = {"i686": "x86_64", "ppc64le": "ppc64"}
PAGES: Final = (2 << 20, 1 << 30, 4 << 10, 16 << 20, 512 << 20)
TABLE: Final = ROOT / "tests/outside/support.json"
# Where devices are is told in one sentence; the others say what is so while a guest runs.
ELSEWHERE: Final = ("address", "privateData", "actual", "mirror")


class Row(NamedTuple):
    """One line of the table.

    :param verdict: ``supported``, ``partly`` (some of its values) or ``refused``.
    :param why: the driver's words for what it refuses, by value.
    :param proof: on what the supported part was proven.
    """

    path: str
    verdict: str
    why: str
    proof: str


class Spot(NamedTuple):
    """An element of a definition: the definition, and the way to the element."""

    domain: Domain
    trail: tuple[str | int, ...]


@dataclass
class Outcome:
    """What trying a path has shown: values that are planned, and those that are not with the words."""

    planned: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def rows(*more: Path) -> Iterator[Row]:
    """Every path of a domain, in the document's order.

    :param more: definitions to learn from beside the golden ones.
    """
    trial = Trial()
    for document in (*sorted(PLANNING.glob("plans/*.xml")), *more):
        trial.learn(document.read_text("utf-8", errors="replace"))
    proofs = tomllib.loads(PROOFS.read_text("utf-8"))["proof"]
    for path, outcome in trial.outcomes():
        yield _row(path, outcome, proofs)


def _row(path: str, outcome: Outcome, proofs: dict[str, str]) -> Row:
    ok, bad = outcome.planned, outcome.refused
    verdict = "partly" if ok and bad else "supported" if ok else "refused"
    texts: dict[str, list[str]] = defaultdict(list)
    for value, words in bad.items():
        texts[words].append(value)
    why = "; ".join(f"{', '.join(filter(None, values))}: {words}".lstrip(": ") for words, values in texts.items())
    held = next((text for start, text in proofs.items() if f"{path}/".startswith(f"{start}/")), "")
    return Row(path, verdict, why, held if ok else "")


class Known(dict[str, Any]):
    """Knows every name; the name is what it stands for."""

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        return key.encode() if self is SECRETS else f"/dev/{key}"


class Many(Known):
    """Knows every name, of which there is one."""

    def __missing__(self, key: str) -> Any:
        return 1


SECRETS: Final = Known()


@dataclass(frozen=True)
class Everything:
    """A QEMU that has everything, for guests of one architecture."""

    arch: str
    json_device: bool = True
    json_netdev: bool = True
    sandbox: bool = True

    @property
    def binary(self) -> str:
        """Where it would be."""
        return f"/usr/bin/qemu-system-{self.arch}"

    def machine(self, name: str) -> Any:
        """The machine type of this name, whichever it is."""
        from anyvirt_qemu.planning.plan import Machine

        name = ALIASES.get(name, name)
        bus: Any = next((bus for start, bus in BUSES.items() if start in name), "pci")
        return Machine(name, bus, 288, cpu="max", ram="memory")

    def has_device(self, name: str) -> bool:
        """It has."""
        return True

    has_object = has_feature = has_cpu = has_device

    def near(self, kind: str, name: str) -> str:
        """Nothing is."""
        return f"another {kind} than {name}"

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        """It has."""
        return True


class Trial:
    """The golden definitions, and what was put into them."""

    def __init__(self) -> None:
        self._spots: dict[str, list[Spot]] = defaultdict(list)
        self._seen: dict[str, set[str]] = defaultdict(set)

    def learn(self, text: str) -> None:
        """Remember where a definition that can be planned has which element, and what its fields say."""
        try:
            given = parse(text, Domain)
            self._plan(given)
        except (Invalid, VirtError):
            return
        self._note(given, given, "", ())

    def outcomes(self) -> Iterator[tuple[str, Outcome]]:
        """Path and outcome, once each."""
        done: set[str] = set()
        yield from self._below(Domain, "", (), done)

    def _below(
        self, cls: type[Element], path: str, above: tuple[type[Element], ...], done: set[str]
    ) -> Iterator[tuple[str, Outcome]]:
        for spec in plan_of(cls).fields:
            if spec.codec is not None:
                here = place(spec, path)
                if here not in done:
                    done.add(here)
                    yield here, self._scalar(path, cls, spec, here)
                continue
            for member in spec.classes:
                if member is Element or member in above or len(above) > DEPTH or member._tag in ELSEWHERE:
                    continue
                shown = _place(spec, path, member)
                if shown not in done:
                    done.add(shown)
                    outcome = self._element(path, cls, spec, member, shown)
                    yield shown, outcome
                    if outcome.planned:
                        yield from self._below(member, shown, (*above, cls, member), done)

    def _scalar(self, path: str, cls: type[Element], spec: Field, here: str) -> Outcome:
        assert spec.codec is not None
        outcome = Outcome(planned=sorted(self._seen[here]))
        words = spec.codec.words or (() if outcome.planned else _readable(spec))
        for word in words:
            if word not in outcome.planned:
                value = _read(spec, word)
                self._try(outcome, self._spots[path], cls, spec, (value,) if spec.many else value, word)
                if outcome.planned and not spec.codec.words:
                    break
        return outcome

    def _element(self, path: str, cls: type[Element], spec: Field, member: type[Element], here: str) -> Outcome:
        outcome = Outcome()
        if self._spots[here]:
            outcome.planned.append("")
            return outcome
        for spot in _spread(self._spots[path]):
            value = member()
            old = getattr(_at(spot), spec.name)
            trail = (*spot.trail, spec.name, len(old)) if spec.many else (*spot.trail, spec.name)
            new = _with(spot.domain, spot.trail, spec.name, (*old, value) if spec.many else value)
            self._spots[here].append(Spot(new, trail))
        self._try(outcome, self._spots[path], cls, spec, (member(),) if spec.many else member(), "")
        return outcome

    def _try(self, outcome: Outcome, spots: list[Spot], cls: type[Element], spec: Field, value: Any, word: str) -> None:
        """Put a value where the element is, in one definition after the other, until one is planned."""
        words = ""
        for spot in _spread([spot for spot in spots if type(_at(spot)) is cls]):
            try:
                self._plan(_with(spot.domain, spot.trail, spec.name, value))
            except Invalid as error:
                words = words or _words(error, spec)
            except (AttributeError, KeyError, TypeError, ValueError):
                words = words or "it needs more beside it"
            else:
                outcome.planned.append(word)
                outcome.refused.pop(word, None)
                return
        if word not in outcome.planned:
            outcome.refused[word] = words or "no golden definition has the element"

    def _plan(self, domain: Domain) -> None:
        from anyvirt_qemu.planning import config, defaults
        from anyvirt_qemu.planning.plan import NodeUse, Paths, Serving, Storage

        given = domain.os or Os()
        arch = given.arch or "x86_64"
        caps: Any = Everything(EMULATORS.get(arch, arch))
        config.plan(
            defaults.complete(domain, caps, random.Random(1).randbytes),
            caps,
            Paths(guest="/run/q", nvram="/state/nvram", memory="/state/ram", hugepages=dict.fromkeys(PAGES, "/huge")),
            accelerator="tcg",
            chains={disk.target or "": (NodeUse("", "file", "/", "raw"),) for disk in domain.disks},
            storage=Storage(secrets=SECRETS, groups=Many(), generics=Known(), overlays="/state/overlays"),
            serving=Serving(
                certificates=dict.fromkeys(("nbd", "spice", "vnc", "chardev"), "/etc/pki/qemu"),
                ports=tuple(range(5900, 6000)),
            ),
            now=0,
        )

    def _note(self, domain: Domain, x: Element, path: str, trail: tuple[str | int, ...]) -> None:
        self._spots[path].append(Spot(domain, trail))
        for spec in plan_of(type(x)).fields:
            value = getattr(x, spec.name)
            if value is None or value == ():
                continue
            if spec.codec is not None:
                for item in value if spec.many else (value,):
                    if spec.codec.words:
                        self._seen[place(spec, path)].add(str(item))
                    else:
                        self._seen[place(spec, path)].add("")
                continue
            for index, item in enumerate(value if spec.many else (value,)):
                if type(item) is Element:
                    continue
                shown = _place(spec, path, type(item))
                self._note(domain, item, shown, (*trail, spec.name, index) if spec.many else (*trail, spec.name))


def _spread(spots: list[Spot]) -> list[Spot]:
    """Some of them, from all over."""
    return spots[:: max(1, len(spots) // TRIES)]


def _words(error: Invalid, spec: Field) -> str:
    """What the driver says of this field, or else of whatever is in the way."""
    own = [problem for problem in error.problems if problem.path.endswith(spec.place or f"/{spec.name}")]
    problem: Problem = (own or list(error.problems))[0]
    return problem.text.partition(" (it is")[0]


def _place(spec: Field, path: str, member: type[Element]) -> str:
    """Path of an element; with the word that tells its kind, where there are several."""
    here = place(spec, path) if spec.tag else f"{place(spec, path)}/{member._tag}".replace("//", "/")
    return here if not member._when else f"{here}[@{member._when[0]}='{member._when[1]}']"


def _readable(spec: Field) -> tuple[str, ...]:
    assert spec.codec is not None
    found = []
    for text in SAMPLES:
        try:
            _read(spec, text)
        except (ValueError, TypeError, KeyError):
            continue
        found.append(text)
    return tuple(found[:3])


def _read(spec: Field, text: str) -> Any:
    assert spec.codec is not None
    if spec.codec.words and spec.codec.beside:
        return spec.codec.read("", text)
    return spec.codec.read(text, *[None] * len(spec.codec.beside))


def _at(spot: Spot) -> Any:
    found: Any = spot.domain
    for step in spot.trail:
        found = found[step] if isinstance(step, int) else getattr(found, step)
    return found


def _with(x: Any, trail: tuple[str | int, ...], name: str, value: Any) -> Any:
    if not trail:
        return x.replace(**{name: value})
    step, *rest = trail
    if isinstance(step, int):
        return tuple(_with(item, tuple(rest), name, value) if at == step else item for at, item in enumerate(x))
    return x.replace(**{str(step): _with(getattr(x, step), tuple(rest), name, value)})


def main() -> int:
    """Write the table's lines."""
    folders = [Path(word) for word in sys.argv[1:]]
    found = [row._asdict() for row in rows(*(path for folder in folders for path in sorted(folder.glob("*.xml"))))]
    TABLE.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    print(f"{len(found)} paths")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
