"""Every error that anyvirt raises, grouped by what a caller can do next.

::

    VirtError                 never raised itself
    ├─ NotFound               the object is not there: look again, or create it
    ├─ Exists                 the name or UUID is taken: choose another
    ├─ WrongState             the object is in another state: change that first
    ├─ Busy                   somebody else is at it: wait, or ask the holder
    ├─ Unsupported            this driver or hypervisor lacks it: do without
    │  └─ StoreNewer          the state was written by a newer anyvirt: upgrade
    ├─ Invalid                the input is wrong: every problem is listed
    │  └─ Ambiguous           a name fits several objects: say which
    ├─ Denied                 not allowed: other rights are needed
    │  └─ AuthNeeded          credentials are missing: these questions are open
    ├─ Unreachable            the peer does not answer: check it, try again
    ├─ Interrupted            ended from outside: deadline, lost line, fork
    │  └─ Cancelled           ended because somebody asked for it
    ├─ Failed                 the hypervisor said no: its own words are kept
    └─ BadDriver              a plug-in broke the contract: report it

Codes are stable, documented one page each and never reused; ``CODES`` lists
them with libvirt's error number where libvirt has one (libvirt 9.0.0,
``virErrorNumber``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from anyvirt.auth import Question
    from anyvirt.ref import Ref


class Code(NamedTuple):
    """What a code means, once, for docs and for libvirt's numbers."""

    libvirt: int | None
    meaning: str
    way_out: str


