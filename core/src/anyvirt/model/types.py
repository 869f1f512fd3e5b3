"""Scalar types of the models: each an annotated Python type with a codec for its spelling in XML."""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, Any, Final, Literal, get_args, get_origin

_INT: Final = re.compile(r"\s*([+-]?[0-9]+)\s*", re.ASCII)
_HEX32: Final = re.compile(r"[0-9a-f]{32}")
_MAC: Final = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
_HOST: Final = "abcdefghijklmnopqrstuvwxyz0123456789._-:%[]"
_HEX16: Final = re.compile(r"[0-9a-f]{16}")
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4: Final = re.compile(rf"{_BYTE}(\.{_BYTE}){{3}}", re.ASCII)
_CPUS_MAX: Final = 16384
LOWEST: Final = -(2**63)
HIGHEST: Final = 2**64 - 1
_SCALE: Final[dict[str, int]] = {"": 1, "b": 1, "byte": 1, "bytes": 1, "k": 1 << 10}
_SCALE.update({f"{unit}": 1 << (10 * power) for power, unit in enumerate("kmgtpe", 1)})
_SCALE.update({f"{unit}ib": 1 << (10 * power) for power, unit in enumerate("kmgtpe", 1)})
_SCALE.update({f"{unit}b": 1000**power for power, unit in enumerate("kmgtpe", 1)})


class Codec:
    """Spelling of a scalar: ``read`` raises ValueError for what is outside the type.

    ``beside`` names attributes of the same element that belong to the value, such as ``unit``; their
    texts (None when absent) follow the main text. ``exact`` says that one value has one spelling.
    """

    name = "text"
    beside: tuple[str, ...] = ()
    exact = False
    words: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    absent: Any = None

    def read(self, raw: str, *beside: str | None) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> Any:
        """The text, or a tuple of the text and the texts of ``beside``."""
        raise NotImplementedError


class Text(Codec):
    """Any text."""

    exact = True

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        return raw

    def write(self, value: str) -> str:
        if not isinstance(value, str):
            raise ValueError("must be text")  # noqa: TRY004 - what a codec raises
        return value


class Given(Text):
    """Text of a required field: the empty text is no value."""

    absent = ""

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        if not raw:
            raise ValueError("is empty")
        return raw


class Pattern(Text):
    """Text of one shape.

    :param pattern: regular expression that the whole text matches.
    """

    def __init__(self, name: str, pattern: str, *samples: str) -> None:
        self.name, self.pattern, self.samples = name, pattern, samples

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        return self.write(raw)

    def write(self, value: str) -> str:
        if not isinstance(value, str) or re.fullmatch(self.pattern, value, re.ASCII) is None:
            raise ValueError(f"is no {self.name}")
        return value


class Integer(Codec):
    """A decimal number inside bounds."""

    name = "integer"

    def __init__(self, low: int = LOWEST, high: int = HIGHEST) -> None:
        self.low, self.high = low, high
        if (low, high) != (LOWEST, HIGHEST):
            self.name = f"integer {low}..{high}"

    def read(self, raw: str, *beside: str | None) -> int:  # noqa: ARG002
        found = _INT.fullmatch(raw) if len(raw) < 40 else None
        if found is None:
            raise ValueError("is no number")
        return self._bounded(int(found[1]))

    def write(self, value: int) -> str:
        if not isinstance(value, int) or value is True or value is False:
            raise ValueError("must be a number")
        return str(self._bounded(int(value)))

    def _bounded(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"is outside {self.low}..{self.high}")
        return value


class Hexadecimal(Integer):
    """A number written ``0x..`` with a fixed width; decimal and octal are understood.

    :param low: -1 where that number, which is written in decimal, stands for any.
    """

    def __init__(self, width: int, high: int, low: int = 0) -> None:
        super().__init__(low, high)
        self.name = f"hexadecimal {low}..{high:#x}"
        self.width = width

    def read(self, raw: str, *beside: str | None) -> int:  # noqa: ARG002
        text = raw.strip().lower()
        sign = -1 if self.low < 0 and text[:1] == "-" else 1
        text = text[1:] if sign < 0 else text
        if not text.isascii() or not text.isalnum() or len(text) > 40:
            raise ValueError("is no number")
        octal = text.startswith("0") and text.isdigit()
        return self._bounded(sign * int(text, 8 if octal else 0))

    def write(self, value: int) -> str:
        if not isinstance(value, int) or value is True or value is False:
            raise ValueError("must be a number")
        return str(self._bounded(value)) if value < 0 else f"0x{self._bounded(value):0{self.width}x}"


