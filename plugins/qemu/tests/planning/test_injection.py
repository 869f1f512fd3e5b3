"""No text of a definition becomes an option of its own, whatever is in it.

Each text of a benign definition is replaced by a hostile one; then either the
definition is refused, or QEMU is given the same options with the text as one value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Element, Invalid, dump, parse, unknown
from anyvirt_qemu.planning.options import Unsafe, jsonstr, optstr
from anyvirt_qemu.planning.plan import Plan
from hypothesis import given, settings
from hypothesis import strategies as st

GUEST = """<domain type='qemu'>
  <name>benign</name>
  <title>benign</title>
  <maxMemory slots='4' unit='GiB'>2</maxMemory>
  <memory unit='MiB'>128</memory>
  <sysinfo type='smbios'>
    <bios><entry name='vendor'>benign</entry></bios>
    <system><entry name='serial'>benign</entry></system>
    <baseBoard><entry name='product'>benign</entry></baseBoard>
    <chassis><entry name='asset'>benign</entry></chassis>
    <oemStrings><entry>other</entry></oemStrings>
  </sysinfo>
  <sysinfo type='fwcfg'>
    <entry name='opt/benign'>benign</entry>
    <entry name='opt/file' file='/benign'/>
  </sysinfo>
  <os>
    <smbios mode='sysinfo'/>
    <acpi><table type='slic'>/benign</table></acpi>
    <type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash'>/benign</loader>
    <nvram template='/benign'>/benign</nvram>
    <kernel>/benign</kernel><initrd>/benign</initrd><cmdline>benign</cmdline><dtb>/benign</dtb>
  </os>
  <features><acpi/></features>
  <cpu mode='custom'><model vendor_id='benign'>Nehalem</model><feature name='benign'/>
    <numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>
  <clock offset='timezone' timezone='benign'/>
  <devices>
    <disk type='file'>
      <driver type='qcow2'/><source file='/benign'/>
      <backingStore type='file'><format type='raw'/><source file='/benign'/></backingStore>
      <target dev='vda'/><serial>benign</serial>
      <iotune><total_bytes_sec>1</total_bytes_sec><group_name>benign</group_name></iotune>
      <alias name='ua-benign'/>
    </disk>
    <disk type='block'><source dev='/benign'/><target dev='sda' bus='scsi'/><vendor>benign</vendor>
      <product>benign</product></disk>
    <controller type='scsi' model='virtio-scsi'/>
    <interface type='bridge'><source bridge='benign'/><target dev='benign'/><model type='virtio'/>
      <rom file='/benign'/></interface>
    <serial type='pty'><log file='/benign'/></serial>
    <serial type='unix'><source mode='bind' path='/benign'/></serial>
    <serial type='unix'><source mode='connect' path='/benign'/></serial>
    <serial type='file'><source path='/benign'/></serial>
    <serial type='tcp'><source mode='bind' host='benign' service='benign'/></serial>
    <channel type='unix'><target type='virtio' name='benign'/></channel>
    <graphics type='vnc' port='5900' listen='benign' keymap='benign' passwd='benign'/>
    <graphics type='vnc' socket='/benign'/>
    <memory model='nvdimm'><source><path>/benign</path></source>
      <target><size unit='MiB'>64</size><node>0</node></target></memory>
    <audio id='1' type='pulseaudio' serverName='benign'>
      <input name='benign' streamName='benign'/>
    </audio>
    <audio id='2' type='file' path='/benign'/>
    <sound model='ac97'><audio id='2'/></sound>
    <rng><backend model='random'>/benign</backend></rng>
    <input type='passthrough' bus='virtio'><source evdev='/benign'/></input>
  </devices>
</domain>"""

PIECES = [
    ",", ",,", "=", ",id=evil", ",readonly=on", "'", '"', "\\", "\n",
    "\0", "\t", "\x7f", "%s", "$(x)", "`x`", "{",
    "}", "nbd:evil", '","id":"evil', '{"driver":"evil"}', "json:{}", "-device", " -device evil", ":", "/", "..",
    "é", "\u2028", "unix:/evil", ",,,id=evil", "fd=99", "\r", ";", "|", "a", "[", "]", "\ud800",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
Planned = Callable[..., Plan]


def places(x: Any, wanted: Callable[[str], bool], path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the texts are; words of a closed set are none."""
    if isinstance(x, str):
        return [path] if type(x) is str and wanted(x) else []
    if isinstance(x, tuple):
        return [place for number, item in enumerate(x) for place in places(item, wanted, (*path, number))]
    if isinstance(x, Element):
        return [place for name in type(x)._fields for place in places(getattr(x, name), wanted, (*path, name))]
    return []


