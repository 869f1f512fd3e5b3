"""The tour: a small Linux guest on QEMU, from its definition to its end; on ``test:///`` where there is no QEMU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import anyvirt
from anyvirt.api import Deadline, Feed, Interrupted, State, Stream, VirtError, within
from guest.builder import Guest, GuestError, build

HERE: Final = Path(__file__).resolve().parent
NAME: Final = "demo"
BOOT_SECONDS: Final = 60.0
ESCAPES: Final = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")  # the guest's shell asks the terminal where its cursor is


class Show:
    """Runs the command line in front of the user, with a state folder of its own."""

    def __init__(self, uri: str, state: Path) -> None:
        self.uri = uri
        self.env = os.environ | {"ANYVIRT_STATE_DIR": str(state), "ANYVIRT_URI": uri}

    def run(self, *words: str) -> None:
        """Show the command, run it, show what it says."""
        print(f"\n$ anyvirt {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "anyvirt.cli.main", *words], env=self.env, check=False)
        if done.returncode:
            sys.exit(f"demo: the command above failed with {done.returncode}")


def main() -> int:
    """Show the tour on the best hypervisor there is."""
    with tempfile.TemporaryDirectory(prefix="anyvirt-demo-") as folder:
        state = Path(folder)
        missing = _missing()
        if missing:
            print(f"demo: {missing}: the same tour on the test driver instead")
            return on_test(Show(f"test:///default?state={state / 'test.db'}", state))
        try:
            guest = build()
        except GuestError as error:
            print(f"demo: {error}: the same tour on the test driver instead")
            return on_test(Show(f"test:///default?state={state / 'test.db'}", state))
        show = Show("qemu:///system" if os.getuid() == 0 else "qemu:///session", state)
        try:
            return on_qemu(show, guest, state)
        finally:
            end(show, state)


def _missing() -> str:
    for tool in ("qemu-system-x86_64", "qemu-img"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed here"
    return ""


def on_qemu(show: Show, guest: Guest, state: Path) -> int:
    """The tour on a real guest."""
    disk = state / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M"], check=True)
    xml = state / "small-guest.xml"
    values = {"KERNEL": guest.kernel, "INITRD": guest.initrd, "CMDLINE": guest.cmdline, "DISK": disk}
    text = (HERE / "small-guest.xml").read_text()
    for word, value in values.items():
        text = text.replace(f"@{word}@", str(value))
    xml.write_text(text)

    show.run("host", "info")
    show.run("host", "facts")
    with anyvirt.open(show.uri, state_dir=state) as connection:
        watching = connection.events()
        show.run("define", str(xml))
        show.run("start", NAME)
        with connection.lookup(NAME).console(replay=True) as console:
            print("\n--- its boot, on the console ---", flush=True)
            until(console, guest.prompt)
            print("\n\n--- typed: uname -a, and 8 MiB written to its disk ---", flush=True)
            for command in ("uname -a", "dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync 2>&1 | tail -n 1"):
                console.write(command.encode() + b"\n")
                until(console, guest.prompt)
        print(flush=True)
        show.run("list", "--all")
        show.run("stats", NAME)
        show.run("blkinfo", NAME, "vda", "--human")
        show.run("suspend", NAME)
        show.run("resume", NAME)
        show.run("shutdown", NAME, "--mode", "acpi")
        status = connection.lookup(NAME).wait_for([State.SHUTOFF], timeout=30)
        print(f"\n{NAME} is {status}")
        show.run("undefine", NAME)
        show.run("list", "--all")
        show_events(watching)
    return 0


def end(show: Show, state: Path) -> None:
    """End the guest where the tour was cut off; its state folder goes with the demo."""
    with anyvirt.open(show.uri, state_dir=state) as connection:
        for guest in connection.domain_list():
            if guest.state().state.active:
                guest.destroy()


def on_test(show: Show) -> int:
    """The tour on the driver that comes with the core's test plug-in: a host in a folder."""
    show.run("list", "--all")
    show.run("stats", "test")
    show.run("suspend", "test")
    show.run("state", "test")
    show.run("resume", "test")
    show.run("shutdown", "test")
    show.run("list", "--all")
    show.run("undefine", "test")
    show.run("list", "--all")
    return 0


def until(console: Stream, prompt: str) -> None:
    """Show the console's output until the guest's prompt stands at its end."""
    seen = held = b""
    with within(Deadline(BOOT_SECONDS)):
        while not ESCAPES.sub(b"", seen).rstrip(b" ").endswith(prompt.strip().encode()):
            piece = console.read(4096)
            if not piece:
                sys.exit("\ndemo: the guest's console ended")
            seen = (seen + piece)[-4096:]
            piece, escape, rest = ESCAPES.sub(b"", held + piece).partition(b"\x1b")
            held = escape + rest  # the beginning of one, whose end is still to come
            sys.stdout.write(piece.decode(errors="replace"))
            sys.stdout.flush()


def show_events(watching: Feed) -> None:
    """What happened meanwhile, as a program sees it."""
    print("\n--- its events, from connection.events() ---")
    try:
        while True:
            event = watching.get(timeout=1.0)
            what = " ".join(str(value) for value in event.detail_row().values())
            print(f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.ref}  {event.kind}  {what}")
    except Interrupted:
        watching.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VirtError as error:
        sys.exit(f"demo: error[{error.code}]: {error}" + (f"; {error.hint}" if error.hint else ""))
