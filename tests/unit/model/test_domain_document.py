"""Documents of our own with what a domain has outside its devices, and what a host says it can do."""

from __future__ import annotations

from typing import Any

import pytest
from anyvirt.model.change import get
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse

DOMAIN = """
<domain type='lxc'>
  <name>all</name>
  <blkiotune>
    <weight>500</weight>
    <device><path>/dev/sda</path><weight>300</weight><read_iops_sec>1</read_iops_sec><write_iops_sec>2</write_iops_sec>
      <read_bytes_sec>3</read_bytes_sec><write_bytes_sec>4</write_bytes_sec></device>
  </blkiotune>
  <memtune>
    <hard_limit unit='MiB'>4</hard_limit><soft_limit>2</soft_limit>
    <min_guarantee>1</min_guarantee><swap_hard_limit>5</swap_hard_limit>
  </memtune>
  <memoryBacking>
    <hugepages><page size='2' unit='M' nodeset='0'/></hugepages><nosharepages/><locked/>
    <source type='memfd'/><access mode='shared'/><allocation mode='immediate' threads='8'/><discard/>
  </memoryBacking>
  <vcpu placement='auto' cpuset='0-3,^2' current='1'>4</vcpu>
  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/></vcpus>
  <iothreads>2</iothreads>
  <iothreadids><iothread id='1' thread_pool_min='1' thread_pool_max='9'/></iothreadids>
  <defaultiothread thread_pool_min='2' thread_pool_max='8'/>
  <cputune>
    <shares>1024</shares><period>1000</period><quota>-1</quota>
    <global_period>2000</global_period><global_quota>3000</global_quota>
    <emulator_period>4000</emulator_period><emulator_quota>5000</emulator_quota>
    <iothread_period>6000</iothread_period><iothread_quota>7000</iothread_quota>
    <vcpupin vcpu='0' cpuset='1'/><emulatorpin cpuset='2-3'/><iothreadpin iothread='1' cpuset='3'/>
    <vcpusched vcpus='0-1' scheduler='rr' priority='5'/><iothreadsched iothreads='1' scheduler='batch'/>
    <emulatorsched scheduler='fifo' priority='6'/>
    <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/>
      <monitor level='3' vcpus='1'/></cachetune>
    <memorytune vcpus='0-3'><node id='0' bandwidth='60'/><monitor vcpus='0'/></memorytune>
  </cputune>
  <numatune><memory mode='strict' placement='static' nodeset='0-1'/>
    <memnode cellid='0' mode='preferred' nodeset='1'/></numatune>
  <resource><partition>/machine</partition><fibrechannel appid='app'/></resource>
  <sysinfo type='smbios'>
    <bios><entry name='release'>1.2</entry></bios><system><entry name='sku'>S</entry></system>
    <baseBoard><entry name='location'>L</entry></baseBoard><chassis><entry name='asset'>A</entry></chassis>
    <oemStrings><entry>one</entry><entry>two</entry></oemStrings>
  </sysinfo>
  <sysinfo type='fwcfg'><entry name='opt/a'>text</entry><entry name='opt/b' file='/b'/></sysinfo>
  <os firmware='efi'>
    <type arch='aarch64' machine='virt'>hvm</type>
    <firmware><feature enabled='yes' name='secure-boot'/></firmware>
    <init>/sbin/init</init><initarg>-x</initarg><initenv name='A'>1</initenv><initdir>/d</initdir>
    <inituser>u</inituser><initgroup>g</initgroup>
    <loader readonly='yes' secure='no' type='pflash' stateless='yes'>/l</loader>
    <nvram template='/t' type='file'><source file='/v'/></nvram>
    <acpi><table type='slic'>/s</table></acpi>
    <bootmenu enable='yes' timeout='3000'/><bios useserial='yes' rebootTimeout='-1'/><smbios mode='sysinfo'/>
  </os>
  <idmap><uid start='0' target='1000' count='10'/><gid start='0' target='2000' count='20'/></idmap>
  <features>
    <hap state='off'/><viridian/><privnet/>
    <hyperv mode='passthrough'><spinlocks state='on' retries='4096'/><stimer><direct state='on'/></stimer>
      <vendor_id state='on' value='me'/></hyperv>
    <kvm><dirty-ring state='on' size='4096'/><pv-ipi state='off'/></kvm>
    <xen><e820_host state='on'/><passthrough state='on' mode='sync_pt'/></xen>
    <capabilities policy='deny'><mknod state='on'/><sys_time state='off'/><wake_alarm/></capabilities>
    <gic version='host'/><smm state='on'><tseg>48</tseg></smm><ioapic driver='kvm'/>
    <hpt resizing='required'><maxpagesize unit='MiB'>16</maxpagesize></hpt>
    <htm state='on'/><ccf-assist state='off'/><cfpc value='fixed'/><sbbc value='broken'/><ibs value='fixed-na'/>
    <msrs unknown='fault'/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg>
  </features>
  <cpu mode='maximum' migratable='off'>
    <cache level='3' mode='emulate'/><maxphysaddr mode='emulate' bits='42'/>
    <numa><cell id='0' cpus='0' memory='1' unit='GiB'><distances><sibling id='0' value='10'/></distances>
        <cache level='1' associativity='direct' policy='writeback'><size value='8' unit='KiB'/>
          <line value='64' unit='B'/></cache></cell>
      <interconnects><latency initiator='0' target='0' cache='1' type='access' value='5'/>
        <bandwidth initiator='0' target='0' type='read' value='2' unit='GiB'/></interconnects></numa>
  </cpu>
  <clock offset='variable' adjustment='-60' basis='localtime'>
    <timer name='tsc' frequency='1000' mode='paravirt'/>
    <timer name='rtc' tickpolicy='catchup' track='wall'><catchup threshold='1' slew='2' limit='3'/></timer>
  </clock>
  <perf><event name='cmt' enabled='yes'/></perf>
  <devices/>
  <seclabel type='static' model='selinux' relabel='no'><label>a:b</label><baselabel>c</baselabel></seclabel>
  <keywrap><cipher name='dea' state='off'/></keywrap>
  <launchSecurity type='sev' kernelHashes='yes'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits>
    <policy>0x0003</policy><handle>7</handle><dhCert>AA==</dhCert><session>BB==</session></launchSecurity>
</domain>
"""
HOST = """
<capabilities>
  <host>
    <cpu><arch>x86_64</arch><counter name='tsc' frequency='2000000000' scaling='yes'/><microcode version='7'/>
      <signature family='6' model='85' stepping='4'/><pages unit='KiB' size='2048'/></cpu>
    <power_management><suspend_disk/></power_management><iommu support='yes'/>
    <migration_features><live/><uri_transports><uri_transport>rdma</uri_transport></uri_transports></migration_features>
    <topology><cells num='1'><cell id='0'><memory unit='KiB'>1024</memory><pages unit='KiB' size='4'>256</pages>
        <distances><sibling id='0' value='10'/></distances>
        <cache level='1' associativity='full' policy='none'><size value='1' unit='MiB'/></cache>
        <cpus num='1'><cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0-1'/></cpus></cell></cells>
      <interconnects><latency initiator='0' target='0' type='access' value='7'/></interconnects></topology>
    <cache><bank id='0' level='3' type='both' size='15' unit='MiB' cpus='0-5'>
        <control granularity='768' unit='KiB' min='1536' type='code' maxAllocs='4'/></bank>
      <monitor level='3' reuseThreshold='270336' maxMonitors='176'><feature name='llc_occupancy'/></monitor></cache>
    <memory_bandwidth><node id='0' cpus='0-5'><control granularity='10' min='10' maxAllocs='4'/></node>
      <monitor maxMonitors='176'><feature name='mbm_local_bytes'/></monitor></memory_bandwidth>
    <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+1:+2</baselabel></secmodel>
  </host>
  <guest><os_type>hvm</os_type>
    <arch name='i686'><wordsize>32</wordsize><machine canonical='pc-1' maxCpus='255' deprecated='yes'>pc</machine>
      <domain type='kvm'><emulator>/e</emulator></domain></arch>
    <features><acpi default='on' toggle='yes'/><externalSnapshot/></features></guest>
</capabilities>
"""
GUEST = """
<domainCapabilities>
  <path>/q</path><domain>kvm</domain><machine>q35</machine><arch>x86_64</arch><vcpu max='255'/>
  <iothreads supported='yes'/>
  <os supported='yes'><enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'><value>/OVMF.fd</value><enum name='readonly'><value>yes</value><value>no</value></enum>
    </loader></os>
  <cpu><mode name='host-passthrough' supported='yes'>
      <enum name='hostPassthroughMigratable'><value>on</value></enum></mode>
    <mode name='host-model' supported='yes'><model fallback='forbid'>M</model><vendor>V</vendor>
      <maxphysaddr mode='passthrough' limit='46'/><feature policy='require' name='x'/></mode>
    <mode name='custom' supported='yes'><model usable='no' deprecated='yes' vendor='Intel'>A</model>
      <blockers model='A'><feature name='b'/></blockers></mode></cpu>
  <devices><disk supported='yes'><enum name='bus'><value>virtio</value></enum></disk>
    <hostdev supported='no'/></devices>
  <features><gic supported='no'/><vmcoreinfo supported='yes'/><backup supported='no'/><s390-pv supported='no'/>
    <sev supported='yes'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><maxGuests>59</maxGuests>
      <maxESGuests>450</maxESGuests></sev>
    <sgx supported='yes'><flc>no</flc><sgx1>yes</sgx1><sgx2>no</sgx2><section_size unit='KiB'>2</section_size>
      <sections><section node='0' size='1' unit='MiB'/></sections></sgx>
    <hyperv supported='yes'><enum name='features'><value>relaxed</value></enum></hyperv></features>
</domainCapabilities>
"""