# fmt: off
CODES: Final[dict[str, Code]] = {
    "auth.needed": Code(45, "credentials are missing", "give them in the URI, an auth file, the keyring, or run where you can be asked"),
    "config.conflict": Code(27, "two parts of the document exclude each other", "keep one of the two"),
    "config.duplicate": Code(27, "what only one may have is given twice", "change or remove one of the two"),
    "config.invalid": Code(27, "the document parses but cannot be right", "correct each listed path"),
    "config.missing": Code(27, "the document lacks something that it needs", "add what is named"),
    "config.range": Code(27, "a number is out of the bounds that its place has", "use one inside the bounds named"),
    "config.reference": Code(27, "the document refers to something that is not in it", "correct the reference, or add its target"),
    "connect.invalid-uri": Code(8, "the URI cannot be understood", "write driver[+transport]://[user@]host[:port]/path"),
    "connect.no-driver": Code(5, "no installed plug-in serves this scheme", "pip install the named distribution"),
    "connect.unreachable": Code(38, "the peer does not answer", "check host, service and network; the stage says how far it got"),
    "content.exists": Code(38, "there is something already where the pool would be built", "keep it, or overwrite it if nobody needs it"),
    "dataset.not-found": Code(38, "the host has no such pool or dataset of ZFS", "import it, or build the pool"),
    "denied": Code(88, "the operation is not allowed for this user", "use other rights, or the session URI"),
    "device.not-found": Code(99, "the domain has no such device", "list the devices of the domain"),
    "domain.ambiguous": Code(110, "a name fits several domains", "use the UUID"),
    "domain.exists": Code(9, "name or UUID of the domain is taken", "choose another, or undefine the holder"),
    "domain.not-found": Code(42, "there is no such domain", "list the domains; it may have been undefined or renamed"),
    "domain.wrong-state": Code(55, "the domain is in another state than the operation needs", "bring it into one of the named states first"),
    "driver.bad": Code(1, "a plug-in broke the contract", "report it to the plug-in's authors, with the version shown"),
    "driver.clash": Code(1, "two plug-ins claim one name", "uninstall one, or choose with ?service.NAME=DISTRIBUTION"),
    "file.exists": Code(38, "something else has that name on the host", "choose another path, or move it away"),
    "file.no-space": Code(38, "the host's file system is full", "free space there; the old content is untouched"),
    "file.not-found": Code(38, "there is no such file or folder on the host", "correct the path"),
    "hypervisor.failed": Code(9, "the hypervisor refused or failed", "read its own words, which are attached"),
    "interface.exists": Code(9, "the host has an interface of that name", "choose another"),
    "interface.not-found": Code(57, "there is no such host interface", "list the interfaces"),
    "interface.wrong-state": Code(55, "the interface is in another state than the operation needs", "bring it up or down first"),
    "internal": Code(1, "anyvirt itself went wrong", "report it with what --debug shows"),
    "interrupted.cancelled": Code(78, "somebody cancelled the operation", "start it again if it is still wanted"),
    "interrupted.deadline": Code(68, "the deadline passed", "allow more time, or find out what is stuck"),
    "interrupted.forked": Code(6, "the process forked since the connection was opened", "open a connection in the child"),
    "interrupted.lost": Code(38, "the line was lost in the middle", "look at the object's state before trying again"),
    "invalid": Code(8, "an argument is wrong", "correct the named argument"),
    "job.not-found": Code(42, "there is no such job", "list the jobs"),
    "journal.not-found": Code(38, "a run has no event journal", "destroy the domain and start it again"),
    "network.exists": Code(9, "name or UUID of the network is taken", "choose another"),
    "network.not-found": Code(43, "there is no such network", "list the networks"),
    "network.wrong-state": Code(55, "the network is in another state than the operation needs", "start or stop the network first"),
    "pool.exists": Code(9, "name or UUID of the pool is taken", "choose another"),
    "pool.not-found": Code(49, "there is no such storage pool", "list the pools"),
    "pool.wrong-state": Code(55, "the pool is in another state than the operation needs", "start or stop the pool first"),
    "process.not-found": Code(8, "there is no such process", "it has ended; look at the object's state again"),
    "program.not-found": Code(38, "a program is not installed", "install the package that has it"),
    "readonly": Code(29, "the connection is read-only", "open it without readonly"),
    "resource.busy": Code(87, "somebody else holds the object", "wait for the holder that is named, or stop it"),
    "run.exists": Code(55, "a run of the domain has left something behind", "anyvirt recover"),
    "run.not-found": Code(55, "the domain has no run", "start it"),
    "secret.ambiguous": Code(None, "secrets for several uses have that name", "use the UUID"),
    "secret.exists": Code(65, "another secret is for the same thing, or has the UUID", "undefine that one, or give its UUID"),
    "secret.not-found": Code(66, "there is no such secret", "list the secrets; an ephemeral one is gone with the boot"),
    "snapshot.exists": Code(9, "the domain has a snapshot of that name", "choose another"),
    "snapshot.not-found": Code(72, "there is no such snapshot", "list the snapshots"),
    "source.not-found": Code(38, "the server has nothing of that name", "see what it has, and correct the pool's source"),
    "store.corrupt": Code(1, "the stored state is damaged", "keep a copy, then put back a backup or save what is left"),
    "store.full": Code(38, "there is no room for the state on the disk", "make room on that file system; nothing was changed"),
    "store.io": Code(38, "the stored state cannot be read or written", "look at the path and the kernel's log"),
    "store.newer": Code(67, "the stored state needs a newer anyvirt", "upgrade anyvirt on this machine"),
    "target.not-found": Code(38, "the server has no such iSCSI target", "see which it has, and correct the pool's source device"),
    "unsupported": Code(3, "the driver or the hypervisor cannot do this", "do without, or use a driver that can"),
    "unsupported.config": Code(67, "the document asks for something that this driver cannot honour", "remove the named path, or use a driver that can"),
    "upload.not-found": Code(50, "no upload to the volume is unfinished", "begin a new one, without resume"),
    "value.not-found": Code(66, "the secret has no value", "set its value; one in memory is gone with the boot"),
    "volume.exists": Code(90, "the pool has a volume of that name", "choose another"),
    "volume.not-found": Code(50, "there is no such volume", "refresh the pool, list its volumes"),
    "volume.wrong-state": Code(55, "the volume is in another state than the operation needs", "wait until its pool is active"),
    "xml.limits": Code(27, "the document is larger or deeper than allowed", "raise the limit if it is really meant"),
    "xml.malformed": Code(35, "the text is not well-formed XML", "correct the named line"),
    "xml.unknown-attribute": Code(67, "an attribute is not known", "correct its name, or keep it with keep_unknown"),
    "xml.unknown-element": Code(67, "an element is not known", "correct its name, or keep it with keep_unknown"),
    "xml.value": Code(27, "a value is not of the allowed kind", "use one of the values named"),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what to do about it.

    :param code: the stable code, one of ``CODES``.
    :param path: place in the model, such as ``/devices/disk[vda]/source/@file``.
    :param line: line of the document, or None where there is none.
    """

    code: str
    path: str
    line: int | None
    text: str
    hint: str = ""

    @property
    def place(self) -> str:
        """Path and line, as far as they are known."""
        line = f"line {self.line}" if self.line else ""
        return f"{self.path} ({line})" if self.path and line else self.path or line

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f"; {self.hint}" if self.hint else "")


class VirtError(Exception):
    """Root of the tree; carries ``code``, ``message``, ``hint`` and ``details``.

    ``details`` is plain data (str, int, lists of them): the hypervisor's own
    words and numbers land there and are never parsed again.
    """

    code: str = "hypervisor.failed"

    def __init__(
        self, message: str, *, code: str = "", hint: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        if code:
            self.code = code
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    @property
    def libvirt_number(self) -> int | None:
        """Libvirt's number for this error, or None where libvirt has none."""
        known = CODES.get(self.code)
        return known.libvirt if known else None

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[VirtError], args: tuple[Any, ...], state: dict[str, Any]) -> VirtError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _label(what: object) -> str:
    name = getattr(what, "name", None) or getattr(what, "key", None)
    return str(name) if name else str(what)


