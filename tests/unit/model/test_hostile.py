"""Documents that mean harm: refused with a reason, quickly, before they cost anything."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.domain import Domain
from anyvirt.model.limits import Limits, admit
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse

LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE domain [
 <!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<domain><name>&c;</name></domain>"""


def refused(document: str | bytes, limits: Limits | None = None) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        parse(document, limits=limits or Limits())
    return tuple(problem.code for problem in caught.value.problems)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "   ",
        "no markup",
        "<domain>",
        "<domain></disk>",
        "<domain><name>x</domain>",
        "<domain/><domain/>",
        "<domain type='a' type='b'/>",
        "<domain><name>&undefined;</name></domain>",
        "<domain><name>&#0;</name></domain>",
        "<domain><q:a/></domain>",
        "<domain><!-- never closed",
        '<domain a="<"/>',
        "<![CDATA[",
        b"\xff\xfe<\x00d\x00",
        b"<domain>\xff\xfe</domain>",
        b"<?xml version='1.0' encoding='utf-7'?><domain/>",
        "<domain><name>\ud800</name></domain>",
    ],
)
def test_broken_documents_are_malformed(document: str | bytes) -> None:
    assert set(refused(document)) == {"xml.malformed"}


def test_the_line_of_what_is_broken_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        parse("<?xml version='1.0'?>\n<domain>\n  <name>x</nam>\n</domain>")
    assert caught.value.problems[0].line == 3


@pytest.mark.parametrize(
    "document",
    [
        LAUGHS,
        '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>',
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>',
        '<!DOCTYPE d [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]><domain/>',
    ],
)
def test_document_types_and_entities_are_refused_before_any_tree(document: str) -> None:
    with pytest.raises(Invalid, match="document type or entity"):
        admit(document)
    assert refused(document) == ("xml.malformed",)


def test_the_words_of_a_document_type_may_stand_in_a_comment_or_cdata() -> None:
    x = parse("<domain><!-- <!DOCTYPE --><name><![CDATA[<!DOCTYPE <!ENTITY]]></name></domain>", Domain)
    assert x.name == "<!DOCTYPE <!ENTITY"


@pytest.mark.parametrize("character", ["\0", "\x01", "\x0b", "\x1f"])
def test_control_characters_are_refused_with_their_line(character: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(f"<domain>\n<name>a{character}b</name></domain>")
    assert [(p.code, p.line) for p in caught.value.problems] == [("xml.malformed", 2)]


def test_depth_is_bounded_before_any_tree() -> None:
    deep = "<a>" * 300 + "</a>" * 300
    with pytest.raises(Invalid, match="nested deeper than 256"):
        admit(deep)
    assert refused(f"<domain>{deep}</domain>") == ("xml.limits",)
    admit("<a>" * 256 + "</a>" * 256)
    assert refused("<domain><a><b/></a></domain>", Limits(elements=2, depth=9)) == ("xml.limits",)
    assert refused("<domain><a><b/></a></domain>", Limits(depth=2)) == ("xml.limits",)


def test_depth_of_models_is_bounded_without_a_stack_overflow() -> None:
    chain = "<backingStore>" * 240 + "</backingStore>" * 240
    try:
        x = parse(f"<disk><target dev='vda'/>{chain}</disk>")
    except Invalid as error:
        codes = {problem.code for problem in error.problems}
        text = ""
    else:
        codes = {"xml.limits"}
        text = dump(x)
    assert codes == {"xml.limits"}
    assert text.count("backingStore") in (0, 479)


def test_elements_are_counted_before_any_tree() -> None:
    many = "<domain><devices>" + "<a/>" * 200_000 + "</devices></domain>"
    with pytest.raises(Invalid, match="more than 200,000 elements"):
        admit(many)
    assert len(unknown(parse("<domain>" + "<a/>" * 500 + "</domain>"))) == 500


def test_tags_in_comments_and_attributes_are_not_counted() -> None:
    text = "<domain><!--" + "<a>" * 300 + "--><name a='" + "/>" * 300 + "'>x</name></domain>"
    assert parse(text, Domain, limits=Limits(elements=3, depth=2)).name == "x"


def test_size_is_bounded_before_anything_is_read() -> None:
    big = "<domain a='" + "x" * (10 * 1024 * 1024) + "'/>"
    started = time.monotonic()
    assert refused(big) == ("xml.limits",)
    assert refused(big.encode()) == ("xml.limits",)
    assert refused("<domain a='" + "\u00e9" * (6 * 1024 * 1024) + "'/>") == ("xml.limits",)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "document",
    [
        "<domain " + " ".join(f"a{number}='x'" for number in range(100_000)) + "/>",
        "<domain a='" + "y" * 9_000_000 + "'/>",
        "<domain><name>" + "<!--" * 2_000_000 + "</name></domain>",
        "<domain " + "='\"" * 2_000_000,
        "<" * 5_000_000,
        "<domain><metadata>" + "<a b='&lt;'/>" * 100_000 + "</metadata></domain>",
        "<domain><vcpu cpuset='" + "0-16000," * 1000 + "1'/></domain>",
        "<domain><vcpu>" + "9" * 5_000_000 + "</vcpu></domain>",
    ],
    ids=["attributes", "attribute", "comments", "quotes", "open", "metadata", "cpuset", "digits"],
)
def test_no_document_takes_long(document: str) -> None:
    started = time.monotonic()
    try:
        unknown(parse(document, Domain))
    except Invalid as error:
        assert error.problems  # noqa: PT017 - refused or read, either is right; only slow is wrong
    assert time.monotonic() - started < 20


MEMORY = """
import resource, sys
from anyvirt.errors import Invalid
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse
text = {text}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    x = parse(text, Domain)
except Invalid:
    pass
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(used, 64 * 2**20 + 40 * len(text))
"""


@pytest.mark.parametrize(
    "text",
    [
        "'<domain><devices>' + '<disk/>' * 199000 + '</devices></domain>'",
        "'<domain><devices>' + '<rng/>' * 199000 + '</devices></domain>'",
        "'<domain>' + '<a/>' * 199000 + '</domain>'",
        "'<domain><devices>' + '<disk><target dev=\"vda\"/><x/></disk>' * 66000 + '</devices></domain>'",
        "'<domain ' + ' '.join(f'a{n}=\"\"' for n in range(400000)) + '/>'",
    ],
)
def test_memory_stays_within_64_mb_and_40_times_the_document(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY.format(text=text)], capture_output=True, text=True, check=True)
    used, allowed = map(int, done.stdout.split())
    assert used <= allowed
