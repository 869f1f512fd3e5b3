"""Networks, filters, devices of the host and storage: what a document says is there, with its type."""

from __future__ import annotations

import pytest
from anyvirt.errors import Invalid
from anyvirt.model.devices.interface import Interface
from anyvirt.model.element import Element
from anyvirt.model.form import from_json, to_json
from anyvirt.model.host_interface import BondMode, HostInterface, LinkState
from anyvirt.model.network import BridgePlug, DirectPlug, ForwardMode, HostdevPlug, Network, NetworkPlug, NetworkPort
from anyvirt.model.node_device import MdevCapability, NodeDevice, PciCapability, VirtFunctions, Vpd, VpdReadonly
from anyvirt.model.nwfilter import (
    FilterBinding,
    FilterRef,
    FilterRule,
    IpMatch,
    MacMatch,
    NetworkFilter,
    RuleAction,
    TcpMatch,
)
from anyvirt.model.pool_capabilities import StoragePoolCapabilities
from anyvirt.model.secret import KeptSecret
from anyvirt.model.storage import Pool, PoolFormat, Volume, VolumeFormat
from anyvirt.model.strict import unknown
from anyvirt.model.walk import walk
from anyvirt.model.write import dump
from anyvirt.model.xml import parse

NETWORK = """\
<network connections='2' trustGuestRxFilters='yes'>
  <name>lan</name>
  <metadata><app:x xmlns:app='urn:app'/></metadata>
  <forward mode='nat' dev='eth0'>
    <nat ipv6='yes'><address start='203.0.113.5' end='203.0.113.9'/><port start='1024' end='65535'/></nat>
    <interface dev='eth0' connections='1'/>
  </forward>
  <bridge name='virbr7' stp='on' delay='0' zone='public'/>
  <mtu size='9000'/>
  <mac address='52:54:00:0:0:1'/>
  <domain name='lan.example' localOnly='yes' register='no'/>
  <dns enable='yes' forwardPlainNames='no'>
    <forwarder domain='corp.example' addr='2001:DB8::53'/>
    <txt name='hello' value='world'/>
    <srv service='ldap' protocol='tcp' domain='lan.example' target='a.lan.example' port='389' priority='1' weight='5'/>
    <host ip='192.168.7.2'><hostname>a</hostname><hostname>b</hostname></host>
  </dns>
  <port isolated='yes'/>
  <ip address='192.168.7.1' netmask='255.255.255.0' localPtr='yes'>
    <tftp root='/srv/tftp'/>
    <dhcp>
      <range start='192.168.7.100' end='192.168.7.200'><lease expiry='2' unit='hours'/></range>
      <host mac='52:54:00:11:22:33' name='a' ip='192.168.7.2'><lease expiry='0'/></host>
      <bootp file='pxe.img' server='192.168.7.9'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='2001:DB8:0:7::1' prefix='64'><dhcp><host id='0:1:2f' name='b' ip='2001:db8:0:7::2'/></dhcp></ip>
  <route address='10.0.0.0' prefix='8' gateway='192.168.7.254' metric='2'/>
  <portgroup name='web' default='yes'><vlan><tag id='42'/></vlan></portgroup>
</network>
"""  # noqa: E501


def whole(document: str, cls: type[Element] | None = None) -> Element:
    """The model of a document that is understood to the last attribute, and that comes back from all its forms."""
    x = parse(document, cls)
    assert unknown(x) == ()
    assert parse(dump(x), type(x)) == x
    assert from_json(type(x), to_json(x)) == x
    return x


def test_a_network_is_read_with_types() -> None:
    x = whole(NETWORK)
    assert isinstance(x, Network)
    assert x.forward is not None
    assert x.forward.mode is ForwardMode.NAT
    assert x.forward.nat is not None
    assert (x.forward.nat.port_start, x.forward.nat.address_end) == (1024, "203.0.113.9")
    assert x.bridge is not None
    assert (x.bridge.name, x.bridge.stp, x.bridge.delay) == ("virbr7", True, 0)
    assert (x.mtu, x.mac, x.domain_local_only, x.isolated) == (9000, "52:54:00:00:00:01", True, True)
    assert x.dns is not None
    assert x.dns.forwarders[0].addr == "2001:db8::53"
    assert x.dns.hosts[0].hostnames == ("a", "b")
    assert (x.dns.srvs[0].port, x.dns.srvs[0].weight) == (389, 5)
    first, second = x.ips
    assert first.dhcp is not None
    assert first.dhcp.ranges[0].lease is not None
    assert (first.dhcp.ranges[0].lease.expiry, first.dhcp.ranges[0].lease.unit) == (2, "hours")
    assert (second.address, second.prefix) == ("2001:db8:0:7::1", 64)


