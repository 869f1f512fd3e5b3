"""Where an image is: the node of the block graph that reaches it, for every kind of storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from anyvirt.api import Disk, Encryption, Reservations, Source, SourceHost, meaningless, path_of, plain

from anyvirt_qemu.devices.chardev import credentials
from anyvirt_qemu.devices.secret import credential, private, secret
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import AssignedUse

Node = dict[str, Any]
CDROM: Final = re.compile(r"/dev/(sr\d+|cdrom|scd\d+)", re.ASCII)
# protocol -> default port
PORTS: Final = {"nbd": 10809, "iscsi": 3260, "rbd": 6789, "gluster": 24007, "ssh": 22, "nfs": 2049}
URLS: Final = {"http": 80, "https": 443, "ftp": 21, "ftps": 990, "tftp": 69}
ENCRYPTED: Final = {"https", "ftps"}
GLUSTER_DEBUG: Final = 4
PATH_SAFE: Final = "/:@&=+$,;!~*'()-_."


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image is.

    :param owner: disk or backing store, whose type is ``kind``.
    :param name: name of the node that is made, for what it refers to.
    :param device: what the guest sees: ``disk``, ``cdrom``, ``floppy``, ``lun``.
    :param auth: credentials in their old place, beside the source.
    :param encryption: the same of the encryption.
    """

    owner: Any
    kind: str
    source: Source
    name: str
    device: str = "disk"
    auth: Any = None
    encryption: Encryption | None = None
    io: str | None = None
    alias: str = ""


def described(place: Place) -> str:
    """The image in a word or two: its path where it is a file or device of this host, else what it is."""
    x = plain(place.source)
    if place.kind in {"file", "block"}:
        path = (x.file if place.kind == "file" else x.dev) or ""
        return f"{x.fdgroup}:{path}" if x.fdgroup is not None else path
    if place.kind == "network":
        return f"{x.protocol or ''}:{x.name or ''}"
    return f"{place.kind}:{x.dir or x.dev or ''}"


def protocol(b: Build, place: Place) -> Node:
    """Driver and members of the node; a problem where this driver or this QEMU cannot reach the image."""
    x = place.source
    meaningless(x, "index", "startup_policy", "seclabels", "slices")
    for label in x.seclabels:
        meaningless(label)
    make = KINDS.get(place.kind)
    if make is None:
        b.refuse(place.owner, "type", "name the image itself", text=f"storage of type {place.kind} cannot be reached")
        return {"driver": "null-co"}
    return make(b, place)


def _local(b: Build, place: Place) -> Node:
    x = place.source
    block = place.kind == "block"
    path = b.path(x, "dev", x.dev) if block else b.path(x, "file", x.file)
    driver = "file"
    if block:
        driver = "host_cdrom" if place.device == "cdrom" and _is_cdrom(b, path) else "host_device"
    node: Node = {"driver": driver, "filename": path, "aio": _aio(b, place)}
    if x.fdgroup is not None:
        count = b.storage.groups.get(x.fdgroup)
        if count is None:
            hint = "hand them over when you start the guest"
            b.refuse(x, "fdgroup", hint, text=f"nobody has handed over descriptors as {x.fdgroup}")
        else:
            node["filename"] = b.handed(x.fdgroup, count)
    if x.reservations is not None:
        node["pr-manager"] = _reservations(b, place)
    return node


def _is_cdrom(b: Build, path: str) -> bool:
    known = b.storage.cdroms
    return CDROM.fullmatch(path) is not None if known is None else path in known


def _aio(b: Build, place: Place) -> str | None:
    disk = place.owner
    if place.io == "io_uring" and isinstance(disk, Disk) and not b.caps.has_feature("aio.io_uring"):
        b.refuse(disk.driver, "io", "use native or threads", text=f"this QEMU ({b.caps.binary}) has no io_uring")
    return place.io


