"""A small hypervisor in memory, with one of each thing that the command line shows."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from anyvirt.api import (
    Answer,
    Balloon,
    Block,
    BlockInfo,
    Cpu,
    Document,
    DomainFacts,
    DomainStats,
    Event,
    Exists,
    Fact,
    Failed,
    Gap,
    Host,
    HostInfo,
    Imported,
    LaunchCommand,
    LaunchDescriptor,
    LaunchFile,
    LaunchLink,
    LaunchPlan,
    LaunchProgram,
    Lifecycle,
    MemoryBook,
    NetworkInfo,
    NotFound,
    PoolInfo,
    Problem,
    Progress,
    Ref,
    Settings,
    ShutdownMode,
    State,
    Status,
    Stream,
    Uri,
    Vcpu,
    VolumeInfo,
    Which,
    impl,
    without_passwords,
)
from anyvirt.events import Change
from anyvirt.model.state import Op, Reason, require
from anyvirt.model.stats import Net
from anyvirt.session import Member, Session

UUIDS = {
    "web": "11111111-1111-4111-8111-111111111111",
    "db": "22222222-2222-4222-8222-222222222222",
    "old": "33333333-3333-4333-8333-333333333333",
    "stuck": "44444444-4444-4444-8444-444444444444",
}
XML = """<domain type='test'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='KiB'>{memory}</memory>
  <vcpu>2</vcpu>
  <os>
    <type>hvm</type>
  </os>