def test_an_address_is_the_same_however_it_is_spelled() -> None:
    long = NETWORK.replace("2001:DB8::53", "2001:0db8:0:0:0:0:0:53")
    assert parse(long) == parse(NETWORK)
    assert "2001:0db8:0:0:0:0:0:53" in dump(parse(long))


@pytest.mark.parametrize(
    ("plug", "kind"),
    [
        ("<plug type='network' bridge='virbr0' macTableManager='libvirt'/>", NetworkPlug),
        ("<plug type='bridge' bridge='br2'/>", BridgePlug),
        ("<plug type='direct' dev='ens3' mode='vepa'/>", DirectPlug),
        (
            "<plug type='hostdev-pci' managed='yes'><driver name='vfio'/><address bus='0x02' slot='0x03'/></plug>",
            HostdevPlug,
        ),
    ],
)
def test_a_network_port_is_on_one_of_four_plugs(plug: str, kind: type[Element]) -> None:
    x = whole(
        "<networkport><uuid>7ae63b5f-fe96-4af0-a7c3-da04ba1b3f54</uuid>"
        "<owner><uuid>06578fc1-c686-46fa-bc2c-220893b466a6</uuid><name>web</name></owner><group>front</group>"
        "<mac address='52:54:00:7b:35:93'/><rxfilters trustGuest='yes'/><port isolated='yes'/>"
        f"<bandwidth classID='3'><inbound average='1000' floor='200'/></bandwidth>{plug}</networkport>"
    )
    assert isinstance(x, NetworkPort)
    assert type(x.plug) is kind
    assert (x.owner_name, x.group, x.trust_guest) == ("web", "front", True)
    assert x.bandwidth is not None
    assert x.bandwidth.class_id == 3


HOST = {
    "ethernet": "<interface type='ethernet' name='eth0'/>",
    "started": "<interface type='ethernet'><start mode='onboot'/></interface>",
    "addressed": "<interface type='bridge'><protocol family='ipv4'><dhcp peerdns='no'/></protocol></interface>",
    "bridge": "<interface type='bridge'><bridge stp='off' delay='0.5'/></interface>",
    "bond": "<interface type='bond'><bond mode='802.3ad'/></interface>",
    "vlan": "<interface type='vlan'><vlan tag='42'><interface name='eth0'/></vlan></interface>",
}
GUEST = {
    "network": "<interface type='network'><source network='default'/></interface>",
    "bridge": "<interface type='bridge'><source bridge='br0'/><mac address='52:54:00:00:00:01'/></interface>",
    "ethernet": "<interface type='ethernet'><target dev='tap0'/><mtu size='1400'/></interface>",
    "vlan": "<interface type='bridge'><source bridge='br0'/><vlan><tag id='42'/></vlan></interface>",
}


@pytest.mark.parametrize("document", HOST.values(), ids=HOST)
def test_an_interface_of_the_host_is_known_by_what_only_it_has(document: str) -> None:
    assert type(whole(document)) is HostInterface


@pytest.mark.parametrize("document", GUEST.values(), ids=GUEST)
def test_any_other_interface_is_a_guest_s(document: str) -> None:
    assert type(parse(document)) is Interface


def test_who_names_the_model_has_the_document_read_as_that() -> None:
    assert type(parse("<interface type='ethernet'/>", HostInterface)) is HostInterface
    assert type(parse("<interface name='eth0'/>", Interface)) is Interface


def test_a_bridge_over_a_bond_is_read_with_types() -> None:
    x = whole(
        "<interface type='bridge' name='br0'><start mode='onboot'/><mtu size='1500'/>"
        "<protocol family='ipv6'><autoconf/><ip address='FE80::1' prefix='64'/><route gateway='fe80::2'/></protocol>"
        "<bridge stp='on' delay='2'><interface type='bond' name='bond0'><link speed='1000' state='up'/>"
        "<bond mode='active-backup'><arpmon interval='100' target='192.0.2.1' validate='all'/>"
        "<interface type='ethernet' name='eth1'><mac address='52:54:00:00:00:02'/></interface></bond></interface>"
        "<interface type='vlan' name='eth2.7'><vlan tag='7'><interface name='eth2'/></vlan></interface>"
        "</bridge></interface>"
    )
    assert isinstance(x, HostInterface)
    assert (x.start, x.mtu, x.protocols[0].ips[0].address, x.protocols[0].gateway) == (
        "onboot", 1500, "fe80::1", "fe80::2",
    )  # fmt: skip
    assert x.protocols[0].autoconf
    assert x.bridge is not None
    bond, vlan = x.bridge.interfaces
    assert (bond.link_state, bond.link_speed) == (LinkState.UP, 1000)
    assert bond.bond is not None
    assert (bond.bond.mode, bond.bond.arpmon_target) == (BondMode.ACTIVE_BACKUP, "192.0.2.1")
    assert (vlan.vlan_tag, vlan.vlan_interface) == (7, "eth2")


