"""A message bus of the guest's own, on which its screen is shown by D-Bus."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from anyvirt.api import Graphics, path_of

from anyvirt_qemu.planning.beside import FIRST_FD, EndUse, ProgramUse
from anyvirt_qemu.planning.build import Build
from anyvirt_qemu.planning.plan import BUS

FOLDER, CONFIG = FIRST_FD, FIRST_FD + 1
# whoever may open the socket may say and hear everything; nothing is started for a name
RULES: Final = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=/proc/self/fd/{FOLDER}/{BUS}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def bus(b: Build, x: Graphics) -> str:
    """A bus for this screen; its address, for QEMU."""
    program = b.beside("dbus-daemon")
    config = f"--config-file=/proc/self/fd/{CONFIG}"
    use = ProgramUse(
        name="dbus-daemon",
        package="dbus-daemon",
        place=path_of(x),
        alias="screen",
        path=program.path,
        argv=(program.path, config, "--nofork", "--nopidfile", "--nosyslog"),
        socket=BUS,
        fds=(EndUse(FOLDER, "folder"), EndUse(CONFIG, "text")),
        binds=True,
        text=RULES,
        unprivileged=True,
    )
    b.programs.append(use)
    return f"unix:path={quote(b.near(BUS))}"
