"""What guests can have is what the QEMU at hand says, in documents that every reader of libvirt's understands."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import (
    Capabilities,
    CpuFeature,
    CpuMatch,
    CpuMode,
    CpuModels,
    CpuPolicy,
    CpuSpec,
    CustomMode,
    Document,
    DomainCapabilities,
    HostModelMode,
    Invalid,
    check_document,
    cpu_baseline,
    cpu_comparison,
    dump,
    json_schema,
    parse,
    relax_ng,
    to_json,
)
from anyvirt_qemu.probing import capabilities, cpu_models, hardware, host_cpu, mainframe
from anyvirt_qemu.probing.capability import Capability, probe
from anyvirt_qemu.probing.caps import Caps
from anyvirt_qemu.probing.domcaps import HostSide, document
from anyvirt_qemu.readiness import firmwares
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from lxml import etree

OTHERS = ("aarch64", "arm", "ppc64", "riscv64", "s390x")
VENDOR = {"phenom": "AMD", "EPYC": "AMD", "Conroe": "Intel", "Skylake-Server": "Intel", "Dhyana": "Hygon"}


@cache
def grammar() -> Any:
    return etree.RelaxNG(etree.fromstring(relax_ng().encode()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module keeps what it has found out."""
    return tmp_path_factory.mktemp("found")


@pytest.fixture(scope="module")
def caps(qemu: str, folder: Path) -> Capability:
    return probe(qemu, folder)


def told(caps: Capability, name: str, **host: Any) -> DomainCapabilities:
    machine = Caps(caps).machine(name)
    assert machine is not None
    return document(caps, machine, HostSide(**{"kvm": False, **host}))


def words(group: Any, number: int = 0) -> set[str]:
    return {str(value) for value in group.enums[number].values}


def without(caps: Capability, *names: str) -> Capability:
    """The same QEMU, built with less."""
    digest = json.loads(json.dumps(caps.digest))
    for key in ("devices", "objects", "features", "commands"):
        digest[key] = [name for name in digest[key] if name not in names]
    digest["told"] = {key: value for key, value in digest["told"].items() if key not in names}
    return Capability(digest)


def valid(model: Any) -> None:
    """The document goes through XML, JSON, the grammar and the schema."""
    text = dump(model)
    assert check_document(model) == ()
    assert parse(text) == model
    assert grammar().validate(etree.fromstring(text)), grammar().error_log
    rows = json.loads(json.dumps(to_json(model)))
    kind = type(model).__name__[0].lower() + type(model).__name__[1:]
    assert [error.message for error in Draft202012Validator(json_schema(kind)).iter_errors(rows)] == []


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_the_document_of_a_machine_type_is_valid(caps: Capability, folder: Path, machine: str) -> None:
    host = {"models": cpu_models.found(caps, folder), "nearest": host_cpu.nearest(caps, folder)}
    found = told(caps, machine, firmwares=firmwares.read(), programs=frozenset({"swtpm", "passt"}), **host)
    valid(found)
    assert found.arch == "x86_64"
    assert found.vcpu_max == caps.machines[machine].max_cpus
    buses = words(found.disk, 1)
    assert ("ide" in buses, "sata" in buses, "fdc" in buses) == (
        machine == "pc", machine != "microvm", machine != "microvm"
    )  # fmt: skip


@pytest.mark.parametrize("arch", OTHERS)
def test_the_document_of_another_architecture_is_valid(arch: str, folder: Path) -> None:
    binary = shutil.which(f"qemu-system-{arch}")
    if binary is None:
        pytest.skip(f"qemu-system-{arch} is missing")
    other = probe(binary, folder)
    models = cpu_models.found(other, folder)
    found = told(other, {"ppc64": "pseries", "s390x": "s390-ccw-virtio"}.get(arch, "virt"), models=models)
    valid(found)
    assert found.ps2 is False
    assert "virtio" in words(found.disk, 1)
    assert found.gic is not None
    assert found.gic.supported is (arch in {"aarch64", "arm"})
    (custom,) = [mode for mode in found.cpu_modes if isinstance(mode, CustomMode)]
    assert custom.models


