"""Where the facts about a path come from: the page, and the part of it, in libvirt's documentation."""

from __future__ import annotations

from typing import Final

_DOMAIN: Final = "formatdomain.html"
_PAGES: Final[dict[str, str]] = {
    "capabilities": "formatcaps.html",
    "cpu": f"{_DOMAIN}#cpu-model-and-topology",
    "device": "formatnode.html",
    "domain": _DOMAIN,
    "domainCapabilities": "formatdomaincaps.html",
    "domainbackup": "formatbackup.html",
    "domaincheckpoint": "formatcheckpoint.html",
    "domainsnapshot": "formatsnapshot.html",
    "domstatus": "status files that libvirt's daemons write",
    "filter": "formatnwfilter.html",
    "filterbinding": "formatnwfilter.html",
    "host interface": "interface.rng",
    "network": "formatnetwork.html",
    "networkport": "formatnetworkport.html",
    "pool": "formatstorage.html",
    "qemuCaps": "cache files that libvirt's QEMU driver writes",
    "secret": "formatsecret.html",
    "source": "formatstorage.html",
    "sources": "formatstorage.html",
    "storagepoolCapabilities": "formatstoragecaps.html",
    "volume": "formatstorage.html#storage-volume-xml",
}
# Parts of the page about domains, by the first elements of a path.
_PARTS: Final[dict[str, str]] = {
    "": "general-metadata",
    "blkiotune": "block-i-o-tuning",
    "clock": "time-keeping",
    "cpu": "cpu-model-and-topology",
    "cputune": "cpu-tuning",
    "defaultiothread": "iothreads-allocation",
    "devices": "devices",
    "devices/audio": "audio-backends",
    "devices/channel": "consoles-serial-parallel-channel-devices",
    "devices/console": "consoles-serial-parallel-channel-devices",
    "devices/controller": "controllers",
    "devices/crypto": "crypto",
    "devices/disk": "hard-drives-floppy-disks-cdroms",
    "devices/filesystem": "filesystems",
    "devices/graphics": "graphical-framebuffers",
    "devices/hostdev": "host-device-assignment",
    "devices/hub": "hub-devices",
    "devices/input": "input-devices",
    "devices/interface": "network-interfaces",
    "devices/iommu": "iommu-devices",
    "devices/lease": "device-leases",
    "devices/memballoon": "memory-balloon-device",
    "devices/memory": "memory-devices",
    "devices/nvram": "nvram-device",
    "devices/panic": "panic-device",
    "devices/parallel": "consoles-serial-parallel-channel-devices",
    "devices/pstore": "pstore",
    "devices/redirdev": "redirected-devices",
    "devices/redirfilter": "redirected-devices",
    "devices/rng": "random-number-generator-device",
    "devices/serial": "consoles-serial-parallel-channel-devices",
    "devices/shmem": "shared-memory-device",
    "devices/smartcard": "smartcard-devices",
    "devices/sound": "sound-devices",
    "devices/tpm": "tpm-device",
    "devices/video": "video-devices",
    "devices/vsock": "vsock",
    "devices/watchdog": "watchdog-devices",
    "features": "hypervisor-features",
    "idmap": "container-boot",
    "iothreadids": "iothreads-allocation",
    "iothreads": "iothreads-allocation",
    "keywrap": "key-wrap",
    "launchSecurity": "launch-security",
    "maxMemory": "memory-allocation",
    "memory": "memory-allocation",
    "memoryBacking": "memory-backing",
    "memtune": "memory-tuning",
    "currentMemory": "memory-allocation",
    "numatune": "numa-node-tuning",
    "on_crash": "events-configuration",
    "on_lockfailure": "events-configuration",
    "on_poweroff": "events-configuration",
    "on_reboot": "events-configuration",
    "os": "operating-system-booting",
    "bootloader": "host-bootloader",
    "bootloader_args": "host-bootloader",
    "perf": "performance-monitoring-events",
    "pm": "power-management",
    "resource": "resource-partitioning",
    "seclabel": "security-label",
    "sysinfo": "smbios-system-information",
    "vcpu": "cpu-allocation",
    "vcpus": "cpu-allocation",
}


def source_of(root: str, path: str) -> str:
    """The page of libvirt's documentation that tells about a path, with the part of it.

    :param root: tag of the document's root element; ``host interface`` for an interface of a host.
    :param path: as ``reference`` gives it.
    """
    words = path.strip("/").split("/")
    if root not in _PAGES:  # a device on its own
        words, root = ["devices", root, *words], "domain"
    if root != "domain":
        return _PAGES[root]
    part = next((part for many in (2, 1) if (part := _PARTS.get("/".join(words[:many])))), _PARTS[""])
    if "address" in words:
        part = "device-addresses"
    return f"{_DOMAIN}#{part}"