class AnyRadix(Hexadecimal):
    """A number written in decimal; hexadecimal ``0x..`` and octal ``0..`` are understood, too."""

    def __init__(self, high: int) -> None:
        super().__init__(1, high)
        self.name = f"integer 0..{high}"

    def write(self, value: int) -> str:
        return Integer.write(self, value)


class Octal(Integer):
    """A number written in octal, such as the mode of a file."""

    def __init__(self, width: int, high: int) -> None:
        super().__init__(0, high)
        self.name = f"octal 0..{high:o}"
        self.width = width

    def read(self, raw: str, *beside: str | None) -> int:  # noqa: ARG002
        text = raw.strip()
        if not text or len(text) > 24 or text.strip("01234567"):
            raise ValueError("is no octal number")
        return self._bounded(int(text, 8))

    def write(self, value: int) -> str:
        if not isinstance(value, int) or value is True or value is False:
            raise ValueError("must be a number")
        return f"{self._bounded(value):0{self.width}o}"


class IntegerOr(Codec):
    """A decimal number, or one word instead."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.name = f"integer or {word}"

    def read(self, raw: str, *beside: str | None) -> int | str:  # noqa: ARG002
        if raw == self.word:
            return raw
        found = _INT.fullmatch(raw) if len(raw) < 40 else None
        if found is None or not LOWEST <= int(found[1]) <= HIGHEST:
            raise ValueError(f"is no number and not {self.word}")
        return int(found[1])

    def write(self, value: int | str) -> str:
        return str(self.read(str(value)))


class Words(Codec):
    """A few words, each standing for a value."""

    exact = True

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._texts = {value: word for word, value in values.items()}
        self.words = tuple(values)
        self.name = " or ".join(values) if len(values) <= 2 else "word"

    def read(self, raw: str, *beside: str | None) -> Any:  # noqa: ARG002
        try:
            return self._values[raw]
        except KeyError:
            raise ValueError(f"is not {' | '.join(self.words)}") from None

    def write(self, value: Any) -> str:
        try:
            return self._texts[value]
        except (KeyError, TypeError):
            raise ValueError(f"is not {' | '.join(self.words)}") from None


class Presence(Codec):
    """An empty element that is there or is not."""

    name = "present or absent"
    exact = True
    absent = False

    def read(self, raw: str, *beside: str | None) -> bool:  # noqa: ARG002
        if raw and not raw.isspace():
            raise ValueError("takes no text")
        return True

    def write(self, value: bool) -> str:
        if value is not True:
            raise ValueError("must be True or False")
        return ""


class Switch(Codec):
    """An element with an optional ``state``; without it the feature is on."""

    name = "on or off"
    beside = ("state",)
    words = ("on", "off")

    def read(self, raw: str, *beside: str | None) -> bool:
        state = beside[0]
        if raw and not raw.isspace():
            raise ValueError("takes no text")
        if state is None or state in self.words:
            return state != self.words[1]
        raise ValueError(f"is not {' | '.join(self.words)}")

    def write(self, value: bool) -> tuple[str, str]:
        if value is not True and value is not False:
            raise ValueError("must be True or False")
        return "", self.words[0 if value else 1]


class Bytes(Codec):
    """A size with a unit; the value is bytes.

    :param unit: what a size without a unit counts in, and the unit of the canonical form.
    """

    name = "size"
    beside: tuple[str, ...] = ("unit",)

    def __init__(self, unit: str = "KiB", attribute: str = "unit") -> None:
        self.unit, self.scale = unit, _SCALE[unit.lower()]
        self.beside = (attribute,) if attribute else ()

    def read(self, raw: str, *beside: str | None) -> int:
        unit = beside[0] if beside else None
        scale = self.scale if unit is None else _SCALE.get(unit.lower())
        found = _INT.fullmatch(raw) if len(raw) < 40 else None
        if found is None:
            raise ValueError("is no number")
        if scale is None:
            raise ValueError(f"has the unknown unit {unit!r}")
        value = int(found[1]) * scale
        if not 0 <= value <= HIGHEST:
            raise ValueError("is negative or past 64 bits")
        return value

    def write(self, value: int) -> Any:
        if not isinstance(value, int) or value is True or value is False or not 0 <= value <= HIGHEST:
            raise ValueError("must be a number of bytes")
        if not self.beside:
            return str(value // self.scale)
        if value % self.scale:
            return str(value), "bytes"
        return str(value // self.scale), self.unit


class Uuid(Codec):
    """A UUID; dashes and case are free, the value is lower case with dashes."""

    name = "UUID"

    def __init__(self, empty: bool = False) -> None:
        self._empty = empty

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        if self._empty and not raw:
            return ""
        text = raw.strip().replace("-", "").lower()
        if not _HEX32.fullmatch(text):
            raise ValueError("is no UUID")
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def write(self, value: str) -> str:
        return self.read(value)


class MacAddress(Codec):
    """A MAC address; the value is lower case with two digits a byte."""

    name = "MAC address"

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        if not _MAC.fullmatch(raw):
            raise ValueError("is no MAC address")
        return ":".join(part.rjust(2, "0") for part in raw.lower().split(":"))

    def write(self, value: str) -> str:
        return self.read(value)


class InternetAddress(Codec):
    """An IP address; the value is in its shortest form, lower case.

    :param version: 4 or 6; 0 takes both.
    """

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self.name = f"IPv{version} address" if version else "IP address"
        samples = ("192.168.122.1", "2001:db8::1")
        self.samples = samples if not version else samples[version == 6 :][:1]

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        if not isinstance(raw, str):
            raise ValueError("must be text")  # noqa: TRY004 - what a codec raises
        text = raw.strip()
        if self.version != 6 and _V4.fullmatch(text):
            return text
        if self.version != 4 and ":" in text and len(text) < 100:
            return _shortest(text)
        raise ValueError(f"is no {self.name}")

    def write(self, value: str) -> str:
        return self.read(value)


def _shortest(text: str) -> str:
    """An IPv6 address as RFC 5952 writes it, the same on every Python."""
    from ipaddress import IPv6Address

    head, scope, zone = text.partition("%")
    try:
        number = int(IPv6Address(head))
    except ValueError:
        raise ValueError("is no IPv6 address") from None
    if scope and not zone:
        raise ValueError("is no IPv6 address")
    if number >> 32 == 0xFFFF:
        return "::ffff:" + ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0)) + scope + zone
    groups = [f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    for length in range(8, 1, -1):
        for first in range(9 - length):
            if set(groups[first : first + length]) == {"0"}:
                return f"{':'.join(groups[:first])}::{':'.join(groups[first + length :])}{scope}{zone}"
    return ":".join(groups) + scope + zone


class HostName(InternetAddress):
    """An IP address or the name of a machine; the empty text is none of both and kept."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "host name or IP address"
        self.samples = ("server.example.org", *self.samples)

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        if not isinstance(raw, str) or len(raw) > 255 or raw.lower().strip(_HOST):
            raise ValueError(f"is no {self.name}")
        if not raw or not (raw[-1].isdigit() or ":" in raw):
            return raw
        try:
            return super().read(raw)
        except ValueError:
            return raw


