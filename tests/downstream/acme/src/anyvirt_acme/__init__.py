"""Driver for guests run by acmectl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from anyvirt.api import Answer, Cpu, Host, NotFound, Op, Ref, State, Uri, impl, require

STATES = {"up": State.RUNNING, "frozen": State.PAUSED, "down": State.SHUTOFF}


class Acme:
    def __init__(self, host: Host) -> None:
        self._run = host.run

    @impl
    def domain_list(self) -> Iterator[Ref]:
        for row in self._ctl("ls"):
            yield Ref("domain", row["id"], name=row["label"])

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State]]]:
        power = {row["id"]: row["power"] for row in self._ctl("ls")}
        for ref in refs:
            yield ref, Answer(STATES[power[ref.key]]) if ref.key in power else Answer(error=NotFound(ref))

    @impl
    def domain_start(self, ref: Ref, paused: bool) -> None:
        ((_, answer),) = self.domain_state([ref])
        require(answer.get(), Op.START, ref)
        self._ctl("boot", ref.key, *(["--frozen"] if paused else []))

    @impl
    def domain_destroy(self, ref: Ref) -> None:
        ((_, answer),) = self.domain_state([ref])
        require(answer.get(), Op.DESTROY, ref)
        self._ctl("kill", ref.key)

    @impl
    def stats_cpu(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Cpu]]]:
        used = {row["id"]: row["cpu_ns"] for row in self._ctl("top")}
        yield from ((ref, Answer(Cpu(time=used[ref.key]))) for ref in refs if ref.key in used)
        yield from ((ref, Answer(error=NotFound(ref))) for ref in refs if ref.key not in used)

    def _ctl(self, *words: str) -> Any:
        out = self._run("acmectl", "--json", *words)
        if out.code == 44:
            raise NotFound(words[-1])
        return json.loads(out.ok().text or "null")


@impl
def connect_open(uri: Uri, host: Host) -> Acme:
    return Acme(host)
