"""Definitions: define and redefine, what is unique, what outlives a stop, what a rename leaves valid."""

from __future__ import annotations

from uuid import uuid4

import pytest

from anyvirt.client._generated_sync import Connection, Domain
from anyvirt.errors import Exists, Invalid, NotFound, WrongState
from anyvirt.model.choices import Which
from anyvirt.model.state import State
from anyvirt.testing.guests import Guests
from anyvirt.testing.marks import needs, proves

PASSWORD = "sesam-17"


def _refs(connection: Connection) -> set[object]:
    return {domain.ref for domain in connection.domain_list()}


@proves("domain_define", "domain_list")
@needs("domain_state", "domain_undefine")
def test_a_definition_is_listed_and_shut_off(connection: Connection, guests: Guests) -> None:
    before = _refs(connection)
    name = guests.name()
    domain = guests.define(name)
    assert _refs(connection) - before == {domain.ref}
    (found,) = [one for one in connection.domain_list() if one.ref == domain.ref]
    assert (found.name, found.uuid) == (name, domain.uuid)
    assert domain.state().state is State.SHUTOFF


@proves("domain_list")
@needs("domain_state")
def test_every_domain_is_listed_once_with_its_name(connection: Connection, guests: Guests) -> None:
    one = guests.stopped()
    listed = connection.domain_list()
    refs = [domain.ref for domain in listed]
    assert one.ref in refs
    assert len(set(refs)) == len(refs)
    assert all(domain.ref.name and domain.ref.kind == "domain" for domain in listed)
    assert all(connection.lookup(ref.key).ref == ref for ref in refs)


@proves("domain_define")
def test_a_definition_without_uuid_gets_one_that_stays(connection: Connection, guests: Guests) -> None:
    name = guests.name()
    domain = guests.define(name)
    assert domain.uuid is not None
    assert domain.uuid == domain.uuid.lower()
    again = connection.lookup(name)
    assert (again.ref, again.uuid) == (domain.ref, domain.uuid)


@proves("domain_define")
def test_a_given_uuid_is_kept(connection: Connection, guests: Guests) -> None:
    uuid = str(uuid4())
    assert guests.define(uuid=uuid).uuid == uuid
    assert connection.lookup(uuid).uuid == uuid


