"""The schemas that are written from the declarations take every document that the models know whole."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.form import to_json
from anyvirt.model.grammar import relax_ng
from anyvirt.model.schema import json_schema
from anyvirt.model.strict import unknown
from anyvirt.model.xml import parse
from jsonschema import Draft202012Validator

Figure = Callable[..., None]
AT_ONCE = 500  # names of files that fit into one command line


def test_xmllint_takes_every_document_that_is_known_whole(
    documents: list[Path], figure: Figure, tmp_path: Path
) -> None:
    if shutil.which("xmllint") is None:
        pytest.skip("xmllint is not installed")
    grammar = tmp_path / "anyvirt.rng"
    grammar.write_text(relax_ng(), encoding="utf-8")
    taken: set[str] = set()
    for first in range(0, len(documents), AT_ONCE):
        names = [str(path) for path in documents[first : first + AT_ONCE]]
        argv = ["xmllint", "--noout", "--nonet", "--relaxng", str(grammar), *names]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        taken |= {line.removesuffix(" validates") for line in done.stderr.splitlines() if line.endswith(" validates")}
    figure("schema-rng", len(taken), len(documents))
    known = [str(path) for path in documents if _known(path)]
    assert [name for name in known if name not in taken] == []


def test_the_json_schema_takes_every_document(documents: list[Path], figure: Figure) -> None:
    refused: dict[str, str] = {}
    for path in documents:
        try:
            x = parse(path.read_bytes())
        except Invalid as error:
            refused[str(path)] = str(error)
            continue
        wrong = next(_validator(type(x)._tag).iter_errors(to_json(x)), None)
        if wrong is not None:
            refused[str(path)] = f"{list(wrong.absolute_path)}: {wrong.message[:200]}"
    figure("schema-json", len(documents) - len(refused), len(documents))
    assert refused == {}


def _known(path: Path) -> bool:
    try:
        return not unknown(parse(path.read_bytes()))
    except Invalid:
        return False


@cache
def _validator(root: str) -> Any:
    schema = json_schema(root)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
