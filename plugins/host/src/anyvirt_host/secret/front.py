"""The secret service as a connection opens it; written by tools/gen_front.py: do not edit.

Nothing of what it can do is loaded before somebody wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anyvirt.api import Answer, Document, Event, KeptSecret, Ref, Secret, SecretInfo

    from anyvirt_host.secret.service import Service
    from anyvirt_host.secret.site import Site


class Front:
    """The hooks of ``Service``."""

    def __init__(self, opened: Callable[[], Site]) -> None:
        self._opened = opened

    @cached_property
    def whole(self) -> Service:
        """The service itself."""
        from anyvirt_host.secret.service import Service

        return Service(self._opened)

    @impl
    def connect_recover(self) -> Sequence[str]:
        return self.whole.connect_recover()

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        return self.whole.events_follow(after)

    @impl
    def secret_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[KeptSecret]]]]:
        return self.whole.secret_config(refs)

    @impl
    def secret_define(self, config: Document[KeptSecret]) -> Ref:
        return self.whole.secret_define(config)

    @impl
    def secret_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[SecretInfo]]]:
        return self.whole.secret_info(refs)

    @impl
    def secret_list(self) -> Iterator[Ref]:
        return self.whole.secret_list()

    @impl
    def secret_set_value(self, ref: Ref, value: Secret, keeper: str) -> None:
        return self.whole.secret_set_value(ref, value, keeper)

    @impl
    def secret_undefine(self, ref: Ref) -> None:
        return self.whole.secret_undefine(ref)

    @impl
    def secret_value(self, ref: Ref) -> Secret:
        return self.whole.secret_value(ref)
