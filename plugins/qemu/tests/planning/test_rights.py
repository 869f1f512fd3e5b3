"""What another user may do with a file is reckoned as the kernel does it."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt_qemu.planning.plan import Account, FileUse
from anyvirt_qemu.readiness.rights import LIST, Mode, Rights

UID, GID, MORE, OTHER = 61234, 61235, 61236, 61237
WHO = Account(UID, GID, (GID, MORE), "somebody")
NONE = 0xFFFFFFFF
ASK = """
import os, sys
os.setgroups([{gid}, {more}]); os.setresgid({gid}, {gid}, {gid}); os.setresuid({uid}, {uid}, {uid})
for path in sys.argv[1:]:
    print("".join(letter for letter, flag in zip("rwx", (os.R_OK, os.W_OK, os.X_OK)) if os.access(path, flag)))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="anyvirt-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_modes_and_access_control_lists_say_to_a_user_what_the_kernel_says(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to ask the kernel as another user")
    files = []
    owners = [(0, 0), (UID, OTHER), (OTHER, GID), (OTHER, MORE), (OTHER, OTHER)]
    lists = [None, [(2, 4, UID)], [(8, 2, GID), (8, 4, MORE)], [(2, 7, OTHER)], [(8, 0, MORE)]]
    for number, ((uid, gid), mode, named) in enumerate(itertools.product(owners, (0o640, 0o467, 0o124, 0o700), lists)):
        path = folder / str(number)
        path.write_bytes(b"")
        os.chown(path, uid, gid)
        path.chmod(mode)
        if named is not None:
            entries = [(1, mode >> 6, NONE), *(e for e in named if e[0] == 2), (4, mode >> 3 & 7, NONE)]
            entries += [*(e for e in named if e[0] == 8), (16, 6, NONE), (32, mode & 7, NONE)]
            data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
            try:
                os.setxattr(path, LIST, data)
            except OSError:  # this file system has none
                continue
        files.append(path)
    script = ASK.format(uid=UID, gid=GID, more=MORE)
    asked = subprocess.run([sys.executable, "-I", "-c", script, *map(str, files)], capture_output=True, check=True)
    kernel = asked.stdout.decode().splitlines()
    rights = Rights(WHO)
    reckoned = ["".join(right for right in "rwx" if rights.may(str(path), right)) for path in files]
    assert reckoned == kernel
    assert len(set(kernel)) > 4


def test_root_may_all_but_run_what_nobody_may() -> None:
    assert [Mode(1, 1, 0o100000).allows(0, {0}, right) for right in "rwx"] == [True, True, False]
    assert Mode(1, 1, 0o040000).allows(0, {0}, "x")


def test_the_folder_that_keeps_a_user_out_is_named_also_behind_a_link(folder: Path) -> None:
    inside = folder / "closed" / "deep"
    inside.mkdir(parents=True)
    (inside / "file").write_bytes(b"")
    (folder / "link").symlink_to(inside)
    (folder / "closed").chmod(0o700)
    rights = Rights(WHO)
    for way in (inside, folder / "link"):
        wrong = rights.reach(str(way / "file"))
        assert wrong is not None
        assert f"user somebody may not pass through folder {folder}/closed (right x)" in wrong.text
        assert wrong.hint.startswith(f"setfacl -m u:somebody:x {folder}/closed")
    assert Rights(WHO, passable=[str(folder)]).way(str(inside / "file")) is None


def test_what_is_given_to_the_user_needs_a_way_to_it_and_nothing_more(folder: Path) -> None:
    path = str(folder / "file")
    given = FileUse(path, "/os/kernel", owner=(UID, GID))
    assert Rights(WHO, [given]).reach(path) is not None
    Path(path).write_bytes(b"")
    Path(path).chmod(0o600)
    assert Rights(WHO, [given]).reach(path) is None
    wrong = Rights(WHO).reach(path, write=True)
    assert wrong is not None
    assert wrong.hint == f"setfacl -m u:somebody:rw {path}"
