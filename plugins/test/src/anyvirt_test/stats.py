"""Figures, all made from how long a guest ran on the host's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, TypeVar

from anyvirt.api import Answer, Balloon, Block, BlockInfo, Cpu, DomainStats, Net, Ref, Vcpu, impl

from anyvirt_test.place import sizes_by_path
from anyvirt_test.world import Guest, World

T = TypeVar("T")
SECOND: Final = 1_000_000_000
GIB: Final = 1 << 30
CAPACITY: Final = 8 * GIB  # of an image that is in no pool


class Figures:
    """A guest that runs is busy for a quarter of the time, reads a block and gets a packet each second."""

    world: World

    @impl
    def stats_collect(self, refs: Sequence[Ref], groups: AbstractSet[str]) -> Iterator[tuple[Ref, Answer[DomainStats]]]:
        now = self.world.tick()
        return self.world.answers(refs, lambda guest: self._all(guest, now, groups))

    @impl
    def stats_cpu(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Cpu]]]:
        return self._each(refs, self._cpu)

    @impl
    def stats_vcpu(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Vcpu]]]]:
        return self._each(refs, self._vcpus)

    @impl
    def stats_balloon(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Balloon]]]:
        return self._each(refs, self._balloon)

    @impl
    def stats_interface(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Net]]]]:
        return self._each(refs, self._nics)

    @impl
    def stats_block(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[Block]]]]:
        return self._each(refs, self._blocks)

    @impl
    def domain_block_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[BlockInfo]]]]:
        return self._each(refs, self._infos)

    def _each(self, refs: Sequence[Ref], count: Callable[[Guest, int], T]) -> Iterator[tuple[Ref, Answer[T]]]:
        now = self.world.tick()
        return self.world.answers(refs, lambda guest: count(guest, now))

    def _all(self, guest: Guest, now: int, groups: AbstractSet[str]) -> DomainStats:
        def wanted(group: str, count: Callable[[Guest, int], T]) -> T | None:
            return count(guest, now) if group in groups else None

        return DomainStats(
            state=guest.run.status if "state" in groups else None,
            cpu=wanted("cpu", self._cpu),
            vcpu=wanted("vcpu", self._vcpus),
            balloon=wanted("balloon", self._balloon),
            interface=wanted("interface", self._nics),
            block=wanted("block", self._blocks),
        )

    def _cpu(self, guest: Guest, now: int) -> Cpu:
        if not guest.run.active:
            return Cpu()
        used = self.world.shape(guest).vcpus * guest.run.ticks(now) * SECOND // 4
        return Cpu(time=used, user=used // 5 * 4, system=used // 5)

    def _vcpus(self, guest: Guest, now: int) -> tuple[Vcpu, ...]:
        numbers = range(self.world.shape(guest).vcpus)
        if not guest.run.active:
            return tuple(Vcpu(number=number, state="offline") for number in numbers)
        time = guest.run.ticks(now) * SECOND // 4
        return tuple(Vcpu(number=number, state="running", time=time, wait=0, delay=0) for number in numbers)

    def _balloon(self, guest: Guest, now: int) -> Balloon:
        shape = self.world.shape(guest)
        if not guest.run.active:
            return Balloon(current=shape.current, maximum=shape.memory)
        return Balloon(
            current=shape.current,
            maximum=shape.memory,
            rss=shape.current // 2,
            available=shape.current,
            unused=shape.current // 2,
            minor_fault=guest.run.ticks(now),
        )

    def _nics(self, guest: Guest, now: int) -> tuple[Net, ...]:
        if not guest.run.active:
            return ()
        seconds = guest.run.ticks(now)
        return tuple(
            Net(
                name=device or f"testnet{index}",
                mac=mac or None,
                rx_bytes=seconds * 1000,
                rx_packets=seconds,
                rx_errors=0,
                rx_dropped=0,
                tx_bytes=seconds * 500,
                tx_packets=seconds,
                tx_errors=0,
                tx_dropped=0,
            )
            for index, (mac, device, _) in enumerate(self.world.shape(guest).nics)
        )

    def _blocks(self, guest: Guest, now: int) -> tuple[Block, ...]:
        infos = {info.target: info for info in self._infos(guest, now)}
        seconds = guest.run.ticks(now)
        made = []
        for target, path in self.world.shape(guest).disks:
            info = infos[target]
            block = partial(
                Block,
                name=target,
                path=path or None,
                allocation=info.allocation,
                capacity=info.capacity,
                physical=info.physical,
            )
            if guest.run.active:
                block = partial(
                    block,
                    read_requests=seconds,
                    read_bytes=seconds * 4096,
                    read_time=seconds * 1000,
                    write_requests=seconds,
                    write_bytes=seconds * 4096,
                    write_time=seconds * 2000,
                    flush_requests=seconds,
                    flush_time=seconds * 500,
                )
            made.append(block())
        return tuple(made)

    def _infos(self, guest: Guest, now: int) -> tuple[BlockInfo, ...]:
        """Sparse raw images: a block is added each second, up to what the volume, or a stray image, can hold."""
        volumes = sizes_by_path(self.world)
        infos = []
        for target, path in self.world.shape(guest).disks:
            if not path:  # an empty drive
                infos.append(BlockInfo(target, None, None, None))
                continue
            capacity, allocation = volumes.get(path, (CAPACITY, GIB))
            infos.append(BlockInfo(target, capacity, min(capacity, allocation + guest.run.ticks(now) * 4096), capacity))
        return tuple(infos)
