"""What a secret is for: how it is found, and what no second one may be for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Ref

if TYPE_CHECKING:
    from anyvirt.api import KeptSecret

KIND: Final = "secret"
_LONGEST: Final = 200  # bytes of what a secret is for that the store takes as a part of its name


class Use(NamedTuple):
    """``volume`` and a path, ``iscsi`` and a target, ``ceph``, ``tls`` or ``vtpm`` and a name, or ``none``."""

    kind: str
    text: str

    @classmethod
    def of(cls, model: KeptSecret) -> Use:
        """What a definition says; ``none`` where it says nothing."""
        return cls(model.usage_type or "none", model.usage_volume or model.usage_target or model.usage_name or "")

    @classmethod
    def told(cls, name: str) -> Use | None:
        """What the name of a row says; None where only the definition has it whole."""
        kind, _, text = name.partition(" ")
        return None if ":" in kind else cls(kind, text)

    def name(self, uuid: str) -> str:
        """The name of its row: no two secrets are for the same thing because no two rows have the same name."""
        if not self.text:
            return f"{self.kind} {uuid}"
        if len(self.text.encode()) <= _LONGEST:
            return f"{self.kind} {self.text}"
        from hashlib import sha256

        return f"{self.kind}:{sha256(self.text.encode()).hexdigest()}"


def ref_of(uuid: str, use: Use) -> Ref:
    """The handle of a secret."""
    return Ref(KIND, uuid, name=use.text if use.kind != "none" else None, uuid=uuid)