def _reservations(b: Build, place: Place) -> str | None:
    x = place.source.reservations
    if x is None:
        return None
    meaningless(x, "source_type", "mode", "path")
    name = "pr-helper0" if x.managed else f"pr-helper-{place.alias}"
    if name not in b.managers:
        b.managers.add(name)
        # one of ours for all disks, or one for each that somebody else runs
        path = _started(b, x, f"{name}.sock") if x.managed else b.path(x, "path", x.path)
        b.qom({"qom-type": "pr-manager-helper", "id": name, "path": path})
    return name


def _started(b: Build, x: Reservations, socket: str) -> str:
    from anyvirt_qemu.devices.reserving import reserving

    return reserving(b, x, socket)


def _fat(b: Build, place: Place) -> Node:
    x = place.source
    return {"driver": "vvfat", "dir": b.path(x, "dir", x.dir), "floppy": place.device == "floppy", "rw": False}


def _nvme(b: Build, place: Place) -> Node:
    x = place.source
    meaningless(x, "type")
    at = x.address
    if at is None or x.namespace is None:
        field = "address" if at is None else "namespace"
        b.problem(x, field, "the namespace of an NVMe device needs its PCI address and its number", "add what lacks")
        return {"driver": "null-co"}
    meaningless(at, "type", "multifunction")
    device = f"{at.domain or 0:04x}:{at.bus or 0:02x}:{at.slot or 0:02x}.{at.function or 0:x}"
    b.assigned.append(AssignedUse("pci", device, bool(x.managed), place=path_of(place.owner)))
    _known(b, place, "nvme")
    return {"driver": "nvme", "device": device, "namespace": x.namespace}


def _vdpa(b: Build, place: Place) -> Node:
    x = place.source
    _known(b, place, "virtio-blk-vhost-vdpa")
    return {"driver": "virtio-blk-vhost-vdpa", "path": b.fdset("open", b.path(x, "dev", x.dev))}


def _volume(b: Build, place: Place) -> Node:
    meaningless(place.source)
    hint = "name the volume's file or device instead"
    b.refuse(place.owner, "type", hint, text="no storage pool is known here that could tell where the volume is")
    return {"driver": "null-co"}


def _known(b: Build, place: Place, driver: str) -> None:
    if not b.caps.has_feature(f"blockdev.{driver}"):
        text = f"this QEMU ({b.caps.binary}) has no block driver {driver}"
        hint = "install the QEMU package that has it, or reach the image otherwise"
        field = "protocol" if place.kind == "network" else "type"
        b.refuse(place.source if place.kind == "network" else place.owner, field, hint, text=text)


# --- over the network


def _network(b: Build, place: Place) -> Node:
    x = place.source
    kind = str(x.protocol or "")
    make = PROTOCOLS.get(kind)
    if make is None:
        if kind:
            b.refuse(x, "protocol", f"use {', '.join(sorted(PROTOCOLS))}", text=f"no QEMU speaks {kind} any more")
        else:
            b.problem(x, "protocol", "the protocol is missing", f"use one of {', '.join(sorted(PROTOCOLS))}")
        return {"driver": "null-co"}
    _known(b, place, kind)
    return make(b, place)


def _hosts(b: Build, x: Source, most: int | None = 1) -> list[SourceHost]:
    hosts = list(x.hosts)
    if most is not None and len(hosts) != most:
        b.problem(x, "hosts", f"{x.protocol} takes one server", "name it in <host>")
        return []
    return hosts


def _inet(b: Build, host: SourceHost, protocol: str) -> dict[str, str]:
    """A server on TCP; QEMU wants the port as a text."""
    if host.transport not in {None, "tcp"}:
        b.refuse(host, "transport", "use tcp")
    if not host.name:
        b.problem(host, "name", "the server has no name", "give its name or address")
    port = host.port or PORTS.get(protocol) or URLS.get(protocol) or 0
    return {"host": host.name or "", "port": str(port)}


