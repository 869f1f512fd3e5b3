"""Security labels: what they ask of a plan, and which files of the host the user needs that QEMU becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from anyvirt.api import (
    CharSource,
    Disk,
    Domain,
    DomainLabel,
    SecurityLabel,
    SevLaunch,
    Source,
    meaningless,
    path_of,
    plain,
)

from anyvirt_qemu.planning import apparmor
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import Account, DiskUse, FileUse, ProfileUse

CHARS: Final = ("serials", "parallels", "consoles", "channels", "smartcards", "redirdevs", "rngs")
VARIABLES: Final = '"node-name":"pflash1-proto"'
OPENED: Final = ("dev", "file", "pipe")
# devices that reach the guest through VFIO, and the link there to the group that the IOMMU tells from others
PASSED: Final = {"pci": "/sys/bus/pci/devices", "mdev": "/sys/bus/mdev/devices"}
GROUP: Final = "iommu_group"
CREDENTIALS: Final = '"qom-type":"tls-creds-x509"'
ENDS: Final = (".in", ".out")
CONNECTS: Final = {None, "connect", "client"}


def labels(b: Build, x: Domain, account: Account | None) -> None:
    """What the definition's labels say; those of models that only the host knows are looked at before a start."""
    relabel = True
    for label in x.seclabels:
        meaningless(label, "model", "type", "imagelabel")
        if label.model in {"selinux", "apparmor"}:
            meaningless(label)
            if label.type == "static" and not label.label:
                b.problem(label, "label", "a static label is missing", "write it, or type='dynamic'")
        elif label.type == "static":
            if not label.label:
                b.problem(label, "label", "a static label is missing", "write <label>user:group</label>")
            relabel = bool(label.relabel)
        elif label.type == "none":
            relabel = False
            meaningless(label)
        else:
            meaningless(label, "label", "baselabel")
            relabel = label.relabel is not False
    for source, one in labelled(x) if any(labelled(plain(x))) else ():
        meaningless(one)
        meaningless(source, "seclabels")
        if one.model == "dac" and (one.relabel or one.label) and not relabel:
            text = "a device is labelled, and the guest's own label has relabel='no'"
            b.problem(one, "relabel", text, "write relabel='yes' in <seclabel model='dac'>")
        elif one.model == "dac" and one.label and account is None:
            hint = "give the guest a user with <seclabel model='dac'>, in qemu:///system"
            b.refuse(one, "label", hint, text="QEMU stays whoever starts it, who gives no file to others")
        elif one.model == "dac" and one.label and account is not None and account.labels.get(one.label) is None:
            text = f"{one.label!r} names no user and group of this host"
            b.problem(one, "label", text, "write user:group, or numbers: +1000:+1000")


def labelled(x: Domain) -> Iterator[tuple[Any, SecurityLabel]]:
    """Every label of a device, with the source that it is in."""
    sources: list[Any] = [source for disk in x.disks for source in _sources(disk)]
    for field in CHARS:
        sources += [source for device in getattr(x, field) for source in device.sources]
    if x.os is not None and x.os.nvram_source is not None:
        sources.append(x.os.nvram_source)
    for source in sources:
        for label in source.seclabels:
            yield source, label


def profile(x: Domain, *, always: bool = False) -> ProfileUse | None:
    """The AppArmor profile that the guest is to run in.

    :param always: also where no label asks for one.
    """
    label = next((one for one in x.seclabels if one.model == "apparmor"), None)
    if label is None:
        out = any(one.type == "none" and one.model in {None, "none"} for one in x.seclabels)
        return ProfileUse(apparmor.named(str(x.uuid))) if always and not out else None
    if label.type == "static":
        return ProfileUse(label.label or "", made=False)
    return ProfileUse(apparmor.named(str(x.uuid))) if label.type != "none" else None


