"""What ``--json`` prints of pools, volumes and secrets, held still by golden files: fields are only ever added."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import Entry

UUID = "55555555-5555-4555-8555-555555555555"
POOL = f"<pool type='dir'><name>images</name><uuid>{UUID}</uuid><target><path>/srv/images</path></target></pool>"
VOLUME = "<volume><name>{}</name><capacity>1048576</capacity><target><format type='raw'/></target></volume>"
SECRET = f"<secret><uuid>{UUID}</uuid><usage type='volume'><volume>/srv/images/a</volume></usage></secret>"
LINES = {
    "pool list": "pool list --all",
    "pool info": "pool info images",
    "pool dumpxml": "pool dumpxml images",
    "pool define": "pool define -",
    "pool define-as": "pool define-as other dir --target /srv/other",
    "pool create": "pool create -",
    "pool create-as": "pool create-as other dir --target /srv/other",
    "pool build": "pool build stopped",
    "pool start": "pool start stopped",
    "pool stop": "pool stop images",
    "pool delete": "pool delete stopped",
    "pool undefine": "pool undefine stopped",
    "pool refresh": "pool refresh images",
    "pool autostart": "pool autostart images",
    "pool edit": "pool edit stopped",
    "pool uuid": "pool uuid images",
    "pool name": f"pool name {UUID}",
    "pool find-sources": "pool find-sources logical",
    "pool find-sources-as": "pool find-sources-as netfs nas.test",
    "pool capabilities": "pool capabilities",
    "pool event": "pool event --list",
    "vol list": "vol list images",
    "vol info": "vol info a --pool images",
    "vol dumpxml": "vol dumpxml a --pool images",
    "vol path": "vol path a",
    "vol key": "vol key a",
    "vol name": "vol name /srv/images/a",
    "vol pool": "vol pool a",
    "vol chain": "vol chain a",
    "vol create": "vol create images -",
    "vol create-as": "vol create-as images made.qcow2 1M --format qcow2",
    "vol create-from": "vol create-from images - a",
    "vol clone": "vol clone a copy",
    "vol resize": "vol resize a 2M",
    "vol wipe": "vol wipe a --algorithm random",
    "vol upload": "vol upload a FOLDER/four",
    "vol download": "vol download a FOLDER/out",
    "vol delete": "vol delete a",
    "vol trash": "vol trash images",
    "vol restore": "vol restore images gone",
    "vol declare": "vol declare a --format raw",
    "secret list": "secret list",
    "secret define": "secret define -",
    "secret dumpxml": "secret dumpxml /srv/images/a",
    "secret info": "secret info /srv/images/a",
    "secret set-value": "secret set-value /srv/images/a",
    "secret get-value": "secret get-value /srv/images/a",
    "secret undefine": "secret undefine /srv/images/a",
    "secret event": "secret event --list",
}
PIPED = {
    "pool": "<pool type='dir'><name>more</name><uuid>66666666-6666-4666-8666-666666666666</uuid>"
    "<target><path>/srv/more</path></target></pool>",
    "vol": VOLUME.format("made"),
    "secret define": "<secret><uuid>77777777-7777-4777-8777-777777777777</uuid>"
    "<usage type='ceph'><name>client.admin</name></usage></secret>",
    "secret set-value": "another",
}
FURNITURE = (
    ("pool define -", POOL),
    ("pool start images --build", ""),
    ("pool define-as stopped dir --target /srv/stopped", ""),
    ("vol create images -", VOLUME.format("a")),
    ("vol create images -", VOLUME.format("gone")),
    ("vol delete gone --trash 1d", ""),
    ("secret define -", SECRET),
    ("secret set-value /srv/images/a", "hidden"),
)
MASKED = {"uuid", "deleted_at", "until", "available", "allocation", "xml"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the furnished host is kept for the next test."""
    return tmp_path_factory.mktemp("template") / "host"


@pytest.fixture
def furnished(stores: Any, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A host with two pools, a volume, a deleted one, and a secret."""
    if template.exists():
        shutil.copytree(template, tmp_path / "host")
    for words, piped in FURNITURE if not template.exists() else ():
        done = stores(*words.split(), stdin=piped)
        assert done.code == 0, done.err
    if not template.exists():
        shutil.copytree(tmp_path / "host", template)
    (tmp_path / "four").write_bytes(b"four")
    monkeypatch.setenv("EDITOR", "true")
    return stores


def test_every_command_of_stores_has_a_line_here() -> None:
    own = {path for path, row in COMMANDS.items() if not Entry(*row).hidden}
    assert {path for path in own if path.partition(" ")[0] in {"pool", "vol", "secret"}} == set(LINES)


@pytest.mark.parametrize("name", LINES)
def test_the_shape_is_as_it_was(name: str, furnished: Any, golden: Any, tmp_path: Path) -> None:
    piped = PIPED.get(name) or PIPED.get(name.partition(" ")[0], "")
    words = LINES[name].replace("FOLDER", str(tmp_path)).split()
    result = furnished("--json", *words, stdin=piped)
    assert result.code == 0, result.err
    assert result.json["schema"] == f"{name.replace(' ', '-')}/1"
    masked = json.dumps(_masked(result.json), indent=1, sort_keys=True) + "\n"
    golden(f"json/{name.replace(' ', '-')}.json", f"exit {result.code}\n{masked}")


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    if "/.trash/" in str(value):
        return "TRASH"
    known = value in {None, UUID} or re.fullmatch(r"([67])\1{7}-.*", str(value))
    return name.upper() if name in MASKED and not known else value