@pytest.mark.parametrize("text", [DOMAIN, HOST, GUEST], ids=["domain", "host", "guests"])
def test_all_of_it_is_known_and_comes_through_whole(text: str) -> None:
    x = parse(text)
    assert unknown(x) == ()
    assert parse(dump(x)) == x
    assert parse(dump(x, canonical=True)) == x


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/memtune/hard_limit", 4 << 20),
        ("/memtune/soft_limit", 2048),
        ("/memoryBacking/hugepages/page[2097152]/@size", 2 << 20),
        ("/vcpu/@cpuset", frozenset({0, 1, 3})),
        ("/vcpus/vcpu[0]/@hotpluggable", False),
        ("/defaultiothread/@thread_pool_max", 8),
        ("/cputune/quota", -1),
        ("/cputune/emulatorpin/@cpuset", frozenset({2, 3})),
        ("/cputune/vcpusched[0-1]/@priority", 5),
        ("/cputune/cachetune[0-1]/cache[0,3,both]/@size", 3 << 20),
        ("/cputune/memorytune[0-3]/node[0]/@bandwidth", 60),
        ("/numatune/memnode[0]/@mode", "preferred"),
        ("/resource/fibrechannel/@appid", "app"),
        ("/sysinfo[0]/oemStrings/entry", ("one", "two")),
        ("/sysinfo[1]/entry[opt/b]/@file", "/b"),
        ("/os/initenv[A]", None),
        ("/os/bios/@rebootTimeout", -1),
        ("/idmap/gid[0]/@target", 2000),
        ("/features/hyperv/stimer", True),
        ("/features/capabilities/wake_alarm", True),
        ("/features/smm/tseg", 48 << 20),
        ("/features/hpt/maxpagesize", 16 << 20),
        ("/cpu/cache/@level", 3),
        ("/cpu/numa/cell[0]/cache[1]/line/@value", 64),
        ("/cpu/numa/interconnects/bandwidth[0]/@value", 2 << 30),
        ("/clock/@adjustment", -60),
        ("/launchSecurity/policy", 3),
        ("/keywrap/cipher[dea]/@state", False),
        ("/perf/event[cmt]/@enabled", True),
    ],
)
def test_values_of_a_domain_are_what_they_mean(path: str, value: Any) -> None:
    found = get(parse(DOMAIN), path)
    assert getattr(found, "value", found) == value if value is not None else found.value == "1"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/host/cpu/counter/@scaling", True),
        ("/host/cpu/pages[2097152]/@size", 2 << 20),
        ("/host/topology/cells/cell[0]/pages[4096]/@size", 4096),
        ("/host/topology/cells/cell[0]/cpus/cpu[0]/@siblings", frozenset({0, 1})),
        ("/host/cache/bank[0,3,both]/control[code]/@granularity", 768 << 10),
        ("/host/memory_bandwidth/node[0]/control/@maxAllocs", 4),
        ("/guest[hvm,i686]/features/acpi/@default", True),
    ],
)
def test_values_of_a_host_are_what_they_mean(path: str, value: Any) -> None:
    assert get(parse(HOST), path) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/os/loader/enum[0]/value", (True, False)),
        ("/cpu/mode[1]/maxphysaddr/@limit", 46),
        ("/cpu/mode[2]/model[A]/@usable", "no"),
        ("/devices/disk/enum[0]/value", ("virtio",)),
        ("/features/sgx/sections/section[0]/@size", 1 << 20),
        ("/features/backup/@supported", False),
    ],
)
def test_values_of_what_guests_can_have_are_what_they_mean(path: str, value: Any) -> None:
    assert get(parse(GUEST), path) == value


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("<period>1000<", "<period>999<", "/cputune/period"),
        ("priority='5'", "priority='100'", "/cputune/vcpusched[0-1]/@priority"),
        ("vcpus='0-1' scheduler", "vcpus='1-0' scheduler", "/cputune/vcpusched[0]/@vcpus"),
        ("adjustment='-60'", "adjustment='soon'", "/clock/@adjustment"),
        ("arch='aarch64'", "arch='aarch65'", "/os/type/@arch"),
        ("name='cmt'", "name='cmd'", "/perf/event[0]/@name"),
        ("type='sev'", "type='sevv'", "/launchSecurity"),
    ],
)
def test_values_outside_their_kind_are_named_by_path(old: str, new: str, path: str) -> None:
    assert old in DOMAIN
    (problem,) = unknown(parse(DOMAIN.replace(old, new)))
    assert (problem.code, problem.path) == ("xml.value", path)
