"""Rules of documents other than domains."""

from __future__ import annotations

import pytest
from anyvirt.errors import CODES
from anyvirt.model.check_documents import RULES, check_document, problems_of
from anyvirt.model.strict import unknown
from anyvirt.model.xml import parse

IP = "<ip address='192.168.7.1' netmask='255.255.255.0'>{}</ip>"
IP6 = "<ip family='ipv6' address='2001:db8::1' prefix='64'>{}</ip>"
POOL = "<pool type='{}'><name>p</name>{}</pool>"
VOLUME = "<volume><name>v</name>{}</volume>"
FILTER = "<filter name='f'>{}</filter>"
HOST = "<interface name='i' {}</interface>"
BOND = "<interface name='i' type='bond'><bond>{}<interface name='a'/></bond></interface>"
ETHERNET = "<interface name='i' type='ethernet'><protocol family='ipv4'>{}</protocol></interface>"
SCSI = "<pool type='scsi'><name>p</name><source><adapter {}</adapter></source><target><path>/p</path></target></pool>"
RBD = "<pool type='rbd'><name>p</name><source><host name='a'/>{}</source></pool>"
IMAGE = "<volume><name>v</name><capacity>1</capacity><target>{}</target></volume>"
RULE = "<filter name='f'><rule action='drop' direction='in'>{}</rule></filter>"
NODE = "<device><capability type='scsi_host'><capability type='fc_host'>{}</capability></capability></device>"
LEASES = "<dhcp><range start='192.168.7.2' end='192.168.7.3'/></dhcp>"


def found(document: str) -> list[tuple[str, str]]:
    problems = check_document(parse(document))
    assert all(problem.code in CODES and problem.text and problem.hint and problem.line for problem in problems)
    return [(problem.code.removeprefix("config."), problem.path) for problem in problems]


def network(inner: str, mode: str = "") -> str:
    forward = f"<forward mode='{mode}'/>" if mode else ""
    return f"<network><name>n</name>{forward}{inner}</network>"


GOOD = (
    network(""), network(IP.format(""), "nat"), network("<bridge name='br0'/>", "bridge"),
    network(IP.format(LEASES) + IP6.format("<dhcp><host name='a' ip='2001:db8::2'/></dhcp>")),
    network("<portgroup name='a' default='yes'/><portgroup name='b'/>"),
    POOL.format("dir", "<target><path>/p</path></target>"),
    "<pool type='rbd'><source><host name='a'/><name>rbd</name></source></pool>",
    VOLUME.format("<capacity>0</capacity>"), VOLUME.format("<backingStore><path>/b</path></backingStore>"),
    RULE.format("<tcp srcportstart='1' srcportend='$END'/>"),
    HOST.format("type='bridge'><bridge/>"), "<secret/>", "<capabilities/>", "<filter name='f' chain='ipv4-up'/>",
)  # fmt: skip


@pytest.mark.parametrize("document", GOOD)
def test_nothing_is_said_of_a_good_document(document: str) -> None:
    assert found(document) == []