class NotFound(VirtError):
    """The named object is not there.

    :param what: the ref or name that was asked for.
    :param kind: ``domain``, ``pool``, ``volume``, ``network`` ...; a ref says its own.
    """

    def __init__(self, what: Ref | str, kind: str = "domain", *, hint: str = "") -> None:
        kind = getattr(what, "kind", kind)
        super().__init__(f"no {kind} {_label(what)!r}", code=f"{kind}.not-found", hint=hint)
        self.kind, self.name = kind, _label(what)


class Exists(VirtError):
    """Name or UUID is taken.

    :param holder: what holds it, in words, such as ``"web (uuid ...)"``.
    """

    def __init__(self, kind: str, name: str, *, holder: str = "", hint: str = "") -> None:
        tail = f" (held by {holder})" if holder else ""
        super().__init__(f"{kind} {name!r} exists already{tail}", code=f"{kind}.exists", hint=hint)
        self.kind, self.name, self.holder = kind, name, holder


class WrongState(VirtError):
    """The object is not in a state that the operation accepts.

    :param words: the needed states in a word, where they are many.
    """

    def __init__(
        self,
        actual: str,
        needed: Sequence[str],
        operation: str,
        *,
        what: Ref | str = "",
        kind: str = "domain",
        words: str = "",
        hint: str = "",
    ) -> None:
        kind = getattr(what, "kind", kind)
        name = f"{kind} {_label(what)!r}" if what else f"the {kind}"
        text = f"{name} is {actual}; {operation} needs it {words or ' or '.join(needed)}"
        super().__init__(text, code=f"{kind}.wrong-state", hint=hint)
        self.actual, self.needed, self.operation = actual, tuple(needed), operation


class Busy(VirtError):
    """Somebody else is working on the object; ``holder`` and ``purpose`` tell who and why."""

    def __init__(self, what: Ref | str, *, holder: str = "", purpose: str = "", hint: str = "") -> None:
        tail = f" by {holder}" if holder else ""
        tail += f" for {purpose}" if purpose else ""
        super().__init__(f"{_label(what)!r} is held{tail}", code="resource.busy", hint=hint)
        self.holder, self.purpose = holder, purpose


class Unsupported(VirtError):
    """The driver lacks a hook, a parameter, a value or a part of the model.

    :param what: ``"domain_reset"``, ``"domain_start(paused)"`` or a model path.
    """

    code = "unsupported"

    def __init__(self, driver: str, what: str, *, hint: str = "") -> None:
        code = "unsupported.config" if what.startswith("/") else "unsupported"
        super().__init__(f"{driver} does not support {what}", code=code, hint=hint)
        self.driver, self.what = driver, what


