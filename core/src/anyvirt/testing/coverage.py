"""``coverage.json``: what a contract run has proven of a driver, on what, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def written(path: Path, claims: Iterable[Mapping[str, Any]]) -> None:
    """Write what the passed tests proved; one row for each hook, parameter and test.

    Rows of hooks that were not run are not kept: the file is that of one whole run.
    """
    today = datetime.now(tz=UTC).date().isoformat()
    rows = {}
    driver = ""
    for claim in claims:
        driver = claim["driver"]
        for proven in claim["proves"]:
            hook, _, parameter = proven.partition(".")
            name = claim["test"].partition("[")[0]
            rows[hook, parameter, name] = {
                "hook": hook, "parameter": parameter, "test": name, "on": claim["on"], "date": today,
            }  # fmt: skip
    document = {"schema": "coverage/1", "driver": driver, "proven": [rows[key] for key in sorted(rows)]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
