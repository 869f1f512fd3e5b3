"""Guests for contract tests: made with names of their own, brought into a state, and removed again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import pytest

from anyvirt.client._generated_sync import Connection, Domain
from anyvirt.errors import VirtError
from anyvirt.events import Change, Event, Lifecycle
from anyvirt.feed import Feed
from anyvirt.model.state import State, Status
from anyvirt.ref import Ref

PREFIX = "contract-"


class GuestXml(Protocol):
    """Makes the definition of a guest that the driver can run."""

    def __call__(self, name: str, **wishes: Any) -> str:
        """The XML.

        :param wishes: ``uuid``, ``title``, ``memory`` (MiB), ``disk`` (path of a raw image), ``unknown`` (XML text
            that belongs below ``<domain>``); what is not given is the author's choice.
        """
        ...


Force = Callable[[Connection, Ref, State], None]


class Guests:
    """Made for one test; everything in it is gone afterwards."""

    def __init__(self, connection: Connection, guest_xml: GuestXml, force_state: Force | None) -> None:
        self.connection, self.xml, self._force = connection, guest_xml, force_state
        self._made: list[Ref] = []

    def name(self) -> str:
        """A name that nobody else has."""
        return PREFIX + secrets.token_hex(4)

    def define(self, name: str | None = None, **wishes: Any) -> Domain:
        """A new definition."""
        made = self.connection.domain_define(self.xml(name or self.name(), **wishes))
        return self.mine(made)

    def create(self, name: str | None = None, *, paused: bool = False, **wishes: Any) -> Domain:
        """A new transient guest, running."""
        return self.mine(self.connection.domain_create(self.xml(name or self.name(), **wishes), paused=paused))

    def mine(self, domain: Domain) -> Domain:
        """Have ``domain`` removed in the end."""
        self._made.append(domain.ref)
        return domain

    def stopped(self, **wishes: Any) -> Domain:
        """A guest that is shut off: a new one, or where the driver cannot define one, whichever there is."""
        if "domain_define" in self.connection.supports:
            return self.define(**wishes)
        return self._existing(State.SHUTOFF)

    def running(self, *, paused: bool = False, **wishes: Any) -> Domain:
        """A guest that runs, or is paused."""
        wanted = State.PAUSED if paused else State.RUNNING
        if "domain_define" in self.connection.supports and "domain_start" in self.connection.supports:
            domain = self.define(**wishes)
            domain.start(paused=paused)
            return domain
        return self._existing(wanted)

    def into(self, state: State) -> Domain:
        """A guest in that state; a skip by name where neither the API nor the author can bring one there."""
        if state is State.SHUTOFF:
            return self.stopped()
        if state in (State.RUNNING, State.PAUSED):
            return self.running(paused=state is State.PAUSED)
        if self._force is None:
            pytest.skip(f"no fixture force_state: a guest cannot be brought into the state {state.value!r}")
        domain = self.running()
        self._force(self.connection, domain.ref, state)
        return domain

    def forces(self) -> bool:
        """Whether states can be reached that the API does not lead to."""
        return self._force is not None

    def fits(self, domain: Domain, expected: Status) -> bool:
        """Whether the guest is as expected; its reason counts where the driver gives reasons at all."""
        found = self.connection.session.bulk("domain_state", {"refs": (domain.ref,)}, 10.0)[domain.ref].get()
        return bool(found == expected) if isinstance(found, Status) else found is expected.state

    def remove(self) -> None:
        """Remove what was made; each step under its own error."""
        for ref in reversed(self._made):
            for hook in ("domain_destroy", "domain_undefine"):
                if hook in self.connection.supports:
                    with suppress(VirtError):
                        getattr(self.connection, hook)(ref)

    def _existing(self, state: State) -> Domain:
        domains = self.connection.domain_list()
        states = self.connection.domain_state(domains)
        for domain in domains:
            status = states[domain.ref].value
            if status is not None and status.state is state:
                return domain
        pytest.skip(f"the driver cannot define a guest, and there is none that is {state.value}")


class Watch:
    """Events of one connection as a test reads them."""

    def __init__(self, feed: Feed, patience: float) -> None:
        self.feed, self._patience = feed, patience
        self.seen: list[Event] = []

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is wanted; what comes before it is in ``seen``.

        :raises Interrupted: it does not come.
        """
        while True:
            event = self.feed.get(self._patience)
            self.seen.append(event)
            if wanted(event):
                return event

    def lives(self, ref: Ref, last: Change, detail: str | None = None) -> list[tuple[Change, str]]:
        """What became of a guest, up to and with ``last``: changes and details, in order."""
        told: list[tuple[Change, str]] = []

        def is_last(event: Event) -> bool:
            if not isinstance(event, Lifecycle) or event.ref != ref:
                return False
            told.append((event.change, event.detail))
            return event.change is last and detail in (None, event.detail)

        self.until(is_last)
        return told
