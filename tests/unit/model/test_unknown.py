"""What is not known is named by path and line, with the nearest name that is."""

from __future__ import annotations

import pytest
from anyvirt.errors import CODES
from anyvirt.model.domain import Domain
from anyvirt.model.strict import unknown
from anyvirt.model.xml import parse


def only(inner: str) -> tuple[str, str, int | None, str]:
    problems = unknown(parse(f"<domain>\n<name>d</name>\n{inner}\n</domain>", Domain))
    assert len(problems) == 1
    problem = problems[0]
    assert problem.code in CODES
    return problem.code, problem.path, problem.line, f"{problem.text}; {problem.hint}"


@pytest.mark.parametrize(
    ("inner", "code", "path", "words"),
    [
        ("<vcpuz>2</vcpuz>", "xml.unknown-element", "/vcpuz", "did you mean 'vcpu'?"),
        ("<vcpu curent='1'>2</vcpu>", "xml.unknown-attribute", "/vcpu/@curent", "did you mean 'current'?"),
        ("<vcpu units='1'>2</vcpu>", "xml.unknown-attribute", "/vcpu/@units", "has no attribute 'units'"),
        ("<memory unt='MiB'>2</memory>", "xml.unknown-attribute", "/memory/@unt", "did you mean 'unit'?"),
        ("<on_crash>restrat</on_crash>", "xml.value", "/on_crash", "did you mean 'restart'?"),
        ("<on_crash>x</on_crash>", "xml.value", "/on_crash", "use one of destroy, restart, preserve"),
        ("<vcpu>two</vcpu>", "xml.value", "/vcpu", "'two' is no number"),
        ("<uuid>12</uuid>", "xml.value", "/uuid", "is no UUID"),
        ("<features><acpi>on</acpi></features>", "xml.value", "/features/acpi", "takes no text"),
        ("<os><type>hvm</type><type>hvm</type></os>", "xml.unknown-element", "/os/type", "a second time"),
        ("<devices>words</devices>", "xml.value", "/devices", "takes no text"),
        ("<devices><dsk/></devices>", "xml.unknown-element", "/devices/dsk", "did you mean 'disk'?"),
        (
            "<devices><disk><target dev='vda' bus='virtoi'/></disk></devices>",
            "xml.value",
            "/devices/disk[vda]/target/@bus",
            "'virtio'",
        ),
        (
            "<devices><disk><target/><sauce/></disk></devices>",
            "xml.unknown-element",
            "/devices/disk[0]/sauce",
            "did you mean 'source'?",
        ),
        (
            "<devices><disk><target dev='a'/><source><host nam='x'/></source></disk></devices>",
            "xml.unknown-attribute",
            "/devices/disk[a]/source/host[0]/@nam",
            "did you mean 'name'?",
        ),
        (
            "<devices><disk><target dev='a'/><address type='pcj'/></disk></devices>",
            "xml.value",
            "/devices/disk[a]/address",
            "pci",
        ),
        ("<x:y xmlns:x='urn:x'/>", "xml.unknown-element", "/x:y", "no installed plug-in"),
    ],
)
def test_each_kind_of_unknown_content_is_named(inner: str, code: str, path: str, words: str) -> None:
    found = only(inner)
    assert found[:3] == (code, path, 3)
    assert words in found[3]


def test_all_are_listed_in_the_order_of_their_lines() -> None:
    text = "<domain>\n<a/>\n<name b='1'>d</name>\n<devices>\n<disk c='1'/>\n</devices>\n<d/>\n</domain>"
    assert [problem.line for problem in unknown(parse(text))] == [2, 3, 5, 7]


def test_a_document_that_is_understood_has_none() -> None:
    assert unknown(parse("<domain><name>d</name><!-- c --><metadata><x xmlns='urn:x'/></metadata></domain>")) == ()