class StoreNewer(Unsupported):
    """The state on disk needs a newer anyvirt than this one."""

    def __init__(self, path: str, needs: int, has: int) -> None:
        super().__init__(
            "this anyvirt", f"store schema {needs} (it knows {has})", hint="upgrade anyvirt on this machine"
        )
        self.code = "store.newer"
        self.details.update(path=path, needs=needs, has=has)


class Invalid(VirtError):
    """The input is wrong; ``problems`` lists everything that is, not the first thing."""

    code = "invalid"

    def __init__(self, problems: Sequence[Problem] | str, *, code: str = "", hint: str = "") -> None:
        if isinstance(problems, str):
            problems = (Problem(code or "invalid", "", None, problems, hint),)
        first = problems[0]
        if len(problems) == 1:
            text = f"{first.place}: {first.text}" if first.place else first.text
        else:
            text = f"{len(problems)} problems, the first: {first}"
        codes = {p.code for p in problems}
        code = code or (codes.pop() if len(codes) == 1 else "config.invalid")
        way_out = first.hint if len(problems) == 1 else CODES["config.invalid"].way_out
        super().__init__(text, code=code, hint=hint or way_out)
        self.problems = tuple(problems)


class Ambiguous(Invalid):
    """A name fits several objects; ``refs`` are all of them."""

    def __init__(self, name: str, refs: Sequence[Ref]) -> None:
        keys = ", ".join(ref.uuid or ref.key for ref in refs)
        code = "secret.ambiguous" if refs[0].kind == "secret" else "domain.ambiguous"
        super().__init__(f"{name!r} fits {len(refs)} objects: {keys}", code=code, hint="use the UUID")
        self.refs = tuple(refs)


class Denied(VirtError):
    """Not allowed; the message says what was asked and as whom."""

    code = "denied"


class AuthNeeded(Denied):
    """Credentials are missing; ``questions`` says which."""

    def __init__(self, questions: Sequence[Question], *, target: str = "") -> None:
        names = ", ".join(question.name for question in questions)
        text = f"{target or 'the peer'} wants {names}"
        super().__init__(text, code="auth.needed", hint=CODES["auth.needed"].way_out)
        self.questions = tuple(questions)


class Unreachable(VirtError):
    """The peer does not answer.

    :param stage: how far it got: ``resolve``, ``connect``, ``log-on``, ``greeting``, ``stuck`` ...
    :param since: time.time() of the first unanswered call, where known.
    """

    code = "connect.unreachable"

    def __init__(
        self,
        what: str,
        stage: str,
        *,
        since: float | None = None,
        hint: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{what} cannot be reached (stage: {stage})", code=self.code, hint=hint, details=details)
        self.what, self.stage, self.since = what, stage, since


class Interrupted(VirtError):
    """Ended from outside: ``reason`` is ``deadline``, ``lost``, ``forked`` or ``cancelled``."""

    def __init__(self, reason: str, what: str = "", *, hint: str = "") -> None:
        texts = {
            "deadline": "the deadline passed",
            "lost": "the line was lost",
            "forked": "the process has forked since the connection was opened",
            "cancelled": "cancelled",
        }
        text = texts.get(reason, reason) + (f" ({what})" if what else "")
        super().__init__(text, code=f"interrupted.{reason}", hint=hint)
        self.reason = reason


class Cancelled(Interrupted):
    """Somebody asked for the end of this operation."""

    def __init__(self, what: str = "") -> None:
        super().__init__("cancelled", what)


class Failed(VirtError):
    """The hypervisor (or its tool) said no.

    :param native: its own words or fields, kept as data: ``{"class": "GenericError", "desc": ...}``.
    """

    code = "hypervisor.failed"

    def __init__(self, message: str, *, native: Mapping[str, Any] | None = None, hint: str = "") -> None:
        super().__init__(message, code="hypervisor.failed", hint=hint, details=native)


class BadDriver(VirtError):
    """A plug-in broke the contract: which, in what version, and how."""

    code = "driver.bad"

    def __init__(self, driver: str, wrong: str, *, version: str = "", code: str = "driver.bad") -> None:
        name = f"{driver} {version}".strip()
        super().__init__(f"plug-in {name}: {wrong}", code=code, hint=CODES[code].way_out)
        self.driver, self.version, self.wrong = driver, version, wrong
