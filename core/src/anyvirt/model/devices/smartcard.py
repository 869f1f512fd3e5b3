"""Smart cards."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.char import CharDevice, SerialTarget
from anyvirt.model.element import Many, at


class Smartcard(CharDevice, tag="smartcard"):
    """A smart card: the host's, one made of certificates, or one at the end of a character device."""

    mode: Literal["host", "host-certificates", "passthrough"] | None = at("@mode", "What card it is", default=None)
    certificates: Many[str] = at("certificate", "Names of three certificates of the database", default=())
    database: str | None = at("database", "Directory of the certificates", default=None)
    target: SerialTarget | None = at("target", "Guest side, which no driver reads", default=None)
