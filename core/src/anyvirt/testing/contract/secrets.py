"""Secrets: what they are for, and values that are seen nowhere else."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection, KeptSecret
from anyvirt.errors import Ambiguous, Denied, Exists, Invalid, NotFound, Unsupported, VirtError
from anyvirt.events import SecretChange, SecretLifecycle, SecretValueChange
from anyvirt.testing.guests import PREFIX, Watch
from anyvirt.testing.marks import each, needs, proves

Define = Callable[..., KeptSecret]
VALUE: Final = "correct horse \u00fc \udcff battery"  # with a byte that is no UTF-8
KEEPERS: Final = ("file", "keyring", "credential")
USES: Final = {"volume": "volume", "ceph": "name", "iscsi": "target", "tls": "name", "vtpm": "name"}


@pytest.fixture
def secret(connection: Connection) -> Iterator[Define]:
    """``secret(use="ceph", name=None, uuid=None, private=False, ephemeral=False)``: defined; removed in the end."""
    made: list[KeptSecret] = []

    def define(use: str = "ceph", name: str | None = None, **wishes: Any) -> KeptSecret:
        made.append(connection.secret_define(_xml(use, name or PREFIX + random.token_hex(4), **wishes)))
        return made[-1]

    yield define
    for one in made:
        with suppress(VirtError):
            one.undefine()


@proves("secret_define", "secret_list", "secret_undefine")
@needs("secret_config", "secret_info")
@pytest.mark.parametrize("use", USES)
def test_a_defined_secret_is_there_until_it_is_undefined(connection: Connection, secret: Define, use: str) -> None:
    name = f"/{PREFIX}{use}" if use == "volume" else PREFIX + use
    made = secret(use, name)
    assert made.ref in {one.ref for one in connection.secret_list()}
    model = made.config().model
    assert model.uuid == made.uuid
    assert (model.usage_type, getattr(model, f"usage_{USES[use]}")) == (use, name)
    assert connection.lookup_secret(name).ref == made.ref
    assert connection.lookup_secret(str(made.uuid)).ref == made.ref
    assert made.info().has_value is False
    assert made.info().keeper == ""
    made.undefine()
    assert made.ref not in {one.ref for one in connection.secret_list()}
    for gone in (made.info, made.config, made.undefine, made.value):
        with pytest.raises(NotFound):
            gone()
    with pytest.raises(NotFound):
        connection.lookup_secret(name)


@proves("secret_define")
@needs("secret_list", "secret_config")
def test_a_use_has_one_secret(connection: Connection, secret: Define) -> None:
    name = PREFIX + "taken"
    made = secret("ceph", name)
    before = len(connection.secret_list())
    with pytest.raises(Exists):
        secret("ceph", name)
    assert secret("ceph", name, uuid=made.uuid).ref == made.ref
    with pytest.raises(VirtError):
        secret("ceph", name + "-other", uuid=made.uuid)
    assert len(connection.secret_list()) == before
    assert made.config().model.usage_name == name
    secret("tls", name)
    with pytest.raises(Ambiguous):
        connection.lookup_secret(name)


@proves("secret_define")
@needs("secret_list")
@pytest.mark.parametrize(
    "xml",
    ["<secret", "<pool/>", "<secret><usage type='ceph'/></secret>", "<secret><usage type='moon'/></secret>",
     "<secret><value>plain</value></secret>"],
    ids=["text", "root", "nameless", "use", "value"],
)  # fmt: skip
def test_a_definition_that_is_none_is_refused(connection: Connection, xml: str) -> None:
    before = len(connection.secret_list())
    with pytest.raises(Invalid):
        connection.secret_define(xml)
    assert len(connection.secret_list()) == before


@proves("secret_set_value", "secret_value", "secret_info")
@needs("secret_define", "secret_undefine", "secret_config")
def test_a_value_is_given_out_as_it_was_and_stands_nowhere_else(connection: Connection, secret: Define) -> None:
    made = secret()
    with pytest.raises(NotFound) as refusal:
        made.value()
    assert refusal.value.code == "value.not-found"
    made.set_value(Secret(VALUE))
    assert made.value().reveal() == VALUE
    assert made.info().has_value is True
    assert made.info().keeper
    told = f"{made.config().text} {made.info()} {made.ref} {made.value()} {connection.secret_list()}"
    assert "horse" not in told
    made.set_value(Secret("another"))
    assert made.value().reveal() == "another"


@proves("secret_undefine", "secret_define")
@needs("secret_set_value", "secret_value", "secret_info")
def test_a_value_outlives_a_new_definition_and_goes_with_its_secret(secret: Define) -> None:
    name = PREFIX + "again"
    made = secret("ceph", name)
    made.set_value(Secret(VALUE))
    secret("ceph", name, uuid=made.uuid, description="another")
    assert made.config().model.description == "another"
    assert made.value().reveal() == VALUE
    made.undefine()
    again = secret("ceph", name, uuid=made.uuid)
    assert again.info().has_value is False
    with pytest.raises(NotFound):
        again.value()


@proves("secret_set_value.keeper")
@needs("secret_define", "secret_value", "secret_info", "secret_undefine")
@pytest.mark.parametrize("keeper", KEEPERS)
def test_whoever_keeps_a_value_gives_it_back(secret: Define, keeper: str) -> None:
    made = secret()
    try:
        made.set_value(Secret(VALUE), keeper)
    except (Denied, Unsupported) as lacking:
        assert lacking.hint  # noqa: PT017 - a host without it says so
        assert made.info().has_value is False
        return
    assert made.value().reveal() == VALUE
    assert made.info().keeper == keeper
    made.undefine()


@proves("secret_set_value.keeper")
@needs("secret_define", "secret_value", "secret_info")
def test_a_value_moves_from_one_keeper_to_another(secret: Define) -> None:
    made = secret()
    for number, keeper in enumerate((*KEEPERS, "file")):
        with suppress(Denied, Unsupported):
            made.set_value(Secret(f"value {number}"), keeper)
            assert made.value().reveal() == f"value {number}"
            assert made.info().keeper == keeper
    assert made.value().reveal() == f"value {len(KEEPERS)}"


@proves("secret_set_value")
@needs("secret_define", "secret_info", "secret_value")
def test_a_value_that_is_none_or_nobody_keeps_is_refused(secret: Define) -> None:
    made = secret()
    made.set_value(Secret("stays"))
    for value, keeper in (("", "file"), ("x", ""), ("x", "nobody"), ("x", "../file"), ("x", "memory")):
        with pytest.raises(Invalid) as refusal:
            made.set_value(Secret(value), keeper)
        assert "stays" not in str(refusal.value)
    assert made.value().reveal() == "stays"


@proves("secret_value")
@needs("secret_define", "secret_set_value", "secret_info")
def test_a_private_value_is_given_to_nobody_who_asks(secret: Define) -> None:
    made = secret(private=True)
    made.set_value(Secret(VALUE))
    assert made.info().has_value is True
    with pytest.raises(Denied) as refusal:
        made.value()
    assert "horse" not in str(refusal.value)
    assert made.config().model.private is True
    with pytest.raises(VirtError):
        secret("ceph", str(made.config().model.usage_name), uuid=made.uuid, private=False)
    with pytest.raises(Denied):
        made.value()


@proves("secret_define", "secret_set_value")
@needs("secret_value", "secret_info", "secret_config", "secret_undefine")
def test_an_ephemeral_secret_is_kept_in_memory(connection: Connection, secret: Define) -> None:
    made = secret(ephemeral=True)
    assert made.config().model.ephemeral is True
    made.set_value(Secret(VALUE))
    assert made.value().reveal() == VALUE
    assert made.info().keeper not in ("", "file", "credential")
    with pytest.raises((Invalid, Unsupported)):
        made.set_value(Secret(VALUE), "credential")
    made.undefine()
    assert made.ref not in {one.ref for one in connection.secret_list()}


@proves("secret_value")
@needs("secret_define", "secret_set_value")
def test_a_read_only_connection_is_given_no_value(secret: Define, open_connection: Callable[..., Connection]) -> None:
    made = secret()
    made.set_value(Secret(VALUE))
    readonly = open_connection(readonly=True)
    with pytest.raises(Denied) as refusal:
        readonly.secret_value(made.ref)
    assert refusal.value.code == "readonly"


@proves("secret_define", "secret_set_value")
@needs("secret_value", "secret_list", "secret_undefine")
def test_a_secret_is_there_for_every_connection(
    secret: Define, open_connection: Callable[..., Connection], shared: bool
) -> None:
    if not shared:
        pytest.skip("no fixture shared: each connection has secrets of its own")
    made = secret()
    made.set_value(Secret(VALUE))
    other = open_connection()
    there = other.secret(other.lookup_secret(str(made.uuid)).ref)
    assert there.value().reveal() == VALUE
    there.undefine()
    with pytest.raises(NotFound):
        made.value()


@needs()
@pytest.mark.parametrize("hook", each("secret_info", "secret_config"))
def test_secrets_that_are_gone_are_not_found_and_the_others_are_answered(
    connection: Connection, secret: Define, hook: str
) -> None:
    if "secret_define" not in connection.supports:
        pytest.skip("the driver has no secret_define")
    made = [secret() for _ in range(3)]
    made[1].undefine()
    answers = connection.session.bulk(hook, {"refs": tuple(one.ref for one in made)}, 10.0)
    assert [type(answers[one.ref].error) for one in made] == [type(None), NotFound, type(None)]


@proves("events_follow", "secret_define", "secret_set_value", "secret_undefine")
def test_the_life_of_a_secret_is_told_and_its_value_is_not(
    secret: Callable[..., KeptSecret], watch: Callable[..., Watch]
) -> None:
    told = watch()
    made = secret()
    made.set_value(Secret("never told"))
    made.undefine()
    told.until(lambda event: isinstance(event, SecretLifecycle) and event.change is SecretChange.UNDEFINED)
    events = [event for event in told.seen if event.ref == made.ref]
    assert [getattr(event, "change", type(event)) for event in events] == [
        SecretChange.DEFINED,
        SecretValueChange,
        SecretChange.UNDEFINED,
    ]
    assert "never told" not in repr(events)


def _xml(
    use: str,
    name: str,
    *,
    uuid: object = None,
    private: bool = False,
    ephemeral: bool = False,
    description: str = "for a test",
) -> str:
    known = f"<uuid>{uuid}</uuid>" if uuid else ""
    kept = f"ephemeral='{'yes' if ephemeral else 'no'}' private='{'yes' if private else 'no'}'"
    usage = f"<usage type='{use}'><{USES[use]}>{name}</{USES[use]}></usage>"
    return f"<secret {kept}>{known}<description>{description}</description>{usage}</secret>"