</domain>
"""
POOL = Ref("pool", "p1", name="default", uuid="55555555-5555-4555-8555-555555555555")
VOLUME = Ref("volume", "/pool/disk.qcow2", parent=POOL, name="disk.qcow2")
NET = Ref("network", "n1", name="default", uuid="66666666-6666-4666-8666-666666666666")
NIC = Ref("interface", "eth0", name="eth0", uuid="52:54:00:00:00:01")


class Guest:
    """One domain of the fake."""

    def __init__(self, name: str, status: Status, facts: DomainFacts) -> None:
        self.ref = Ref("domain", UUIDS.get(name, name), name=name, uuid=UUIDS.get(name))
        self.status, self.facts = status, facts
        self.xml = XML.format(name=name, uuid=UUIDS.get(name, ""), memory=1048576)


class Fake:
    """Four domains: running, paused, shut off, and one that cannot be asked."""

    def __init__(self) -> None:
        guests = [
            Guest("web", Status(State.RUNNING, Reason.BOOTED), DomainFacts(id=1, autostart=True, title="Front")),
            Guest("db", Status(State.PAUSED, Reason.USER), DomainFacts(id=2, persistent=False, autostart=False)),
            Guest("old", Status(State.SHUTOFF, Reason.SHUTDOWN), DomainFacts(autostart=False, foreign="libvirtd")),
            Guest("stuck", Status(State.RUNNING), DomainFacts(id=7)),
        ]
        self.guests = {guest.ref: guest for guest in guests}
        self.calls: list[tuple[Any, ...]] = []
        self.echo: tuple[int, int] | None = None
        self.events: list[Event] = []
        self.blockers: tuple[Problem, ...] = ()

    @impl
    def domain_list(self) -> Iterator[Ref]:
        yield from (guest.ref for guest in self.guests.values())

    @impl
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Status]]]:
        for ref in refs:
            if ref.name == "stuck":
                yield ref, Answer(error=Failed("the monitor does not answer", hint="destroy it"))
            elif ref in self.guests:
                yield ref, Answer(self.guests[ref].status)
            else:
                yield ref, Answer(error=NotFound(ref))

    @impl
    def domain_facts(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[DomainFacts]]]:
        for ref in refs:
            yield ref, Answer(self.guests[ref].facts)

    @impl
    def domain_config(self, refs: Sequence[Ref], which: Which) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            yield ref, Answer(Document(self.guests[ref].xml))

    @impl
    def domain_define(self, config: Document[Any]) -> Ref:
        self.calls.append(("define", config.text))
        name = config.text.partition("<name>")[2].partition("</name>")[0]
        for guest in self.guests.values():
            if guest.ref.name == name:
                guest.xml = config.text
                return guest.ref
        guest = Guest(name, Status(State.SHUTOFF), DomainFacts())
        guest.xml = config.text
        self.guests[guest.ref] = guest
        return guest.ref

    @impl
    def domain_create(self, config: Document[Any], paused: bool) -> Ref:
        ref = self.domain_define(config)
        self.guests[ref].facts = DomainFacts(id=9, persistent=False)
        self.guests[ref].status = Status(State.PAUSED if paused else State.RUNNING, Reason.BOOTED)
        return ref

    @impl
    def domain_undefine(self, ref: Ref, keep_nvram: bool, keep_tpm: bool | None) -> None:
        self.calls.append(("undefine", str(ref), keep_nvram, keep_tpm))
        del self.guests[ref]

    @impl
    def domain_rename(self, ref: Ref, name: str) -> Ref:
        if name in UUIDS:
            raise Exists("domain", name)
        self.guests[ref].ref = replace(ref, name=name)
        return self.guests[ref].ref

    @impl
    def domain_set_autostart(self, ref: Ref, on: bool) -> None:
        self.guests[ref].facts = replace(self.guests[ref].facts, autostart=on)

    @impl
    def domain_plan(self, ref: Ref, paused: bool) -> LaunchPlan:
        require(self.guests[ref].status, Op.START, ref)
        return launch_plan(str(ref), paused=paused, blockers=self.blockers)

    @impl
    def domain_plan_create(self, config: Document[Any], paused: bool) -> LaunchPlan:
        name = config.text.partition("<name>")[2].partition("</name>")[0]
        return launch_plan(name, paused=paused, blockers=self.blockers)

    @impl
    def domain_start(self, ref: Ref, paused: bool) -> None:
        self._go(ref, Op.START)
        self.calls.append(("start", str(ref), paused))

    @impl(accepts={"mode": {ShutdownMode.ACPI}})
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None) -> None:
        self._go(ref, Op.SHUTDOWN)
        self.guests[ref].status = Status(State.SHUTOFF, Reason.SHUTDOWN)
        self.calls.append(("shutdown", str(ref), mode))

    @impl
    def domain_reboot(self, ref: Ref) -> None:
        self._go(ref, Op.REBOOT)

    @impl
    def domain_reset(self, ref: Ref) -> None:
        self._go(ref, Op.RESET)

    @impl
    def domain_destroy(self, ref: Ref, graceful: bool) -> None:
        self._go(ref, Op.DESTROY)
        self.calls.append(("destroy", str(ref), graceful))

    @impl
    def domain_suspend(self, ref: Ref) -> None:
        self._go(ref, Op.SUSPEND)

    @impl
    def domain_resume(self, ref: Ref) -> None:
        self._go(ref, Op.RESUME)

    @impl
    def domain_console(self, ref: Ref, device: str | None, force: bool, readonly: bool, replay: bool) -> Stream:
        self.calls.append(("console", str(ref), device, force, readonly, replay))
        assert self.echo is not None
        return Stream(*self.echo, what=f"console of {ref}")

    @impl
    def domain_block_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[BlockInfo]]]]:
        for ref in refs:
            yield ref, Answer((BlockInfo("vda", 1 << 30, 200704, 262144), BlockInfo("vdb", 1000, None, 1000)))

    @impl
    def domain_save(self, ref: Ref, path: str) -> Generator[Progress, None, None]:
        for done in (10, 60, 100):
            yield Progress(done, 100, "%", "memory")
        self._go(ref, Op.SAVE)

    @impl
    def domain_restore(self, path: str) -> Generator[Progress, None, Ref]:
        yield Progress(1, 2, "steps", "memory")
        return next(ref for ref in self.guests if ref.name == "old")

    @impl
    def stats_collect(self, refs: Sequence[Ref], groups: AbstractSet[str]) -> Iterator[tuple[Ref, Answer[DomainStats]]]:
        whole: Mapping[str, Any] = {
            "cpu": Cpu(time=3_500_000_000, user=1_000_000_000),
            "vcpu": (Vcpu(number=0, state="running", time=5), Vcpu(number=1)),
            "balloon": Balloon(current=1 << 29, maximum=1 << 30),
            "interface": (Net(name="tap0", rx_bytes=10, tx_bytes=20),),
            "block": (Block(name="vda", read_bytes=4096, capacity=1 << 30),),
        }
        for ref in refs:
            if ref.name == "stuck":
                yield ref, Answer(error=Failed("the monitor does not answer", hint="destroy it"))
                continue
            known = {name: whole[name] for name in whole if name in groups}
            yield ref, Answer(DomainStats(state=self.guests[ref].status if "state" in groups else None, **known))

    @impl
    def host_info(self) -> HostInfo:
        return HostInfo("box", "fake", "1.2.3", "0.1", "x86_64", 8 << 30, 4, 2400, 1, 1, 2, 2, "fake:///")

    @impl
    def host_facts(self) -> Sequence[Fact]:
        return (Fact("accelerator", "tcg", "no guest code ran under KVM"), Fact("tap", "no"))

    @impl
    def connect_recover(self) -> Sequence[str]:
        return ("removed the run folder of web",)

    @impl
    def domain_import(self, dry_run: bool) -> Sequence[Imported]:
        outcome = "would define" if dry_run else "defined"
        return (
            Imported("new", "u-1", "/etc/libvirt/qemu/new.xml", outcome),
            Imported("odd", "u-2", "/etc/libvirt/qemu/odd.xml", "refused", "/devices/shmem is not supported"),
        )

    @impl
    def events_follow(self, after: str | None) -> Iterator[Event]:
        self.calls.append(("events", after))
        yield from self.events

    @impl
    def pool_list(self) -> Iterator[Ref]:
        yield POOL

    @impl
    def pool_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[PoolInfo]]]:
        for ref in refs:
            yield ref, Answer(PoolInfo(True, 100 << 30, 40 << 30, 60 << 30, autostart=True))

    @impl
    def pool_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            yield ref, Answer(Document("<pool type='dir'><name>default</name></pool>"))

    @impl
    def pool_define(self, config: Document[Any]) -> Ref:
        self.calls.append(("pool_define", config.text))
        return POOL

    @impl
    def pool_undefine(self, ref: Ref) -> None:
        self.calls.append(("pool_undefine", str(ref)))

    @impl
    def pool_start(self, ref: Ref) -> None:
        self.calls.append(("pool_start", str(ref)))

    @impl
    def pool_stop(self, ref: Ref) -> None:
        self.calls.append(("pool_stop", str(ref)))

    @impl
    def pool_volumes(self, ref: Ref) -> Iterator[Ref]:
        yield VOLUME

    @impl
    def volume_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            yield ref, Answer(Document("<volume><name>disk.qcow2</name></volume>"))

    @impl
    def volume_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[VolumeInfo]]]:
        for ref in refs:
            yield ref, Answer(VolumeInfo("file", 1 << 30, 200704, 262144))

    @impl
    def volume_path(self, ref: Ref) -> str:
        return ref.key

    @impl
    def volume_create(self, pool: Ref, config: Document[Any]) -> Generator[Progress, None, Ref]:
        self.calls.append(("volume_create", config.text))
        yield Progress(1 << 20, 1 << 21, "B", "writing")
        return replace(VOLUME, name="made.raw", key="/pool/made.raw")

    @impl
    def volume_delete(self, ref: Ref) -> None:
        self.calls.append(("volume_delete", str(ref)))

    @impl
    def network_list(self) -> Iterator[Ref]:
        yield NET

    @impl
    def network_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        for ref in refs:
            yield ref, Answer(NetworkInfo(True, True, False, "virbr0"))

    @impl
    def network_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            yield ref, Answer(Document("<network><name>default</name></network>"))

    @impl
    def interface_list(self) -> Iterator[Ref]:
        yield NIC

    @impl
    def interface_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[NetworkInfo]]]:
        for ref in refs:
            yield ref, Answer(NetworkInfo(True))

    @impl
    def interface_config(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            yield ref, Answer(Document("<interface type='ethernet' name='eth0'/>"))

    def _go(self, ref: Ref, op: Op) -> None:
        guest = self.guests[ref]
        guest.status = require(guest.status, op, ref)
        number = 5 if guest.status.state.active else None
        guest.facts = replace(guest.facts, id=number)


class Guarded(Fake):
    """One that shows passwords only to who asks for them."""

    @impl
    def domain_config(  # type: ignore[override]  # its own has fewer parameters, as a driver may
        self, refs: Sequence[Ref], which: Which, secure: bool
    ) -> Iterator[tuple[Ref, Answer[Document[Any]]]]:
        for ref in refs:
            document = Document[Any](self.guests[ref].xml)
            yield ref, Answer(document if secure else without_passwords(document))


def happened(ref: Ref, change: Change, detail: str, at: float, token: str) -> Lifecycle:
    """An event of the fake."""
    return Lifecycle(ref=ref, change=change, detail=detail, at=at, token=token)


def gap(at: float, token: str) -> Gap:
    """A hole in the fake's log."""
    return Gap(at=at, since=at - 60, reason="pruned", token=token)


