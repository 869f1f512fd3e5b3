"""Linux capabilities of a container's processes."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, at
from anyvirt.model.types import State


class ContainerCapabilities(Element, tag="capabilities"):
    """Linux capabilities that a container has beside, or without, those of its policy; see capabilities(7)."""

    policy: Literal["default", "allow", "deny"] | None = at(
        "@policy", "What holds for those that are not named", default=None
    )
    audit_control: State | None = at("audit_control", "Configure auditing", default=None)
    audit_write: State | None = at("audit_write", "Write to the audit log", default=None)
    block_suspend: State | None = at("block_suspend", "Keep the host awake", default=None)
    chown: State | None = at("chown", "Change owners of files", default=None)
    dac_override: State | None = at("dac_override", "Read and write files whatever their permissions", default=None)
    dac_read_search: State | None = at(
        "dac_read_search", "Read files and directories whatever their permissions", default=None
    )
    fowner: State | None = at("fowner", "Act on files as if they were one's own", default=None)
    fsetid: State | None = at("fsetid", "Keep set-user-ID and set-group-ID bits", default=None)
    ipc_lock: State | None = at("ipc_lock", "Lock memory", default=None)
    ipc_owner: State | None = at("ipc_owner", "Use System V objects whatever their permissions", default=None)
    kill: State | None = at("kill", "Signal any process", default=None)
    lease: State | None = at("lease", "Take leases on files", default=None)
    linux_immutable: State | None = at("linux_immutable", "Set files immutable", default=None)
    mac_admin: State | None = at("mac_admin", "Change mandatory access control", default=None)
    mac_override: State | None = at("mac_override", "Override mandatory access control", default=None)
    mknod: State | None = at("mknod", "Make device files", default=None)
    net_admin: State | None = at("net_admin", "Configure the network", default=None)
    net_bind_service: State | None = at("net_bind_service", "Listen on ports below 1024", default=None)
    net_broadcast: State | None = at("net_broadcast", "Broadcast and listen to multicasts", default=None)
    net_raw: State | None = at("net_raw", "Use raw sockets", default=None)
    setgid: State | None = at("setgid", "Change group IDs", default=None)
    setfcap: State | None = at("setfcap", "Set capabilities of files", default=None)
    setpcap: State | None = at("setpcap", "Change capabilities of processes", default=None)
    setuid: State | None = at("setuid", "Change user IDs", default=None)
    sys_admin: State | None = at("sys_admin", "Mount and administer the system", default=None)
    sys_boot: State | None = at("sys_boot", "Reboot and load a kernel", default=None)
    sys_chroot: State | None = at("sys_chroot", "Change the root directory", default=None)
    sys_module: State | None = at("sys_module", "Load kernel modules", default=None)
    sys_nice: State | None = at("sys_nice", "Raise priorities", default=None)
    sys_pacct: State | None = at("sys_pacct", "Account for processes", default=None)
    sys_ptrace: State | None = at("sys_ptrace", "Trace any process", default=None)
    sys_rawio: State | None = at("sys_rawio", "Do raw I/O", default=None)
    sys_resource: State | None = at("sys_resource", "Exceed resource limits", default=None)
    sys_time: State | None = at("sys_time", "Set the clock", default=None)
    sys_tty_config: State | None = at("sys_tty_config", "Configure terminals", default=None)
    syslog: State | None = at("syslog", "Read the kernel's log", default=None)
    wake_alarm: State | None = at("wake_alarm", "Wake the host by alarm", default=None)
