"""What a feed tells of a simulated host (vcsim)."""

from __future__ import annotations

from collections.abc import Callable

import anyvirt
from anyvirt.api import Change, Gap
from anyvirt.testing.guests import Watch
from vcsim_stage import Server


def test_a_life_is_told_in_order_by_another_connection(esx: Server) -> None:
    with anyvirt.open(esx.uri()) as watching, anyvirt.open(esx.uri()) as acting:
        domain = acting.domain_list()[1]
        feed = watching.events()
        told = Watch(feed, 10.0)
        domain.suspend()
        domain.resume()
        domain.destroy()
        domain.start()
        seen = told.lives(domain.ref, Change.STARTED)
        feed.close()
    assert [change for change, _ in seen] == [Change.SUSPENDED, Change.RESUMED, Change.STOPPED, Change.STARTED]


def test_a_token_of_before_is_a_gap_and_then_what_is_so_now(esx: Server) -> None:
    with anyvirt.open(esx.uri()) as connection:
        token = connection.events().token
        feed = connection.events(token)
        told = Watch(feed, 10.0)
        gap = told.until(lambda event: isinstance(event, Gap))
        assert isinstance(gap, Gap)
        ref = connection.domain_list()[0].ref
        assert told.lives(ref, Change.STARTED)[-1][0] is Change.STARTED
        feed.close()


def test_one_that_leaves_the_inventory_is_told_of(serving: Callable[..., Server]) -> None:
    server = serving("esx", "-vm", "2")
    with anyvirt.open(server.uri()) as connection:
        domain = connection.domain_list()[0]
        domain.destroy()
        feed = connection.events()
        told = Watch(feed, 10.0)
        connection.domain_undefine(domain)
        assert told.lives(domain.ref, Change.UNDEFINED) == [(Change.UNDEFINED, "removed")]
        assert domain.ref not in {one.ref for one in connection.domain_list()}
        feed.close()