class WorldWideName(Codec):
    """Name of a port or node of Fibre Channel: 16 hexadecimal digits; the value is lower case without 0x."""

    name = "world wide name"
    samples = ("20000000c9831b4b",)

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        text = raw.strip().lower().removeprefix("0x")
        if not _HEX16.fullmatch(text):
            raise ValueError("is no world wide name")
        return text

    def write(self, value: str) -> str:
        return self.read(value)


class CpuNumbers(Codec):
    """A set of numbers written ``0-3,^2,5``."""

    name = "CPU set"

    def read(self, raw: str, *beside: str | None) -> frozenset[int]:  # noqa: ARG002
        chosen: set[int] = set()
        for part in raw.split(","):
            text = part.strip()
            minus = text.startswith("^")
            first, dash, last = text.removeprefix("^").partition("-")
            low = _small(first)
            high = _small(last) if dash else low
            if high < low:
                raise ValueError("has a range that runs backwards")
            span = range(low, high + 1)
            chosen.difference_update(span) if minus else chosen.update(span)
        return frozenset(chosen)

    def write(self, value: frozenset[int]) -> str:
        if not value:
            raise ValueError("must name at least one number")
        numbers = sorted(value)
        runs: list[list[int]] = []
        for number in numbers:
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs)


def _small(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) > _CPUS_MAX:
        raise ValueError(f"is no list of numbers up to {_CPUS_MAX}")
    return int(text)


