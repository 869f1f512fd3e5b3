"""Storage pools, volumes, and the secrets that open them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from anyvirt.errors import Problem
from anyvirt.model.checks.found import conflict, each, missing, outside
from anyvirt.model.checks.names import check_name
from anyvirt.model.element import line_of
from anyvirt.model.secret import KeptSecret
from anyvirt.model.source import Auth, Encryption
from anyvirt.model.storage import Adapter, Pool, PoolSource, PoolType, Volume, VolumeTarget

# Parts of the source that a type of pool cannot do without.
NEEDS: Final[dict[PoolType, tuple[str, ...]]] = {
    PoolType.FS: ("devices",), PoolType.DISK: ("devices",),
    PoolType.NETFS: ("hosts", "dir"), PoolType.ISCSI: ("hosts", "devices"),
    PoolType.ISCSI_DIRECT: ("hosts", "devices", "initiator"), PoolType.SCSI: ("adapter",),
    PoolType.RBD: ("hosts",), PoolType.SHEEPDOG: ("hosts",), PoolType.GLUSTER: ("hosts",),
}  # fmt: skip
PLACED: Final = (
    PoolType.DIR, PoolType.FS, PoolType.NETFS, PoolType.DISK, PoolType.ISCSI, PoolType.SCSI, PoolType.VSTORAGE
)  # fmt: skip
PATHS: Final = {
    "hosts": "host", "devices": "device", "dir": "dir/@path", "adapter": "adapter", "initiator": "initiator/iqn/@name"
}  # fmt: skip
USES: Final = {"volume": "volume", "ceph": "name", "iscsi": "target", "tls": "name", "vtpm": "name"}
CLUSTER_LEAST: Final = 512
CLUSTER_MOST: Final = 2 << 20


def pool(x: Pool) -> Iterator[Problem]:
    """A storage pool."""
    source = x.source or PoolSource()
    if x.name or not source.name:
        yield from check_name(x.name, line_of(x, "name") or line_of(x))
    if x.type is None:
        yield missing("/@type", line_of(x), "the type is missing", "such as type='dir'")
        return
    line = line_of(source) or line_of(x)
    for name in NEEDS.get(x.type, ()):
        if not getattr(source, name):
            text = f"a pool of type {x.type} needs {PATHS[name].partition('/')[0]}"
            yield missing(f"/source/{PATHS[name]}", line, text, "say where the storage is")
    if x.type in PLACED and not x.target:
        text = f"a pool of type {x.type} needs a path"
        yield missing("/target/path", line_of(x, "target") or line_of(x), text, "such as /var/lib/images")
    if x.cow is not None and x.type not in (PoolType.DIR, PoolType.FS):
        text = f"a pool of type {x.type} knows no copy on write"
        yield conflict("/features/cow", line_of(x, "features"), text, "remove it")
    for path, host in each(source, "hosts", "/source"):
        if not host.name:
            yield missing(f"{path}/@name", line_of(host), "the host has no name", "give its name or address")
    for path, device in each(source, "devices", "/source"):
        if not device.path:
            yield missing(f"{path}/@path", line_of(device), "the device has no path", "give it")
    if source.adapter is not None:
        yield from _adapter(source.adapter)
    if source.auth is not None:
        yield from _auth(source.auth, x.type)


def _adapter(x: Adapter) -> Iterator[Problem]:
    path, line = "/source/adapter", line_of(x)
    if x.type == "fc_host":
        for name in ("wwnn", "wwpn"):
            if getattr(x, name) is None:
                yield missing(f"{path}/@{name}", line, f"{name} is missing", "a virtual adapter needs both names")
        if x.parent and (x.parent_wwnn or x.parent_wwpn or x.parent_fabric_wwn):
            yield conflict(f"{path}/@parent", line, "the parent is named in two ways", "use one of them")
        if (x.parent_wwnn is None) != (x.parent_wwpn is None):
            name = "parent_wwnn" if x.parent_wwnn is None else "parent_wwpn"
            yield missing(f"{path}/@{name}", line, f"{name} is missing", "give both names of the parent")
        return
    by_address = x.parent_address is not None or x.unique_id is not None
    if not x.name and not by_address:
        yield missing(f"{path}/@name", line, "nothing says which adapter", "such as name='scsi_host1'")
    elif x.name and by_address:
        yield conflict(f"{path}/@name", line, "the adapter has a name and an address", "use one of both")


def _auth(x: Auth, kind: PoolType) -> Iterator[Problem]:
    line = line_of(x)
    if not x.username:
        yield missing("/source/auth/@username", line, "the user is missing", "such as username='admin'")
    fits = {"chap": (PoolType.ISCSI, PoolType.ISCSI_DIRECT), "ceph": (PoolType.RBD,)}
    if x.type in fits and kind not in fits[x.type]:
        text = f"{x.type} is nothing for a pool of type {kind}"
        yield conflict("/source/auth/@type", line, text, "chap is for iscsi, ceph for rbd")
    secret = x.secret
    if secret is None or not (secret.uuid or secret.usage):
        yield missing("/source/auth/secret", line, "the secret is missing", "give its uuid or usage")
    elif secret.uuid and secret.usage:
        yield conflict("/source/auth/secret", line_of(secret), "the secret is named in two ways", "use one of both")


def volume(x: Volume) -> Iterator[Problem]:
    """A storage volume."""
    yield from check_name(x.name, line_of(x, "name") or line_of(x))
    if x.capacity is None and (x.backing_store is None or not x.backing_store.path):
        yield missing("/capacity", line_of(x), "the capacity is missing", "such as <capacity unit='GiB'>8</capacity>")
    for path, device in each(x, "source_devices"):
        for here, extent in each(device, "extents", path):
            if extent.start is not None and extent.end is not None and extent.end < extent.start:
                yield outside(f"{here}/@end", line_of(extent), "the part ends before it starts", "swap the ends")
    if x.target is not None:
        yield from _target(x.target)
    if x.backing_store is not None and not x.backing_store.path:
        yield missing("/backingStore/path", line_of(x.backing_store), "the image below has no path", "give it")


def _target(x: VolumeTarget) -> Iterator[Problem]:
    size = x.cluster_size
    if size is not None and (size & (size - 1) or not CLUSTER_LEAST <= size <= CLUSTER_MOST):
        text = f"clusters of {size} bytes"
        yield outside("/target/clusterSize", line_of(x, "clusterSize"), text, "use a power of 2 from 512 to 2 MiB")
    if x.encryption is not None:
        yield from _encryption(x.encryption)


def _encryption(x: Encryption) -> Iterator[Problem]:
    path, line = "/target/encryption", line_of(x)
    if x.format is None:
        yield missing(f"{path}/@format", line, "the format is missing", "such as format='luks'")
    for here, secret in each(x, "secrets", path):
        if not (secret.uuid or secret.usage):
            yield missing(f"{here}/@uuid", line_of(secret), "nothing says which secret", "give its uuid or usage")
        elif secret.uuid and secret.usage:
            yield conflict(here, line_of(secret), "the secret is named in two ways", "use one of both")
    if x.cipher is not None and (not x.cipher.name or x.cipher.size is None):
        name = "name" if not x.cipher.name else "size"
        yield missing(f"{path}/cipher/@{name}", line_of(x.cipher), f"the {name} is missing", "such as aes and 256")


def secret(x: KeptSecret) -> Iterator[Problem]:
    """A secret."""
    given = {name for name in ("volume", "name", "target") if getattr(x, f"usage_{name}") is not None}
    line = line_of(x, "usage")
    if x.usage_type is None and given:
        yield missing("/usage/@type", line, "the usage has no type", "such as type='volume'")
    needed = USES.get(x.usage_type or "")
    if needed and not getattr(x, f"usage_{needed}"):
        yield missing(f"/usage/{needed}", line, f"usage {x.usage_type} needs {needed}", "say what it opens")
    for name in sorted(given - {needed}) if needed else ():
        yield conflict(f"/usage/{name}", line, f"{name} says nothing for usage {x.usage_type}", "remove it")
