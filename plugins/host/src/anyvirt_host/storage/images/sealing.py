"""How a volume is to be encrypted, read from its description, and how tools get the passphrases: through a pipe."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from anyvirt.api import Problem, Secret, meaningless

if TYPE_CHECKING:
    from anyvirt.api import Encryption

PLACE: Final = "/target/encryption"
# Two lines of input become two pipes, numbers 3 and 0 of the tool; no passphrase is a word or a variable of it.
FEED: Final = (
    'IFS= read -r a; IFS= read -r b; printf %s "$a" | { exec 3<&0; printf %s "$b" | exec sh -c "$0" sh "$@"; }'
)
_PIPES: Final = ("/dev/fd/3", "/dev/stdin")


class Cipher(NamedTuple):
    """An encryption of a new volume.

    :param secret: UUID or usage of the secret that is its passphrase.
    :param options: what ``qemu-img create -f luks`` is told of cipher and hashes.
    """

    secret: str
    options: tuple[tuple[str, str], ...] = ()


def cipher_of(asked: Encryption, kind: str, found: list[Problem]) -> Cipher | None:
    """What a description says of encryption; None, and why, where that cannot be had.

    :param kind: format of the image.
    """
    if kind not in ("luks", "qcow2"):
        meaningless(asked)
        found.append(_problem("", f"a volume of the format {kind!r} is not encrypted", "use raw, luks or qcow2"))
        return None
    if asked.format != "luks":
        text = f"volumes are not encrypted as {asked.format or 'default'!r}"
        found.append(_problem("/@format", text, "use luks", "unsupported.config"))
    if asked.engine not in (None, "qemu"):
        found.append(_problem("/@engine", f"{asked.engine} does not encrypt here", "use qemu", "unsupported.config"))
    secrets = [(one.type, one.uuid or one.usage or "") for one in asked.secrets]
    if len(secrets) != 1 or not secrets[0][1]:
        text = "an encrypted volume needs one secret, by its UUID or its usage"
        hint = "such as <secret type='passphrase' uuid='...'/>"
        found.append(_problem("/secret", text, hint, "config.missing"))
        return None
    if secrets[0][0] not in (None, "passphrase"):
        found.append(_problem("/secret/@type", f"a {secrets[0][0]} secret opens no volume", "use a passphrase"))
    return Cipher(secrets[0][1], tuple(_options(asked, found)))


def _options(asked: Encryption, found: list[Problem]) -> list[tuple[str, str]]:
    options = []
    cipher = asked.cipher
    if cipher is not None:
        if cipher.name and cipher.size:
            options.append(("cipher-alg", f"{cipher.name}-{cipher.size}"))
        else:
            found.append(_problem("/cipher", "a cipher needs name and size", "such as aes and 256", "config.missing"))
        options += [(key, value) for key, value in (("cipher-mode", cipher.mode), ("hash-alg", cipher.hash)) if value]
    made = (("ivgen-alg", asked.ivgen_name), ("ivgen-hash-alg", asked.ivgen_hash))
    return options + [(key, value) for key, value in made if value]


def objects(names: Sequence[str]) -> list[str]:
    """The words that make QEMU's secret objects of the passphrases that are fed; two at most."""
    words = []
    for name, pipe in zip(names, _PIPES, strict=False):
        words += ["--object", f"secret,id={name},format=base64,file={pipe}"]
    return words


def fed(keys: Sequence[Secret]) -> Secret:
    """The passphrases as ``FEED`` reads them."""
    lines = [b64encode(key.reveal().encode("utf-8", "surrogateescape")).decode() for key in keys]
    return Secret("\n".join([*lines, ""]))


def _problem(path: str, text: str, hint: str, code: str = "config.invalid") -> Problem:
    return Problem(code, PLACE + path, None, text, hint)
