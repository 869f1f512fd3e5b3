"""Serial and parallel ports, consoles, channels, and what stands behind them."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import (
    Channel,
    ChannelTarget,
    CharSource,
    Console,
    ConsoleTarget,
    IsaAddress,
    Parallel,
    Redirdev,
    Serial,
    SerialTarget,
    VirtioSerialAddress,
)

from anyvirt_qemu.argv.draft import Draft, made, variant
from anyvirt_qemu.argv.given import Given, number, on, parsed, words_of
from anyvirt_qemu.argv.parts import seat

PORTS: Final = {
    "isa-serial": ("isa-serial", "isa-serial"), "pci-serial": ("pci-serial", "pci-serial"),
    "usb-serial": ("usb-serial", "usb-serial"), "isa-debugcon": ("isa-debug", "isa-debugcon"),
}  # fmt: skip
TTY: Final = "a guest here has no terminal: its console is a pty, which `anyvirt console` shows"
# keys of back ends that say nothing of the guest
SILENT: Final = frozenset({"backend", "id", "mux", "signal", "nodelay", "to", "ipv4", "ipv6", "cols", "rows", "width"})
Found = tuple[str, tuple[CharSource, ...], dict[str, Any]]


def ports(d: Draft) -> None:
    """Everything with a character device behind it."""
    for given in d.every("device"):
        driver = str(given.options.get("driver", ""))
        base, _ = variant(driver)
        if driver in PORTS:
            _serial(d, given, *PORTS[driver])
        elif driver == "isa-parallel":
            _parallel(d, given)
        elif driver in {"virtconsole", "sclpconsole"}:
            _console(d, given, "virtio" if driver == "virtconsole" else "sclp")
        elif driver == "virtserialport":
            _channel(d, given)
        elif base == "usb-redir":
            _redirected(d, given)
    named = d.every("serial")
    for given in named:
        _short(d, given, "serials")
    if d.fields.get("nographic") and not named and not d.fields.get("nodefaults"):
        _usual(d)
    for given in d.every("parallel"):
        _short(d, given, "parallels")
    for given in d.every("virtioconsole"):
        found = _source(d, given.text)
        if found is not None:
            given.done = True
            kind, sources, more = found
            target = ConsoleTarget(type="virtio")
            d.add("consoles", Console(type=kind, sources=sources, target=target, **more))  # type: ignore[arg-type]


def _usual(d: Draft) -> None:
    """The terminal that QEMU gives a guest without a screen."""
    d.note(TTY)
    if d.arch == "s390x":
        d.add("consoles", made(Console, type="pty", target=made(ConsoleTarget, type="sclp", port=0)))
    else:
        d.add("serials", made(Serial, type="pty", target=SerialTarget(port=0)))


def backend(d: Draft, name: object) -> Found | None:
    """Kind and sources of a ``-chardev``, which is heeded then; None where a definition cannot have it."""
    given = d.back("chardev", name)
    if given is None:
        return None
    found = _chardev(d, given)
    if found is not None:
        given.done = True
    return found


def _chardev(d: Draft, given: Given) -> Found | None:
    options = dict(given.options)
    kind = str(options.pop("backend", ""))
    more: dict[str, Any] = {}
    if options.get("logfile") is not None:
        more["log"] = str(options.pop("logfile"))
        append = options.pop("logappend", None)
        if append is not None:
            more["log_append"] = on(append)
    found = _described(d, kind, options)
    if found is None:
        return None
    left = [key for key in options if key not in SILENT]
    if left:
        d.note(f"left out: {', '.join(left)} of -chardev {given.text} (a character device has no word for it)")
    return found[0], found[1], {**more, **found[2]}


def _described(d: Draft, kind: str, o: dict[str, Any]) -> Found | None:
    """The same, with what was heeded taken out of the options."""
    if kind == "stdio":
        d.note(TTY)
        return "pty", (), {}
    if kind in {"pty", "null", "vc"}:
        return kind, (), {}
    if kind in {"file", "pipe", "serial", "tty", "parallel", "parport"}:
        word = {"file": "file", "pipe": "pipe"}.get(kind, "dev")
        append = o.pop("append", None)
        source = CharSource(path=str(o.pop("path", "")), append=None if append is None else on(append))
        return word, (source,), {}
    if kind == "socket":
        return _socket(o)
    if kind == "udp":
        far = CharSource(mode="connect", host=o.pop("host", None), service=_text(o.pop("port", None)))
        near = CharSource(mode="bind", host=o.pop("localaddr", None), service=_text(o.pop("localport", None)))
        return "udp", (far, *([near] if near.host or near.service else [])), {}
    if kind in {"spicevmc", "spiceport", "qemu-vdagent", "dbus"}:
        name = o.pop("name", None)
        source = CharSource(
            channel=None if kind in {"spicevmc", "qemu-vdagent"} or name is None else str(name),
            clipboard=_onoff(o.pop("clipboard", None)),
            mouse=None if (mouse := _onoff(o.pop("mouse", None))) is None else "client" if mouse else "server",
        )
        return kind, () if source == CharSource() else (source,), {}
    return None


def _socket(o: dict[str, Any]) -> Found | None:
    if o.get("fd") is not None:
        return None
    server = _onoff(o.pop("server", None)) is True
    for key in ("wait", "nowait"):
        o.pop(key, None)
    again = number(o.pop("reconnect", None)) or (number(o.pop("reconnect-ms", None)) or 0) // 1000
    path = o.pop("path", None)
    link: dict[str, Any] = {"reconnect": True, "reconnect_timeout": again} if again else {}
    mode: Any = "bind" if server else "connect"
    if path is not None:
        return "unix", (CharSource(path=str(path), mode=mode, **link),), {}
    telnet = _onoff(o.pop("telnet", None)) is True
    source = CharSource(mode=mode, host=o.pop("host", None), service=_text(o.pop("port", None)), **link)
    return "tcp", (source,), {"protocol": "telnet" if telnet else "raw"}


def _onoff(value: Any) -> bool | None:
    return None if value is None else on(value) or words_of(value) in {"yes", "true"}


def _text(value: Any) -> str | None:
    return None if value is None else words_of(value)


def _source(d: Draft, text: str) -> Found | None:
    """What the short form of ``-serial`` and its like is behind."""
    text = text.removeprefix("mon:")
    head, _, rest = text.partition(":")
    if head == "chardev":
        return backend(d, rest)
    if head in {"stdio", "pty", "null", "vc", "msmouse"} and head != "msmouse":
        return _described(d, head, {})
    if head in {"file", "pipe"}:
        return _described(d, head, {"path": rest})
    if text.startswith("/dev/"):
        return _described(d, "serial", {"path": text})
    if head in {"tcp", "telnet", "unix"}:
        options = parsed(rest, "place")[0]
        place = str(options.pop("place", ""))
        if head == "unix":
            options["path"] = place
        else:
            options["host"], _, options["port"] = place.rpartition(":")
            options["host"] = options["host"] or None
        return _described(d, "socket", {**options, **({"telnet": "on"} if head == "telnet" else {})})
    if head == "udp":
        far, _, near = rest.partition("@")
        options = {}
        for place, host, port in ((far, "host", "port"), (near, "localaddr", "localport")):
            if place:
                name, _, service = place.rpartition(":")
                options |= {host: name or None, port: service}
        return _described(d, "udp", options)
    return None


def _short(d: Draft, given: Given, field: str) -> None:
    if given.text == "none":
        given.done = True
        return
    found = _source(d, given.text)
    if found is None:
        return
    given.done = True
    kind, sources, more = found
    port = len(d.many.get(field, ()))
    cls: Any = Serial if field == "serials" else Parallel
    if given.text.startswith("mon:"):
        d.note("the monitor on the serial port is left out: `anyvirt` has its own")
    d.add(field, cls(type=kind, sources=sources, target=SerialTarget(port=port), **more))


def _serial(d: Draft, given: Given, kind: Any, _model: str) -> None:
    found = backend(d, given.options.get("chardev"))
    if found is None:
        return
    given.take("chardev")
    type_, sources, more = found
    target = SerialTarget(type=kind, port=given.number("index"), model=None)
    address: Any = None
    if kind == "pci-serial":
        address = d.place(given)
    elif kind == "usb-serial":
        address = seat(d, given)
    elif "iobase" in given.options:
        address = IsaAddress(iobase=given.number("iobase"), irq=given.number("irq"))
    d.add("serials", Serial(type=type_, sources=sources, target=target, address=address, **more), given)  # type: ignore[arg-type]


def _parallel(d: Draft, given: Given) -> None:
    found = backend(d, given.options.get("chardev"))
    if found is not None:
        given.take("chardev")
        kind, sources, more = found
        port = given.number("index")
        d.add("parallels", Parallel(type=kind, sources=sources, target=SerialTarget(port=port), **more), given)  # type: ignore[arg-type]


def _virtual(d: Draft, given: Given) -> Any:
    owner = d.buses.get(str(given.options.get("bus", "")).rpartition(".")[0])
    if owner is None or owner[0] != "virtio-serial":
        return None
    given.take("bus")
    return VirtioSerialAddress(controller=owner[1], bus=0, port=given.number("nr"))


def _console(d: Draft, given: Given, kind: Any) -> None:
    found = backend(d, given.options.get("chardev"))
    if found is not None:
        given.take("chardev")
        type_, sources, more = found
        x = Console(type=type_, sources=sources, target=ConsoleTarget(type=kind), **more)  # type: ignore[arg-type]
        d.add("consoles", x.replace(address=_virtual(d, given)), given)


def _channel(d: Draft, given: Given) -> None:
    found = backend(d, given.options.get("chardev"))
    if found is not None:
        given.take("chardev")
        type_, sources, more = found
        target = ChannelTarget(type="virtio", name=given.string("name"))
        x = Channel(type=type_, sources=sources, target=target, **more)  # type: ignore[arg-type]
        d.add("channels", x.replace(address=_virtual(d, given)), given)


def _redirected(d: Draft, given: Given) -> None:
    found = backend(d, given.options.get("chardev"))
    if found is not None:
        given.take("chardev")
        kind, sources, more = found
        x = Redirdev(bus="usb", type=kind, sources=sources, boot=d.boot(given), **more)  # type: ignore[arg-type]
        d.add("redirdevs", x.replace(address=seat(d, given)), given)
