"""libvirt's recorded lines for new volumes: ours mean the same, and the images are the same by ``qemu-img info``.

``volume_lines.toml`` says what each line was made of.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anyvirt.api import Connection, Document, Ref, Secret, Volume
from anyvirt.api import open as opened
from anyvirt.transport.run import LocalRun, Output
from anyvirt_host.storage.service import Alone, Service

VARIABLES = ("ANYVIRT_OUTSIDE_DATA", "ANYVIRT_LIBVIRT_DATA")
FOLDER = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
LINES, DOCUMENTS = "storagevolxml2argvdata", "storagevolxml2xmlin"
TABLE = tomllib.loads((Path(__file__).parent / "volume_lines.toml").read_text(encoding="utf-8"))
CASES = TABLE["cases"]
IMAGES = "/var/lib/libvirt/images/"
WORDS = "correct horse"
Figure = Callable[..., None]

pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="ANYVIRT_OUTSIDE_DATA names no folder of libvirt's documents"),
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed"),
]


class Place(NamedTuple):
    """Where a case happens: libvirt's images in one folder, ours in another, below it what both need."""

    root: Path
    theirs: Path
    ours: Path

    def said(self, text: str) -> str:
        """A line or a document of libvirt's, for this machine."""
        text = re.sub(r"\b(\d+)K\b", lambda found: str(int(found[1])), text)  # 1024 times smaller
        text = (
            text.replace('unit="G"', 'unit="M"')
            .replace('unit="TiB"', 'unit="GiB"')
            .replace("/dev/null", str(self.below))
        )
        for name in ("/path/to/secretFile", "/path/to/inputSecretFile"):
            text = text.replace(name, str(self.key))
        return text.replace(IMAGES, f"{self.theirs}/")

    @property
    def below(self) -> Path:
        return self.root / "below.img"

    @property
    def key(self) -> Path:
        return self.root / "key"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path, tmp_path / "theirs", tmp_path / "ours")
    made.theirs.mkdir()
    made.ours.mkdir()
    made.key.write_text(WORDS)
    with made.below.open("wb") as file:
        file.truncate(5 << 20)
    return made


@pytest.fixture
def storage(place: Place) -> Iterator[Connection]:
    with opened("storage:///session", state_dir=place.root / "state") as connection:
        xml = f"<pool type='dir'><name>images</name><target><path>{place.ours}</path></target></pool>"
        connection.pool_define(xml).start()
        for uuid in ("e78d4b51-a2af-485f-b0f5-afca709a80f4", "f52a81b2-424e-490c-823d-6bd4235bc572"):
            secret = connection.secret_define(f"<secret><uuid>{uuid}</uuid></secret>")
            connection.secret_set_value(secret, Secret(WORDS))
        yield connection


@pytest.fixture(scope="module")
def same() -> set[str]:
    """The cases that are the same."""
    return set()


def quick(word: str) -> str:
    """Passphrases are stretched for 10 ms instead of seconds, on both sides."""
    if "key-secret=" not in word or word.startswith(("json:", "driver=")):
        return word
    return f"{word},{'encrypt.' if 'encrypt.' in word else ''}iter-time=10"


class Recorder:
    """Runs what the storage service runs, and keeps the words of ``qemu-img``."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def __call__(self, *argv: str, **rest: Any) -> Output:
        if "qemu-img" in argv:
            self.lines.append(list(argv[argv.index("qemu-img") + 1 :]))
        return LocalRun()(*(quick(word) for word in argv), **rest)


def document(name: str, place: Place, case: dict[str, Any]) -> Document[Volume]:
    """A document of libvirt's as the case has it."""
    text = (Path(FOLDER) / DOCUMENTS / name).read_text(encoding="utf-8")
    for old, new in case.get("edit", ()):
        if old.startswith("<"):
            assert old in text
            text = text.replace(old, new, 1)
        else:  # the whole element goes
            text = re.sub(rf"<{old}\b.*?</{old}>", "", text, flags=re.DOTALL)
    text = place.said(re.sub(r"<permissions>.*?</permissions>", "", text, flags=re.DOTALL))
    found: Document[Volume] = Document(text)
    target = found.model.target
    if target and target.format == "qcow2" and not target.compat:
        compat = case.get("compat", TABLE["compat"]["default"])
        found = Document(model=found.model.replace(target=target.replace(compat=compat)))
    return found


def done(steps: Generator[Any, None, Ref]) -> Ref:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            ref: Ref = stop.value
            return ref


def made_here(storage: Connection, place: Place, case: dict[str, Any]) -> tuple[str, list[list[str]]]:
    """Make the volume of a case: its name, and the words of ``qemu-img`` that it took."""
    service: Service = storage.session.driver.plugin
    recorder = Recorder()
    alone = Alone(lambda: replace(service.site, run=recorder))
    pool = storage.lookup_pool("images").ref
    flag = bool(case.get("preallocate"))
    config = document(case["volume"], place, case)
    if "source" not in case:
        return str(done(alone.volume_create(pool, config, preallocate=flag)).name), recorder.lines
    plain = {key: value for key, value in case.items() if key != "edit"}
    given = document(case["source"], place, plain)
    given = Document(model=given.model.replace(backing_store=None))
    source = done(alone.volume_create(pool, given, preallocate=False))
    filled(Path(source.key), given.model)
    shutil.copy(source.key, place.theirs / str(source.name))
    recorder.lines.clear()
    ref = done(alone.volume_create_from(pool, config, source, preallocate=flag, reflink=False))
    return str(ref.name), recorder.lines


