"""Putting things on a test host: those that libvirt's has, or those of a node document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from anyvirt.api import Reason, Ref, State, Status

from anyvirt_test.place import keep_volume
from anyvirt_test.shape import Shape
from anyvirt_test.world import World

if TYPE_CHECKING:
    from anyvirt_test.config import Given, Node

FACTS: Final[dict[str, Any]] = {
    "arch": "i686",
    "memory": 3 << 30,
    "cpus": 16,
    "mhz": 1400,
    "nodes": 2,
    "sockets": 2,
    "cores": 2,
    "threads": 2,
}
# libvirt's numbers of the states that a node document may ask for
STATES: Final = {
    1: Status(State.RUNNING, Reason.BOOTED),
    2: Status(State.BLOCKED),
    3: Status(State.PAUSED, Reason.USER),
    4: Status(State.SHUTDOWN, Reason.USER),
    6: Status(State.CRASHED, Reason.PANICKED),
    7: Status(State.PMSUSPENDED),
}
SHUTOFF: Final = 5
DOMAIN: Final = """\
<domain type='test'>
  <name>test</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <memory unit='KiB'>8388608</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu>2</vcpu>
  <os>
    <type arch='i686'>hvm</type>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <source file='/guest/diskimage1'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <mac address='aa:bb:cc:dd:ee:ff'/>
      <source network='default'/>
      <target dev='testnet0'/>
    </interface>
    <console type='pty'/>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
SHAPE: Final = Shape(
    memory=8 << 30,
    current=2 << 30,
    vcpus=2,
    disks=(("vda", "/guest/diskimage1"),),
    nics=(("aa:bb:cc:dd:ee:ff", "testnet0", "default"),),
)
NETWORK: Final = """\
<network>
  <name>default</name>
  <uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
"""
INTERFACE: Final = """\
<interface type='ethernet' name='eth1'>
  <start mode='onboot'/>
  <mac address='aa:bb:cc:dd:ee:ff'/>
  <mtu size='1492'/>
  <protocol family='ipv4'>
    <ip address='192.168.0.5' prefix='24'/>
    <route gateway='192.168.0.1'/>
  </protocol>
</interface>
"""
POOL: Final = """\
<pool type='dir'>
  <name>default-pool</name>
  <uuid>dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566</uuid>
  <target>
    <path>/default-pool</path>
  </target>
</pool>
"""


def default(world: World) -> None:
    """The host of ``test:///default``; nothing of it has to be parsed."""
    _facts(world, {})
    _keep(world, "network", "dd8fe884-6c02-601e-7551-cca97df1c5df", "default", NETWORK, {"bridge": "virbr0"})
    _keep(world, "interface", "aa:bb:cc:dd:ee:ff", "eth1", INTERFACE, {})
    _keep(world, "pool", "dfe224cb-28fb-8dd0-c4b2-64eb3f0f4566", "default-pool", POOL, {"path": "/default-pool"})
    ref = Ref("domain", "6695eb01-f6a4-8304-79aa-97f2502e193f", name="test")
    world.store.define("domain", ref.key, "test", DOMAIN)
    world.keep_shape(ref.key, SHAPE)
    world.launch(ref, DOMAIN, SHAPE, STATES[1])


def loaded(world: World, node: Node) -> None:
    """The host that a node document describes."""
    _facts(world, node.facts)
    for given in node.objects:
        if given.kind == "domain":
            _domain(world, given)
            continue
        _keep(world, given.kind, given.uuid, given.name, given.xml, given.facts)
        for volume in given.volumes:
            keep_volume(world, given.uuid, volume.name, volume.xml, volume.facts)


def _domain(world: World, given: Given) -> None:
    ref = Ref("domain", given.uuid, name=given.name)
    shape = Shape.read(given.xml)
    if not given.transient:
        world.store.define("domain", ref.key, given.name, given.xml)
        world.keep_shape(ref.key, shape)
    if given.runs != SHUTOFF:
        world.launch(ref, given.xml, shape, STATES[given.runs or 1], transient=given.transient)


def _facts(world: World, given: dict[str, Any]) -> None:
    world.store.set_blob("host", "host", "facts", json.dumps({**FACTS, **given}).encode())


def _keep(world: World, kind: str, uuid: str, name: str, xml: str, facts: Any) -> None:
    world.store.define(kind, uuid, name, xml, run="active")
    world.store.set_blob(kind, uuid, "facts", json.dumps(dict(facts)).encode())
