"""The sync client, generated from the specs by tools/gen_clients.py: do not edit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set as AbstractSet
from typing import TYPE_CHECKING, Any

from anyvirt.client import derived
from anyvirt.client.link import SyncLink, Handle, admitted, ref_of, refs_of, statuses
from anyvirt.model.choices import GROUPS, ShutdownMode, Which

if TYPE_CHECKING:
    from anyvirt.auth import Secret
    from anyvirt.client.derived import Overview
    from anyvirt.document import Document
    from anyvirt.errors import Problem
    from anyvirt.jobs import Job
    from anyvirt.model.capabilities import Capabilities
    from anyvirt.model.cpu import CpuSpec
    from anyvirt.model.domain import Domain as DomainModel
    from anyvirt.model.domaincaps import DomainCapabilities
    from anyvirt.model.launch import LaunchPlan
    from anyvirt.model.pool_capabilities import StoragePoolCapabilities
    from anyvirt.model.secret import KeptSecret as KeptSecretModel
    from anyvirt.model.state import DomainFacts, State, Status
    from anyvirt.model.stats import Balloon, Block, BlockInfo, Cpu, DomainStats, Net, Vcpu
    from anyvirt.model.storage import Pool as PoolModel, Volume as VolumeModel, PoolSource, PoolSources
    from anyvirt.model.values import (
        ChainLink,
        CpuComparison,
        Fact,
        HostInfo,
        Imported,
        Loss,
        NetworkInfo,
        PoolInfo,
        SecretInfo,
        Trashed,
        Unfinished,
        VolumeInfo,
    )
    from anyvirt.ref import Answer, Ref
    from anyvirt.session import Timeout
    from anyvirt.transport.stream import Stream


class Connection(SyncLink):
    """One connection to a hypervisor."""

    def __enter__(self) -> Connection:
        return self

    def connect_alive(self, *, timeout: Timeout = ...) -> bool:
        """Whether the hypervisor answers now."""
        result: bool = self._call("connect_alive", {}, timeout)
        return result

    def host_info(self, *, timeout: Timeout = ...) -> HostInfo:
        """The machine and its hypervisor: names, versions, memory, processors.

        :raises Unreachable: where the host does not answer.
        """
        result: HostInfo = self._call("host_info", {}, timeout)
        return result

    def host_facts(self, *, timeout: Timeout = ...) -> dict[str, Answer[Sequence[Fact]]]:
        """What was found out about the host, with the reasons: accelerators, limits, missing tools."""
        result: dict[str, Answer[Sequence[Fact]]] = self._call("host_facts", {}, timeout)
        return result

    def host_capabilities(self, *, timeout: Timeout = ...) -> dict[str, Answer[Document[Capabilities]]]:
        """A part of the capabilities document; core merges the parts of all plug-ins."""
        result: dict[str, Answer[Document[Capabilities]]] = self._call("host_capabilities", {}, timeout)
        return result

    def domain_capabilities(
        self,
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        *,
        timeout: Timeout = ...,
    ) -> Document[DomainCapabilities]:
        """What guests of one machine type can have: firmware, CPUs, devices, features.

        :param emulator: path of the program that runs them; the one for ``arch`` without it.
        :param arch: architecture of the guests; the host's without it.
        :param machine: machine type, also by its unversioned name; the default one without it.
        :param virttype: type of the domain, such as ``kvm``; the best that works here without it.
        :raises Invalid: there is no such machine type, or the program is for another architecture.
        :raises NotFound: there is no such program (kind ``program``).
        :raises Unsupported: this host cannot run guests of that type or architecture.
        """
        result: Document[DomainCapabilities] = self._call(
            "domain_capabilities",
            {"emulator": emulator, "arch": arch, "machine": machine, "virttype": virttype},
            timeout,
        )
        return result

    def cpu_baseline(
        self,
        cpus: Sequence[Document[CpuSpec] | CpuSpec | str | bytes],
        expand: bool = False,
        migratable: bool = False,
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Document[CpuSpec]:
        """The CPU that a guest can have wherever one of these is: each of them has all its features.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param expand: name the features of the model, too.
        :param migratable: leave out features that keep a guest where it is.
        :param emulator: whose models are meant, with ``arch``, ``machine`` and ``virttype`` as
            ``domain_capabilities`` has them.
        :raises Invalid: there are none, their vendors differ, or there is no such model.
        """
        result: Document[CpuSpec] = self._call(
            "cpu_baseline",
            {
                "cpus": [admitted(one, "cpu", keep_unknown=keep_unknown) for one in cpus],
                "expand": expand,
                "migratable": migratable,
                "emulator": emulator,
                "arch": arch,
                "machine": machine,
                "virttype": virttype,
            },
            timeout,
        )
        return result

    def cpu_compare(
        self,
        cpu: Document[CpuSpec] | CpuSpec | str | bytes,
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> CpuComparison:
        """How the CPU that guests can have here is to another one: whether a guest with that one can run.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param emulator: whose guests are meant, with ``arch``, ``machine`` and ``virttype`` as
            ``domain_capabilities`` has them.
        :raises Invalid: there is no such model.
        """
        result: CpuComparison = self._call(
            "cpu_compare",
            {
                "cpu": admitted(cpu, "cpu", keep_unknown=keep_unknown),
                "emulator": emulator,
                "arch": arch,
                "machine": machine,
                "virttype": virttype,
            },
            timeout,
        )
        return result

    def connect_recover(self, *, timeout: Timeout = ...) -> dict[str, Answer[Sequence[str]]]:
        """Clean up what killed processes left behind; give one sentence for each thing done.

        Re-derives what is so from the hypervisor; running it twice does nothing the second time.
        """
        result: dict[str, Answer[Sequence[str]]] = self._call("connect_recover", {}, timeout)
        return result

    def domain_import(self, dry_run: bool = False, *, timeout: Timeout = ...) -> Sequence[Imported]:
        """Bring in definitions that libvirt keeps on this host; define what is missing, start nothing.

        :param dry_run: only say what would be done.
        :raises Denied: where libvirt's files may not be read.
        """
        result: Sequence[Imported] = self._call("domain_import", {"dry_run": dry_run}, timeout)
        return result

    def domain_list(self, *, timeout: Timeout = ...) -> tuple[Domain, ...]:
        """Every domain, running or not, with name and UUID as labels."""
        return tuple(Domain(self, ref) for ref in self._call("domain_list", {}, timeout))

    def domain_lookup(self, text: str, *, timeout: Timeout = ...) -> tuple[Domain, ...]:
        """Every domain whose name, UUID or (running) number is ``text``; empty where there is none.

        Left out, core finds it in ``domain_list``.
        """
        return tuple(Domain(self, ref) for ref in self._call("domain_lookup", {"text": text}, timeout))

    def domain_state(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[Status]]:
        """State of each domain, with the reason where it is known.

        An answer's error is ``NotFound`` for a domain that is gone.
        """
        return statuses(self._bulk("domain_state", {"refs": refs_of(refs)}, timeout))

    def domain_facts(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[DomainFacts]]:
        """Number, persistence, autostart, title of each domain, as far as they cost nothing to ask."""
        result: dict[Ref, Answer[DomainFacts]] = self._bulk("domain_facts", {"refs": refs_of(refs)}, timeout)
        return result

    def domain_config(
        self,
        refs: Iterable[Handle | Ref],
        which: Which = Which.EFFECTIVE,
        secure: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> dict[Ref, Answer[Document[DomainModel]]]:
        """Definition of each domain.

        :param which: CONFIG is the next boot's, LIVE the running one's (``WrongState`` when it does not run),
            EFFECTIVE is LIVE when it runs and CONFIG when not.
        :param secure: with passwords in it; refused on a read-only connection.
        """
        result: dict[Ref, Answer[Document[DomainModel]]] = self._bulk(
            "domain_config", {"refs": refs_of(refs), "which": which, "secure": secure}, timeout
        )
        return result

    def domain_define(
        self,
        config: Document[DomainModel] | DomainModel | str | bytes,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Domain:
        """Store a definition: new, or in place of the one with the same UUID and name. A running guest is untouched.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :raises Invalid: with every problem, before anything changed.
        :raises Exists: where the name belongs to another UUID, or the UUID to another name.
        """
        return Domain(
            self,
            self._call("domain_define", {"config": admitted(config, "domain", keep_unknown=keep_unknown)}, timeout),
        )

    def domain_undefine(
        self, ref: Domain | Ref, keep_nvram: bool = False, keep_tpm: bool | None = None, *, timeout: Timeout = ...
    ) -> None:
        """Remove the definition; a running guest becomes transient and goes on.

        :param keep_nvram: leave the firmware's variables where they are.
        :param keep_tpm: leave the state of its emulated TPM, or take it away; as the definition says without it.
        :raises WrongState: where the domain is transient already.
        """
        self._call("domain_undefine", {"ref": ref_of(ref), "keep_nvram": keep_nvram, "keep_tpm": keep_tpm}, timeout)

    def domain_rename(self, ref: Domain | Ref, name: str, *, timeout: Timeout = ...) -> Domain:
        """Give a stopped domain another name; every ref to it stays valid.

        :raises Exists: where the name is taken.
        """
        return Domain(self, self._call("domain_rename", {"ref": ref_of(ref), "name": name}, timeout))

    def domain_set_autostart(self, ref: Domain | Ref, on: bool, *, timeout: Timeout = ...) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the domain is transient.
        """
        self._call("domain_set_autostart", {"ref": ref_of(ref), "on": on}, timeout)

    def domain_preflight(self, ref: Domain | Ref, *, timeout: Timeout = ...) -> Sequence[Problem]:
        """Everything on this host that would keep the domain from starting, with the way out of each."""
        result: Sequence[Problem] = self._call("domain_preflight", {"ref": ref_of(ref)}, timeout)
        return result

    def domain_plan(self, ref: Domain | Ref, paused: bool = False, *, timeout: Timeout = ...) -> LaunchPlan:
        """All that ``domain_start`` would do on this host, with every blocker; nothing is done.

        Where something stands in the way, the rest is planned as far as it can be. No secret is in it.

        :param paused: as for ``domain_start``.
        :raises WrongState: where the domain runs already.
        """
        result: LaunchPlan = self._call("domain_plan", {"ref": ref_of(ref), "paused": paused}, timeout)
        return result

    def domain_plan_create(
        self,
        config: Document[DomainModel] | DomainModel | str | bytes,
        paused: bool = False,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> LaunchPlan:
        """All that ``domain_create`` would do on this host, with every blocker; nothing is done.

        What it chooses itself, such as a UUID or a MAC address, is chosen anew each time.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param paused: as for ``domain_create``.
        :raises Invalid: where the definition cannot be used by this driver on any host.
        :raises Exists: as ``domain_create``.
        """
        result: LaunchPlan = self._call(
            "domain_plan_create",
            {"config": admitted(config, "domain", keep_unknown=keep_unknown), "paused": paused},
            timeout,
        )
        return result

    def domain_start(self, ref: Domain | Ref, paused: bool = False, *, timeout: Timeout = ...) -> None:
        """Boot a defined domain.

        :param paused: leave its processors stopped.
        :raises WrongState: where it runs already.
        :raises Invalid: where the host cannot run it, with every blocker, before anything changed.
        """
        self._call("domain_start", {"ref": ref_of(ref), "paused": paused}, timeout)

    def domain_create(
        self,
        config: Document[DomainModel] | DomainModel | str | bytes,
        paused: bool = False,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Domain:
        """Boot a transient domain: nothing is left of it when it stops.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :raises Exists: where the name or UUID is taken; a domain that runs under both already is ``WrongState``.
        """
        return Domain(
            self,
            self._call(
                "domain_create",
                {"config": admitted(config, "domain", keep_unknown=keep_unknown), "paused": paused},
                timeout,
            ),
        )

    def domain_shutdown(self, ref: Domain | Ref, mode: ShutdownMode | None = None, *, timeout: Timeout = ...) -> None:
        """Ask the guest to power itself off; comes back when it was asked, not when it is off.

        :param mode: the way to ask; None leaves it to the driver.
        """
        self._call("domain_shutdown", {"ref": ref_of(ref), "mode": mode}, timeout)

    def domain_reboot(self, ref: Domain | Ref, mode: ShutdownMode | None = None, *, timeout: Timeout = ...) -> None:
        """Ask the guest to shut down and come up again; comes back when it was asked."""
        self._call("domain_reboot", {"ref": ref_of(ref), "mode": mode}, timeout)

    def domain_reset(self, ref: Domain | Ref, *, timeout: Timeout = ...) -> None:
        """Press the reset button: no warning to the guest, same process on the host."""
        self._call("domain_reset", {"ref": ref_of(ref)}, timeout)

    def domain_destroy(self, ref: Domain | Ref, graceful: bool = False, *, timeout: Timeout = ...) -> None:
        """Pull the plug; needs no answer from the guest, and works on one that hangs.

        :param graceful: only ask the hypervisor's process to end, and fail when it does not.
        """
        self._call("domain_destroy", {"ref": ref_of(ref), "graceful": graceful}, timeout)

    def domain_suspend(self, ref: Domain | Ref, *, timeout: Timeout = ...) -> None:
        """Stop the processors; memory stays. Nothing happens to a domain that is paused already."""
        self._call("domain_suspend", {"ref": ref_of(ref)}, timeout)

    def domain_resume(self, ref: Domain | Ref, *, timeout: Timeout = ...) -> None:
        """Let the processors go on."""
        self._call("domain_resume", {"ref": ref_of(ref)}, timeout)

    def domain_console(
        self,
        ref: Domain | Ref,
        device: str | None = None,
        force: bool = False,
        readonly: bool = False,
        replay: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Stream:
        """A console of the running guest: what it prints, and what is typed.

        One may write and any number read; each reader sees every byte from when it attached.

        :param device: alias of the console or serial device; None is the first.
        :param force: take the writer's place from whoever has it.
        :param readonly: only read.
        :param replay: begin with what the log has kept.
        :raises Busy: where somebody else writes; it names the holder.
        """
        result: Stream = self._call(
            "domain_console",
            {"ref": ref_of(ref), "device": device, "force": force, "readonly": readonly, "replay": replay},
            timeout,
        )
        return result

    def domain_block_info(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Sequence[BlockInfo]]]:
        """Capacity, allocation and physical size of every disk of each domain, running or not; in bytes."""
        result: dict[Ref, Answer[Sequence[BlockInfo]]] = self._bulk(
            "domain_block_info", {"refs": refs_of(refs)}, timeout
        )
        return result

    def domain_save(self, ref: Domain | Ref, path: str, *, timeout: Timeout = None) -> Job[None]:
        """Write the guest's memory and state to a file on the host and stop it.

        Failed or cancelled, the guest goes on as before and no file is left.
        """
        result: Job[None] = self._job("domain_save", {"ref": ref_of(ref), "path": path}, timeout)
        return result

    def domain_restore(self, path: str, paused: bool = False, *, timeout: Timeout = None) -> Job[Ref]:
        """Bring a saved guest back as it was.

        :raises WrongState: where the domain runs.
        """
        result: Job[Ref] = self._job("domain_restore", {"path": path, "paused": paused}, timeout)
        return result

    def pool_list(self, *, timeout: Timeout = ...) -> tuple[Pool, ...]:
        """Every pool, active or not."""
        return tuple(Pool(self, ref) for ref in self._call("pool_list", {}, timeout))

    def pool_info(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[PoolInfo]]:
        """State and sizes of each pool."""
        result: dict[Ref, Answer[PoolInfo]] = self._bulk("pool_info", {"refs": refs_of(refs)}, timeout)
        return result

    def pool_config(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Document[PoolModel]]]:
        """Definition of each pool."""
        result: dict[Ref, Answer[Document[PoolModel]]] = self._bulk("pool_config", {"refs": refs_of(refs)}, timeout)
        return result

    def pool_find(self, path: str, *, timeout: Timeout = ...) -> Pool:
        """The pool whose place on the host is ``path``.

        :raises NotFound: where there is none.
        """
        return Pool(self, self._call("pool_find", {"path": path}, timeout))

    def pool_sources(
        self,
        type: str,
        source: Document[PoolSource] | PoolSource | str | bytes | None = None,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Document[PoolSources]:
        """What pools of a type could be made of, as the host or a server tells when it is asked.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param type: type of the pools, such as ``logical``.
        :param source: where to ask, for types that are on a server.
        :raises Invalid: where that type needs a source with more in it, or there is no such type.
        :raises Unsupported: pools of that type are not found by asking, or the host lacks the tool for it.
        """
        result: Document[PoolSources] = self._call(
            "pool_sources",
            {"type": type, "source": None if source is None else admitted(source, "source", keep_unknown=keep_unknown)},
            timeout,
        )
        return result

    def pool_capabilities(self, *, timeout: Timeout = ...) -> Document[StoragePoolCapabilities]:
        """Which types of pools work here, with the formats of each."""
        result: Document[StoragePoolCapabilities] = self._call("pool_capabilities", {}, timeout)
        return result

    def pool_define(
        self,
        config: Document[PoolModel] | PoolModel | str | bytes,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Pool:
        """Store a pool's definition.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :raises Exists: where name or UUID is taken.
        :raises Invalid: with every problem, before anything changed.
        """
        return Pool(
            self, self._call("pool_define", {"config": admitted(config, "pool", keep_unknown=keep_unknown)}, timeout)
        )

    def pool_undefine(self, ref: Pool | Ref, *, timeout: Timeout = ...) -> None:
        """Remove a stopped pool's definition; its content stays.

        :raises WrongState: where it is active.
        """
        self._call("pool_undefine", {"ref": ref_of(ref)}, timeout)

    def pool_set_autostart(self, ref: Pool | Ref, enabled: bool, *, timeout: Timeout = ...) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the pool is transient.
        """
        self._call("pool_set_autostart", {"ref": ref_of(ref), "enabled": enabled}, timeout)

    def pool_start(
        self, ref: Pool | Ref, build: bool = False, overwrite: bool = False, *, timeout: Timeout = ...
    ) -> None:
        """Make the pool's volumes reachable.

        :param build: first do what ``pool_build`` does.
        :param overwrite: as for ``pool_build``; only with ``build``.
        :raises WrongState: where it is active.
        :raises Invalid: for ``overwrite`` without ``build``.
        """
        self._call("pool_start", {"ref": ref_of(ref), "build": build, "overwrite": overwrite}, timeout)

    def pool_create(
        self,
        config: Document[PoolModel] | PoolModel | str | bytes,
        build: bool = False,
        overwrite: bool = False,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Pool:
        """Start a transient pool: nothing but its content is left of it when it is stopped.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param build: first do what ``pool_build`` does.
        :param overwrite: as for ``pool_build``; only with ``build``.
        :raises Exists: where name or UUID is taken.
        :raises Invalid: for ``overwrite`` without ``build``, or with every problem of the definition.
        """
        return Pool(
            self,
            self._call(
                "pool_create",
                {"config": admitted(config, "pool", keep_unknown=keep_unknown), "build": build, "overwrite": overwrite},
                timeout,
            ),
        )

    def pool_stop(self, ref: Pool | Ref, *, timeout: Timeout = ...) -> None:
        """Let go of the pool; nothing of its content is touched. A transient one is gone then.

        :raises WrongState: where it is not active.
        """
        self._call("pool_stop", {"ref": ref_of(ref)}, timeout)

    def pool_build(self, ref: Pool | Ref, overwrite: bool = False, *, timeout: Timeout = None) -> Job[None]:
        """Make what a stopped pool stands on: its directory, file system, volume group or partition table.

        :param overwrite: also where the device has something on it already, which is lost.
        :raises WrongState: where it is active.
        :raises Exists: where there is something already; ``overwrite`` is the way out.
        """
        result: Job[None] = self._job("pool_build", {"ref": ref_of(ref), "overwrite": overwrite}, timeout)
        return result

    def pool_delete(self, ref: Pool | Ref, zeroed: bool = False, *, timeout: Timeout = ...) -> None:
        """Undo ``pool_build`` of a stopped pool: what it stands on is gone, its definition stays.

        A directory is only removed when it is empty.

        :param zeroed: overwrite what it stood on.
        :raises WrongState: where it is active.
        """
        self._call("pool_delete", {"ref": ref_of(ref), "zeroed": zeroed}, timeout)

    def pool_refresh(self, ref: Pool | Ref, *, timeout: Timeout = ...) -> None:
        """Look at an active pool anew: its sizes, and which volumes it has.

        :raises WrongState: where it is not active.
        """
        self._call("pool_refresh", {"ref": ref_of(ref)}, timeout)

    def pool_trash(self, ref: Pool | Ref, *, timeout: Timeout = ...) -> tuple[Trashed, ...]:
        """Deleted volumes of an active pool that are kept for a while.

        :raises WrongState: where the pool is not active.
        """
        result: tuple[Trashed, ...] = self._call("pool_trash", {"ref": ref_of(ref)}, timeout)
        return result

    def pool_volumes(self, ref: Pool | Ref, *, timeout: Timeout = ...) -> tuple[Volume, ...]:
        """Every volume of an active pool.

        :raises WrongState: where the pool is not active.
        """
        return tuple(Volume(self, ref) for ref in self._call("pool_volumes", {"ref": ref_of(ref)}, timeout))

    def volume_config(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Document[VolumeModel]]]:
        """Description of each volume."""
        result: dict[Ref, Answer[Document[VolumeModel]]] = self._bulk("volume_config", {"refs": refs_of(refs)}, timeout)
        return result

    def volume_info(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[VolumeInfo]]:
        """Kind and sizes of each volume."""
        result: dict[Ref, Answer[VolumeInfo]] = self._bulk("volume_info", {"refs": refs_of(refs)}, timeout)
        return result

    def volume_path(self, ref: Volume | Ref, *, timeout: Timeout = ...) -> str:
        """Where the volume is on the host."""
        result: str = self._call("volume_path", {"ref": ref_of(ref)}, timeout)
        return result

    def volume_find(self, text: str, *, timeout: Timeout = ...) -> Volume:
        """The volume of any active pool whose key or path is ``text``.

        :raises NotFound: where there is none.
        """
        return Volume(self, self._call("volume_find", {"text": text}, timeout))

    def volume_chain(self, ref: Volume | Ref, *, timeout: Timeout = ...) -> tuple[ChainLink, ...]:
        """The volume's image and those below it, as far as they are declared, and what the last one claims beyond."""
        result: tuple[ChainLink, ...] = self._call("volume_chain", {"ref": ref_of(ref)}, timeout)
        return result

    def volume_declare(
        self,
        ref: Volume | Ref,
        config: Document[VolumeModel] | VolumeModel | str | bytes,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> None:
        """Say what format an image that was found has, and what is below it; from then on both are trusted.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param config: only the target's format and the backing store count; without a backing store it has none.
        :raises Invalid: where the image is not of that format, or names another backing file.
        """
        self._call(
            "volume_declare",
            {"ref": ref_of(ref), "config": admitted(config, "volume", keep_unknown=keep_unknown)},
            timeout,
        )

    def volume_create(
        self,
        pool: Pool | Ref,
        config: Document[VolumeModel] | VolumeModel | str | bytes,
        preallocate: bool = False,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[Ref]:
        """Make a volume; the job's value is its ref. Cancelled, nothing is left.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param preallocate: allocate the metadata of an image that grows.
        :raises Exists: where the pool has one of that name.
        :raises Invalid: where the pool cannot have such a volume, with every problem.
        """
        result: Job[Ref] = self._job(
            "volume_create",
            {
                "pool": ref_of(pool),
                "config": admitted(config, "volume", keep_unknown=keep_unknown),
                "preallocate": preallocate,
            },
            timeout,
        )
        return result

    def volume_create_from(
        self,
        pool: Pool | Ref,
        config: Document[VolumeModel] | VolumeModel | str | bytes,
        source: Volume | Ref,
        preallocate: bool = False,
        reflink: bool = False,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[Ref]:
        """Make a volume with the content of another one; the job's value is its ref. Cancelled, nothing is left.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :param config: as for ``volume_create``; its format may be another one, its capacity is at least the source's.
        :param source: a volume of this pool or another one.
        :param preallocate: as for ``volume_create``.
        :param reflink: share blocks with the source, and fail where the file system cannot.
        :raises Exists: where the pool has one of that name.
        :raises Unsupported: with ``reflink``, where blocks cannot be shared.
        """
        result: Job[Ref] = self._job(
            "volume_create_from",
            {
                "pool": ref_of(pool),
                "config": admitted(config, "volume", keep_unknown=keep_unknown),
                "source": ref_of(source),
                "preallocate": preallocate,
                "reflink": reflink,
            },
            timeout,
        )
        return result

    def volume_resize(
        self,
        ref: Volume | Ref,
        capacity: int,
        allocate: bool = False,
        delta: bool = False,
        shrink: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[None]:
        """Change the size that a guest sees.

        :param capacity: the new size.
        :param allocate: take the new space at once.
        :param delta: ``capacity`` is the difference; a negative one needs ``shrink``.
        :param shrink: it may get smaller, and what is beyond its end is lost.
        :raises Invalid: where it would get smaller without ``shrink``, or is no possible size.
        :raises Busy: where a guest uses it; it names the guest.
        """
        result: Job[None] = self._job(
            "volume_resize",
            {"ref": ref_of(ref), "capacity": capacity, "allocate": allocate, "delta": delta, "shrink": shrink},
            timeout,
        )
        return result

    def volume_wipe(self, ref: Volume | Ref, algorithm: str = "zero", *, timeout: Timeout = None) -> Job[None]:
        """Overwrite all of the volume's content; the volume stays. Cancelled, a part may be overwritten.

        :param algorithm: ``zero``, ``nnsa``, ``dod``, ``bsi``, ``gutmann``, ``schneier``, ``pfitzner7``,
            ``pfitzner33``, ``random`` or ``trim``.
        :raises Invalid: for another algorithm.
        :raises Unsupported: where the pool or the host cannot do that one.
        :raises Busy: where a guest uses it; it names the guest.
        """
        result: Job[None] = self._job("volume_wipe", {"ref": ref_of(ref), "algorithm": algorithm}, timeout)
        return result

    def volume_download(
        self,
        ref: Volume | Ref,
        offset: int = 0,
        length: int | None = None,
        sparse: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Stream:
        """The bytes of the volume's image; refused on a read-only connection.

        :param offset: first byte.
        :param length: bytes at most; None is all until the end.
        :param sparse: the stream has records: ``D``, eight bytes of length (big-endian) and as many bytes of data, or
            ``H`` and eight bytes of length for a hole. ``anyvirt.sparse`` reads them.
        :raises Invalid: where ``offset`` is past the end, or negative.
        """
        result: Stream = self._call(
            "volume_download", {"ref": ref_of(ref), "offset": offset, "length": length, "sparse": sparse}, timeout
        )
        return result

    def volume_upload(
        self,
        ref: Volume | Ref,
        offset: int = 0,
        length: int | None = None,
        sparse: bool = False,
        resume: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Stream:
        """A stream that takes bytes of the volume's image; ``close`` of it puts them there, ``abort`` does not.

        What came before an ``abort``, or before the process was killed, is kept for ``resume``.

        :param offset: first byte that is written.
        :param length: bytes at most: more is an error; None is until the volume's end.
        :param sparse: the stream has records, as for ``volume_download``; ``anyvirt.sparse`` writes them.
        :param resume: go on where the unfinished upload of the same ``offset`` ended; see ``volume_unfinished``.
        :raises Invalid: where ``offset`` or ``length`` is past the end or negative; ``close`` raises it for more data
            than there is room, or broken records.
        :raises NotFound: (kind ``upload``) with ``resume``, where nothing is unfinished.
        :raises Busy: where a guest uses the volume, or somebody else uploads to it; it names who.
        """
        result: Stream = self._call(
            "volume_upload",
            {"ref": ref_of(ref), "offset": offset, "length": length, "sparse": sparse, "resume": resume},
            timeout,
        )
        return result

    def volume_unfinished(self, ref: Volume | Ref, *, timeout: Timeout = ...) -> Unfinished | None:
        """What is kept of an upload that was not brought to its end; None where there is none."""
        result: Unfinished | None = self._call("volume_unfinished", {"ref": ref_of(ref)}, timeout)
        return result

    def volume_losses(self, ref: Volume | Ref, force: bool = False, *, timeout: Timeout = ...) -> tuple[Loss, ...]:
        """All that ``volume_delete`` would take away, and whoever uses the volume; nothing is done.

        :param force: as for ``volume_delete``.
        """
        result: tuple[Loss, ...] = self._call("volume_losses", {"ref": ref_of(ref), "force": force}, timeout)
        return result

    def volume_delete(
        self, ref: Volume | Ref, force: bool = False, trash: int = 0, zeroed: bool = False, *, timeout: Timeout = ...
    ) -> None:
        """Remove a volume and its content.

        :param force: also where a guest, a snapshot or another volume uses it.
        :param trash: seconds for which ``volume_restore`` can bring it back; its space stays in use so long.
        :param zeroed: overwrite its content first; not together with ``trash``.
        :raises Busy: where somebody uses it; it names every user.
        """
        self._call("volume_delete", {"ref": ref_of(ref), "force": force, "trash": trash, "zeroed": zeroed}, timeout)

    def volume_restore(self, pool: Pool | Ref, name: str, *, timeout: Timeout = ...) -> Volume:
        """Bring a deleted volume back out of the pool's trash.

        :param name: what it was called; of several of that name, the one that was deleted last.
        :raises NotFound: where the trash has none of that name.
        :raises Exists: where the pool has a volume of that name meanwhile.
        """
        return Volume(self, self._call("volume_restore", {"pool": ref_of(pool), "name": name}, timeout))

    def secret_list(self, *, timeout: Timeout = ...) -> tuple[KeptSecret, ...]:
        """Every secret, with and without a value."""
        return tuple(KeptSecret(self, ref) for ref in self._call("secret_list", {}, timeout))

    def secret_config(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Document[KeptSecretModel]]]:
        """Definition of each secret; the value is never in it."""
        result: dict[Ref, Answer[Document[KeptSecretModel]]] = self._bulk(
            "secret_config", {"refs": refs_of(refs)}, timeout
        )
        return result

    def secret_info(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[SecretInfo]]:
        """Whether each secret has a value, and who keeps it."""
        result: dict[Ref, Answer[SecretInfo]] = self._bulk("secret_info", {"refs": refs_of(refs)}, timeout)
        return result

    def secret_define(
        self,
        config: Document[KeptSecretModel] | KeptSecretModel | str | bytes,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> KeptSecret:
        """Store what a secret is for: new, or in place of the one with the same UUID, whose value stays.

        An ephemeral secret is kept in memory alone and is gone with the host's run.

        :param keep_unknown: let elements and attributes through that anyvirt does not know.
        :raises Exists: where another secret is for the same thing.
        :raises Invalid: where it says another use, or whether it is private or ephemeral, than the one that is there.
        """
        return KeptSecret(
            self,
            self._call("secret_define", {"config": admitted(config, "secret", keep_unknown=keep_unknown)}, timeout),
        )

    def secret_undefine(self, ref: KeptSecret | Ref, *, timeout: Timeout = ...) -> None:
        """Remove a secret and its value."""
        self._call("secret_undefine", {"ref": ref_of(ref)}, timeout)

    def secret_set_value(
        self, ref: KeptSecret | Ref, value: Secret, keeper: str = "file", *, timeout: Timeout = ...
    ) -> None:
        """Give a secret its value, in place of the one that it has.

        :param value: bytes that are no UTF-8 stand in it as Python's ``surrogateescape`` has them.
        :param keeper: ``file`` (mode 0600), ``keyring`` (the kernel's) or ``credential`` (encrypted by systemd); the
            value of an ephemeral secret stays in memory, and ``credential`` is refused for it.
        :raises Invalid: for an empty value, or a keeper that there is not.
        :raises Unsupported: where the host has no such keeper.
        """
        self._call("secret_set_value", {"ref": ref_of(ref), "value": value, "keeper": keeper}, timeout)

    def secret_value(self, ref: KeptSecret | Ref, *, timeout: Timeout = ...) -> Secret:
        """The value; refused on a read-only connection.

        :raises NotFound: (kind ``value``) where it has none.
        :raises Denied: where the secret is private: only this host's own storage and guests are given it.
        """
        result: Secret = self._call("secret_value", {"ref": ref_of(ref)}, timeout)
        return result

    def network_list(self, *, timeout: Timeout = ...) -> tuple[Network, ...]:
        """Every virtual network, active or not."""
        return tuple(Network(self, ref) for ref in self._call("network_list", {}, timeout))

    def network_info(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[NetworkInfo]]:
        """State of each network."""
        result: dict[Ref, Answer[NetworkInfo]] = self._bulk("network_info", {"refs": refs_of(refs)}, timeout)
        return result

    def network_config(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Document[Any]]]:
        """Definition of each network."""
        result: dict[Ref, Answer[Document[Any]]] = self._bulk("network_config", {"refs": refs_of(refs)}, timeout)
        return result

    def interface_list(self, *, timeout: Timeout = ...) -> tuple[Interface, ...]:
        """Every interface of the host; its MAC address is the ref's uuid label."""
        return tuple(Interface(self, ref) for ref in self._call("interface_list", {}, timeout))

    def interface_config(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Document[Any]]]:
        """Description of each interface."""
        result: dict[Ref, Answer[Document[Any]]] = self._bulk("interface_config", {"refs": refs_of(refs)}, timeout)
        return result

    def interface_info(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[NetworkInfo]]:
        """State of each interface."""
        result: dict[Ref, Answer[NetworkInfo]] = self._bulk("interface_info", {"refs": refs_of(refs)}, timeout)
        return result

    def stats_collect(
        self, refs: Iterable[Handle | Ref], groups: AbstractSet[str], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[DomainStats]]:
        """Several groups of each domain in one pass.

        :param groups: names out of ``anyvirt.api.GROUPS``; one that the driver does not know stays None.
        """
        result: dict[Ref, Answer[DomainStats]] = self._bulk(
            "stats_collect", {"refs": refs_of(refs), "groups": groups}, timeout
        )
        return result

    def stats_cpu(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[Cpu]]:
        """Processor time of each domain."""
        result: dict[Ref, Answer[Cpu]] = self._bulk("stats_cpu", {"refs": refs_of(refs)}, timeout)
        return result

    def stats_vcpu(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[Sequence[Vcpu]]]:
        """Figures of each virtual processor."""
        result: dict[Ref, Answer[Sequence[Vcpu]]] = self._bulk("stats_vcpu", {"refs": refs_of(refs)}, timeout)
        return result

    def stats_balloon(self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...) -> dict[Ref, Answer[Balloon]]:
        """Memory of each domain."""
        result: dict[Ref, Answer[Balloon]] = self._bulk("stats_balloon", {"refs": refs_of(refs)}, timeout)
        return result

    def stats_interface(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Sequence[Net]]]:
        """Figures of each network interface."""
        result: dict[Ref, Answer[Sequence[Net]]] = self._bulk("stats_interface", {"refs": refs_of(refs)}, timeout)
        return result

    def stats_block(
        self, refs: Iterable[Handle | Ref], *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[Sequence[Block]]]:
        """Figures of each disk."""
        result: dict[Ref, Answer[Sequence[Block]]] = self._bulk("stats_block", {"refs": refs_of(refs)}, timeout)
        return result

    def lookup(self, text: str, *, timeout: Timeout = ...) -> Domain:
        """The domain whose name, UUID or (running) number is ``text``.

        :raises NotFound: where there is none.
        :raises Ambiguous: where a name fits several.
        """
        return Domain(self, self._derive(derived.lookup, timeout, text))

    def lookup_pool(self, text: str, *, timeout: Timeout = ...) -> Pool:
        """The pool whose name, UUID or place on the host is ``text``.

        :raises NotFound: where there is none.
        """
        return Pool(self, self._derive(derived.lookup_pool, timeout, text))

    def volume_pool(self, volume: Volume | Ref, *, timeout: Timeout = ...) -> Pool:
        """The pool that a volume is in.

        :raises NotFound: where it is gone.
        """
        return Pool(self, self._derive(derived.volume_pool, timeout, ref_of(volume)))

    def lookup_secret(self, text: str, *, timeout: Timeout = ...) -> KeptSecret:
        """The secret whose UUID is ``text``, or that is for it: a volume's path, an iSCSI target, or a name.

        :raises NotFound: where there is none.
        :raises Ambiguous: where several uses have that name.
        """
        return KeptSecret(self, self._derive(derived.lookup_secret, timeout, text))

    def lookup_network(self, text: str, *, timeout: Timeout = ...) -> Network:
        """The network whose name or UUID is ``text``.

        :raises NotFound: where there is none.
        """
        return Network(self, self._derive(derived.lookup_network, timeout, text))

    def lookup_interface(self, text: str, *, timeout: Timeout = ...) -> Interface:
        """The host interface whose name or MAC address is ``text``.

        :raises NotFound: where there is none.
        """
        return Interface(self, self._derive(derived.lookup_interface, timeout, text))

    def lookup_volume(self, pool: Pool | Ref, text: str, *, timeout: Timeout = ...) -> Volume:
        """The volume of a pool whose name or key is ``text``.

        :raises NotFound: where there is none.
        """
        return Volume(self, self._derive(derived.lookup_volume, timeout, ref_of(pool), text))

    def volume_upload_file(
        self,
        volume: Volume | Ref,
        path: str,
        offset: int = 0,
        sparse: bool = False,
        resume: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[int]:
        """Upload a file of this machine; the job's value is the bytes that were sent. Cancelled, what came is kept.

        :param offset: first byte of the volume that is written.
        :param sparse: holes of the file go over, and stay, as holes.
        :param resume: go on where an unfinished upload of this file ended, or begin where none is.
        :raises Invalid: the volume has no room for the file; nothing of it is changed.
        """
        return self._work(derived.volume_upload_file, timeout, ref_of(volume), path, offset, sparse, resume)

    def volume_download_file(
        self,
        volume: Volume | Ref,
        path: str,
        offset: int = 0,
        length: int | None = None,
        sparse: bool = False,
        resume: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[int]:
        """Download into a file of this machine, which only its owner may read; the job's value is its bytes.

        What comes is kept in ``PATH.part``, and takes the place of what had the name before when all is there.

        :param length: bytes at most; None is all until the volume's end.
        :param sparse: holes of the volume are holes of the file.
        :param resume: go on with ``PATH.part``, if the volume has not changed since.
        :raises Busy: somebody else downloads into that file.
        """
        return self._work(derived.volume_download_file, timeout, ref_of(volume), path, offset, length, sparse, resume)

    def overview(self, *, timeout: Timeout = ...) -> tuple[Overview, ...]:
        """Every domain with its state and facts, in a constant number of calls."""
        return self._derive(derived.overview, timeout)

    def stats(
        self, refs: Iterable[Handle | Ref] | None = None, groups: Collection[str] = GROUPS, *, timeout: Timeout = ...
    ) -> dict[Ref, Answer[DomainStats]]:
        """Figures of many domains; every domain, every group, unless told otherwise.

        A driver that collects everything in one pass is asked once; another one once for each group that it knows.
        A group that the driver does not know stays None. Where one group failed, the answer has that error beside the
        figures of the others: ``get`` raises it, ``value`` has what is known.

        :raises Invalid: for the name of a group that does not exist.
        """
        return self._derive(derived.stats, timeout, None if refs is None else refs_of(refs), groups)

    def block_info(self, ref: Domain | Ref, disk: str, *, timeout: Timeout = ...) -> BlockInfo:
        """The three sizes of one disk.

        :param disk: target name in the guest, such as ``vda``.
        :raises Invalid: where the domain has no such disk; it names those that it has.
        """
        return self._derive(derived.block_info, timeout, ref_of(ref), disk)

    def wait_for(self, ref: Domain | Ref, states: Collection[State], *, timeout: Timeout = ...) -> Status:
        """Wait until the domain is in one of ``states``; its status then.

        :raises Interrupted: (``deadline``) when the call's time is up first.
        """
        return self._derive(derived.wait_for, timeout, ref_of(ref), states)

    def facts(self, *, timeout: Timeout = ...) -> tuple[Fact, ...]:
        """What every plug-in of the connection found out about the host."""
        return self._derive(derived.facts, timeout)

    def capabilities(self, *, timeout: Timeout = ...) -> Document[Any]:
        """The capabilities document, merged from the parts of every plug-in."""
        return self._derive(derived.capabilities, timeout)

    def recover(self, *, timeout: Timeout = ...) -> tuple[str, ...]:
        """Clean up after killed processes and settle jobs without an owner; one sentence for each thing done."""
        return self._derive(derived.recover, timeout)

    def domain(self, ref: Ref) -> Domain:
        """A handle of a domain that is known already; nothing is asked."""
        return Domain(self, ref)

    def pool(self, ref: Ref) -> Pool:
        """A handle of a pool that is known already; nothing is asked."""
        return Pool(self, ref)

    def volume(self, ref: Ref) -> Volume:
        """A handle of a volume that is known already; nothing is asked."""
        return Volume(self, ref)

    def secret(self, ref: Ref) -> KeptSecret:
        """A handle of a secret that is known already; nothing is asked."""
        return KeptSecret(self, ref)

    def network(self, ref: Ref) -> Network:
        """A handle of a network that is known already; nothing is asked."""
        return Network(self, ref)

    def interface(self, ref: Ref) -> Interface:
        """A handle of a interface that is known already; nothing is asked."""
        return Interface(self, ref)


class Domain(Handle):
    """One domain (guest) of a connection."""

    __slots__ = ()
    connection: Connection

    def state(self, *, timeout: Timeout = ...) -> Status:
        """State of each domain, with the reason where it is known.

        An answer's error is ``NotFound`` for a domain that is gone.
        """
        return (self.connection.domain_state((self.ref,), timeout=timeout))[self.ref].get()

    def facts(self, *, timeout: Timeout = ...) -> DomainFacts:
        """Number, persistence, autostart, title of each domain, as far as they cost nothing to ask."""
        return (self.connection.domain_facts((self.ref,), timeout=timeout))[self.ref].get()

    def config(
        self, which: Which = Which.EFFECTIVE, secure: bool = False, *, timeout: Timeout = ...
    ) -> Document[DomainModel]:
        """Definition of each domain.

        :param which: CONFIG is the next boot's, LIVE the running one's (``WrongState`` when it does not run),
            EFFECTIVE is LIVE when it runs and CONFIG when not.
        :param secure: with passwords in it; refused on a read-only connection.
        """
        return (self.connection.domain_config((self.ref,), which, secure, timeout=timeout))[self.ref].get()

    def undefine(self, keep_nvram: bool = False, keep_tpm: bool | None = None, *, timeout: Timeout = ...) -> None:
        """Remove the definition; a running guest becomes transient and goes on.

        :param keep_nvram: leave the firmware's variables where they are.
        :param keep_tpm: leave the state of its emulated TPM, or take it away; as the definition says without it.
        :raises WrongState: where the domain is transient already.
        """
        self.connection.domain_undefine(self.ref, keep_nvram, keep_tpm, timeout=timeout)

    def rename(self, name: str, *, timeout: Timeout = ...) -> Domain:
        """Give a stopped domain another name; every ref to it stays valid.

        :raises Exists: where the name is taken.
        """
        return self.connection.domain_rename(self.ref, name, timeout=timeout)

    def set_autostart(self, on: bool, *, timeout: Timeout = ...) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the domain is transient.
        """
        self.connection.domain_set_autostart(self.ref, on, timeout=timeout)

    def preflight(self, *, timeout: Timeout = ...) -> Sequence[Problem]:
        """Everything on this host that would keep the domain from starting, with the way out of each."""
        return self.connection.domain_preflight(self.ref, timeout=timeout)

    def plan(self, paused: bool = False, *, timeout: Timeout = ...) -> LaunchPlan:
        """All that ``domain_start`` would do on this host, with every blocker; nothing is done.

        Where something stands in the way, the rest is planned as far as it can be. No secret is in it.

        :param paused: as for ``domain_start``.
        :raises WrongState: where the domain runs already.
        """
        return self.connection.domain_plan(self.ref, paused, timeout=timeout)

    def start(self, paused: bool = False, *, timeout: Timeout = ...) -> None:
        """Boot a defined domain.

        :param paused: leave its processors stopped.
        :raises WrongState: where it runs already.
        :raises Invalid: where the host cannot run it, with every blocker, before anything changed.
        """
        self.connection.domain_start(self.ref, paused, timeout=timeout)

    def shutdown(self, mode: ShutdownMode | None = None, *, timeout: Timeout = ...) -> None:
        """Ask the guest to power itself off; comes back when it was asked, not when it is off.

        :param mode: the way to ask; None leaves it to the driver.
        """
        self.connection.domain_shutdown(self.ref, mode, timeout=timeout)

    def reboot(self, mode: ShutdownMode | None = None, *, timeout: Timeout = ...) -> None:
        """Ask the guest to shut down and come up again; comes back when it was asked."""
        self.connection.domain_reboot(self.ref, mode, timeout=timeout)

    def reset(self, *, timeout: Timeout = ...) -> None:
        """Press the reset button: no warning to the guest, same process on the host."""
        self.connection.domain_reset(self.ref, timeout=timeout)

    def destroy(self, graceful: bool = False, *, timeout: Timeout = ...) -> None:
        """Pull the plug; needs no answer from the guest, and works on one that hangs.

        :param graceful: only ask the hypervisor's process to end, and fail when it does not.
        """
        self.connection.domain_destroy(self.ref, graceful, timeout=timeout)

    def suspend(self, *, timeout: Timeout = ...) -> None:
        """Stop the processors; memory stays. Nothing happens to a domain that is paused already."""
        self.connection.domain_suspend(self.ref, timeout=timeout)

    def resume(self, *, timeout: Timeout = ...) -> None:
        """Let the processors go on."""
        self.connection.domain_resume(self.ref, timeout=timeout)

    def console(
        self,
        device: str | None = None,
        force: bool = False,
        readonly: bool = False,
        replay: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Stream:
        """A console of the running guest: what it prints, and what is typed.

        One may write and any number read; each reader sees every byte from when it attached.

        :param device: alias of the console or serial device; None is the first.
        :param force: take the writer's place from whoever has it.
        :param readonly: only read.
        :param replay: begin with what the log has kept.
        :raises Busy: where somebody else writes; it names the holder.
        """
        return self.connection.domain_console(self.ref, device, force, readonly, replay, timeout=timeout)

    def block_info(self, *, timeout: Timeout = ...) -> Sequence[BlockInfo]:
        """Capacity, allocation and physical size of every disk of each domain, running or not; in bytes."""
        return (self.connection.domain_block_info((self.ref,), timeout=timeout))[self.ref].get()

    def save(self, path: str, *, timeout: Timeout = None) -> Job[None]:
        """Write the guest's memory and state to a file on the host and stop it.

        Failed or cancelled, the guest goes on as before and no file is left.
        """
        return self.connection.domain_save(self.ref, path, timeout=timeout)

    def stats_cpu(self, *, timeout: Timeout = ...) -> Cpu:
        """Processor time of each domain."""
        return (self.connection.stats_cpu((self.ref,), timeout=timeout))[self.ref].get()

    def stats_vcpu(self, *, timeout: Timeout = ...) -> Sequence[Vcpu]:
        """Figures of each virtual processor."""
        return (self.connection.stats_vcpu((self.ref,), timeout=timeout))[self.ref].get()

    def stats_balloon(self, *, timeout: Timeout = ...) -> Balloon:
        """Memory of each domain."""
        return (self.connection.stats_balloon((self.ref,), timeout=timeout))[self.ref].get()

    def stats_interface(self, *, timeout: Timeout = ...) -> Sequence[Net]:
        """Figures of each network interface."""
        return (self.connection.stats_interface((self.ref,), timeout=timeout))[self.ref].get()

    def stats_block(self, *, timeout: Timeout = ...) -> Sequence[Block]:
        """Figures of each disk."""
        return (self.connection.stats_block((self.ref,), timeout=timeout))[self.ref].get()

    def disk_info(self, disk: str, *, timeout: Timeout = ...) -> BlockInfo:
        """The three sizes of one disk.

        :param disk: target name in the guest, such as ``vda``.
        :raises Invalid: where the domain has no such disk; it names those that it has.
        """
        return self.connection.block_info(self.ref, disk, timeout=timeout)

    def wait_for(self, states: Collection[State], *, timeout: Timeout = ...) -> Status:
        """Wait until the domain is in one of ``states``; its status then.

        :raises Interrupted: (``deadline``) when the call's time is up first.
        """
        return self.connection.wait_for(self.ref, states, timeout=timeout)


class Pool(Handle):
    """One storage pool of a connection."""

    __slots__ = ()
    connection: Connection

    def info(self, *, timeout: Timeout = ...) -> PoolInfo:
        """State and sizes of each pool."""
        return (self.connection.pool_info((self.ref,), timeout=timeout))[self.ref].get()

    def config(self, *, timeout: Timeout = ...) -> Document[PoolModel]:
        """Definition of each pool."""
        return (self.connection.pool_config((self.ref,), timeout=timeout))[self.ref].get()

    def undefine(self, *, timeout: Timeout = ...) -> None:
        """Remove a stopped pool's definition; its content stays.

        :raises WrongState: where it is active.
        """
        self.connection.pool_undefine(self.ref, timeout=timeout)

    def set_autostart(self, enabled: bool, *, timeout: Timeout = ...) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the pool is transient.
        """
        self.connection.pool_set_autostart(self.ref, enabled, timeout=timeout)

    def start(self, build: bool = False, overwrite: bool = False, *, timeout: Timeout = ...) -> None:
        """Make the pool's volumes reachable.

        :param build: first do what ``pool_build`` does.
        :param overwrite: as for ``pool_build``; only with ``build``.
        :raises WrongState: where it is active.
        :raises Invalid: for ``overwrite`` without ``build``.
        """
        self.connection.pool_start(self.ref, build, overwrite, timeout=timeout)

    def stop(self, *, timeout: Timeout = ...) -> None:
        """Let go of the pool; nothing of its content is touched. A transient one is gone then.

        :raises WrongState: where it is not active.
        """
        self.connection.pool_stop(self.ref, timeout=timeout)

    def build(self, overwrite: bool = False, *, timeout: Timeout = None) -> Job[None]:
        """Make what a stopped pool stands on: its directory, file system, volume group or partition table.

        :param overwrite: also where the device has something on it already, which is lost.
        :raises WrongState: where it is active.
        :raises Exists: where there is something already; ``overwrite`` is the way out.
        """
        return self.connection.pool_build(self.ref, overwrite, timeout=timeout)

    def delete(self, zeroed: bool = False, *, timeout: Timeout = ...) -> None:
        """Undo ``pool_build`` of a stopped pool: what it stands on is gone, its definition stays.

        A directory is only removed when it is empty.

        :param zeroed: overwrite what it stood on.
        :raises WrongState: where it is active.
        """
        self.connection.pool_delete(self.ref, zeroed, timeout=timeout)

    def refresh(self, *, timeout: Timeout = ...) -> None:
        """Look at an active pool anew: its sizes, and which volumes it has.

        :raises WrongState: where it is not active.
        """
        self.connection.pool_refresh(self.ref, timeout=timeout)

    def trash(self, *, timeout: Timeout = ...) -> tuple[Trashed, ...]:
        """Deleted volumes of an active pool that are kept for a while.

        :raises WrongState: where the pool is not active.
        """
        return self.connection.pool_trash(self.ref, timeout=timeout)

    def volumes(self, *, timeout: Timeout = ...) -> tuple[Volume, ...]:
        """Every volume of an active pool.

        :raises WrongState: where the pool is not active.
        """
        return self.connection.pool_volumes(self.ref, timeout=timeout)

    def lookup_volume(self, text: str, *, timeout: Timeout = ...) -> Volume:
        """The volume of a pool whose name or key is ``text``.

        :raises NotFound: where there is none.
        """
        return self.connection.lookup_volume(self.ref, text, timeout=timeout)


class Volume(Handle):
    """One volume of a storage pool."""

    __slots__ = ()
    connection: Connection

    def config(self, *, timeout: Timeout = ...) -> Document[VolumeModel]:
        """Description of each volume."""
        return (self.connection.volume_config((self.ref,), timeout=timeout))[self.ref].get()

    def info(self, *, timeout: Timeout = ...) -> VolumeInfo:
        """Kind and sizes of each volume."""
        return (self.connection.volume_info((self.ref,), timeout=timeout))[self.ref].get()

    def path(self, *, timeout: Timeout = ...) -> str:
        """Where the volume is on the host."""
        return self.connection.volume_path(self.ref, timeout=timeout)

    def chain(self, *, timeout: Timeout = ...) -> tuple[ChainLink, ...]:
        """The volume's image and those below it, as far as they are declared, and what the last one claims beyond."""
        return self.connection.volume_chain(self.ref, timeout=timeout)

    def declare(
        self,
        config: Document[VolumeModel] | VolumeModel | str | bytes,
        keep_unknown: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> None:
        """Say what format an image that was found has, and what is below it; from then on both are trusted.

        :param config: only the target's format and the backing store count; without a backing store it has none.
        :raises Invalid: where the image is not of that format, or names another backing file.
        """
        self.connection.volume_declare(self.ref, config, keep_unknown, timeout=timeout)

    def resize(
        self,
        capacity: int,
        allocate: bool = False,
        delta: bool = False,
        shrink: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[None]:
        """Change the size that a guest sees.

        :param capacity: the new size.
        :param allocate: take the new space at once.
        :param delta: ``capacity`` is the difference; a negative one needs ``shrink``.
        :param shrink: it may get smaller, and what is beyond its end is lost.
        :raises Invalid: where it would get smaller without ``shrink``, or is no possible size.
        :raises Busy: where a guest uses it; it names the guest.
        """
        return self.connection.volume_resize(self.ref, capacity, allocate, delta, shrink, timeout=timeout)

    def wipe(self, algorithm: str = "zero", *, timeout: Timeout = None) -> Job[None]:
        """Overwrite all of the volume's content; the volume stays. Cancelled, a part may be overwritten.

        :param algorithm: ``zero``, ``nnsa``, ``dod``, ``bsi``, ``gutmann``, ``schneier``, ``pfitzner7``,
            ``pfitzner33``, ``random`` or ``trim``.
        :raises Invalid: for another algorithm.
        :raises Unsupported: where the pool or the host cannot do that one.
        :raises Busy: where a guest uses it; it names the guest.
        """
        return self.connection.volume_wipe(self.ref, algorithm, timeout=timeout)

    def download(
        self, offset: int = 0, length: int | None = None, sparse: bool = False, *, timeout: Timeout = ...
    ) -> Stream:
        """The bytes of the volume's image; refused on a read-only connection.

        :param offset: first byte.
        :param length: bytes at most; None is all until the end.
        :param sparse: the stream has records: ``D``, eight bytes of length (big-endian) and as many bytes of data, or
            ``H`` and eight bytes of length for a hole. ``anyvirt.sparse`` reads them.
        :raises Invalid: where ``offset`` is past the end, or negative.
        """
        return self.connection.volume_download(self.ref, offset, length, sparse, timeout=timeout)

    def upload(
        self,
        offset: int = 0,
        length: int | None = None,
        sparse: bool = False,
        resume: bool = False,
        *,
        timeout: Timeout = ...,
    ) -> Stream:
        """A stream that takes bytes of the volume's image; ``close`` of it puts them there, ``abort`` does not.

        What came before an ``abort``, or before the process was killed, is kept for ``resume``.

        :param offset: first byte that is written.
        :param length: bytes at most: more is an error; None is until the volume's end.
        :param sparse: the stream has records, as for ``volume_download``; ``anyvirt.sparse`` writes them.
        :param resume: go on where the unfinished upload of the same ``offset`` ended; see ``volume_unfinished``.
        :raises Invalid: where ``offset`` or ``length`` is past the end or negative; ``close`` raises it for more data
            than there is room, or broken records.
        :raises NotFound: (kind ``upload``) with ``resume``, where nothing is unfinished.
        :raises Busy: where a guest uses the volume, or somebody else uploads to it; it names who.
        """
        return self.connection.volume_upload(self.ref, offset, length, sparse, resume, timeout=timeout)

    def unfinished(self, *, timeout: Timeout = ...) -> Unfinished | None:
        """What is kept of an upload that was not brought to its end; None where there is none."""
        return self.connection.volume_unfinished(self.ref, timeout=timeout)

    def losses(self, force: bool = False, *, timeout: Timeout = ...) -> tuple[Loss, ...]:
        """All that ``volume_delete`` would take away, and whoever uses the volume; nothing is done.

        :param force: as for ``volume_delete``.
        """
        return self.connection.volume_losses(self.ref, force, timeout=timeout)

    def delete(self, force: bool = False, trash: int = 0, zeroed: bool = False, *, timeout: Timeout = ...) -> None:
        """Remove a volume and its content.

        :param force: also where a guest, a snapshot or another volume uses it.
        :param trash: seconds for which ``volume_restore`` can bring it back; its space stays in use so long.
        :param zeroed: overwrite its content first; not together with ``trash``.
        :raises Busy: where somebody uses it; it names every user.
        """
        self.connection.volume_delete(self.ref, force, trash, zeroed, timeout=timeout)

    def pool(self, *, timeout: Timeout = ...) -> Pool:
        """The pool that a volume is in.

        :raises NotFound: where it is gone.
        """
        return self.connection.volume_pool(self.ref, timeout=timeout)

    def upload_file(
        self, path: str, offset: int = 0, sparse: bool = False, resume: bool = False, *, timeout: Timeout = None
    ) -> Job[int]:
        """Upload a file of this machine; the job's value is the bytes that were sent. Cancelled, what came is kept.

        :param offset: first byte of the volume that is written.
        :param sparse: holes of the file go over, and stay, as holes.
        :param resume: go on where an unfinished upload of this file ended, or begin where none is.
        :raises Invalid: the volume has no room for the file; nothing of it is changed.
        """
        return self.connection.volume_upload_file(self.ref, path, offset, sparse, resume, timeout=timeout)

    def download_file(
        self,
        path: str,
        offset: int = 0,
        length: int | None = None,
        sparse: bool = False,
        resume: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Job[int]:
        """Download into a file of this machine, which only its owner may read; the job's value is its bytes.

        What comes is kept in ``PATH.part``, and takes the place of what had the name before when all is there.

        :param length: bytes at most; None is all until the volume's end.
        :param sparse: holes of the volume are holes of the file.
        :param resume: go on with ``PATH.part``, if the volume has not changed since.
        :raises Busy: somebody else downloads into that file.
        """
        return self.connection.volume_download_file(self.ref, path, offset, length, sparse, resume, timeout=timeout)


class KeptSecret(Handle):
    """One secret that the host keeps."""

    __slots__ = ()
    connection: Connection

    def config(self, *, timeout: Timeout = ...) -> Document[KeptSecretModel]:
        """Definition of each secret; the value is never in it."""
        return (self.connection.secret_config((self.ref,), timeout=timeout))[self.ref].get()

    def info(self, *, timeout: Timeout = ...) -> SecretInfo:
        """Whether each secret has a value, and who keeps it."""
        return (self.connection.secret_info((self.ref,), timeout=timeout))[self.ref].get()

    def undefine(self, *, timeout: Timeout = ...) -> None:
        """Remove a secret and its value."""
        self.connection.secret_undefine(self.ref, timeout=timeout)

    def set_value(self, value: Secret, keeper: str = "file", *, timeout: Timeout = ...) -> None:
        """Give a secret its value, in place of the one that it has.

        :param value: bytes that are no UTF-8 stand in it as Python's ``surrogateescape`` has them.
        :param keeper: ``file`` (mode 0600), ``keyring`` (the kernel's) or ``credential`` (encrypted by systemd); the
            value of an ephemeral secret stays in memory, and ``credential`` is refused for it.
        :raises Invalid: for an empty value, or a keeper that there is not.
        :raises Unsupported: where the host has no such keeper.
        """
        self.connection.secret_set_value(self.ref, value, keeper, timeout=timeout)

    def value(self, *, timeout: Timeout = ...) -> Secret:
        """The value; refused on a read-only connection.

        :raises NotFound: (kind ``value``) where it has none.
        :raises Denied: where the secret is private: only this host's own storage and guests are given it.
        """
        return self.connection.secret_value(self.ref, timeout=timeout)


class Network(Handle):
    """One virtual network of a connection."""

    __slots__ = ()
    connection: Connection

    def info(self, *, timeout: Timeout = ...) -> NetworkInfo:
        """State of each network."""
        return (self.connection.network_info((self.ref,), timeout=timeout))[self.ref].get()

    def config(self, *, timeout: Timeout = ...) -> Document[Any]:
        """Definition of each network."""
        return (self.connection.network_config((self.ref,), timeout=timeout))[self.ref].get()


class Interface(Handle):
    """One interface of the host."""

    __slots__ = ()
    connection: Connection

    def config(self, *, timeout: Timeout = ...) -> Document[Any]:
        """Description of each interface."""
        return (self.connection.interface_config((self.ref,), timeout=timeout))[self.ref].get()

    def info(self, *, timeout: Timeout = ...) -> NetworkInfo:
        """State of each interface."""
        return (self.connection.interface_info((self.ref,), timeout=timeout))[self.ref].get()
