"""Hooks of the connection: opening, the host, events, jobs, recovery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from anyvirt.hooks.spec import spec

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.events import Event
    from anyvirt.host import Host
    from anyvirt.model.capabilities import Capabilities
    from anyvirt.model.cpu import CpuSpec
    from anyvirt.model.domaincaps import DomainCapabilities
    from anyvirt.model.values import CpuComparison, Fact, HostInfo, Imported, JobRecord
    from anyvirt.uri import Uri


class ConnectSpec:
    """A plug-in's module has ``connect_open`` (or ``service_open``); its session object the rest."""

    @spec("connect", covers={"virConnectOpen": (), "virConnectOpenAuth": (), "virConnectOpenReadOnly": ()})
    def connect_open(self, uri: Uri, host: Host) -> Any:
        """Open a connection: give the object whose ``@impl`` methods are the hooks.

        A module-level function of the plug-in. It may have an attribute
        ``services = ("storage", ...)``: core opens each with the same ``host``.

        :raises Unreachable: where the hypervisor does not answer; ``stage`` says how far it got.
        :raises AuthNeeded: where credentials are missing.
        """

    @spec("connect")
    def service_open(self, uri: Uri, host: Host) -> Any:
        """Open a service (storage, network ...) beside a driver, on the same host.

        :raises Unreachable: where the service does not answer.
        """

    @spec("connect", all=True, access="read")
    def connect_ready(self, calls: Any) -> None:
        """Told once, when every plug-in of the connection is there.

        :param calls: this connection's own sync client: same lanes, same deadline, no wrappers.
        """

    @spec("connect", all=True, access="read", covers={"virConnectClose": ()})
    def connect_close(self) -> None:
        """Let go of everything; called in reverse order of opening, more than once at worst."""

    @spec("connect", covers={"virConnectIsAlive": ()})
    def connect_alive(self) -> bool:
        """Whether the hypervisor answers now."""

    @spec(
        "host",
        covers={
            "virNodeGetInfo": (),
            "virConnectGetHostname": (),
            "virConnectGetVersion": (),
            "virConnectGetLibVersion": (),
            "virConnectGetType": (),
            "virConnectGetURI": (),
        },
    )
    def host_info(self) -> HostInfo:
        """The machine and its hypervisor: names, versions, memory, processors.

        :raises Unreachable: where the host does not answer.
        """

    @spec("host", all=True)
    def host_facts(self) -> Sequence[Fact]:
        """What was found out about the host, with the reasons: accelerators, limits, missing tools."""

    @spec("host", all=True, covers={"virConnectGetCapabilities": ()})
    def host_capabilities(self) -> Document[Capabilities]:
        """A part of the capabilities document; core merges the parts of all plug-ins."""

    @spec("host", covers={"virConnectGetDomainCapabilities": ()})
    def domain_capabilities(
        self,
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
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

    @spec(
        "host",
        covers={
            "virConnectBaselineCPU": ("expand", "migratable"),
            "virConnectBaselineHypervisorCPU": ("expand", "migratable", "emulator", "arch", "machine", "virttype"),
        },
    )
    def cpu_baseline(
        self,
        cpus: Sequence[Document[CpuSpec]],
        expand: bool = False,
        migratable: bool = False,
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
    ) -> Document[CpuSpec]:
        """The CPU that a guest can have wherever one of these is: each of them has all its features.

        :param expand: name the features of the model, too.
        :param migratable: leave out features that keep a guest where it is.
        :param emulator: whose models are meant, with ``arch``, ``machine`` and ``virttype`` as
            ``domain_capabilities`` has them.
        :raises Invalid: there are none, their vendors differ, or there is no such model.
        """

    @spec(
        "host",
        covers={
            "virConnectCompareCPU": (),
            "virConnectCompareHypervisorCPU": ("emulator", "arch", "machine", "virttype"),
        },
    )
    def cpu_compare(
        self,
        cpu: Document[CpuSpec],
        emulator: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
    ) -> CpuComparison:
        """How the CPU that guests can have here is to another one: whether a guest with that one can run.

        :param emulator: whose guests are meant, with ``arch``, ``machine`` and ``virttype`` as
            ``domain_capabilities`` has them.
        :raises Invalid: there is no such model.
        """

    @spec(
        "events",
        kind="stream",
        all=True,
        covers={
            "virConnectDomainEventRegisterAny": (),
            "virConnectDomainEventDeregisterAny": (),
            "virConnectDomainEventRegister": (),
            "virConnectDomainEventDeregister": (),
            "virConnectStoragePoolEventRegisterAny": (),
            "virConnectStoragePoolEventDeregisterAny": (),
        },
    )
    def events_follow(self, after: str | None = None) -> Iterator[Event]:
        """What happens, in order, for as long as the caller reads.

        Its place is settled when it returns, so it is no generator itself: it gives one, as ``Begun`` with the
        token of that place where it has one before the first event. Without, whoever goes on from a token of
        the connection gets a ``Gap`` from a plug-in that had told nothing.

        :param after: the token of the last event seen; None begins now. A token that is not known, or no
            longer, yields ``Gap`` first and then what is so now: ``so_now`` of each domain, each pool as started
            or stopped.
        """

    @spec("connect", all=True, access="write")
    def connect_recover(self) -> Sequence[str]:
        """Clean up what killed processes left behind; give one sentence for each thing done.

        Re-derives what is so from the hypervisor; running it twice does nothing the second time.
        """

    @spec("connect", all=True, access="write")
    def job_recover(self, record: JobRecord) -> str | None:
        """Finish, roll back, adopt or forget a job whose owner is gone; the sentence says which.

        None where the job is not one of this plug-in's.
        """

    @spec("connect", kind="call", access="write")
    def domain_import(self, dry_run: bool = False) -> Sequence[Imported]:
        """Bring in definitions that libvirt keeps on this host; define what is missing, start nothing.

        :param dry_run: only say what would be done.
        :raises Denied: where libvirt's files may not be read.
        """
