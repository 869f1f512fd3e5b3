"""What this host's firmware tells, passed on to guests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anyvirt.api import Domain, Invalid, Smbios, parse
from anyvirt_qemu.planning.plan import Plan
from anyvirt_qemu.readiness import dmi

GUEST = """<domain type='qemu'><name>g</name><memory>65536</memory>
  <sysinfo type='smbios'><system><entry name='serial'>own</entry></system></sysinfo>
  <sysinfo type='fwcfg'><entry name='opt/a'>b</entry></sysinfo>
  <os><type>hvm</type><smbios mode='{}'/></os></domain>"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with facts about a machine."""
    for name, text in (("sys_vendor", "Acme, Inc."), ("board_name", "B1"), ("bios_date", "01/02/2026")):
        (tmp_path / name).write_text(f"{text}\n")
    return tmp_path


def test_the_guest_is_told_what_the_host_is_told(host: Path, planned: Callable[..., Plan]) -> None:
    domain = dmi.told(parse(GUEST.format("host"), Domain), host)
    argv = planned(domain).argv
    assert "type=1,manufacturer=Acme,, Inc." in argv
    assert "type=0,date=01/02/2026" in argv
    assert "type=2,product=B1" in argv
    assert not [word for word in argv if "=own" in word]
    assert "name=opt/a,string=b" in argv


def test_other_modes_stay_as_they_are(host: Path) -> None:
    domain = parse(GUEST.format("sysinfo"), Domain)
    assert dmi.told(domain, host) is domain


def test_a_host_that_tells_nothing_refuses_the_wish_by_its_path(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    domain = dmi.told(parse(GUEST.format("host"), Domain), tmp_path)
    assert [table.system[0].value for table in domain.sysinfos if isinstance(table, Smbios)] == ["own"]
    with pytest.raises(Invalid, match="/os/smbios/@mode"):
        planned(domain)
