"""From the text of a VMX file to a definition; pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from anyvirt.api import Clock, Document, Domain, Invalid, dump
from anyvirt.api import parse as parse_xml

from anyvirt_esx.namespace import DatacenterPath
from anyvirt_esx.vmx import disks, identity, nics, ports, power, screens, shares
from anyvirt_esx.vmx.parse import NAMES_MAX, parse
from anyvirt_esx.vmx.places import WINDOWS, Locate, located

# keys that say nothing of what a machine is: its files, its past, what the product found out about the host
QUIET: Final = re.compile(
    r"\.encoding|config\.version|virtualhw\..*|nvram|extendedconfigfile|guestosaltname|deploymentplatform|workingdir|"
    r"tools\..*|toolscripts\..*|powertype\..*|uuid\..*|vc\.uuid|snapshot\..*|checkpoint\..*|vmotion\..*|migrate\..*|"
    r"monitor\..*|replay\..*|log\..*|sched\.swap\..*|sched\.(?:cpu|mem)\.(?:units|shares|min|max)|"
    r"sched\.[a-z]+[0-9]:[0-9]+\..*|(?:host|guest|user)?cpuid\..*|numa\.(?:autosize|coresper).*|cleanshutdown|"
    r"softpoweroff|evccompatibilitymode|vm\.createdate|pcibridge[0-9]+\..*|vmci[0-9]\..*|hpet0\..*|svga\.present|"
    r"svga\.guestbackedprimaryaware|guest\.commands\..*|isolation\..*|gui\..*|memallowautoscaledown|bios\..*|"
    r".*\.(?:pcislotnumber|redo|saswwid|generatedaddressoffset|addresstype|pvnid|uptcompatibility|startconnected|"
    r"yieldonmsrread|wakeonpcktrcv|generatedaddress)|uefi\..*|floppy[0-9]\..*|disk\.enableuuid",
    re.ASCII,
)


def read(data: bytes, *, locate: Locate = located, datacenter_path: str = "") -> Document[Domain]:
    """The definition that a VMX file stands for, with notes on what a definition cannot say.

    :param locate: how its names of files are found; None for one that is not there.
    :param datacenter_path: where its datacenter is in the inventory, which the file does not know.
    :raises Invalid: it is no VMX file, or has what no definition can say, with keys and lines.
    """
    v = parse(data)
    fields: dict[str, Any] = {**identity.read(v), **power.read(v), **disks.read(v, locate)}
    fields |= {**nics.read(v), **ports.read(v, locate), **shares.read(v), **screens.read(v)}
    if v.problems:
        raise Invalid(v.problems)
    if locate is located and any(_beside(disk) for disk in fields["disks"]):
        v.note("names of files without a folder are of files beside this one")
    left = v.left(QUIET)
    if left:
        more = f" and {len(left) - NAMES_MAX} more" if len(left) > NAMES_MAX else ""
        v.note(f"left out, for a definition has no place for them: {', '.join(left[:NAMES_MAX])}{more}")
    ways: dict[str, Any] = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy", "type": "vmware"}
    clock: dict[str, Any] = {"offset": "utc"}
    extensions = (DatacenterPath(value=datacenter_path),) if datacenter_path else ()
    domain = Domain(**fields, **ways, clock=Clock(**clock), extensions=extensions)
    return Document(model=_typed(domain), notes=v.notes)


def _beside(disk: Any) -> bool:
    name: str = (disk.source.file if disk.source is not None else None) or "/"
    return not name.startswith(("/", "[")) and not WINDOWS.match(name)


def _typed(domain: Domain) -> Domain:
    """The definition with the model's own types, as if its XML had been read.

    :raises Invalid: values that the model does not take; its lines are of no text that anybody has seen.
    """
    try:
        return parse_xml(dump(domain), Domain)
    except Invalid as error:
        raise Invalid([replace(problem, line=None) for problem in error.problems]) from error
