"""A process that does long work and is killed when it has written down what it is about to do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, Final

from anyvirt.ref import Ref

PHASES: Final = 20  # more than any job has
_OPEN: Final = """
import json, os, signal, sys
from anyvirt.api import Ref, open
uri, given, wishes = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
connection = open(uri, timeout=60)
def ref(one):
    return Ref(one["kind"], one["key"], ref(one["parent"]) if one["parent"] else None, name=one["name"])
given = [ref(one) if isinstance(one, dict) else one for one in given]
"""
_VICTIM: Final = f"""{_OPEN}
hook, left = sys.argv[4], int(sys.argv[5])
book = connection.session.host.jobs
class Book:
    drop, all = book.drop, book.all
    def write(self, record):
        global left
        book.write(record)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
connection.session.host.jobs = Book()
find = connection.lookup_pool if hook.startswith("volume") else connection.lookup
if isinstance(given[0], str):
    given[0] = find(given[0])
getattr(connection, hook)(*given, **wishes).wait(60)
connection.close()
"""
_SENDER: Final = f"""{_OPEN}
stream = connection.volume_upload(*given, **wishes)
for _ in range(int(sys.argv[4])):
    stream.write(b"half" * 16384)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_at_phase(uri: str, phase: int, hook: str, *given: Ref | str, **wishes: Any) -> bool:
    """Run the job in a process that is killed (SIGKILL) right after it wrote its n-th phase; False when it has fewer.

    :param hook: the job's, such as ``volume_create``.
    :param given: its arguments: refs, paths, documents; the first may be the name of the domain or, for a hook of
        volumes, of the pool.
    :param wishes: arguments by name, as plain data.
    """
    done = _run(_VICTIM, uri, given, wishes, hook, str(phase))
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode == -signal.SIGKILL


def killed_upload(uri: str, volume: Ref, chunks: int, **wishes: Any) -> None:
    """Begin an upload in a process that is killed when it has sent so many chunks of 65536 bytes (``half`` each)."""
    done = _run(_SENDER, uri, (volume,), wishes, str(chunks))
    assert done.returncode == -signal.SIGKILL, done.stderr


def _run(
    program: str, uri: str, given: tuple[Ref | str, ...], wishes: dict[str, Any], *rest: str
) -> subprocess.CompletedProcess[str]:
    plain = json.dumps([_plain(one) if isinstance(one, Ref) else one for one in given])
    argv = [sys.executable, "-W", "error", "-c", program, uri, plain, json.dumps(wishes), *rest]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def _plain(ref: Ref) -> dict[str, Any]:
    return {
        "kind": ref.kind, "key": ref.key, "name": ref.name, "parent": _plain(ref.parent) if ref.parent else None,
    }  # fmt: skip
