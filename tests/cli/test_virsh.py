"""What virsh has commands of its own for, and ``help``."""

from __future__ import annotations

from typing import Any

import pytest


def drawn(fake: Any, graphics: str, vcpu: str = "<vcpu current='1'>4</vcpu>") -> None:
    """Give ``web`` a screen and processors."""
    web = next(guest for guest in fake.guests.values() if guest.ref.name == "web")
    web.xml = web.xml.replace("<vcpu>2</vcpu>", vcpu).replace("</domain>", f"<devices>{graphics}</devices></domain>")


def test_counters_of_disks_have_virshs_words(cli: Any) -> None:
    assert cli("domblkstat", "web", "vda").out == "vda rd_bytes 4096\n"
    assert cli("domblkstat", "--domain", "web").out == "vda rd_bytes 4096\n"
    wrong = cli("domblkstat", "web", "vdz")
    assert (wrong.code, wrong.err) == (1, "error[device.not-found]: no device 'vdz'\nhint: there is vda\n")


def test_counters_of_interfaces_have_virshs_words(cli: Any) -> None:
    assert cli("domifstat", "web", "tap0").out == "tap0 rx_bytes 10\ntap0 tx_bytes 20\n"


def test_memory_is_in_kib_as_virsh_has_it(cli: Any) -> None:
    assert cli("dommemstat", "web").out == "actual 524288\n"


@pytest.mark.parametrize("command", ["domblkstat", "domifstat", "dommemstat"])
def test_figures_of_a_domain_that_is_off_are_refused(cli: Any, command: str) -> None:
    result = cli(command, "old")
    assert result.code == 1
    assert result.err.startswith("error[domain.wrong-state]: domain 'old' is shut off")


def test_processors_are_counted_now_and_at_the_next_boot(cli: Any, fake: Any) -> None:
    drawn(fake, "")
    assert cli("vcpucount", "web").out.splitlines() == [
        "maximum      config         4",
        "maximum      live           4",
        "current      config         1",
        "current      live           1",
    ]
    assert cli("vcpucount", "web", "--active", "--live").out == "1\n"
    assert cli("vcpucount", "web", "--maximum", "--current").out == "4\n"


@pytest.mark.parametrize(
    ("graphics", "place"),
    [
        ("<graphics type='vnc' port='5901' listen='127.0.0.1'/>", "127.0.0.1:1"),
        ("<graphics type='spice' port='5905'/><graphics type='vnc' port='5900' listen='0.0.0.0'/>", ":0"),
        ("<graphics type='vnc' port='5902'><listen type='address' address='::1'/></graphics>", "[::1]:2"),
        ("<graphics type='vnc' socket='/run/web.vnc'/>", "/run/web.vnc"),
    ],
)
def test_a_screen_is_shown_as_host_and_display(cli: Any, fake: Any, graphics: str, place: str) -> None:
    drawn(fake, graphics)
    assert cli("vncdisplay", "web").out == f"{place}\n"


@pytest.mark.parametrize("graphics", ["", "<graphics type='vnc' port='-1'/>", "<graphics type='spice' port='5900'/>"])
def test_a_domain_without_a_screen_says_so(cli: Any, fake: Any, graphics: str) -> None:
    drawn(fake, graphics)
    result = cli("vncdisplay", "web")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error[device.not-found]: no device 'vnc'\nhint: give the domain <graphics")


@pytest.mark.parametrize("words", ["", "start", "pool", "vol create-as", "dominfo", "net-list"])
def test_help_is_what_the_option_shows(cli: Any, words: str) -> None:
    shown = cli("help", *words.split())
    assert shown.code == 0
    option = cli(*words.split(), "--help")
    assert shown.out.split() == option.out.split()


def test_help_for_what_is_no_command_names_near_ones(cli: Any) -> None:
    result = cli("help", "strat")
    assert result.code == 2
    assert result.err.splitlines()[0] == "error[invalid]: there is no command 'strat'"
    assert "start" in result.err.splitlines()[1]
