"""What secrets are for, who may see their values, and what is told of them."""

from __future__ import annotations

import logging
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Connection, Denied, Document, Exists, Invalid, KeptSecret, NotFound, Secret, Secrets, VirtError
from anyvirt.api import open as opened
from anyvirt.client._generated_sync import KeptSecret as Handle

UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
VALUE = b"Tr0ub4dor\n\x00\xff"
Given = Callable[..., Handle]
Xml = Callable[..., str]


def shown(value: Secret) -> bytes:
    return value.reveal().encode("utf-8", "surrogateescape")


def test_a_value_comes_back_byte_for_byte(given: Given) -> None:
    one = given(VALUE)
    assert shown(one.value()) == VALUE
    one.set_value(Secret("another"))
    assert shown(one.value()) == b"another"


def test_a_secret_is_found_by_its_uuid_and_by_what_it_is_for(
    keeping: Connection, given: Given, secrets: Secrets
) -> None:
    one = given(VALUE, "file", "ceph", "client.admin")
    assert keeping.lookup_secret("client.admin").ref == keeping.lookup_secret(one.uuid or "").ref == one.ref
    assert shown(secrets.find("ceph", "client.admin")) == VALUE
    assert shown(secrets.find("ceph", (one.uuid or "").upper())) == VALUE


def test_one_name_has_a_secret_for_each_use(keeping: Connection, given: Given, secrets: Secrets) -> None:
    given(b"of ceph", "file", "ceph", "admin")
    given(b"of tls", "file", "tls", "admin")
    assert shown(secrets.find("ceph", "admin")) == b"of ceph"
    assert shown(secrets.find("tls", "admin")) == b"of tls"
    with pytest.raises(VirtError) as caught:
        keeping.lookup_secret("admin")
    assert caught.value.code == "secret.ambiguous"


def test_a_secret_for_something_else_is_not_given(given: Given, secrets: Secrets) -> None:
    one = given(VALUE, "file", "iscsi", "iqn.2026-01.test:a")
    with pytest.raises(Invalid, match="is for iscsi, not for volume"):
        secrets.find("volume", one.uuid or "")
    with pytest.raises(NotFound) as caught:
        secrets.find("volume", "iqn.2026-01.test:a")
    assert caught.value.code == "secret.not-found"


def test_a_secret_without_a_use_is_found_by_its_uuid_alone(given: Given, secrets: Secrets) -> None:
    one = given(VALUE, "file", "none", "")
    assert one.ref.name is None
    assert shown(secrets.find("volume", one.uuid or "")) == VALUE


