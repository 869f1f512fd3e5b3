"""What somebody wants of a new volume, read from its description; everything else in that is refused by path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Invalid, Problem, heeded, meaningless, unheeded

from anyvirt_host.storage.images.sealing import PLACE, Cipher, cipher_of

if TYPE_CHECKING:
    from anyvirt.api import Secret, Volume, VolumeTarget

HIDDEN: Final = ".anyvirt-"
LONGEST: Final = 255
MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
# What a description calls a format, and what QEMU calls it.
FORMATS: Final = {
    word: word for word in ("raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc", "luks", "dir", "ploop")
} | {"iso": "raw"}
STANDING: Final = ("qcow2", "qed", "vmdk")  # those that can stand on another image
SET_ASIDE: Final = ("raw", "qcow2", "luks")  # those whose space can be taken at once
_OTHERS: Final = {"vhd": "vpc is QEMU's word for it", "qcow": "use qcow2", "cow": "use qcow2", "auto": "say which"}
FOLDERS: Final = ("dir", "ploop")
_CLUSTERS: Final = (512, 2 << 20)


@dataclass(frozen=True, slots=True)
class Wish:
    """A volume that is to be made.

    :param capacity: bytes that a guest is to see; None takes the backing file's.
    :param allocation: bytes that are to be set aside at once.
    :param backing: path of the image below; empty where there is none.
    :param format: of the image, as QEMU calls it; ``word`` is what its description calls it, where that is another.
    :param owner: user and group that it is to belong to; -1 for no choice.
    :param preallocate: the tables of an image that grows are made at once.
    :param key: the passphrase, where it is to be encrypted.
    """

    name: str
    format: str
    capacity: int | None
    allocation: int
    backing: str = ""
    backing_format: str = ""
    mode: int = MODE
    owner: tuple[int, int] = (-1, -1)
    compat: str = ""
    cluster: int | None = None
    lazy: bool = False
    extended_l2: bool = False
    nocow: bool = False
    label: str = ""
    word: str = ""
    preallocate: bool = False
    cipher: Cipher | None = None
    key: Secret | None = None


def wish(model: Volume) -> Wish:
    """What a description asks for.

    :raises Invalid: with everything in it that cannot be had.
    """
    asked = heeded(model)
    meaningless(asked, "type", "key", "physical")
    for device in asked.source_devices:
        meaningless(device)
    found: list[Problem] = [_problem("/name", text) for text in bad_name(asked.name)]
    target = asked.target
    word = str(target.format) if target and target.format else "raw"
    if word not in FORMATS:
        hint = _OTHERS.get(word, f"use {', '.join(FORMATS)}")
        text = f"volumes of the format {word!r} cannot be made here"
        found.append(_problem("/target/format/@type", text, hint, "unsupported.config"))
    kind = FORMATS.get(word, word)
    sealed = target.encryption if target else None
    if sealed and kind == "raw":
        kind = "luks"
    backing, below = _backing(asked, kind, found)
    made = Wish(
        asked.name, kind, *_sizes(asked, kind, backing, found), backing, below, word="" if word == kind else word
    )
    if kind in FOLDERS:
        made = replace(made, mode=FOLDER_MODE)
    if target:
        made = _targeted(made, target, found)
    if sealed:
        made = replace(made, cipher=cipher_of(sealed, kind, found))
    elif kind == "luks":
        text = "a luks volume needs a secret"
        found.append(_problem(PLACE, text, "such as <encryption format='luks'><secret .../>", "config.missing"))
    found += unheeded(asked, "storage")
    if found:
        raise Invalid(found)
    return made


def preallocated(made: Wish) -> Wish:
    """The same, with the tables of the image made at once.

    :raises Invalid: it has none.
    """
    if made.format != "qcow2":
        problem = _problem("/target/format/@type", f"a volume of the format {made.format!r} has no tables", "use qcow2")
        raise Invalid([problem])
    if made.backing:
        raise Invalid([_problem("/backingStore", "tables above a backing file are not made at once", "leave it out")])
    return replace(made, preallocate=True)


def _sizes(asked: Volume, kind: str, backing: str, found: list[Problem]) -> tuple[int | None, int]:
    """Capacity, and what is to be set aside."""
    capacity, allocation = asked.capacity or None, asked.allocation
    if kind in FOLDERS[:1]:
        meaningless(asked, "capacity", "allocation")
        return 0, 0
    if asked.capacity == 0 and kind == "raw":
        capacity = 0
    if capacity is None and not backing:
        found.append(_problem("/capacity", "a volume needs a size", "say how many bytes", "config.missing"))
    whole = capacity or 0
    if kind == "raw":
        aside = whole if allocation is None else min(allocation, whole)
    else:  # either everything is set aside, or what the format itself needs
        aside = whole if allocation and whole and allocation >= whole else 0
    if aside and backing and kind != "raw":
        found.append(_problem("/allocation", "space above a backing file is not set aside", "leave it out"))
    elif aside and kind not in SET_ASIDE:
        text = f"space is not set aside for volumes of the format {kind!r}"
        found.append(_problem("/allocation", text, f"leave it out, or use {', '.join(SET_ASIDE)}"))
    return capacity, aside


def bad_name(name: str) -> list[str]:
    """Why a name can be no volume's; nothing where it can."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return ["the name is no valid Unicode text"]
    if name in ("", ".", "..") or "/" in name:
        return ["the name is no name of a file"]
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return ["the name has control characters in it"]
    if name.startswith(HIDDEN):
        return [f"names that begin with {HIDDEN} are kept for volumes that are being made"]
    return [f"the name is {size} bytes long, and {LONGEST} are allowed"] if size > LONGEST else []