def opening(path: Path, model: Volume, place: Path) -> list[str]:
    """How QEMU's tools open an image that may be encrypted."""
    target = model.target
    kind = str(target.format) if target and target.format else "raw"
    if not (target and target.encryption):
        return ["--image-opts", f"driver={kind},file.driver=file,file.filename={path}"]
    word = "driver=luks,key-secret=k" if kind == "raw" else f"driver={kind},encrypt.key-secret=k"
    return ["--object", f"secret,id=k,file={place}", "--image-opts", f"{word},file.driver=file,file.filename={path}"]


def filled(path: Path, model: Volume) -> None:
    key = path.parents[1] / "key"
    subprocess.run(["qemu-io", *opening(path, model, key), "-c", "write -q -P 7 1M 64k"], check=True)


def theirs(name: str, place: Place) -> list[list[str]]:
    """libvirt's lines of a case."""
    text = (Path(FOLDER) / LINES / f"{name}.argv").read_text(encoding="utf-8").replace("\\\n", "")
    return [shlex.split(place.said(line))[1:] for line in text.splitlines()]


# -- what a line means ------------------------------------------------------------------------


def options_of(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in text.split(","))
    return {key: value or "on" for key, _, value in pairs}


def meaning(lines: list[list[str]]) -> dict[str, Any]:
    """The image that ``qemu-img`` is told to make: format, options, size, what is below, and what is put into it."""
    told: dict[str, Any] = {"options": {}}
    for verb, *words in lines:
        rest: list[str] = []
        flags: dict[str, str] = {}
        while words:
            word = words.pop(0)
            if word in ("-f", "-O", "-o", "-b", "-F", "--object"):
                flags[word] = words.pop(0)
            elif not word.startswith("-"):
                rest.append(word)
        options = options_of(flags["-o"]) if "-o" in flags else {}
        if verb == "create":
            told |= {"format": flags["-f"], "size": rest[1] if len(rest) > 1 else ""}
            options |= {"backing_fmt": flags["-F"]} if "-F" in flags else {}
            told["below"] = flags.get("-b", "")
        elif verb == "convert":
            source, target = rest
            told["format"] = flags.get("-O") or node(target)["driver"]
            told["content"] = node(source) if "driver" in source else {"driver": flags["-f"], "sealed": False}
        told["options"] |= options
    told["options"] = {key: "KEY" if "key-secret" in key else value for key, value in told["options"].items()}
    return told


def node(text: str) -> dict[str, Any]:
    """Format of an image that is opened, and whether with a passphrase."""
    if text.startswith("json:"):
        found = json.loads(text[5:])
        return {"driver": found["driver"], "sealed": "key-secret" in found or "encrypt" in found}
    pairs = options_of(text)
    return {"driver": pairs["driver"], "sealed": any("key-secret" in key for key in pairs)}


def info(path: Path) -> dict[str, Any]:
    """What ``qemu-img info`` says of an image that is not the hour, the place, or the keys of that very one."""
    argv = ["qemu-img", "info", "--output=json", str(path)]
    found: dict[str, Any] = json.loads(subprocess.check_output(argv))
    for key in ("filename", "actual-size", "dirty-flag", "full-backing-filename", "children"):
        found.pop(key, None)
    data = found.get("format-specific", {}).get("data", {})
    for holder in (data, data.get("encrypt", {})):
        for key in ("uuid", "slots", "master-key-iters"):
            holder.pop(key, None)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_line_of_ours_means_what_libvirts_means_and_so_does_the_image(
    name: str, place: Place, storage: Connection, same: set[str]
) -> None:
    volume, lines = made_here(storage, place, CASES[name])
    recorded = theirs(name, place)
    ours, expected = meaning(lines), meaning(recorded)
    if not ours.get("size") or not expected.get("size"):  # then it is the size of what is below, or of the source
        ours.pop("size", None)
        expected.pop("size", None)
    for told in (ours, expected):
        told.setdefault("below", "")
    assert ours == expected
    for line in recorded:
        for _ in range(8):  # QEMU is mistaken about its own speed now and then, where a kernel counts by ticks
            out = subprocess.run(["qemu-img", *map(quick, line)], capture_output=True, text=True, check=False)
            if "accurate CPU usage" not in out.stderr:
                break
        assert out.returncode == 0, out.stderr
    assert info(place.ours / volume) == info(place.theirs / volume)
    if "source" in CASES[name]:
        model = document(CASES[name]["volume"], place, CASES[name]).model
        for folder in (place.ours, place.theirs):
            read = ["qemu-io", *opening(folder / volume, model, place.key), "-c", "read -q -P 7 1M 64k"]
            assert subprocess.check_output(read) == b""
    same.add(name)


def test_every_line_is_in_the_table(same: set[str], figure: Figure) -> None:
    found = {path.name.removesuffix(".argv") for path in (Path(FOLDER) / LINES).glob("*.argv")}
    if found:
        doubts = [name for name, case in CASES.items() if "doubt" in case]
        note = f"what {len(doubts)} of them were made of is derived from the lines themselves"
        figure("volume-lines", len(found & same), len(found), note=note)
    assert found <= set(CASES)
