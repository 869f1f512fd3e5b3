"""How the screen is shown, and what plays the guest's sound."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Audio, Graphics, Listen, Video

from anyvirt_qemu.argv.draft import Draft
from anyvirt_qemu.argv.given import Given, number, words_of

LOWEST: Final = 5900
CARDS: Final = {
    "std": "vga", "cirrus": "cirrus", "vmware": "vmvga", "qxl": "qxl", "virtio": "virtio", "none": "none",
}  # fmt: skip
WINDOWS: Final = {"sdl": "sdl", "egl-headless": "egl-headless", "dbus": "dbus"}
DRIVERS: Final = {
    "none": "none", "alsa": "alsa", "coreaudio": "coreaudio", "jack": "jack", "oss": "oss", "pa": "pulseaudio",
    "sdl": "sdl", "spice": "spice", "wav": "file", "dbus": "dbus",
}  # fmt: skip
SPICE: Final = {
    "image-compression": "image_compression", "jpeg-wan-compression": "jpeg_compression",
    "zlib-glz-wan-compression": "zlib_compression", "streaming-video": "streaming",
}  # fmt: skip
WINDOW: Final = "the screen is shown by VNC in place of a window: a guest here has no desktop of its own"


def audios(d: Draft) -> None:
    """Back ends of sound, before the cards that name them."""
    for given in d.every("audiodev"):
        kind: Any = DRIVERS.get(str(given.options.get("driver", "")))
        if kind is None:
            continue
        text = given.id.removeprefix("audio")
        place = int(text) if text.isdecimal() and int(text) else len(d.many.get("audios", ())) + 1
        left = sorted(set(given.options) - {"id", "driver", "path"})
        if left:
            d.note(f"left out: {', '.join(left)} of -audiodev {given.text} (write it in <audio>)")
        path = given.options.get("path")
        x = Audio(id=place, type=kind, path=None if path is None else str(path))
        given.done = True
        d.buses[given.id] = ("audio", place)
        d.add("audios", x)


def screens(d: Draft) -> None:
    """Servers and windows, and the card behind them."""
    silent = d.fields.pop("nographic", False)
    for given in d.every("vnc"):
        _vnc(d, given)
    for given in d.every("spice"):
        _spice(d, given)
    _displays(d, silent=silent)
    keymap = d.last("k")
    if keymap is not None:
        rows = d.many.get("graphics", [])
        d.many["graphics"] = [x.replace(keymap=keymap.text) if x.type in {"vnc", "spice"} else x for x in rows]
        if not rows:
            d.drop(keymap, "there is no screen")


def cards(d: Draft) -> None:
    """The video card, after those that are devices."""
    _card(d)


def _displays(d: Draft, *, silent: bool) -> None:
    shown = silent or bool(d.many.get("graphics"))
    for given in d.every("display", "sdl", "gtk", "curses"):
        kind = str(given.options.get("type", given.flag))
        if kind == "none":
            given.done, shown = True, True
        elif kind in WINDOWS and given.flag == "display":
            given.take("type")
            given.done = shown = True
            _window(d, given, WINDOWS[kind])
        elif kind == "vnc":
            given.done = shown = True
            d.add("graphics", Graphics(type="vnc", autoport=True))  # type: ignore[arg-type]
        elif kind in {"gtk", "sdl", "default", "curses", "cocoa"}:
            given.done = True
            shown = False
    if not shown:
        d.note(WINDOW)
        d.add("graphics", Graphics(type="vnc", autoport=True))  # type: ignore[arg-type]


def _window(d: Draft, given: Given, kind: Any) -> None:
    node = given.string("rendernode")
    gl = given.options.get("gl")
    x = Graphics(
        type=kind,
        gl=None if gl is None or kind == "egl-headless" else words_of(given.take("gl")) in {"on", "core", "es"},
        gl_rendernode=node,
        fullscreen=given.switch("full-screen") if kind == "sdl" else None,
        p2p=given.switch("p2p") if kind == "dbus" else None,
        address=given.string("addr") if kind == "dbus" else None,
        audio=_audio(d, given),
    )
    _left(d, given)
    d.add("graphics", x)


def _left(d: Draft, given: Given) -> None:
    if given.options:
        left = ", ".join(f"{key}={words_of(value)}" for key, value in given.options.items())
        d.note(f"left out: {left} of -{given.flag} {given.text} (a screen has no word for it)")


def _audio(d: Draft, given: Given) -> int | None:
    found = d.buses.get(str(given.options.get("audiodev", "")))
    if found is None or found[0] != "audio":
        return None
    given.take("audiodev")
    return found[1]


def _vnc(d: Draft, given: Given) -> None:
    place = str(given.take("vnc") or "")
    given.done = True
    x: Graphics
    if place == "none":
        x = Graphics(type="vnc", listens=(Listen(type="none"),))  # type: ignore[arg-type]
    elif place.startswith("unix:"):
        path = place.removeprefix("unix:")
        if path.startswith("/"):
            x = Graphics(type="vnc", listens=(Listen(type="socket", socket=path),))  # type: ignore[arg-type]
        else:
            x = Graphics(type="vnc", listens=(Listen(type="socket"),))  # type: ignore[arg-type]
    else:
        host, _, shown = place.rpartition(":")
        screen = number(shown)
        auto = given.options.get("to") is not None or screen is None
        given.take("to")
        listen = Listen(type="address", address=host.strip("[]") or None)
        port = -1 if auto or screen is None else LOWEST + screen
        x = Graphics(type="vnc", port=port, autoport=auto, listens=(listen,))  # type: ignore[arg-type]
        if not host:
            d.note(f"-vnc {given.text}: the server listens at 127.0.0.1 alone, where QEMU's does at every address")
    web = given.take("websocket")
    if web is not None:
        x = x.replace(websocket=number(web) if number(web) is not None else -1)
    policy = given.string("share")
    x = x.replace(share_policy=policy, power_control=given.switch("power-control"), audio=_audio(d, given))
    if given.switch("password") or given.take("password-secret") is not None:
        d.note("the password of the VNC server is not in a command line: set it in <graphics passwd=...>")
    _left(d, given)
    d.add("graphics", x)


def _spice(d: Draft, given: Given) -> None:
    given.done = True
    listens: tuple[Listen, ...] = ()
    host = given.string("addr")
    if given.switch("unix"):
        named = host is not None and host.startswith("/")
        listens = (Listen(type="socket", socket=host if named else None),)
    elif host is not None:
        listens = (Listen(type="address", address=host),)
    port = given.number("port")
    if port == 0 and not listens:
        listens, port = (Listen(type="none"),), None
    gl = given.switch("gl")
    x = Graphics(
        type="spice",  # type: ignore[arg-type]
        port=port,
        tls_port=given.number("tls-port"),
        listens=listens,
        gl=gl,
        gl_rendernode=given.string("rendernode"),
        passwd=None,
    )
    changes: dict[str, Any] = {field: given.string(option) for option, field in SPICE.items()}
    changes["playback_compression"] = given.switch("playback-compression")
    if (mouse := given.switch("agent-mouse")) is not None:
        changes["mouse"] = "client" if mouse else "server"
    if given.switch("disable-copy-paste"):
        changes["clipboard"] = False
    if given.switch("disable-agent-file-xfer"):
        changes["filetransfer"] = False
    given.take("seamless-migration")
    free = given.switch("disable-ticketing")
    if given.take("password") is not None or given.take("password-secret") is not None or free is False:
        d.note("the password of the spice server is left out: set it in <graphics passwd=...>")
    _left(d, given)
    d.add("graphics", x.replace(**{key: value for key, value in changes.items() if value is not None}))


def _card(d: Draft) -> None:
    chosen = d.last("vga")
    if chosen is not None:
        kind: Any = CARDS.get(chosen.text)
        if kind is None:
            d.keep(chosen)
        elif kind != "none":
            d.many.setdefault("videos", []).insert(0, Video(model=kind, primary=True))
        elif not d.many.get("videos"):
            d.add("videos", Video(model="none"))  # type: ignore[arg-type]
    elif not d.fields.get("nodefaults") and not d.many.get("videos") and d.arch in {"x86_64", "i686"}:
        d.add("videos", Video(model="vga"))  # type: ignore[arg-type]
    if not d.many.get("videos") and d.many.get("graphics"):
        d.add("videos", Video(model="none"))  # type: ignore[arg-type]
