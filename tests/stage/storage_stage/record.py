"""Writes down what the tools of servers of storage say: ``python -m storage_stage.record FOLDER``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from anyvirt.testing.recorded import recording
from anyvirt.transport.run import LocalRun

from storage_stage import ceph, scenes, tgt


def prepared(daemons: ceph.Daemons) -> None:
    """Put the images into a cluster that the scene is played with."""
    for name, size in scenes.IMAGES.items():
        if name != "four":
            plain = ("--image-feature", "layering") if name == "plain" else ()
            daemons.tool("rbd", "create", *plain, "--size", f"{size}M", f"libvirt/{name}")
    snapshot = "libvirt/one@anyvirt-recorded"
    daemons.tool("rbd", "snap", "create", "--no-progress", snapshot)
    daemons.tool("rbd", "snap", "protect", snapshot)
    daemons.tool("rbd", "clone", snapshot, "libvirt/four")
    daemons.tool("rbd", "resize", "--no-progress", "--allow-shrink", "--size", "4M", "libvirt/four")


@contextmanager
def kept(daemons: ceph.Daemons, folder: Path) -> Iterator[None]:
    """The folder of a pool that was started."""
    folder.mkdir(0o700)
    (folder / "ceph.conf").write_text(f"[global]\nmon_host = 127.0.0.1:{daemons.port}\nauth_client_required = none\n")
    try:
        yield
    finally:
        (folder / "ceph.conf").unlink()
        folder.rmdir()


def main(folder: Path) -> None:
    """Record both scenes."""
    for daemons in ceph.started("none"):
        prepared(daemons)
        version = daemons.tool("rbd", "--version").split()[2]
        with kept(daemons, Path(scenes.FOLDER)):
            path = folder / f"rbd-{version}.txt"
            with closing(recording(path, LocalRun(), f"ceph {version}")) as run:
                scenes.images(run)
    words = ["dpkg-query", "-W", "-f", "${Version}", "libiscsi-bin"]
    version = subprocess.check_output(words, text=True).partition("-")[0]
    for _ in tgt.started(3260):
        with closing(recording(folder / f"libiscsi-{version}.txt", LocalRun(), f"libiscsi {version}")) as run:
            scenes.units(run)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
