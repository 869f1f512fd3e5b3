"""Devices of the host that guests get, on a tree of files that does as the kernel documents: there is no VFIO here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Busy, Domain, Failed, parse
from anyvirt.host import Host
from anyvirt.settings import Settings
from anyvirt.uri import Uri
from anyvirt_qemu.guest import Record
from anyvirt_qemu.hosting import Preparation
from anyvirt_qemu.hosting.assigned import CLAIMS, Sysfs, give_back, holder, take
from anyvirt_qemu.planning.plan import Account, AssignedUse, Plan
from anyvirt_qemu.readiness import attached, plugged, reserves
from anyvirt_qemu.run_dir import RunDir
from anyvirt_qemu.site import Site

CARD, DISK, AUDIO, PORT = "0000:06:00.0", "0000:07:00.0", "0000:06:00.1", "0000:00:1c.0"
UUID = "11111111-2222-4333-8444-555555555555"
OTHER = "22222222-2222-4333-8444-555555555555"


class Killed(BaseException):
    """Nothing of the start is done any more."""


class Kernel(Sysfs):
    """Drivers give devices up and take them, as Documentation/ABI/testing/sysfs-bus-pci has it.

    :param refuses: devices that vfio-pci does not take.
    """

    def __init__(self, root: Path, refuses: frozenset[str] = frozenset()) -> None:
        super().__init__(root)
        self.refuses = refuses
        self.own: dict[str, str] = {}
        (root / "bus/pci/drivers/vfio-pci").mkdir(parents=True)

    def plug(self, address: str, driver: str, group: int, *, kind: str = "0x020000") -> None:
        """A device that is there when the host comes up."""
        folder = self.pci(address)
        folder.mkdir(parents=True)
        (folder / "class").write_text(f"{kind}\n")
        (folder / "driver_override").write_text("(null)\n")
        members = self.root / f"kernel/iommu_groups/{group}/devices"
        members.mkdir(parents=True, exist_ok=True)
        (members / address).symlink_to(folder)
        (folder / "iommu_group").symlink_to(members.parent)
        self.own[address] = driver
        self._bound(address)

    def write(self, path: Path, text: str) -> None:
        address = text.strip()
        if path.name == "driver_override":
            path.write_text(text if address else "(null)\n")
        elif path.name == "unbind":
            assert path.parent.is_symlink(), "there is a driver"
            path.parent.unlink()
        elif path.name == "drivers_probe":
            self._bound(address)
        else:
            raise AssertionError(path)

    def _bound(self, address: str) -> None:
        driver = self.override(address) or self.own[address]
        link = self.pci(address) / "driver"
        if driver and not link.is_symlink() and not (driver == "vfio-pci" and address in self.refuses):
            folder = self.root / "bus/pci/drivers" / driver
            folder.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)

    def drivers(self) -> dict[str, tuple[str, str]]:
        """Each device with its driver and the driver that it is kept for."""
        return {address: (self.driver(address), self.override(address)) for address in self.own}


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A card with two functions in one group, beside a bridge, and a disk that no driver has."""
    made = Kernel(tmp_path / "sys")
    made.plug(CARD, "e1000e", 7)
    made.plug(AUDIO, "snd_hda_intel", 7, kind="0x040300")
    made.plug(PORT, "pcieport", 7, kind="0x060400")
    made.plug(DISK, "", 8, kind="0x010802")
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A connection whose steps can be watched."""
    uri = Uri.of("qemu:///system" if os.geteuid() == 0 else "qemu:///session")
    return Site(uri, Host(uri, Settings.read(), state_dir=tmp_path / "state"))


@pytest.fixture
def started(site: Site) -> Iterator[Callable[..., Preparation]]:
    """Starts of guests that have come as far as their run directory."""
    with ExitStack() as places:

        def begin(uuid: str = UUID) -> Preparation:
            place = places.enter_context(RunDir.create(site.runs, uuid))
            fields: dict[str, Any] = {"run": "r", "uuid": uuid, "name": "one", "number": 1, "phase": "starting"}
            return Preparation(site, place, Record(**fields, paused=False, xml="", boot="b", began=0.0))

        yield begin


def plan(*uses: AssignedUse) -> Plan:
    domain = parse("<domain type='qemu'><name>one</name></domain>")
    assert isinstance(domain, Domain)
    return Plan(domain=domain, argv=("/bin/true",), assigned=uses)


def back(ready: Preparation, kernel: Kernel) -> None:
    """What whoever settles the run does, from what is on disk."""
    kept = ready.place.read("status.json")
    for entry in reversed(json.loads(kept)["left"] if kept else []):
        give_back(entry, kernel)


def test_a_managed_device_goes_to_vfio_and_comes_back_to_its_driver(
    kernel: Kernel, started: Callable[..., Preparation], site: Site
) -> None:
    before = kernel.drivers()
    ready = started()
    take(ready, plan(AssignedUse("pci", CARD, managed=True), AssignedUse("pci", DISK, managed=True)), kernel)
    assert kernel.drivers() == {
        **before,
        CARD: ("vfio-pci", "vfio-pci"),
        DISK: ("vfio-pci", "vfio-pci"),
    }
    assert sorted(os.listdir(site.scope.run / CLAIMS)) == [f"pci-{CARD}", f"pci-{DISK}"]
    back(ready, kernel)
    assert kernel.drivers() == before
    back(ready, kernel)
    assert kernel.drivers() == before
    assert os.listdir(site.scope.run / CLAIMS) == []


def test_a_device_that_is_with_vfio_already_is_claimed_and_left_there(
    kernel: Kernel, started: Callable[..., Preparation]
) -> None:
    kernel.own[CARD] = "vfio-pci"
    (kernel.pci(CARD) / "driver").unlink()
    kernel.write(kernel.root / "bus/pci/drivers_probe", CARD)
    ready = started()
    take(ready, plan(AssignedUse("pci", CARD, managed=True), AssignedUse("pci", CARD)), kernel)
    assert [entry["kind"] for entry in ready.record.left] == ["claim"]
    back(ready, kernel)
    assert kernel.driver(CARD) == "vfio-pci"


def test_killed_before_any_step_a_device_is_with_its_driver_again_and_nobody_claims_it(
    kernel: Kernel, started: Callable[..., Preparation], site: Site
) -> None:
    before = kernel.drivers()
    uses = plan(AssignedUse("pci", CARD, managed=True), AssignedUse("usb", "003:007"))
    seen: list[str] = []
    site.step = seen.append
    ready = started()
    take(ready, uses, kernel)
    back(ready, kernel)
    ready.place.remove()
    assert seen == ["prepare-claim", "prepare-pci", "unbind-pci", "bind-pci", "prepare-claim"]
    for at in range(len(seen)):
        reached: list[str] = []

        def step(name: str, at: int = at, reached: list[str] = reached) -> None:
            reached.append(name)
            if len(reached) > at:
                raise Killed

        site.step = step
        ready = started()
        with pytest.raises(Killed):
            take(ready, uses, kernel)
        back(ready, kernel)
        ready.place.remove()
        assert kernel.drivers() == before, reached
        assert os.listdir(site.scope.run / CLAIMS) == [], reached


def test_the_user_that_qemu_is_gets_the_node_of_the_group(
    kernel: Kernel, started: Callable[..., Preparation], tmp_path: Path
) -> None:
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/7").write_bytes(b"")
    two = plan(AssignedUse("pci", CARD, managed=True), AssignedUse("pci", AUDIO, managed=True))
    made = take(started(), replace(two, account=Account(uid=64055, gid=105)), kernel, tmp_path / "dev")
    assert [(use.path, use.owner, use.write) for use in made.files] == [(f"{tmp_path}/dev/vfio/7", (64055, 105), True)]


def test_a_device_that_vfio_does_not_take_goes_back(tmp_path: Path, started: Callable[..., Preparation]) -> None:
    kernel = Kernel(tmp_path / "sys", refuses=frozenset({CARD}))
    kernel.plug(CARD, "e1000e", 7)
    ready = started()
    with pytest.raises(Failed, match=f"PCI device {CARD} was taken from e1000e, and vfio-pci does not take it"):
        take(ready, plan(AssignedUse("pci", CARD, managed=True)), kernel)
    back(ready, kernel)
    assert kernel.driver(CARD) == "e1000e"


def test_what_one_guest_has_no_other_gets_until_it_has_ended(
    kernel: Kernel, started: Callable[..., Preparation], site: Site
) -> None:
    use = AssignedUse("mdev", "53764d0e-85a0-42b4-af5c-2046b460b1dc")
    first, second = started(), started(OTHER)
    take(first, plan(use), kernel)
    assert holder(site, use) == UUID
    with pytest.raises(Busy, match=f"guest {UUID}"):
        take(second, plan(use), kernel)
    back(second, kernel)
    assert holder(site, use) == UUID
    first.place.remove()  # as after a loss of power
    take(second, plan(use), kernel)
    assert holder(site, use) == OTHER


def test_devices_that_are_missing_busy_or_bound_to_others_are_told_before_a_start(
    kernel: Kernel, started: Callable[..., Preparation], site: Site, tmp_path: Path
) -> None:
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/vfio").write_bytes(b"")
    usb = AssignedUse("usb", "003:007", place="/devices/hostdev[3]")
    take(started(OTHER), plan(usb), kernel)
    uses = plan(
        AssignedUse("pci", CARD, managed=True, place="/devices/hostdev[0]"),
        AssignedUse("pci", "0000:09:00.0", place="/devices/hostdev[1]"),
        AssignedUse("mdev", "53764d0e-85a0-42b4-af5c-2046b460b1dc", place="/devices/hostdev[2]"),
        usb,
        AssignedUse("pci", DISK, mac="52:54:00:00:00:01", place="/devices/interface"),
    )
    found = list(attached.devices(site, uses, UUID, kernel, tmp_path / "dev"))
    texts = {(problem.path, problem.code): problem.text for problem in found}
    assert all(problem.hint for problem in found)
    busy = texts["/devices/hostdev[0]/source/address", "resource.busy"]
    assert busy == f"PCI device {AUDIO} is in the same IOMMU group as {CARD}, and snd_hda_intel has it"
    assert "no PCI device" in texts["/devices/hostdev[1]/source/address", "file.not-found"]
    assert "no mediated device" in texts["/devices/hostdev[2]/source/address", "file.not-found"]
    assert OTHER in texts["/devices/hostdev[3]", "resource.busy"]
    assert f"{tmp_path}/dev/bus: No such file" in texts["/devices/hostdev[3]/source", "file.not-found"]
    assert "no virtual function" in texts["/devices/interface/source/address", "config.invalid"]
    assert "not with vfio-pci" in texts["/devices/interface/source/address", "resource.busy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_group_that_is_given_away_whole_stands_in_nobodys_way(kernel: Kernel, site: Site, tmp_path: Path) -> None:
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/vfio").write_bytes(b"")
    uses = plan(AssignedUse("pci", CARD, managed=True), AssignedUse("pci", AUDIO, managed=True))
    assert list(attached.devices(site, uses, UUID, kernel, tmp_path / "dev")) == []
    (kernel.root / "bus/pci/drivers/vfio-pci").rmdir()
    hints = {problem.hint for problem in attached.devices(site, uses, UUID, kernel, tmp_path / "dev")}
    assert hints == {"modprobe vfio-pci"}
    os.unlink(kernel.pci(CARD) / "iommu_group")
    texts = [problem.text for problem in attached.devices(site, uses, UUID, kernel, tmp_path / "dev")]
    assert f"no IOMMU keeps PCI device {CARD} from the host's memory" in texts


def test_a_disk_that_the_host_has_mounted_is_not_taken(kernel: Kernel, site: Site, tmp_path: Path) -> None:
    for name, number in (("nvme0n1", "259:0"), ("nvme0n1/nvme0n1p2", "259:2")):
        folder = kernel.pci(DISK) / "nvme/nvme0/block" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
    kernel.mounts = tmp_path / "mountinfo"
    kernel.mounts.write_text("22 1 259:2 / /srv rw - ext4 /dev/x rw\n23 1 259:7 / /else rw - ext4 /dev/y rw\n")
    managed, own = AssignedUse("pci", DISK, managed=True), AssignedUse("pci", DISK)
    texts = [problem.text for problem in attached.devices(site, plan(managed), UUID, kernel, tmp_path)]
    assert f"the host has mounted what is on PCI device {DISK}: /srv" in texts
    texts = [problem.text for problem in attached.devices(site, plan(own), UUID, kernel, tmp_path)]
    assert not any("mounted" in text for text in texts)


def test_a_scsi_unit_that_may_not_be_opened_is_told(kernel: Kernel, site: Site, tmp_path: Path) -> None:
    (kernel.root / "bus/scsi/devices/2:0:3:1/scsi_generic/sg7").mkdir(parents=True)
    use = AssignedUse("scsi", "2:0:3:1", place="/devices/hostdev[0]")
    (problem,) = attached.devices(site, plan(use), UUID, kernel, tmp_path)
    assert (problem.path, problem.code) == ("/devices/hostdev[0]/source", "file.not-found")
    (tmp_path / "sg7").write_bytes(b"")
    assert list(attached.devices(site, plan(use), UUID, kernel, tmp_path)) == []


def test_memory_that_devices_reach_has_to_be_lockable() -> None:
    assert reserves.limits(plan(AssignedUse("usb", "001:002"))) == ()
    (problem,) = reserves.blockers(plan(AssignedUse("pci", DISK, place="/devices/hostdev[0]")), most=1 << 20)
    assert (problem.path, problem.code) == ("/devices/hostdev[0]", "denied")
    assert "1024 MiB" in problem.text


def test_a_virtual_function_knows_its_card(kernel: Kernel) -> None:
    assert kernel.parent(CARD) is None
    for number, address in enumerate((DISK, AUDIO)):
        (kernel.pci(CARD) / f"virtfn{number}").symlink_to(f"../{address}")
        (kernel.pci(address) / "physfn").symlink_to(f"../{CARD}")
    (kernel.pci(CARD) / "net/enp6s0").mkdir(parents=True)
    assert kernel.parent(AUDIO) == ("enp6s0", 1)
    assert kernel.parent(DISK) == ("enp6s0", 0)


USB = "<hostdev mode='subsystem' type='usb'><source{}><vendor id='0x04f9'/><product id='0x0330'/>{}</source></hostdev>"


@pytest.fixture
def hub(tmp_path: Path) -> Callable[..., Path]:
    """A folder of USB devices as sysfs shows them."""

    def plug(*devices: tuple[int, int, str, str]) -> Path:
        for number, (bus, device, vendor, product) in enumerate(devices):
            folder = tmp_path / f"usb/{bus}-{number}"
            folder.mkdir(parents=True)
            for name, value in (("busnum", bus), ("devnum", device), ("idVendor", vendor), ("idProduct", product)):
                (folder / name).write_text(f"{value}\n")
        return tmp_path / "usb"

    return plug


def guest(*hostdevs: str) -> Domain:
    found = parse(f"<domain type='qemu'><name>one</name><devices>{''.join(hostdevs)}</devices></domain>")
    assert isinstance(found, Domain)
    return found


def test_a_usb_device_is_found_by_vendor_and_product(hub: Callable[..., Path]) -> None:
    folder = hub((1, 1, "1d6b", "0002"), (3, 17, "04f9", "0330"))
    domain, left_out, problems = plugged.present(guest(USB.format("", "")), folder)
    (found,) = domain.hostdevs
    assert found.source is not None
    assert found.source.address is not None
    assert (found.source.address.bus, found.source.address.device) == (3, 17)
    assert (left_out, problems) == ([], [])


def test_usb_devices_that_are_missing_or_alike_are_told_by_path(hub: Callable[..., Path]) -> None:
    one = guest(USB.format("", ""))
    _, _, (missing,) = plugged.present(one, hub((1, 1, "1d6b", "0002")))
    assert (missing.path, missing.code) == ("/devices/hostdev[0]/source", "file.not-found")
    assert "04f9:0330" in missing.text
    folder = hub((3, 17, "04f9", "0330"), (4, 2, "04f9", "0330"))
    _, _, (alike,) = plugged.present(one, folder)
    assert "bus='3' device='17', bus='4' device='2'" in alike.text
    _, _, problems = plugged.present(guest(USB.format("", "<address bus='4' device='2'/>")), folder)
    assert problems == []
    _, _, (elsewhere,) = plugged.present(guest(USB.format("", "<address bus='4' device='3'/>")), folder)
    assert "at bus 4, device 3" in elsewhere.text


def test_a_usb_device_that_may_be_missing_is_left_out_and_that_is_told(hub: Callable[..., Path]) -> None:
    folder = hub((1, 1, "1d6b", "0002"))
    domain, left_out, problems = plugged.present(guest(USB.format(" startupPolicy='optional'", "")), folder)
    assert (domain.hostdevs, problems) == ((), [])
    assert "starts without it" in left_out[0]