def _backing(asked: Volume, kind: str, found: list[Problem]) -> tuple[str, str]:
    store = asked.backing_store
    if store is None or not store.path:
        return "", ""
    meaningless(store.permissions)
    meaningless(store.timestamps)
    path, below = store.path, str(store.format) if store.format else ""
    if kind not in STANDING:
        found.append(_problem("/backingStore", f"a {kind} volume has no backing file", "make it qcow2"))
    if not path.startswith("/"):
        found.append(_problem("/backingStore/path", f"{path!r} is no absolute path", "write it in full"))
    if not below:
        text = "the format of a backing file is never guessed"
        found.append(_problem("/backingStore/format/@type", text, "say which it has", "config.missing"))
    return path, below


def _targeted(made: Wish, target: VolumeTarget, found: list[Problem]) -> Wish:
    meaningless(target, "path")
    meaningless(target.timestamps)
    rights = target.permissions
    if rights:
        owner = (-1 if rights.owner is None else rights.owner, -1 if rights.group is None else rights.group)
        mode = made.mode if rights.mode is None else rights.mode & 0o777
        made = replace(made, mode=mode, owner=owner, label=rights.label or "")
    if made.format == "qcow2":
        made = replace(made, compat=target.compat or "1.1", lazy=target.lazy_refcounts, extended_l2=target.extended_l2)
        made = replace(made, cluster=target.cluster_size)
        lowest, highest = _CLUSTERS
        size = made.cluster
        if size is not None and (size & (size - 1) or not lowest <= size <= highest):
            text = f"{size} is no power of two from {lowest} to {highest}"
            found.append(_problem("/target/clusterSize", text, code="config.range"))
        if made.compat not in ("0.10", "1.1"):
            found.append(_problem("/target/compat", f"{made.compat!r} is no version of qcow2", "use 1.1"))
        if made.compat == "0.10" and (made.lazy or made.extended_l2):
            found.append(_problem("/target/features", "compat 0.10 has no features", "use compat 1.1"))
    return replace(made, nocow=target.nocow)


def _problem(path: str, text: str, hint: str = "choose another", code: str = "config.invalid") -> Problem:
    return Problem(code, path, None, text, hint)
