"""Reading documents: typed values, kept spelling, kept unknown content."""

from __future__ import annotations

import time
from itertools import permutations

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.address import DriveAddress, PciAddress
from anyvirt.model.devices.disk import Disk, DiskBus
from anyvirt.model.devices.interface import Interface
from anyvirt.model.domain import Domain
from anyvirt.model.storage import Volume
from anyvirt.model.strict import unknown
from anyvirt.model.write import dump
from anyvirt.model.xml import parse
from lxml import etree

TWO_DISKS = """\
<domain type='qemu'>
  <name>d</name>
  <devices>
    <disk type='file'>
      <target dev='vda'/>
    </disk>
    <lamp brightness="3"/>
    <disk type='file'>
      <target dev='vdb'/>
    </disk>
  </devices>
</domain>
"""


def read(inner: str) -> Domain:
    return parse(f"<domain><name>d</name>{inner}</domain>", Domain)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("<memory>1024</memory>", 1 << 20),
        ("<memory unit='KiB'>1024</memory>", 1 << 20),
        ("<memory unit='k'>1024</memory>", 1 << 20),
        ("<memory unit='KB'>1024</memory>", 1024000),
        ("<memory unit='MiB'>1</memory>", 1 << 20),
        ("<memory unit='G'>1</memory>", 1 << 30),
        ("<memory unit='GB'>1</memory>", 10**9),
        ("<memory unit='b'>1048576</memory>", 1 << 20),
        ("<memory unit='bytes'> 1048576 </memory>", 1 << 20),
        ("<memory unit='TiB'>1</memory>", 1 << 40),
    ],
)
def test_sizes_are_bytes_whatever_their_unit_and_keep_their_spelling(text: str, size: int) -> None:
    x = read(text)
    assert x.memory == size
    assert text.replace("'", "") in dump(x).replace("'", "").replace("\n", "")
    assert parse(dump(x, canonical=True)) == x


def test_volumes_count_in_bytes_and_domains_in_kibibytes() -> None:
    volume = parse("<volume><name>v</name><capacity>10</capacity></volume>", Volume)
    assert volume.capacity == 10
    assert read("<memory>10</memory>").memory == 10240


def test_a_changed_value_loses_its_old_spelling() -> None:
    x = read("<memory unit='MiB'>1</memory>").replace(memory=2 << 20)
    assert "<memory unit='KiB'>2048</memory>" in dump(x)


def test_uuid_mac_and_pci_numbers_are_normal_whatever_their_spelling() -> None:
    x = read(
        "<uuid>C7A5FDBDEDAF9455926AD65C16DB1809</uuid><devices><interface><mac address='52:54:0:AB:cd:1'/>"
        "<address type='pci' domain='0x0' bus='010' slot='0xA' function='0'/></interface></devices>"
    )
    assert x.uuid == "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    assert x.interfaces[0].mac == "52:54:00:ab:cd:01"
    assert x.interfaces[0].address == PciAddress(domain=0, bus=8, slot=10, function=0)
    assert "slot='0xA'" in dump(x)
    assert "domain='0x0000' bus='0x08' slot='0x0a' function='0x0'" in dump(x, canonical=True)


def test_cpu_sets_with_ranges_and_exceptions() -> None:
    x = read("<vcpu cpuset='0-3,^2,5'>2</vcpu>")
    assert x.vcpu_cpuset == frozenset({0, 1, 3, 5})
    assert "cpuset='0-3,^2,5'" in dump(x)
    assert "cpuset='0-1,3,5'" in dump(x, canonical=True)


def test_three_states_absent_yes_and_no() -> None:
    for text, value in (
        ("", None),
        ("<loader readonly='yes'>/f</loader>", True),
        ("<loader readonly='no'>/f</loader>", False),
    ):
        os = read(f"<os>{text}</os>").os
        assert os is not None
        assert os.loader_readonly is value


def test_an_empty_element_is_not_an_absent_one() -> None:
    assert read("<title/>").title == ""
    assert read("").title is None
    assert "<title/>" in dump(read("<title></title>"))
    assert read("<genid/>").genid == ""


def test_presence_and_switches() -> None:
    features = read("<features><acpi/><apic eoi='on'/><hap/><vmport state='off'/><pmu state='on'/></features>").features
    assert features is not None
    assert (features.acpi, features.apic, features.apic_eoi, features.pae) == (True, True, True, False)
    assert (features.hap, features.vmport, features.pmu, features.htm) == (True, False, True, None)


