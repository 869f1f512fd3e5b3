"""What comes before a start: the accelerator, the images, the plan, and everything that stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from anyvirt.api import CpuMode, Domain, Invalid, Problem, Resource

from anyvirt_qemu import tpm
from anyvirt_qemu.hosting import tuned
from anyvirt_qemu.planning.config import plan
from anyvirt_qemu.planning.needed import needed
from anyvirt_qemu.planning.plan import Paths, Storage
from anyvirt_qemu.probing import host_cpu
from anyvirt_qemu.probing.accelerator import choose
from anyvirt_qemu.probing.capability import Capability, probe
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.readiness import (
    account,
    advice,
    attached,
    dmi,
    firmwares,
    hugepages,
    media,
    nvram,
    plugged,
    pooled,
    properties,
    reserves,
    serving,
    unlocking,
)
from anyvirt_qemu.readiness.rights import Rights
from anyvirt_qemu.run_dir import GUEST

if TYPE_CHECKING:
    from anyvirt_qemu.planning.beside import Program
    from anyvirt_qemu.planning.plan import Account, Plan
    from anyvirt_qemu.site import Site

Accelerator = Literal["kvm", "tcg"]


def prepare(site: Site, domain: Domain) -> tuple[Plan | None, list[Problem], Accelerator]:
    """The plan of a start, every blocker, and the accelerator; nothing on the host changes.

    The plan is None where the definition cannot be planned.
    """
    from anyvirt_qemu.readiness.preflight import chains

    found = site.caps(domain.emulator)
    choice = choose(found.binary, site.host.settings.user_cache_dir)
    who, unheard, said = account.chosen(domain, site.configured, system=site.uri.path == "system")
    why = account.without_kvm(who) if choice.name == "kvm" else choice.reason
    accelerator: Accelerator = "kvm" if choice.name == "kvm" and domain.type == "kvm" and not why else "tcg"
    paths = _paths(site, domain, who)
    domain, unplaced, gone = pooled.placed(domain, site.calls)
    domain, missing = media.present(domain)
    domain, unplugged, unclear = plugged.present(domain)
    domain = dmi.told(domain)
    images, problems = chains(domain)
    caps = Caps(found)
    under = _under(site, domain, found, accelerator)
    domain = advice.given(_cpu(site, domain, under), site.host.settings.child_env)
    domain = partitioned(domain, site.configured.partition)
    domain, unfit = _firmware(site, domain, caps)
    domain = nvram.placed(site, domain)
    keys, locked = unlocking.values(domain, site.host.secrets)
    problems += [*unplaced, *unclear, *unheard, *unfit, *locked]
    wrong: list[Problem] = []
    try:
        planned = plan(
            domain,
            caps,
            paths,
            accelerator=accelerator,
            chains=images,
            why=why,
            serving=serving.found(domain, configured=site.configured, secrets=site.host.secrets),
            storage=_storage(site, domain, keys),
            programs=_programs(site, domain),
            account=who,
            problems=wrong,
        )
    except Invalid as error:
        return None, [*problems, *pooled.without(error.problems, unplaced)], accelerator
    wrong = pooled.without(wrong, unplaced)
    lacking = host_cpu.lacking(under, domain.cpu)
    told = [host_cpu.told(domain.cpu, lacking)] if lacking and domain.cpu is not None else []
    told += reserves.warnings(planned)
    planned = replace(planned, warnings=(*gone, *missing, *unplugged, *planned.warnings, *told, *said))
    if lacking and accelerator == "kvm" and domain.cpu is not None and domain.cpu.check in {"partial", "full"}:
        problems.append(host_cpu.problem(domain.cpu, lacking))
    problems += tuned.blockers(planned.tuning, site.host.settings.child_env)
    told_of = {problem.path for problem in wrong}
    host = [problem for problem in _blockers(site, domain, planned) if problem.path not in told_of]
    return None if unfit else planned, [*problems, *wrong, *host], accelerator


def _blockers(site: Site, domain: Domain, planned: Plan) -> list[Problem]:
    """What this host, and the files of other guests, have against it."""
    from anyvirt_qemu.readiness.preflight import blockers

    given = [*attached.devices(site, planned, str(domain.uuid))]
    if planned.profile is not None:
        from anyvirt_qemu.hosting import confined

        given += confined.blockers(site, planned)
    given += properties.blockers(planned, site.host.settings.user_cache_dir)
    if planned.account is None:
        return [*blockers(domain, planned), *given]
    from anyvirt_qemu.hosting import ownership

    ours = (str(site.scope.state), str(site.scope.run))
    rights = Rights(planned.account, planned.files, ours)
    problems = blockers(domain, planned, rights)
    shut = [wrong for folder in ours if (wrong := rights.way(f"{folder}/qemu")) is not None]
    problems += [Problem(wrong.code, "", None, wrong.text, wrong.hint) for wrong in shut[:1]]
    return [*problems, *given, *ownership.blockers(site, planned, str(domain.uuid))]


def partitioned(domain: Domain, partition: str) -> Domain:
    """The definition with a place among the host's groups, where the settings have one for all guests."""
    resource = domain.resource or Resource()
    if not partition or resource.partition:
        return domain
    return domain.replace(resource=resource.replace(partition=partition))


