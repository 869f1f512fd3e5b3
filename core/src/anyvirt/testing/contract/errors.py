"""Errors: each one coded, none of the hypervisor's own classes, refused before anything happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from anyvirt.auth import Secret
from anyvirt.client._generated_sync import Connection
from anyvirt.document import Document
from anyvirt.errors import CODES, Denied, NotFound, Unsupported, VirtError
from anyvirt.hooks.table import OPENERS, SPECS
from anyvirt.model.state import State
from anyvirt.ref import Ref
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import each, needs, proves

# what else a call needs, beside the ref of something that is not there
MORE: Final[dict[str, dict[str, Any]]] = {
    "domain_rename": {"name": "elsewhere"},
    "domain_set_autostart": {"on": True},
    "pool_set_autostart": {"enabled": True},
    "secret_set_value": {"value": Secret("never kept")},
    "volume_declare": {"config": Document("<volume><name>never-was</name><capacity>1</capacity></volume>")},
}
ABOUT_ONE: Final = sorted(
    name
    for name, spec in SPECS.items()
    if spec.kind in {"call", "stream"}
    and "ref" in spec.parameters
    and not spec.all
    and spec.area in {"domain", "secret", "storage"}
)
PARENT: Final = Ref("pool", "00000000-dead-4000-8000-000000000001", name="no-pool")


def _gone(hook: str) -> Ref:
    kind = hook.partition("_")[0]
    return Ref(kind, "00000000-dead-4000-8000-000000000000", PARENT if kind == "volume" else None, name="never-was")


@needs()
@pytest.mark.parametrize("hook", each(*ABOUT_ONE))
def test_what_is_not_there_is_not_found(connection: Connection, hook: str) -> None:
    ref = _gone(hook)
    with pytest.raises(NotFound) as lost:
        connection.session.call(hook, {"ref": ref, **MORE.get(hook, {})}, 10.0)
    assert lost.value.code == f"{ref.kind}.not-found"
    assert lost.value.code in CODES
    assert "never-was" in str(lost.value)


@proves("domain_save")
def test_what_is_not_there_cannot_be_saved(connection: Connection, tmp_path: object) -> None:
    with pytest.raises(NotFound):
        connection.domain_save(_gone("domain_save"), f"{tmp_path}/saved").wait(10)


@needs("domain_list")
def test_an_error_carries_code_hint_and_number_across_pickling(connection: Connection) -> None:
    import pickle

    with pytest.raises(VirtError) as raised:
        connection.lookup("never-was")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), again.code, again.message, again.hint) == (
        type(raised.value),
        "domain.not-found",
        raised.value.message,
        raised.value.hint,
    )
    assert again.libvirt_number == 42


@needs("domain_list")
def test_a_hook_that_the_driver_lacks_is_refused_by_name(connection: Connection) -> None:
    lacking = [name for name, spec in SPECS.items() if name not in connection.supports and not spec.all]
    if not lacking:
        pytest.skip("the driver has every hook")
    for hook in lacking:
        if hook not in OPENERS:
            with pytest.raises(Unsupported) as refusal:
                connection.session.call(hook, {}, 10.0)
            assert refusal.value.what == hook


@needs("domain_list", "domain_state")
def test_a_parameter_that_the_driver_would_lose_is_refused_before_anything_happens(
    connection: Connection, guests: Guests
) -> None:
    lost = [
        (name, parameter)
        for name in connection.supports
        for parameter, default in SPECS[name].defaults.items()
        if f"{name}.{parameter}" not in connection.supports and isinstance(default, bool) and not SPECS[name].all
    ]
    if not lost:
        pytest.skip("the driver takes every parameter")
    domain = guests.stopped()
    for hook, parameter in lost:
        given = {"ref": domain.ref, parameter: not SPECS[hook].defaults[parameter]}
        with pytest.raises(Unsupported) as refusal:
            connection.session.call(hook, given, 10.0)
        assert refusal.value.what == f"{hook}({parameter})"
    assert domain.state().state is State.SHUTOFF


@needs("domain_list", "domain_state")
def test_a_read_only_connection_reads_and_changes_nothing(
    connection: Connection, guests: Guests, open_connection: Callable[..., Connection]
) -> None:
    readonly = open_connection(readonly=True)
    assert isinstance(readonly.domain_list(), tuple)
    ref = guests.stopped().ref
    for hook in connection.supports:
        spec = SPECS[hook]
        if spec.access == "read" or spec.all:
            continue
        with pytest.raises(Denied) as refusal:
            readonly.session.prepare(hook, {"ref": ref})
        assert refusal.value.code == "readonly"
    assert connection.domain_state([ref])[ref].get().state is State.SHUTOFF


@needs("domain_list")
def test_a_closed_connection_says_that_it_is_closed(open_connection: Callable[..., Connection]) -> None:
    connection = open_connection()
    connection.close()
    connection.close()
    with pytest.raises(VirtError) as raised:
        connection.domain_list()
    assert raised.value.code == "interrupted.lost"


@needs("domain_list")
@pytest.mark.parametrize("text", ["", " ", "../..", "a\nb", "a/b", "%00", "a,b", "'", '"', "x" * 300, "\N{SNOWMAN}"])
def test_a_hostile_name_is_only_a_name_that_nobody_has(connection: Connection, text: str) -> None:
    with pytest.raises(NotFound):
        connection.lookup(text)