def test_an_address_is_of_the_class_that_its_type_says() -> None:
    x = read(
        "<devices><disk><target dev='sda'/>"
        "<address type='drive' controller='0' bus='0' target='0' unit='1'/></disk></devices>"
    )
    assert x.disks[0].address == DriveAddress(controller=0, bus=0, target=0, unit=1)


def test_backing_chains_nest_and_an_empty_one_ends_them() -> None:
    disk = parse(
        "<disk><source file='a'/><backingStore type='file'><format type='qcow2'/><source file='b'/>"
        "<backingStore/></backingStore>"
        "<target dev='vda'/></disk>",
        Disk,
    )
    assert disk.backing_store is not None
    assert disk.backing_store.format == "qcow2"
    assert disk.backing_store.backing_store is not None
    assert disk.backing_store.backing_store.backing_store is None
    assert "<backingStore/>" in dump(disk)


def test_comments_in_a_value_are_no_part_of_it() -> None:
    assert read("<title>a<!-- x -->b<?pi?>c</title>").title == "abc"
    assert read("<vcpu><!-- two -->2</vcpu>").vcpu == 2


def test_metadata_is_kept_with_comments_prefixes_and_mixed_content() -> None:
    inner = "<a:x xmlns:a='urn:a' z='1' b='2'><!-- why -->mixed <b>text</b> tail</a:x>\n  <n xmlns='urn:n'/>"
    text = f"<metadata>{inner}</metadata>"
    x = read(text)
    assert x.metadata == text
    out = dump(x)
    for part in ("<!-- why -->mixed <b>text</b> tail", 'xmlns:a="urn:a"', 'xmlns="urn:n"'):
        assert part in out
    assert unknown(x) == ()


def test_metadata_is_equal_when_it_means_the_same() -> None:
    one = read("<metadata><a:x xmlns:a='urn:a' b='1' c='2'/></metadata>")
    two = read('<metadata>\n  <a:x c="2" xmlns:a="urn:a" b="1"></a:x>\n</metadata>')
    assert one == two
    assert hash(one) == hash(two)
    assert one != read("<metadata><a:x xmlns:a='urn:b' b='1' c='2'/></metadata>")


def test_prefixes_declared_above_stay_declared() -> None:
    x = parse(
        "<domain xmlns:q='urn:q' xmlns:r='urn:r'><name>d</name><metadata><q:a b='q:c'/></metadata><q:line/></domain>",
        Domain,
    )
    out = dump(x)
    assert parse(out) == x
    assert out.count("urn:q") == 2
    assert "urn:r" not in out


def test_an_unknown_child_stays_behind_the_value_that_it_followed() -> None:
    x = parse(TWO_DISKS, Domain)
    assert dump(x) == TWO_DISKS
    turned = x.replace(disks=x.disks[::-1])
    assert dump(turned).index("lamp") > dump(turned).index("vda") > dump(turned).index("vdb")
    more = x.replace(disks=(Disk(target="sda"), *x.disks))
    assert dump(more).index("vda") < dump(more).index("lamp") < dump(more).index("vdb")


def test_an_unknown_child_follows_a_changed_value_by_its_key() -> None:
    x = parse(TWO_DISKS, Domain)
    changed = x.replace(disks=(x.disks[1], x.disks[0].replace(bus=DiskBus.VIRTIO)))
    assert dump(changed).index("vdb") < dump(changed).index("vda") < dump(changed).index("lamp")
    assert parse(dump(changed)) == changed


def test_an_unknown_child_outlives_the_value_that_it_followed() -> None:
    x = parse(TWO_DISKS, Domain)
    for left in ((x.disks[1],), ()):
        less = x.replace(disks=left)
        assert '<lamp brightness="3"/>' in dump(less)
        assert len(unknown(less)) == 1


def test_unknown_children_of_one_name_keep_their_order() -> None:
    x = read(
        "<devices><interface/><lamp n='1'/><disk/><lamp n='2'/></devices>"
        "<os/><lamp n='3'/><title>t</title><lamp n='4'/>"
    )
    out = dump(x)
    places = [out.index(f'n="{number}"') for number in (1, 2)] + [out.index(f'n="{number}"') for number in (3, 4)]
    assert places[0] < places[1]
    assert places[2] < places[3]
    assert parse(out) == x


def test_a_second_occurrence_stays_second() -> None:
    x = read(
        "<title>one</title><devices/><vcpu>2</vcpu><title>two</title><os/><vcpu>3</vcpu><devices><disk/></devices>"
    )
    assert (x.title, x.vcpu, x.disks) == ("one", 2, ())
    again = parse(dump(x), Domain)
    assert again == x
    assert [problem.path for problem in unknown(again)] == [problem.path for problem in unknown(x)]
    assert {problem.text for problem in unknown(x)} == {
        f"<{tag}> stands here a second time" for tag in ("title", "vcpu", "devices")
    }


