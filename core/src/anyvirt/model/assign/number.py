"""Places that are counted: units of a disk controller, ports of a virtio-serial controller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Place = tuple[int, ...]


class Numbers:
    """Places on controllers, each a tuple: the controller's index first, then what tells places on it apart.

    :param shape: for each place on one controller, in the order in which they are given out, its part of the tuple.
    """

    def __init__(self, shape: Sequence[Place], taken: Iterable[Place] = ()) -> None:
        self._shape = tuple(shape)
        self._taken = set(taken)

    @property
    def taken(self) -> frozenset[Place]:
        """The places in use."""
        return frozenset(self._taken)

    def claim(self, place: Place) -> bool:
        """Take this very place; False where it is taken."""
        if place in self._taken:
            return False
        self._taken.add(place)
        return True

    def fits(self, place: Place) -> bool:
        """Whether a controller has such a place at all."""
        return place[1:] in self._shape

    def take(self, controllers: Iterable[int]) -> Place | None:
        """The first free place on the given controllers, in their order; None where all are full."""
        for controller in controllers:
            for rest in self._shape:
                place = (controller, *rest)
                if place not in self._taken:
                    self._taken.add(place)
                    return place
        return None
