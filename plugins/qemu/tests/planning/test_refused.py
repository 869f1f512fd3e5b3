"""What QEMU, or this QEMU, cannot do is refused by the path of what asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from anyvirt.api import Invalid, Problem
from anyvirt_qemu.planning.plan import Plan

Guest = Callable[..., str]
Planned = Callable[..., Plan]


def problems(planned: Planned, text: str, **options: Any) -> dict[str, Problem]:
    with pytest.raises(Invalid) as refusal:
        planned(text, **options)
    return {problem.path: problem for problem in refusal.value.problems}


def test_a_disk_that_is_called_like_a_partition_is_refused(planned: Planned, guest: Guest) -> None:
    disk = "<disk type='file'><source file='/a'/><target dev='{}' bus='virtio'/></disk>"
    (problem,) = problems(planned, guest(disk.format("vda1"))).values()
    assert (problem.code, problem.path) == ("config.invalid", "/devices/disk[vda1]/target/@dev")
    assert planned(guest(disk.format("vdaa"))).disks


@pytest.mark.parametrize("model", ["qemu-xhci", "nec-xhci"])
def test_a_usb_3_controller_has_fifteen_ports_at_most(planned: Planned, guest: Guest, model: str) -> None:
    text = guest(f"<controller type='usb' index='0' model='{model}' ports='16'/>")
    assert "at most 15" in problems(planned, text)["/devices/controller[usb,0]/@ports"].text
    assert planned(text.replace("'16'", "'15'"))


def test_firmware_that_needs_acpi_is_refused_without_it_by_its_own_path(planned: Planned, guest: Guest) -> None:
    loader = "<loader type='pflash' readonly='yes'>/code</loader><nvram>/vars</nvram></os>"
    text = guest().replace("<features><acpi/></features>", "").replace("</os>", loader)
    assert "UEFI needs ACPI" in problems(planned, text)["/os/loader"].text


def test_a_cell_whose_bytes_cannot_be_counted_is_refused(planned: Planned, guest: Guest) -> None:
    cell = "<cpu><numa><cell id='0' cpus='0' memory='{}' unit='KiB'/></numa></cpu>"
    problem = problems(planned, guest(extra=cell.format(2**53 - 1)))["/cpu/numa/cell[0]/@memory"]
    assert problem.code == "config.range"
    assert planned(guest(extra=cell.format(2**53 - 1024)))


def test_threads_for_io_are_refused_by_a_qemu_without_them(
    planned: Planned, guest: Guest, caps: Callable[..., Any]
) -> None:
    text = guest(extra="<iothreads>2</iothreads>")
    found = problems(planned, text, caps=caps(lacking=frozenset({"iothread"})))
    assert "no object iothread" in found["/iothreads"].text


def test_the_speaker_of_the_machine_is_no_device_and_not_refused(planned: Planned, guest: Guest) -> None:
    argv = planned(guest("<sound model='pcspk'/>")).argv
    assert "isa-pcspk.audiodev=audio1" in argv


def test_what_was_not_read_behind_a_text_that_qemu_cannot_take_is_not_told(planned: Planned, guest: Guest) -> None:
    serial = "<serial type='file'><source path='/a&#10;b'/><target type='isa-serial' port='0'/></serial>"
    assert list(problems(planned, guest(serial))) == ["/devices/serial[0]"]
    text = guest().replace("<os>", "<os><kernel>/k</kernel><cmdline>a\x7fb</cmdline>")
    (problem,) = problems(planned, text).values()
    assert "control character" in problem.text
