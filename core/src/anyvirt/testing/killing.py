"""A process that does long work and is killed when it has written down what it is about to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

PHASES: Final = 20  # more than any job has
_VICTIM: Final = """
import os, signal, sys
from anyvirt.api import open
uri, phase, hook, name, what = sys.argv[1:]
connection = open(uri, timeout=60)
book, left = connection.session.host.jobs, int(phase)
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
getattr(connection, hook)(find(name), what).wait(60)
connection.close()
"""


def killed_at_phase(uri: str, phase: int, hook: str, name: str, what: str) -> bool:
    """Run the job in a process that is killed (SIGKILL) right after it wrote its n-th phase; False when it has fewer.

    :param hook: ``domain_save`` or ``volume_create``.
    :param what: its second argument: a path, a document.
    """
    argv = [sys.executable, "-W", "error", "-c", _VICTIM, uri, str(phase), hook, name, what]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode == -9
