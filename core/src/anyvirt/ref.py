"""Which object, and what was said about it: ``Ref`` and ``Answer``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from anyvirt.errors import VirtError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Ref:
    """One object of a hypervisor, told by the driver's own stable handle.

    Equality and hash look at ``kind``, ``key`` and ``parent`` only: a rename
    changes ``name`` and leaves every ref valid.

    :param kind: ``domain``, ``pool``, ``volume``, ``network`` ...
    :param key: the driver's handle, printable, valid on any later connection.
    :param name: as last seen; a label, not an identity.
    :param uuid: as last seen, lower case with dashes; a label, not an identity.
    """

    kind: str
    key: str
    parent: Ref | None = None
    name: str | None = field(default=None, compare=False)
    uuid: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name or self.key


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """What a driver says of one object in a bulk call: a value or an error; both where only a part failed.

    :param at: when the hypervisor said it, as ``time.time()``.
    """

    value: T_co | None = None
    error: VirtError | None = None
    at: float = field(default_factory=time.time)

    def get(self) -> T_co:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        value: Any = self.value
        result: T_co = value
        return result
