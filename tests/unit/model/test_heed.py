"""What a driver does not read of a definition is told by path and line."""

from __future__ import annotations

import pytest
from anyvirt.api import Disk, Domain, PciAddress, parse
from anyvirt.model.heed import heeded, line, meaningless, path_of, plain, unheeded

TEXT = """<domain type='qemu'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <devices>
    <disk type='file'>
      <driver name='qemu' type='qcow2'/>
      <source file='/a'/>
      <target dev='vda' bus='virtio'/>
      <address type='pci' bus='1' slot='2'/>
    </disk>
    <video><model type='vga'/></video>
  </devices>
</domain>"""


@pytest.fixture
def view() -> Domain:
    return heeded(parse(TEXT, Domain))


def test_nothing_read_is_everything_told(view: Domain) -> None:
    found = {problem.path: problem.line for problem in unheeded(view, "acme")}
    assert set(found) == {"/@type", "/name", "/memory", "/devices/disk", "/devices/video"}
    assert (found["/@type"], found["/memory"]) == (1, 3)
    assert all(problem.code == "unsupported.config" for problem in unheeded(view, "acme"))


def test_what_was_read_is_not_told_and_the_inside_of_what_was_read_is(view: Domain) -> None:
    meaningless(view, "type", "name", "memory", "videos")
    for video in view.videos:
        meaningless(video)
    disk = view.disks[0]
    assert disk.source is not None
    assert (disk.target, disk.bus, disk.source.file) == ("vda", "virtio", "/a")
    paths = [problem.path for problem in unheeded(view, "acme")]
    assert sorted(paths) == ["/devices/disk[vda]/@type", "/devices/disk[vda]/address", "/devices/disk[vda]/driver"]


def test_a_stand_in_reads_like_the_element(view: Domain) -> None:
    disk = view.disks[0]
    assert isinstance(disk, Disk)
    assert isinstance(disk.address, PciAddress)
    assert disk == plain(disk)
    assert plain(view) == parse(TEXT, Domain)
    assert plain(plain(view)) is plain(view)
    assert hash(disk) == hash(plain(disk))
    assert "disk[vda]" in repr(disk)


def test_paths_and_lines_are_those_of_the_document(view: Domain) -> None:
    disk = view.disks[0]
    assert path_of(disk) == "/devices/disk[vda]"
    assert path_of(disk, "bus") == "/devices/disk[vda]/target/@bus"
    assert path_of(disk.driver, "type") == "/devices/disk[vda]/driver/@type"
    assert path_of(view.videos[0]) == "/devices/video[0]"
    assert line(disk) == 5
    assert path_of(plain(disk)) == ""


def test_an_element_that_means_nothing_is_silent_as_a_whole(view: Domain) -> None:
    meaningless(view)
    assert unheeded(view, "acme") == []


def test_a_frozen_element_stays_frozen(view: Domain) -> None:
    with pytest.raises(AttributeError):
        view.name = "other"  # type: ignore[misc]