WRONG = [
    ("<network/>", "missing", "/name"),
    ("<network><name>a/b</name></network>", "invalid", "/name"),
    (network("<title>a\nb</title>"), "invalid", "/title"),
    (network("<mac address='53:54:00:00:00:01'/>"), "invalid", "/mac/@address"),
    (network("", "nat"), "missing", "/ip"),
    (network(IP.format(""), "bridge"), "conflict", "/ip[192.168.7.1]"),
    (network("<dns><txt name='a' value='b'/></dns>", "bridge"), "conflict", "/dns"),
    (network("<domain name='x'/>", "hostdev"), "conflict", "/domain"),
    (network("<bridge name='br0'/>", "private"), "conflict", "/bridge"),
    (network("<bridge name='br0' stp='on'/>", "bridge"), "conflict", "/bridge/@stp"),
    (
        network("<forward mode='bridge'><interface dev='eth0'/></forward><bridge name='br0'/>"),
        "conflict",
        "/bridge/@name",
    ),
    (network("<forward mode='open'><pf dev='eth0'/></forward>"), "conflict", "/forward/pf"),
    (network("<forward mode='none'><address type='pci' bus='1'/></forward>"), "conflict", "/forward/address"),
    (
        network("<forward mode='hostdev'><pf dev='eth0'/><address type='pci' bus='1'/></forward>"),
        "conflict",
        "/forward/pf",
    ),
    (
        network("<forward mode='bridge'><interface dev='a'/><interface dev='a'/></forward>"),
        "duplicate",
        "/forward/interface[a]",
    ),
    (
        network("<forward mode='hostdev'><address type='pci' bus='1'/><address type='pci' bus='0x01'/></forward>"),
        "duplicate",
        "/forward/address[1]",
    ),
    (network("<forward mode='bridge'><interface/></forward>"), "missing", "/forward/interface[0]/@dev"),
    (network("<forward mode='open'><nat/></forward>"), "conflict", "/forward/nat"),
    (
        network(f"<forward><nat><port start='9' end='2'/></nat></forward>{IP.format('')}"),
        "range",
        "/forward/nat/port/@end",
    ),
    (
        network(f"<forward><nat><address start='192.0.2.1'/></nat></forward>{IP.format('')}"),
        "missing",
        "/forward/nat/address/@end",
    ),
    (network("<dns><forwarder/></dns>"), "missing", "/dns/forwarder[0]/@addr"),
    (network("<dns><txt name='a b' value='x'/></dns>"), "invalid", "/dns/txt[a b]/@name"),
    (network("<dns><txt value='x'/></dns>"), "missing", "/dns/txt[0]/@name"),
    (network("<dns><host ip='192.0.2.1'/></dns>"), "missing", "/dns/host[192.0.2.1]/hostname"),
    (network("<dns><host><hostname>a</hostname></host></dns>"), "missing", "/dns/host[0]/@ip"),
    (network("<dns><srv protocol='tcp'/></dns>"), "missing", "/dns/srv[0]/@service"),
    (network("<dns><srv service='a'/></dns>"), "missing", "/dns/srv[0]/@protocol"),
    (network(f"<dns><srv service='{'a' * 64}' protocol='tcp'/></dns>"), "range", "/dns/srv[0]/@service"),
    (network("<ip address='2001:db8::1' prefix='64'/>"), "conflict", "/ip[2001:db8::1]/@family"),
    (
        network("<ip address='192.0.2.1' prefix='24' netmask='255.255.255.0'/>"),
        "conflict",
        "/ip[192.0.2.1]/@netmask",
    ),
    (network("<ip family='ipv6' address='fe80::1' netmask='255.0.0.0'/>"), "conflict", "/ip[fe80::1]/@netmask"),
    (network("<ip address='192.0.2.1' prefix='33'/>"), "range", "/ip[192.0.2.1]/@prefix"),
    (network("<ip address='192.0.2.1' netmask='255.0.255.0'/>"), "invalid", "/ip[192.0.2.1]/@netmask"),
    (network(IP6.format("<tftp root='/t'/>")), "conflict", "/ip[2001:db8::1]/tftp"),
    (
        network(
            IP.format(LEASES)
            + "<ip address='10.0.0.1'><dhcp><range start='10.0.0.2' end='10.0.0.3'/></dhcp></ip>"
        ),
        "duplicate",
        "/ip[10.0.0.1]/dhcp",
    ),
    (
        network(IP.format("<dhcp><range start='192.168.7.9' end='192.168.7.3'/></dhcp>")),
        "range",
        "/ip[192.168.7.1]/dhcp/range[192.168.7.9]/@end",
    ),
    (
        network(IP.format("<dhcp><range start='192.168.7.9' end='192.168.8.3'/></dhcp>")),
        "range",
        "/ip[192.168.7.1]/dhcp/range[192.168.7.9]/@end",
    ),
    (
        network("<ip address='192.0.2.1'><dhcp><range start='192.0.2.9' end='fe80::1'/></dhcp></ip>"),
        "conflict",
        "/ip[192.0.2.1]/dhcp/range[192.0.2.9]/@end",
    ),
    (network(IP.format("<dhcp><host name='a'/></dhcp>")), "missing", "/ip[192.168.7.1]/dhcp/host[0]/@ip"),
    (network(IP.format("<dhcp><host ip='192.168.7.4'/></dhcp>")), "missing", "/ip[192.168.7.1]/dhcp/host[0]/@mac"),
    (
        network(IP6.format("<dhcp><host mac='52:54:00:00:00:01' ip='2001:db8::4'/></dhcp>")),
        "conflict",
        "/ip[2001:db8::1]/dhcp/host[52:54:00:00:00:01,2001:db8::4]/@mac",
    ),
    (network("<route address='10.0.0.0' prefix='8'/>"), "missing", "/route[10.0.0.0,8]/@gateway"),
    (
        network("<route address='10.0.0.0' prefix='8' gateway='fe80::1'/>"),
        "conflict",
        "/route[10.0.0.0,8]/@gateway",
    ),
    (
        network("<route address='10.0.0.0' prefix='8' netmask='255.0.0.0' gateway='10.0.0.1'/>"),
        "conflict",
        "/route[10.0.0.0,8]/@netmask",
    ),
    (network("<portgroup/>"), "missing", "/portgroup[0]/@name"),
    (network("<portgroup name='a'/><portgroup name='a'/>"), "duplicate", "/portgroup[a]/@name"),
    (
        network("<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>"),
        "duplicate",
        "/portgroup[b]/@default",
    ),
    (network("<vlan/>"), "missing", "/vlan/tag"),
    (network("<vlan><tag/></vlan>"), "missing", "/vlan/tag[0]/@id"),
    (network("<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>"), "conflict", "/vlan/@trunk"),
    (
        network("<vlan><tag id='1' nativeMode='tagged'/><tag id='2' nativeMode='untagged'/></vlan>"),
        "duplicate",
        "/vlan/tag/@nativeMode",
    ),
    (network("<bandwidth><inbound/></bandwidth>"), "missing", "/bandwidth/inbound/@average"),
    (network("<bandwidth><inbound floor='1' peak='2'/></bandwidth>"), "missing", "/bandwidth/inbound/@average"),
    (
        network("<bandwidth><outbound average='1' floor='1'/></bandwidth>"),
        "conflict",
        "/bandwidth/outbound/@floor",
    ),
    ("<interface name='i'/>", "missing", "/@type"),
    ("<interface type='ethernet'><start mode='none'/></interface>", "missing", "/@name"),
    (HOST.format("type='bridge'>"), "missing", "/bridge"),
    (HOST.format("type='bond'>"), "missing", "/bond"),
    (HOST.format("type='bond'><bond/>"), "missing", "/bond/interface"),
    (HOST.format("type='bond'><bond><interface/></bond>"), "missing", "/bond/interface[0]/@name"),
    (
        HOST.format("type='bond'><bond><interface name='a'/><interface name='a'/></bond>"),
        "duplicate",
        "/bond/interface[a]",
    ),
    (
        BOND.format("<miimon freq='1'/><arpmon interval='1' target='192.0.2.1'/>"),
        "conflict",
        "/bond/arpmon",
    ),
    (
        BOND.format("<arpmon interval='1'/>"),
        "missing",
        "/bond/arpmon/@target",
    ),
    (HOST.format("type='vlan'><vlan tag='1'/>"), "missing", "/vlan/interface/@name"),
    (HOST.format("type='ethernet'><protocol/>"), "missing", "/protocol[0]/@family"),
    (
        HOST.format("type='ethernet'><protocol family='ipv4'/><protocol family='ipv4'/>"),
        "duplicate",
        "/protocol[ipv4]",
    ),
    (ETHERNET.format("<autoconf/>"), "conflict", "/protocol[ipv4]/autoconf"),
    (ETHERNET.format("<ip/>"), "missing", "/protocol[ipv4]/ip[0]/@address"),
    (
        ETHERNET.format("<ip address='fe80::1'/>"),
        "conflict",
        "/protocol[ipv4]/ip[fe80::1]/@address",
    ),
    (
        ETHERNET.format("<ip address='10.0.0.1' prefix='64'/>"),
        "range",
        "/protocol[ipv4]/ip[10.0.0.1]/@prefix",
    ),
    (
        HOST.format("type='ethernet'><protocol family='ipv6'><route gateway='10.0.0.1'/></protocol>"),
        "conflict",
        "/protocol[ipv6]/route/@gateway",
    ),
    ("<device/>", "missing", "/capability"),
    (
        "<device><parent wwnn='20000000c9831b4b'/><capability type='mdev'/></device>",
        "missing",
        "/parent/@wwpn",
    ),
    (
        NODE.format("<wwpn>20000000c9831b4b</wwpn>"),
        "missing",
        "/capability[0]/capability[0]/wwnn",
    ),
    ("<filter/>", "missing", "/@name"),
    ("<filter name='f' chain='tcp'/>", "invalid", "/@chain"),
    ("<filter name='f' chain='ipv4-much-too-long'/>", "invalid", "/@chain"),
    (FILTER.format("<filterref/>"), "missing", "/filterref[0]/@filter"),
    (FILTER.format("<filterref filter='f'/>"), "conflict", "/filterref[0]/@filter"),
    (
        FILTER.format("<filterref filter='g'><parameter name='A'/></filterref>"),
        "missing",
        "/filterref[0]/parameter[0]/@value",
    ),
    (FILTER.format("<rule direction='in'/>"), "missing", "/rule[0]/@action"),
    (FILTER.format("<rule action='drop'/>"), "missing", "/rule[0]/@direction"),
    (
        RULE.format("<tcp srcportstart='9' srcportend='8'/>"),
        "range",
        "/rule[0]/tcp/@srcportend",
    ),
    (
        RULE.format("<all ipset='a'/>"),
        "missing",
        "/rule[0]/all/@ipsetflags",
    ),
    (
        RULE.format(f"<all comment='{'c' * 257}'/>"),
        "range",
        "/rule[0]/all/@comment",
    ),
    ("<pool><name>p</name></pool>", "missing", "/@type"),
    ("<pool type='mpath'/>", "missing", "/name"),
    (POOL.format("dir", ""), "missing", "/target/path"),
    (POOL.format("rbd", ""), "missing", "/source/host"),
    (POOL.format("scsi", "<target><path>/p</path></target>"), "missing", "/source/adapter"),
    (
        POOL.format("netfs", "<source><host name='a'/></source><target><path>/p</path></target>"),
        "missing",
        "/source/dir/@path",
    ),
    (POOL.format("mpath", "<features><cow state='no'/></features>"), "conflict", "/features/cow"),
    (POOL.format("rbd", "<source><host/></source>"), "missing", "/source/host[0]/@name"),
    (POOL.format("logical", "<source><device/></source>"), "missing", "/source/device[0]/@path"),
    (
        SCSI.format("type='fc_host' wwnn='20000000c9831b4b'>"),
        "missing",
        "/source/adapter/@wwpn",
    ),
    (
        SCSI.format("type='scsi_host'>"),
        "missing",
        "/source/adapter/@name",
    ),
    (
        SCSI.format("name='a'><parentaddr unique_id='1'/>"),
        "conflict",
        "/source/adapter/@name",
    ),
    (
        RBD.format("<auth type='ceph' username='u'/>"),
        "missing",
        "/source/auth/secret",
    ),
    (
        RBD.format("<auth type='chap' username='u'><secret usage='x'/></auth>"),
        "conflict",
        "/source/auth/@type",
    ),
    (
        RBD.format("<auth type='ceph'><secret usage='x'/></auth>"),
        "missing",
        "/source/auth/@username",
    ),
    (VOLUME.format(""), "missing", "/capacity"),
    ("<volume><name>..</name><capacity>1</capacity></volume>", "invalid", "/name"),
    (
        VOLUME.format("<capacity>1</capacity><source><device path='/d'><extent start='2' end='1'/></device></source>"),
        "range",
        "/source/device[/d]/extent[0]/@end",
    ),
    (IMAGE.format("<clusterSize>1000</clusterSize>"), "range", "/target/clusterSize"),
    (IMAGE.format("<encryption/>"), "missing", "/target/encryption/@format"),
    (
        IMAGE.format("<encryption format='luks'><secret type='passphrase'/></encryption>"),
        "missing",
        "/target/encryption/secret[0]/@uuid",
    ),
    (VOLUME.format("<capacity>1</capacity><backingStore/>"), "missing", "/backingStore/path"),
    ("<secret><usage><name>a</name></usage></secret>", "missing", "/usage/@type"),
    ("<secret><usage type='volume'/></secret>", "missing", "/usage/volume"),
    ("<secret><usage type='ceph'><name>a</name><target>b</target></usage></secret>", "conflict", "/usage/target"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "code", "path"), WRONG, ids=lambda value: value[:48])
