"""libvirt's own test documents go through the models unharmed.

The folder is named by ``ANYVIRT_OUTSIDE_DATA`` (or ``ANYVIRT_LIBVIRT_DATA``); nothing of it is in this project.
"""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from typing import Any

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.canonical import fingerprint
from anyvirt.model.form import from_json, to_json
from anyvirt.model.roots import ROOTS
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from lxml import etree

VARIABLES = ("ANYVIRT_OUTSIDE_DATA", "ANYVIRT_LIBVIRT_DATA")
FOLDER = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
MUTANTS = int(os.environ.get("ANYVIRT_MUTANTS", "500"))

pytestmark = pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents")


def shared(name: str) -> Any:
    """A module of the models' unit tests."""
    path = Path(__file__).parents[1] / "unit" / "model" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


meaning = shared("model_meaning").meaning
mutate = shared("model_mutations").mutate


def documents() -> list[Path]:
    return sorted(path for path in Path(FOLDER).rglob("*.xml") if path.is_file())


def kept(data: bytes) -> str:
    """Why a document did not come through whole, ``""`` when it did."""
    x = parse(data)
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


def test_every_document_comes_through_whole() -> None:
    lost: list[str] = []
    paths = documents()
    for path in paths:
        reason = kept(path.read_bytes())
        if reason:
            lost.append(f"{path.relative_to(FOLDER)}: {reason}")
    print(f"{len(paths) - len(lost)} of {len(paths)} documents kept whole")
    assert paths
    assert lost == []


def test_mutated_documents_come_through_whole() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"{MUTANTS} mutated documents, seed {seed}")
    chance = random.Random(seed)
    sources = [root for path in documents() if (root := etree.parse(path).getroot()).tag in ROOTS]
    lost: list[str] = []
    for number in range(MUTANTS):
        root = etree.fromstring(etree.tostring(chance.choice(sources)))
        for _ in range(chance.randrange(1, 8)):
            mutate(root, chance)
        text = etree.tostring(root)
        try:
            reason = kept(text)
        except Invalid as error:
            reason = str(error)
        if reason:
            lost.append(f"mutant {number} of seed {seed}: {reason}\n{text.decode()}")
    assert lost == []
