"""Command lines that people write become definitions, and those that are written from definitions come back."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid, check_document, convert, converted, parse
from anyvirt_qemu.argv.draft import UNWRITABLE
from anyvirt_qemu.argv.given import Given, nested, options, parsed, size
from anyvirt_qemu.argv.reading import read
from anyvirt_qemu.argv.words import line_of, split
from anyvirt_qemu.namespace import QemuCommandLine, QemuOverride
from anyvirt_qemu.planning.options import optstr
from anyvirt_qemu.planning.plan import Plan
from hypothesis import given
from hypothesis import strategies as st

Planned = Callable[..., Plan]
# keys that name other parts of the line
NAMES = {
    "id", "drive", "netdev", "chardev", "tpmdev", "fsdev", "rng", "memdev", "audiodev", "cryptodev", "iothread",
    "masterbus", "fd", "vhostfd",
}  # fmt: skip
# goldens whose devices come back otherwise, and why
OTHERWISE = {
    "own-words": "its overrides come back as what they mean",
    "screens-more": "a speaker, which is no device of QEMU's, is not counted among the sound cards",
    "machine-s390x": "a zPCI device is one of QEMU's own, and is kept as it stands",
    "disks-more": "a disk of another program, which is kept as it stands, is the one that is booted",
}
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def taken(line: str) -> Domain:
    return read(line.encode()).model


def devices(plan: Plan) -> Counter[str]:
    """Every device of a plan with its properties, but for the names of its parts."""
    rows = (json.loads(text) for flag, text in pairwise(plan.argv) if flag == "-device" and text.startswith("{"))
    return Counter(json.dumps({k: v for k, v in row.items() if k not in NAMES}, sort_keys=True) for row in rows)


@given(st.lists(TEXTS, max_size=6))
def test_words_that_a_shell_quotes_come_back(words: list[str]) -> None:
    text = " \\\n  ".join(shlex.quote(word) for word in ["qemu-system-x86_64", *words])
    assert line_of(text.encode()).words == tuple(words)
    assert [word.text for word in split(text)] == ["qemu-system-x86_64", *words]


@given(TEXTS)
def test_any_text_is_a_line_or_an_error(text: str) -> None:
    refused = None
    try:
        assert line_of(text.encode()).program
    except Invalid as error:
        refused = error
    assert refused is None or refused.problems[0].line is not None


@given(st.dictionaries(st.sampled_from(["file", "path", "serial", "odd"]), PLAIN))
def test_values_with_commas_come_back(values: dict[str, str]) -> None:
    found, json_form = parsed(optstr("head", values), "driver")
    assert not json_form
    assert found == {"driver": "head", **values}


FLAGS = st.sampled_from(
    ["device", "drive", "blockdev", "netdev", "chardev", "object", "machine", "smp", "m", "numa", "boot", "vnc", "rtc"]
)
KEYS = st.sampled_from(
    ["driver", "id", "file", "type", "bus", "addr", "drive", "netdev", "chardev", "qom-type", "size", "if", "backend",
     "node-name", "cache", "server", "host", "port", "cpus", "order", "base", "bootindex", "if", "format", "read-only"]
)  # fmt: skip
WORTH = st.sampled_from(
    ["virtio-blk-pci", "ide-hd", "pcie-root-port", "qcow2", "socket", "user", "on", "-1", "1e400", "0x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORTH | PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=4,
)


@given(st.lists(st.tuples(FLAGS, st.dictionaries(KEYS, VALUES, max_size=5)), max_size=5))
def test_whatever_options_say_a_line_is_read_or_refused(rows: list[tuple[str, dict[str, Any]]]) -> None:
    words = [word for flag, values in rows for word in (f"-{flag}", json.dumps(values))]
    refused = None
    try:
        assert taken(shlex.join(["qemu-system-x86_64", *words])).name
    except Invalid as error:
        refused = error
    assert refused is None or refused.problems


@given(st.lists(TEXTS, max_size=8))
def test_no_word_of_a_line_is_lost_without_a_note(words: list[str]) -> None:
    words = [word for word in words if not UNWRITABLE.search(word)]
    line = shlex.join(["qemu-system-x86_64", "-nodefaults", "-display", "none", *(f"-strange{word}" for word in words)])
    document = read(line.encode())
    (own,) = document.model.extensions or (QemuCommandLine(),)
    assert isinstance(own, QemuCommandLine)
    kept = [argument.value for argument in own.arguments]
    assert kept == [f"-strange{word}" for word in words]
    assert all(any(str(word) in note for note in document.notes) for word in kept)


def test_scripts_are_read_as_a_shell_would() -> None:
    text = """#!/bin/sh
