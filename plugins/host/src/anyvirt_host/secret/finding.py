"""Finding values of secrets: by UUID, or by what they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyvirt.api import Invalid, NotFound, Ref, Secret

from anyvirt_host.secret.use import KIND, Use, ref_of

if TYPE_CHECKING:
    from anyvirt.api import Row

    from anyvirt_host.secret.site import Site


def found(site: Site, use: str, text: str) -> Secret:
    """The value of the secret with that UUID, or for that; private or not.

    :raises NotFound: there is no such secret (kind ``secret``), or it has no value (kind ``value``).
    :raises Invalid: the secret with that UUID is for something else.
    """
    row = next(iter(site.store.get_many(KIND, [text.lower()])), None) or _for(site, use, text)
    its = Use.of(site.model(row))
    if its.kind not in (use, "none"):
        raise Invalid(f"secret {row.uuid} is for {its.kind}, not for {use}", hint="name one that is for this")
    return value_of(site, ref_of(row.uuid, its))


def value_of(site: Site, ref: Ref) -> Secret:
    """The value of a secret that is there.

    :raises NotFound: (kind ``value``) it has none.
    """
    value = site.safe.get(ref.key)
    if value is None:
        raise NotFound(f"of secret {ref}", "value", hint=f"anyvirt secret set-value {ref.key}")
    return Secret(value.decode("utf-8", "surrogateescape"))


def _for(site: Site, use: str, text: str) -> Row:
    try:
        return site.store.by_name(KIND, Use(use, text).name(""))
    except NotFound:
        hint = f"anyvirt secret define, with <usage type='{use}'>, and anyvirt secret set-value"
        raise NotFound(text, "secret", hint=hint) from None
