"""Backup jobs."""

from __future__ import annotations

from typing import Literal

from anyvirt.model.element import Element, Many, at
from anyvirt.model.source import Source
from anyvirt.model.types import Count, Hostname, TcpPort, YesNo


class BackupDisk(Element, tag="disk"):
    """A disk in a backup."""

    name: str | None = at("@name", "Target of the disk, such as vda", default=None, key=True)
    backup: YesNo | None = at("@backup", "It takes part", default=None)
    type: Literal["file", "block"] | None = at("@type", "Kind of storage of the backup", default=None)
    backupmode: Literal["full", "incremental"] | None = at("@backupmode", "All, or what changed", default=None)
    incremental: str | None = at("@incremental", "Checkpoint that it starts from", default=None)
    exportname: str | None = at("@exportname", "Name of the export, in pull mode", default=None)
    exportbitmap: str | None = at("@exportbitmap", "Name of the bitmap of changes, in pull mode", default=None)
    state: Literal["running", "complete", "failed", "cancelling", "cancelled"] | None = at(
        "@state", "How far it is, in status only", default=None
    )
    index: Count | None = at("@index", "Number of the image in its chain, in status only", default=None)
    format: str | None = at("driver/@type", "Format of the backup, such as qcow2", default=None)
    target: Source | None = at("target", "Where the backup goes, in push mode", default=None)
    scratch: Source | None = at("scratch", "Where old content is kept while it runs, in pull mode", default=None)


class Backup(Element, tag="domainbackup"):
    """A backup job."""

    mode: Literal["push", "pull"] | None = at("@mode", "Who moves the data", default=None)
    id: Count | None = at("@id", "Number of the job", default=None)
    incremental: str | None = at("incremental", "Checkpoint that it starts from", default=None)
    transport: Literal["tcp", "unix"] | None = at("server/@transport", "How clients of a pull connect", default=None)
    server: Hostname | None = at("server/@name", "Address that the server listens on", default=None)
    port: TcpPort | None = at("server/@port", "Port that the server listens on", default=None)
    socket: str | None = at("server/@socket", "Unix socket that the server listens on", default=None)
    tls: YesNo | None = at("server/@tls", "Clients must use TLS", default=None)
    fdgroup: str | None = at("server/@fdgroup", "Group of passed file descriptors", default=None)
    disks: Many[BackupDisk] = at("disks/disk", "Disks", default=())
    tls_object: str | None = at("privateData/objects/TLSx509/@alias", "QEMU's object for TLS, in status", default=None)
    secret_type: Literal["tlskey"] | None = at(
        "privateData/objects/secret/@type", "What QEMU's secret is for, in status only", default=None
    )
    secret_object: str | None = at("privateData/objects/secret/@alias", "QEMU's secret, in status only", default=None)
