"""CPU models as sets of features: asked of QEMU once, for capabilities, baselines and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from anyvirt.api import CpuModels, CpuSpec, FeatureSet, VirtError

from anyvirt_qemu.probing import cache, host_cpu, talk
from anyvirt_qemu.probing.capability import Capability, probe
from anyvirt_qemu.qmp.command import Command

FORMAT: Final = 1
EXPANSION: Final = "query-cpu-model-expansion"
VENDORS: Final = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel", "HygonGenuine": "Hygon"}
# other spellings of features, after the same with dashes
NAMES: Final = {
    "pclmuldq": "pclmulqdq", "sse3": "pni", "i64": "lm", "xd": "nx", "ffxsr": "fxsr-opt", "sse4-1": "sse4.1",
    "sse4-2": "sse4.2",
}  # fmt: skip
# what a running system, or whatever runs it, switches on by itself, and no CPU model has
ITSELF: Final = frozenset({"ht", "hypervisor", "osxsave", "ospke"})


@dataclass(frozen=True, slots=True)
class Models:
    """The models of one binary under one accelerator.

    :param known: every feature that QEMU has a word for.
    :param hyperv: enlightenments that guests can have here.
    :param migratable: what cannot be migrated can be left out.
    """

    sets: CpuModels
    known: frozenset[str]
    hyperv: frozenset[str]
    migratable: bool


def plain(name: str) -> str:
    """The one name that QEMU has for a feature, of the several that it or libvirt may have."""
    dashed = name.replace("_", "-")
    return NAMES.get(dashed, dashed)


def found(caps: Capability, folder: Path) -> Models:
    """What the models of this QEMU are made of; kept until the binary or the kernel changes.

    :param folder: where it is kept.
    :raises Failed: QEMU does not start.
    """
    models = _found(caps, folder)
    if caps.accel == "tcg":  # what is emulated may be of any vendor
        sets = replace(models.sets, host=replace(models.sets.host, vendor=""))
    elif "tcg" in caps.accels:  # KVM gives every model the vendor of the host
        own = _found(probe(caps.binary, folder), folder).sets.named
        named = {name: replace(one, vendor=own[name].vendor) for name, one in models.sets.named.items() if name in own}
        sets = replace(models.sets, named=named)
    else:
        return models
    return replace(models, sets=sets)


def _found(caps: Capability, folder: Path) -> Models:
    key = [*cache.identity(caps.binary), FORMAT, caps.accel]
    kind = f"cpu-models-{caps.accel}"
    kept = cache.load(folder, kind, key)
    if kept is not None:
        with suppress(KeyError, TypeError, ValueError, IndexError):  # a file that somebody else has written
            return _models(kept)
    kept = _ask(caps, folder)
    cache.keep(folder, kind, key, kept)
    return _models(kept)


def heard(cpu: CpuSpec, names: frozenset[str] | None = None) -> CpuSpec:
    """The CPU without features that say nothing of a model, or, with ``names``, that are not among these."""
    rows = [(one, plain(one.name or "")) for one in cpu.features]
    kept = [one for one, name in rows if name not in ITSELF and (names is None or name in names)]
    return cpu.replace(features=tuple(kept))


def _ask(caps: Capability, folder: Path) -> dict[str, Any]:
    names = [name for name in caps.cpus if name not in host_cpu.UNREAL]
    whole = "host" if caps.accel == "kvm" else "max"
    switched: list[Mapping[str, Any]] = [{}, {"migratable": False}, {"hv-passthrough": True}]
    asked = [Command(EXPANSION, {"type": "full", "model": {"name": whole, "props": props}}) for props in switched]
    asked += [Command(EXPANSION, {"type": "full", "model": {"name": name}}) for name in names]
    host, loose, enlightened, *models = talk.ask(caps.binary, caps.accel, folder, asked)
    everything = _properties(host)
    sets = {whole: _set(host), "loose": _set(loose)}
    sets |= {f"={name}": _set(one) for name, one in zip(names, models, strict=True) if not isinstance(one, VirtError)}
    words = sorted({feature for _, features in sets.values() for feature in features})
    place = {word: number for number, word in enumerate(words)}
    return {
        "words": words,
        "known": sorted({plain(name) for name, value in everything.items() if isinstance(value, bool)}),
        "sets": {name: [vendor, f"{_mask(features, place):x}"] for name, (vendor, features) in sets.items()},
        "host": whole,
        "hyperv": [name[3:] for name, value in _properties(enlightened).items() if name[:3] == "hv-" and value is True]
        if caps.accel == "kvm"
        else [],
        "migratable": "migratable" in everything,
    }


def _properties(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, VirtError):
        return {}
    found: Mapping[str, Any] = answer["model"].get("props", {})
    return found


def _set(answer: Any) -> tuple[str, set[str]]:
    if isinstance(answer, VirtError):
        return "", set()
    vendor = VENDORS.get(str(_properties(answer).get("vendor", "")), "")
    return vendor, {plain(name) for name in host_cpu.features(answer)}


def _mask(features: Iterable[str], place: Mapping[str, int]) -> int:
    return sum(1 << place[feature] for feature in features)


def _models(kept: Mapping[str, Any]) -> Models:
    words: Sequence[str] = kept["words"]
    sets = {name: FeatureSet(row[0], _unmasked(int(row[1], 16), words)) for name, row in kept["sets"].items()}
    host = sets[kept["host"]]
    named = {name[1:]: one for name, one in sets.items() if name.startswith("=")}
    unmigratable = sets["loose"].features - host.features
    return Models(
        CpuModels(host, named, unmigratable, plain),
        frozenset(kept["known"]),
        frozenset(kept["hyperv"]),
        bool(kept["migratable"]),
    )


def _unmasked(mask: int, words: Sequence[str]) -> frozenset[str]:
    return frozenset(word for number, word in enumerate(words) if mask >> number & 1)
