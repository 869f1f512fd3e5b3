"""Rules between fields."""

from __future__ import annotations

import pytest
from anyvirt.errors import CODES
from anyvirt.model.check import check, check_name
from anyvirt.model.domain import Domain
from anyvirt.model.xml import parse

GOOD = """\
<domain type='kvm'>
<name>{name}</name>
{top}
<memory>1024</memory>
{cpu}
<os><type>hvm</type>{os}</os>
<devices>
{devices}
</devices>
</domain>"""


def problems(
    *, name: str = "d", top: str = "", cpu: str = "", os: str = "", devices: str = ""
) -> list[tuple[str, int | None]]:
    found = check(parse(GOOD.format(name=name, top=top, cpu=cpu, os=os, devices=devices), Domain))
    assert all(problem.code in CODES and problem.text for problem in found)
    return [(problem.path, problem.line) for problem in found]


def test_a_good_document_has_no_problems() -> None:
    assert problems(cpu="<vcpu current='1'>2</vcpu>", devices="<disk><target dev='vda'/></disk>") == []


@pytest.mark.parametrize(
    ("parts", "path", "line"),
    [
        ({"top": "<title>a\nb</title>"}, "/title", 3),
        ({"top": "<maxMemory slots='4'>512</maxMemory>"}, "/maxMemory", 3),
        ({"top": "<maxMemory>4096</maxMemory>"}, "/maxMemory/@slots", 3),
        ({"cpu": "<vcpu>0</vcpu>"}, "/vcpu", 5),
        ({"cpu": "<vcpu current='3'>2</vcpu>"}, "/vcpu/@current", 5),
        ({"cpu": "<cpu><feature name='vmx'/><feature name='vmx'/></cpu>"}, "/cpu/feature[vmx]", 5),
        ({"cpu": "<cpu><numa><cell id='1' cpus='0' memory='1'/></numa></cpu>"}, "/cpu/numa", 5),
        (
            {
                "cpu": "<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='1'/>"
                "<cell id='1' cpus='1' memory='1'/></numa></cpu>"
            },
            "/cpu/numa/cell[1]/@cpus",
            5,
        ),
        ({"os": "<cmdline>quiet</cmdline>"}, "/os/cmdline", 6),
        ({"os": "<initrd>/i</initrd>"}, "/os/initrd", 6),
        (
            {"os": "<boot dev='hd'/>", "devices": "<disk><target dev='vda'/><boot order='1'/></disk>"},
            "/os/boot",
            6,
        ),
        (
            {
                "devices": "<disk><target dev='vda'/><boot order='1'/></disk>\n<interface type='user'>"
                "<boot order='1'/></interface>"
            },
            "/devices/interface[0]/boot/@order",
            9,
        ),
        (
            {"devices": "<disk><target dev='a'/></disk>\n<disk><target dev='a'/></disk>"},
            "/devices/disk[a]/target/@dev",
            9,
        ),
        ({"devices": "<disk/>"}, "/devices/disk[0]/target/@dev", 8),
        (
            {
                "devices": "<disk><target dev='a'/><iotune><total_bytes_sec>1</total_bytes_sec>"
                "<read_bytes_sec>1</read_bytes_sec></iotune></disk>"
            },
            "/devices/disk[a]/iotune/total_bytes_sec",
            8,
        ),
        (
            {"devices": "<interface type='user'><mac address='53:54:00:00:00:01'/></interface>"},
            "/devices/interface[53:54:00:00:00:01]/mac/@address",
            8,
        ),
        ({"devices": "<interface type='bridge'/>"}, "/devices/interface[0]/source/@bridge", 8),
        (
            {
                "devices": "<disk><target dev='a'/><alias name='ua-x'/></disk>\n<disk><target dev='b'/>"
                "<alias name='ua-x'/></disk>"
            },
            "/devices/disk[b]/alias/@name",
            9,
        ),
        (
            {"devices": "<controller type='usb' index='0'/>\n<controller type='usb' index='0'/>"},
            "/devices/controller[usb,0]",
            9,
        ),
        (
            {
                "devices": "<rng><address type='pci' slot='3'/></rng>\n<rng>"
                "<address type='pci' slot='0x3' function='0'/></rng>"
            },
            "/devices/rng[1]/address",
            9,
        ),
        (
            {"devices": "<video><model primary='yes'/></video>\n<video><model primary='yes'/></video>"},
            "/devices/video/model/@primary",
            9,
        ),
        ({"devices": "<video><model type='none'/></video>\n<video/>"}, "/devices/video/model/@type", 8),
        (
            {"devices": "<filesystem><target dir='/a'/></filesystem>\n<filesystem><target dir='/a'/></filesystem>"},
            "/devices/filesystem[/a]",
            9,
        ),
    ],
)
def test_each_rule_names_path_and_line(parts: dict[str, str], path: str, line: int) -> None:
    assert problems(**parts) == [(path, line)]


