"""Operations that are cut off by ``kill -9``: what comes before them, and what must hold afterwards."""

from __future__ import annotations

from typing import Any

from anyvirt.api import NotFound, State
from anyvirt.client._generated_sync import Connection

from qemu_stage.scene import Scene

NAME = "guest"
ABSENT, DEFINED, RUNNING = "absent", "defined", "running"
# operation -> how the guest is before, arguments beside the guest
OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "domain_define": (ABSENT, {}),
    "domain_start": (DEFINED, {}),
    "domain_create": (ABSENT, {}),
    "domain_destroy": (RUNNING, {}),
    "domain_undefine": (DEFINED, {}),
    "domain_rename": (DEFINED, {"name": "other"}),
    "domain_reboot": (RUNNING, {"timeout": 1.5}),  # nothing in the guest heeds the power button
}


def prepared(scene: Scene, connection: Connection, before: str) -> None:
    """Bring the guest into the state that an operation begins in."""
    connection.domain_define(scene.xml("bystander"))
    if before != ABSENT:
        connection.domain_define(scene.xml(NAME))
    if before == RUNNING:
        connection.lookup(NAME).start()


def order(scene: Scene, op: str, **how: Any) -> Any:
    """Have the actor do the operation to the guest."""
    arguments = dict(OPERATIONS[op][1])
    if op in {"domain_define", "domain_create"}:
        return scene.order(op, config=scene.xml(NAME), **arguments, **how)
    return scene.order(op, ref=NAME, **arguments, **how)


def cleaned(scene: Scene, connection: Connection, op: str, *, recover: bool) -> None:
    """Whatever was cut off: the next call, or recovery, leaves nothing behind, and the guest starts."""
    names = {one.name for one in connection.domain_list()}
    assert "bystander" in names
    if OPERATIONS[op][0] != ABSENT and op != "domain_undefine":
        assert len(names) == 2, names
    if recover:
        connection.recover()
        assert not connection.recover(), "there is nothing left to do"
        scene.agree(connection)
    guest = connection.domain_define(scene.xml("other" if "other" in names else NAME))
    if guest.state().state is State.SHUTOFF:
        guest.start()
    scene.agree(connection)
    guest.destroy()
    scene.agree(connection)
    assert scene.qemus() == []
    guest.undefine()
    connection.lookup("bystander").undefine()


def again(scene: Scene, connection: Connection, op: str) -> None:
    """From whatever is there to the state that the operation begins in."""
    for domain in connection.domain_list():
        if domain.state().state is not State.SHUTOFF:
            domain.destroy()
        try:
            domain.undefine()
        except NotFound:
            continue  # it was transient
    prepared(scene, connection, OPERATIONS[op][0])
