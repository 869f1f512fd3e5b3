"""Figures of many guests in one pass: from the host for all, and from each QEMU in one conversation where needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import (
    Answer,
    Balloon,
    Block,
    BlockInfo,
    Cpu,
    DomainStats,
    Failed,
    Net,
    NotFound,
    Ref,
    Vcpu,
    VirtError,
)
from anyvirt_host.local import proc

from anyvirt_qemu.consoles.console_log import tidy
from anyvirt_qemu.guest import Run, running
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.fanout import Answers, Target, ask_all
from anyvirt_qemu.site import KIND, STOPPED
from anyvirt_qemu.summary import Summary, recall, summarise

if TYPE_CHECKING:
    from anyvirt.api import Row, Status

    from anyvirt_qemu.blocks import Sizes
    from anyvirt_qemu.guest import Record
    from anyvirt_qemu.qmp.wire import Event
    from anyvirt_qemu.site import Site

BLOCK: Final = (Command("query-block"), Command("query-blockstats"))
# what QEMU calls a figure that the guest told -> what it is called here; a guest leaves out what it does not know
MEMORY: Final = {
    "stat-swap-in": "swap_in",
    "stat-swap-out": "swap_out",
    "stat-major-faults": "major_fault",
    "stat-minor-faults": "minor_fault",
    "stat-free-memory": "unused",
    "stat-total-memory": "available",
    "stat-available-memory": "usable",
    "stat-disk-caches": "disk_caches",
    "stat-htlb-pgalloc": "hugetlb_pgalloc",
    "stat-htlb-pgfail": "hugetlb_pgfail",
}
UNKNOWN: Final = (1 << 64) - 1
FROM_DEFINITION: Final = frozenset({"vcpu", "balloon", "interface", "block"})
AT_ONCE: Final = 100  # guests that are asked together, so that descriptors do not run out
DEVICES: Final = "/proc/net/dev"


@dataclass(slots=True)
class Drive:
    """What a QEMU says of one disk: out of ``query-block`` and ``query-blockstats``."""

    inserted: Mapping[str, Any] | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)
    highest: int | None = None


@dataclass(slots=True)
class Said:
    """What one QEMU has answered; nothing where it was not asked or did not answer."""

    drives: dict[str, Drive] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """One domain that was asked about.

    :param row: what the store has of it, or why there is nothing.
    :param run: its run where it has one; open until the next one is asked for.
    :param asked: what its QEMU was asked.
    :param said: what its QEMU says, or why it says nothing.
    """

    ref: Ref
    row: Row | VirtError
    run: Run | None = None
    asked: Sequence[Command] = ()
    said: Answers | VirtError | None = None


class Figures:
    """Statistics and block info of the guests of one connection."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def stats(self, refs: Sequence[Ref], groups: AbstractSet[str]) -> Iterator[tuple[Ref, Answer[DomainStats]]]:
        net = _devices() if "interface" in groups else {}
        stops = dict(self._site.store.blobs(KIND, STOPPED)) if "state" in groups else {}
        for found in _each(self._site, refs, groups, documents=bool(groups & FROM_DEFINITION)):
            answer: Answer[DomainStats]
            try:
                if isinstance(found.row, VirtError):
                    answer = Answer(error=found.row)
                elif found.run is None or found.run.record is None:
                    status = self._site.status(found.row, stops) if "state" in groups else None
                    answer = Answer(_stopped(found.row, status, groups))
                else:
                    record, place = found.run.record, found.run.place
                    answer = Answer(_running(found.run, record, groups, _said(found.asked, found.said), net))
                    tidy(record.consoles.values(), place.q, place.guest_path, uid=record.uid)
                    if isinstance(found.said, Answers):
                        answer = replace(answer, at=found.said.at)
            except VirtError as error:
                answer = Answer(error=error)
            yield found.ref, answer

    def block_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[BlockInfo]]]]:
        for found in _each(self._site, refs, {"block"}, documents=True):
            answer: Answer[Sequence[BlockInfo]]
            try:
                if isinstance(found.row, VirtError):
                    answer = Answer(error=found.row)
                elif found.run is None or found.run.record is None:
                    sizes = _sizes(_facts(found.row), None, None)
                    answer = Answer(_infos(sizes))
                else:
                    record, said = found.run.record, _said(found.asked, found.said)
                    answer = Answer(_infos(_sizes(_summary(record.xml), record, said)))
            except VirtError as error:
                answer = Answer(error=error)
            yield found.ref, answer