class Opaque(Codec):
    """A whole element kept as XML text."""

    name = "any XML"
    exact = True

    def read(self, raw: str, *beside: str | None) -> str:  # noqa: ARG002
        return raw

    def write(self, value: str) -> str:
        return str(value)


YesNo = Annotated[bool, Words({"yes": True, "no": False})]
OnOff = Annotated[bool, Words({"on": True, "off": False})]
Present = Annotated[bool, Presence()]
State = Annotated[bool, Switch()]
Size = Annotated[int, Bytes("KiB")]
MebiSize = Annotated[int, Bytes("MiB")]
ByteSize = Annotated[int, Bytes("bytes")]
KiB = Annotated[int, Bytes("KiB", "")]
PlainBytes = Annotated[int, Bytes("bytes", "")]
UUID = Annotated[str, Uuid()]
Genid = Annotated[str, Uuid(empty=True)]
Mac = Annotated[str, MacAddress()]
IpAddress = Annotated[str, InternetAddress()]
Ipv4Address = Annotated[str, InternetAddress(4)]
Ipv6Address = Annotated[str, InternetAddress(6)]
IpPrefix = Annotated[int, Integer(0, 128)]
Wwn = Annotated[str, WorldWideName()]
UserId = Annotated[int, Integer(-1, 2**32 - 1)]
CpuSet = Annotated[frozenset[int], CpuNumbers()]
Count = Annotated[int, Integer(0, 2**32 - 1)]
Unsigned = Annotated[int, Integer(0, HIGHEST)]
Seconds = Annotated[int | str, IntegerOr("reset")]
Port = Annotated[int, Integer(-1, 65535)]
TcpPort = Annotated[int, Integer(0, 65535)]
BootOrder = Annotated[int, Integer(1, 2**32 - 1)]
Hex4 = Annotated[int, Hexadecimal(4, 0xFFFF)]
Hex2 = Annotated[int, Hexadecimal(2, 0xFF)]
Hex1 = Annotated[int, Hexadecimal(1, 7)]
Hex32 = Annotated[int, Hexadecimal(8, 0xFFFFFFFF)]
Hex64 = Annotated[int, Hexadecimal(1, HIGHEST)]
Number = Annotated[int, AnyRadix(2**32 - 1)]
LongNumber = Annotated[int, AnyRadix(HIGHEST)]
Mode = Annotated[int, Octal(4, 0o7777)]
TrueFalse = Annotated[bool, Words({"true": True, "false": False})]
Bit = Annotated[bool, Words({"1": True, "0": False})]
Hostname = Annotated[str, HostName()]
Word = Annotated[str, Pattern("word of letters, digits and _+.-", r"[A-Za-z0-9_+.-]+", "word-1", "word_2.3")]

_TEXT: Final = Text()
_GIVEN: Final = Given()
_INTEGER: Final = Integer()
_OPAQUE: Final = Opaque()


def codec_of(hint: Any, *, required: bool = False) -> Codec:
    """The codec of a scalar type hint, with ``None`` already taken off."""
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Codec):
                return extra
    if get_origin(hint) is Literal:
        return Words({word: word for word in get_args(hint)})
    if hint is str:
        return _GIVEN if required else _TEXT
    if hint is int:
        return _INTEGER
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return Words({member.value: member for member in hint})
        if hint.__name__ == "Xml":
            return _OPAQUE
    msg = f"{hint!r} is no type that a field can have"
    raise TypeError(msg)
