"""A world that a recorded command line can start in: scratch files, sockets and descriptors for those of its host.

Both sides are put into it by the same rules. What a rule takes away from QEMU's eyes (the server of a network disk,
the nodes of a NUMA host) is kept as a note, and the notes are compared like everything else.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anyvirt_host.local import tap

from tests.device_tree.line import Option, fields, text

MIB: Final = 1 << 20
# Protocols whose server is not here; the node becomes an empty one of the same place in the graph.
REMOTE: Final = {"nbd", "rbd", "gluster", "iscsi", "http", "https", "ftp", "ftps", "tftp", "ssh", "nfs"}
# Devices of a host that a file stands in for.
DEVICES: Final = {"host_device": "file", "host_cdrom": "file"}
# Ways to the host's speakers, which this QEMU or this host need not have.
SPEAKERS: Final = {"alsa", "coreaudio", "dbus", "jack", "oss", "pa", "sdl"}
# Formats that qemu-img makes; a raw image is just long enough for every slice.
MADE: Final = {"qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "luks"}
RAW_SIZE: Final = 1 << 30
MADE_SIZE: Final = 16 * MIB
SOCKET_MAX: Final = 100
FLASH_SIZE: Final = 2 * MIB
ARM_FLASH: Final = 64 * MIB
FILES: Final = {"-kernel", "-initrd", "-dtb", "-bios"}
# Sockets of a guest's own, where each side has them.
OWN: Final = re.compile(r"^(?:/.*/domain--1-[^/]*/)?(vnc|spice)[0-9]*\.sock$")
BELONGING: Final = re.compile(r"^(?:/.*/domain--1-[^/]*|/run/guest)/")
# Recorded lines have a path of no meaning for an emulated TPM's.
EMULATOR: Final = "/own/tpm.sock"
MASTER_KEY: Final = bytes(range(32))
# Connections, by the beginning of their names, behind which QEMU waits for an answer, and programs that give it.
ANSWERING: Final = {
    "chrtpm": ("swtpm", "socket", "--tpm2", "--tpmstate", "dir={0}", "--ctrl", "type=unixio,fd={1}", "--terminate"),
    "chr-vu-fs": ("virtiofsd", "--fd={1}", "-o", "source={0}"),
}
BESIDE: Final = ("/usr/lib/qemu", "/usr/libexec")


@dataclass
class World:
    """One scratch folder for one command line."""

    folder: Path
    cache: Path
    x86: bool = True
    secrets: dict[str, bytes] = field(default_factory=dict)
    notes: list[Any] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    keep: list[socket.socket] = field(default_factory=list)
    programs: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _formats: dict[str, str] = field(default_factory=dict)
    _flash: set[str] = field(default_factory=set)
    _listens: set[str] = field(default_factory=set)
    _locked: dict[str, str] = field(default_factory=dict)
    _access: dict[str, int] = field(default_factory=dict)
    _access_format: dict[str, str] = field(default_factory=dict)
    _sets: dict[str, list[str]] = field(default_factory=dict)

    @property
    def flash_size(self) -> int:
        """Bytes of a flash device, of which other machines than a PC take one size only."""
        return FLASH_SIZE if self.x86 else ARM_FLASH

    def close(self) -> None:
        """Let go of everything."""
        for number in self.fds:
            os.close(number)
        for one in self.keep:
            one.close()
        for program in self.programs:
            program.kill()
            program.wait()
        self.fds, self.keep, self.programs = [], [], []
        shutil.rmtree(self.folder, ignore_errors=True)

    def adapted(self, line: list[Option]) -> list[Option]:
        """The command line as it can run here."""
        self._look(line)
        monitors = {fields(option.text).get("chardev") for option in line if option.flag == "-mon"}
        found = []
        for option in line:
            if option.flag in ("-mon", "-sandbox", "-D", "-pidfile", "-msg"):
                continue
            if option.flag == "-chardev" and fields(option.text, "backend").get("id") in monitors:
                continue
            found.append(self._option(option))
        return found

    def _look(self, line: list[Option]) -> None:
        """What an image has to be, by the name of the node that opens it; how a descriptor is used, by its set."""
        for option in line:
            if option.flag in ("-blockdev", "-chardev"):
                found = fields(option.text, "backend")
                name = str(found.get("filename", found.get("path", "")))
                if name.startswith("/dev/fdset/"):
                    write = os.O_WRONLY | os.O_APPEND if found.get("append") == "on" else os.O_RDWR
                    self._access[name.rpartition("/")[2]] = write
            if option.flag == "-blockdev":
                node = fields(option.text)
                if isinstance(node.get("file"), str):
                    self._formats[node["file"]] = node["driver"]
                    locked = node if node["driver"] == "luks" else node.get("encrypt", {})
                    self._locked[node["file"]] = locked.get("key-secret", "")
            if option.flag == "-object":
                self._secret(fields(option.text))
            if option.flag == "-netdev":
                self._listens.add(str(fields(option.text).get("listen", "")))
            if option.flag == "-add-fd":
                self._sets.setdefault(str(fields(option.text)["set"]), []).append(option.text)
            if option.flag == "-machine":
                machine = fields(option.text, "type")
                for key in ("pflash0", "pflash1"):
                    self._flash.add(str(machine.get(key, "")))
        for option in line:
            if option.flag == "-blockdev":
                node = fields(option.text)
                if str(node.get("filename", "")).startswith("/dev/fdset/"):
                    form = self._formats.get(node["node-name"], "raw")
                    self._access_format[node["filename"].rpartition("/")[2]] = form
                if node.get("node-name") in self._flash and isinstance(node.get("file"), str):
                    self._flash.add(node["file"])

    def _secret(self, found: Mapping[str, Any]) -> None:
        if found.get("qom-type") != "secret":
            return
        if "data" in found:
            self.secrets[found["id"]] = self.decrypted(found)
        elif str(found["file"]).startswith("/dev/fd/"):
            number = int(found["file"].rpartition("/")[2])
            self.secrets[found["id"]] = base64.b64decode(os.pread(number, 1 << 16, 0))

    def _option(self, option: Option) -> Option:
        if option.flag in FILES:
            return Option(option.flag, str(self.file(option.text, b"", FLASH_SIZE)))
        act = getattr(self, f"_{option.flag.strip('-').replace('-', '_')}", None)
        if act is None:
            return option
        head = {"-cpu": "model", "-chardev": "backend", "-tpmdev": "backend", "-fsdev": "backend", "-vnc": "vnc"}.get(
            option.flag, ""
        )
        found = act(fields(option.text, head))
        shown = "" if option.flag == "-vnc" else head  # a path may hold "="
        return Option(option.flag, json.dumps(found) if option.json else text(found, shown))

    # --- rules by flag

    def _accel(self, found: dict[str, Any]) -> dict[str, Any]:
        return {"tcg": True, **{key: value for key, value in found.items() if key not in ("kvm", "tcg")}}

    def _object(self, found: dict[str, Any]) -> dict[str, Any]:
        kind = found.get("qom-type", "")
        if found.get("id") in self.secrets:
            self.notes.append({"secret": self.secrets[found["id"]]})
        elif kind == "secret" and "file" in found:
            return found | {"file": str(self.file(found["file"], MASTER_KEY))}
        if kind == "memory-backend-file":
            place = self.path(found["mem-path"])
            if found["mem-path"].startswith("/dev/hugepages"):
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
            found |= {"mem-path": str(place)}
        if kind == "memory-backend-memfd":
            self.notes.append({"memfd": {key: found.pop(key, None) for key in ("hugetlb", "hugetlbsize")}})
        if kind.startswith("memory-backend"):
            # Memory is not touched: a guest that never runs needs none of it.
            self.notes.append({"memory": {key: found.pop(key, None) for key in ("prealloc", "host-nodes")}})
            if "policy" in found and found["policy"] != "default":
                self.notes.append({"policy": found.pop("policy")})
            for key in ("prealloc-context", "prealloc-threads"):
                self.notes.append({key: found.pop(key, None)})
        if kind == "thread-context":
            self.notes.append({"threads": found.pop("node-affinity", None)})
        if kind.startswith("tls-creds"):
            self.notes.append({"tls": found["dir"]})
            found |= {"dir": str(self.certificates())}
        return found

    def _blockdev(self, found: dict[str, Any]) -> dict[str, Any]:
        driver, name = found["driver"], found["node-name"]
        if driver in REMOTE:
            flash = name in self._flash
            self.notes.append({"remote": {key: self._meant(one) for key, one in found.items() if key != "node-name"}})
            kept = {key: found[key] for key in ("read-only", "auto-read-only", "discard", "cache") if key in found}
            if self._formats.get(name, "raw") in MADE:  # an image is needed below a format
                key = self.secrets.get(self._locked.get(name, ""))
                place = self.image(f"/remote/{name}", self._formats[name], flash=flash, passphrase=key)
                return {"driver": "file", "filename": str(place), "node-name": name} | kept
            return {"driver": "null-co", "size": self.flash_size if flash else RAW_SIZE, "node-name": name} | kept
        if driver in DEVICES:
            self.notes.append({"device": [driver, found["filename"]]})
            found |= {"driver": DEVICES[driver]}
        if "filename" in found and not str(found["filename"]).startswith("/dev/fdset/"):
            form = self._formats.get(name, "raw")
            # Recorded guests share images that QEMU's locks keep apart.
            key = self.secrets.get(self._locked.get(name, ""))
            found |= {"filename": str(self.image(found["filename"], form, flash=name in self._flash, passphrase=key))}
            found |= {"locking": "off"} if found["driver"] == "file" else {}
        if driver == "vvfat":
            place = self.path(found["dir"])
            place.mkdir(parents=True, exist_ok=True)
            found |= {"dir": str(place)}
        return found

    def _meant(self, value: Any) -> Any:
        """What a node says of its server, with secrets instead of their names, and addresses in their usual form."""
        if isinstance(value, dict):
            return {key: self._meant(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._meant(one) for one in value]
        if not isinstance(value, str) or value in self.secrets:
            return self.secrets.get(value, value)
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return value

    def _audiodev(self, found: dict[str, Any]) -> dict[str, Any]:
        if found["driver"] in SPEAKERS:
            self.notes.append({"audio": found})
            found = {"id": found["id"], "driver": "none"}
        return found

    def _cpu(self, found: dict[str, Any]) -> dict[str, Any]:
        # Memory modules reach higher than a CPU of 40 bits sees; KVM would have shown those of its host.
        open_ = self.x86 and not found.keys() & {"phys-bits", "host-phys-bits"}
        return found | {"phys-bits": "52"} if open_ else found

    def _chardev(self, found: dict[str, Any]) -> dict[str, Any]:
        backend = found["backend"]
        if "fd" in found:
            found |= {"fd": self.listener(f"/fd/{found['id']}") if found.get("server") == "on" else self.connected()}
        elif backend in ("file", "pipe", "serial", "parallel") and not found["path"].startswith("/dev/fdset/"):
            found |= {"path": self._charfile(backend, found["path"])}
        elif backend == "socket" and "path" in found:
            place = self.path(EMULATOR if found["id"].startswith("chrtpm") else BELONGING.sub("/own/", found["path"]))
            place.parent.mkdir(parents=True, exist_ok=True)
            if found.get("server") != "on":
                self._serve(place)
                self._answer(found["id"])
            found |= {"path": str(place)}
        elif backend == "socket" and found.get("server") != "on":
            self._serve_port(found["host"], int(found["port"]))
        if "logfile" in found and not found["logfile"].startswith("/dev/fdset/"):
            found |= {"logfile": str(self.file(found["logfile"], b""))}
        return found

    def _charfile(self, backend: str, path: str) -> str:
        if backend == "pipe":
            for tail in (".in", ".out"):
                place = self.path(f"{path}{tail}")
                place.parent.mkdir(parents=True, exist_ok=True)
                os.mkfifo(place)
            return str(self.path(path))
        if backend in ("serial", "parallel"):
            self.notes.append({backend: path})
            if backend == "serial":
                return str(self._terminal(path))
        return str(self.file(path, b""))

    def _terminal(self, path: str) -> Path:
        ours, theirs = os.openpty()
        self.fds += [ours, theirs]
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.ttyname(theirs))
        return place

    def _add_fd(self, found: dict[str, Any]) -> dict[str, Any]:
        name = str(found["set"])
        place = self.image(f"/fd/{name}", self._access_format.get(name, "raw"))
        # The first of several descriptors of an image is for reading it.
        reads = len(self._sets[name]) > 1 and fields(self._sets[name][0]) == found
        return found | {"fd": self.give(os.open(place, os.O_RDONLY if reads else self._access.get(name, os.O_RDWR)))}

    def _netdev(self, found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") == "tap":
            self.notes.append({"tap": [found.pop("vhost", None), bool(found.pop("vhostfd", None))]})
            return found | {"fd": str(self.give(tap.create().fds[0]))}
        if found.get("type") == "socket" and "connect" in found:
            host, _, port = found["connect"].rpartition(":")
            if found["connect"] not in self._listens:
                self._serve_port(host, int(port))
        if found.get("type") == "stream":
            place = self.path(f"/own/{found['id']}.sock")
            place.parent.mkdir(parents=True, exist_ok=True)
            self._serve(place)
            found["addr"] = {"type": "unix", "path": str(place)}  # a path there, a descriptor here
        return found

    def _fsdev(self, found: dict[str, Any]) -> dict[str, Any]:
        place = self.path(found["path"])
        place.mkdir(parents=True, exist_ok=True)
        return found | {"path": str(place)}

    def _vnc(self, found: dict[str, Any]) -> dict[str, Any]:
        if str(found.get("vnc", "")).startswith("unix:"):
            place = self.path(OWN.sub(r"/own/\1.sock", str(found["vnc"]).removeprefix("unix:")))
            place.parent.mkdir(parents=True, exist_ok=True)
            found |= {"vnc": f"unix:{place}"}
        return found

    def _spice(self, found: dict[str, Any]) -> dict[str, Any]:
        if str(found.get("addr", "")).startswith("/") or found.get("unix"):
            place = self.path(OWN.sub(r"/own/\1.sock", found["addr"]))
            place.parent.mkdir(parents=True, exist_ok=True)
            found |= {"addr": str(place)}
        if "x509-dir" in found:
            found |= {"x509-dir": str(self.certificates())}
        return found

    def _drive(self, found: dict[str, Any]) -> dict[str, Any]:
        return found | {"file": str(self.image(found["file"], found.get("format", "raw")))}

    # --- what the rules are made of

    def path(self, original: str) -> Path:
        """Where a path of the recording host lies in this world."""
        found = self.folder / original.lstrip("/")
        if len(str(found)) > SOCKET_MAX:
            return self.folder / "long" / hashlib.sha256(original.encode()).hexdigest()[:12]
        return found

    def file(self, original: str, content: bytes, size: int = 0) -> Path:
        """A file with this content, or of this size."""
        place = self.path(original)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            with place.open("wb") as out:
                out.write(content)
                out.truncate(size or len(content))
        return place

    def image(self, original: str, form: str, *, flash: bool = False, passphrase: bytes | None = None) -> Path:
        """An image of a format; made once, then copied."""
        place = self.path(original)
        if place.exists():
            return place
        if form not in MADE:
            return self.file(original, b"", self.flash_size if flash else RAW_SIZE)
        place.parent.mkdir(parents=True, exist_ok=True)
        size = self.flash_size if flash else MADE_SIZE
        kind = form if passphrase is None else f"{form}-{hashlib.sha256(passphrase).hexdigest()[:8]}"
        made = self.cache / f"image-{size}.{kind}"
        if not made.exists():
            part = made.with_name(f"{made.name}.{os.getpid()}")  # others may make the same one now
            extra: list[str] = []
            if passphrase is not None:
                prefix = "" if form == "luks" else "encrypt."
                chosen = "" if form == "luks" else "encrypt.format=luks,"
                extra = ["--object", f"secret,id=s,format=base64,data={base64.b64encode(passphrase).decode()}"]
                extra += ["-o", f"{chosen}{prefix}key-secret=s,{prefix}iter-time=100"]
            argv = ["qemu-img", "create", "-q", "-f", form, *extra, str(part), str(size)]
            for last in (*[False] * 29, True):  # at times it cannot time its own hashing, and gives up
                if subprocess.run(argv, check=last, timeout=60).returncode == 0:
                    break
            part.rename(made)
        shutil.copyfile(made, place)
        return place

    def decrypted(self, found: Mapping[str, Any]) -> bytes:
        """What a secret object holds, by the master key that libvirt's tests have."""
        data = str(found["data"])
        if "keyid" not in found:
            return base64.b64decode(data) if found.get("format") == "base64" else data.encode()
        key, iv = MASTER_KEY.hex(), base64.b64decode(found["iv"]).hex()
        argv = ["openssl", "enc", "-d", "-aes-256-cbc", "-K", key, "-iv", iv]
        done = subprocess.run(argv, input=base64.b64decode(data), capture_output=True, check=True, timeout=10)
        return done.stdout

    def give(self, number: int) -> int:
        """A descriptor that QEMU inherits under its own number."""
        os.set_inheritable(number, True)
        self.fds.append(number)
        return number

    def listener(self, name: str) -> int:
        """A listening unix socket to inherit."""
        place = self.path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(place))
        one.listen()
        return self.give(one.detach())

    def connected(self) -> int:
        """A connected unix socket to inherit."""
        ours, theirs = socket.socketpair()
        self.keep.append(ours)
        return self.give(theirs.detach())

    def _serve(self, place: Path) -> None:
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(place))
        one.listen()
        self.keep.append(one)

    def _answer(self, name: str) -> None:
        """Have a program take the last connection that is listened for, where QEMU needs one and this host has it."""
        words = next((words for start, words in ANSWERING.items() if name.startswith(start)), ("",))
        path = shutil.which(words[0], path=os.pathsep.join((os.environ.get("PATH", os.defpath), *BESIDE)))
        if path is None:
            return
        folder = self.path(f"/own/{name}")
        folder.mkdir(parents=True)
        heard = self.keep.pop()
        argv = [path, *(word.format(folder, heard.fileno()) for word in words[1:])]
        quiet = subprocess.DEVNULL
        fds = [heard.fileno()]
        self.programs.append(subprocess.Popen(argv, pass_fds=fds, stdin=quiet, stdout=quiet, stderr=quiet))
        heard.close()

    def _serve_port(self, host: str, port: int) -> None:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, port))
        one.listen()
        self.keep.append(one)

    def certificates(self) -> Path:
        """A folder with an authority and certificates for servers and clients."""
        folder = self.cache / "tls"
        if not folder.exists():
            _certificates(folder)
        return folder


def _certificates(folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for argv in _openssl(part):
        subprocess.run(argv, check=True, timeout=60, capture_output=True)
    part.rename(folder)


def _openssl(folder: Path) -> Iterator[list[str]]:
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]
    ca = ["-CA", str(folder / "ca-cert.pem"), "-CAkey", str(folder / "ca-key.pem")]
    yield [
        *new, "-x509", "-subj", "/CN=authority", "-keyout", str(folder / "ca-key.pem"), "-out",
        str(folder / "ca-cert.pem"), "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    ]  # fmt: skip
    for name in ("server", "client"):
        yield [
            *new, "-x509", "-subj", f"/CN={name}", *ca, "-keyout", str(folder / f"{name}-key.pem"), "-out",
            str(folder / f"{name}-cert.pem"), "-addext", "basicConstraints=critical,CA:FALSE",
        ]  # fmt: skip
