"""Elements of the namespace that libvirt has for QEMU alone."""

from __future__ import annotations

from anyvirt.api import Domain, diff, dump, from_json, parse, to_json, unknown
from anyvirt_qemu.namespace import (
    URI,
    QemuCapabilities,
    QemuCommandLine,
    QemuDeprecation,
    QemuOverride,
)

TEXT = f"""\
<domain xmlns:qemu='{URI}' type='kvm'>
  <name>d</name>
  <memory unit='KiB'>65536</memory>
  <qemu:commandline>
    <qemu:arg value='-global'/>
    <qemu:arg value='a.b=c,,d'/>
    <qemu:env name='NS' value='ns'/>
    <qemu:env name='BAR'/>
  </qemu:commandline>
  <qemu:capabilities>
    <qemu:add capability='vnc-colon'/>
    <qemu:del capability='name'/>
  </qemu:capabilities>
  <qemu:override>
    <qemu:device alias='ua-disk'>
      <qemu:frontend>
        <qemu:property name='prop1' type='string' value='x'/>
        <qemu:property name='prop2' type='remove'/>
      </qemu:frontend>
    </qemu:device>
  </qemu:override>
  <qemu:deprecation behavior='crash'/>
</domain>
"""


def test_every_element_of_the_namespace_is_typed_and_comes_through_in_each_form() -> None:
    domain = parse(TEXT, Domain)
    assert unknown(domain) == ()
    line, abilities, override, deprecation = domain.extensions
    assert isinstance(line, QemuCommandLine)
    assert [argument.value for argument in line.arguments] == ["-global", "a.b=c,,d"]
    assert {variable.name: variable.value for variable in line.variables} == {"NS": "ns", "BAR": None}
    assert isinstance(abilities, QemuCapabilities)
    assert [x.capability for x in (*abilities.added, *abilities.removed)] == ["vnc-colon", "name"]
    assert isinstance(override, QemuOverride)
    assert [(x.name, x.type, x.value) for x in override.devices[0].properties] == [
        ("prop1", "string", "x"),
        ("prop2", "remove", None),
    ]
    assert isinstance(deprecation, QemuDeprecation)
    assert deprecation.behavior == "crash"
    assert dump(domain) == TEXT
    assert from_json(Domain, to_json(domain)) == domain


def test_what_is_misspelt_in_the_namespace_is_named_with_what_is_near() -> None:
    broken = TEXT
    for right, wrong in (
        ("qemu:env name='BAR'", "qemu:env nam='BAR'"),
        ("'crash'", "'crush'"),
        ("qemu:override>", "qemu:overide>"),
        ("qemu:arg value='-global'", "qemu:ar value='-global'"),
    ):
        broken = broken.replace(right, wrong)
    found = {problem.path: problem for problem in unknown(parse(broken, Domain))}
    assert {path: problem.hint for path, problem in found.items()} == {
        "/commandline[0]/qemu:ar": "did you mean 'arg'?",
        "/commandline[0]/env[1]/@nam": "did you mean 'name'?",
        "/qemu:overide": "did you mean 'override'?",
        "/deprecation[2]/@behavior": "did you mean 'crash'?",
    }
    assert found["/commandline[0]/qemu:ar"].text == "<commandline> has no element <qemu:ar>"
    assert found["/qemu:overide"].text == "the plug-in that knows this namespace has no element <qemu:overide>"


def test_another_word_shows_in_a_diff_by_its_path() -> None:
    domain = parse(TEXT, Domain)
    other = parse(TEXT.replace("a.b=c,,d", "a.b=e"), Domain)
    assert [str(x) for x in diff(domain, other)] == ["/commandline[0]/arg[1]/@value: 'a.b=c,,d' -> 'a.b=e'"]
