from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.api import Connection, Invalid, NotFound, Reason, State
from anyvirt.api import open as opened

NODE = """\
<node>
  <cpu><mhz>6000</mhz><model>i986</model><active>50</active><nodes>4</nodes><sockets>4</sockets><cores>4</cores>
    <threads>2</threads></cpu>
  <memory>8192000</memory>
  <network><name>lab</name><uuid>a0a0a0a0-0000-4000-8000-000000000001</uuid><bridge name='virbr7'/></network>
  <interface type='ethernet' name='eth7'><mac address='aa:bb:cc:00:11:22'/></interface>
  <pool type='dir'>
    <name>images</name><target><path>/srv/images</path></target>
    <volume><name>root.img</name><capacity unit='G'>2</capacity><allocation>4096</allocation></volume>
    <volume><name>iso</name><target><path>/srv/other/iso</path></target><capacity>7</capacity></volume>
  </pool>
  <domain type='test'>
    <name>inline</name><memory>65536</memory><os><type>hvm</type></os>
    <devices><disk type='file'><source file='/srv/images/root.img'/><target dev='vda'/></disk></devices>
  </domain>
  <domain file='beside.xml'/>
  {more}
</node>
"""
BESIDE = """\
<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
  <test:runstate>{state}</test:runstate>
  <name>beside</name><uuid>11111111-2222-4333-8444-555555555555</uuid>
  <memory>65536</memory><os><type>hvm</type></os>
</domain>
"""

ENTITY = "<!DOCTYPE n [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><node><memory>&e;</memory></node>"


def host(folder: Path, *, state: int = 5, more: str = "") -> str:
    (folder / "node.xml").write_text(NODE.format(more=more))
    (folder / "beside.xml").write_text(BESIDE.format(state=state))
    return f"test://{folder}/node.xml"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with opened(host(tmp_path)) as made:
        yield made


def test_the_hosts_facts_are_the_documents(connection: Connection) -> None:
    info = connection.host_info()
    assert (info.arch, info.mhz, info.cpus, info.nodes, info.sockets, info.cores, info.threads) == (
        "i986", 6000, 50, 4, 4, 4, 2,
    )  # fmt: skip
    assert info.memory == 8192000 * 1024


def test_domains_stand_in_the_document_or_beside_it(connection: Connection) -> None:
    inline, beside = connection.lookup("inline"), connection.lookup("11111111-2222-4333-8444-555555555555")
    assert inline.state().state is State.RUNNING
    assert inline.uuid is not None
    assert inline.config().model.uuid == inline.uuid
    assert (beside.name, beside.state().state) == ("beside", State.SHUTOFF)
    assert "runstate" not in beside.config().text
    beside.start()


@pytest.mark.parametrize(
    ("number", "state", "reason"),
    [
        (1, State.RUNNING, Reason.BOOTED),
        (3, State.PAUSED, Reason.USER),
        (4, State.SHUTDOWN, Reason.USER),
        (6, State.CRASHED, Reason.PANICKED),
        (7, State.PMSUSPENDED, Reason.UNKNOWN),
    ],
)
def test_a_domain_begins_in_the_state_that_is_asked_for(
    tmp_path: Path, number: int, state: State, reason: Reason
) -> None:
    with opened(host(tmp_path, state=number)) as connection:
        status = connection.lookup("beside").state()
        assert (status.state, status.reason) == (state, reason)


def test_pools_have_their_volumes_with_sizes_and_paths(connection: Connection) -> None:
    pool = connection.lookup_pool("images")
    volumes = {volume.name: volume for volume in pool.volumes()}
    assert {name: volume.path() for name, volume in volumes.items()} == {
        "root.img": "/srv/images/root.img",
        "iso": "/srv/other/iso",
    }
    assert volumes["root.img"].info().capacity == 2 << 30
    assert "<volume>" not in pool.config().text
    assert pool.info().allocation == 4096 + 7


def test_a_disk_that_is_a_volume_has_the_volumes_sizes(connection: Connection) -> None:
    info = connection.block_info(connection.lookup("inline"), "vda")
    assert (info.capacity, info.physical) == (2 << 30, 2 << 30)
    assert info.allocation is not None
    assert 4096 <= info.allocation < 1 << 20


def test_networks_and_interfaces_are_those_of_the_document(connection: Connection) -> None:
    assert [network.name for network in connection.network_list()] == ["lab"]
    assert connection.lookup_network("lab").info().bridge == "virbr7"
    assert [interface.name for interface in connection.interface_list()] == ["eth7"]


def test_the_parts_are_complete_documents(connection: Connection) -> None:
    for text in (connection.lookup_network("lab").config().text, connection.lookup_interface("eth7").config().text):
        assert text.startswith("<")
        assert text.rstrip().endswith((">",))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<node", "xml.malformed"),
        ("<domain/>", "xml.unknown-element"),
        (ENTITY, "xml"),
    ],
    ids=["cut", "another", "entity"],
)
def test_what_is_no_node_document_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "node.xml").write_text(text)
    with pytest.raises(Invalid) as refused:
        opened(f"test://{tmp_path}/node.xml")
    assert refused.value.code.startswith(code) or refused.value.code == "config.invalid"
    assert "root:" not in str(refused.value)


def test_a_document_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        opened(f"test://{tmp_path}/missing.xml")