def _each(site: Site, refs: Sequence[Ref], groups: AbstractSet[str], *, documents: bool) -> Iterator[Found]:
    """Every domain, those that do not run first; the others as their QEMU answers.

    :param groups: what their QEMUs are asked for, as far as only they know.
    :param documents: the rows of those that do not run are wanted with the gist of their document, or with itself.
    """
    rows = {row.uuid: row for row in site.store.rows(KIND, gist=documents)}
    still: list[tuple[Ref, Row]] = []
    going: list[tuple[Ref, Row]] = []
    for ref in refs:
        row = rows.get(ref.key)
        if row is None:
            yield Found(ref, NotFound(ref, hint="it was undefined, or was transient and has ended"))
        else:
            (going if row.run or row.transient else still).append((ref, row))
    if documents:
        unread = [row.uuid for _, row in still if recall(row.gist) is None]
        whole = {row.uuid: row for row in site.store.get_many(KIND, unread)} if unread else {}
        still = [(ref, whole.get(ref.key, row)) for ref, row in still]
    for ref, row in still:
        yield Found(ref, row)
    for start in range(0, len(going), AT_ONCE):
        yield from _batch(site, going[start : start + AT_ONCE], groups, documents=documents)


def _batch(
    site: Site, going: Sequence[tuple[Ref, Row]], groups: AbstractSet[str], *, documents: bool
) -> Iterator[Found]:
    with ExitStack() as stack:
        running: dict[str, Found] = {}
        for ref, row in going:
            run = Run.open(site.runs, row.uuid)
            if run is not None:
                stack.enter_context(run)
            if run is None or run.record is None or run.alive() is False:
                yield _ended(site, ref, row, documents=documents)
            else:
                running[ref.key] = Found(ref, row, run, _questions(run, run.record, groups))
        targets = [
            Target(key, found.run.record.name, found.run.place.fd, found.asked)
            for key, found in running.items()
            if found.asked and found.run is not None and found.run.record is not None
        ]
        spoken = {target.key for target in targets}
        yield from (found for key, found in running.items() if key not in spoken)
        for key, said in ask_all(targets, ()):
            running[key].said = said
            yield running[key]


def _questions(run: Run, record: Record, groups: AbstractSet[str]) -> tuple[Command, ...]:
    """What a QEMU is asked: nothing about what its guest does not have, or has had no time to tell."""
    balloon = ""
    if "balloon" in groups and (not record.paused or any(event.name == "RESUME" for event in run.events())):
        with suppress(VirtError):  # whoever needs more of the document says what is wrong with it
            balloon = _summary(record.xml).balloon
    stats = {"path": f"/machine/peripheral/{balloon}", "property": "guest-stats"}
    return (
        *(BLOCK if record.disks and "block" in groups else ()),
        *((Command("qom-get", stats),) if balloon else ()),
    )


def _ended(site: Site, ref: Ref, row: Row, *, documents: bool) -> Found:
    """A run that has ended and that nobody has settled yet."""
    if row.transient:
        return Found(ref, NotFound(ref, hint="it was transient and has ended"))
    try:
        return Found(ref, site.row(ref) if documents else row)
    except VirtError as error:
        return Found(ref, error)


def _said(asked: Sequence[Command], answers: Answers | VirtError | None) -> Said:
    said = Said()
    if not isinstance(answers, Answers):
        return said
    for command, value in zip(asked, answers.values, strict=True):
        if command.name == "query-block" and isinstance(value, list):
            for entry in value:
                _drive(said, entry, entry.get("inserted", {}).get("node-name")).inserted = entry.get("inserted")
        elif command.name == "query-blockstats" and isinstance(value, list):
            for entry in value:
                drive = _drive(said, entry, entry.get("node-name"))
                drive.stats = entry.get("stats", {})
                drive.highest = entry.get("parent", {}).get("stats", {}).get("wr_highest_offset")
        elif command.name == "qom-get" and isinstance(value, dict):
            said.memory = _memory(value)
    return said