def _under(site: Site, domain: Domain, found: Capability, accelerator: Accelerator) -> Capability:
    """What the binary can do under the accelerator of this start, where a CPU is asked for that depends on it."""
    if found.accel == accelerator or domain.cpu is None or domain.cpu.mode not in {CpuMode.HOST_MODEL, CpuMode.CUSTOM}:
        return found
    return probe(found.binary, site.host.settings.user_cache_dir, accel=accelerator)


def _cpu(site: Site, domain: Domain, under: Capability) -> Domain:
    """The definition with a CPU like the host's spelled out, where it asks for one."""
    if domain.cpu is None or domain.cpu.mode != CpuMode.HOST_MODEL:
        return domain
    host = host_cpu.nearest(under, site.host.settings.user_cache_dir)
    return domain if host is None else domain.replace(cpu=host_cpu.frozen(domain.cpu, host))


def _paths(site: Site, domain: Domain, who: Account | None) -> Paths:
    guest, variables = str(site.runs / str(domain.uuid) / GUEST), str(nvram.folder(site))
    state = str(tpm.folder(site, str(domain.uuid)))
    backing = domain.memory_backing
    if backing is None and not domain.memory_devices:
        return Paths(guest=guest, nvram=variables, tpm=state, vhost_net=attached.vhost_net())
    usual, mounts = hugepages.mounts(rights=Rights(who), among=site.configured.mounts)
    memory = str(site.scope.folder("qemu", "memory"))
    if who is not None:
        memory += f"/{who.uid}"
    return Paths(
        guest=guest,
        nvram=variables,
        memory=memory,
        hugepages=mounts,
        hugepage=usual,
        tpm=state,
        vhost_net=attached.vhost_net(),
    )


def _programs(site: Site, domain: Domain) -> dict[str, Program]:
    """What is known of programs that the guest needs beside QEMU."""
    if not any(needed(domain)):
        return {}
    from anyvirt_qemu.readiness import installed

    return installed.found(site, domain)


def _storage(site: Site, domain: Domain, keys: Mapping[str, bytes]) -> Storage:
    dropped = any(disk.transient for disk in domain.disks)
    place = str(site.scope.folder("qemu", "overlays")) if dropped else ""
    return Storage(secrets=keys, generics=media.generics(domain), overlays=place)


def _firmware(site: Site, domain: Domain, caps: Caps) -> tuple[Domain, list[Problem]]:
    """The definition with firmware that fits, or why none does."""
    if not firmwares.needed(domain) or domain.os is None:
        return domain, []
    machine = caps.machine(domain.os.machine or "")
    if machine is None:
        return domain, []  # which the plan tells
    folders = (*firmwares.FOLDERS, site.host.settings.user_config_dir / "qemu/firmware")
    try:
        return firmwares.chosen(domain, caps.arch, machine, firmwares.read(folders)), []
    except Invalid as error:
        plainly = domain.os.replace(firmware=None, firmware_features=(), loader_secure=None)
        return domain.replace(os=plainly), list(error.problems)
