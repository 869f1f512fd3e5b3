from __future__ import annotations

from contextlib import suppress

import pytest
from anyvirt.api import Invalid, Problem
from anyvirt_esx.vmx.parse import FILE_MAX, LINE_MAX, parse, unescaped, unpercented
from anyvirt_esx.vmx.places import located, spelled
from anyvirt_esx.vmx.write import escaped, percented
from hypothesis import given
from hypothesis import strategies as st


def problems(data: bytes) -> tuple[Problem, ...]:
    with pytest.raises(Invalid) as caught:
        parse(data)
    return caught.value.problems


def test_keys_are_the_same_in_any_case() -> None:
    assert parse(b'DisplayName = "web"\n').text("displayname") == "web"


def test_the_last_of_two_settings_counts_and_is_told() -> None:
    v = parse(b'memsize = "64"\nMEMSIZE = "128"\n')
    assert v.text("memSize") == "128"
    assert v.notes == ["given more than once, and the last one counts: MEMSIZE"]


def test_comments_blank_lines_carriage_returns_and_bare_values_are_read() -> None:
    data = b'\xef\xbb\xbf#!/usr/bin/vmware\r\n\r\n  # a note\r\n a = "1" # why\r\nb=TRUE\r\nc = "x#y"\r\n'
    v = parse(data)
    assert [v.text(key) for key in "abc"] == ["1", "TRUE", "x#y"]


@pytest.mark.parametrize(
    "line", [b'a = "1', b'a = "1" "2"', b"a", b'= "1"', b'a b = "1"', b'a = "1\0"', b'a = "say "hi""']
)
def test_what_is_no_setting_is_told_with_its_line(line: bytes) -> None:
    (problem,) = problems(b'ok = "1"\n' + line + b"\n")
    assert (problem.code, problem.line) == ("config.invalid", 2)


def test_an_endless_line_and_an_endless_file_are_refused() -> None:
    (line,) = problems(b'a = "' + b"x" * LINE_MAX + b'"\n')
    assert (line.code, line.line) == ("config.range", 1)
    (file,) = problems(b"#" * (FILE_MAX + 1))
    assert file.code == "config.range"


def test_only_so_many_bad_lines_are_told() -> None:
    assert len(problems(b"bad\n" * 1000)) == 20


@pytest.mark.parametrize(
    ("name", "text"),
    [("windows-1252", "Büro € x"), ("GBK", "服务器"), ("Shift_JIS", "サーバ"), ("UTF-8", "é"), ("windows-936", "服"),
     ("windows-31J", "鯖"), ("ISO-8859-15", "€")],
)  # fmt: skip
def test_text_is_in_the_encoding_that_it_names(name: str, text: str) -> None:
    data = f'.encoding = "{name}"\na = "{text}"\n'
    codec = {"windows-936": "gbk", "windows-31J": "cp932"}.get(name, name)
    assert parse(data.encode(codec)).text("a") == text


def test_text_that_is_no_utf_8_and_names_no_encoding_is_taken_for_windows_1252() -> None:
    v = parse('a = "Büro"\n'.encode("cp1252"))
    assert v.text("a") == "Büro"
    assert "windows-1252" in v.notes[0]


@pytest.mark.parametrize("name", ["rot13", "utf-16", "unicode_escape", "zip", "../x", "windows-99999", "x" * 5000, "é"])
def test_encodings_that_are_none_are_refused(name: str) -> None:
    (problem,) = problems(f'# first\n.encoding = "{name}"\n'.encode())
    assert (problem.code, problem.path, problem.line) == ("config.invalid", ".encoding", 2)


def test_bytes_that_are_no_text_of_the_encoding_are_told_with_their_line() -> None:
    (problem,) = problems(b'.encoding = "UTF-8"\na = "1"\nb = "\xff"\n')
    assert problem.line == 3


@pytest.mark.parametrize("raw", ["a|", "a|4", "|zz", "||", "|E9", "|7C|"])
def test_escapes_that_are_none_are_problems_of_their_setting(raw: str) -> None:
    v = parse(f'\nannotation = "{raw}"\n'.encode())
    assert v.text("annotation") is None
    assert [(problem.code, problem.path, problem.line) for problem in v.problems] == [
        ("config.invalid", "annotation", 2)
    ]


def test_escapes_of_settings_that_nobody_reads_do_no_harm() -> None:
    assert parse(b'guestinfo.x = "a|b"\n').problems == []


def test_characters_that_no_definition_can_hold_are_refused() -> None:
    v = parse(b'annotation = "a|01"\n')
    assert v.text("annotation") is None
    assert v.problems[0].code == "config.invalid"


@pytest.mark.parametrize(("text", "word"), [("TRUE", True), ("yes", True), ("0", False), ("False", False)])
def test_flags_are_read_in_all_spellings(text: str, word: bool) -> None:
    assert parse(f'a = "{text}"'.encode()).flag("a", default=not word) is word


def test_wrong_flags_numbers_and_words_are_problems() -> None:
    v = parse(b'a = "maybe"\nb = "1e9"\nc = "-1"\nd = "x"\n')
    assert v.flag("a") is False
    assert v.number("b", 0, 9) is None
    assert v.number("c", 0, 9) is None
    assert v.one_of("d", {"y": "z"}) is None
    codes = [problem.code for problem in v.problems]
    assert codes == ["config.invalid", "config.invalid", "config.range", "unsupported.config"]


@given(st.text())
def test_escaped_text_comes_back_and_stays_between_its_quotes(text: str) -> None:
    raw = escaped(text)
    assert '"' not in raw
    assert "\n" not in raw
    assert unescaped(raw) == text


@given(st.text())
def test_names_with_percent_signs_come_back(text: str) -> None:
    assert unpercented(percented(text)) == text
    assert not {"/", "\\"} & set(percented(text))


def test_a_percent_sign_that_escapes_nothing_stays() -> None:
    assert unpercented("100% of 50%zz, %ff") == "100% of 50%zz, %ff"
    assert unpercented("a%2Fb%5cc%c3%a9") == "a/b\\cé"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_settings_or_refused(data: bytes) -> None:
    with suppress(Invalid):
        parse(data)


@pytest.mark.parametrize(
    ("name", "folder", "found"),
    [
        ("/vmfs/volumes/ds one/a b/c.vmdk", "", "[ds one] a b/c.vmdk"),
        ("c.vmdk", "[ds] web", "[ds] web/c.vmdk"),
        ("c.vmdk", "", "c.vmdk"),
        ("/data/c.vmdk", "[ds] web", "/data/c.vmdk"),
        ("[ds] c.vmdk", "[ds] web", "[ds] c.vmdk"),
        ("D:\\x\\c.vmdk", "[ds] web", "D:\\x\\c.vmdk"),
        ("\\\\nas\\c.vmdk", "[ds] web", "\\\\nas\\c.vmdk"),
        ("/vmfs/volumes/ds", "", "/vmfs/volumes/ds"),
    ],
)
def test_files_are_found_on_datastores_or_beside_the_file(name: str, folder: str, found: str) -> None:
    assert located(name, folder) == found


@pytest.mark.parametrize("name", ["[ds] a/b.vmdk", "/data/b.vmdk", "b.vmdk", "[] x", "[ds]"])
def test_names_of_files_come_back(name: str) -> None:
    assert located(spelled(name)) == name
