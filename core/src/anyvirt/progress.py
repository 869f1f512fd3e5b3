"""How far a job is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` (None where the end is not known), in ``unit``.

    :param unit: ``B``, ``%``, ``steps`` ...
    :param phase: what is being done, in a word or two.
    """

    done: int = 0
    total: int | None = None
    unit: str = ""
    phase: str = ""
