"""A CPU like the host's is a named model with what is different, and real QEMU gives a guest just that."""

from __future__ import annotations

from pathlib import Path

import pytest
from anyvirt.api import CpuFeature, CpuMode, CpuPolicy, CpuSpec, cpu_baseline
from anyvirt_qemu.probing import cpu_models, host_cpu
from anyvirt_qemu.probing.capability import Capability, probe
from anyvirt_qemu.probing.host_cpu import HostCpu, choice, frozen

MODELS = {
    "Old": {"sse2", "nx"},
    "Near": {"sse2", "nx", "avx"},
    "Strange": {"sse2", "nx", "avx", "tsx", "vmx"},
}


def test_the_model_with_most_in_common_is_taken_and_the_rest_is_spelled_out() -> None:
    found = choice({"sse2", "nx", "avx", "aes"}, MODELS)
    assert found == {"model": "Near", "features": {"aes": True}}
    found = choice({"sse2", "nx", "tsx", "vmx"}, MODELS)
    assert found == {"model": "Strange", "features": {"avx": False}}
    assert choice({"sse2"}, {})["model"] is None
    assert choice(set(), MODELS)["model"] is None


def test_what_a_definition_says_of_a_feature_stays() -> None:
    cpu = CpuSpec(mode=CpuMode.HOST_MODEL, features=(CpuFeature(name="aes", policy=CpuPolicy.DISABLE),))
    made = frozen(cpu, HostCpu("Near", {"aes": True, "avx": False}))
    assert (made.mode, made.model) == ("custom", "Near")
    assert [(one.name, one.policy) for one in made.features] == [("avx", "disable"), ("aes", "disable")]


def test_a_real_qemu_tells_a_model_that_it_can_run_and_only_once(qemu: str, tmp_path: Path) -> None:
    caps = probe(qemu, tmp_path)
    found = host_cpu.nearest(caps, tmp_path)
    assert found is not None
    assert caps.cpus[found.model].usable
    assert found.features
    assert not any("_" in name or name.startswith(("x-", "hv-")) for name in found.features)
    (file,) = tmp_path.glob("host-cpu-*")
    before = file.stat().st_mtime_ns
    assert host_cpu.nearest(caps, tmp_path) == found
    assert file.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("probe-*"))


@pytest.mark.parametrize(("maker", "vendor"), [("AuthenticAMD", "AMD"), ("GenuineIntel", "Intel")])
def test_what_is_emulated_is_of_the_hosts_vendor(qemu: str, tmp_path: Path, maker: str, vendor: str) -> None:
    caps = probe(qemu, tmp_path)
    cpus = tmp_path / "cpuinfo"
    cpus.write_text(f"processor\t: 0\nvendor_id\t: {maker}\n", encoding="ascii")
    found = host_cpu.nearest(caps, tmp_path, cpus)
    models = cpu_models.found(caps, tmp_path).sets
    assert found is not None
    assert models.named[found.model].vendor == vendor
    assert not found.model.startswith(("qemu", "kvm"))
    row = frozen(CpuSpec(mode=CpuMode.HOST_MODEL), found).replace(vendor=vendor)
    own = CpuSpec(mode=CpuMode.CUSTOM, model=found.model, vendor=vendor)
    assert cpu_baseline([row, own], models).vendor == vendor


def test_a_host_whose_vendor_has_no_model_gets_the_nearest_of_any(qemu: str, tmp_path: Path) -> None:
    caps = probe(qemu, tmp_path)
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("vendor_id\t: NobodysCPU\n", encoding="ascii")
    found = host_cpu.nearest(caps, tmp_path, cpus)
    assert found is not None
    assert found == host_cpu.nearest(caps, tmp_path, tmp_path / "none")


def test_features_that_the_host_lacks_are_named_unless_they_are_switched_off(qemu: str, tmp_path: Path) -> None:
    digest = probe(qemu, tmp_path).digest
    cpus = [["Big", None, False, ["avx512f", "sse4.1"]], ["Small", None, False, None]]
    caps = Capability({**digest, "cpus": cpus})
    cpu = CpuSpec(mode=CpuMode.CUSTOM, model="Big")
    assert host_cpu.lacking(caps, cpu) == ["avx512f", "sse4.1"]
    off = cpu.replace(features=(CpuFeature(name="sse4_1", policy=CpuPolicy.DISABLE),))
    assert host_cpu.lacking(caps, off) == ["avx512f"]
    for other in (None, cpu.replace(model="Small"), cpu.replace(model="Unknown"), CpuSpec(mode=CpuMode.MAXIMUM)):
        assert host_cpu.lacking(caps, other) == []
    found = host_cpu.problem(cpu, ["avx512f"])
    assert (found.code, found.path) == ("unsupported.config", "/cpu/model")
    assert "the guest's Big is without avx512f" in found.text
    assert "<feature policy='disable' name='avx512f'/>" in found.hint
