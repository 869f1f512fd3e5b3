"""``validate``, ``plan`` and ``apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

GOOD = """<domain type='test'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os>
    <type>hvm</type>
  </os>
</domain>
"""


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "web.xml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_good_document_is_called_good(cli: Any, file: Any) -> None:
    name = file(GOOD)
    assert cli("validate", name) == (0, f"{name}: good <domain>\n", "")
    assert cli("validate", name, "--quiet") == (0, "", "")


def test_each_problem_has_line_path_and_the_nearest_known_name(cli: Any, file: Any) -> None:
    name = file(GOOD.replace("<vcpu>1</vcpu>", "<vcpu plcement='static'>1</vcpu>\n  <clok offset='utc'/>"))
    result = cli("validate", name)
    assert result.code == 1
    assert result.out.splitlines() == [
        (
            f"{name}:4: /vcpu/@plcement: <vcpu> has no attribute 'plcement'; did you mean 'placement'?"
            " [xml.unknown-attribute]"
        ),
        f"{name}:5: /clok: <domain> has no element <clok>; did you mean 'clock'? [xml.unknown-element]",
    ]


def test_every_kind_of_document_has_rules_of_its_own(cli: Any, file: Any) -> None:
    network = file("<network>\n<name>n</name>\n<portgroup name='a'/>\n<portgroup name='a'/>\n</network>", "network.xml")
    interface = file("<interface type='bond' name='bond0'>\n<start mode='onboot'/>\n</interface>", "interface.xml")
    result = cli("validate", network, interface)
    assert result.code == 1
    assert result.out.splitlines() == [
        f"{network}:4: /portgroup[a]/@name: port group 'a' stands here twice; use another name [config.duplicate]",
        f"{interface}:1: /bond: a bond needs the element bond; with the interfaces in it [config.missing]",
    ]


def test_what_is_not_well_formed_is_a_problem_with_its_line(cli: Any, file: Any) -> None:
    result = cli("validate", file(GOOD.replace("</os>", "")))
    assert result.code == 1
    assert "[xml.malformed]" in result.out
    assert "web.xml:8:" in result.out or "web.xml:7:" in result.out


def test_one_file_that_cannot_be_read_leaves_the_others(cli: Any, file: Any) -> None:
    name = file(GOOD)
    result = cli("validate", "/nowhere/x.xml", name)
    assert (result.code, result.out) == (1, f"{name}: good <domain>\n")
    assert result.err.startswith("error[file.not-found]")


def test_canonical_is_the_document_as_anyvirt_writes_it(cli: Any, file: Any) -> None:
    result = cli(
        "validate", "--canonical", file(GOOD.replace("64", " 64 ").replace("<vcpu>1", "<keep me='1'/><vcpu>1"))
    )
    assert result.code == 1
    assert "<memory unit='KiB'>65536</memory>" in result.out
    assert '<keep me="1"></keep>' in result.out
    assert "/keep: <domain> has no element <keep>" in result.err


def test_a_plan_tells_new_changed_and_nothing(cli: Any, fake: Any, file: Any) -> None:
    same = next(guest.xml for guest in fake.guests.values() if guest.ref.name == "old")
    changed = next(guest.xml for guest in fake.guests.values() if guest.ref.name == "web").replace("1048576", "524288")
    result = cli("plan", file(same, "a"), file(changed, "b"), file(GOOD.replace("web", "fresh"), "c"))
    assert result.code == 0
    assert result.out.splitlines() == [
        "= old: nothing to do",
        "~ web: changes (next boot)",
        "    ~ /memory: 1073741824 -> 536870912",
        "+ fresh: new",
    ]
    assert fake.calls == []


def test_apply_twice_does_nothing_the_second_time(cli: Any, fake: Any, file: Any) -> None:
    name = file(GOOD.replace("web", "fresh"))
    assert cli("apply", name).out == "+ fresh: defined\n"
    assert cli("apply", name).out == "= fresh: nothing to do\n"
    assert [call[0] for call in fake.calls] == ["define"]


def test_what_a_document_leaves_out_stays_but_its_disks_are_its_own(cli: Any, fake: Any, file: Any) -> None:
    devices = (
        "<devices><disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"
        "<disk type='file' device='disk'><source file='/b'/><target dev='vdb' bus='virtio'/></disk>"
        "<controller type='usb' index='0'/><interface type='network'><mac address='52:54:00:00:00:01'/>"
        "<source network='default'/><model type='virtio'/></interface></devices>"
    )
    stored = GOOD.replace("</domain>", f"<title>Old</title>{devices}</domain>")
    guest = next(guest for guest in fake.guests.values() if guest.ref.name == "web")
    guest.xml = stored
    wanted = GOOD.replace(
        "</domain>",
        "<devices><disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"
        "<interface type='network'><source network='default'/></interface></devices></domain>",
    )
    result = cli("plan", file(wanted))
    assert [line.split(":")[0] for line in result.out.splitlines()] == [
        "~ web",
        "    - /title",
        "    - /devices/disk[vdb]",
    ]
    cli("apply", file(wanted))
    assert "52:54:00:00:00:01" in guest.xml
    assert "/b" not in guest.xml


def test_a_machine_type_that_the_driver_made_a_version_of_is_no_change(cli: Any, fake: Any, file: Any) -> None:
    guest = next(guest for guest in fake.guests.values() if guest.ref.name == "web")
    guest.xml = GOOD.replace("<type>", "<type machine='pc-q35-7.2'>")
    assert cli("plan", file(GOOD.replace("<type>", "<type machine='q35'>"))).out == "= web: nothing to do\n"
    other = cli("plan", file(GOOD.replace("<type>", "<type machine='pc-q35-8.0'>")))
    assert "/os/type/@machine: pc-q35-7.2 -> pc-q35-8.0" in other.out


def test_another_uuid_is_refused_with_the_way_out(cli: Any, file: Any) -> None:
    text = GOOD.replace("<memory", "<uuid>99999999-9999-4999-8999-999999999999</uuid><memory")
    result = cli("plan", file(text))
    assert result.code == 1
    assert result.out == "! web: refused\n"
    assert "the document has 99999999" in result.err
    assert "hint: correct the UUID, or undefine the stored one yourself" in result.err


def test_one_document_that_is_refused_does_not_keep_the_others_back(cli: Any, fake: Any, file: Any) -> None:
    result = cli("apply", file(GOOD.replace("<os>", "<oss>").replace("</os>", "</oss>"), "x"), file(GOOD, "y"))
    assert result.code == 1
    assert [call[0] for call in fake.calls] == ["define"]


def test_coverage_counts_every_document_below_a_folder(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "web.xml").write_text(GOOD)
    (tmp_path / "a" / "odd.xml").write_text(GOOD.replace("<os>", "<lamp/><vcpu/><os>"))
    (tmp_path / "a" / "torn.xml").write_text("<domain>")
    (tmp_path / "a" / "notes.txt").write_text("no document")
    code, out, err = cli("validate", "--coverage", str(tmp_path))
    assert code == 0
    assert out.splitlines()[:2] == ["2 documents read, 1 refused", "7 of 9 paths are declared: 77.78%"]
    assert "/domain/lamp" in out
    assert "torn.xml: refused: " in err
    assert "/domain/name" in cli("validate", "--coverage", str(tmp_path), "--verbose").out


def test_coverage_goes_on_where_a_file_cannot_be_read(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_text(GOOD)
    with (tmp_path / "large.xml").open("wb") as file:
        file.truncate((64 << 20) + 1)
    code, out, err = cli("validate", "--coverage", str(tmp_path))
    assert code == 0
    assert out.startswith("1 documents read, 1 refused\n")
    assert "large.xml: refused: " in err


def test_coverage_of_nothing_is_an_error(cli: Any, tmp_path: Path) -> None:
    result = cli("validate", "--coverage", str(tmp_path))
    assert result.code == 1
    assert "name a folder that has such files in it" in result.err


def test_a_schema_is_printed_of_one_kind_or_of_all(cli: Any) -> None:
    import json

    made = json.loads(cli("schema", "secret").out)
    assert made["title"] == "secret"
    assert "Domain" in json.loads(cli("schema").out)["$defs"]
    assert '<element name="secret">' in cli("schema", "--format", "rng", "secret").out
    assert cli("schema", "--format", "xsd").code == 2
    assert "did you mean <domain>?" in cli("schema", "domian").err