def test_rules_and_filters_keep_their_order() -> None:
    x = whole(
        "<filter name='f' chain='ipv4-x' priority='-700'><filterref filter='clean'/>"
        "<rule action='drop' direction='in'><tcp srcportstart='0x16' flags='SYN/ALL' state='NEW,RELATED'/></rule>"
        "<filterref filter='other'><parameter name='IP' value='192.0.2.7'/></filterref>"
        "<rule action='accept' direction='inout' priority='500' statematch='0'/></filter>"
    )
    assert isinstance(x, NetworkFilter)
    assert [type(entry) for entry in x.entries] == [FilterRef, FilterRule, FilterRef, FilterRule]
    rule = x.entries[1]
    assert isinstance(rule, FilterRule)
    assert isinstance(rule.protocol, TcpMatch)
    assert (rule.protocol.srcportstart, rule.protocol.state) == (22, frozenset({"NEW", "RELATED"}))
    assert [step.path for step in walk(x) if isinstance(step.element, TcpMatch)] == ["/rule[1]/tcp"]
    last = x.entries[3]
    assert isinstance(last, FilterRule)
    assert (last.action, last.statematch, last.protocol) == (RuleAction.ACCEPT, False, None)


def test_a_variable_may_stand_where_a_value_may() -> None:
    text = "<rule><mac srcmacaddr='$MAC' protocolid='0x0800'/></rule>"
    text += "<rule><ip srcipaddr='$ IP[ @1 ]' srcipmask='24'/></rule>"
    x = whole(f"<filter name='f'>{text}</filter>")
    assert isinstance(x, NetworkFilter)
    mac, ip = (entry.protocol for entry in x.entries if isinstance(entry, FilterRule))
    assert isinstance(mac, MacMatch)
    assert isinstance(ip, IpMatch)
    assert (mac.srcmacaddr, mac.protocolid) == ("$MAC", 0x800)
    assert (ip.srcipaddr, ip.srcipmask) == ("$IP[@1]", 24)
    assert "srcipaddr='$IP[@1]'" in dump(x, canonical=True)


@pytest.mark.parametrize(
    "attribute",
    [
        "tcp srcportstart='65536'", "tcp srcportstart='$'", "tcp srcportstart='$A B'", "tcp flags='SYN'",
        "mac protocolid='15'",
        "vlan vlanid='4096'", "ip srcipmask='33'", "ipv6 srcipmask='129'", "ip srcipaddr='fe80::1'", "ip dscp='64'",
        "tcp state='OLD'", "arp opcode='Ask'", "arp gratuitous='maybe'", "all ipset='a/b'", "all ipsetflags='up'",
    ],
)  # fmt: skip
def test_what_is_no_value_of_a_rule_is_named(attribute: str) -> None:
    x = parse(f"<filter name='f'>\n<rule><{attribute}/></rule></filter>")
    tag, _, rest = attribute.partition(" ")
    assert [(problem.path, problem.line) for problem in unknown(x)] == [
        (f"/rule[0]/{tag}/@{rest.partition('=')[0]}", 2)
    ]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("arp opcode='request'", "Request"), ("ip protocol='UDP'", "udp"), ("ip protocol='0x11'", 17),
        ("mac protocolid='ipv6'", "ipv6"), ("ip srcipmask='255.255.0.0'", "255.255.0.0"),
        ("arp gratuitous='yes'", True),
        ("tcp flags='PSH/'", "PSH/"), ("all ipset='blocked'", "blocked"), ("stp root-cost-hi='4294967295'", 2**32 - 1),
    ],
)  # fmt: skip
def test_values_of_rules_have_types(attribute: str, value: object) -> None:
    x = whole(f"<filter name='f'><rule><{attribute}/></rule></filter>")
    assert isinstance(x, NetworkFilter)
    rule = x.entries[0]
    assert isinstance(rule, FilterRule)
    name = attribute.partition(" ")[2].partition("=")[0].replace("-", "_")
    assert getattr(rule.protocol, name) == value


def test_a_filter_binding_is_read() -> None:
    x = whole(
        "<filterbinding><owner><name>web</name><uuid>06578fc1-c686-46fa-bc2c-220893b466a6</uuid></owner>"
        "<portdev name='vnet0'/><linkdev name='eth0'/><mac address='52:54:00:7b:35:93'/>"
        "<filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.7'/></filterref></filterbinding>"
    )
    assert isinstance(x, FilterBinding)
    assert x.filterref is not None
    assert (x.portdev, x.linkdev, x.filterref.filter, x.filterref.parameters[0].value) == (
        "vnet0", "eth0", "clean-traffic", "192.0.2.7",
    )  # fmt: skip


