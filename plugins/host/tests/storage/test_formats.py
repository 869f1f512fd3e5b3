"""Images of every format, as qemu-img itself finds them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Connection, Document, Invalid, NotFound, Secret, Unsupported, Volume
from anyvirt.client._generated_sync import Pool
from anyvirt.client._generated_sync import Volume as Handle
from anyvirt.transport.run import LocalRun, Output
from anyvirt_host.storage.service import Alone, Service

Make = Callable[..., Handle]
pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
SIZE = 10_000_896
UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
WORD = "pass\nphrase'é"
SEALED = f"<encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>"


def told(path: Path, kind: str) -> dict[str, Any]:
    """What qemu-img says of an image."""
    argv = ["qemu-img", "info", "-f", kind, "--output=json", str(path)]
    found: dict[str, Any] = json.loads(subprocess.check_output(argv))
    return found


def xml(target: str, more: str = "", size: int = SIZE) -> str:
    return f"<volume><name>disk</name><capacity>{size}</capacity>{more}<target>{target}</target></volume>"


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc"])
def test_a_volume_of_each_format_has_the_size_that_was_asked_for(make: Make, place: Path, kind: str) -> None:
    made = make("disk", SIZE, kind)
    assert told(place / "disk", kind)["virtual-size"] == SIZE
    info = made.info()
    assert (info.capacity, info.physical) == (SIZE, (place / "disk").stat().st_size)
    target = made.config().model.target
    assert target is not None
    assert str(target.format) == kind


def test_an_iso_is_raw_bytes_under_another_word(make: Make, place: Path) -> None:
    made = make("disk", SIZE, "iso")
    assert (place / "disk").read_bytes() == bytes(SIZE)
    assert made.info().capacity == SIZE
    target = made.config().model.target
    assert target is not None
    assert str(target.format) == "iso"


def test_a_folder_is_made_with_its_mode_and_goes_with_delete(
    storage: Connection, pool: Pool, make: Make, place: Path
) -> None:
    made = make("folder", 0, "dir")
    assert (place / "folder").is_dir()
    assert (place / "folder").stat().st_mode & 0o777 == 0o700
    assert [volume.name for volume in pool.volumes()] == ["folder"]
    target = made.config().model.target
    assert target is not None
    assert str(target.format) == "dir"
    made.delete()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<compat>0.10</compat>", {"compat": "0.10"}),
        ("<features><lazy_refcounts/></features>", {"compat": "1.1", "lazy-refcounts": True}),
        (
            "<clusterSize unit='KiB'>128</clusterSize><features><extended_l2/></features>",
            {"extended-l2": True, "cluster": 128 << 10},
        ),
    ],
)
def test_features_of_qcow2_are_those_of_the_description(
    storage: Connection, pool: Pool, place: Path, inner: str, expected: dict[str, Any]
) -> None:
    storage.volume_create(pool, xml("<format type='qcow2'/>" + inner)).wait(20)
    found = told(place / "disk", "qcow2")
    data = {**found["format-specific"]["data"], "cluster": found["cluster-size"]}
    assert {key: data[key] for key in expected} == expected


def test_tables_are_made_at_once_where_that_is_asked(
    storage: Connection, pool: Pool, place: Path, described: Callable[..., Document[Volume]]
) -> None:
    storage.volume_create(pool, described("plain", 64 << 20, "qcow2")).wait(20)
    storage.volume_create(pool, described("tables", 64 << 20, "qcow2"), preallocate=True).wait(20)
    assert (place / "tables").stat().st_size > 64 << 20 > (place / "plain").stat().st_size
    assert (place / "tables").stat().st_blocks * 512 < 1 << 20
    for kind in ("raw", "vdi"):
        with pytest.raises(Invalid, match="tables"):
            storage.volume_create(pool, described("other", 64 << 20, kind), preallocate=True).wait(20)


def test_all_of_an_image_is_set_aside_where_that_is_asked(storage: Connection, pool: Pool, place: Path) -> None:
    for kind in ("raw", "qcow2"):
        text = xml(f"<format type='{kind}'/>", f"<allocation>{SIZE}</allocation>").replace("disk", kind)
        storage.volume_create(pool, text).wait(20)
        assert (place / kind).stat().st_blocks * 512 >= SIZE


@pytest.mark.parametrize(("kind", "below"), [("qed", "raw"), ("qed", "qcow2"), ("vmdk", "vmdk")])
def test_other_formats_stand_on_images_too(
    make: Make, storage: Connection, pool: Pool, place: Path, kind: str, below: str
) -> None:
    make("base", SIZE, below)
    subprocess.run(["qemu-io", "-f", below, "-c", "write -q -P 7 0 64k", str(place / "base")], check=True)
    stands = f"<backingStore><path>{place}/base</path><format type='{below}'/></backingStore>"
    made = storage.volume(storage.volume_create(pool, xml(f"<format type='{kind}'/>", stands)).wait(20))
    assert subprocess.check_output(["qemu-io", "-f", kind, "-c", "read -q -P 7 0 64k", str(place / "disk")]) == b""
    store = made.config().model.backing_store
    assert store is not None
    assert (store.path, str(store.format)) == (f"{place}/base", below)
    plain = "<volume><name>plain</name><capacity>1</capacity><allocation>0</allocation></volume>"
    storage.volume_create_from(pool, plain, made).wait(20)
    assert (place / "plain").read_bytes() == b"\7" * 65536 + bytes(SIZE - 65536)


@pytest.mark.parametrize(
    ("target", "more", "path"),
    [
        ("<format type='vhd'/>", "", "/target/format/@type"),
        ("<format type='vdi'/>", f"<allocation>{SIZE}</allocation>", "/allocation"),
        ("<format type='vdi'/>", "<backingStore><path>/a</path><format type='raw'/></backingStore>", "/backingStore"),
        ("<format type='vdi'/>" + SEALED, "", "/target/encryption"),
        ("<format type='luks'/>", "", "/target/encryption"),
        ("<format type='qcow2'/>" + SEALED.replace("luks", "qcow"), "", "/target/encryption/@format"),
        ("<format type='luks'/>" + SEALED.replace("passphrase", "ceph"), "", "/target/encryption/secret/@type"),
        ("<encryption format='luks' engine='librbd'>" + SEALED.partition(">")[2], "", "/target/encryption/@engine"),
    ],
)
def test_what_a_format_cannot_have_is_refused_by_path(
    storage: Connection, pool: Pool, place: Path, target: str, more: str, path: str
) -> None:
    with pytest.raises(Invalid) as refused:
        storage.volume_create(pool, xml(target, more)).wait(20)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert list(place.iterdir()) == []


def test_a_label_is_refused_where_nothing_heeds_it(storage: Connection, pool: Pool, place: Path) -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("a host without SELinux is missing")
    rights = "<permissions><mode>0640</mode><label>virt_image_t</label></permissions>"
    with pytest.raises(Unsupported, match="SELinux"):
        storage.volume_create(pool, xml(rights)).wait(20)
    assert list(place.iterdir()) == []


@pytest.mark.skipif(shutil.which("ploop") is not None, reason="a host without ploop is missing")
def test_a_ploop_volume_needs_its_tool_and_says_which(storage: Connection, pool: Pool, place: Path) -> None:
    with pytest.raises(Unsupported) as missing:
        storage.volume_create(pool, xml("<format type='ploop'/>")).wait(20)
    assert "ploop" in missing.value.hint
    assert list(place.iterdir()) == []


@pytest.fixture
def passphrase(storage: Connection) -> str:
    usage = "<usage type='volume'><volume>/srv/disk</volume></usage>"
    secret = storage.secret_define(f"<secret><uuid>{UUID}</uuid>{usage}</secret>")
    storage.secret_set_value(secret, Secret(WORD))
    return WORD


@pytest.fixture
def quick(storage: Connection) -> Alone:
    """The same storage, whose passphrases are stretched for 10 ms instead of seconds."""

    def run(*argv: str, **rest: Any) -> Output:
        assert not any(WORD in word for word in argv)
        assert "env" not in rest
        return LocalRun()(
            *(f"{word},{before}iter-time=10" if (before := stretched(word)) is not None else word for word in argv),
            **rest,
        )

    def stretched(word: str) -> str | None:
        if "key-secret=made" not in word or word.startswith("json:"):
            return None
        return "encrypt." if "encrypt." in word else ""

    service: Service = storage.session.driver.plugin
    return Alone(lambda: replace(service.site, run=run))


def made_by(steps: Generator[Any, None, Any]) -> Any:
    """The value of a job whose steps are taken here."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_encrypted_volume_opens_with_its_secret_and_so_does_its_copy(
    storage: Connection, pool: Pool, place: Path, quick: Alone, passphrase: str, tmp_path: Path, kind: str
) -> None:
    document: Document[Volume] = Document(xml(f"<format type='{kind}'/>{SEALED}", "<allocation>0</allocation>"))
    made = storage.volume(made_by(quick.volume_create(pool.ref, document, preallocate=False)))
    assert made.info().capacity == SIZE
    target = made.config().model.target
    assert target is not None
    assert target.encryption is not None
    assert (str(target.format), target.encryption.secrets[0].uuid) == (kind, UUID)
    key = tmp_path / "key"
    key.write_text(passphrase, encoding="utf-8")

    def guest(name: str, command: str) -> str:
        sealed = "driver=luks,key-secret=k" if kind == "raw" else "driver=qcow2,encrypt.key-secret=k"
        image = f"{sealed},file.driver=file,file.filename={place}/{name}"
        argv = ["qemu-io", "--object", f"secret,id=k,file={key}", "--image-opts", image, "-c", command]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    guest("disk", "write -q -P 7 4096 512")
    made.resize(2 * SIZE).wait(30)
    assert made.info().capacity == 2 * SIZE
    guest("disk", f"write -q {2 * SIZE - 512} 512")
    assert guest("disk", "read -q -P 7 4096 512") == ""
    if kind == "raw":
        plain = Document(model=Volume(name="plain", capacity=1, allocation=0))
        made_by(quick.volume_create_from(pool.ref, plain, made.ref, preallocate=False, reflink=False))
        assert (place / "plain").read_bytes()[4096:4608] == b"\7" * 512
        before = (place / "disk").read_bytes()[: 1 << 20]
        made_by(quick.volume_wipe(made.ref, "zero"))
        assert (place / "disk").read_bytes()[: 1 << 20] != before
        assert made.info().capacity == 2 * SIZE
    else:
        sealed: Document[Volume] = Document(document.text.replace(">disk<", ">sealed<"))
        made_by(quick.volume_create_from(pool.ref, sealed, made.ref, preallocate=False, reflink=False))
        assert guest("sealed", "read -q -P 7 4096 512") == ""
        assert b"\7" * 512 not in (place / "sealed").read_bytes()
    assert len(list(place.iterdir())) == 2


def test_an_encrypted_volume_without_its_secret_is_not_begun(storage: Connection, pool: Pool, place: Path) -> None:
    text = xml(f"<format type='luks'/>{SEALED}")
    with pytest.raises(NotFound):
        storage.volume_create(pool, text).wait(20)
    secret = storage.secret_define(f"<secret><uuid>{UUID}</uuid></secret>")
    storage.secret_set_value(secret, Secret("no text \udcff"))
    with pytest.raises(Invalid, match="UTF-8"):
        storage.volume_create(pool, text).wait(20)
    assert list(place.iterdir()) == []
