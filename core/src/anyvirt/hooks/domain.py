"""Hooks of domains: define, start, watch, stop."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from anyvirt.hooks.spec import spec
from anyvirt.model.choices import ShutdownMode, Which

if TYPE_CHECKING:
    from anyvirt.document import Document
    from anyvirt.errors import Problem
    from anyvirt.model.domain import Domain
    from anyvirt.model.launch import LaunchPlan
    from anyvirt.model.state import DomainFacts, State, Status
    from anyvirt.model.stats import BlockInfo
    from anyvirt.progress import Progress
    from anyvirt.ref import Answer, Ref
    from anyvirt.transport.stream import Stream


class DomainSpec:
    """One guest or many. State is checked in the driver, under the guest's lock, by ``require``."""

    @spec(
        "domain",
        covers={
            "virConnectListAllDomains": (),
            "virConnectListDomains": (),
            "virConnectListDefinedDomains": (),
            "virConnectNumOfDomains": (),
            "virConnectNumOfDefinedDomains": (),
        },
    )
    def domain_list(self) -> Iterator[Ref]:
        """Every domain, running or not, with name and UUID as labels."""

    @spec(
        "domain",
        covers={
            "virDomainLookupByName": (),
            "virDomainLookupByUUID": (),
            "virDomainLookupByUUIDString": (),
            "virDomainLookupByID": (),
        },
    )
    def domain_lookup(self, text: str) -> Sequence[Ref]:
        """Every domain whose name, UUID or (running) number is ``text``; empty where there is none.

        Left out, core finds it in ``domain_list``.
        """

    @spec("domain", kind="bulk", covers={"virDomainGetState": (), "virDomainIsActive": ()})
    def domain_state(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[State | Status]]]:
        """State of each domain, with the reason where it is known.

        An answer's error is ``NotFound`` for a domain that is gone.
        """

    @spec(
        "domain",
        kind="bulk",
        covers={"virDomainIsPersistent": (), "virDomainGetAutostart": (), "virDomainHasManagedSaveImage": ()},
    )
    def domain_facts(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[DomainFacts]]]:
        """Number, persistence, autostart, title of each domain, as far as they cost nothing to ask."""

    @spec(
        "domain",
        kind="bulk",
        covers={"virDomainGetXMLDesc": ("inactive", "secure"), "virDomainGetOSType": (), "virDomainGetMaxMemory": ()},
    )
    def domain_config(
        self, refs: Sequence[Ref], which: Which = Which.EFFECTIVE, secure: bool = False
    ) -> Iterator[tuple[Ref, Answer[Document[Domain]]]]:
        """Definition of each domain.

        :param which: CONFIG is the next boot's, LIVE the running one's (``WrongState`` when it does not run),
            EFFECTIVE is LIVE when it runs and CONFIG when not.
        :param secure: with passwords in it; refused on a read-only connection.
        """

    @spec("domain", access="write", covers={"virDomainDefineXML": (), "virDomainDefineXMLFlags": ("validate",)})
    def domain_define(self, config: Document[Domain]) -> Ref:
        """Store a definition: new, or in place of the one with the same UUID and name. A running guest is untouched.

        :raises Invalid: with every problem, before anything changed.
        :raises Exists: where the name belongs to another UUID, or the UUID to another name.
        """

    @spec(
        "domain",
        access="write",
        covers={"virDomainUndefine": (), "virDomainUndefineFlags": ("nvram", "keep_nvram", "tpm", "keep_tpm")},
    )
    def domain_undefine(self, ref: Ref, keep_nvram: bool = False, keep_tpm: bool | None = None) -> None:
        """Remove the definition; a running guest becomes transient and goes on.

        :param keep_nvram: leave the firmware's variables where they are.
        :param keep_tpm: leave the state of its emulated TPM, or take it away; as the definition says without it.
        :raises WrongState: where the domain is transient already.
        """

    @spec("domain", access="write", covers={"virDomainRename": ()})
    def domain_rename(self, ref: Ref, name: str) -> Ref:
        """Give a stopped domain another name; every ref to it stays valid.

        :raises Exists: where the name is taken.
        """

    @spec("domain", access="write", covers={"virDomainSetAutostart": ()})
    def domain_set_autostart(self, ref: Ref, on: bool) -> None:
        """Start it, or not, when the host comes up.

        :raises WrongState: where the domain is transient.
        """

    @spec("domain")
    def domain_preflight(self, ref: Ref) -> Sequence[Problem]:
        """Everything on this host that would keep the domain from starting, with the way out of each."""

    @spec("domain")
    def domain_plan(self, ref: Ref, paused: bool = False) -> LaunchPlan:
        """All that ``domain_start`` would do on this host, with every blocker; nothing is done.

        Where something stands in the way, the rest is planned as far as it can be. No secret is in it.

        :param paused: as for ``domain_start``.
        :raises WrongState: where the domain runs already.
        """

    @spec("domain")
    def domain_plan_create(self, config: Document[Domain], paused: bool = False) -> LaunchPlan:
        """All that ``domain_create`` would do on this host, with every blocker; nothing is done.

        What it chooses itself, such as a UUID or a MAC address, is chosen anew each time.

        :param paused: as for ``domain_create``.
        :raises Invalid: where the definition cannot be used by this driver on any host.
        :raises Exists: as ``domain_create``.
        """

    @spec("domain", access="write", covers={"virDomainCreate": (), "virDomainCreateWithFlags": ("paused",)})
    def domain_start(self, ref: Ref, paused: bool = False) -> None:
        """Boot a defined domain.

        :param paused: leave its processors stopped.
        :raises WrongState: where it runs already.
        :raises Invalid: where the host cannot run it, with every blocker, before anything changed.
        """

    @spec("domain", access="write", covers={"virDomainCreateXML": ("paused",), "virDomainCreateLinux": ()})
    def domain_create(self, config: Document[Domain], paused: bool = False) -> Ref:
        """Boot a transient domain: nothing is left of it when it stops.

        :raises Exists: where the name or UUID is taken; a domain that runs under both already is ``WrongState``.
        """

    @spec(
        "domain",
        access="write",
        covers={
            "virDomainShutdown": (),
            "virDomainShutdownFlags": ("acpi", "agent", "initctl", "signal", "paravirt"),
        },
    )
    def domain_shutdown(self, ref: Ref, mode: ShutdownMode | None = None) -> None:
        """Ask the guest to power itself off; comes back when it was asked, not when it is off.

        :param mode: the way to ask; None leaves it to the driver.
        """

    @spec("domain", access="write", covers={"virDomainReboot": ("acpi", "agent", "initctl", "signal", "paravirt")})
    def domain_reboot(self, ref: Ref, mode: ShutdownMode | None = None) -> None:
        """Ask the guest to shut down and come up again; comes back when it was asked."""

    @spec("domain", access="write", covers={"virDomainReset": ()})
    def domain_reset(self, ref: Ref) -> None:
        """Press the reset button: no warning to the guest, same process on the host."""

    @spec("domain", access="write", covers={"virDomainDestroy": (), "virDomainDestroyFlags": ("graceful",)})
    def domain_destroy(self, ref: Ref, graceful: bool = False) -> None:
        """Pull the plug; needs no answer from the guest, and works on one that hangs.

        :param graceful: only ask the hypervisor's process to end, and fail when it does not.
        """

    @spec("domain", access="write", covers={"virDomainSuspend": ()})
    def domain_suspend(self, ref: Ref) -> None:
        """Stop the processors; memory stays. Nothing happens to a domain that is paused already."""

    @spec("domain", access="write", covers={"virDomainResume": ()})
    def domain_resume(self, ref: Ref) -> None:
        """Let the processors go on."""

    @spec("domain", kind="stream", access="write", covers={"virDomainOpenConsole": ("force", "safe")})
    def domain_console(
        self, ref: Ref, device: str | None = None, force: bool = False, readonly: bool = False, replay: bool = False
    ) -> Stream:
        """A console of the running guest: what it prints, and what is typed.

        One may write and any number read; each reader sees every byte from when it attached.

        :param device: alias of the console or serial device; None is the first.
        :param force: take the writer's place from whoever has it.
        :param readonly: only read.
        :param replay: begin with what the log has kept.
        :raises Busy: where somebody else writes; it names the holder.
        """

    @spec("domain", kind="bulk", covers={"virDomainGetBlockInfo": ()})
    def domain_block_info(self, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Answer[Sequence[BlockInfo]]]]:
        """Capacity, allocation and physical size of every disk of each domain, running or not; in bytes."""

    @spec("domain", kind="job", access="write", covers={"virDomainSave": (), "virDomainSaveFlags": ("paused",)})
    def domain_save(self, ref: Ref, path: str) -> Generator[Progress, None, None]:
        """Write the guest's memory and state to a file on the host and stop it.

        Failed or cancelled, the guest goes on as before and no file is left.
        """

    @spec("domain", kind="job", access="write", covers={"virDomainRestore": (), "virDomainRestoreFlags": ("paused",)})
    def domain_restore(self, path: str, paused: bool = False) -> Generator[Progress, None, Ref]:
        """Bring a saved guest back as it was.

        :raises WrongState: where the domain runs.
        """
