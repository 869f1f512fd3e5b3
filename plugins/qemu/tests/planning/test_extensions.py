"""What a definition says to QEMU alone, in a plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anyvirt.api import Domain, Invalid, check, parse
from anyvirt_qemu.namespace import URI
from anyvirt_qemu.planning.plan import Caps, Plan

Planned = Callable[..., Plan]

GUEST = f"""
<domain type='qemu' xmlns:qemu='{URI}'><name>q</name><memory>65536</memory><os><type>hvm</type></os>%s</domain>
"""


def test_words_of_the_definition_are_at_the_end_of_the_command_line_as_they_are(planned: Planned) -> None:
    words = "<qemu:arg value='-global'/><qemu:arg value='a.b=c,d'/>"
    made = planned(GUEST % f"<qemu:commandline>{words}<qemu:env name='NS' value='n s'/></qemu:commandline>")
    assert made.argv[-2:] == ("-global", "a.b=c,d")
    assert made.env["NS"] == "n s"
    assert any("qemu:commandline" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("<qemu:commandline><qemu:arg/></qemu:commandline>", "/commandline[0]/arg[0]/@value"),
        ("<qemu:commandline><qemu:env name='A=B'/></qemu:commandline>", "/commandline[0]/env[A=B]/@name"),
        ("<qemu:override><qemu:device alias='ua-x'/></qemu:override>", "/override[0]/device[ua-x]/@alias"),
        ("<qemu:deprecation/>", "/deprecation[0]/@behavior"),
        (
            (
                "<devices><rng model='virtio'><backend model='builtin'/><alias name='ua-x'/></rng></devices>"
                "<qemu:override><qemu:device alias='ua-x'><qemu:frontend><qemu:property name='a'/>"
                "</qemu:frontend></qemu:device>"
                "</qemu:override>"
            ),
            "/override[0]/device[ua-x]/frontend/property[a]/@type",
        ),
    ],
)
def test_what_is_not_honoured_is_refused_by_path(part: str, path: str, planned: Planned) -> None:
    with pytest.raises(Invalid) as caught:
        planned(GUEST % part)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_an_alias_that_an_override_speaks_of_is_not_taken_twice() -> None:
    device = "<devices><rng model='virtio'><backend model='builtin'/><alias name='ua-x'/></rng></devices>"
    part = "<qemu:override><qemu:device alias='ua-x'/></qemu:override>"
    assert check(parse(GUEST % f"{device}{part}", Domain)) == ()


def test_no_behavior_towards_what_is_deprecated_is_what_is_so_anyway(planned: Planned) -> None:
    assert planned(GUEST % "<qemu:deprecation behavior='none'/>").argv == planned(GUEST % "").argv


def test_what_qemu_is_said_to_lack_is_not_used_and_names_of_libvirts_own_are_told(
    planned: Planned, caps: Callable[..., Caps]
) -> None:
    part = "<qemu:capabilities><qemu:add capability='vnc'/><qemu:del capability='{}'/></qemu:capabilities>"
    made = planned(GUEST % part.format("hda"), caps=caps(lacking=frozenset({"hda"})))
    assert made.argv == planned(GUEST % "").argv
    assert [warning for warning in made.warnings if "vnc, hda" in warning]
    device = "<devices><rng model='virtio'><backend model='builtin'/></rng></devices>"
    with pytest.raises(Invalid, match="virtio-rng-pci") as caught:
        planned(GUEST % (device + part.format("virtio-rng-pci")))
    assert [problem.path for problem in caught.value.problems] == ["/devices/rng[0]"]
