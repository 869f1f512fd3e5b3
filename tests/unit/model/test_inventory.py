"""What ``validate --coverage`` counts."""

from __future__ import annotations

from anyvirt.model.inventory import MISFIT, OPEN, PLAIN, TYPED, UNKNOWN, Inventory

DOMAIN = """<domain type='kvm' colour='red'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <vcpu>many</vcpu>
  <metadata><a:b xmlns:a='urn:a' c='1'/></metadata>
  <devices>
    <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    <lamp><bulb watt='40'/></lamp>
  </devices>
  <nobody:knows xmlns:nobody='urn:nobody' this='1'/>
</domain>"""


def counted(*documents: str) -> Inventory:
    found = Inventory()
    for number, document in enumerate(documents):
        found.add(f"{number}.xml", document)
    return found


def status(found: Inventory, path: str) -> str:
    return found.paths[path].status


def test_a_path_is_typed_plain_unknown_or_open() -> None:
    found = counted(DOMAIN)
    assert status(found, "/domain/memory") == TYPED
    assert status(found, "/domain/memory/@unit") == TYPED
    assert status(found, "/domain/devices") == TYPED
    assert status(found, "/domain/devices/disk/@type") == TYPED
    assert status(found, "/domain/name") == PLAIN
    assert status(found, "/domain/@colour") == UNKNOWN
    assert [trail.path for trail in found.of(UNKNOWN) if "lamp" in trail.path] == [
        "/domain/devices/lamp",
        "/domain/devices/lamp/bulb",
        "/domain/devices/lamp/bulb/@watt",
    ]
    assert status(found, "/domain/metadata/a:b/@c") == OPEN
    assert status(found, "/domain/nobody:knows/@this") == OPEN


def test_content_that_is_open_by_intention_is_neither_declared_nor_missing() -> None:
    one = counted("<domain type='kvm'><name>a</name><vcpu>1</vcpu></domain>")
    two = counted("<domain type='kvm'><name>a</name><vcpu>1</vcpu><metadata><x/></metadata></domain>")
    assert one.fraction == two.fraction == 1
    assert counted("<domain type='kvm'><vcpuz>1</vcpuz></domain>").fraction == 2 / 3


def test_a_value_that_does_not_fit_is_told_and_does_not_count_alone() -> None:
    found = counted(DOMAIN)
    assert status(found, "/domain/vcpu") == UNKNOWN
    found.add("good.xml", "<domain type='kvm'><vcpu>2</vcpu></domain>")
    assert status(found, "/domain/vcpu") == TYPED
    (misfit,) = (trail for trail in found.misfits if trail.path == "/domain/vcpu")
    assert misfit.counts[MISFIT] == 1
    assert misfit.examples[MISFIT] == "0.xml"


def test_a_path_that_is_not_read_once_is_not_declared() -> None:
    found = counted(
        "<domain type='kvm'><vcpu>1</vcpu></domain>", "<domain type='kvm'><vcpu>1</vcpu><vcpu>2</vcpu></domain>"
    )
    trail = found.paths["/domain/vcpu"]
    assert (trail.status, trail.total, trail.example) == (UNKNOWN, 3, "1.xml")


def test_a_document_that_cannot_be_read_is_refused_with_the_reason() -> None:
    found = counted("<domain>", "<lamp/>", "<network><name>a</name></network>")
    assert found.read == ["2.xml"]
    assert list(found.refused) == ["0.xml", "1.xml"]
    assert "no document has the root element <lamp>" in found.refused["1.xml"]