def test_each_rule_names_code_path_and_line(document: str, code: str, path: str) -> None:
    assert (code, path) in found(document)
    assert len(found(document)) == 1


def test_a_binding_and_a_port_belong_to_somebody() -> None:
    assert {path for _, path in found("<filterbinding/>")} == {
        "/owner/name", "/owner/uuid", "/portdev/@name", "/mac/@address", "/filterref",
    }  # fmt: skip
    assert {path for _, path in found("<networkport><plug type='bridge'/></networkport>")} == {
        "/owner/name", "/owner/uuid", "/mac/@address", "/plug/@bridge",
    }  # fmt: skip


def test_a_priority_out_of_bounds_is_no_value() -> None:
    x = parse("<filter name='f' priority='1001'/>")
    assert [(problem.path, problem.code) for problem in unknown(x)] == [("/@priority", "xml.value")]


def test_everything_is_listed_at_once_by_line() -> None:
    text = "<network>\n<mac address='01:00:00:00:00:00'/>\n<portgroup/>\n</network>"
    assert [problem.line for problem in check_document(parse(text))] == [1, 2, 3]


def test_domains_are_checked_by_their_own_rules() -> None:
    assert "/memory" in {problem.path for problem in check_document(parse("<domain><name>d</name></domain>"))}


def test_every_kind_that_has_rules_is_a_model() -> None:
    from anyvirt.model.roots import ROOTS, classes_of

    assert set(RULES) <= {cls.__name__ for tag in ROOTS for cls in classes_of(tag)}


def test_a_value_that_cannot_be_read_is_told_of_once_and_with_its_unit() -> None:
    text = "<domain type='kvm'><name>a</name><memory unit='{}'>{}</memory><os><type>hvm</type></os></domain>"
    found = problems_of(parse(text.format("MB", "half")))
    assert [(one.code, one.path) for one in found] == [("xml.value", "/memory")]
    assert "'half' is no number" in found[0].text
    found = problems_of(parse(text.format("XB", "5")))
    assert [(one.code, one.path) for one in found] == [("xml.value", "/memory")]
    assert "unknown unit 'XB'" in found[0].text


def test_unknown_content_is_let_through_and_contradictions_are_not() -> None:
    x = parse("<domain type='kvm'><name>a/b</name><memory>1</memory><os><type>hvm</type></os><vcpuz/></domain>")
    assert {one.code for one in problems_of(x)} == {"xml.unknown-element", "config.invalid"}
    assert [one.path for one in problems_of(x, keep_unknown=True)] == ["/name"]