def session(fake: Fake, *, readonly: bool = False, timeout: float | None = 10.0) -> Session:
    """A connection to the fake."""
    uri = Uri.of("fake:///default")
    host = Host(uri, Settings.read(dict(os.environ)))
    host.jobs = MemoryBook()
    return Session(uri, host, [Member("fake", "anyvirt-fake", "1.0", fake)], readonly=readonly, timeout=timeout)


def launch_plan(name: str, *, paused: bool, blockers: tuple[Problem, ...]) -> LaunchPlan:
    """A plan with one of each thing that there may be in one."""
    return LaunchPlan(
        argv=(("/usr/bin/fake",), ("-name", name), ("-append", "a b 'c'")),
        env={"LC_ALL": "C"},
        cwd="/run/fake dir",
        files=(LaunchFile("/var/vars", "copy", 0o600, "/usr/share/vars", "firmware"), LaunchFile("/dev/x", "open")),
        descriptors=(LaunchDescriptor(10, "monitor", "ctl"),),
        programs=(LaunchProgram(("swtpm", "socket"), "swtpm", "/devices/tpm[0]"),),
        links=(LaunchLink("tap", "", {"bridge": "br0"}),),
        placement=("accelerator tcg",),
        commands=(LaunchCommand("set_link", {"up": True}), *(() if paused else (LaunchCommand("cont"),))),
        warnings=("it is emulated",),
        blockers=blockers,
    )
