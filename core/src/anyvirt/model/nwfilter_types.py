"""Scalar types of network filters: where a value may be, a variable may be, too."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from anyvirt.model.types import Codec, Integer, InternetAddress, MacAddress, Pattern

_VARIABLE: Final = re.compile(r"\$\s*([A-Za-z0-9_]+)\s*(?:\[\s*(@?)\s*([0-9]+)\s*\]\s*)?", re.ASCII)
_NUMBER: Final = re.compile(r"\s*(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\s*", re.ASCII)


class Numeral(Integer):
    """A number written in decimal; hexadecimal ``0x..`` is understood."""

    def read(self, raw: str, *beside: str | None) -> int:  # noqa: ARG002
        found = _NUMBER.fullmatch(raw)
        if found is None:
            raise ValueError("is no number")
        return self._bounded(int(found[1], 16 if found[1][:2] in ("0x", "0X") else 10))


class Named(Numeral):
    """A number, or a word that stands for one, in any case."""

    def __init__(self, high: int, *names: str) -> None:
        super().__init__(0, high)
        self._names = {name.lower(): name for name in names}
        self.name = f"integer 0..{high} or {', '.join(names)}"
        self.samples = (*names, str(high))

    def read(self, raw: str, *beside: str | None) -> Any:
        return self._names.get(raw.strip().lower()) or super().read(raw, *beside)

    def write(self, value: Any) -> str:
        return str(self.read(value)) if isinstance(value, str) else super().write(value)


class Mask(Codec):
    """A mask of addresses: a number of bits, or an address."""

    def __init__(self, version: int) -> None:
        self._bits = Integer(0, 32 if version == 4 else 128)
        self._address = InternetAddress(version)
        self.name = f"{self._bits.name} or {self._address.name}"
        self.samples = ("24", "255.255.255.0" if version == 4 else "ffff:ffff::")

    def read(self, raw: str, *beside: str | None) -> Any:  # noqa: ARG002
        try:
            return self._address.read(raw) if "." in raw or ":" in raw else self._bits.read(raw)
        except ValueError:
            raise ValueError(f"is no {self.name}") from None

    def write(self, value: Any) -> str:
        return self._address.read(value) if isinstance(value, str) else self._bits.write(value)


class Truth(Codec):
    """Yes or no in one of the many spellings of filters."""

    name = "true or false"
    samples = ("true", "false")

    def read(self, raw: str, *beside: str | None) -> bool:  # noqa: ARG002
        word = raw.strip().lower()
        if word not in ("1", "0", "true", "false", "yes", "no"):
            raise ValueError("is not true | false")
        return word in ("1", "true", "yes")

    def write(self, value: bool) -> str:
        return "true" if value else "false"


class States(Codec):
    """States of a connection, separated by commas."""

    order: Final = ("NONE", "NEW", "ESTABLISHED", "RELATED", "INVALID")
    name = f"list of {', '.join(order)}"
    samples = ("NEW,ESTABLISHED", "NONE")

    def read(self, raw: str, *beside: str | None) -> frozenset[str]:  # noqa: ARG002
        found = frozenset(word.strip().upper() for word in raw.split(","))
        if not found <= set(self.order):
            raise ValueError(f"is no {self.name}")
        return found

    def write(self, value: frozenset[str]) -> str:
        if not value or not set(value) <= set(self.order):
            raise ValueError(f"must be of {', '.join(self.order)}")
        return ",".join(word for word in self.order if word in value)


class OrVariable(Codec):
    """A value, or a variable ``$NAME``, ``$NAME[2]`` or ``$NAME[@1]`` that stands for one."""

    def __init__(self, value: Codec) -> None:
        self.value = value
        self.name = f"{value.name}, or a variable"
        self.samples = (*(value.samples or (value.write(1),)), "$NAME", "$NAME[@1]")

    def read(self, raw: str, *beside: str | None) -> Any:  # noqa: ARG002
        text = raw.lstrip()
        if not text.startswith("$"):
            return self.value.read(raw)
        found = _VARIABLE.fullmatch(text)
        if found is None:
            raise ValueError("is no variable")
        return f"${found[1]}" + (f"[{found[2]}{found[3]}]" if found[3] else "")

    def write(self, value: Any) -> str:
        if isinstance(value, str) and value.startswith("$"):
            return str(self.read(value))
        return str(self.value.write(value))


class FilterMac(MacAddress):
    """A MAC address, with a sample."""

    samples = ("01:02:03:04:05:06",)


_OPCODES: Final = (
    "Request", "Reply", "Request_Reverse", "Reply_Reverse", "DRARP_Request", "DRARP_Reply", "DRARP_Error",
    "InARP_Request", "ARP_NAK",
)  # fmt: skip
_PROTOCOLS: Final = ("tcp", "udp", "udplite", "esp", "ah", "icmp", "igmp", "sctp", "icmpv6")
_FLAGS: Final = "((ALL|NONE|(SYN|ACK|URG|PSH|FIN|RST)(,(SYN|ACK|URG|PSH|FIN|RST))*)?)"


class EtherType(Named):
    """The protocol inside an Ethernet frame."""

    def __init__(self, *names: str) -> None:
        super().__init__(0xFFFF, *names)
        self.low = 0x600
        self.name = f"integer {self.low}..{self.high} or {', '.join(names)}"


RuleMac = Annotated[str, OrVariable(FilterMac())]
RuleIp = Annotated[str, OrVariable(InternetAddress(4))]
RuleIpv6 = Annotated[str, OrVariable(InternetAddress(6))]
RuleMask = Annotated[int | str, OrVariable(Mask(4))]
RuleMaskv6 = Annotated[int | str, OrVariable(Mask(6))]
RulePort = Annotated[int | str, OrVariable(Numeral(0, 0xFFFF))]
RuleByte = Annotated[int | str, OrVariable(Numeral(0, 0xFF))]
RuleShort = Annotated[int | str, OrVariable(Numeral(0, 0xFFFF))]
RuleLong = Annotated[int | str, OrVariable(Numeral(0, 0xFFFFFFFF))]
RuleDscp = Annotated[int | str, OrVariable(Numeral(0, 63))]
RuleVlan = Annotated[int | str, OrVariable(Numeral(0, 0xFFF))]
RuleOpcode = Annotated[int | str, OrVariable(Named(0xFFFF, *_OPCODES))]
RuleProtocol = Annotated[int | str, OrVariable(Named(0xFF, *_PROTOCOLS))]
RuleEtherType = Annotated[int | str, OrVariable(EtherType("arp", "rarp", "ipv4", "ipv6", "vlan"))]
RuleIpSet = Annotated[str, OrVariable(Pattern("name of an ipset", "[A-Za-z0-9_.:+ -]{1,31}", "blocked"))]
RuleBoolean = Annotated[bool, Truth()]
TcpFlags = Annotated[str, Pattern("MASK/FLAGS", f"{_FLAGS}/{_FLAGS}", "SYN,ACK/SYN", "ALL/NONE")]
IpSetFlags = Annotated[str, Pattern("list of src and dst", "(?i:src|dst)(,(?i:src|dst)){0,5}", "src,dst")]
ChainName = Annotated[str, Pattern("name of a chain", "[A-Za-z0-9_.:-]+", "root", "ipv4-web")]
ConnectionStates = Annotated[frozenset[str], States()]
RulePriority = Annotated[int, Integer(-1000, 1000)]
