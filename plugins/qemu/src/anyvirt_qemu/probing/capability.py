"""What a QEMU binary can do, found out in one conversation with it and kept until the binary or the kernel changes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from anyvirt.api import Failed, VirtError

from anyvirt_qemu.probing import cache, talk
from anyvirt_qemu.qmp import journal
from anyvirt_qemu.qmp.command import Command
from anyvirt_qemu.qmp.wire import Event

FORMAT: Final = 6
KIND: Final = "capability"
# commands without arguments whose answers are kept as they are, where there is one
TOLD: Final = (
    "chardev-backends", "gic-capabilities", "sev-capabilities", "sgx-capabilities", "tpm-models", "tpm-types",
)  # fmt: skip
# kinds of machines whose options are asked for, which change with the version of QEMU
KINDS: Final = ("generic-pc", "virt", "spapr", "s390-ccw")
QUERIES: Final = {
    "version": Command("query-version"),
    "target": Command("query-target"),
    "commands": Command("query-commands"),
    "schema": Command("query-qmp-schema"),
    "options": Command("query-command-line-options"),
    "machines": Command("query-machines"),
    "cpus": Command("query-cpu-definitions"),
    "types": Command("qom-list-types", {"abstract": False}),
    "accels": Command("qom-list-types", {"implements": "accel", "abstract": False}),
    "objects": Command("qom-list-types", {"implements": "user-creatable", "abstract": False}),
    "devices": Command("qom-list-types", {"implements": "device", "abstract": False}),
    **{name: Command(f"query-{name}") for name in TOLD},
    "disk": Command("device-list-properties", {"typename": "virtio-blk-pci"}),
    "processors": Command("qom-list-types", {"implements": "cpu", "abstract": False}),
    **{name: Command("qom-list-properties", {"typename": f"{name}-machine"}) for name in KINDS},
}
# QEMU's names of architectures where libvirt's are others
ARCHES: Final = {"i386": "i686", "arm": "armv7l", "or1k": "openrisc"}
# ways to an image, and formats, that a build of QEMU may lack
BLOCK_DRIVERS: Final = (
    "bochs", "cloop", "dmg", "ftp", "ftps", "gluster", "http", "https", "iscsi", "nbd", "nfs", "nvme", "parallels",
    "qcow", "qcow2", "qed", "rbd", "ssh", "tftp", "vdi", "virtio-blk-vhost-vdpa", "vmdk", "vpc",
)  # fmt: skip
# what a driver may ask for -> where QEMU's schema has it
FEATURES: Final = {
    "json.device": "device_add/$json-cli",
    "json.object": "object-add/arg/+iothread",
    "json.netdev": "netdev_add/arg/+stream",
    "json.blockdev": "blockdev-add/arg/+qcow2",
    "aio.io_uring": "blockdev-add/arg/+file/aio/^io_uring",
    "qcow2.discard-no-unref": "blockdev-add/arg/+qcow2/discard-no-unref",
    "chardev.reconnect-ms": "chardev-add/arg/backend/+socket/data/reconnect-ms",
    "display.dbus": "query-display-options/ret/+dbus",
    "display.egl-headless": "query-display-options/ret/+egl-headless",
    "display.sdl": "query-display-options/ret/+sdl",
    "spice": "query-spice",
    "netdev.stream": "netdev_add/arg/+stream",
    "netdev.vhost-vdpa": "netdev_add/arg/+vhost-vdpa",
    "screendump.format": "screendump/arg/format",
    "blockdev.backing-json": "blockdev-snapshot/$allow-write-only-overlay",
    "memory.discard-data": "object-add/arg/+memory-backend-file/discard-data",
    "memory.pmem": "object-add/arg/+memory-backend-file/pmem",
    "memory.prealloc-context": "object-add/arg/+memory-backend-ram/prealloc-context",
    "memory.prealloc-threads": "object-add/arg/+memory-backend-ram/prealloc-threads",
    "memory.ramblock-id": "object-add/arg/+memory-backend-file/x-use-canonical-path-for-ramblock-id",
    "memory.readonly": "object-add/arg/+memory-backend-file/readonly",
    "memory.reserve": "object-add/arg/+memory-backend-ram/reserve",
    "memory.hugetlb": "object-add/arg/+memory-backend-memfd/hugetlb",
    "blockdev.nbd.tls-hostname": "blockdev-add/arg/+nbd/tls-hostname",
    "blockdev.rbd.encrypt": "blockdev-add/arg/+rbd/encrypt",
    "blockdev.rbd.luks-any": "blockdev-add/arg/+rbd/encrypt/+luks-any",
    "iothread.pool": "object-add/arg/+iothread/thread-pool-max",
} | {f"blockdev.{driver}": f"blockdev-add/arg/+{driver}" for driver in BLOCK_DRIVERS}
# properties of virtio-blk that it has under the same name
PROPERTIES: Final = ("iothread-vq-mapping",)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type; ``alias`` is its unversioned name where it has one.

    :param ram: id of its memory, where it takes a memory back end.
    :param sizes: it takes NUMA cells by size alone, as guests from before back ends have them.
    """

    name: str
    alias: str | None
    cpu: str | None
    max_cpus: int
    default: bool
    deprecated: bool
    hotplug: bool
    ram: str | None
    sizes: bool


