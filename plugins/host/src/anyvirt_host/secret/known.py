"""Values for whoever opens something with them in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyvirt.api import Secret

    from anyvirt_host.secret.site import Site


class Known:
    """``Host.secrets``: finds values, private ones, too, for nothing of it crosses a hook."""

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    def find(self, use: str, text: str) -> Secret:
        """The value of a secret.

        :param use: what it is wanted for: ``volume``, ``ceph``, ``iscsi``, ``tls`` or ``vtpm``.
        :param text: its UUID, or the volume, the target or the name that it is for.
        :raises NotFound: there is no such secret (kind ``secret``), or it has no value (kind ``value``).
        :raises Invalid: the secret with that UUID is for something else.
        """
        from anyvirt_host.secret.finding import found  # few connections need a value

        return found(self._site(), use, text)
