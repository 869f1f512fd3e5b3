from __future__ import annotations

import pytest
from anyvirt.api import ShutdownMode, impl
from anyvirt.coverage import Driver, Hook, Proof, about, covered, functions, implemented, installed, proofs
from anyvirt.discovery import DRIVERS, Plugin, plugins
from anyvirt.hooks.table import OPENERS, SPECS
from anyvirt.testing import contract
from anyvirt.testing.marks import PROVES

# told once while a connection opens; what it gives is seen in what it makes possible
UNSEEN = {"connect_ready"}


def driver(hooks: dict[str, Hook], *proven: str, name: str = "qemu") -> Driver:
    rows = tuple(Proof(hook, "", "test_it", "real", "2026-01-01") for hook in proven)
    return Driver(name, "dist", "1", hooks, rows)


def test_the_functions_of_libvirts_drivers_are_all_there() -> None:
    counts = {
        name: sum(name in drivers for drivers in functions().values())
        for name in (
            "qemu",
            "xen",
            "lxc",
            "esx",
            "hyperv",
            "vbox",
            "bhyve",
            "vz",
            "vmware",
            "phyp",
            "storage",
            "secret",
        )
    }
    assert counts == {
        "qemu": 232, "xen": 106, "lxc": 94, "esx": 128, "hyperv": 73, "vbox": 99, "bhyve": 60, "vz": 96,
        "vmware": 38, "phyp": 51, "storage": 53, "secret": 19,
    }  # fmt: skip


def test_what_the_specs_stand_for_are_functions_of_libvirt() -> None:
    names = {name for spec in SPECS.values() for name in spec.covers}
    assert {name for name in names if not name.startswith("vir")} == set()
    assert len(names & set(functions())) > 60


def test_a_function_is_covered_when_its_hook_is_there_and_proven() -> None:
    start = {"domain_start": Hook(frozenset({"ref", "paused"}))}
    assert covered(driver(start, "domain_start")).functions["virDomainCreate"] == "covered"
    assert covered(driver(start)).functions["virDomainCreate"] == "partly"
    assert covered(driver({})).functions["virDomainCreate"] == "not"
    assert covered(driver(start, "domain_start")).proven_on["virDomainCreate"] == ("real",)


def test_a_function_whose_wish_is_not_taken_is_partly_covered() -> None:
    deaf = {"domain_start": Hook(frozenset({"ref"}))}
    grades = covered(driver(deaf, "domain_start")).functions
    assert (grades["virDomainCreate"], grades["virDomainCreateWithFlags"]) == ("covered", "partly")


def test_a_value_that_is_not_accepted_is_a_wish_that_is_not_taken() -> None:
    class Acpi:
        @impl(accepts={"mode": {ShutdownMode.ACPI}})
        def domain_shutdown(self, ref: object, mode: object) -> None: ...

    class Every:
        @impl
        def domain_shutdown(self, ref: object, mode: object) -> None: ...

    from anyvirt.coverage import _hooks

    for kind, grade in ((Acpi, "partly"), (Every, "covered")):
        assert covered(driver(_hooks(kind), "domain_shutdown")).functions["virDomainShutdownFlags"] == grade


def test_counts_add_up_and_a_driver_that_libvirt_lacks_has_none() -> None:
    found = covered(driver({}, name="esx"))
    opening = {name for name, grade in found.functions.items() if grade == "covered"}
    assert opening == {"virConnectOpen", "virConnectOpenAuth", "virConnectOpenReadOnly"}
    assert found.counts == {"covered": 3, "partly": 0, "not": 125}
    assert covered(driver({}, name="vpx")).functions == found.functions
    assert covered(driver({}, name="acme")).counts == {"covered": 0, "partly": 0, "not": 0}


def test_what_was_proven_is_told_in_a_word() -> None:
    one = driver({"domain_start": Hook(frozenset()), "domain_list": Hook(frozenset())}, "domain_start")
    assert [proofs(one, hook) for hook in ("domain_start", "domain_list", "domain_reset")] == ["real", "unproven", ""]


@pytest.mark.parametrize("plugin", plugins(DRIVERS), ids=lambda plugin: plugin.name)
def test_a_drivers_record_names_the_hooks_that_it_has_and_no_others(plugin: Plugin) -> None:
    one = about(plugin)
    assert one.error == ""
    proven = {proof.hook for proof in one.proofs}
    assert proven - set(one.hooks) == set(), "coverage.json names hooks that are gone: write it anew"
    unproven = set(one.hooks) - proven - UNSEEN - set(OPENERS)
    assert unproven == set(), "no contract test proved them: run the suite with --coverage-json"
    for proof in one.proofs:
        assert proof.on in {"real", "simulator", "recording", "stand-in"}
        assert not proof.parameter or proof.parameter in one.hooks[proof.hook].parameters


def test_the_test_driver_has_every_hook_that_there_is() -> None:
    (test,) = (one for one in installed() if one.name == "test")
    assert set(SPECS) - set(OPENERS) - set(test.hooks) == set()
    assert set(implemented(next(one for one in plugins(DRIVERS) if one.name == "test"))) == set(test.hooks)


def test_every_hook_has_a_contract_test_that_proves_it() -> None:
    proven = set()
    for name in contract.__all__:
        for mark in getattr(getattr(contract, name), "pytestmark", []):
            proven |= {hook.partition(".")[0] for hook in mark.args} if mark.name == PROVES else set()
            if mark.name == "parametrize":
                marks = [one for value in mark.args[1] for one in getattr(value, "marks", ())]
                proven |= {hook.partition(".")[0] for one in marks if one.name == PROVES for hook in one.args}
    assert set(SPECS) - set(OPENERS) - UNSEEN - proven == set()


def test_every_wish_of_storage_and_secrets_has_a_contract_test_that_proves_it() -> None:
    marks = [mark for name in contract.__all__ for mark in getattr(getattr(contract, name), "pytestmark", [])]
    proven = {claim for mark in marks if mark.name == PROVES for claim in mark.args}
    wishes = {
        f"{spec.name}.{wish}" for spec in SPECS.values() if spec.area in {"storage", "secret"} for wish in spec.defaults
    }
    assert len(wishes) > 20
    assert wishes - proven == set()