@dataclass(frozen=True, slots=True)
class CpuModel:
    """A CPU model.

    :param missing: features that this host or accelerator cannot give it; None where QEMU does not tell.
    """

    name: str
    alias_of: str | None
    deprecated: bool
    missing: tuple[str, ...] | None

    @property
    def usable(self) -> bool | None:
        """Whether a guest gets all of it here; None where that is not known."""
        return None if self.missing is None else not self.missing


class Capability:
    """The digest of one binary under one accelerator."""

    def __init__(self, digest: Mapping[str, Any]) -> None:
        self.digest = digest
        self.binary: str = digest["binary"]
        self.version: tuple[int, int, int] = tuple(digest["version"])
        self.package: str = digest["package"]
        self.arch: str = ARCHES.get(digest["arch"], digest["arch"])
        self.accel: str = digest["accel"]
        self.accels: tuple[str, ...] = tuple(digest["accels"])
        self.journal: bool = digest["journal"]

    @cached_property
    def machines(self) -> dict[str, Machine]:
        """Machine types by name and by alias."""
        found = [Machine(*row) for row in self.digest["machines"]]
        return {machine.name: machine for machine in found} | {one.alias: one for one in found if one.alias}

    @cached_property
    def cpus(self) -> dict[str, CpuModel]:
        """CPU models by name."""
        rows = self.digest["cpus"]
        return {row[0]: CpuModel(row[0], row[1], row[2], None if row[3] is None else tuple(row[3])) for row in rows}

    @cached_property
    def devices(self) -> frozenset[str]:
        """Names for ``-device``, and devices that only QEMU itself makes."""
        return frozenset(self.digest["devices"])

    @cached_property
    def objects(self) -> frozenset[str]:
        """Names for ``-object``."""
        return frozenset(self.digest["objects"])

    @cached_property
    def commands(self) -> frozenset[str]:
        """Names of QMP commands."""
        return frozenset(self.digest["commands"])

    @cached_property
    def features(self) -> frozenset[str]:
        """Which of ``FEATURES`` it has; ``json.device`` says that ``-device`` takes JSON, and so on."""
        return frozenset(self.digest["features"])

    def told(self, query: str) -> Any:
        """The answer to one of ``TOLD``; nothing where QEMU has no such command, or nothing to tell here."""
        return self.digest["told"].get(query, ())

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        """Whether the command line knows ``-option``, or that parameter of it."""
        found = self.digest["options"].get(option)
        return found is not None and (parameter is None or parameter in found)


_known: dict[tuple[Any, ...], Capability] = {}


def probe(binary: str, folder: Path, *, accel: str = "tcg") -> Capability:
    """What ``binary`` can do under ``accel``; asked once, then from memory or from a file in ``folder``.

    :raises NotFound: there is no such program.
    :raises Failed: it is no QEMU, or does not start.
    """
    key = [*cache.identity(binary), FORMAT, accel]
    name = tuple(key)
    if name not in _known:
        kind = f"{KIND}-{accel}"
        digest = cache.load(folder, kind, key)
        if digest is None:
            digest = _ask(binary, folder, accel)
            cache.keep(folder, kind, key, digest)
        try:
            _known[name] = Capability(digest)
        except (KeyError, TypeError):  # a file that somebody else has written
            _known[name] = Capability(_ask(binary, folder, accel))
    return _known[name]


def _ask(binary: str, folder: Path, accel: str) -> dict[str, Any]:
    with cache.workspace(folder) as run:
        journal.prepare(run.q)
        answers = talk.held(run, binary, accel, list(QUERIES.values()), *journal.options(run.guest_path))
        said = dict(zip(QUERIES, answers, strict=False))
        try:
            return _digest(binary, accel, said) | {"journal": _journal_works(run.q)}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Failed(f"{binary} answered what no QEMU answers", native={"error": repr(error)}) from error


