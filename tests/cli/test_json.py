"""What ``--json`` prints, held still by golden files: fields are only ever added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anyvirt.cli._index import COMMANDS
from anyvirt.cli.parse import Entry

LINES = {
    "list": "list --all",
    "define": "define -",
    "create": "create -",
    "start": "start old web",
    "shutdown": "shutdown web",
    "reboot": "reboot web",
    "reset": "reset web",
    "destroy": "destroy web db",
    "suspend": "suspend web",
    "resume": "resume db",
    "undefine": "undefine old",
    "info": "info web",
    "state": "state web stuck",
    "stats": "stats",
    "blkinfo": "blkinfo web",
    "events": "events --count 3",
    "wait": "wait old",
    "dumpxml": "dumpxml web",
    "rename": "rename old older",
    "autostart": "autostart old",
    "plan": "plan -",
    "apply": "apply -",
    "validate": "validate -",
    "convert": "convert --to yaml -",
    "save": "save web /tmp/web.save",
    "restore": "restore /tmp/web.save",
    "jobs": "jobs",
    "recover": "recover",
    "import-libvirt": "import-libvirt --dry-run",
    "help": "help start",
    "host info": "host info",
    "host facts": "host facts",
    "net list": "net list",
    "net info": "net info default",
    "net dumpxml": "net dumpxml default",
    "iface list": "iface list",
    "iface dumpxml": "iface dumpxml eth0",
    "domstats": "domstats --state web",
    "domblkstat": "domblkstat web vda",
    "domifstat": "domifstat web tap0",
    "dommemstat": "dommemstat web",
    "vcpucount": "vcpucount web",
    "vncdisplay": "vncdisplay web",
    "domid": "domid web",
    "domuuid": "domuuid web",
    "domname": "domname 1",
    "domblklist": "domblklist web",
    "domiflist": "domiflist web",
    "domxml-from-native": "domxml-from-native domain -",
    "domxml-to-native": "domxml-to-native yaml web",
    "hostname": "hostname",
    "uri": "uri",
    "version": "version",
}
# what these print is not one object of a fixed shape: an editor, bytes, what is installed or declared, what was merged
APART = {"edit", "console", "drivers", "host capabilities", "schema"}
APART |= {path for path in COMMANDS if path.partition(" ")[0] in {"pool", "vol", "secret"}}  # test_stores_json has them
APART |= {"host domcapabilities", "cpu models", "cpu baseline", "cpu compare"}  # test_cpu has them
DOMAIN = (
    "<domain type='test'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
)
DOCUMENTS = {
    "create": DOMAIN.format("new"),
    "plan": DOMAIN.format("web"),
    "apply": DOMAIN.format("web"),
    "validate": DOMAIN.format("web").replace("<vcpu>", "<vpcu>").replace("</vcpu>", "</vpcu>"),
}


def test_every_command_has_a_line_here() -> None:
    own = {path for path, row in COMMANDS.items() if not Entry(*row).hidden}
    assert own - LINES.keys() - APART == set()


@pytest.mark.parametrize("name", LINES)
def test_the_shape_is_as_it_was(name: str, cli: Any, fake: Any, golden: Any) -> None:
    fake.events = story(fake)
    shown(fake, name)
    result = cli("--json", *LINES[name].split(), stdin=document(name))
    objects = [json.loads(text) for text in _objects(result.out)]
    masked = json.dumps([_masked(one) for one in objects], indent=1, sort_keys=True) + "\n"
    golden(f"json/{name.replace(' ', '-')}.json", f"exit {result.code}\n{masked}")


@pytest.mark.parametrize("name", LINES)
def test_the_schema_is_the_commands_own(name: str, cli: Any, fake: Any) -> None:
    fake.events = story(fake)
    shown(fake, name)
    result = cli(*LINES[name].split(), "--json", stdin=document(name))
    schemas = {json.loads(text)["schema"] for text in _objects(result.out)}
    assert schemas == {f"{name.replace(' ', '-')}/1"}


def document(name: str) -> str:
    kind = name.split(maxsplit=1)[0]
    return DOCUMENTS.get(name) or DOCUMENTS.get(kind) or DOMAIN.format("new")


def shown(fake: Any, command: str) -> None:
    """Give ``web`` a screen where that is asked for."""
    if command != "vncdisplay":
        return
    web = next(guest for guest in fake.guests.values() if guest.ref.name == "web")
    screen = "<devices><graphics type='vnc' port='5903'><listen type='address' address='::1'/></graphics></devices>"
    web.xml = web.xml.replace("</domain>", f"{screen}</domain>")


def story(fake: Any) -> list[Any]:
    from anyvirt.events import Change, Gap, Lifecycle, Reboot

    web = next(ref for ref in fake.guests if ref.name == "web")
    return [
        Lifecycle(ref=web, change=Change.STARTED, detail="booted", at=1000.25, token="t1"),
        Gap(at=1001.0, since=940.0, reason="pruned", token="t2"),
        Reboot(ref=web, at=1002.5, token="t3"),
    ]


def _objects(text: str) -> list[str]:
    found, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        _value, end = decoder.raw_decode(rest)
        found.append(rest[:end])
        rest = rest[end:].strip()
    return found


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    if name == "at" and value > 1e6:
        return "TIME"
    if name in {"anyvirt", "token"} or (isinstance(value, str) and str(Path.cwd()) in value):
        return name.upper()
    return value