def test_children_of_no_known_kind_stay_where_they_were_among_those_of_their_name() -> None:
    good, bad = "<address type='spapr-vio' reg='0x1'/>", "<address type='none'/>"
    parts = (good, bad, "<target port='0'/>", "<alias name='a'/>")
    device, other, odd = "<hostdev mode='subsystem' type='usb'/>", "<hostdev type='x'/>", "<hostdev type='y'/>"
    for inner, tag in (
        *((f"<serial type='pty'>{''.join(order)}</serial>", "address") for order in permutations(parts)),
        *(("".join(order), "hostdev") for order in permutations((device, other, odd, "<disk/>", "<tpm/>"))),
    ):
        x = read(f"<devices>{inner}</devices>")
        out = dump(x)
        kinds = [element.get("type") for element in etree.fromstring(out).iter(tag)]
        assert kinds == [element.get("type") for element in etree.fromstring(f"<d>{inner}</d>").iter(tag)]
        assert parse(out) == x


def test_bad_values_are_kept_and_read_as_absent() -> None:
    text = "<vcpu current='x' colour='red'>many</vcpu><on_crash>explode</on_crash><memory unit='stone'>5</memory>"
    x = read(text)
    assert (x.vcpu, x.vcpu_current, x.on_crash, x.memory) == (None, None, None, None)
    out = dump(x)
    for part in ("current='x'", "colour='red'", ">many</vcpu>", "explode", "unit='stone'", ">5</memory>"):
        assert part in out
    assert parse(out) == x
    assert len(unknown(x)) == 5  # a value and its unit are told of once


def test_setting_a_field_replaces_the_bad_value() -> None:
    x = read("<vcpu current='x'>many</vcpu><on_crash>explode</on_crash>").replace(
        vcpu=2, vcpu_current=1, on_crash="restart"
    )
    assert unknown(x) == ()
    assert parse(dump(x)) == Domain(name="d", vcpu=2, vcpu_current=1, on_crash="restart")  # type: ignore[arg-type]


def test_numbers_past_64_bits_are_bad_values() -> None:
    x = read("<memory>99999999999999999999999</memory><vcpu>-1</vcpu><id/>")
    assert (x.memory, x.vcpu) == (None, None)
    assert {problem.code for problem in unknown(x)} == {"xml.value", "xml.unknown-element"}


def test_a_known_element_with_nothing_in_it_is_kept() -> None:
    x = read("<devices><disk><driver/><target/></disk></devices><pm/>")
    assert "<driver/>" in dump(x)
    assert "<target/>" in dump(x)
    assert "<pm/>" in dump(x)
    assert unknown(x) == ()


def test_equality_is_about_meaning() -> None:
    one = parse("<domain type='kvm'><name>d</name><memory unit='MiB'>1</memory></domain>")
    two = parse('<domain   type="kvm">\n<memory>1024</memory><!-- c --><name>d</name></domain>')
    assert one == two
    assert hash(one) == hash(two)
    assert one != parse("<domain type='kvm'><name>d</name><memory unit='MiB'>1</memory><x/></domain>")


def test_the_root_says_the_class_and_a_wrong_one_is_refused() -> None:
    assert isinstance(parse("<interface/>"), Interface)
    with pytest.raises(Invalid, match="no document has the root element <domian>"):
        parse("<domian/>")
    with pytest.raises(Invalid, match="the document is a <disk>, not a <domain>"):
        parse("<disk/>", Domain)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_documents_in_other_encodings_are_read(encoding: str) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f"<?xml version='1.0' encoding='{declared}'?>\n<domain><name>caf\u00e9</name></domain>"
    assert parse(text.encode(encoding), Domain).name == "caf\u00e9"
    assert parse(text, Domain).name == "caf\u00e9"


def test_many_unknown_elements_among_known_ones_take_no_longer_each() -> None:
    def spent(count: int) -> float:
        x = read("<devices>" + "<lamp/><disk/>" * count + "</devices>")
        began = time.process_time()
        dump(x)
        return time.process_time() - began

    spent(100)
    assert spent(8000) < 40 * max(spent(800), 0.001)


def test_a_namespace_with_a_relative_uri_is_kept_and_compared_as_it_is_spelled() -> None:
    x = read("<a:lamp xmlns:a='here'/>")
    assert parse(dump(x, canonical=True)) == x
    assert x != read("<a:lamp xmlns:a='there'/>")