def _typed(b: Build, host: SourceHost, protocol: str) -> dict[str, str]:
    """A server on TCP or on a unix socket."""
    if host.transport == "unix":
        return {"type": "unix", "path": b.path(host, "socket", host.socket)}
    return {"type": "inet", **_inet(b, host, protocol)}


def _nbd(b: Build, place: Place) -> Node:
    x = place.source
    server = [_typed(b, host, "nbd") for host in _hosts(b, x)]
    node: Node = {"driver": "nbd", "server": server[0] if server else {}, "export": x.name}
    if x.tls:
        node |= {
            "tls-creds": credentials(b, x, f"{place.name}-tls", listens=False, service="nbd"),
            "tls-hostname": _tls_name(b, x),
        }
    return node | {"reconnect-delay": x.reconnect_delay}


def _tls_name(b: Build, x: Source) -> str | None:
    if x.tls_hostname is not None and not b.caps.has_feature("blockdev.nbd.tls-hostname"):
        text = f"this QEMU ({b.caps.binary}) cannot expect another name in the server's certificate"
        b.refuse(x, "tls_hostname", "leave it out", text=text)
    return x.tls_hostname


def _iscsi(b: Build, place: Place) -> Node:
    x = place.source
    return iscsi(b, x, x.hosts, x.name, x.auth or place.auth, x.initiator, place.name)


def iscsi(
    b: Build, x: Any, hosts: tuple[SourceHost, ...], name: str | None, auth: Any, initiator: str | None, node: str
) -> Node:
    """A unit of an iSCSI target.

    :param x: the element that has the server and the name.
    """
    target, slash, unit = (name or "").partition("/")
    if not target or (slash and not (unit.isascii() and unit.isdecimal())):
        b.problem(x, "name", f"{name!r} is no target with a unit", "write such as iqn.2001-04.com.example:disks/1")
        unit = "0"
    found: Node = {"driver": "iscsi", "target": target, "lun": int(unit or 0), "transport": "tcp"}
    if len(hosts) == 1:
        at = _inet(b, hosts[0], "iscsi")
        found["portal"] = f"[{at['host']}]:{at['port']}" if ":" in at["host"] else f"{at['host']}:{at['port']}"
    else:
        b.problem(x, "hosts", "iscsi takes one server", "name it in <host>")
    user, password = credential(b, auth, f"{node}-auth")
    return found | {"user": user, "password-secret": password, "initiator-name": initiator}


def _rbd(b: Build, place: Place) -> Node:
    x = place.source
    pool, *rest = (x.name or "").split("/")
    if not pool or len(rest) not in {1, 2} or not all(rest):
        b.problem(x, "name", f"{x.name!r} is no image in a pool", "write POOL/IMAGE, or POOL/NAMESPACE/IMAGE")
        rest = ["image"]
    node: Node = {
        "driver": "rbd",
        "pool": pool,
        "namespace": rest[0] if len(rest) == 2 else None,
        "image": rest[-1],
        "snapshot": x.snapshot,
        "conf": b.path(x, "config", x.config) if x.config is not None else None,
    }
    if x.hosts:
        node["server"] = [_inet(b, host, "rbd") for host in x.hosts]
    user, password = credential(b, x.auth or place.auth, f"{place.name}-auth")
    if user is not None or password is not None:
        node |= {"user": user, "auth-client-required": ["cephx", "none"], "key-secret": password}
    encryption = x.encryption or place.encryption
    if encryption is not None and encryption.engine == "librbd":
        node["encrypt"] = _librbd(b, place, encryption)
    return _clean(node)


