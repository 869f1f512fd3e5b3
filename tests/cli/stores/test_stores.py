"""Pools and volumes at the command line, on a host of the test driver."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from anyvirt.cli import main as entry

MIB = 1 << 20
SECRET = "<secret><usage type='volume'><volume>/srv/safe</volume></usage></secret>"


@pytest.fixture
def pool(stores: Any) -> Any:
    """The same with an active pool ``images``."""
    for words in ("pool define-as images dir --target /srv/images", "pool start images --build"):
        assert stores(*words.split()).code == 0
    return stores


def lines(result: Any) -> list[str]:
    assert result.code == 0, result.err
    return [line.split()[0] for line in result.out.splitlines()]


def test_a_pool_goes_through_its_life(stores: Any) -> None:
    life = (
        "define-as images dir --target /srv/images", "build images", "start images", "refresh images",
        "autostart images", "autostart images --disable", "stop images", "delete images", "undefine images",
    )  # fmt: skip
    said = [stores("pool", *words.split()) for words in life]
    assert [result.code for result in said] == [0] * len(life), [result.err for result in said]
    assert [result.out.split()[-1] for result in said[:3]] == ["defined", "built", "started"]
    assert "images" not in stores("pool", "list", "--all").out


def test_virshs_spellings_do_the_same(stores: Any) -> None:
    for words in (
        "pool-define-as --name images --type dir --target /srv/images",
        "pool-build --pool images",
        "pool-start --pool images",
        "vol-create-as --pool images --name disk --capacity 1M",
        "vol-info --vol disk --pool images --bytes",
        "vol-resize --vol disk --capacity 2M --pool images",
        "vol-clone --vol disk --newname copy --pool images",
        "vol-delete --vol copy --pool images",
        "pool-refresh images",
        "pool-destroy images",
        "pool-undefine images",
    ):
        result = stores(*words.split())
        assert result.code == 0, (words, result.err)


def test_lists_are_cut_down_to_what_is_asked_for(stores: Any) -> None:
    stores("pool", "define-as", "images", "dir", "--target", "/srv/images")
    stores("pool", "create-as", "passing", "dir", "--target", "/srv/passing", "--build")
    stores("pool", "autostart", "images")
    assert lines(stores("pool", "list", "--name")) == ["default-pool", "passing"]
    assert lines(stores("pool", "list", "--all", "--name", "--persistent")) == ["default-pool", "images"]
    assert lines(stores("pool", "list", "--all", "--name", "--transient")) == ["passing"]
    assert lines(stores("pool", "list", "--all", "--name", "--autostart")) == ["images"]
    assert "images" not in lines(stores("pool", "list", "--all", "--name", "--no-autostart"))
    assert lines(stores("pool", "list", "--all", "--name", "--type", "fs,logical")) == []
    assert "passing" in lines(stores("pool", "list", "--name", "--type", "dir"))
    assert len(lines(stores("pool", "list", "--uuid"))[0]) == 36
    wrong = stores("pool", "list", "--type", "floppy")
    assert (wrong.code, "no type of pools" in wrong.err) == (2, True)


def test_a_definition_of_words_is_what_virsh_would_write(stores: Any) -> None:
    words = (
        "define-as nas iscsi-direct --source-host san.test --source-dev iqn.2026-01.test:a --source-initiator "
        "iqn.2026-01.test:us --auth-type chap --auth-username me --secret-usage here --print-xml"
    )
    shown = stores("pool", *words.split())
    assert shown.code == 0, shown.err
    for part in (
        "<pool type='iscsi-direct'>", "<host name='san.test'/>", "<device path='iqn.2026-01.test:a'/>",
        "<iqn name='iqn.2026-01.test:us'/>", "<auth username='me' type='chap'>", "<secret usage='here'/>",
    ):  # fmt: skip
        assert part in shown.out
    adapter = stores("pool", "define-as", "hba", "scsi", "--adapter-wwnn", "20000000c9831b4b", "--print-xml")
    assert "<adapter type='fc_host' wwnn='20000000c9831b4b'/>" in adapter.out
    assert "nas" not in stores("pool", "list", "--all").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("pool define-as x floppy", "'floppy' is no type of pools"),
        ("pool define-as x fs --source-format ext9", "--source-format 'ext9' is none"),
        ("pool define-as x rbd --auth-type basic", "--auth-type 'basic' is none"),
        ("pool define-as x rbd --auth-type ceph --auth-username me", "takes a type, a user and a secret"),
        ("pool define-as x rbd --secret-usage a --secret-uuid b", "exclude each other"),
        ("pool start images --overwrite --no-overwrite", "exclude each other"),
        ("vol create images", "give a FILE with a description, or --from"),
        ("vol create images x.xml --from y", "give a FILE with a description, or --from"),
        ("vol create images x.xml --checksum sha256:0", "--checksum is for --from"),
        ("vol create images --from x --checksum sha256:123", "--checksum 'sha256:123' is none"),
        ("vol create images --from x --checksum crc:12", "--checksum 'crc:12' is none"),
        ("vol create images --from ftp://host/x", "only http and https are fetched"),
        ("vol create images --from http://host.test/", "has no name for a volume"),
        ("vol create-as images x 1X", "'1X' is no size"),
        ("vol create-as images x -1M", "No such option"),
        ("vol create-as images x 1M --format docx", "--format 'docx' is none"),
        ("vol resize x 1.5G", "'1.5G' is no size"),
        ("vol wipe x --algorithm rub", "--algorithm 'rub' is none"),
        ("vol delete x --trash 1y", "'1y' is no time"),
        ("vol delete x --trash 1d --zeroed", "exclude each other"),
        ("vol declare x", "--format is missing"),
        ("vol declare x --format qcow2 --backing /a", "belong together"),
        ("pool event --event crash", "'crash' is no kind of event"),
        ("secret event --event crash", "'crash' is no kind of event"),
    ],
)
def test_wrong_words_are_told_and_nothing_happens(words: str, told: str, pool: Any) -> None:
    result = pool(*words.split())
    assert (result.code, result.out) == (2, ""), result
    assert told in result.err
    assert lines(pool("pool", "list", "--all", "--name")) == ["default-pool", "images"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("vol info nothing", "volume.not-found"),
        ("vol info nothing --pool images", "volume.not-found"),
        ("vol info /nowhere", "volume.not-found"),
        ("vol list nothing", "pool.not-found"),
        ("vol upload disk /nowhere/file", "file.not-found"),
        ("vol download disk /nowhere/file", "file.not-found"),
        ("vol upload disk /tmp", "invalid"),
        ("vol upload disk {}/four --resume", "upload.not-found"),
        ("vol create images --from /nowhere/file", "file.not-found"),
        ("vol restore images disk", "volume.not-found"),
        ("pool find-sources dir", "unsupported"),
    ],
)
def test_what_is_not_there_is_told_by_its_code(words: str, code: str, pool: Any, tmp_path: Path) -> None:
    (tmp_path / "four").write_bytes(b"four")
    pool("vol", "create-as", "images", "disk", "1M")
    result = pool(*words.format(tmp_path).split())
    assert result.code == 1
    assert f"error[{code}]" in result.err


def test_a_name_that_two_pools_have_has_to_be_told_apart(pool: Any) -> None:
    for name in ("images", "default-pool"):
        assert pool("vol", "create-as", name, "disk", "1M").code == 0
    result = pool("vol", "info", "disk")
    assert result.code == 2
    assert "2 pools have a volume 'disk': default-pool, images" in result.err
    assert pool("vol", "info", "disk", "--pool", "images").code == 0
    assert pool("vol", "pool", "/srv/images/disk").out == "images\n"


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", MIB), ("1024k", MIB), ("1M", MIB), ("1MiB", MIB), ("1MB", 10**6), ("2 mib", 2 * MIB)]
)
def test_sizes_are_read_as_libvirt_reads_them(text: str, size: int, pool: Any) -> None:
    assert pool("vol", "create-as", "images", "disk", text).code == 0
    assert pool("--json", "vol", "info", "disk").json["volume"]["capacity"] == size


def test_a_size_is_changed_by_what_it_is_and_by_how_much(pool: Any) -> None:
    pool("vol", "create-as", "images", "disk", "4M")
    for words, size in (
        ("6M", 6), ("2M --delta", 8), ("5M --shrink", 5), ("1M --delta --shrink", 4), ("8M --allocate", 8),
    ):  # fmt: skip
        result = pool("--json", "vol", "resize", "disk", *words.split())
        assert result.code == 0, result.err
        assert result.json["volume"]["capacity"] == size * MIB
    refused = pool("vol", "resize", "disk", "1M")
    assert refused.code == 1


def test_content_goes_in_and_comes_out_again(pool: Any, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "in").write_bytes(data)
    pool("vol", "create-as", "images", "disk", "1M")
    assert pool("vol", "upload", "disk", str(tmp_path / "in")).out.startswith("300000 bytes of")
    assert pool("vol", "download", "disk", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out").read_bytes() == data.ljust(MIB, b"\0")
    part = pool("vol", "download", "disk", "-", "--offset", "100k", "--length", "1000")
    assert part.out.encode("utf-8", "surrogateescape") == data[102400:103400]
    sent = pool("vol", "upload", "disk", "-", "--offset", "10", "--sparse", stdin=b"ten" + bytes(300_000) + b"end")
    assert sent.code == 0, sent.err
    back = pool("vol", "download", "disk", "-").out.encode("utf-8", "surrogateescape")
    assert back[:13] == data[:10] + b"ten"
    assert (back[13:300_013], back[300_013:300_016]) == (bytes(300_000), b"end")


def test_holes_stay_holes_in_both_directions(pool: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(4 * MIB)
        file.write(b"middle")
        file.truncate(8 * MIB)
    pool("vol", "create-as", "images", "disk", "8M")
    assert pool("vol", "upload", "disk", str(source), "--sparse").code == 0
    assert pool("vol", "download", "disk", str(target), "--sparse").code == 0
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < MIB


def test_a_download_goes_on_where_it_ended(pool: Any, tmp_path: Path) -> None:
    data = os.urandom(1000)
    (tmp_path / "in").write_bytes(data)
    pool("vol", "create-as", "images", "disk", "1000")
    pool("vol", "upload", "disk", str(tmp_path / "in"))
    (tmp_path / "out").write_bytes(data[:400])
    result = pool("--json", "vol", "download", "disk", str(tmp_path / "out"), "--resume")
    assert (result.code, result.json["bytes"], result.json["resumed"]) == (0, 1000, 400), result.err
    assert (tmp_path / "out").read_bytes() == data


def test_deleting_shows_what_goes_and_keeps_it_where_that_is_asked(pool: Any) -> None:
    pool("vol", "create-as", "images", "base", "1M", "--format", "qcow2")
    over = pool("vol", "create-as", "images", "over", "1M", "--format", "qcow2", "--backing-vol", "base")
    assert over.code == 0, over.err
    assert lines(pool("vol", "chain", "over"))[2:] == ["/srv/images/over", "/srv/images/base"]
    shown = pool("vol", "delete", "base", "--dry-run")
    assert "volume over of " in shown.out
    refused = pool("vol", "delete", "base")
    assert (refused.code, "needed by volume over of " in refused.err) == (1, True)
    assert pool("vol", "delete", "over", "--trash", "1h").code == 0
    assert pool("vol", "trash", "images").out.splitlines()[2].split()[0] == "over"
    assert pool("vol", "restore", "images", "over").out == "Vol over restored\n"
    assert pool("vol", "delete", "base", "--force", "--yes").code == 0
    assert lines(pool("vol", "list", "images"))[2:] == ["over"]


class Server(BaseHTTPRequestHandler):
    """Has one file, and a few ways to fail."""

    content = os.urandom(100_000) + bytes(900_000) + b"end"

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        self.send_response(200 if self.path in {"/disk.raw", "/cut", "/endless"} else 404)
        length = len(self.content) + (1 if self.path == "/cut" else 0)
        if self.path != "/endless":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def test_a_volume_is_made_of_what_a_server_has(server: str, pool: Any, tmp_path: Path) -> None:
    total = hashlib.sha256(Server.content).hexdigest()
    made = pool("vol", "create", "images", "--from", f"{server}/disk.raw", "--checksum", f"SHA256:{total}".lower())
    assert (made.code, made.out) == (0, f"Vol disk.raw created from {server}/disk.raw\n"), made.err
    pool("vol", "download", "disk.raw", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == Server.content


def test_a_volume_is_made_of_a_file_and_grown(pool: Any, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"content".ljust(MIB, b"\0"))
    words = ("--from", str(tmp_path / "disk"), "--name", "other", "--capacity", "2M")
    assert pool("vol", "create", "images", *words).code == 0
    assert pool("--json", "vol", "info", "other").json["volume"]["capacity"] == 2 * MIB
    assert pool("vol", "download", "other", "-", "--length", "7").out == "content"


@pytest.mark.parametrize(
    ("path", "more", "code"),
    [
        ("/none", "", "file.not-found"),
        ("/disk.raw", "--checksum sha256:" + "0" * 64, "invalid"),
        ("/disk.raw", "--capacity 1k", "invalid"),
        ("/moved", "", "hypervisor.failed"),
        ("/cut", "", "hypervisor.failed"),
        ("/endless", "", "invalid"),
    ],
)
def test_what_goes_wrong_on_the_way_leaves_no_volume(path: str, more: str, code: str, server: str, pool: Any) -> None:
    result = pool("vol", "create", "images", "--from", f"{server}{path}", *more.split())
    assert result.code in {1, 2}
    assert f"error[{code}]" in result.err
    assert lines(pool("vol", "list", "images"))[2:] == []


def test_a_server_that_is_not_there_is_named(pool: Any) -> None:
    result = pool("vol", "create", "images", "--from", "http://127.0.0.1:1/disk")
    assert (result.code, "127.0.0.1 cannot be reached" in result.err) == (1, True)


def test_events_of_pools_and_volumes_are_printed(pool: Any) -> None:
    token = pool("--json", "events", "--count", "1", "--timeout", "0.1").out
    assert token == ""
    assert lines(pool("pool", "event", "--list")) == ["lifecycle", "refresh", "volume"]


def test_an_encrypted_volume_names_its_secret(pool: Any) -> None:
    assert pool("secret", "define", "-", stdin=SECRET).code == 0
    shown = pool("vol", "create-as", "images", "safe", "1M", "--format", "luks", "--secret", "/srv/safe", "--print-xml")
    assert "<encryption format='luks'>" in shown.out
    assert "type='passphrase'" in shown.out


def test_an_edit_is_stored_and_a_wrong_one_is_not(pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool("pool", "define-as", "other", "dir", "--target", "/srv/other")
    for name, change in (("right", "s|/srv/other|/srv/moved|"), ("wrong", "s|<path>.*</path>||")):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\nexec sed -i '{change}' \"$1\"\n")
        script.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(tmp_path / "right"))
    assert pool("pool", "edit", "other").out == "Pool other XML configuration edited.\n"
    assert "/srv/moved" in pool("pool", "dumpxml", "other").out
    monkeypatch.setenv("EDITOR", str(tmp_path / "wrong"))
    wrong = pool("pool", "edit", "other")
    assert (wrong.code, "your text is kept in" in wrong.err) == (1, True)
    assert "/srv/moved" in pool("pool", "dumpxml", "other").out


def test_what_there_is_to_note_stands_beside_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYVIRT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ANYVIRT_URI", "storage:///session")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link").symlink_to("/etc/passwd")
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    for words in (f"pool define-as images dir --target {tmp_path}/images", "pool start images", "pool dumpxml images"):
        assert entry.main(words.split()) == 0, err.getvalue()
    assert f"note: {tmp_path}/images/link is no volume" in err.getvalue()
    assert "link" not in out.getvalue()
    out.truncate(0)
    out.seek(0)
    assert entry.main(["--json", "pool", "dumpxml", "images"]) == 0
    assert "is no volume" in json.loads(out.getvalue())["notes"][0]


def test_parts_of_documents_are_picked_by_xpath(pool: Any) -> None:
    shown = pool("pool-dumpxml", "images", "--xpath", "//target/path | //pool/@type")
    assert shown.out.splitlines() == ["dir", "<path>/srv/images</path>"]
    wrapped = pool("pool", "dumpxml", "images", "--xpath", "//path", "--wrap").out
    assert wrapped == "<nodes>\n<path>/srv/images</path>\n</nodes>\n"
    assert pool("--json", "pool", "dumpxml", "images", "--xpath", "//path/text()").json["nodes"] == ["/srv/images"]
    for wrong, told in (("//nothing", "fits nothing"), ("//[", "is no XPath")):
        refused = pool("pool", "dumpxml", "images", "--xpath", wrong)
        assert (refused.code, told in refused.err) == (1, True)


def test_sources_are_asked_for_with_virshs_names(pool: Any, tmp_path: Path) -> None:
    (tmp_path / "source.xml").write_text("<source><host name='nas.test'/></source>")
    for words in (
        f"find-storage-pool-sources --type netfs --srcSpec {tmp_path / 'source.xml'}",
        "find-storage-pool-sources-as netfs nas.test 2049",
        "find-storage-pool-sources-as --type netfs --host nas.test --initiator iqn.2026-01.test:us",
    ):
        result = pool(*words.split())
        assert (result.code, "<sources>" in result.out) == (0, True), result.err
