"""What plays and records a guest's sound on the host."""

from __future__ import annotations

from typing import Any, Final

from anyvirt.api import Audio, AudioStream, Domain

from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.options import jsonstr

DRIVERS: Final = {"file": "wav", "pulseaudio": "pa"}
# fields of a direction that only some back ends have, and what QEMU calls them
STREAM: Final = {
    "alsa": {"dev": "dev", "try_poll": "try-poll"},
    "coreaudio": {"buffer_count": "buffer-count"},
    "jack": {
        "server_name": "server-name",
        "client_name": "client-name",
        "connect_ports": "connect-ports",
        "exact_name": "exact-name",
    },
    "oss": {"dev": "dev", "buffer_count": "buffer-count", "try_poll": "try-poll"},
    "pulseaudio": {"name": "name", "stream_name": "stream-name", "latency": "latency"},
    "pipewire": {"name": "name", "stream_name": "stream-name", "latency": "latency"},
    "sdl": {"buffer_count": "buffer-count"},
}
OPTIONS: Final = {
    "oss": {"try_mmap": "try-mmap", "exclusive": "exclusive", "dsp_policy": "dsp-policy"},
    "pulseaudio": {"server_name": "server"},
    "file": {"path": "path"},
}


def audio(b: Build, x: Audio) -> None:
    """One back end."""
    kind = x.type or "none"
    found: dict[str, Any] = {"id": ident(x.id), "driver": DRIVERS.get(kind, kind), "timer-period": x.timer_period}
    for field, option in OPTIONS.get(kind, {}).items():
        found[option] = getattr(x, field)
    if kind == "file" and x.path is not None:
        found["path"] = b.path(x, "path", x.path)
    for option, stream in (("in", x.input), ("out", x.output)):
        if stream is not None:
            found[option] = _stream(stream, STREAM.get(kind, {}))
    if kind == "sdl" and x.driver is not None:
        b.env["SDL_AUDIODRIVER"] = x.driver
    if kind == "pipewire" and x.runtime_dir is not None:
        b.env["PIPEWIRE_RUNTIME_DIR"] = b.path(x, "runtime_dir", x.runtime_dir)
    b.option("-audiodev", jsonstr(found))


def _stream(x: AudioStream, own: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mixing-engine": x.mixing_engine,
        "fixed-settings": x.fixed_settings,
        "voices": x.voices,
        "buffer-length": x.buffer_length,
    }
    if x.settings is not None:
        found |= {"frequency": x.settings.frequency, "channels": x.settings.channels, "format": x.settings.format}
    found |= {option: getattr(x, field) for field, option in own.items()}
    return {key: value for key, value in found.items() if value is not None}


def ident(number: int | None) -> str:
    """Id of a back end."""
    return f"audio{number or 0}"


def chosen(b: Build, domain: Domain, x: Any) -> str | None:
    """The back end of a sound card or screen: the one that it names, or the first; None where there is none."""
    numbers = [one.id for one in domain.audios]
    if x.audio is not None and x.audio not in numbers:
        b.problem(x, "audio", f"there is no <audio id='{x.audio}'/>", "add it, or leave this out")
        return None
    return ident(numbers[0] if x.audio is None else x.audio) if numbers else None
