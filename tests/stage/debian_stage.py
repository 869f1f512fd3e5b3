"""A whole Debian in a QEMU without acceleration, reached over ssh: for what this machine's kernel lacks."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import guest as small_guest
import pytest

TOOLS: Final = ("qemu-system-x86_64", "qemu-img", "debootstrap", "mkfs.ext4", "ssh", "ssh-keygen", "chroot")
RELEASE: Final = "bookworm"
PACKAGES: Final = (
    *("linux-image-amd64", "systemd-sysv", "udev", "kmod", "procps", "iproute2", "openssh-server"),
    *("lvm2", "thin-provisioning-tools", "multipath-tools", "sg3-utils", "tgt", "open-iscsi"),
    *("nfs-kernel-server", "nfs-common", "cifs-utils", "samba", "glusterfs-server", "glusterfs-client"),
    *("qemu-utils", "xfsprogs", "btrfs-progs"),
)
# What a test starts itself, or nobody needs here.
OFF: Final = (
    *("nfs-server", "rpcbind", "smbd", "nmbd", "samba-ad-dc", "tgt", "glusterd", "multipathd", "iscsid"),
    *("e2scrub_reap", "nfs-blkmap", "open-iscsi"),
)
DISKS: Final = 3
DISK_BYTES: Final = 512 << 20
UNITS: Final = 2
UNIT_BYTES: Final = 16 << 20
MEMORY: Final = 1024  # MiB
BOOT: Final = 240.0  # seconds; it takes 60 on a machine that has nothing else to do
_ROOT_BYTES: Final = 2 << 30
_FILES: Final = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "store\n",
    "etc/hosts": "127.0.0.1 localhost store\n",
    "etc/resolv.conf": "",
    "etc/systemd/network/wired.network": (
        "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n"
    ),
    "etc/exports": "/srv/nfs 127.0.0.0/8(rw,no_root_squash,no_subtree_check,fsid=1)\n",
    # what a log-in costs is most of what a short program costs there
    "etc/ssh/sshd_config.d/lab.conf": (
        "UsePAM no\nUseDNS no\nKexAlgorithms curve25519-sha256\nMaxStartups 100\nMaxSessions 100\n"
    ),
    "etc/multipath.conf": (
        "defaults {\n user_friendly_names yes\n find_multipaths no\n}\n"
        'blacklist {\n devnode "^vd"\n device {\n  vendor "QEMU|IET"\n }\n}\n'
    ),
    "etc/samba/smb.conf": (
        "[global]\nserver role = standalone server\nmap to guest = Bad User\ninterfaces = lo\n"
        "bind interfaces only = yes\n[open]\npath = /srv/smb\nguest ok = yes\nread only = no\nforce user = root\n"
        "[closed]\npath = /srv/smb\nread only = no\n"
    ),
}


@dataclass(frozen=True)
class Machine:
    """One that runs.

    :param folder: has the key to it, and the known_hosts with its own.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def uri(self, scheme: str = "storage") -> str:
        """How it is reached."""
        key, known = self.folder / "key", self.folder / "known"
        return f"{scheme}+ssh://root@127.0.0.1:{self.port}/system?keyfile={key}&known_hosts={known}"

    def end(self) -> None:
        """Switch it off the hard way: nothing of it is kept."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def image() -> Path:
    """The folder with its image, its kernel and the key to it, made once; skips the test where it cannot be had."""
    for tool in TOOLS:
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{tool} is not installed")
    if os.geteuid():
        pytest.skip("needs root to make a Debian machine")
    key = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    cache = small_guest.cache_root().parent / "debian"
    folder = cache / f"store-{key}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    for old in cache.glob("store-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".store-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        _install(Path(scratch) / "root", made)
        made.rename(folder)
    return folder


def started(kept: Path, folder: Path) -> Machine:
    """One that runs on a copy of the image, at its ssh."""
    port = _free_port()
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", kept / "root.img", "-F", "raw", folder / "root.qcow2"],
        check=True,
    )
    words = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2"),
        *("-m", str(MEMORY), "-nodefaults", "-display", "none", "-serial", f"file:{folder / 'console'}"),
        *("-kernel", str(kept / "vmlinuz"), "-initrd", str(kept / "initrd.img")),
        *("-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off no_timer_check"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net,romfile="),
        *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={folder / 'root.qcow2'}"),
        *("-device", "virtio-rng-pci"),
    ]
    for number in range(DISKS):
        disk = folder / f"disk{number}.img"
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        words += ["-drive", f"if=virtio,format=raw,cache=unsafe,discard=unmap,file={disk}"]
    # a SCSI adapter at a place that is always the same, with two units of one target
    words += ["-device", "virtio-scsi-pci,id=scsi,addr=8"]
    for number in range(UNITS):
        unit = folder / f"unit{number}.img"
        with unit.open("wb") as file:
            file.truncate(UNIT_BYTES)
        words += ["-drive", f"if=none,id=unit{number},format=raw,cache=unsafe,file={unit}"]
        words += ["-device", f"scsi-hd,drive=unit{number},bus=scsi.0,scsi-id=1,lun={number},serial=unit{number}"]
    for name in ("key", "host.pub"):
        shutil.copy(kept / name, folder / name)
    kind, host = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {host}\n")
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)
    (folder / "port").write_text(str(port))
    machine = Machine(folder, port, process)
    try:
        _wait(machine)
    except BaseException:
        machine.end()
        raise
    return machine


def running(folder: Path) -> Machine:
    """One that somebody else started, in that folder."""
    return Machine(folder, int((folder / "port").read_text().split()[0]))


def _install(root: Path, made: Path) -> None:
    words = ["--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, str(root), _mirror()]
    done = subprocess.run(["debootstrap", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"package {RELEASE} is missing: debootstrap: {done.stdout[-200:]}{done.stderr[-200:]}")
    for name in ("var/lib/apt/lists", "var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / name)
    for name, text in _FILES.items():
        (root / name).unlink(missing_ok=True)
        (root / name).write_text(text, encoding="ascii")
    subprocess.run(["chroot", root, "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer"], check=True)
    for name in OFF:
        subprocess.run(["chroot", root, "systemctl", "disable", name], check=False, capture_output=True)
    for name in ("rpcbind.socket", "multipathd.socket"):
        subprocess.run(["chroot", root, "systemctl", "disable", name], check=True, capture_output=True)
    subprocess.run(["chroot", root, "systemctl", "enable", "systemd-networkd"], check=True, capture_output=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", made / "key"], check=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.move(made / "key.pub", root / "root/.ssh/authorized_keys")
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", made / "host.pub")
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (root / "boot").glob(f"{name}-*")
        shutil.copy(found, made / name)
    with (made / "root.img").open("wb") as file:
        file.truncate(_ROOT_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, made / "root.img"], check=True)


def _mirror() -> str:
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    return next((uri for uri in said if uri.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(machine: Machine) -> None:
    """Until its ssh greets; QEMU itself takes the connection long before."""
    end = time.monotonic() + BOOT
    while time.monotonic() < end:
        if machine.process is not None and machine.process.poll() is not None:
            pytest.fail(f"QEMU ended: {(machine.folder / 'qemu.log').read_text()}")
        try:
            with socket.create_connection(("127.0.0.1", machine.port), 1) as one:
                one.settimeout(20)
                if one.recv(4):
                    return
        except OSError:
            pass
        time.sleep(0.5)
    pytest.fail(f"the machine did not come up: {(machine.folder / 'console').read_text(errors='replace')[-2000:]}")
