"""Who keeps the values of secrets: a file, the kernel's keyring, or systemd's credentials."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyvirt.api import Denied, Invalid, Secret, Store, Unsupported

from anyvirt_host.secret.keyring import LARGEST, Keys

if TYPE_CHECKING:
    from anyvirt.api import Output, Run, SecretInfo

KEEPERS: Final = ("file", "keyring", "credential")
LONGEST: Final = 65536  # bytes of a value, as libvirt has it
_KEY: Final = "value"
_TOOL: Final = "systemd-creds"


class Files(Store, Protocol):
    """A store of plain files, readable by their owner alone."""

    def sweep(self, kind: str) -> int:
        """Remove what killed writers had written for objects of a kind and never put in place; how many files."""


class Safe:
    """Where each value is stands in one small file for each secret, which is replaced as a whole.

    That file holds the value itself (``file``), what systemd made of it (``credential``), or says that the kernel
    has it. So a change of keeper is there or is not, whenever a process is killed; a key that nothing names any more
    is swept.

    :param state: the scope's folder, which tells its keys from those of another scope of the same user.
    :param keys: the kernel's.
    """

    def __init__(self, store: Files, run: Run, state: str, keys: Keys) -> None:
        self._store, self._run, self._keys = store, run, keys
        self._prefix = f"anyvirt:{sha256(state.encode()).hexdigest()[:16]}:"

    def put(self, uuid: str, value: bytes, keeper: str, *, ephemeral: bool) -> None:
        """Keep a value, in place of the one that is there; the secret's lock is held.

        :raises Invalid: there is no such keeper, or it takes no such value.
        :raises Unsupported: the host has it not.
        """
        self._check(value, keeper, ephemeral=ephemeral)
        if ephemeral or keeper == "keyring":
            self._keys.put(self._prefix + uuid, value)
            self._keep(uuid, keeper="memory" if ephemeral else "keyring")
            return
        if keeper == "credential":
            self._keep(uuid, keeper=keeper, value=self._sealed(uuid, value))
        else:
            self._keep(uuid, keeper=keeper, value=b64encode(value).decode())
        self._forget_key(uuid)

    def get(self, uuid: str) -> bytes | None:
        """The value; None where there is none, or no longer."""
        kept = self._kept(uuid)
        while kept and "value" not in kept:
            value = self._keys.get(self._prefix + uuid)
            before, kept = kept, self._kept(uuid)
            if value is not None or kept == before:  # else another process has just changed the keeper
                return value
        if not kept:
            return None
        if kept["keeper"] == "credential":
            return self._unsealed(uuid, kept["value"])
        return b64decode(kept["value"])

    def info(self, uuid: str) -> SecretInfo:
        """Whether there is a value, and who keeps it."""
        from anyvirt.api import SecretInfo

        kept = self._kept(uuid)
        if not kept or ("value" not in kept and self._keys.get(self._prefix + uuid) is None):
            return SecretInfo(has_value=False)
        return SecretInfo(has_value=True, keeper=kept["keeper"])

    def drop(self, uuid: str) -> None:
        """Remove what the kernel has of a secret that is gone; its file went with it."""
        self._forget_key(uuid)

    def sweep(self) -> int:
        """Remove files that killed processes have half written; how many."""
        return self._store.sweep("secret")

    def keyed(self) -> list[str]:
        """The UUIDs that the kernel has a value for, whether there is such a secret or not."""
        with suppress(Unsupported):  # then it has none
            return [name.removeprefix(self._prefix) for name in self._keys.names(self._prefix)]
        return []

    def settle(self, uuid: str, *, known: bool) -> bool:
        """Remove what the kernel has of a secret that is not kept there; its lock is held.

        :param known: whether there is such a secret.
        """
        kept = self._kept(uuid) if known else None
        return (not kept or "value" in kept) and self._forget_key(uuid)

    def _check(self, value: bytes, keeper: str, *, ephemeral: bool) -> None:
        if keeper not in KEEPERS:
            raise Invalid(f"there is no keeper {keeper!r}", hint=f"one of {', '.join(KEEPERS)}")
        if not value:
            raise Invalid("the value is empty", hint="give at least one byte, or undefine the secret")
        limit = LARGEST if ephemeral or keeper == "keyring" else LONGEST
        if len(value) > limit:
            raise Invalid(f"the value has {len(value)} bytes, and {limit} can be kept", hint="keep a key, not a file")
        if ephemeral and keeper == "credential":
            raise Invalid("an ephemeral secret is kept in memory, and a credential is a file", hint="name no keeper")

    def _keep(self, uuid: str, **said: str) -> None:
        self._store.set_blob("secret", uuid, _KEY, json.dumps(said).encode())

    def _kept(self, uuid: str) -> dict[str, Any] | None:
        found = self._store.blob("secret", uuid, _KEY)
        kept: dict[str, Any] | None = json.loads(found) if found else None
        return kept

    def _forget_key(self, uuid: str) -> bool:
        with suppress(Unsupported):
            return self._keys.drop(self._prefix + uuid)
        return False

    def _sealed(self, uuid: str, value: bytes) -> str:
        given = Secret(value.decode("utf-8", "surrogateescape"))
        return self._creds("encrypt", uuid, given).text

    def _unsealed(self, uuid: str, text: str) -> bytes:
        return self._creds("decrypt", uuid, Secret(text)).out

    def _creds(self, what: str, uuid: str, given: Secret) -> Output:
        """What systemd-creds makes of it; bound to the host's own key, which a TPM is not needed for."""
        key = ("--with-key=host",) if what == "encrypt" else ()
        try:
            out = self._run(_TOOL, f"--name=anyvirt-{uuid}", "--newline=no", *key, what, "-", "-", input=given)
        except Unsupported as error:
            error.hint = "install systemd 250 or later, or keep the value in a file or the keyring"
            raise
        if b"Permission denied" in out.err or b"Access denied" in out.err:
            raise Denied(f"{_TOOL}: the host's key is root's", hint="keep the value in a file or the keyring")
        if b"credential host secret" in out.err:  # it is bound to the machine's id, which not every container has
            hint = "give the host an /etc/machine-id, or keep the value in a file or the keyring"
            raise Unsupported(_TOOL, "credentials on a host without a key of its own", hint=hint)
        return out.ok()