# what starts it
export X=1
cd /srv/vm; LC_ALL=C sudo -u me taskset -c 0,1 env A='a b' /usr/bin/qemu-system-x86_64 -name "it's \\"one\\"" \\
    -m 1G > /dev/null 2>&1 &
"""
    line = line_of(text.encode())
    assert line.program == "/usr/bin/qemu-system-x86_64"
    assert line.words == ("-name", 'it\'s "one"', "-m", "1G")
    assert line.env == (("LC_ALL", "C"), ("A", "a b"))
    assert line.before == ("sudo", "-u", "me", "taskset", "-c", "0,1", "env")
    assert line.folder == "/srv/vm"
    assert line_of(b"qemu-system-arm\0-m\0one two\0").words == ("-m", "one two")
    for broken, number in ((b"qemu 'x", 1), (b'\n\nqemu "x', 3), (b"", 1), (b"A=1\n", 1)):
        with pytest.raises(Invalid) as refusal:
            line_of(broken)
        assert refusal.value.problems[0].line == number
    with pytest.raises(Invalid, match="no QEMU"):
        read(b"ls -l")


def test_sizes_numbers_and_nested_keys_are_qemus() -> None:
    found = [size(text) for text in ("2G", "512", "0x10", "1.5g", "64k", "1T", "x", "-1", "nan", "")]
    assert found == [2 << 30, 512 << 20, 16 << 20, 3 << 29, 64 << 10, 1 << 40, None, None, None, None]
    tree = nested({"file.driver": "nbd", "file.server.host": "a", "list.0": "x", "list.1": "y", "driver": "raw"})
    assert tree == {"file": {"driver": "nbd", "server": {"host": "a"}}, "list": ["x", "y"], "driver": "raw"}
    assert parsed("user,hostfwd=a,hostfwd=b,nowait", "type")[0] == {
        "type": "user", "hostfwd": ["a", "b"], "wait": "off"
    }  # fmt: skip
    (one, two) = options(["--machine=q35,smm=on", "/disk.img"])
    assert (one.flag, one.options, two.flag) == ("machine", {"type": "q35", "smm": "on"}, "hda")
    assert Given("x", "", ()).number("none") is None


ORDINARY = """
cd /srv
qemu-system-x86_64 -enable-kvm -m 2G -smp 4,sockets=1 -name web -hda old.img
  -drive file=/srv/a,,b.qcow2,if=virtio,format=qcow2,cache=none,discard=unmap,aio=native
  -blockdev '{"driver":"file","filename":"/srv/b.raw","node-name":"f0"}' -blockdev driver=raw,node-name=d0,file=f0
  -device virtio-blk-pci,drive=d0,serial=abc,num-queues=4,bootindex=1,odd=7 -cdrom /iso/x.iso
  -nic user,model=virtio-net-pci,hostfwd=tcp::2222-:22 -netdev bridge,id=n1,br=br0
  -device e1000,netdev=n1,mac=52:54:00:AA:22:33 -usb -device usb-tablet -vga qxl -vnc 127.0.0.1:3
  -serial mon:stdio -monitor none -qmp unix:/q,server -chardev socket,path=/ga,server=on,id=ga
  -device virtio-serial -device virtserialport,chardev=ga,name=org.qemu.guest_agent.0
  -virtfs local,path=/share,mount_tag=s,security_model=mapped-xattr
  -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r,max-bytes=1024
  -rtc base=localtime -cpu host,+vmx,-avx2,hv-relaxed,kvm=off -machine pc,usb=off,smm=on -boot menu=on
  -kernel /k -initrd /i -append 'console=ttyS0 a,b' -smbios type=1,manufacturer=A,,B -fw_cfg name=opt/x/y,string=z
  -watchdog i6300esb -uuid 11111111-2222-3333-4444-555555555555 -daemonize -pidfile /p -S -sandbox on -runas x
  -plugin lib.so -device strange,a=1