def changed(x: Any, path: tuple[Any, ...], text: str) -> Any:
    """The definition with ``text`` at the end of one of its own."""
    if not path:
        return x + text
    name, *rest = path
    if isinstance(name, int):
        return tuple(changed(item, tuple(rest), text) if at == name else item for at, item in enumerate(x))
    return x.replace(**{name: changed(getattr(x, name), tuple(rest), text)})


def replaced(x: Any, path: tuple[Any, ...], text: str) -> Any:
    """The definition with one text replaced; a path stays a path."""
    name, *rest = path
    old = getattr(x, name)
    if not rest:
        return x.replace(**{name: ("/" if old.startswith("/") else "ua-" if old.startswith("ua-") else "") + text})
    if isinstance(old, tuple):
        number, *inner = rest
        items = list(old)
        items[number] = replaced(items[number], tuple(inner), text)
        return x.replace(**{name: tuple(items)})
    return x.replace(**{name: replaced(old, tuple(rest), text)})


BENIGN = parse(GUEST, Domain)
PLACES = places(BENIGN, lambda text: text.endswith("benign"))


def options(text: str) -> list[tuple[str, str]]:
    """A comma form taken apart the way QEMU does it."""
    parts, rest = [], text
    while rest:
        part = ""
        while rest:
            before, comma, after = rest.partition(",")
            part += before
            if comma and after.startswith(","):
                part, rest = part + ",", after[1:]
                continue
            rest = after
            break
        parts.append(part)
    return [(part.partition("=")[0], part.partition("=")[2]) for part in parts]


def shape(plan: Plan) -> list[Any]:
    """What QEMU would understand: flags, and the keys of each option, without the values."""
    made: list[Any] = []
    words = list(plan.argv[1:])
    while words:
        flag = words.pop(0)
        if flag in {"-S", "-no-user-config", "-nodefaults"}:
            made.append(flag)
            continue
        value = words.pop(0)
        if flag in {"-kernel", "-initrd", "-append", "-dtb", "-bios", "-k", "-display", "-uuid"}:
            made.append(flag)
        elif value.startswith("{"):
            decoded = json.loads(value)
            made.append((flag, sorted(decoded), decoded.get("driver") if "drive" not in decoded else ""))
        elif flag == "-cpu":
            made.append((flag, value.count(",")))
        else:
            made.append((flag, [key for key, _ in options(value)]))
    return made


@pytest.fixture(scope="module")
def benign(planned: Planned) -> list[Any]:
    return shape(planned(BENIGN))


def test_the_benign_definition_has_texts_everywhere_and_is_planned(benign: list[Any]) -> None:
    assert len(PLACES) >= 30
    assert ("-vnc", ["vnc", "password", "audiodev"]) in benign


@settings(max_examples=600, deadline=None)
@given(place=st.sampled_from(PLACES), text=HOSTILE)
def test_a_hostile_text_is_one_value_or_refused(
    place: tuple[Any, ...], text: str, planned: Planned, benign: list[Any]
) -> None:
    try:
        plan = planned(replaced(BENIGN, place, text))
    except Invalid:
        return
    assert shape(plan) == benign
    assert not any("\0" in word for word in plan.argv)


def test_every_text_of_the_golden_definitions_is_one_value_or_refused(
    document: Path, planned: Planned, complete: Callable[..., Domain]
) -> None:
    if document.stem == "own-words":
        pytest.skip("a user's own words to QEMU are options")
    domain = complete(document.read_text())
    benign, found = shape(planned(domain)), places(domain, bool)
    assert found
    for place in found:
        for text in (",id=evil", ',,",{"x":1}\n'):
            try:
                definition = parse(dump(changed(domain, place, text)), Domain)
                plan = planned(definition)
            except Invalid:
                continue
            assert unknown(definition) or shape(plan) == benign, (place, text)


@given(value=HOSTILE)
def test_a_value_of_the_comma_form_comes_back_as_it_was(value: str) -> None:
    try:
        text = optstr("socket", {"id": "a", "path": value, "on": True, "none": None})
    except Unsafe:
        assert any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in value)
        return
    assert options(text) == [("socket", ""), ("id", "a"), ("path", value), ("on", "on")]


@given(value=HOSTILE)
def test_a_value_of_the_json_form_comes_back_as_it_was(value: str) -> None:
    try:
        text = jsonstr({"id": "a", "list": [{"str": value}], "none": None})
    except Unsafe:
        assert "\0" in value or any(0xD800 <= ord(letter) < 0xE000 for letter in value)
        return
    assert json.loads(text) == {"id": "a", "list": [{"str": value}]}
    assert "\n" not in text
