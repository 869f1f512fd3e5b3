"""Of the contract suite what a line has a say in: what is made, carried, and cut short; a lab of its own tries all."""

from __future__ import annotations

import pytest
from anyvirt.testing.contract.storage import (
    pool,  # noqa: F401
    test_a_pool_is_active_between_start_and_stop,  # noqa: F401
    test_a_taken_pool_name_is_refused,  # noqa: F401
)
from anyvirt.testing.contract.transfers import (
    test_holes_take_no_bytes_on_their_way_and_are_zeros_in_the_end,  # noqa: F401
    volume,  # noqa: F401
)
from anyvirt.testing.contract.volumes import (
    test_a_volume_whose_maker_was_killed_is_whole_or_not_there,  # noqa: F401
    test_sizes_are_the_same_in_info_and_description,  # noqa: F401
)


@pytest.fixture
def shared() -> bool:
    return True
