"""Everything that a user or the author of a driver imports; written by tools/gen_api.py: do not edit.

A name is imported from its own module when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from anyvirt import deadline
    from anyvirt.auth import Auth, Question, Secret
    from anyvirt.client._generated_async import (
        AsyncConnection,
        AsyncDomain,
        AsyncInterface,
        AsyncNetwork,
        AsyncPool,
        AsyncVolume,
    )
    from anyvirt.client._generated_sync import Connection
    from anyvirt.client.derived import Overview
    from anyvirt.deadline import Deadline, breaks, current, left, within
    from anyvirt.discovery import plugins
    from anyvirt.document import Document
    from anyvirt.errors import (
        CODES,
        Ambiguous,
        AuthNeeded,
        BadDriver,
        Busy,
        Cancelled,
        Denied,
        Exists,
        Failed,
        Interrupted,
        Invalid,
        NotFound,
        Problem,
        StoreNewer,
        Unreachable,
        Unsupported,
        VirtError,
        WrongState,
    )
    from anyvirt.events import (
        AgentLifecycle,
        Autostart,
        BalloonChange,
        Change,
        DeviceRemoved,
        Event,
        Gap,
        IoError,
        JobChange,
        Lifecycle,
        Reboot,
        RtcChange,
        TrayChange,
        Watchdog,
        from_row,
        stamped,
    )
    from anyvirt.feed import Feed
    from anyvirt.hooks.spec import impl
    from anyvirt.host import Host
    from anyvirt.identity import ProcessId
    from anyvirt.jobs import Job, JobState, MemoryBook, Undo, phase
    from anyvirt.lanes import fan_out, lanes
    from anyvirt.model.canonical import fingerprint
    from anyvirt.model.capabilities import Capabilities
    from anyvirt.model.check import check
    from anyvirt.model.diff import diff
    from anyvirt.model.domain import Domain
    from anyvirt.model.element import Element
    from anyvirt.model.snapshot import Snapshot
    from anyvirt.model.state import Op, Reason, State, Status, require
    from anyvirt.model.stats import GROUPS, Balloon, Block, BlockInfo, Cpu, DomainStats, Net, Vcpu
    from anyvirt.model.storage import Pool, Volume
    from anyvirt.model.strict import unknown
    from anyvirt.model.values import (
        DomainFacts,
        Fact,
        HostInfo,
        Imported,
        JobRecord,
        NetworkInfo,
        PoolInfo,
        ShutdownMode,
        VolumeInfo,
        Which,
    )
    from anyvirt.model.write import dump
    from anyvirt.model.xml import parse
    from anyvirt.opening import default_uri, open, open_async
    from anyvirt.progress import Progress
    from anyvirt.ref import Answer, Ref
    from anyvirt.scope import Scope
    from anyvirt.settings import Settings
    from anyvirt.store import Store, StoreBook
    from anyvirt.store.memory import MemoryLocks, MemoryStore
    from anyvirt.store.rows import Entry, LogGap, Row
    from anyvirt.transport import unix
    from anyvirt.transport.files import Files
    from anyvirt.transport.run import Output, Run
    from anyvirt.transport.stream import Stream
    from anyvirt.transport.unix import LineSocket
    from anyvirt.uri import Uri

_HOMES: Final = {
    "AgentLifecycle": "anyvirt.events",
    "Ambiguous": "anyvirt.errors",
    "Answer": "anyvirt.ref",
    "AsyncConnection": "anyvirt.client._generated_async",
    "AsyncDomain": "anyvirt.client._generated_async",
    "AsyncInterface": "anyvirt.client._generated_async",
    "AsyncNetwork": "anyvirt.client._generated_async",
    "AsyncPool": "anyvirt.client._generated_async",
    "AsyncVolume": "anyvirt.client._generated_async",
    "Auth": "anyvirt.auth",
    "AuthNeeded": "anyvirt.errors",
    "Autostart": "anyvirt.events",
    "BadDriver": "anyvirt.errors",
    "Balloon": "anyvirt.model.stats",
    "BalloonChange": "anyvirt.events",
    "Block": "anyvirt.model.stats",
    "BlockInfo": "anyvirt.model.stats",
    "Busy": "anyvirt.errors",
    "CODES": "anyvirt.errors",
    "Cancelled": "anyvirt.errors",
    "Capabilities": "anyvirt.model.capabilities",
    "Change": "anyvirt.events",
    "Connection": "anyvirt.client._generated_sync",
    "Cpu": "anyvirt.model.stats",
    "Deadline": "anyvirt.deadline",
    "Denied": "anyvirt.errors",
    "DeviceRemoved": "anyvirt.events",
    "Document": "anyvirt.document",
    "Domain": "anyvirt.model.domain",
    "DomainFacts": "anyvirt.model.values",
    "DomainStats": "anyvirt.model.stats",
    "Element": "anyvirt.model.element",
    "Entry": "anyvirt.store.rows",
    "Event": "anyvirt.events",
    "Exists": "anyvirt.errors",
    "Fact": "anyvirt.model.values",
    "Failed": "anyvirt.errors",
    "Feed": "anyvirt.feed",
    "Files": "anyvirt.transport.files",
    "GROUPS": "anyvirt.model.stats",
    "Gap": "anyvirt.events",
    "Host": "anyvirt.host",
    "HostInfo": "anyvirt.model.values",
    "Imported": "anyvirt.model.values",
    "Interrupted": "anyvirt.errors",
    "Invalid": "anyvirt.errors",
    "IoError": "anyvirt.events",
    "Job": "anyvirt.jobs",
    "JobChange": "anyvirt.events",
    "JobRecord": "anyvirt.model.values",
    "JobState": "anyvirt.jobs",
    "Lifecycle": "anyvirt.events",
    "LineSocket": "anyvirt.transport.unix",
    "LogGap": "anyvirt.store.rows",
    "MemoryBook": "anyvirt.jobs",
    "MemoryLocks": "anyvirt.store.memory",
    "MemoryStore": "anyvirt.store.memory",
    "Net": "anyvirt.model.stats",
    "NetworkInfo": "anyvirt.model.values",
    "NotFound": "anyvirt.errors",
    "Op": "anyvirt.model.state",
    "Output": "anyvirt.transport.run",
    "Overview": "anyvirt.client.derived",
    "Pool": "anyvirt.model.storage",
    "PoolInfo": "anyvirt.model.values",
    "Problem": "anyvirt.errors",
    "ProcessId": "anyvirt.identity",
    "Progress": "anyvirt.progress",
    "Question": "anyvirt.auth",
    "Reason": "anyvirt.model.state",
    "Reboot": "anyvirt.events",
    "Ref": "anyvirt.ref",
    "Row": "anyvirt.store.rows",
    "RtcChange": "anyvirt.events",
    "Run": "anyvirt.transport.run",
    "Scope": "anyvirt.scope",
    "Secret": "anyvirt.auth",
    "Settings": "anyvirt.settings",
    "ShutdownMode": "anyvirt.model.values",
    "Snapshot": "anyvirt.model.snapshot",
    "State": "anyvirt.model.state",
    "Status": "anyvirt.model.state",
    "Store": "anyvirt.store",
    "StoreBook": "anyvirt.store",
    "StoreNewer": "anyvirt.errors",
    "Stream": "anyvirt.transport.stream",
    "TrayChange": "anyvirt.events",
    "Undo": "anyvirt.jobs",
    "Unreachable": "anyvirt.errors",
    "Unsupported": "anyvirt.errors",
    "Uri": "anyvirt.uri",
    "Vcpu": "anyvirt.model.stats",
    "VirtError": "anyvirt.errors",
    "Volume": "anyvirt.model.storage",
    "VolumeInfo": "anyvirt.model.values",
    "Watchdog": "anyvirt.events",
    "Which": "anyvirt.model.values",
    "WrongState": "anyvirt.errors",
    "breaks": "anyvirt.deadline",
    "check": "anyvirt.model.check",
    "current": "anyvirt.deadline",
    "deadline": "anyvirt",
    "default_uri": "anyvirt.opening",
    "diff": "anyvirt.model.diff",
    "dump": "anyvirt.model.write",
    "fan_out": "anyvirt.lanes",
    "fingerprint": "anyvirt.model.canonical",
    "from_row": "anyvirt.events",
    "impl": "anyvirt.hooks.spec",
    "lanes": "anyvirt.lanes",
    "left": "anyvirt.deadline",
    "open": "anyvirt.opening",
    "open_async": "anyvirt.opening",
    "parse": "anyvirt.model.xml",
    "phase": "anyvirt.jobs",
    "plugins": "anyvirt.discovery",
    "require": "anyvirt.model.state",
    "stamped": "anyvirt.events",
    "unix": "anyvirt.transport",
    "unknown": "anyvirt.model.strict",
    "within": "anyvirt.deadline",
}

__all__ = [
    "CODES",
    "GROUPS",
    "AgentLifecycle",
    "Ambiguous",
    "Answer",
    "AsyncConnection",
    "AsyncDomain",
    "AsyncInterface",
    "AsyncNetwork",
    "AsyncPool",
    "AsyncVolume",
    "Auth",
    "AuthNeeded",
    "Autostart",
    "BadDriver",
    "Balloon",
    "BalloonChange",
    "Block",
    "BlockInfo",
    "Busy",
    "Cancelled",
    "Capabilities",
    "Change",
    "Connection",
    "Cpu",
    "Deadline",
    "Denied",
    "DeviceRemoved",
    "Document",
    "Domain",
    "DomainFacts",
    "DomainStats",
    "Element",
    "Entry",
    "Event",
    "Exists",
    "Fact",
    "Failed",
    "Feed",
    "Files",
    "Gap",
    "Host",
    "HostInfo",
    "Imported",
    "Interrupted",
    "Invalid",
    "IoError",
    "Job",
    "JobChange",
    "JobRecord",
    "JobState",
    "Lifecycle",
    "LineSocket",
    "LogGap",
    "MemoryBook",
    "MemoryLocks",
    "MemoryStore",
    "Net",
    "NetworkInfo",
    "NotFound",
    "Op",
    "Output",
    "Overview",
    "Pool",
    "PoolInfo",
    "Problem",
    "ProcessId",
    "Progress",
    "Question",
    "Reason",
    "Reboot",
    "Ref",
    "Row",
    "RtcChange",
    "Run",
    "Scope",
    "Secret",
    "Settings",
    "ShutdownMode",
    "Snapshot",
    "State",
    "Status",
    "Store",
    "StoreBook",
    "StoreNewer",
    "Stream",
    "TrayChange",
    "Undo",
    "Unreachable",
    "Unsupported",
    "Uri",
    "Vcpu",
    "VirtError",
    "Volume",
    "VolumeInfo",
    "Watchdog",
    "Which",
    "WrongState",
    "breaks",
    "check",
    "current",
    "deadline",
    "default_uri",
    "diff",
    "dump",
    "fan_out",
    "fingerprint",
    "from_row",
    "impl",
    "lanes",
    "left",
    "open",
    "open_async",
    "parse",
    "phase",
    "plugins",
    "require",
    "stamped",
    "unix",
    "unknown",
    "within",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'anyvirt.api' has no attribute {name!r}"
        raise AttributeError(msg)
    module = import_module(home)
    found = globals()[name] = getattr(module, name, None) or import_module(f"{home}.{name}")
    return found


def __dir__() -> list[str]:
    return list(__all__)