def _librbd(b: Build, place: Place, x: Encryption) -> Node | None:
    """How librbd decrypts, a layer for each secret, the top one first."""
    if not b.caps.has_feature("blockdev.rbd.encrypt"):
        b.refuse(x, "engine", "use qemu", text=f"the librbd of this QEMU ({b.caps.binary}) decrypts nothing")
    if x.format not in {"luks", "luks2", "luks-any"} or not x.secrets:
        b.problem(x, "format", "librbd knows luks, luks2 and luks-any, with a secret", "name one")
    if x.format == "luks-any" and not b.caps.has_feature("blockdev.rbd.luks-any"):
        b.refuse(x, "format", "name the format", text=f"this QEMU ({b.caps.binary}) does not know luks-any")
    inner: Node | None = None
    for index, ref in reversed(list(enumerate(x.secrets))):
        key = secret(b, ref, f"{place.name}-crypt{index}")
        inner = _clean({"format": x.format, "key-secret": key, "parent": inner})
    return inner


def _url(b: Build, place: Place) -> Node:
    x = place.source
    kind = str(x.protocol)
    url = ""
    for host in _hosts(b, x):
        at = _inet(b, host, kind)
        name = f"[{at['host']}]" if ":" in at["host"] else at["host"]
        path = quote("/" + (x.name or "").removeprefix("/"), safe=PATH_SAFE)
        url = f"{kind}://{name}:{at['port']}{path}" + (f"?{x.query}" if x.query else "")
    node: Node = {"driver": kind, "url": url}
    user, password = credential(b, x.auth or place.auth, f"{place.name}-auth")
    node |= {"username": user, "password-secret": password}
    if kind in ENCRYPTED:
        node["sslverify"] = x.ssl_verify
    if kind in {"http", "https"} and x.cookies:
        text = "; ".join(f"{cookie.name}={cookie.value}" for cookie in x.cookies)
        node["cookie-secret"] = private(b, f"{place.name}-cookie", text.encode())
    return node | {"readahead": x.readahead, "timeout": x.timeout}


def _ssh(b: Build, place: Place) -> Node:
    x = place.source
    server = [_inet(b, host, "ssh") for host in _hosts(b, x)]
    auth = x.auth or place.auth
    if auth is not None and auth.secret is not None:
        b.refuse(auth, "secret", "use an agent", text="QEMU cannot be given a password for ssh")
    user = x.identity_username or (auth.username if auth is not None else None)
    return {"driver": "ssh", "path": x.name or "", "server": server[0] if server else {}, "user": user}


def _nfs(b: Build, place: Place) -> Node:
    x = place.source
    server = [{"type": "inet", "host": _inet(b, host, "nfs")["host"]} for host in _hosts(b, x)]
    node: Node = {"driver": "nfs", "server": server[0] if server else {}, "path": x.name or ""}
    for field, key in (("identity_user", "user"), ("identity_group", "group")):
        text = getattr(x, field)
        number = (text or "").removeprefix("+")
        if number.isascii() and number.isdecimal():
            node[key] = int(number)
        elif text is not None:
            b.refuse(x, field, "write its number", text=f"{text!r} is no number, and names are the server's own")
    return node


def _gluster(b: Build, place: Place) -> Node:
    x = place.source
    volume, _, path = (x.name or "").partition("/")
    if not volume or not path or not x.hosts:
        b.problem(x, "name", f"{x.name!r} is no image in a volume of a server", "write VOLUME/IMAGE, and a <host>")
    servers = [_typed(b, host, "gluster") for host in x.hosts]
    return {"driver": "gluster", "volume": volume, "path": path, "server": servers, "debug": GLUSTER_DEBUG}


def _clean(node: Node) -> Node:
    return {key: value for key, value in node.items() if value is not None}


Make = Callable[[Build, Place], Node]
KINDS: Final[dict[str, Make]] = {
    "file": _local, "block": _local, "dir": _fat, "network": _network, "nvme": _nvme, "vhostvdpa": _vdpa,
    "volume": _volume,
}  # fmt: skip
PROTOCOLS: Final[dict[str, Make]] = {
    "nbd": _nbd, "iscsi": _iscsi, "rbd": _rbd, "ssh": _ssh, "nfs": _nfs, "gluster": _gluster,
    "http": _url, "https": _url, "ftp": _url, "ftps": _url, "tftp": _url,
}  # fmt: skip
