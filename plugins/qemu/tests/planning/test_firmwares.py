"""Firmware is chosen from what packages describe, and a refusal says why each did not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyvirt.api import Domain, Invalid
from anyvirt_qemu.planning.plan import Machine, Plan
from anyvirt_qemu.readiness import firmwares
from anyvirt_qemu.readiness.firmwares import Firmware

Q35 = Machine("pc-q35-7.2", "pcie")
PC = Machine("pc-i440fx-7.2", "pci")
Complete = Callable[..., Domain]
Guest = Callable[..., str]


def described(
    program: str, template: str = "", *, kind: str = "uefi", features: tuple[str, ...] = (), **changes: Any
) -> str:
    mapping: dict[str, Any] = {"device": "flash", "executable": {"filename": program, "format": "raw"}}
    if template:
        mapping["nvram-template"] = {"filename": template, "format": "raw"}
    said = {
        "interface-types": [kind],
        "mapping": mapping,
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": list(features),
        "tags": [],
    }
    return json.dumps(said | changes)


SECURE = ("acpi-s3", "requires-smm", "secure-boot")
FILES = {
    "40-keys.json": described("/fw/CODE.secboot.fd", "/fw/VARS.keys.fd", features=(*SECURE, "enrolled-keys")),
    "50-combined.json": described("/fw/ALL.fd", mapping={"device": "flash", "mode": "combined", "executable": {
        "filename": "/fw/ALL.fd", "format": "raw"}}),
    "55-qcow2.json": described("/fw/CODE.qcow2", mapping={"device": "flash", "executable": {
        "filename": "/fw/CODE.qcow2", "format": "qcow2"}}),
    "60-secure.json": described("/fw/CODE.secboot.fd", "/fw/VARS.fd", features=SECURE),
    "65-broken.json": "{",
    "66-strange.json": '{"mapping": []}',
    "70-plain.json": described("/fw/CODE.fd", "/fw/VARS.fd", features=("acpi-s3",)),
    "75-stateless.json": described("/fw/AMD.fd", mapping={"device": "flash", "mode": "stateless", "executable": {
        "filename": "/fw/AMD.fd", "format": "raw"}}),
    "80-bios.json": described("", kind="bios", features=("acpi-s3", "acpi-s4"), mapping={
        "device": "memory", "filename": "/fw/bios.bin"}),
}  # fmt: skip


@pytest.fixture
def found(tmp_path: Path) -> list[Firmware]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return firmwares.read([tmp_path])


@pytest.fixture
def chosen(complete: Complete, guest: Guest, found: list[Firmware]) -> Callable[..., Domain]:
    """The definition of a guest whose ``<os>`` has the given attributes and children, with firmware."""

    def choose(attributes: str, children: str = "", machine: Machine = Q35, extra: str = "") -> Domain:
        text = guest(machine=machine.name, extra=extra)
        text = text.replace("<os>", f"<os {attributes}>").replace("</os>", f"{children}</os>")
        return firmwares.chosen(complete(text), "x86_64", machine, found)

    return choose


FEATURE = "<firmware><feature enabled='{}' name='{}'/></firmware>"


@pytest.mark.parametrize(
    ("children", "program", "template"),
    [
        ("", "/fw/CODE.secboot.fd", "/fw/VARS.keys.fd"),
        (FEATURE.format("no", "enrolled-keys"), "/fw/CODE.secboot.fd", "/fw/VARS.fd"),
        (FEATURE.format("no", "secure-boot"), "/fw/CODE.fd", "/fw/VARS.fd"),
        (FEATURE.format("yes", "enrolled-keys"), "/fw/CODE.secboot.fd", "/fw/VARS.keys.fd"),
        ("<loader secure='no'/>", "/fw/CODE.fd", "/fw/VARS.fd"),
        ("<loader stateless='yes'/>", "/fw/AMD.fd", None),
        ("<nvram template='/mine.fd'/>", "/fw/CODE.secboot.fd", "/mine.fd"),
    ],
)
def test_the_first_firmware_that_has_what_is_asked_for_is_taken(
    children: str, program: str, template: str | None, chosen: Callable[..., Domain]
) -> None:
    os = chosen("firmware='efi'", children).os
    assert os is not None
    assert (os.loader, os.nvram_template, os.loader_type) == (program, template, "pflash")


def test_firmware_that_needs_system_management_mode_gets_it(chosen: Callable[..., Domain]) -> None:
    domain = chosen("firmware='efi'")
    assert domain.features is not None
    assert domain.features.smm
    assert domain.os is not None
    assert domain.os.loader_secure


def test_a_bios_is_mapped_as_memory_and_none_is_needed(chosen: Callable[..., Domain], complete: Complete) -> None:
    os = chosen("firmware='bios'").os
    assert os is not None
    assert (os.loader, os.loader_type) == ("/fw/bios.bin", "rom")
    bare = complete("<domain type='qemu'><name>x</name><memory>65536</memory><os firmware='bios'><type>hvm</type></os>"
                    "</domain>")  # fmt: skip
    assert firmwares.chosen(bare, "x86_64", PC, []) is bare


def test_what_does_not_fit_is_told_for_each(chosen: Callable[..., Domain]) -> None:
    with pytest.raises(Invalid) as caught:
        chosen("firmware='efi'", machine=PC)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("unsupported.config", "/os/@firmware")
    assert "40-keys.json: is not for pc-i440fx-7.2" in problem.hint
    assert "80-bios.json: is no efi" in problem.hint
    with pytest.raises(Invalid, match="enrolled-keys=yes"):
        chosen("firmware='efi'", FEATURE.format("yes", "enrolled-keys") + "<loader stateless='yes'/>")
    with pytest.raises(Invalid) as caught:
        chosen("firmware='efi'", extra="<pm><suspend-to-disk enabled='yes'/></pm>")
    assert "70-plain.json: has no acpi-s4" in caught.value.problems[0].hint


def test_a_host_without_descriptions_is_told_what_to_install(complete: Complete, guest: Guest) -> None:
    domain = complete(guest().replace("<os>", "<os firmware='efi'>"))
    with pytest.raises(Invalid) as caught:
        firmwares.chosen(domain, "x86_64", Q35, [])
    assert "apt install ovmf" in caught.value.problems[0].hint


def test_a_loader_that_is_named_gets_the_template_that_belongs_to_it(chosen: Callable[..., Domain]) -> None:
    os = chosen("", "<loader readonly='yes' type='pflash'>/fw/CODE.fd</loader>").os
    assert os is not None
    assert os.nvram_template == "/fw/VARS.fd"
    for other in ("<loader readonly='yes' type='pflash'>/other.fd</loader>", "<loader type='rom'>/fw/CODE.fd</loader>"):
        os = chosen("", other).os
        assert os is not None
        assert os.nvram_template is None


def test_a_file_of_the_administrator_hides_the_one_of_the_package(tmp_path: Path) -> None:
    usr, etc = tmp_path / "usr", tmp_path / "etc"
    for folder in (usr, etc):
        folder.mkdir()
        (folder / "50-same.json").write_text(described(f"/{folder.name}.fd", "/v"))
    (usr / "60-masked.json").write_text(described("/masked.fd", "/v"))
    (etc / "60-masked.json").write_text("")
    assert [one.path for one in firmwares.read([usr, etc])] == ["/etc.fd"]
    assert firmwares.read([tmp_path / "none"]) == []


def test_firmware_that_nobody_has_chosen_is_not_planned(planned: Callable[..., Plan], guest: Guest) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest().replace("<os>", "<os firmware='efi'>"))
    assert "/os/@firmware" in {problem.path for problem in caught.value.problems}


@pytest.mark.parametrize(
    "children",
    [
        "<nvram>/v.fd</nvram>",
        "<loader type='rom'>/bios</loader><nvram>/v.fd</nvram>",
        "<loader readonly='yes' type='pflash' stateless='yes'>/code.fd</loader><nvram template='/v.fd'/>",
    ],
)
def test_variables_that_no_firmware_would_keep_are_refused(
    children: str, planned: Callable[..., Plan], guest: Guest
) -> None:
    with pytest.raises(Invalid) as caught:
        planned(guest().replace("</os>", f"{children}</os>"))
    assert "/os/nvram" in {problem.path for problem in caught.value.problems}
