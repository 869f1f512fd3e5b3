"""Values for whoever opens something with them in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anyvirt.api import Invalid, NotFound, Ref, Secret

from anyvirt_host.secret.use import KIND, Use, ref_of

if TYPE_CHECKING:
    from anyvirt.api import Row

    from anyvirt_host.secret.site import Site


class Known:
    """Finds values by UUID or by what they are for; private ones, too: nothing of it crosses a hook."""

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    def find(self, use: str, text: str) -> Secret:
        """The value of a secret.

        :param use: what it is wanted for: ``volume``, ``ceph``, ``iscsi``, ``tls`` or ``vtpm``.
        :param text: its UUID, or the volume, the target or the name that it is for.
        :raises NotFound: there is no such secret (kind ``secret``), or it has no value (kind ``value``).
        :raises Invalid: the secret with that UUID is for something else.
        """
        site = self._site()
        row = next(iter(site.store.get_many(KIND, [text.lower()])), None) or self._for(site, use, text)
        its = Use.of(site.model(row))
        if its.kind not in (use, "none"):
            raise Invalid(f"secret {row.uuid} is for {its.kind}, not for {use}", hint="name one that is for this")
        return value_of(site, ref_of(row.uuid, its))

    def _for(self, site: Site, use: str, text: str) -> Row:
        try:
            return site.store.by_name(KIND, Use(use, text).name(""))
        except NotFound:
            raise NotFound(
                text, "secret", hint=f"anyvirt secret define: <usage type='{use}'>, and set its value"
            ) from None


def value_of(site: Site, ref: Ref) -> Secret:
    """The value of a secret that is there.

    :raises NotFound: (kind ``value``) it has none.
    """
    value = site.safe.get(ref.key)
    if value is None:
        raise NotFound(f"of secret {ref}", "value", hint=f"anyvirt secret set-value {ref.key}")
    return Secret(value.decode("utf-8", "surrogateescape"))