""".replace("\n  ", " ")


def test_an_ordinary_line_is_a_definition() -> None:
    document = read(ORDINARY.encode())
    x = document.model
    assert check_document(x) == ()
    assert (x.type, x.name, x.memory, x.vcpu) == ("kvm", "web", 2 << 30, 4)
    assert {disk.target: (disk.bus, disk.source.file if disk.source else None) for disk in x.disks} == {
        "vda": ("virtio", "/srv/b.raw"),
        "hda": ("ide", "/srv/old.img"),
        "vdb": ("virtio", "/srv/a,b.qcow2"),
        "hdc": ("ide", "/iso/x.iso"),
    }
    second = next(disk for disk in x.disks if disk.target == "vdb").driver
    assert second is not None
    assert (second.type, second.cache, second.discard, second.io) == ("qcow2", "none", "unmap", "native")
    assert [(card.type, card.model, card.mac) for card in x.interfaces] == [
        ("bridge", "e1000", "52:54:00:aa:22:33"),
        ("user", "virtio", None),
    ]
    assert x.interfaces[1].port_forwards[0].ranges[0].start == 2222
    assert [one.type for one in x.serials] == ["pty"]
    assert [(one.type, one.target.name) for one in x.channels if one.target] == [("unix", "org.qemu.guest_agent.0")]
    assert [(one.type, one.port) for one in x.graphics] == [("vnc", 5903)]
    assert [one.model for one in x.videos] == ["qxl"]
    assert [one.type for one in x.inputs] == ["tablet"]
    assert [(one.source_dir, one.target) for one in x.filesystems] == [("/share", "s")]
    assert x.os is not None
    assert (x.os.machine, x.os.kernel, x.os.cmdline, x.os.bootmenu) == ("pc", "/k", "console=ttyS0 a,b", True)
    assert x.cpu is not None
    assert (x.cpu.mode, [one.name for one in x.cpu.features]) == ("host-passthrough", ["vmx", "avx2"])
    assert x.clock is not None
    assert x.clock.offset == "localtime"
    assert len(x.sysinfos) == 2
    assert x.watchdogs[0].model == "i6300esb"
    words = next(part for part in x.extensions if isinstance(part, QemuCommandLine))
    assert [one.value for one in words.arguments] == ["-plugin", "lib.so", "-device", "strange,a=1"]
    (override,) = (part for part in x.extensions if isinstance(part, QemuOverride))
    assert [(one.name, one.value) for one in override.devices[0].properties] == [("odd", "7")]
    told = "\n".join(document.notes)
    for option in ("-daemonize", "-pidfile /p", "-S", "-sandbox on", "-runas x", "-qmp unix", "-plugin lib.so", "odd"):
        assert option in told


def test_the_line_is_planned_with_what_it_kept(planned: Planned) -> None:
    line = ORDINARY.replace("-enable-kvm", "").replace("host,", "max,")
    plan = planned(taken(line), chains={"vdb": ()})
    text = " ".join(plan.argv)
    assert plan.argv[-4:] == ("-plugin", "lib.so", "-device", "strange,a=1")
    for part in ('"odd":7', "hostfwd", '"driver":"virtio-9p-pci"', "usb-tablet", "i6300esb", "max-bytes"):
        assert part in text


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("", "memory", 128 << 20),
        ("-M q35 -hda /x.raw", "disks.0.bus", "sata"),
        ("-drive file=/dev/sdb,format=raw,if=scsi,index=2", "disks.0.target", "sdc"),
        ("-drive file=nbd://host:1234/x,format=raw,if=virtio", "disks.0.source.hosts.0.port", 1234),
        ("-drive file=nbd:unix:/s:exportname=e,if=virtio", "disks.0.source.hosts.0.socket", "/s"),
        ("-drive file.driver=https,file.url=https://h/p,if=virtio", "disks.0.source.protocol", "https"),
        ("-drive file=/x.qcow2,if=virtio,snapshot=on", "disks.0.transient", True),
        ("-snapshot /x.raw", "disks.0.transient", True),
        ("-fda /f.img", "disks.0.device", "floppy"),
        ("-net nic,model=e1000 -net user", "interfaces.0.model", "e1000"),
        ("-net none", "interfaces", ()),
        ("-nic none -nographic", "graphics", ()),
        ("-nographic", "serials.0.type", "pty"),
        ("-drive file=/n.raw,if=none,id=n -device nvme,drive=n,serial=a", "disks.0.target", "nvme0n1"),
        ("-drive file=/n.raw,if=none,id=n -device nvme,drive=n,serial=a", "controllers.0.serial", "a"),
        ("-device nvme,id=x -drive file=/n,if=none,id=n -device nvme-ns,drive=n,bus=x,nsid=3", "disks.0.bus", "nvme"),
        ("-bios default", "os.loader", None),
        ("-balloon virtio", "memballoon.model", "virtio"),
        ("-nic tap,ifname=t0,script=no,downscript=no", "interfaces.0.target", "t0"),
        ("-netdev socket,id=a,listen=:1234 -device e1000,netdev=a", "interfaces.0.source.port", 1234),
        ("-spice port=5930,disable-ticketing=on", "graphics.0.port", 5930),
        ("-display gtk", "graphics.0.type", "vnc"),
        ("-display sdl,gl=on", "graphics.0.gl", True),
        ("-serial tcp:localhost:4444,server,nowait", "serials.0.sources.0.service", "4444"),
        ("-serial file:/log", "serials.0.sources.0.path", "/log"),
        ("-chardev pty,id=c -device isa-serial,chardev=c", "serials.0.type", "pty"),
        ("-bios /b.bin", "os.loader", "/b.bin"),
        ("-drive if=pflash,format=raw,readonly=on,file=/c -drive if=pflash,format=raw,file=/v", "os.nvram", "/v"),
        ("-machine accel=kvm:tcg", "type", "kvm"),
        ("-smp cores=2,threads=2", "vcpu", 4),
        ("-m 1G,slots=2,maxmem=4G", "max_memory", 4 << 30),
        ("-m 512 -mem-path /dev/hugepages", "memory_backing.hugepages", True),
        ("-numa node,cpus=0,mem=64M -numa node,cpus=1,mem=64M -smp 2", "cpu.cells.1.memory", 64 << 20),
        ("-rtc base=2030-01-31T12:00:00", "clock.offset", "absolute"),
        ("-no-reboot", "on_reboot", "destroy"),
        ("-device vfio-pci,host=01:00.1", "hostdevs.0.source.address.function", 1),
        ("-usb -device usb-host,vendorid=0x1234,productid=0x5678", "hostdevs.0.source.vendor", 0x1234),
        ("-tpmdev passthrough,id=t,path=/dev/tpm0 -device tpm-tis,tpmdev=t", "tpms.0.device", "/dev/tpm0"),
        ("-chardev socket,id=c,path=/s -device vhost-user-fs-pci,chardev=c,tag=t", "filesystems.0.source_socket", "/s"),
        ("-object iothread,id=io -device virtio-scsi-pci,iothread=io", "controllers.0.driver.iothread", 1),
        ("-device pcie-root-port,id=rp,chassis=3 -device e1000e,bus=rp -M q35", "interfaces.0.address.bus", 1),
        ("-audiodev pa,id=s -device ich9-intel-hda -device hda-duplex,audiodev=s", "sounds.0.codecs.0.type", "duplex"),
        ("-watchdog-action pause -device i6300esb", "watchdogs.0.action", "pause"),
    ],
)  # fmt: skip
def test_options_have_their_words(line: str, path: str, value: Any) -> None:
    found: Any = taken(f"qemu-system-x86_64 {line}")
    for step in path.split("."):
        found = found[int(step)] if step.isdecimal() else getattr(found, step)
    assert found == value


def test_a_device_that_is_kept_finds_its_place_after_the_others() -> None:
    for text, kept in (("edu", '{"driver":"edu"}'), ("edu,addr=9", "edu,addr=9"), ('{"driver":"edu"}', None)):
        (own,) = taken(f"qemu-system-x86_64 -device '{text}'").extensions
        assert isinstance(own, QemuCommandLine)
        assert [one.value for one in own.arguments] == ["-device", kept or text]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("-hda /x.qcow2", "taken for qcow2"),
        ("-hda x.raw", "no whole path"),
        ("-vnc :1", "127.0.0.1 alone"),
        ("-spice port=1,password=secret", "passw"),
        ("-boot once=d", "once=d"),
        ("-object secret,id=s,data=hunter2", "anyvirt secret"),
        ("-name a,process=b", "process"),
        ("-incoming tcp:0:1", "no migration"),
        ("-serial stdio", "pty"),
    ],
)
def test_the_reader_is_told_what_is_otherwise(line: str, note: str) -> None:
    notes = read(f"qemu-system-x86_64 {line}".encode()).notes
    assert any(note in one for one in notes)


@pytest.mark.parametrize("words", ["-m -5", "-m 1Z", "-m size=,slots=2", "-smp 0", "-smp x", "-smp 2,cores=-1"])
def test_what_qemu_would_not_take_is_not_taken_for_the_usual(words: str) -> None:
    with pytest.raises(Invalid, match=f"{words.partition(' ')[0]} has "):
        read(f"qemu-system-x86_64 {words}".encode())


@pytest.mark.parametrize(
    "words",
    [
        "-object secret,id=s,data=a,,hunter2",
        '-object \'{"qom-type":"secret","id":"s","data":"hunter2"}\'',
        "-object 'secret,id=s,data=a hunter2'",
        "-iscsi user=u,password=hunter2",
        "-spice port=1,password=hunter2",
        "-drive file=rbd:a/b:key=hunter2,odd=1",
        "-drive file=ssh://u:hunter2@h/x,format=raw,odd=1",
        "-device odd,password=hunter2,b=1",
    ],
)
def test_passwords_are_in_no_note(words: str) -> None:
    notes = read(f"qemu-system-x86_64 {words}".encode()).notes
    assert notes
    assert "hunter2" not in str(notes)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("-iscsi user=u,password=a,,hunter2,timeout=3", ["-iscsi", "user=u,timeout=3"]),
        ("-iscsi password=hunter2,user=u", ["-iscsi", "user=u"]),
        ("--iscsi=password=hunter2,user=u", ["-iscsi", "user=u"]),
        ("-global odd.password=hunter2", []),
        ("-device odd,password=hunter2,b=1", ["-device", "odd,b=1"]),
        ('-device \'{"driver":"odd","b":{"passwd":"hunter2"}}\'', ["-device", '{"driver":"odd","b":{}}']),
        ("-device odd,at=ssh://u:hunter2@h/x", ["-device", "odd,at=ssh://u@h/x"]),
        ("-device odd,at=rbd:a/b:key=hunter2:x=y", ["-device", "odd,at=rbd:a/b:x=y"]),
    ],
)
def test_passwords_are_left_out_of_what_is_kept(words: str, left: list[str]) -> None:
    document = read(f"qemu-system-x86_64 {words}".encode())
    assert "hunter2" not in document.text + str(document.notes)
    assert any(note.startswith("secret left out: ") for note in document.notes)
    own = [x for x in document.model.extensions if isinstance(x, QemuCommandLine)]
    assert [word.value for x in own for word in x.arguments] == left


@pytest.mark.parametrize("words", ["-device odd,password=on", "-device odd,password-secret=s", "-acpitable data=/x"])
def test_what_only_sounds_like_a_password_is_kept(words: str) -> None:
    document = read(f"qemu-system-x86_64 {words}".encode())
    assert words.partition(" ")[2] in document.text
    assert "secret left out" not in str(document.notes)


def test_what_a_shell_would_expand_is_taken_as_it_stands_and_said() -> None:
    line = (
        """qemu-system-x86_64 -hda "$HOME/x.raw" -bios ${FW}/b -kernel `k` -name '$not' -append "a \\$no" -L \\$nor"""
    )
    document = read(line.encode())
    noted = [note.partition(" is taken")[0] for note in document.notes if "no shell" in note]
    assert document.model.disks[0].source is not None
    assert document.model.disks[0].source.file == "$HOME/x.raw"
    assert noted == ["$HOME", "${FW}", "`k`"]


def test_an_image_of_a_format_without_a_word_is_not_taken_for_raw() -> None:
    for words in ("-hda /x.vhdx", "-drive file=/x,format=parallels"):
        with pytest.raises(Invalid, match="for which a definition has no word"):
            read(f"qemu-system-x86_64 {words}".encode())


def test_an_encrypted_image_asks_for_its_secret() -> None:
    words = "-object secret,id=s,data=hunter2 -drive file=/x.img,format=luks,key-secret=s,if=virtio"
    document = read(f"qemu-system-x86_64 {words}".encode())
    assert any("/x.img is encrypted with LUKS" in note for note in document.notes)
    source = document.model.disks[0].source
    assert source is not None
    assert source.encryption is not None
    assert (source.encryption.format, source.encryption.secrets[0].usage) == ("luks", "/x.img")
    assert "hunter2" not in document.text


def test_a_plans_line_comes_back_with_the_same_devices(document: Path, planned: Planned) -> None:
    accelerator = "kvm" if "type='kvm'" in document.read_text() else "tcg"
    plan = planned(document.read_text(), accelerator=accelerator)
    same = False
    with suppress(Invalid):
        again = planned(taken(shlex.join(plan.argv)), accelerator=accelerator)
        same = devices(again) == devices(plan)
    assert same == (document.stem not in OTHERWISE)


def test_a_definition_is_written_and_read_by_name(qemu: str) -> None:
    text = (
        f"<domain type='qemu'><name>a 'b'</name><memory unit='MiB'>64</memory>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><emulator>{qemu}</emulator>"
        "<disk type='file'><driver type='qcow2'/><source file='/a,b c.qcow2'/><target dev='vda' bus='virtio'/></disk>"
        "<graphics type='vnc' passwd='hunter2'/></devices></domain>"
    ).encode()
    line = convert(text, "domain", "qemu-argv")
    assert convert(text, "", "qemu-argv") == line
    pretty = converted(text, "domain", "qemu-argv", pretty=True).data.decode()
    for written in (line.decode(), pretty):
        assert "hunter2" not in written
        assert "# /RUN stands for" in written
        assert line_of(written.encode()).words == line_of(line).words
    assert pretty.count(" \\\n    -device ") > 2
    found = converted(line, "qemu-argv", "domain")
    assert any("-sandbox" in note for note in found.notes)
    x = parse(found.data, Domain)
    assert (x.name, x.disks[0].source.file if x.disks[0].source else "") == ("a 'b'", "/a,b c.qcow2")