@pytest.mark.parametrize("length", [3, 199, 200, 4000])
def test_a_path_of_any_length_has_one_secret(length: int, keeping: Connection, secret_xml: Xml) -> None:
    path = "/" + "ä" * (length // 2)
    one = keeping.secret_define(secret_xml("volume", path))
    assert [ref.ref.name for ref in keeping.secret_list()] == [path]
    assert keeping.lookup_secret(path).ref == one.ref
    with pytest.raises(Exists):
        keeping.secret_define(secret_xml("volume", path))


def test_a_second_secret_for_the_same_thing_is_refused(keeping: Connection, secret_xml: Xml) -> None:
    one = keeping.secret_define(secret_xml())
    with pytest.raises(Exists) as caught:
        keeping.secret_define(secret_xml(uuid=UUID))
    assert caught.value.code == "secret.exists"
    assert str(one.uuid) in str(caught.value)


def test_a_new_description_leaves_the_value(keeping: Connection, given: Given) -> None:
    one = given(VALUE)
    model = one.config().model.replace(description="for the cellar")
    assert keeping.secret_define(Document(model=model)).ref == one.ref
    assert one.config().model.description == "for the cellar"
    assert shown(one.value()) == VALUE


@pytest.mark.parametrize(
    ("change", "path"),
    [({"private": True}, "/@private"), ({"ephemeral": True}, "/@ephemeral"), ({"usage_volume": "/srv/b"}, "/usage")],
)
def test_a_secret_does_not_become_another_one(
    change: dict[str, object], path: str, keeping: Connection, given: Given
) -> None:
    one = given(VALUE)
    before = one.config().text
    with pytest.raises(Invalid) as caught:
        keeping.secret_define(Document(model=one.config().model.replace(**change)))
    assert [problem.path for problem in caught.value.problems] == [path]
    assert one.config().text == before


@pytest.mark.parametrize(
    "wrong",
    [
        "<secret><usage type='volume'/></secret>",
        "<secret><usage type='volume'><name>a</name></usage></secret>",
        "<secret><usage type='rbd'><name>a</name></usage></secret>",
        "<secret><value>aGVsbG8=</value></secret>",
        "<secret ephemeral='perhaps'/>",
    ],
)
def test_a_wrong_definition_is_refused(wrong: str, keeping: Connection) -> None:
    with pytest.raises(Invalid):
        keeping.secret_define(wrong)
    assert list(keeping.secret_list()) == []


def test_what_is_unknown_in_a_definition_is_not_kept(keeping: Connection, state: Path) -> None:
    keeping.secret_define("<secret><value>aGVsbG8=</value></secret>", keep_unknown=True)
    assert not holding(state, b"aGVsbG8=")


def test_a_private_value_is_for_storage_and_guests_alone(given: Given, secrets: Secrets) -> None:
    one = given(VALUE, private=True)
    with pytest.raises(Denied, match="is private"):
        one.value()
    assert shown(secrets.find("volume", "/srv/a")) == VALUE


def test_a_secret_without_a_value_says_so(keeping: Connection, secret_xml: Xml, secrets: Secrets) -> None:
    one = keeping.secret_define(secret_xml())
    assert (one.info().has_value, one.info().keeper) == (False, "")
    asks: list[Callable[[], Secret]] = [one.value, lambda: secrets.find("volume", "/srv/a")]
    for ask in asks:
        with pytest.raises(NotFound) as caught:
            ask()
        assert (caught.value.code, "set-value" in caught.value.hint) == ("value.not-found", True)


def test_a_read_only_connection_gives_and_takes_no_value(keeping: Connection, given: Given, state: Path) -> None:
    one = given(VALUE)
    with opened("storage:///session", state_dir=state, readonly=True) as reading:
        other = reading.lookup_secret("/srv/a")
        assert other.info().has_value
        for refused in (other.value, lambda: other.set_value(Secret("x")), other.undefine):
            with pytest.raises(Denied) as caught:
                refused()
            assert caught.value.code == "readonly"
        with pytest.raises(Denied):
            reading.secret_define(one.config())


def test_an_undefined_secret_leaves_nothing(keeping: Connection, given: Given, state: Path) -> None:
    one = given(VALUE)
    one.undefine()
    assert list(keeping.secret_list()) == []
    assert not holding(state, VALUE)
    for gone in (one.undefine, one.value, one.config, one.info, lambda: one.set_value(Secret("x"))):
        with pytest.raises(NotFound):
            gone()


def test_what_happens_is_told_without_the_value(keeping: Connection, given: Given) -> None:
    with keeping.events() as feed:
        one = given(VALUE)
        one.undefine()
        told = [feed.get(10) for _ in range(3)]
    assert [event.kind for event in told] == ["secret-lifecycle", "secret-value-changed", "secret-lifecycle"]
    assert [event.ref for event in told] == [one.ref] * 3
    assert all(hidden(repr(event)) for event in told)


def test_no_error_no_traceback_and_no_log_has_a_value(
    keeping: Connection, given: Given, secret_xml: Xml, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    value = Secret(VALUE.decode("utf-8", "surrogateescape"))
    one, passing = given(VALUE, private=True), keeping.secret_define(secret_xml("tls", "x", ephemeral=True))
    ghost = keeping.secret_define(secret_xml("ceph", "ghost"))
    ghost.undefine()
    for wrong in (
        lambda: one.set_value(value, "attic"),
        lambda: one.set_value(Secret("\udbff" + value.reveal())),
        lambda: one.set_value(Secret(value.reveal() * 9000)),
        lambda: one.set_value(Secret("")),
        lambda: passing.set_value(value, "credential"),
        lambda: ghost.set_value(value),
        one.value,
    ):
        with pytest.raises(VirtError) as caught:
            wrong()
        assert hidden("".join(traceback.format_exception(caught.value)))
        assert hidden(repr(caught.value) + caught.value.hint + repr(caught.value.details))
    assert hidden(caplog.text)
    assert hidden(repr(KeptSecret()) + repr(one.value) + repr(value))


def hidden(text: str) -> bool:
    return "Tr0ub4dor" not in text and b64encode(VALUE).decode()[:12] not in text


def holding(folder: Path, value: bytes) -> list[Path]:
    """The files below a folder that have a value, as it is or in base 64."""
    words = (value, b64encode(value))
    return [one for one in folder.rglob("*") if one.is_file() and any(word in one.read_bytes() for word in words)]
