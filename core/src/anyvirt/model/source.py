"""Where storage comes from: the ``source`` of disks, backing files and others."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from anyvirt.model.address import HostPci
from anyvirt.model.element import Element, Many, at
from anyvirt.model.types import UUID, Bit, ByteSize, Count, Hostname, TcpPort, Unsigned, Word, Words, YesNo

_FORMATS: Final = "raw dir bochs cloop cow dmg iso qcow qcow2 qed vmdk vpc vdi vhd fat ploop aio"
ImageFormat = Annotated[str, Words({word: word for word in _FORMATS.split()})]


class SourceType(StrEnum):
    """Kind of storage that an image is on."""

    FILE = "file"
    BLOCK = "block"
    DIR = "dir"
    NETWORK = "network"
    VOLUME = "volume"
    NVME = "nvme"
    VHOSTUSER = "vhostuser"
    VHOSTVDPA = "vhostvdpa"


class Protocol(StrEnum):
    """Network protocol of a disk."""

    NBD = "nbd"
    RBD = "rbd"
    SHEEPDOG = "sheepdog"
    GLUSTER = "gluster"
    ISCSI = "iscsi"
    HTTP = "http"
    HTTPS = "https"
    FTP = "ftp"
    FTPS = "ftps"
    TFTP = "tftp"
    SSH = "ssh"
    VXHS = "vxhs"
    NFS = "nfs"


class SecretRef(Element, tag="secret"):
    """A secret, by UUID or by usage."""

    type: Literal["passphrase", "ceph", "iscsi"] | None = at("@type", "What the secret is for", default=None)
    uuid: UUID | None = at("@uuid", "UUID of the secret", default=None)
    usage: str | None = at("@usage", "Usage name of the secret", default=None)


class Auth(Element, tag="auth"):
    """Credentials for networked storage."""

    username: str | None = at("@username", "User name", default=None)
    type: Literal["chap", "ceph"] | None = at("@type", "Kind of credentials, in storage pools", default=None)
    secret: SecretRef | None = at("secret", "Secret that holds the password or key", default=None)


class SourceHost(Element, tag="host"):
    """A server of networked storage."""

    name: Hostname | None = at("@name", "Host name or address", default=None, key=True)
    port: TcpPort | None = at("@port", "Port", default=None, key=True)
    transport: Literal["tcp", "unix", "rdma"] | None = at("@transport", "Transport, tcp without it", default=None)
    socket: str | None = at("@socket", "Path of the unix socket", default=None)


class Cookie(Element, tag="cookie"):
    """A cookie for http and https."""

    name: str | None = at("@name", "Name of the cookie", default=None, key=True)
    value: str = at(".", "Value of the cookie", default="")


class Slice(Element, tag="slice"):
    """A part of the storage that is used as if it were all."""

    type: Literal["storage"] | None = at("@type", "Kind of slice", default=None)
    offset: Unsigned | None = at("@offset", "First byte", default=None)
    size: Unsigned | None = at("@size", "Number of bytes", default=None)


class EncryptionCipher(Element, tag="cipher"):
    """Cipher of a new LUKS volume."""

    name: Word | None = at("@name", "Cipher, such as aes", default=None)
    size: Count | None = at("@size", "Key size in bits", default=None)
    mode: Word | None = at("@mode", "Mode, such as xts", default=None)
    hash: Word | None = at("@hash", "Hash, such as sha256", default=None)


class Encryption(Element, tag="encryption"):
    """How storage is encrypted."""

    format: Literal["default", "qcow", "luks", "luks2", "luks-any"] | None = at("@format", "Format", default=None)
    engine: Literal["qemu", "librbd"] | None = at("@engine", "What encrypts", default=None)
    secrets: Many[SecretRef] = at("secret", "Passphrases", default=())
    cipher: EncryptionCipher | None = at("cipher", "Cipher of a new volume", default=None)
    ivgen_name: Word | None = at("ivgen/@name", "Generator of initialisation vectors, such as plain64", default=None)
    ivgen_hash: Word | None = at("ivgen/@hash", "Hash of that generator", default=None)


class SecurityLabel(Element, tag="seclabel"):
    """Security label of one source."""

    model: Word | None = at("@model", "Security driver: selinux, apparmor, dac", default=None, key=True)
    relabel: YesNo | None = at("@relabel", "The driver sets the label", default=None)
    labelskip: YesNo | None = at("@labelskip", "Labelling failed and was skipped, live only", default=None)
    label: str | None = at("label", "The label", default=None)


class Reservations(Element, tag="reservations"):
    """Persistent SCSI reservations through a helper."""

    managed: YesNo | None = at("@managed", "The driver runs the helper", default=None)
    source_type: Literal["unix"] | None = at("source/@type", "Kind of the helper's socket", default=None)
    path: str | None = at("source/@path", "Path of the helper's socket", default=None)
    mode: Literal["client"] | None = at("source/@mode", "Who connects", default=None)


class NodeName(Element, tag="nodename"):
    """Name of a block node of QEMU."""

    type: Literal["storage", "format", "slice-storage", "copyOnRead"] | None = at("@type", "Its part", default=None)
    name: str | None = at("@name", "The name", default=None)


class SecretObject(Element, tag="secret"):
    """A secret that QEMU holds."""

    type: Literal["auth", "encryption", "httpcookie", "tlskey"] | None = at("@type", "What it is for", default=None)
    alias: str | None = at("@alias", "Name of QEMU's object", default=None)


class PassedFiles(Element, tag="fdset"):
    """File descriptors that QEMU was given for a source."""

    type: Literal["storage"] | None = at("@type", "Their part", default=None)
    id: Count | None = at("@id", "Number of QEMU's set", default=None)


class SourcePrivate(Element, tag="privateData"):
    """What libvirt's QEMU driver notes of a source in its status files (qemu_domain.c)."""

    nodenames: Many[NodeName] = at("nodenames/nodename", "Block nodes", default=())
    reservations: str | None = at("reservations/@mgralias", "QEMU's object for reservations", default=None)
    rel_path: str | None = at("relPath", "Path relative to the image above", default=None)
    secrets: Many[SecretObject] = at("objects/secret", "Secrets that QEMU holds", default=())
    tls: str | None = at("objects/TLSx509/@alias", "QEMU's object for TLS", default=None)
    fdsets: Many[PassedFiles] = at("fdsets/fdset", "File descriptors that QEMU was given", default=())
    threshold_index_used: YesNo | None = at(
        "thresholdEvent/@indexUsed", "The write threshold was set by index", default=None
    )
    nbdkit_pid: str | None = at("nbdkit/pidfile", "File with the number of the nbdkit process", default=None)
    nbdkit_socket: str | None = at("nbdkit/socketfile", "Socket of the nbdkit process", default=None)