def _memory(told: Mapping[str, Any]) -> dict[str, int]:
    """What the guest has told of its memory; nothing before it has told anything."""
    last, stats = told.get("last-update"), told.get("stats")
    if not last or not isinstance(stats, dict):
        return {}
    known = {MEMORY[name]: value for name, value in stats.items() if name in MEMORY and 0 <= value < UNKNOWN}
    return {**known, "last_update": int(last)}


def _drive(said: Said, entry: Mapping[str, Any], node: str | None) -> Drive:
    """The disk that an entry is about: known by its device, and by the node that it stands on."""
    device = str(entry.get("qdev", "")).removeprefix("/machine/peripheral/").partition("/")[0]
    drive = said.drives.get(device) or said.drives.get(node or "") or Drive()
    for name in (device, node):
        if name:
            said.drives[name] = drive
    return drive


def _stopped(row: Row, status: Status | None, groups: AbstractSet[str]) -> DomainStats:
    """What a definition says; of its images, what the host says."""
    if not groups & FROM_DEFINITION:
        return DomainStats(state=status, cpu=Cpu() if "cpu" in groups else None)
    summary = _facts(row)
    return DomainStats(
        state=status,
        cpu=Cpu() if "cpu" in groups else None,
        vcpu=_offline(summary.vcpus) if "vcpu" in groups else None,
        balloon=Balloon(current=summary.memory, maximum=summary.max_memory) if "balloon" in groups else None,
        interface=tuple(Net(mac=net.mac) for net in summary.nets) if "interface" in groups else None,
        block=_blocks(summary, None, None) if "block" in groups else None,
    )


def _running(
    run: Run, record: Record, groups: AbstractSet[str], said: Said, net: Mapping[str, Sequence[int]]
) -> DomainStats:
    pid, start = (run.process.pid, run.process.start) if run.process is not None else (0, 0)
    seen = bool(run.alive())  # not in another pid namespace
    usage = proc.usage(pid, start) if seen and groups & {"cpu", "balloon"} else None
    summary = _summary(record.xml)
    cpu = Cpu(time=usage.cpu, user=usage.user, system=usage.system) if usage is not None else Cpu()
    events = tuple(run.events()) if groups & {"state", "balloon"} else ()
    balloon = Balloon(
        current=_balloon(events, summary),
        maximum=summary.max_memory,
        rss=usage.rss if usage is not None else None,
        **said.memory,
    )
    return DomainStats(
        state=None if "state" not in groups else running(events, record) if seen else run.status(events),
        cpu=cpu if "cpu" in groups else None,
        vcpu=_vcpus(pid, summary.vcpus, seen=seen) if "vcpu" in groups else None,
        balloon=balloon if "balloon" in groups else None,
        interface=_nets(summary, record, net) if "interface" in groups else None,
        block=_blocks(summary, record, said) if "block" in groups else None,
    )


def _balloon(events: Iterable[Event], summary: Summary) -> int | None:
    """What the balloon leaves to the guest: QEMU tells each change within a second, so that nobody has to ask."""
    sizes = [event.data.get("actual") for event in events if event.name == "BALLOON_CHANGE"]
    return sizes[-1] if sizes and isinstance(sizes[-1], int) else summary.max_memory


@cache
def _offline(count: int) -> tuple[Vcpu, ...]:
    return tuple(Vcpu(number=number, state="offline") for number in range(count))


def _vcpus(pid: int, count: int, *, seen: bool) -> tuple[Vcpu, ...]:
    """Each processor is a thread of QEMU's that bears its number: ``CPU 0/KVM``."""
    if not seen:
        return tuple(Vcpu(number=number, state="running") for number in range(count))
    tids = {}
    for tid, name in proc.names(pid).items():
        number, _, rest = name.removeprefix("CPU ").partition("/")
        if rest and number.isdecimal():
            tids[tid] = int(number)
    used = proc.threads(pid, tids, wait=True)
    found = [
        Vcpu(number=number, state="running", time=used[tid].cpu, wait=used[tid].wait, delay=used[tid].delay)
        for tid, number in tids.items()
        if tid in used
    ]
    if not found:  # all processors share one thread
        return tuple(Vcpu(number=number, state="running") for number in range(count))
    return tuple(sorted(found, key=lambda one: one.number))