def test_a_pci_device_is_read_with_types() -> None:
    x = whole(
        "<device><name>pci_0000_42_00_0</name><parent>computer</parent><devnode type='dev'>/dev/x</devnode>"
        "<capability type='pci'><class>0x020000</class><domain>0</domain><bus>66</bus>"
        "<product id='0x1017'>Card</product><capability type='virt_functions' maxCount='8'/>"
        "<capability type='vpd'><name>The card</name><fields access='readonly'><serial_number>A1</serial_number>"
        "<vendor_field index='0'>x</vendor_field></fields></capability><numa node='-1'/>"
        "<pci-express><link validity='cap' port='0' speed='8' width='16'/></pci-express></capability></device>"
    )
    assert isinstance(x, NodeDevice)
    pci = x.capabilities[0]
    assert isinstance(pci, PciCapability)
    assert (pci.class_code, pci.bus, pci.numa_node, pci.links[0].width) == (0x20000, 66, -1, 16)
    assert pci.product is not None
    assert (pci.product.id, pci.product.name) == (0x1017, "Card")
    functions, vpd = pci.capabilities
    assert isinstance(functions, VirtFunctions)
    assert functions.max_count == 8
    assert isinstance(vpd, Vpd)
    assert isinstance(vpd.fields[0], VpdReadonly)
    assert (vpd.fields[0].serial_number, vpd.fields[0].vendor_fields[0].index) == ("A1", "0")


def test_a_mediated_device_keeps_the_order_of_its_settings() -> None:
    x = whole(
        "<device><parent wwnn='0x20000000C9831B4B' wwpn='10000000c9831b4b'/><capability type='mdev'><type id='i915'/>"
        "<uuid>d069d019-36ea-4111-8f0a-8c9a70e21366</uuid><attr name='b' value='1'/><attr name='a' value='2'/>"
        "</capability></device>"
    )
    assert isinstance(x, NodeDevice)
    assert x.parent_wwnn == "20000000c9831b4b"
    mdev = x.capabilities[0]
    assert isinstance(mdev, MdevCapability)
    assert [attribute.name for attribute in mdev.attributes] == ["b", "a"]


def test_kinds_of_pools_are_read() -> None:
    x = whole(
        "<storagepoolCapabilities><pool type='fs' supported='yes'><poolOptions><defaultFormat type='auto'/>"
        "<enum name='sourceFormatType'><value>auto</value><value>ext4</value></enum></poolOptions><volOptions>"
        "<defaultFormat type='raw'/><enum name='targetFormatType'><value>none</value><value>qcow2</value></enum>"
        "</volOptions></pool></storagepoolCapabilities>"
    )
    assert isinstance(x, StoragePoolCapabilities)
    assert (x.pools[0].supported, x.pools[0].source_default) == (True, PoolFormat.AUTO)
    assert x.pools[0].target_formats[0].values == (VolumeFormat.NONE, VolumeFormat.QCOW2)


def test_a_pool_and_a_volume_are_read_with_types() -> None:
    x = whole(
        "<pool type='rbd'><name>p</name><source><host name='2001:DB8::7' port='6789'/><name>rbd</name></source>"
        "<target><path>/p</path><permissions><mode>0711</mode><owner>-1</owner><group>107</group></permissions></target>"
        "<refresh><volume allocation='capacity'/></refresh></pool>"
    )
    assert isinstance(x, Pool)
    assert x.source is not None
    assert (x.source.hosts[0].name, x.source.hosts[0].port) == ("2001:db8::7", 6789)
    assert x.permissions is not None
    assert (x.permissions.mode, x.permissions.owner, x.permissions.group) == (0o711, -1, 107)
    assert x.refresh_allocation == "capacity"
    v = whole(
        "<volume type='file'><name>v</name><capacity unit='GiB'>1</capacity><target><format type='qcow2'/>"
        "<timestamps><atime>1341933637.273190990</atime></timestamps><compat>1.1</compat>"
        "<clusterSize unit='KiB'>64</clusterSize></target></volume>"
    )
    assert isinstance(v, Volume)
    assert v.target is not None
    assert (v.capacity, v.target.format, v.target.cluster_size) == (2**30, VolumeFormat.QCOW2, 65536)


def test_a_secret_says_what_it_opens() -> None:
    x = whole("<secret ephemeral='no' private='yes'><usage type='ceph'><name>client.admin</name></usage></secret>")
    assert isinstance(x, KeptSecret)
    assert (x.private, x.usage_type, x.usage_name) == (True, "ceph", "client.admin")


def test_values_that_do_not_fit_cannot_be_written() -> None:
    with pytest.raises(Invalid):
        dump(Network(name="n", mac="nonsense"))
    with pytest.raises(Invalid):
        dump(Network(name="n", mtu="big"))  # type: ignore[arg-type]