class Source(Element, tag="source"):
    """Place of an image; which fields count depends on the ``type`` of its owner."""

    file: str | None = at("@file", "Path of the image file", default=None)
    fdgroup: str | None = at("@fdgroup", "Group of passed file descriptors", default=None)
    dev: str | None = at("@dev", "Path of the host block device", default=None)
    dir: str | None = at("@dir", "Directory that is shown as a FAT file system", default=None)
    type: Literal["pci", "unix"] | None = at("@type", "pci for nvme, unix for vhostuser", default=None)
    path: str | None = at("@path", "Path of the vhost-user socket", default=None)
    protocol: Protocol | None = at("@protocol", "Network protocol", default=None)
    name: str | None = at("@name", "Image or export on the server", default=None)
    query: str | None = at("@query", "Query string of http and https", default=None)
    tls: YesNo | None = at("@tls", "Encrypt the connection", default=None)
    tls_hostname: str | None = at("@tlsHostname", "Name that the server's certificate must have", default=None)
    pool: str | None = at("@pool", "Storage pool of a volume", default=None)
    volume: str | None = at("@volume", "Volume in the pool", default=None)
    mode: Literal["host", "direct"] | None = at("@mode", "How an iSCSI volume is reached", default=None)
    namespace: Unsigned | None = at("@namespace", "NVMe namespace, from 1", default=None)
    managed: YesNo | None = at("@managed", "The NVMe device is detached from the host at start", default=None)
    startup_policy: Literal["mandatory", "requisite", "optional"] | None = at(
        "@startupPolicy", "What happens when the source is missing", default=None
    )
    index: Count | None = at("@index", "Number of the image in its chain, live only", default=None)
    address: HostPci | None = at("address", "Host address of an NVMe device", default=None)
    hosts: Many[SourceHost] = at("host", "Servers", default=())
    snapshot: str | None = at("snapshot/@name", "Internal snapshot that is shown", default=None)
    config: str | None = at("config/@file", "Configuration file of the rbd client", default=None)
    auth: Auth | None = at("auth", "Credentials", default=None)
    encryption: Encryption | None = at("encryption", "How the image is encrypted", default=None)
    reservations: Reservations | None = at("reservations", "Persistent reservations", default=None)
    initiator: str | None = at("initiator/iqn/@name", "iSCSI initiator name", default=None)
    ssl_verify: YesNo | None = at("ssl/@verify", "Check the server's certificate", default=None)
    cookies: Many[Cookie] = at("cookies/cookie", "Cookies for http and https", default=())
    readahead: Unsigned | None = at("readahead/@size", "Bytes read ahead of http and ftp", default=None)
    timeout: Count | None = at("timeout/@seconds", "Seconds until a http or ftp request fails", default=None)
    identity_user: str | None = at("identity/@user", "NFS user", default=None)
    identity_group: str | None = at("identity/@group", "NFS group", default=None)
    reconnect: YesNo | None = at(
        "reconnect/@enabled", "Connect again after the vhost-user peer went away", default=None
    )
    reconnect_timeout: Count | None = at("reconnect/@timeout", "Seconds between attempts", default=None)
    reconnect_delay: Count | None = at(
        "reconnect/@delay", "Seconds until requests fail after nbd's connection broke", default=None
    )
    known_hosts: str | None = at("knownHosts/@path", "Known hosts of ssh, since libvirt 9.8", default=None)
    identity_username: str | None = at("identity/@username", "ssh user, since libvirt 9.8", default=None)
    identity_keyfile: str | None = at("identity/@keyfile", "Private key of ssh, since libvirt 9.8", default=None)
    identity_agent: str | None = at("identity/@agentsock", "Socket of the ssh agent, since libvirt 9.8", default=None)
    slices: Many[Slice] = at("slices/slice", "Parts of the storage in use", default=())
    seclabels: Many[SecurityLabel] = at("seclabel", "Security labels of this image", default=())
    tls_from_config: Bit | None = at("@tlsFromConfig", "The driver's settings chose TLS, in status only", default=None)
    private: SourcePrivate | None = at("privateData", "The driver's notes, in status only", default=None)


class BackingStore(Element, tag="backingStore"):
    """The image below; an empty one ends the chain, none means that it is looked up at start."""

    type: SourceType | None = at("@type", "Kind of storage", default=None)
    index: Count | None = at("@index", "Number in the chain, live only", default=None)
    format: ImageFormat | None = at("format/@type", "Format of the image, such as qcow2", default=None)
    metadata_cache: ByteSize | None = at(
        "format/metadata_cache/max_size", "Most memory for cached metadata", default=None
    )
    source: Source | None = at("source", "Where the image is", default=None)
    backing_store: BackingStore | None = at("backingStore", "The image below this one", default=None)
