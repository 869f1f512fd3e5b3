"""What nobody may see on a command line: passwords, keys and cookies."""

from __future__ import annotations

from typing import Any

from anyvirt.api import SecretRef, meaningless

from anyvirt_qemu.planning.build import Build


def credential(b: Build, auth: Any, name: str) -> tuple[str | None, str | None]:
    """User name, and the object of QEMU that holds the password; None where none is asked for."""
    if auth is None:
        return None, None
    meaningless(auth, "type")
    return auth.username, secret(b, auth.secret, name) if auth.secret is not None else None


def secret(b: Build, x: SecretRef, name: str) -> str:
    """The object for a secret that the definition names; refused where nobody has given its bytes."""
    meaningless(x, "type")
    key = str(x.uuid) if x.uuid is not None else x.usage or ""
    value = b.storage.secrets.get(key)
    if value is None:
        hint = "define the secret and give it a value, or take this out"
        b.refuse(x, "", hint, text=f"no value is known here for the secret {key!r}")
        return name
    return private(b, name, value)


def private(b: Build, name: str, value: bytes) -> str:
    """An object that holds these bytes; QEMU reads them from a descriptor, no file and no command line has them."""
    b.qom({"qom-type": "secret", "id": name, "format": "base64", "file": b.secret(name, value)})
    return name
