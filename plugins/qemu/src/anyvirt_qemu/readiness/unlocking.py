"""Values of the secrets that a definition names, from whoever keeps them on this host."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Denied, Encryption, Failed, Invalid, NotFound, Problem, SecretRef, Unsupported, walk

if TYPE_CHECKING:
    from anyvirt.api import Domain, Secrets

    from anyvirt_qemu.configured import Configured

SERVICES: Final = ("chardev", "nbd", "spice", "vnc")
KEY_HEAD: Final = 12  # bytes of a key of ceph before the key itself: type, time, length
USES: Final = {"passphrase": "volume", "ceph": "ceph", "iscsi": "iscsi"}


class Named(NamedTuple):
    """A secret where a definition names it.

    :param use: what the secret has to be for.
    :param text: its UUID, or what it is for.
    """

    path: str
    line: int | None
    use: str
    text: str


def values(domain: Domain, keeper: Secrets | None) -> tuple[dict[str, bytes], list[Problem]]:
    """The values that are known, by UUID or usage, and why others cannot be had; the plan tells of those that are not.

    :param keeper: who has them; None where this connection has nobody for it.
    """
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    if keeper is None:
        return found, problems
    for one in named(domain):
        try:
            value = bytes_of(keeper, one.use, one.text)
        except NotFound:
            continue
        except (Denied, Failed, Invalid, Unsupported) as error:
            problems.append(Problem(error.code, one.path, one.line, error.message, error.hint))
            continue
        if found.setdefault(one.text, value) != value:
            text = f"{one.text!r} is what two secrets are for, and both are needed here"
            problems.append(Problem("config.conflict", one.path, one.line, text, "name them by UUID"))
    return found, problems


def certificates(configured: Configured, keeper: Secrets | None) -> tuple[dict[str, bytes], dict[str, str]]:
    """What unlocks the keys of certificates, by service, and why that cannot be had for others."""
    found: dict[str, bytes] = {}
    locked: dict[str, str] = {}
    for service in SERVICES:
        text = configured.of(service, "secret")
        if text is None:
            continue
        try:
            if keeper is None:
                raise NotFound(text, "secret")
            found[service] = bytes_of(keeper, "tls", text)
        except (Denied, Failed, Invalid, NotFound, Unsupported) as error:
            locked[service] = f"{configured.where(f'{service}.secret')}: {error.message}"
    return found, locked


def bytes_of(keeper: Secrets, use: str, text: str) -> bytes:
    """A value as QEMU is given it.

    :raises NotFound: there is none.
    """
    value = keeper.find(use, text).reveal().encode("utf-8", "surrogateescape")
    return _key(value) if use == "ceph" else value


def _key(value: bytes) -> bytes:
    """The bytes of a key of ceph, as QEMU takes them: they may have been kept as the text that ceph prints."""
    try:
        found = b64decode(value.strip(), validate=True)
    except ValueError:
        return value
    whole = len(found) > KEY_HEAD and len(found) == KEY_HEAD + int.from_bytes(found[KEY_HEAD - 2 : KEY_HEAD], "little")
    return found if whole else value


def named(domain: Domain) -> Iterator[Named]:
    """Every secret that disks, devices of the host and emulated TPMs name."""
    for index, tpm in enumerate(domain.tpms):
        if tpm.encryption is not None:
            yield Named(f"/devices/tpm[{index}]/backend/encryption/@secret", None, "vtpm", str(tpm.encryption))
    for place, devices in (("disk", domain.disks), ("hostdev", domain.hostdevs)):
        for index, device in enumerate(devices):
            locked = ""
            for step in walk(device, f"/devices/{place}[{getattr(device, 'target', None) or index}]"):
                if isinstance(step.element, Encryption):
                    locked = step.path
                if isinstance(step.element, SecretRef):
                    use = "volume" if locked and step.path.startswith(f"{locked}/") else "iscsi"
                    ref = step.element
                    text = str(ref.uuid) if ref.uuid is not None else ref.usage or ""
                    yield Named(step.path, step.line, USES.get(ref.type or "", use), text)