def test_what_a_qemu_was_built_without_is_not_in_its_document(caps: Capability) -> None:
    assert {"qxl", "vga", "virtio", "none"} <= words(told(caps, "q35").video)
    poor = told(
        without(
            caps, "VGA", "qxl", "rng-egd", "memory-backend-memfd", "usb-redir", "vmgenid", "vmcoreinfo", "iothread",
            "display.sdl", "query-vnc", "tpm-types", "pvpanic", "virtio-blk-pci-transitional", "cfi.pflash01",
            "cryptodev-backend-builtin", "cryptodev-backend-lkcf", "cryptodev-vhost-user",
        ),
        "q35",
    )  # fmt: skip
    assert words(poor.video).isdisjoint({"vga", "qxl"})
    assert words(poor.rng, 1) == {"random", "builtin"}
    assert words(poor.memory_backing) == {"file", "anonymous"}
    assert words(poor.graphics).isdisjoint({"sdl", "vnc"})
    assert words(poor.disk, 2) == {"virtio", "virtio-non-transitional"}
    assert words(poor.panic) == {"hyperv", "pvpanic"}
    assert poor.os is not None
    assert poor.os.loader is not None
    assert words(poor.os.loader) == {"rom"}
    assert (poor.genid, poor.vmcoreinfo, poor.iothreads) == (False, False, False)
    for group in (poor.redirdev, poor.tpm, poor.crypto):
        assert group is not None
        assert group.supported is False
    valid(poor)


def test_what_the_host_lacks_is_not_in_the_document(caps: Capability) -> None:
    bare, full = told(caps, "q35"), told(caps, "q35", programs=frozenset({"swtpm", "passt"}), tpms=("2.0",), vfio=True)
    assert words(bare.tpm, 1) == {"passthrough", "external"}
    assert words(full.tpm, 1) == {"passthrough", "external", "emulator"}
    assert words(full.tpm, 2) == {"2.0"}
    assert words(bare.interface) == {"default"}
    assert words(bare.hostdev, 4) == set()
    assert words(full.hostdev, 4) == {"default", "vfio"}
    assert told(caps, "q35", vcpus=4).vcpu_max == 4
    assert words(bare.os) == {"bios"}


def test_firmware_is_that_of_descriptions_for_this_machine_type(caps: Capability) -> None:
    def one(name: str, arch: str, glob: str, *features: str) -> firmwares.Firmware:
        target = ((arch, (glob,)),)
        kinds = frozenset({"uefi"})
        return firmwares.Firmware(
            name, kinds, "flash", "split", f"/fw/{name}", "/fw/vars", frozenset({"raw"}), target, frozenset(features)
        )

    rows = [one("a", "x86_64", "pc-q35-*", "secure-boot"), one("b", "aarch64", "virt-*"), one("c", "x86_64", "pc-i*")]
    found = told(caps, "q35", firmwares=rows).os
    assert found is not None
    assert found.loader is not None
    assert found.loader.paths == ("/fw/a",)
    assert words(found) == {"bios", "efi"}
    assert words(found.loader, 2) == {"True", "False"}


def test_what_qemu_tells_of_sev_and_sgx_is_told_on(caps: Capability) -> None:
    digest = json.loads(json.dumps(caps.digest))
    digest["told"] |= {
        "sev-capabilities": {"cbitpos": 51, "reduced-phys-bits": 1, "cpu0-id": "aWQ=", "pdh": "", "cert-chain": ""},
        "sgx-capabilities": {
            "sgx": True, "sgx1": True, "sgx2": False, "flc": True, "section-size": 1048576,
            "sections": [{"node": 0, "size": 1048576}],
        },
    }  # fmt: skip
    found = told(Capability(digest), "q35", kvm=True)
    valid(found)
    assert found.sev is not None
    assert (found.sev.supported, found.sev.cbitpos) == (True, 51)
    assert found.sgx is not None
    assert [section.size for section in found.sgx.sections] == [1048576]
    assert words(found.launch_security) == {"sev"}
    plainly = told(caps, "q35")
    assert plainly.sev is not None
    assert plainly.sev.supported is False