@proves("domain_lookup")
@needs("domain_define")
def test_a_domain_is_found_by_name_and_by_uuid_and_otherwise_not(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    for text in (domain.name, domain.uuid or "", (domain.uuid or "").upper()):
        assert [found.ref for found in connection.domain_lookup(text)] == [domain.ref]
    assert connection.domain_lookup(domain.name + "-not") == ()
    with pytest.raises(NotFound) as lost:
        connection.lookup(domain.name + "-not")
    assert lost.value.code == "domain.not-found"


@proves("domain_define", "domain_config")
def test_a_redefinition_replaces_the_definition(connection: Connection, guests: Guests) -> None:
    name, uuid = guests.name(), str(uuid4())
    domain = guests.define(name, uuid=uuid, title="before")
    assert domain.config(Which.CONFIG).model.title == "before"
    again = guests.define(name, uuid=uuid, title="after")
    assert again.ref == domain.ref
    assert domain.config(Which.CONFIG).model.title == "after"
    assert len([one for one in connection.domain_list() if one.name == name]) == 1


@proves("domain_config")
@needs("domain_define")
def test_a_definition_comes_back_as_it_was_given(guests: Guests) -> None:
    name, uuid = guests.name(), str(uuid4())
    model = guests.define(name, uuid=uuid, title="a title", memory=96).config().model
    assert (model.name, model.uuid, model.title, model.memory) == (name, uuid, "a title", 96 << 20)


@proves("domain_config.secure")
@needs("domain_define")
def test_a_password_is_shown_only_to_who_asks_for_it(connection: Connection, guests: Guests) -> None:
    domain = _with_password(connection, guests)
    assert PASSWORD not in domain.config(Which.CONFIG).text
    assert PASSWORD not in domain.config().text
    whole = domain.config(Which.CONFIG, secure=True)
    assert [one.passwd for one in whole.model.graphics] == [PASSWORD]
    connection.domain_define(whole.text)
    assert domain.config(Which.CONFIG, secure=True).model.graphics == whole.model.graphics


@proves("domain_config.secure")
@needs("domain_define", "domain_start")
def test_a_running_domain_shows_its_password_only_to_who_asks_for_it(connection: Connection, guests: Guests) -> None:
    domain = _with_password(connection, guests)
    domain.start()
    assert PASSWORD not in domain.config(Which.LIVE).text
    assert PASSWORD not in domain.config().text
    assert [one.passwd for one in domain.config(Which.LIVE, secure=True).model.graphics] == [PASSWORD]


def _with_password(connection: Connection, guests: Guests) -> Domain:
    display = f"<graphics type='vnc' autoport='yes' passwd='{PASSWORD}'/></devices>"
    return guests.mine(connection.domain_define(guests.xml(guests.name()).replace("</devices>", display)))


@proves("domain_define")
@needs("domain_config")
def test_a_taken_name_is_refused_and_the_holder_named(connection: Connection, guests: Guests) -> None:
    domain = guests.define(uuid=str(uuid4()), title="first")
    with pytest.raises(Exists) as taken:
        connection.domain_define(guests.xml(domain.name, uuid=str(uuid4()), title="second"))
    assert domain.name in str(taken.value)
    assert domain.config().model.title == "first"
    assert len([one for one in connection.domain_list() if one.name == domain.name]) == 1


@proves("domain_define")
@needs("domain_config")
def test_a_uuid_that_has_another_name_is_refused(connection: Connection, guests: Guests) -> None:
    domain = guests.define(uuid=str(uuid4()))
    with pytest.raises(Exists):
        connection.domain_define(guests.xml(guests.name(), uuid=domain.uuid))
    assert domain.config().model.name == domain.name
    assert connection.lookup(domain.uuid or "").name == domain.name


@proves("domain_define")
@needs("domain_list")
@pytest.mark.parametrize(
    "wrong",
    ["<domain", "<pool type='dir'/>", "", "<domain type='no-such-type'><name>x</name></domain>"],
    ids=["cut", "another-document", "empty", "type"],
)
def test_what_cannot_be_a_definition_is_refused_before_anything_changed(connection: Connection, wrong: str) -> None:
    before = _refs(connection)
    with pytest.raises(Invalid) as refusal:
        connection.domain_define(wrong)
    assert refusal.value.problems
    assert _refs(connection) == before


@proves("domain_define")
@needs("domain_list")
def test_an_element_that_nobody_knows_is_refused_by_path_and_line(connection: Connection, guests: Guests) -> None:
    name = guests.name()
    with pytest.raises(Invalid) as refusal:
        guests.define(name, unknown="<memmory>2</memmory>")
    (problem,) = refusal.value.problems
    assert problem.code == "xml.unknown-element"
    assert problem.path.endswith("memmory")
    assert problem.line
    assert name not in {one.name for one in connection.domain_list()}


@proves("domain_undefine")
@needs("domain_define", "domain_list")
def test_an_undefined_domain_is_gone_for_every_question(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    connection.domain_undefine(domain)
    assert domain.ref not in _refs(connection)
    with pytest.raises(NotFound):
        connection.domain_undefine(domain)
    if "domain_state" in connection.supports:
        with pytest.raises(NotFound):
            domain.state()
    assert guests.define(domain.name).name == domain.name


@proves("domain_undefine")
@needs("domain_define", "domain_start", "domain_destroy", "domain_state", "domain_facts")
def test_a_running_domain_that_is_undefined_goes_on_until_it_stops(connection: Connection, guests: Guests) -> None:
    domain = guests.running()
    assert domain.facts().persistent
    connection.domain_undefine(domain)
    assert domain.state().state is State.RUNNING
    assert not domain.facts().persistent
    with pytest.raises(WrongState):
        connection.domain_undefine(domain)
    connection.domain_destroy(domain)
    assert domain.ref not in _refs(connection)


@proves("domain_create")
@needs("domain_destroy", "domain_state", "domain_facts", "domain_list")
def test_a_transient_domain_runs_and_leaves_nothing_behind(connection: Connection, guests: Guests) -> None:
    domain = guests.create()
    assert domain.state().state is State.RUNNING
    assert domain.ref in _refs(connection)
    assert not domain.facts().persistent
    connection.domain_destroy(domain)
    assert domain.ref not in _refs(connection)
    with pytest.raises(NotFound):
        domain.state()


@proves("domain_create.paused")
@needs("domain_destroy", "domain_state")
def test_a_transient_domain_can_begin_paused(guests: Guests) -> None:
    assert guests.create(paused=True).state().state is State.PAUSED


@proves("domain_create")
@needs("domain_destroy", "domain_define", "domain_start", "domain_state")
def test_what_is_taken_is_not_created(connection: Connection, guests: Guests) -> None:
    running = guests.running(uuid=str(uuid4()))
    with pytest.raises(WrongState):
        connection.domain_create(guests.xml(running.name, uuid=running.uuid))
    with pytest.raises(Exists):
        connection.domain_create(guests.xml(running.name, uuid=str(uuid4())))
    with pytest.raises(Exists):
        connection.domain_create(guests.xml(guests.name(), uuid=running.uuid))
    assert running.state().state is State.RUNNING


@proves("domain_define")
@needs("domain_create", "domain_destroy", "domain_facts", "domain_state")
def test_a_definition_makes_a_transient_domain_persistent(connection: Connection, guests: Guests) -> None:
    domain = guests.create(uuid=str(uuid4()))
    guests.define(domain.name, uuid=domain.uuid)
    assert domain.facts().persistent
    assert domain.state().state is State.RUNNING
    connection.domain_destroy(domain)
    assert domain.state().state is State.SHUTOFF


@proves("domain_config")
@needs("domain_define", "domain_start", "domain_destroy")
def test_a_running_domain_keeps_what_it_was_launched_with(connection: Connection, guests: Guests) -> None:
    uuid = str(uuid4())
    domain = guests.running(uuid=uuid, title="launched")
    guests.define(domain.name, uuid=uuid, title="next")
    assert domain.config(Which.LIVE).model.title == "launched"
    assert domain.config(Which.EFFECTIVE).model.title == "launched"
    assert domain.config(Which.CONFIG).model.title == "next"
    connection.domain_destroy(domain)
    assert domain.config(Which.EFFECTIVE).model.title == "next"
    with pytest.raises(WrongState):
        domain.config(Which.LIVE)


@proves("domain_rename")
@needs("domain_define", "domain_state", "domain_config", "domain_start")
def test_after_a_rename_the_old_ref_still_works(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    old, new = domain.name, guests.name()
    renamed = connection.domain_rename(domain, new)
    assert renamed.ref == domain.ref
    assert renamed.name == new
    assert domain.state().state is State.SHUTOFF
    assert domain.config().model.name == new
    assert connection.lookup(new).ref == domain.ref
    with pytest.raises(NotFound):
        connection.lookup(old)
    connection.domain_start(domain)
    assert renamed.state().state is State.RUNNING


@proves("domain_rename")
@needs("domain_define")
def test_a_rename_to_a_taken_name_is_refused(connection: Connection, guests: Guests) -> None:
    domain, other = guests.define(), guests.define()
    with pytest.raises(Exists):
        connection.domain_rename(domain, other.name)
    assert connection.lookup(domain.name).ref == domain.ref
    assert connection.lookup(other.name).ref == other.ref


@needs("domain_rename", "domain_define")
@pytest.mark.parametrize("name", ["", "..", "two\nlines"])
def test_a_rename_to_what_is_no_name_is_refused(connection: Connection, guests: Guests, name: str) -> None:
    domain = guests.define()
    with pytest.raises(Invalid):
        connection.domain_rename(domain, name)
    assert connection.lookup(domain.name).ref == domain.ref


@proves("domain_set_autostart")
@needs("domain_define", "domain_facts")
def test_autostart_is_off_until_it_is_set_and_can_be_unset(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    assert domain.facts().autostart is False
    for on in (True, False):
        connection.domain_set_autostart(domain, on)
        assert domain.facts().autostart is on


@proves("domain_set_autostart")
@needs("domain_create", "domain_destroy")
def test_a_transient_domain_is_not_started_with_the_host(connection: Connection, guests: Guests) -> None:
    domain = guests.create()
    with pytest.raises(WrongState):
        connection.domain_set_autostart(domain, on=True)


@proves("domain_facts")
@needs("domain_define")
def test_the_title_is_a_fact_for_those_who_ask(guests: Guests) -> None:
    assert guests.define(title="web server").facts().title in {"web server", None}
    assert guests.define().facts().title is None


@proves("domain_preflight")
@needs("domain_define", "domain_start")
def test_a_domain_that_starts_had_no_blockers(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    assert list(connection.domain_preflight(domain)) == []
    connection.domain_start(domain)


@proves("domain_preflight")
@needs("domain_define", "domain_start", "domain_state")
def test_every_blocker_is_named_before_anything_starts(connection: Connection, guests: Guests, blocked: str) -> None:
    domain = guests.mine(connection.domain_define(blocked))
    found = list(connection.domain_preflight(domain))
    assert found
    assert all(problem.path and problem.text for problem in found)
    with pytest.raises(Invalid) as refusal:
        connection.domain_start(domain)
    assert [problem.path for problem in refusal.value.problems] == [problem.path for problem in found]
    assert domain.state().state is State.SHUTOFF


@proves("domain_plan", "domain_plan.paused")
@needs("domain_define", "domain_start", "domain_state")
def test_a_plan_shows_what_a_start_does_and_does_nothing(connection: Connection, guests: Guests) -> None:
    domain = guests.define()
    plan, paused = domain.plan(), domain.plan(paused=True)
    assert plan.blockers == ()
    assert plan.argv or plan.commands or plan.files
    assert paused != plan
    assert domain.state().state is State.SHUTOFF
    connection.domain_start(domain)
    with pytest.raises(WrongState):
        domain.plan()


@proves("domain_plan")
@needs("domain_define", "domain_start", "domain_state")
def test_a_plan_names_every_blocker_of_a_start(connection: Connection, guests: Guests, blocked: str) -> None:
    domain = guests.mine(connection.domain_define(blocked))
    found = domain.plan().blockers
    assert found
    with pytest.raises(Invalid) as refusal:
        connection.domain_start(domain)
    assert {(problem.code, problem.path) for problem in refusal.value.problems} == {
        (problem.code, problem.path) for problem in found
    }
    assert domain.state().state is State.SHUTOFF


@proves("domain_plan_create", "domain_plan_create.paused")
@needs("domain_create", "domain_list")
def test_a_plan_of_a_transient_domain_leaves_none(connection: Connection, guests: Guests) -> None:
    before = _refs(connection)
    name = guests.name()
    plan = connection.domain_plan_create(guests.xml(name))
    assert plan.blockers == ()
    assert any(name in str(part) for part in (plan.argv, plan.commands, plan.files))
    assert connection.domain_plan_create(guests.xml(name), paused=True).commands != plan.commands
    assert _refs(connection) == before


@proves("domain_plan_create")
@needs("domain_create")
def test_a_plan_of_a_transient_domain_names_every_blocker(connection: Connection, blocked: str) -> None:
    found = connection.domain_plan_create(blocked).blockers
    assert found
    with pytest.raises(Invalid) as refusal:
        connection.domain_create(blocked)
    assert {problem.path for problem in refusal.value.problems} == {problem.path for problem in found}


@proves("domain_plan_create")
@needs("domain_create")
def test_what_runs_under_its_name_and_uuid_keeps_a_plan_from_being_made(connection: Connection, guests: Guests) -> None:
    domain = guests.create()
    with pytest.raises(WrongState):
        connection.domain_plan_create(guests.xml(domain.name, uuid=domain.uuid))
