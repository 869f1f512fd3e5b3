"""Run tests as a user who is nobody special: ``python tests/lab/session_user.py [PYTEST ARGUMENT ...]``.

Root makes the user with a home of its own, a virtual environment from the system's Python with this
checkout's wheels in it, and a copy of the tests, all where the user can read them; then pytest runs as
that user, with nothing of root's environment. The user and what it left behind are gone afterwards.
Without root there is nothing to drop: pytest runs as whoever asks.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "examples")]

import guest  # noqa: E402  # found through the lines above, also when run as a script
import wheels  # noqa: E402

NAME = "anyvirt-ci"
PLACE = Path("/var/tmp") / NAME
COPIED = ("pyproject.toml", "tests", "tools", "examples", "plugins/*/tests", "core/tests")
TOOLS = ("pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.100", "pexpect>=4.9")


def main(words: list[str]) -> int:
    """Run pytest with these arguments as the user; its exit status."""
    if os.geteuid():
        return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False).returncode
    PLACE.mkdir(mode=0o755, exist_ok=True)
    PLACE.chmod(0o755)
    with (PLACE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = _environment()
        checkout = _copy_of_the_checkout()
        with _user() as user:
            report = Path(user.pw_dir) / "report.xml"
            wanted = [word.partition("=")[2] for word in words if word.startswith("--junit-xml=")]
            words = [f"--junit-xml={report}" if word.startswith("--junit-xml=") else word for word in words]
            done = subprocess.run(
                [python, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={user.pw_dir}/t", *words],
                cwd=checkout,
                env=_clean_environment(user, python),
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                umask=0o022,
                check=False,
            )
            for path in wanted if report.exists() else []:
                shutil.copyfile(report, path)
            return _left_over(user) or done.returncode


def _environment() -> str:
    """The Python of an environment with the present wheels; made anew when they have changed."""
    built = wheels.wheels()
    venv, stamp = PLACE / "venv", PLACE / "venv" / "wheels"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != built.name:
        shutil.rmtree(venv, ignore_errors=True)
        python = wheels.environment(venv, "/usr/bin/python3")
        wheels.install(python, *(str(path) for path in sorted(built.glob("*.whl"))), *TOOLS)
        stamp.write_text(built.name, encoding="utf-8")
    return str(venv / "bin" / "python")


def _copy_of_the_checkout() -> Path:
    """The tests and what they need, without the sources: what is imported is what is installed."""
    copy = PLACE / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(path, target)
    return copy


@contextmanager
def _user() -> Iterator[pwd.struct_passwd]:
    home = PLACE / "home"
    shutil.rmtree(home, ignore_errors=True)
    if not any(entry.pw_name == NAME for entry in pwd.getpwall()):
        words = ["--system", "--user-group", "--home-dir", str(home), "--shell", "/bin/sh", NAME]
        subprocess.run(["useradd", *words], check=True)
    user = pwd.getpwnam(NAME)
    home.mkdir(mode=0o755)
    _share_guest(home)
    for folder, names, files in os.walk(home):
        for path in (folder, *(os.path.join(folder, name) for name in [*names, *files])):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    try:
        yield user
    finally:
        subprocess.run(["userdel", NAME], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


def _share_guest(home: Path) -> None:
    """Give the user the small guest from root's cache; without one the user's tests build or skip it."""
    try:
        built = guest.build(progress=lambda line: None).kernel.parent
    except guest.GuestError:
        return
    shutil.copytree(built, home / ".cache" / "anyvirt" / "guest" / built.name)


def _clean_environment(user: pwd.struct_passwd, python: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"CI", "LANG", "TERM"}}
    path = os.pathsep.join([str(Path(python).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"])
    return kept | {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "PATH": path}


def _left_over(user: pwd.struct_passwd) -> int:
    """End what still runs as the user, which nothing should; 1 where something did."""
    left = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.stat().st_uid != user.pw_uid:
                continue
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            os.kill(int(path.name), 9)
            if not words:  # a zombie that nobody has looked after yet
                continue
        except (FileNotFoundError, ProcessLookupError):
            continue
        print(f"still ran after the tests, as {user.pw_name}: {words[:300]}", file=sys.stderr)
        left = 1
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
