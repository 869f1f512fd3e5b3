"""What core makes out of hooks, once, for every driver: looking up, overviews, merged answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyvirt.deadline import current
from anyvirt.errors import Ambiguous, Interrupted, Invalid, NotFound, VirtError
from anyvirt.model.choices import GROUPS
from anyvirt.model.state import DomainFacts, State, Status
from anyvirt.ref import Answer, Ref

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Connection
    from anyvirt.document import Document
    from anyvirt.model.stats import BlockInfo, DomainStats
    from anyvirt.model.values import Fact
    from anyvirt.progress import Progress
    from anyvirt.session import Pending

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Derived:
    """What a derived function stands on, and what it stands for.

    :param needs: hooks, all of which the driver must have.
    :param covers: libvirt's functions, as for a spec.
    """

    needs: tuple[str, ...]
    covers: Mapping[str, tuple[str, ...]]


def derived(*needs: str, covers: Mapping[str, tuple[str, ...]] | None = None) -> Callable[[F], F]:
    """Put a function of this module into the clients."""

    def mark(function: F) -> F:
        function.anyvirt_derived = Derived(needs, dict(covers or {}))  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Overview:
    """One row of a list of domains."""

    ref: Ref
    status: Answer[Status]
    facts: Answer[DomainFacts]


@derived(
    "domain_list",
    covers={
        "virDomainLookupByName": (),
        "virDomainLookupByUUID": (),
        "virDomainLookupByUUIDString": (),
        "virDomainLookupByID": (),
    },
)
def lookup(calls: Connection, text: str) -> Ref:
    """The domain whose name, UUID or (running) number is ``text``.

    :raises NotFound: where there is none.
    :raises Ambiguous: where a name fits several.
    """
    if "domain_lookup" in calls.supports:
        found = [handle.ref for handle in calls.domain_lookup(text)]
    else:
        refs = [handle.ref for handle in calls.domain_list()]
        found = [ref for ref in refs if text in (ref.name, ref.uuid, ref.key)]
        if not found and text.isdecimal() and "domain_facts" in calls.supports:
            facts = calls.domain_facts(refs)
            found = [ref for ref, answer in facts.items() if answer.value and answer.value.id == int(text)]
            for answer in facts.values() if not found else ():
                if answer.error is not None and not isinstance(answer.error, NotFound):
                    raise answer.error  # the one that did not answer may have that number
    exact = [ref for ref in found if text in (ref.uuid, ref.key)] or found
    if not exact:
        from shlex import quote

        raise NotFound(text, "domain", hint=f"anyvirt -c {quote(str(calls.uri))} list --all shows what there is")
    if len(exact) > 1:
        raise Ambiguous(text, exact)
    return exact[0]


@derived("pool_list", covers={"virStoragePoolLookupByName": (), "virStoragePoolLookupByUUID": ()})
def lookup_pool(calls: Connection, text: str) -> Ref:
    """The pool whose name, UUID or place on the host is ``text``.

    :raises NotFound: where there is none.
    """
    try:
        return _by_label([handle.ref for handle in calls.pool_list()], text, "pool")
    except NotFound:
        if not text.startswith("/") or "pool_find" not in calls.supports:
            raise
    return calls.pool_find(text).ref


@derived("pool_list", covers={"virStoragePoolLookupByVolume": ()})
def volume_pool(calls: Connection, volume: Ref) -> Ref:
    """The pool that a volume is in.

    :raises NotFound: where it is gone.
    """
    for handle in calls.pool_list():
        if handle.ref == volume.parent:
            return handle.ref
    raise NotFound(volume.parent or volume)


@derived(
    "secret_list",
    covers={"virSecretLookupByUUID": (), "virSecretLookupByUUIDString": (), "virSecretLookupByUsage": ()},
)
def lookup_secret(calls: Connection, text: str) -> Ref:
    """The secret whose UUID is ``text``, or that is for it: a volume's path, an iSCSI target, or a name.

    :raises NotFound: where there is none.
    :raises Ambiguous: where several uses have that name.
    """
    refs = [handle.ref for handle in calls.secret_list()]
    found = [ref for ref in refs if text in (ref.uuid, ref.key)] or [ref for ref in refs if text == ref.name]
    if not found:
        raise NotFound(text, "secret")
    if len(found) > 1:
        raise Ambiguous(text, found)
    return found[0]


@derived("network_list", covers={"virNetworkLookupByName": (), "virNetworkLookupByUUID": ()})
def lookup_network(calls: Connection, text: str) -> Ref:
    """The network whose name or UUID is ``text``.

    :raises NotFound: where there is none.
    """
    return _by_label([handle.ref for handle in calls.network_list()], text, "network")


@derived("interface_list", covers={"virInterfaceLookupByName": (), "virInterfaceLookupByMACString": ()})
def lookup_interface(calls: Connection, text: str) -> Ref:
    """The host interface whose name or MAC address is ``text``.

    :raises NotFound: where there is none.
    """
    return _by_label([handle.ref for handle in calls.interface_list()], text, "interface")


@derived("pool_volumes", covers={"virStorageVolLookupByName": ()})
def lookup_volume(calls: Connection, pool: Ref, text: str) -> Ref:
    """The volume of a pool whose name or key is ``text``.

    :raises NotFound: where there is none.
    """
    return _by_label([handle.ref for handle in calls.pool_volumes(pool)], text, "volume")


def _by_label(refs: Sequence[Ref], text: str, kind: str) -> Ref:
    for ref in refs:
        if text in (ref.name, ref.uuid, ref.key):
            return ref
    raise NotFound(text, kind)


@derived("volume_upload")
def volume_upload_file(
    calls: Connection, volume: Ref, path: str, offset: int = 0, sparse: bool = False, resume: bool = False
) -> Generator[Progress, None, int]:
    """Upload a file of this machine; the job's value is the bytes that were sent. Cancelled, what came is kept.

    :param offset: first byte of the volume that is written.
    :param sparse: holes of the file go over, and stay, as holes.
    :param resume: go on where an unfinished upload of this file ended, or begin where none is.
    :raises Invalid: the volume has no room for the file; nothing of it is changed.
    """
    from anyvirt.client import files

    return (yield from files.upload(calls, volume, path, offset, sparse=sparse, resume=resume))


@derived("volume_download", "volume_info", "volume_config")
def volume_download_file(
    calls: Connection,
    volume: Ref,
    path: str,
    offset: int = 0,
    length: int | None = None,
    sparse: bool = False,
    resume: bool = False,
) -> Generator[Progress, None, int]:
    """Download into a file of this machine, which only its owner may read; the job's value is its bytes.

    What comes is kept in ``PATH.part``, and takes the place of what had the name before when all is there.

    :param length: bytes at most; None is all until the volume's end.
    :param sparse: holes of the volume are holes of the file.
    :param resume: go on with ``PATH.part``, if the volume has not changed since.
    :raises Busy: somebody else downloads into that file.
    """
    from anyvirt.client import files

    return (yield from files.download(calls, volume, path, offset, length, sparse=sparse, resume=resume))


@derived("domain_list", "domain_state")
def overview(calls: Connection) -> tuple[Overview, ...]:
    """Every domain with its state and facts, in a constant number of calls."""
    refs = [handle.ref for handle in calls.domain_list()]
    # begun together: one that hangs must not use up the time of what is asked of the others
    asked = _begin(calls, ("domain_facts",), refs)
    states = calls.domain_state(refs)
    facts: Mapping[Ref, Answer[DomainFacts]] = asked["domain_facts"].result() if asked else {}
    unknown = Answer(DomainFacts())
    return tuple(Overview(ref, states[ref], facts.get(ref, unknown)) for ref in refs)


# group -> (hook that gives it alone, field of DomainStats)
_SINGLE: Final = {
    "cpu": "stats_cpu",
    "vcpu": "stats_vcpu",
    "balloon": "stats_balloon",
    "interface": "stats_interface",
    "block": "stats_block",
}


@derived(covers={"virConnectGetAllDomainStats": (), "virDomainListGetStats": ()})
def stats(
    calls: Connection, refs: Sequence[Ref] | None = None, groups: Collection[str] = GROUPS
) -> dict[Ref, Answer[DomainStats]]:
    """Figures of many domains; every domain, every group, unless told otherwise.

    A driver that collects everything in one pass is asked once; another one once for each group that it knows.
    A group that the driver does not know stays None. Where one group failed, the answer has that error beside the
    figures of the others: ``get`` raises it, ``value`` has what is known.

    :raises Invalid: for the name of a group that does not exist.
    """
    wrong = sorted(set(groups) - set(GROUPS))
    if wrong:
        raise Invalid(f"no statistics group {wrong[0]!r}", hint=f"groups: {', '.join(GROUPS)}")
    asked = [handle.ref for handle in calls.domain_list()] if refs is None else list(refs)
    if "stats_collect" in calls.supports:
        return calls.stats_collect(asked, frozenset(groups))
    from anyvirt.model.stats import DomainStats  # not for a list

    answers: dict[Ref, Answer[DomainStats]] = {ref: Answer(DomainStats()) for ref in asked}
    begun = _begin(calls, [hook for group, hook in _SINGLE.items() if group in groups], asked)
    if "state" in groups and "domain_state" in calls.supports:
        _merge(answers, "state", partial(calls.domain_state, asked))
    for group, hook in _SINGLE.items():
        if hook in begun:
            _merge(answers, group, begun[hook].result)
    nothing = DomainStats()
    return {
        ref: Answer(error=answer.error, at=answer.at) if answer.error and answer.value == nothing else answer
        for ref, answer in answers.items()
    }


def _begin(calls: Connection, hooks: Sequence[str], refs: Sequence[Ref]) -> dict[str, Pending]:
    """Begin those of the bulk reads that the driver has, all at once."""
    asked = {"refs": tuple(refs)}
    return {hook: calls.session.begin_bulk(hook, dict(asked)) for hook in hooks if hook in calls.supports}


def _merge(answers: dict[Ref, Answer[DomainStats]], group: str, ask: Callable[[], Mapping[Ref, Answer[Any]]]) -> None:
    from anyvirt.model.stats import DomainStats

    try:
        part = ask()
    except VirtError as error:
        part = dict.fromkeys(answers, Answer(error=error))
    for ref, answer in part.items():
        before = answers[ref]
        if answer.error is not None:
            answers[ref] = replace(before, error=before.error or answer.error)
            continue
        value = tuple(answer.value) if isinstance(answer.value, list) else answer.value
        assert before.value is not None
        change: dict[str, Any] = {group: value}
        oldest = answer.at if before.value == DomainStats() else min(before.at, answer.at)
        answers[ref] = Answer(replace(before.value, **change), before.error, oldest)


@derived("domain_block_info", covers={"virDomainGetBlockInfo": ()})
def block_info(calls: Connection, ref: Ref, disk: str) -> BlockInfo:
    """The three sizes of one disk.

    :param disk: target name in the guest, such as ``vda``.
    :raises Invalid: where the domain has no such disk; it names those that it has.
    """
    infos = calls.domain_block_info([ref])[ref].get()
    for info in infos:
        if info.target == disk:
            return info
    there = ", ".join(info.target for info in infos) or "none"
    raise Invalid(f"domain {str(ref)!r} has no disk {disk!r}", hint=f"its disks: {there}")


@derived("domain_state")
def wait_for(calls: Connection, ref: Ref, states: Collection[State]) -> Status:
    """Wait until the domain is in one of ``states``; its status then.

    :raises Interrupted: (``deadline``) when the call's time is up first.
    """
    deadline, pause = current(), 0.02
    while True:
        try:
            status = calls.domain_state([ref])[ref].get()
        except NotFound:
            if State.SHUTOFF in states:  # a transient domain is gone when it stops
                return Status(State.SHUTOFF)
            raise
        if status.state in states:
            return status
        left = deadline.left()
        time.sleep(pause if left is None else min(pause, left))
        if deadline.over():  # asking once more would only say that there was no time to ask
            raise Interrupted("deadline", f"{ref} is {status}")
        pause = min(pause * 1.5, 0.25)


@derived("host_facts")
def facts(calls: Connection) -> tuple[Fact, ...]:
    """What every plug-in of the connection found out about the host."""
    from anyvirt.model.values import Fact

    found: list[Fact] = []
    for name, answer in calls.host_facts().items():
        if answer.error is not None:
            found.append(Fact(f"{name} facts", "unknown", str(answer.error)))
        else:
            found.extend(answer.value or ())
    return tuple(found)


@derived("host_capabilities", covers={"virConnectGetCapabilities": ()})
def capabilities(calls: Connection) -> Document[Any]:
    """The capabilities document, merged from the parts of every plug-in."""
    from anyvirt.document import Document
    from anyvirt.model.capabilities import Capabilities

    parts = [answer.get().model for answer in calls.host_capabilities().values()]
    hosts = [part.host for part in parts if part.host is not None]
    host = hosts[0] if hosts else None
    for other in hosts[1:]:  # what an earlier part leaves open, a later one fills in
        assert host is not None
        names: tuple[str, ...] = other.__match_args__
        missing = {name: getattr(other, name) for name in names if not getattr(host, name)}
        host = host.replace(**missing)
    guests = tuple(guest for part in parts for guest in part.guests)
    return Document(model=Capabilities(host=host, guests=guests))


@derived()
def recover(calls: Connection) -> tuple[str, ...]:
    """Clean up after killed processes and settle jobs without an owner; one sentence for each thing done."""
    done: list[str] = []
    problems: list[VirtError] = []
    if "connect_recover" in calls.supports:
        for answer in calls.connect_recover().values():
            done.extend(answer.value or ())
            problems += [answer.error] if answer.error else []
    done.extend(_settle_jobs(calls, problems))
    if problems:
        raise problems[0]
    return tuple(done)


def _settle_jobs(calls: Connection, problems: list[VirtError]) -> list[str]:
    from anyvirt.identity import ProcessId

    done = []
    book = calls.session.host.jobs
    for record in book.all():
        try:
            dead = not record.owner or ProcessId.from_json(record.owner).alive() is False
        except (KeyError, TypeError, ValueError):  # of another version: whether it lives cannot be told
            dead = False
        if not dead:
            continue
        sentences = [f"{record.hook} {record.id}: forgotten"]
        if "job_recover" in calls.supports:
            answers = calls.session.call("job_recover", {"record": record}).values()
            failed = [answer.error for answer in answers if answer.error]
            problems.extend(failed)
            if failed:
                continue
            sentences = [answer.value for answer in answers if answer.value] or sentences
        book.drop(record.id)
        done.extend(sentences)
    return done
