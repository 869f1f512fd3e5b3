"""libvirt's own test documents, or anybody's, go through the models unharmed.

The folder is named by ``ANYVIRT_OUTSIDE_DATA``; nothing of it is in this project.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

from anyvirt.errors import Invalid
from anyvirt.model.canonical import fingerprint
from anyvirt.model.form import from_json, to_json
from anyvirt.model.inventory import OPEN, PLAIN, TYPED, UNKNOWN, Inventory
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from lxml import etree
from model_meaning import meaning
from model_mutations import mutate

MUTANTS = int(os.environ.get("ANYVIRT_MUTANTS", "500"))
SEED = int(os.environ.get("ANYVIRT_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
MANY = 1000
Figure = Callable[..., None]


def kept(data: bytes) -> str:
    """Why a document did not come through whole, ``""`` when it did."""
    try:
        x = parse(data)
    except Invalid as error:
        return f"refused: {error}"
    written = dump(x)
    if meaning(etree.fromstring(written)) != meaning(etree.fromstring(data)):
        return "the meaning changed"
    if parse(written) != x or parse(dump(x, canonical=True)) != x:
        return "what was written reads differently"
    if from_json(type(x), to_json(x)) != x:
        return "JSON loses something"
    if fingerprint(parse(written)) != fingerprint(x):
        return "the fingerprint changed"
    return ""


def test_every_document_comes_through_whole(folder: Path, documents: list[Path], figure: Figure) -> None:
    reasons = {str(path.relative_to(folder)): kept(path.read_bytes()) for path in documents}
    lost = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    figure("kept", len(reasons) - len(lost), len(reasons))
    assert lost == []


def test_mutated_documents_come_through_whole(documents: list[Path], figure: Figure) -> None:
    chance = random.Random(SEED)
    sources = [etree.parse(path).getroot() for path in documents]
    lost: list[str] = []
    for number in range(MUTANTS):
        root = etree.fromstring(etree.tostring(chance.choice(sources)))
        for _ in range(chance.randrange(1, 8)):
            mutate(root, chance)
        text = etree.tostring(root)
        reason = kept(text)
        if reason:
            lost.append(f"mutant {number}: {reason}\n{text.decode()}")
    figure("mutants", MUTANTS - len(lost), MUTANTS, f"seed {SEED}")
    assert lost == []


def test_nearly_every_path_is_a_declared_field(folder: Path, documents: list[Path], figure: Figure) -> None:
    found = Inventory()
    for path in documents:
        found.add(str(path.relative_to(folder)), path.read_bytes())
    plain, rest = len(found.of(PLAIN)), found.of(UNKNOWN)
    declared = len(found.of(TYPED)) + plain
    figure("declared", declared, declared + len(rest))
    figure("plain", plain, declared)
    figure("open", len(found.of(OPEN)))
    least = 0.99 if declared >= MANY else 0.5  # one odd document weighs much among few
    assert found.fraction >= least, [f"{trail.path} ({trail.example})" for trail in rest]