def shown(x: Domain, account: Account | None, confined: ProfileUse | None = None) -> Domain:
    """The live definition with the labels that QEMU has."""
    if confined is not None and confined.made:
        rest = tuple(label for label in x.seclabels if label.model != "apparmor")
        own = next((label for label in x.seclabels if label not in rest), DomainLabel(type="dynamic", relabel=True))
        own = own.replace(model="apparmor", label=confined.name, imagelabel=confined.name)
        x = x.replace(seclabels=(*rest, own))
    if account is None:
        return x
    text = f"+{account.uid}:+{account.gid}"
    others = tuple(label for label in x.seclabels if label.model in {"selinux", "apparmor"})
    own = next((label for label in x.seclabels if label not in others), DomainLabel(type="dynamic", relabel=True))
    if own.type == "none":
        return x
    given = text if account.gives and own.relabel is not False else None
    return x.replace(seclabels=(*others, own.replace(model="dac", label=text, imagelabel=given)))


class Needs:
    """The files that QEMU opens itself, as the definition names them."""

    def __init__(self, b: Build, x: Domain, account: Account | None) -> None:
        self._b, self._x, self._account = b, plain(x), account
        self._found: dict[str, FileUse] = {}
        label = next((one for one in self._x.seclabels if one.model not in {"selinux", "apparmor"}), None)
        kept = label is not None and (label.type == "none" or label.relabel is False)
        kept |= label is not None and label.type == "static" and not label.relabel
        self._gives = account is not None and account.gives and not kept

    def files(self) -> tuple[FileUse, ...]:
        """All of them, each path once."""
        self._boot()
        for use in self._b.disks:
            self._disk(use)
        for field in CHARS:
            for device in getattr(self._x, field):
                self._char(device, f"/devices/{field[:-1]}[{device.alias}]")
        self._devices()
        return tuple(self._found.values())

    def _add(self, path: str | None, place: str, source: Source | CharSource | None = None, **how: Any) -> None:
        if not path or not path.startswith("/") or path in self._found:
            return
        self._found[path] = FileUse(path, place, owner=self._owner(source), **how)

    def _keep(self, path: str | None, place: str, **how: Any) -> None:
        """A file that QEMU needs, and that stays as it is."""
        if path and path.startswith("/"):
            self._found.setdefault(path, FileUse(path, place, **how))

    def _owner(self, source: Source | CharSource | None) -> tuple[int, int] | None:
        account = self._account
        if account is None:
            return None
        own = (account.uid, account.gid) if self._gives else None
        for label in source.seclabels if source is not None else ():
            if label.model == "dac":
                own = account.labels.get(label.label, own) if label.label else own
                if label.relabel is False:
                    own = None
        return own

    def _boot(self) -> None:
        boot = self._x.os
        if boot is None:
            return
        for field, path in (("kernel", boot.kernel), ("initrd", boot.initrd), ("dtb", boot.dtb)):
            self._add(path, f"/os/{field}")
        self._add(boot.loader, "/os/loader")
        for table in boot.acpi_tables:
            self._add(table.path, "/os/acpi/table")
        for words in self._b.words:
            if VARIABLES in words:
                self._add(json.loads(words).get("filename"), "/os/nvram", boot.nvram_source, write=True)
        for info in self._x.sysinfos:
            for entry in getattr(info, "entries", ()):
                self._add(getattr(entry, "file", None), "/sysinfo/entry")

    def _disk(self, use: DiskUse) -> None:
        disk = next(one for one in self._x.disks if one.target == use.target)
        sources = list(_sources(disk))
        made = len(use.nodes) > 1 and use.nodes[0].path in {overlay.path for overlay in self._b.overlays}
        place = f"/devices/disk[{use.target}]"
        attribute = "dev" if disk.type == "block" else "file"
        for depth, node in enumerate(use.nodes):
            above = max(0, depth - made)
            source = sources[min(above, len(sources) - 1)] if sources else None
            named = f"{place}/source/@{attribute}" if above == 0 else place + "/backingStore" * above
            self._add(node.path, named, source, write=above == 0 and not disk.readonly)

    def _char(self, device: Any, place: str) -> None:
        kind = getattr(device, "backend_type", None) or getattr(device, "type", None)
        source = device.sources[0] if device.sources else None
        if source is not None and kind == "pipe" and source.path:
            for end in ENDS:
                self._add(f"{source.path}{end}", f"{place}/source/@path", source, write=True, optional=True)
        if source is not None and kind in OPENED:
            how = {"make": kind == "file", "optional": kind == "pipe"}
            self._add(source.path, f"{place}/source/@path", source, write=True, **how)
        if source is not None and kind == "unix" and source.mode in CONNECTS:
            self._add(source.path, f"{place}/source/@path", source, write=True, optional=True)
        self._add(device.log, f"{place}/log/@file", write=True, make=True)

    def _devices(self) -> None:
        x = self._x
        for rng in x.rngs:
            if rng.backend == "random":
                self._add(rng.path, f"/devices/rng[{rng.alias}]/backend")
        for tpm in x.tpms:
            self._add(tpm.source_path, "/devices/tpm/backend/source/@path", write=True, optional=True)
        for card in x.interfaces:
            if card.type == "vhostuser" and card.source is not None and card.source.mode in CONNECTS:
                self._add(card.source.path, f"/devices/interface[{card.mac}]/source/@path", write=True, optional=True)
        for disk in x.disks:
            if disk.type == "vhostuser" and disk.source is not None:
                place = f"/devices/disk[{disk.target}]/source/@path"
                self._add(disk.source.path, place, disk.source, write=True, optional=True)
        for memory in x.shmems:
            self._add(memory.server_path, "/devices/shmem/server/@path", write=True, optional=True)
        for module in x.memory_devices:
            self._add(module.path, "/devices/memory/source/path", write=True)
        for disk in x.disks:
            place = f"/devices/disk[{disk.target}]/source"
            if disk.source is not None and disk.source.reservations is not None:
                self._add(disk.source.reservations.path, f"{place}/reservations", write=True, optional=True)
            if disk.type == "dir" and disk.source is not None:
                self._keep(disk.source.dir, f"{place}/@dir")
        for part in x.inputs:
            self._add(part.evdev or part.dev, "/devices/input/source", write=True)
        self._host()
        self._shared()

    def _shared(self) -> None:
        """What more than this guest uses: it is nobody's to give, and has to be open to the user."""
        for share in self._x.filesystems:
            if share.driver is None or share.driver.type != "virtiofs":
                self._keep(share.source_dir, f"/devices/filesystem[{share.target}]/source/@dir")
        for screen in self._x.graphics:
            self._keep(screen.gl_rendernode, f"/devices/graphics[{screen.type}]/gl/@rendernode", write=True)
        if any(module.model == "sgx-epc" for module in self._x.memory_devices):
            self._keep("/dev/sgx_vepc", "/devices/memory", write=True)
        if isinstance(self._x.launch_security, SevLaunch):
            self._keep("/dev/sev", "/launchSecurity", write=True)
        for words in self._b.words:
            found = json.loads(words) if words.startswith("{") and CREDENTIALS in words else {}
            end = found.get("endpoint")
            for name in ("ca-cert", f"{end}-cert", f"{end}-key") if end else ():
                self._keep(f"{found['dir']}/{name}.pem", "/devices", optional=name != "ca-cert")

    def _host(self) -> None:
        """Devices that are the guest's alone; a group of VFIO has its node once the host's driver has let go."""
        for use in self._b.assigned:
            folder = PASSED.get(use.kind)
            if folder is not None:
                self._add(f"{folder}/{use.address}/{GROUP}", use.place, write=True, optional=True)
            elif use.kind == "usb":
                self._add(f"/dev/bus/usb/{use.address.replace(':', '/')}", use.place, write=True)
            elif use.kind == "scsi":
                self._add(self._b.storage.generics.get(use.address), use.place, write=True)


def _sources(disk: Disk) -> Sequence[Source]:
    """The sources of a disk's images, from the top down, as far as the definition lists them."""
    found = [disk.source] if disk.source is not None else []
    store = disk.backing_store
    while store is not None and store.source is not None:
        found.append(store.source)
        store = store.backing_store
    return found


def host_labels(x: Domain) -> Iterator[tuple[str, str]]:
    """Places of labels whose model only the host knows, with that model."""
    for label in x.seclabels:
        if label.model == "selinux" and label.type != "none":
            yield f"/seclabel[{label.model}]", label.model
    for source, one in labelled(x):
        if one.model not in {"dac", "none", None} and not one.labelskip and one.relabel is not False:
            yield f"{path_of(source)}/seclabel[{one.model}]", str(one.model)
