"""Sound cards and what plays them."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.devices.device import Device
from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import Count, YesNo


class SoundCodec(Element, tag="codec"):
    """A codec of an HD audio card."""

    type: Literal["duplex", "micro", "output"] | None = at("@type", "What it does", default=None)


class Sound(Device, tag="sound"):
    """A sound card."""

    model: Literal["sb16", "es1370", "pcspk", "ac97", "ich6", "ich7", "ich9", "usb"] | None = at(
        "@model", "Model", default=None
    )
    multichannel: YesNo | None = at("@multichannel", "More than two channels, usb only", default=None)
    codecs: Many[SoundCodec] = at("codec", "Codecs of an HD audio card", default=())
    audio: Count | None = at("audio/@id", "Audio back end", default=None)


class AudioSettings(Element, tag="settings"):
    """Format of sound."""

    frequency: Count | None = at("@frequency", "Samples a second", default=None)
    channels: Count | None = at("@channels", "Channels", default=None)
    format: Literal["s8", "u8", "s16", "u16", "s32", "u32", "f32"] | None = at("@format", "Format", default=None)


class AudioStream(Element):
    """One direction of an audio back end; which fields count depends on its ``type``."""

    mixing_engine: YesNo | None = at("@mixingEngine", "Mix in the hypervisor", default=None)
    fixed_settings: YesNo | None = at("@fixedSettings", "Use the settings below", default=None)
    voices: Count | None = at("@voices", "Voices", default=None)
    buffer_length: Count | None = at("@bufferLength", "Microseconds of buffer", default=None)
    dev: str | None = at("@dev", "Device", default=None)
    buffer_count: Count | None = at("@bufferCount", "Buffers", default=None)
    try_poll: YesNo | None = at("@tryPoll", "Poll where possible", default=None)
    name: str | None = at("@name", "Sink or source", default=None)
    stream_name: str | None = at("@streamName", "Name of the stream", default=None)
    latency: Count | None = at("@latency", "Microseconds of latency", default=None)
    server_name: str | None = at("@serverName", "JACK server", default=None)
    client_name: str | None = at("@clientName", "JACK client", default=None)
    connect_ports: str | None = at("@connectPorts", "JACK ports, a pattern", default=None)
    exact_name: YesNo | None = at("@exactName", "The client's name is not changed", default=None)
    settings: AudioSettings | None = at("settings", "Format", default=None)


AudioType = Literal[
    "none", "alsa", "coreaudio", "dbus", "jack", "oss", "pulseaudio", "pipewire", "sdl", "spice", "file"
]


class Audio(Element, tag="audio"):
    """What plays and records sound on the host."""

    id: Count | None = at("@id", "Number that sound cards refer to", default=None, key=True)
    type: AudioType | None = at("@type", "Back end", default=None)
    timer_period: Count | None = at("@timerPeriod", "Microseconds between checks", default=None)
    server_name: str | None = at("@serverName", "PulseAudio server", default=None)
    runtime_dir: str | None = at("@runtimeDir", "Directory of PipeWire, since libvirt 9.10", default=None)
    driver: Literal["esd", "alsa", "arts", "pulseaudio"] | None = at("@driver", "SDL driver", default=None)
    path: str | None = at("@path", "File that is written", default=None)
    try_mmap: YesNo | None = at("@tryMMap", "Map OSS devices", default=None)
    exclusive: YesNo | None = at("@exclusive", "Take OSS devices alone", default=None)
    dsp_policy: Count | None = at("@dspPolicy", "OSS timing policy", default=None)
    input: AudioStream | None = at("input", "Recording", default=None)
    output: AudioStream | None = at("output", "Playing", default=None)