def _devices() -> dict[str, tuple[int, ...]]:
    """Counters of every network device of this host, as it sees them: bytes, packets, errors, dropped; in, then out."""
    try:
        with open(DEVICES, encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = rest.split()
        if len(numbers) >= 12:
            found[name.strip()] = tuple(map(int, (*numbers[:4], *numbers[8:12])))
    return found


def _nets(summary: Summary, record: Record, devices: Mapping[str, Sequence[int]]) -> tuple[Net, ...]:
    """What the host receives from a tap the guest has sent, and the other way round; a macvtap sends it itself."""
    nets = []
    for facts in summary.nets:
        name = record.nets.get(facts.alias, {}).get("name")
        found = devices.get(name or "")
        if found is None:
            nets.append(Net(name=name, mac=facts.mac))
            continue
        into, out = found[:4], found[4:]
        if record.nets[facts.alias].get("kind") == "macvtap":
            into, out = out, into
        nets.append(
            Net(
                name=name,
                mac=facts.mac,
                rx_bytes=out[0],
                rx_packets=out[1],
                rx_errors=out[2],
                rx_dropped=out[3],
                tx_bytes=into[0],
                tx_packets=into[1],
                tx_errors=into[2],
                tx_dropped=into[3],
            )
        )
    return tuple(nets)


def _sizes(
    summary: Summary, record: Record | None, said: Said | None
) -> Iterator[tuple[str, str, Drive, Sizes | VirtError]]:
    """Target, path, what QEMU says, and sizes of each disk; of an empty drive nothing is known."""
    from anyvirt_qemu import blocks

    for disk in summary.disks:
        use = record.disks.get(disk.target, {}) if record is not None else {}
        path, form = use.get("path", disk.path), use.get("format", disk.format)
        drives = said.drives if said is not None else {}
        drive = drives.get(use.get("alias", "")) or drives.get(use.get("node", "")) or Drive()
        sizes: Sizes | VirtError = blocks.Sizes()
        if path:
            try:
                known = record is not None
                sizes = (
                    blocks.running(path, form, drive.inserted, drive.highest) if known else blocks.stopped(path, form)
                )
            except VirtError as error:
                sizes = error
        yield disk.target, path, drive, sizes


def _infos(found: Iterator[tuple[str, str, Drive, Sizes | VirtError]]) -> tuple[BlockInfo, ...]:
    """Sizes of all disks; those of an image that cannot be read are not known.

    :raises VirtError: no image can be read; why the first one cannot.
    """
    infos = []
    problems = []
    for target, _, _, sizes in found:
        if isinstance(sizes, VirtError):
            problems.append(sizes)
            infos.append(BlockInfo(target, None, None, None))
        else:
            infos.append(BlockInfo(target, sizes.capacity, sizes.allocation, sizes.physical))
    if problems and len(problems) == len(infos):
        raise problems[0]
    return tuple(infos)


def _blocks(summary: Summary, record: Record | None, said: Said | None) -> tuple[Block, ...]:
    found = []
    for target, path, drive, sizes in _sizes(summary, record, said):
        known = None if isinstance(sizes, VirtError) else sizes
        stats = drive.stats
        found.append(
            Block(
                name=target,
                path=path or None,
                read_requests=stats.get("rd_operations"),
                read_bytes=stats.get("rd_bytes"),
                read_time=stats.get("rd_total_time_ns"),
                write_requests=stats.get("wr_operations"),
                write_bytes=stats.get("wr_bytes"),
                write_time=stats.get("wr_total_time_ns"),
                flush_requests=stats.get("flush_operations"),
                flush_time=stats.get("flush_total_time_ns"),
                allocation=known.allocation if known else None,
                capacity=known.capacity if known else None,
                physical=known.physical if known else None,
            )
        )
    return tuple(found)


def _facts(row: Row) -> Summary:
    """The facts of a definition: out of the gist, or out of the document where that is no use."""
    return recall(row.gist) or _summary(row.xml)


def _summary(xml: str | None) -> Summary:
    """The facts of a document.

    :raises Failed: the store has been damaged.
    """
    try:
        return summarise(xml or "<domain/>")
    except ValueError as error:
        raise Failed(f"a definition in the store cannot be read: {error}", hint="define the domain again") from error