def _journal_works(dirfd: int) -> bool:
    """Whether the event of the end that was just asked for is in the journal."""
    fd = journal.open_out(dirfd)
    try:
        found = [entry.what for entry in journal.read(fd, ended=True)]
    finally:
        os.close(fd)
    return any(isinstance(what, Event) and what.name == "SHUTDOWN" for what in found)


def _digest(binary: str, accel: str, said: dict[str, Any]) -> dict[str, Any]:
    for needed in ("version", "target", "machines", "types"):
        if isinstance(said[needed], VirtError):
            raise said[needed]
    # not every target has CPU models or a schema of everything: an answer, too
    said = {key: [] if isinstance(value, VirtError) else value for key, value in said.items()}
    numbers = said["version"]["qemu"]
    schema = {entity["name"]: entity for entity in said["schema"]}
    return {
        "binary": binary,
        "version": [int(numbers[part]) for part in ("major", "minor", "micro")],
        "package": str(said["version"].get("package", "")),
        "arch": str(said["target"]["arch"]),
        "accel": accel,
        "accels": sorted(one["name"].removesuffix("-accel") for one in said["accels"] if one["name"] != "accel"),
        "machines": [_machine(row) for row in said["machines"] if row["name"] != "none"],
        "cpus": [_cpu(row) for row in said["cpus"] or _named(said["processors"])],
        "devices": sorted(one["name"] for one in said["devices"]),
        "objects": sorted(one["name"] for one in said["objects"]),
        "commands": sorted(one["name"] for one in said["commands"]),
        "options": {row["option"]: [one["name"] for one in row["parameters"]] for row in said["options"]},
        "features": sorted({*_features(schema, said["disk"]), *_switches(said)}),
        "told": {name: said[name] for name in TOLD if said[name]},
    }


def _features(schema: Mapping[str, Mapping[str, Any]], disk: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (name for name, path in FEATURES.items() if schema_has(schema, path))
    yield from (f"virtio-blk.{one['name']}" for one in disk if one["name"] in PROPERTIES)


def _switches(said: Mapping[str, Any]) -> Iterator[str]:
    """Options of machines: ``machine.acpi``."""
    yield from (f"machine.{one['name']}" for kind in KINDS for one in said[kind])


def _named(types: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """CPU models of a target that tells of none, by their types: ``rv64-riscv-cpu``."""
    return [{"name": one["name"].rpartition("-")[0].rpartition("-")[0]} for one in types]


def _machine(row: Mapping[str, Any]) -> list[Any]:
    cpu = row.get("default-cpu-type")
    return [
        row["name"],
        row.get("alias"),
        cpu.rpartition("-")[0].rpartition("-")[0] if cpu else None,  # the type's name ends in "-ARCH-cpu"
        row["cpu-max"],
        bool(row.get("is-default")),
        bool(row.get("deprecated")),
        bool(row.get("hotpluggable-cpus")),
        row.get("default-ram-id"),
        bool(row.get("numa-mem-supported")),
    ]


def _cpu(row: Mapping[str, Any]) -> list[Any]:
    return [row["name"], row.get("alias-of"), bool(row.get("deprecated")), row.get("unavailable-features")]


def schema_has(schema: Mapping[str, Mapping[str, Any]], path: str) -> bool:
    """Whether QEMU's schema has the thing at ``path``.

    ``COMMAND/arg/...`` goes into a command's arguments, ``ret`` into its answer, ``NAME`` into a member,
    ``+NAME`` into a variant, ``^NAME`` names an enum's value, ``$NAME`` a feature.
    """
    name, *steps = path.split("/")
    entity = schema.get(name)
    for step in steps:
        if entity is None:
            return False
        if step in {"arg", "ret"}:
            entity = schema.get(str(entity.get(f"{step}-type")))
        elif step.startswith("^"):
            return step[1:] in entity.get("values", ())
        elif step.startswith("$"):
            return step[1:] in entity.get("features", ())
        else:
            entity = _inside(schema, entity, step)
    return entity is not None


def _inside(schema: Mapping[str, Mapping[str, Any]], entity: Mapping[str, Any], step: str) -> Mapping[str, Any] | None:
    if step.startswith("+"):
        rows = [row for row in entity.get("variants", ()) if row.get("case") == step[1:]]
    else:
        rows = [row for row in entity.get("members", ()) if row.get("name") == step]
    return schema.get(str(rows[0]["type"])) if rows else None
