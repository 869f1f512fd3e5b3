"""The video card, VNC and sound."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Graphics, Listen, Sound, Video, meaningless

from anyvirt_esx.vmx.parse import Settings
from anyvirt_esx.vmx.write import Lines

KIB: Final = 1 << 10
VRAM: Final = 4 << 20
VRAM_MOST: Final = 8 << 30
PORT_MOST: Final = 65535
VNC: Final = "RemoteDisplay.vnc"
PREFIX: Final = f"{VNC}."
CARDS: Final = {"sb16": "sb16", "es1371": "es1370", "hdaudio": "ich6"}
MODELS: Final = {model: card for card, model in CARDS.items()}
DISPLAYS_MOST: Final = 10


def read(v: Settings) -> dict[str, Any]:
    """Fields of the domain."""
    vram = v.number("svga.vramSize", 0, VRAM_MOST) or VRAM
    heads = v.number("svga.numDisplays", 1, DISPLAYS_MOST) or 1
    several = {"heads": heads} if heads > 1 else {}
    video = Video(**_words(model="vmvga", vram=-(-vram // KIB) * KIB, primary=True, **several))
    fields: dict[str, Any] = {"videos": (video,)}
    if v.flag(f"{VNC}.enabled"):
        fields["graphics"] = (_vnc(v),)
    else:
        v.skip(PREFIX)
    if v.flag("sound.present"):
        model = v.one_of("sound.virtualDev", CARDS) or "es1370"
        fields["sounds"] = (Sound(**_words(model=model)),)
    v.skip("sound.")
    return fields


def write_graphics(x: Any, w: Lines) -> None:
    """What is shown over the network."""
    for number, screen in enumerate(x.graphics):
        if screen.type != "vnc" or number:
            w.refuse(screen, "type", "there is one way to see the screen, vnc", "keep that alone")
            continue
        w.put(f"{VNC}.enabled", True)
        if screen.port is not None and screen.port > 0 and not screen.autoport:
            w.put(f"{VNC}.port", screen.port)
        listen = screen.listens[0] if screen.listens else None
        if listen is not None and listen.type not in {None, "address"}:
            w.refuse(listen, "type", "VNC listens on addresses alone", "write type='address'")
        address = screen.listen or (listen.address if listen is not None else None)
        if listen is not None:
            meaningless(listen, "address")
        if address:
            w.put(f"{VNC}.ip", address)
        if screen.keymap:
            w.put(f"{VNC}.keymap", screen.keymap)
        if screen.passwd:
            w.put(f"{VNC}.password", screen.passwd)


def write(x: Any, w: Lines) -> None:
    """The video card and sound."""
    for number, video in enumerate(x.videos):
        if number or video.model not in {None, "vmvga"}:
            w.refuse(video, "model", "there is one card, vmvga", "keep that alone")
            continue
        if video.vram is not None:
            w.put("svga.vramSize", video.vram)
        meaningless(video, "primary", "address")
        if video.heads not in {None, 1}:
            w.put("svga.numDisplays", video.heads)
    for number, sound in enumerate(x.sounds):
        if number or sound.model not in MODELS:
            w.refuse(sound, "model", "there is one sound card", f"it is one of {', '.join(MODELS)}")
            continue
        w.put("sound.present", True)
        w.put("sound.virtualDev", MODELS[sound.model])
        w.put("sound.autodetect", True)
        meaningless(sound, "address")


def _vnc(v: Settings) -> Any:
    port = v.number(f"{VNC}.port", -1, PORT_MOST)
    port = None if port is None or port <= 0 else port
    fields: dict[str, Any] = {"type": "vnc", "port": -1 if port is None else port, "autoport": port is None}
    address = v.text(f"{VNC}.ip")
    fields["listens"] = (Listen(**_words(type="address", address=address)),)
    for field, key in (("listen", "ip"), ("keymap", "keymap"), ("passwd", "password")):
        value = v.text(f"{VNC}.{key}")
        if value is not None:
            fields[field] = value
    return Graphics(**fields)


def _words(**fields: Any) -> dict[str, Any]:
    """Fields whose types the model gives them when it is written and read."""
    return fields