def test_models_have_their_vendor_and_what_keeps_them_from_running(caps: Capability, folder: Path) -> None:
    found = told(caps, "q35", models=cpu_models.found(caps, folder), nearest=host_cpu.nearest(caps, folder))
    (custom,) = [mode for mode in found.cpu_modes if isinstance(mode, CustomMode)]
    rows = {model.name: model for model in custom.models}
    assert {name: rows[name].vendor for name in VENDOR} == VENDOR
    blocked = {one.model: {x.name for x in one.features} for one in custom.blockers}
    assert "EPYC-Milan" in blocked
    assert all((rows[name].usable == "no") == (name in blocked) for name in rows)
    (like,) = [mode for mode in found.cpu_modes if isinstance(mode, HostModelMode)]
    assert like.model in rows
    assert like.features


def test_enlightenments_are_those_that_kvm_has(caps: Capability, folder: Path) -> None:
    models = cpu_models.found(caps, folder)
    assert models.hyperv == frozenset()
    assert told(caps, "q35", models=models).hyperv.supported is False  # type: ignore[union-attr]
    some = cpu_models.Models(models.sets, models.known, frozenset({"relaxed", "vapic", "strange"}), migratable=True)
    assert words(told(caps, "q35", models=some, kvm=True).hyperv) == {"relaxed", "vapic", "spinlocks", "vendor_id"}


def test_models_are_asked_for_once(caps: Capability, tmp_path: Path) -> None:
    first = cpu_models.found(caps, tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    assert cpu_models.found(caps, tmp_path) == first
    assert file.stat().st_mtime_ns == before
    assert file.stat().st_size < 64 << 10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), expand=st.booleans())
def test_a_baseline_of_real_models_is_a_part_of_each(
    caps: Capability, folder: Path, data: st.DataObject, expand: bool
) -> None:
    sets = cpu_models.found(caps, folder).sets
    vendor = data.draw(st.sampled_from(["AMD", "Intel"]))
    names = sorted(name for name, one in sets.named.items() if one.vendor == vendor)
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
    cpus = [CpuSpec(mode=CpuMode.CUSTOM, model=name) for name in chosen]
    found = cpu_baseline(cpus, sets, expand=expand)
    assert found.vendor == vendor
    for name in chosen:
        own = CpuModels(sets.named[name], sets.named, plain=cpu_models.plain)
        assert cpu_comparison(found, own).match is not CpuMatch.INCOMPATIBLE


def test_names_of_libvirt_are_understood_and_what_no_model_has_is_left_out(caps: Capability, folder: Path) -> None:
    models = cpu_models.found(caps, folder)
    rows = ("pclmuldq", "lahf_lm", "sse4_1", "osxsave", "ht", "hypervisor", "never-seen")
    cpu = CpuSpec(model="Nehalem", features=tuple(CpuFeature(name=name) for name in rows))
    heard = cpu_models.heard(cpu, models.known)
    assert [one.name for one in heard.features] == ["pclmuldq", "lahf_lm", "sse4_1"]
    assert [one.name for one in cpu_models.heard(cpu).features] == ["pclmuldq", "lahf_lm", "sse4_1", "never-seen"]
    assert cpu_comparison(heard, models.sets).match is CpuMatch.SUPERSET


def test_a_mainframe_compares_its_models_itself(folder: Path) -> None:
    binary = shutil.which("qemu-system-s390x")
    if binary is None:
        pytest.skip("qemu-system-s390x is missing")
    other = probe(binary, folder)
    assert mainframe.can(other)
    old, new = (CpuSpec(mode=CpuMode.CUSTOM, model=name) for name in ("z900", "gen16a-base"))
    assert mainframe.compare(other, folder, old).match is CpuMatch.SUPERSET
    assert mainframe.compare(other, folder, new).match is CpuMatch.INCOMPATIBLE
    found = mainframe.baseline(other, folder, [old, CpuSpec(model="z990-base")], expand=False)
    assert found.model == "z900-base"
    assert mainframe.baseline(other, folder, [old], expand=True).features
    for wrong in (CpuSpec(model="never"), old.replace(features=(CpuFeature(name="no", policy=CpuPolicy.REQUIRE),))):
        with pytest.raises(Invalid):
            mainframe.compare(other, folder, wrong)
    with pytest.raises(Invalid):
        mainframe.baseline(other, folder, [], expand=False)


