"""The user that QEMU runs as: that of the definition's label, of the settings, or an account made for it."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyvirt.api import Domain, DomainLabel, Invalid, Problem

from anyvirt_qemu.planning.plan import Account
from anyvirt_qemu.readiness.rights import Rights

if TYPE_CHECKING:
    from anyvirt_qemu.configured import Configured

NAME: Final = "anyvirt-qemu"
KVM: Final = "/dev/kvm"
NUMBER: Final = re.compile(r"\+?[0-9]{1,10}", re.ASCII)
HIGHEST: Final = (1 << 32) - 2
ADVICE: Final = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {NAME}"
AS_ROOT: Final = f"QEMU runs as root; it runs as user {NAME} where there is one ({ADVICE})"
FORM: Final = "write <label>user:group</label>, or numbers: <label>+1000:+1000</label>"


def chosen(
    domain: Domain, configured: Configured, *, system: bool, name: str = NAME
) -> tuple[Account | None, list[Problem], list[str]]:
    """Who QEMU will be; None stands for whoever starts it.

    :param system: the guest is the machine's, and the settings' user, or the account of that name, is meant for it.
    :return: the account, what stands in its way, and what the user is told.
    :raises Invalid: the settings name a user or a group that there is not.
    """
    label = dac(domain)
    own = os.geteuid(), os.getegid()
    text = "" if label is None else {"static": label.label, "dynamic": label.baselabel}.get(str(label.type)) or ""
    if text:
        return _labelled(domain, text, own)
    if not system or own[0] != 0:
        return None, [], []
    user, group = configured.user, configured.group
    if not user:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return None, [], [AS_ROOT]
        user = name
    account = _account(domain, user, group, configured.where("user"))
    return (None if (account.uid, account.gid) == own else replace(account, gives=configured.ownership)), [], []


def dac(domain: Domain) -> DomainLabel | None:
    """The definition's label for user and group, where it has one."""
    found = {label.model: label for label in domain.seclabels}
    return found.get("dac") or found.get("none") or found.get(None)


def _labelled(domain: Domain, text: str, own: tuple[int, int]) -> tuple[Account | None, list[Problem], list[str]]:
    place = "/seclabel[dac]/label"
    try:
        user, group = parts(text)
        account = _account(domain, user, group, place)
    except Invalid as error:
        return None, [Problem("config.invalid", place, None, error.message, error.hint)], []
    if (account.uid, account.gid) == own:
        return None, [], []
    if own[0] != 0:
        hint = "take the label out, or define the guest in qemu:///system, as root"
        text = f"QEMU cannot run as {account.name} here: only root can make it another user"
        return None, [Problem("denied", place, None, text, hint)], []
    return account, [], []


def _account(domain: Domain, user: str, group: str, place: str) -> Account:
    """User, group and groups by their names or numbers.

    :raises Invalid: there are none of that name.
    """
    uid, primary, name = _user(user, place)
    gid = primary if not group else _group(group, place)
    if gid is None:
        raise Invalid(f"{place}: user {user} has no group of its own", hint="name its group, too")
    try:
        groups = set(os.getgrouplist(name, gid)) if name else {gid}
    except OSError:
        groups = {gid}
    account = Account(uid, gid, tuple(sorted(groups | _kvm(domain))), name or str(uid))
    return replace(account, labels={text: _ids(text) for text in sorted(set(_labels(domain)))})


def _kvm(domain: Domain) -> set[int]:
    """The group to which KVM is open."""
    try:
        found = os.stat(KVM)
    except OSError:
        return set()
    opens = found.st_gid != 0 and stat.S_IMODE(found.st_mode) & 0o060 == 0o060
    return {found.st_gid} if opens and domain.type == "kvm" else set()


def without_kvm(account: Account | None) -> str:
    """Why this user's guests do without KVM, where KVM works here; empty where they need not."""
    rights = Rights(account)
    if account is None or (rights.may(KVM, "r") and rights.may(KVM, "w")):
        return ""
    return f"user {account.name} may not open {KVM} (usermod --append --groups kvm {account.name})"


def parts(text: str) -> tuple[str, str]:
    """User and group of a label ``user:group``.

    :raises Invalid: it is none.
    """
    user, colon, group = text.strip().partition(":")
    if not (user and colon and group) or ":" in group:
        raise Invalid(f"{text!r} is no label of user and group", hint=FORM)
    return user, group


def _ids(text: str) -> tuple[int, int] | None:
    """User and group that a device's label names; None where there are none of that name."""
    try:
        user, group = parts(text)
        uid, _, _ = _user(user, "label")
        return uid, _group(group, "label")
    except Invalid:
        return None


def _labels(domain: Domain) -> Iterator[str]:
    """The labels that devices have of their own."""
    from anyvirt_qemu.devices.seclabel import labelled

    for _, label in labelled(domain):
        if label.model == "dac" and label.label:
            yield label.label


def _user(text: str, place: str) -> tuple[int, int | None, str]:
    """Number, group and name of a user; a name of digits alone is a number where nobody has it as a name."""
    found: pwd.struct_passwd | None = None
    if not text.startswith("+"):
        try:
            found = pwd.getpwnam(text)
        except KeyError:
            if not NUMBER.fullmatch(text):
                hint = f"choose another, or make it: useradd --system {text}"
                raise Invalid(f"{place}: there is no user {text}", hint=hint) from None
    if found is None:
        number = _number(text, place)
        try:
            found = pwd.getpwuid(number)
        except KeyError:
            return number, None, ""
    return found.pw_uid, found.pw_gid, found.pw_name


def _group(text: str, place: str) -> int:
    if not text.startswith("+"):
        try:
            return grp.getgrnam(text).gr_gid
        except KeyError:
            if not NUMBER.fullmatch(text):
                hint = f"choose another, or make it: groupadd --system {text}"
                raise Invalid(f"{place}: there is no group {text}", hint=hint) from None
    return _number(text, place)


def _number(text: str, place: str) -> int:
    if not NUMBER.fullmatch(text) or int(text) > HIGHEST:
        raise Invalid(f"{place}: {text!r} is no number of a user or group", hint=FORM)
    return int(text)
