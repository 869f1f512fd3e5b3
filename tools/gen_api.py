"""Write ``anyvirt/api.py``, the one module that users and driver authors import from.

``python tools/gen_api.py`` writes it; ``--check`` fails where it is stale. Every name is
imported when it is first asked for, so that importing one costs no more than it needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

TARGET: Final = Path(__file__).parents[1] / "core/src/anyvirt/api.py"

# module -> names that it gives to the world
NAMES: Final[dict[str, str]] = {
    "anyvirt": "deadline",
    "anyvirt.auth": "Auth Question Secret",
    "anyvirt.client._generated_async": "AsyncConnection AsyncDomain AsyncInterface AsyncNetwork AsyncPool AsyncVolume",
    "anyvirt.client._generated_sync": "Connection",
    "anyvirt.client.derived": "Overview",
    "anyvirt.deadline": "Deadline breaks current left within",
    "anyvirt.discovery": "plugins",
    "anyvirt.document": "Document",
    "anyvirt.errors": (
        "Ambiguous AuthNeeded BadDriver Busy CODES Cancelled Denied Exists Failed Interrupted Invalid NotFound "
        "Problem StoreNewer Unreachable Unsupported VirtError WrongState"
    ),
    "anyvirt.events": (
        "AgentLifecycle Autostart BalloonChange Change DeviceRemoved Event Gap IoError JobChange Lifecycle Reboot "
        "RtcChange TrayChange Watchdog from_row stamped"
    ),
    "anyvirt.feed": "Feed",
    "anyvirt.hooks.spec": "impl",
    "anyvirt.host": "Host",
    "anyvirt.identity": "ProcessId",
    "anyvirt.jobs": "Job JobState MemoryBook Undo phase",
    "anyvirt.lanes": "fan_out lanes",
    "anyvirt.model.address": (
        "CcidAddress CcwAddress DimmAddress DriveAddress IsaAddress MmioAddress PciAddress SpaprAddress "
        "UnassignedAddress UsbAddress VirtioSerialAddress"
    ),
    "anyvirt.model.assign": "Clash Names Numbers PciBus PciSpace Slot UsbPorts",
    "anyvirt.model.canonical": "fingerprint",
    "anyvirt.model.capabilities": (
        "Capabilities CapabilitiesGuest CapabilitiesHost GuestDomain GuestFeature GuestMachine "
        "HostCell HostCellCpu HostCpu"
    ),
    "anyvirt.model.check": "check check_name",
    "anyvirt.model.diff": "diff",
    "anyvirt.model.clock": "Clock ClockOffset Timer TimerName",
    "anyvirt.model.cpu": "CpuFeature CpuMode CpuPolicy CpuSpec Topology",
    "anyvirt.model.devices.char": (
        "Channel ChannelTarget CharDevice CharSource CharType Console ConsoleTarget Parallel Serial SerialTarget"
    ),
    "anyvirt.model.devices.controller": "Controller ControllerDriver ControllerTarget ControllerType",
    "anyvirt.model.devices.device": "Boot Device Rom VirtioOptions",
    "anyvirt.model.devices.disk": "Disk DiskBus DiskCache DiskDevice DiskDriver IoTune",
    "anyvirt.model.devices.graphics": "Graphics GraphicsType Listen",
    "anyvirt.model.devices.input": "Input InputType",
    "anyvirt.model.devices.interface": "Interface InterfaceDriver InterfaceSource InterfaceType Offloads",
    "anyvirt.model.devices.memballoon": "Memballoon",
    "anyvirt.model.devices.panic": "Panic",
    "anyvirt.model.devices.rng": "Rng",
    "anyvirt.model.devices.sound": "Audio Sound",
    "anyvirt.model.devices.tpm": "Tpm TpmType",
    "anyvirt.model.devices.video": "Video VideoType",
    "anyvirt.model.devices.vsock": "Vsock",
    "anyvirt.model.devices.watchdog": "WatchdogAction",
    "anyvirt.model.domain": "Domain DomainType LifecycleAction",
    "anyvirt.model.element": "Element",
    "anyvirt.model.features": "Features HyperV KvmFeatures",
    "anyvirt.model.heed": "heeded line meaningless path_of plain unheeded",
    "anyvirt.model.os": "BootDevice Os OsBoot OsType",
    "anyvirt.model.source": "BackingStore Source SourceType",
    "anyvirt.model.state": "Op Reason State Status require",
    "anyvirt.model.stats": "Balloon Block BlockInfo Cpu DomainStats GROUPS Net Vcpu",
    "anyvirt.model.storage": "Pool Volume",
    "anyvirt.model.snapshot": "Snapshot",
    "anyvirt.model.strict": "unknown",
    "anyvirt.model.write": "dump",
    "anyvirt.model.xml": "parse",
    "anyvirt.model.values": (
        "DomainFacts Fact HostInfo Imported JobRecord NetworkInfo PoolInfo ShutdownMode VolumeInfo Which"
    ),
    "anyvirt.opening": "default_uri open open_async",
    "anyvirt.progress": "Progress",
    "anyvirt.ref": "Answer Ref",
    "anyvirt.scope": "Scope",
    "anyvirt.settings": "Settings",
    "anyvirt.store.memory": "MemoryLocks MemoryStore",
    "anyvirt.store": "Store StoreBook",
    "anyvirt.store.rows": "Entry LogGap Row Told",
    "anyvirt.transport.files": "Files",
    "anyvirt.transport.run": "Output Run",
    "anyvirt.transport.stream": "Stream",
    "anyvirt.transport": "unix",
    "anyvirt.transport.unix": "LineSocket",
    "anyvirt.uri": "Uri",
}

TEMPLATE: Final = '''"""All that a user or the author of a driver imports; written by tools/gen_api.py: do not edit.

A name is imported from its own module when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
{imports}

_HOMES: Final = {{
{homes}
}}

__all__ = [
{names}
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'anyvirt.api' has no attribute {{name!r}}"
        raise AttributeError(msg)
    module = import_module(home)
    found = globals()[name] = getattr(module, name, None) or import_module(f"{{home}}.{{name}}")
    return found


def __dir__() -> list[str]:
    return list(__all__)
'''


def main() -> int:
    """Write or check the module."""
    homes = {name: module for module, names in NAMES.items() for name in names.split()}
    imports = "\n".join(
        f"    from {module} import {', '.join(sorted(names.split()))}" for module, names in NAMES.items()
    )
    text = TEMPLATE.format(
        imports=imports,
        homes="\n".join(f'    "{name}": "{homes[name]}",' for name in sorted(homes)),
        names="\n".join(f'    "{name}",' for name in sorted(homes)),
    )
    for step in (
        ["check", "--fix", "--select", "I,RUF022", "--stdin-filename", str(TARGET), "-"],
        ["format", "--line-length", "120", "-"],
    ):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *step], input=text, capture_output=True, text=True, check=True
        ).stdout
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            print(f"{TARGET} is stale: run python tools/gen_api.py")
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