def test_the_capabilities_of_the_host_are_valid_and_name_every_qemu(
    caps: Capability, folder: Path, tmp_path: Path
) -> None:
    others = [other for arch in OTHERS[:2] if (other := shutil.which(f"qemu-system-{arch}"))]
    for program in (caps.binary, *others):
        (tmp_path / Path(program).name).symlink_to(program)
    found = capabilities.capabilities(caps, folder, str(tmp_path))
    valid(found)
    assert found.host is not None
    assert found.host.cpu is not None
    assert found.host.cpu.model in cpu_models.found(caps, folder).sets.named
    assert found.host.cpu.topology is not None
    assert sum(len(cell.cpus) for cell in found.host.cells) >= 1
    archs = [guest.arch for guest in found.guests]
    assert archs[0] == "x86_64"
    assert len(set(archs)) == len(archs) == len(others) + 1
    again: Document[Any] = Document(model=found)
    assert "<domain type=" in again.text


def test_a_host_is_described_from_its_own_files(caps: Capability, folder: Path, tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor: 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 26\nstepping : 5\n"
        "microcode : 0x1d\nflags : fpu tsc pse pni cx16 sse4_1 lm nx ht\naddress sizes : 40 bits physical, 48\n",
        "sys/devices/system/cpu/cpu0/tsc_freq_khz": "2600000",
        "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 4096 kB\n",
        "sys/devices/system/node/node0/distance": "10 21\n",
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "1\n",
        "sys/devices/system/node/node0/cpu0/online": "1",
        "sys/devices/system/cpu/cpu0/topology/physical_package_id": "0",
        "sys/devices/system/cpu/cpu0/topology/die_id": "0",
        "sys/devices/system/cpu/cpu0/topology/core_id": "0",
        "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0-1",
        "sys/devices/system/cpu/cpu0/cache/index3/level": "3",
        "sys/devices/system/cpu/cpu0/cache/index3/id": "0",
        "sys/devices/system/cpu/cpu0/cache/index3/type": "Unified",
        "sys/devices/system/cpu/cpu0/cache/index3/size": "32768K",
        "sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list": "0-3",
        "sys/devices/system/cpu/cpu0/cache/index0/level": "1",
        "sys/power/state": "freeze mem disk\n",
        "sys/module/apparmor/parameters/enabled": "Y\n",
        "sys/kernel/iommu_groups/0/type": "DMA",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    host = hardware.host(cpu_models.found(caps, folder), system=tmp_path / "sys", proc=tmp_path / "proc")
    valid(Capabilities(host=host))
    cpu = host.cpu
    assert cpu is not None
    assert (cpu.vendor, cpu.microcode, cpu.signature_model, cpu.maxphysaddr_bits) == ("Intel", 0x1D, 26, 40)
    assert (cpu.counter, cpu.counter_frequency) == ("tsc", 2600000000)
    assert [page.size for page in cpu.pages][1:] == [2 << 20]
    assert "sse4.1" in {one.name for one in cpu.features}
    (cell,) = host.cells
    assert [(page.size, page.count) for page in cell.pages][1:] == [(2 << 20, 1)]
    assert [one.value for one in cell.distances] == [10, 21]
    assert cell.cpus[0].siblings == frozenset({0, 1})
    assert [(bank.level, bank.type, bank.size, bank.cpus) for bank in host.banks] == [
        (3, "both", 32 << 20, frozenset(range(4)))
    ]
    assert (host.suspend_mem, host.suspend_disk, host.iommu) == (True, True, True)
    assert [one.model for one in host.secmodels] == ["dac", "apparmor"]
    bare = hardware.host(None, system=tmp_path / "none", proc=tmp_path / "none")
    assert bare.cells == ()
    assert bare.cpu is not None
    assert bare.cpu.model is None


def test_programs_that_are_no_qemu_are_passed_over(caps: Capability, folder: Path, tmp_path: Path) -> None:
    for name, text in {
        "qemu-system-broken": "#!/bin/sh\nexit 1\n",
        "qemu-img": "",
        "qemu-system-x86_64-old": "",
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "qemu-system-unready").write_text("")
    assert list(capabilities.programs(f"{tmp_path}:/nowhere:{tmp_path}")) == [f"{tmp_path}/qemu-system-broken"]
    found = capabilities.capabilities(caps, folder, str(tmp_path))
    assert [guest.arch for guest in found.guests] == ["x86_64"]