def disk(inner: str = "", attributes: str = "", target: str = "<target dev='vda'/>") -> dict[str, str]:
    return {"devices": f"<disk {attributes}>{inner}{target}</disk>"}


def graphics(*tags: str) -> dict[str, str]:
    return {"devices": "".join(f"<graphics {tag}/>" for tag in tags)}


@pytest.mark.parametrize(
    ("parts", "code", "path"),
    [
        ({"cpu": "<cpu><model vendor_id='short'>x</model></cpu>"}, "config.invalid", "/cpu/model/@vendor_id"),
        ({"cpu": "<cpu mode='custom'><cache mode='passthrough'/></cpu>"}, "config.conflict", "/cpu/cache/@mode"),
        (
            {"cpu": "<cpu mode='maximum'><cache mode='passthrough' level='3'/></cpu>"},
            "config.conflict",
            "/cpu/cache/@level",
        ),
        (
            {"cpu": "<cpu mode='maximum'><maxphysaddr mode='passthrough' bits='42'/></cpu>"},
            "config.conflict",
            "/cpu/maxphysaddr/@bits",
        ),
        (
            {"cpu": "<cpu><topology sockets='1' cores='0' threads='1'/></cpu>"},
            "config.range",
            "/cpu/topology/@cores",
        ),
        (
            {"cpu": "<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-2' memory='1'/></numa></cpu>"},
            "config.reference",
            "/cpu/numa/cell[0]/@cpus",
        ),
        (
            {
                "cpu": "<cpu><numa><cell id='0' cpus='0' memory='1'><distances><sibling id='1' value='20'/>"
                "</distances></cell></numa></cpu>"
            },
            "config.reference",
            "/cpu/numa/cell[0]/distances/sibling[1]",
        ),
        (
            {
                "cpu": "<cpu><numa><cell id='0' cpus='0' memory='1'><distances><sibling id='0' value='9'/>"
                "</distances></cell></numa></cpu>"
            },
            "config.range",
            "/cpu/numa/cell[0]/distances/sibling[0]/@value",
        ),
        (
            {"top": "<memoryBacking><hugepages><page size='4'/><page size='8'/></hugepages></memoryBacking>"},
            "config.duplicate",
            "/memoryBacking/hugepages/page[8192]",
        ),
        (
            {"top": "<memoryBacking><hugepages><page size='4' nodeset='1'/></hugepages></memoryBacking>"},
            "config.reference",
            "/memoryBacking/hugepages/page[4096]/@nodeset",
        ),
        (
            {
                "top": "<memoryBacking><hugepages><page size='4' nodeset='0'/><page size='8' nodeset='0'/>"
                "</hugepages></memoryBacking>",
                "cpu": "<cpu><numa><cell id='0' cpus='0' memory='1'/></numa></cpu>",
            },
            "config.duplicate",
            "/memoryBacking/hugepages/page[8192]/@nodeset",
        ),
        ({"os": "<loader type='pflash'/>"}, "config.missing", "/os/loader"),
        ({"os": "<loader type='rom'>/f</loader><nvram>/n</nvram>"}, "config.conflict", "/os/nvram"),
        ({"os": "<loader type='rom' stateless='no'>/f</loader>"}, "config.conflict", "/os/loader/@stateless"),
        (
            {"os": "<loader type='pflash' stateless='yes'>/f</loader><nvram template='/t'/>"},
            "config.conflict",
            "/os/nvram/@template",
        ),
        (disk("", "type='block'"), "config.missing", "/devices/disk[vda]/source/@dev"),
        (
            disk("<auth/><source protocol='rbd'><auth/></source>", "type='network'"),
            "config.conflict",
            "/devices/disk[vda]/auth",
        ),
        (
            disk("<source file='/i'><encryption format='luks'><cipher name='aes'/></encryption></source>"),
            "config.conflict",
            "/devices/disk[vda]/source/encryption/cipher",
        ),
        (
            disk("<source file='/i' startupPolicy='requisite'/>"),
            "config.conflict",
            "/devices/disk[vda]/source/@startupPolicy",
        ),
        (disk("<source file='/i'/>", "type='file' device='lun'"), "config.conflict", "/devices/disk[vda]/@type"),
        (
            disk("<driver type='qcow2'/><source dev='/i'/>", "type='block' device='lun'"),
            "config.conflict",
            "/devices/disk[vda]/driver/@type",
        ),
        (
            disk("<address type='pci' slot='4'/>", target="<target dev='sda' bus='usb'/>"),
            "config.conflict",
            "/devices/disk[sda]/address/@type",
        ),
        (
            disk("", "device='floppy'", "<target dev='fda' bus='ide'/>"),
            "config.conflict",
            "/devices/disk[fda]/target/@bus",
        ),
        (
            disk("<iotune><read_iops_sec>9</read_iops_sec><read_iops_sec_max>8</read_iops_sec_max></iotune>"),
            "config.conflict",
            "/devices/disk[vda]/iotune/read_iops_sec_max",
        ),
        (
            disk("<iotune><read_iops_sec_max_length>8</read_iops_sec_max_length></iotune>"),
            "config.missing",
            "/devices/disk[vda]/iotune/read_iops_sec_max",
        ),
        (
            {"devices": "<interface type='vhostuser'><model type='e1000'/></interface>"},
            "config.conflict",
            "/devices/interface[0]/model/@type",
        ),
        (
            {"devices": "<video><model type='ramfb'/><address type='pci' slot='9'/></video>"},
            "config.conflict",
            "/devices/video[0]/address",
        ),
        (
            graphics("type='vnc' port='5900'", "type='spice' port='5901' tlsPort='5900'"),
            "config.duplicate",
            "/devices/graphics[spice]/@tlsPort",
        ),
        (
            graphics("type='sdl'", "type='egl-headless'"),
            "config.conflict",
            "/devices/graphics[egl-headless]/@type",
        ),
        ({"devices": "<tpm model='tpm-tis'/>"}, "config.missing", "/devices/tpm[0]/backend/@type"),
        ({"devices": "<shmem name='s'><msi/></shmem>"}, "config.missing", "/devices/shmem[s]/server"),
        ({"devices": "<shmem/>"}, "config.missing", "/devices/shmem[0]/@name"),
        (
            {"devices": "<iommu model='intel'><driver intremap='off' eim='on'/></iommu>"},
            "config.conflict",
            "/devices/iommu/driver/@eim",
        ),
        (
            {
                "devices": "<serial type='tcp'><source mode='connect'><reconnect enabled='yes' timeout='0'/>"
                "</source></serial>"
            },
            "config.range",
            "/devices/serial[0]/source/reconnect/@timeout",
        ),
        (
            {"devices": "<serial type='tcp'><source mode='bind'><reconnect enabled='yes'/></source></serial>"},
            "config.conflict",
            "/devices/serial[0]/source/reconnect/@enabled",
        ),
        (
            {"devices": "<serial type='nmdm'><source master='/dev/nmdm0A'/></serial>"},
            "config.missing",
            "/devices/serial[0]/source/@slave",
        ),
        (
            {"devices": "<rng><address type='pci'><zpci uid='0'/></address></rng>"},
            "config.range",
            "/devices/rng[0]/address/zpci/@uid",
        ),
        (
            {
                "devices": "<rng><address type='ccw' cssid='0xfe' ssid='0' devno='1'/></rng>"
                "<rng><address type='ccw' cssid='0xfe' ssid='0' devno='1'/></rng>"
            },
            "config.duplicate",
            "/devices/rng[1]/address",
        ),
        (
            {
                "devices": "<disk><target dev='sda' bus='scsi'/><address type='drive' unit='1'/></disk>"
                "<disk><target dev='sdb' bus='scsi'/><address type='drive' unit='1'/></disk>"
            },
            "config.duplicate",
            "/devices/disk[sdb]/address",
        ),
        (
            {"devices": "<controller type='usb' model='none'/><controller type='usb' index='1' model='nec-xhci'/>"},
            "config.duplicate",
            "/devices/controller[usb,1]",
        ),
        (
            {"devices": "<controller type='usb' model='none'/><hub type='usb'><address type='usb' port='1'/></hub>"},
            "config.reference",
            "/devices/hub[0]/address",
        ),
        (
            {
                "devices": "<hub type='usb'><address type='usb' bus='0' port='1'/></hub>"
                "<hub type='usb'><address type='usb' bus='0' port='1'/></hub>"
            },
            "config.duplicate",
            "/devices/hub[1]/address",
        ),
        (
            {"devices": "<input type='mouse'><address type='usb' bus='0' port='1.9'/></input>"},
            "config.range",
            "/devices/input[0]/address/@port",
        ),
        (
            {"devices": "<input type='mouse'><address type='usb' bus='0' port='1.1.1.1.1'/></input>"},
            "config.range",
            "/devices/input[0]/address/@port",
        ),
        (
            {"devices": "<controller type='usb' model='none'/><input type='tablet' bus='usb'/>"},
            "config.reference",
            "/devices/input[tablet,usb]/@bus",
        ),
        ({"top": "<seclabel model='dac'/><seclabel model='dac'/>"}, "config.duplicate", "/seclabel[dac]"),
        (
            {"top": "<sysinfo type='smbios'><bios><entry name='date'>99/1/2020</entry></bios></sysinfo>"},
            "config.invalid",
            "/sysinfo[smbios]/bios/entry[date]",
        ),
        (
            {
                "top": "<uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><sysinfo type='smbios'><system>"
                "<entry name='uuid'>d7a5fdbd-edaf-9455-926a-d65c16db1809</entry></system></sysinfo>"
            },
            "config.conflict",
            "/sysinfo[smbios]/system/entry[uuid]",
        ),
        *[
            ({"top": f"<vcpu>2</vcpu><iothreads>1</iothreads>{top}"}, code, path)
            for top, code, path in (
                ("<cputune><vcpupin vcpu='2' cpuset='0'/></cputune>", "config.reference", "/cputune/vcpupin[2]/@vcpu"),
                (
                    "<cputune><vcpupin vcpu='1' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/></cputune>",
                    "config.duplicate",
                    "/cputune/vcpupin[1]",
                ),
                (
                    "<cputune><iothreadpin iothread='2' cpuset='0'/></cputune>",
                    "config.reference",
                    "/cputune/iothreadpin[2]/@iothread",
                ),
                (
                    "<cputune><vcpusched vcpus='0-1' scheduler='rr' priority='1'/><vcpusched vcpus='1'/></cputune>",
                    "config.duplicate",
                    "/cputune/vcpusched[1]/@vcpus",
                ),
                (
                    "<cputune><iothreadsched iothreads='2' scheduler='idle'/></cputune>",
                    "config.reference",
                    "/cputune/iothreadsched[2]/@iothreads",
                ),
                (
                    "<cputune><emulatorsched scheduler='fifo'/></cputune>",
                    "config.missing",
                    "/cputune/emulatorsched/@priority",
                ),
                (
                    "<cputune><vcpusched vcpus='0' scheduler='batch' priority='3'/></cputune>",
                    "config.conflict",
                    "/cputune/vcpusched[0]/@priority",
                ),
                (
                    "<memtune><hard_limit>2</hard_limit><swap_hard_limit>1</swap_hard_limit></memtune>",
                    "config.conflict",
                    "/memtune/swap_hard_limit",
                ),
                (
                    "<blkiotune><device><path>/d</path></device><device><path>/d</path></device></blkiotune>",
                    "config.duplicate",
                    "/blkiotune/device[/d]",
                ),
                ("<resource><partition>x</partition></resource>", "config.invalid", "/resource/partition"),
                (
                    "<numatune><memory mode='strict' placement='static'/></numatune>",
                    "config.missing",
                    "/numatune/memory/@nodeset",
                ),
                (
                    "<numatune><memnode cellid='0' mode='strict' nodeset='0'/></numatune>",
                    "config.reference",
                    "/numatune/memnode[0]/@cellid",
                ),
                (
                    "<iothreadids><iothread id='3'/><iothread id='3'/></iothreadids>",
                    "config.duplicate",
                    "/iothreadids/iothread[3]",
                ),
            )
        ],
        (disk("<driver iothread='4'/>"), "config.reference", "/devices/disk[vda]/driver/@iothread"),
        *[
            ({"devices": devices, "top": "<maxMemory slots='2'>99999999</maxMemory>"}, code, path)
            for devices, code, path in (
                (
                    "<memory model='dimm'><target><size>1</size><node>1</node></target></memory>",
                    "config.reference",
                    "/devices/memory[0]/target/node",
                ),
                ("<memory model='dimm'/>", "config.missing", "/devices/memory[0]/target/size"),
                (
                    "<memory model='virtio-mem'><target><size>4</size><requested>8</requested></target></memory>",
                    "config.range",
                    "/devices/memory[0]/target/requested",
                ),
                (
                    (
                        "<memory model='virtio-mem'><target><size>8</size><block>4</block>"
                        "<requested>5</requested></target></memory>"
                    ),
                    "config.range",
                    "/devices/memory[0]/target/requested",
                ),
                (
                    "<memory model='dimm'><target><size>1</size></target><address type='dimm' slot='2'/></memory>",
                    "config.range",
                    "/devices/memory[0]/address/@slot",
                ),
                (
                    (
                        "<memory model='dimm'><target><size>1</size></target><address type='dimm' slot='1'/></memory>"
                        "<memory model='dimm'><target><size>1</size></target><address type='dimm' slot='1'/></memory>"
                    ),
                    "config.duplicate",
                    "/devices/memory[1]/address/@slot",
                ),
            )
        ],
        (
            {"devices": "<memory model='dimm'><target><size>1</size></target></memory>"},
            "config.missing",
            "/devices/memory[0]",
        ),
        *[
            ({"devices": devices}, code, path)
            for devices, code, path in (
                ("<hostdev type='pci'/>", "config.missing", "/devices/hostdev[0]/source"),
                ("<hostdev type='pci'><source/></hostdev>", "config.missing", "/devices/hostdev[0]/source/address"),
                (
                    "<hostdev type='usb'><source><vendor id='0x1234'/></source></hostdev>",
                    "config.missing",
                    "/devices/hostdev[0]/source",
                ),
                (
                    "<hostdev type='mdev' model='vfio-pci'><source><address/></source></hostdev>",
                    "config.missing",
                    "/devices/hostdev[0]/source/address/@uuid",
                ),
                (
                    (
                        "<hostdev type='usb'><source><address bus='1' device='2'/></source></hostdev>"
                        "<hostdev type='usb'><source><address bus='1' device='2'/></source></hostdev>"
                    ),
                    "config.duplicate",
                    "/devices/hostdev[1]/source",
                ),
                (
                    (
                        "<hostdev type='mdev' model='vfio-ccw'><source>"
                        "<address uuid='c7a5fdbd-edaf-9455-926a-d65c16db1809'/></source>"
                        "<address type='pci' slot='9'/></hostdev>"
                    ),
                    "config.conflict",
                    "/devices/hostdev[0]/address/@type",
                ),
                (
                    (
                        "<hostdev type='mdev' model='vfio-pci' display='on'><source>"
                        "<address uuid='c7a5fdbd-edaf-9455-926a-d65c16db1809'/></source></hostdev>"
                    ),
                    "config.missing",
                    "/devices/hostdev[0]/@display",
                ),
            )
        ],
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_has_a_code_of_its_kind_and_a_way_out(parts: dict[str, str], code: str, path: str) -> None:
    texts = {"name": "d", "top": "", "cpu": "", "os": "", "devices": "", **parts}
    found = check(parse(GOOD.format(**texts), Domain))
    assert [(problem.code, problem.path) for problem in found] == [(code, path)]
    assert found[0].line
    assert found[0].hint


def test_everything_is_listed_at_once() -> None:
    found = check(parse("<domain><devices><disk/><interface type='network'/></devices></domain>", Domain))
    assert {problem.path for problem in found} == {
        "/name",
        "/@type",
        "/memory",
        "/os",
        "/devices/disk[0]/target/@dev",
        "/devices/interface[0]/source/@network",
    }


@pytest.mark.parametrize(
    "name",
    ["", "a\nb", "a/b", "../x", ".", "..", "x" * 256, "\u00e9" * 128, "a\0b", " "],
    ids=lambda name: repr(name)[:12],
)
def test_names_that_no_host_should_hold(name: str) -> None:
    assert list(check_name(name))


@pytest.mark.parametrize("name", ["web", "a,b", "x" * 255, "caf\u00e9", "a b", "-c", "$(reboot)", "a=b"])
def test_names_that_are_only_odd_are_left_alone(name: str) -> None:
    assert list(check_name(name)) == []


def test_current_memory_above_memory_is_no_error_because_it_is_clamped() -> None:
    assert problems(top="<currentMemory>4096</currentMemory>") == []


def test_memory_may_come_from_numa_cells_and_no_hypervisor_needs_a_memory_of_0() -> None:
    assert check(parse("<domain type='kvm'><name>d</name><memory>0</memory><os><type>hvm</type></os></domain>", Domain))
    cells = "<cpu><numa><cell id='0' cpus='0' memory='1'/></numa></cpu>"
    assert check(parse(f"<domain type='kvm'><name>d</name><os><type>hvm</type></os>{cells}</domain>", Domain)) == ()


def test_usb_companions_share_an_index() -> None:
    both = (
        "<controller type='usb' index='0' model='ich9-ehci1'/>"
        "<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>"
    )
    assert problems(devices=both) == []


def test_the_first_console_may_repeat_the_first_serial_port() -> None:
    address = "<address type='pci' slot='4'/>"
    assert problems(devices=f"<serial type='pty'>{address}</serial><console type='pty'>{address}</console>") == []


def test_values_of_no_type_that_their_field_has_are_problems_not_crashes() -> None:
    wrong = Domain(name=5, memory=1 << 30)  # type: ignore[arg-type]
    assert [(problem.code, problem.path) for problem in check(wrong)] == [("xml.value", "/name")]
