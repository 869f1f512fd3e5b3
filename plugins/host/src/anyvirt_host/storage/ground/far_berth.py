"""``Berth`` on another host: a shell there holds the hidden folder, and runs what fills the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from anyvirt.api import Busy, Exists, FarRun, VirtError

from anyvirt_host.storage.ground.far import owner_word, told
from anyvirt_host.storage.ground.ground import IMAGE

if TYPE_CHECKING:
    from anyvirt.api import Output, Secret, Shell

_OTHER: Final = 41
_TAKEN: Final = 42
_MAKE: Final = 'umask 077; cd -- "$1" && mkdir -- "$2"'
_IMAGE: Final = 'umask 077; cd -- "$1" && set -C && : >image; cd -- "$1" && '
_FOLDER: Final = 'umask 077; cd -- "$1" && unlink image && mkdir image && '
_TELL: Final = 'stat -c %i image && { lsattr -v -d image 2>/dev/null || { [ "$?" != 127 ] || exit 127; }; }'
_SYNC: Final = 'cd -- "$1" || exit; [ "$(stat -c %i image)" = "$2" ] || exit 41; exec sync image'
# What has no hard links moves it; others of ours are kept away by the pool's lock.
_PUBLISH: Final = """cd -- "$1" || exit
chmod -- "$4" "./$2/image" && { [ -z "$5" ] || chown -h -- "$5" "./$2/image"; } && sync "./$2/image" || exit
[ ! -e "./$3" ] && [ ! -h "./$3" ] || exit 42
ln -P -T -- "./$2/image" "./$3" 2>/dev/null || {
  [ ! -e "./$3" ] && [ ! -h "./$3" ] || exit 42
  mv -T -- "./$2/image" "./$3" || exit
}
rm -rf -- "./$2" && exec sync ."""
_DROP: Final = """cd -- "$1" || exit
[ "$(stat -c %i -- "./$3" 2>/dev/null)" != "$4" ] ||
  if [ -d "./$3" ] && [ ! -h "./$3" ]; then rmdir -- "./$3"; else unlink "./$3"; fi || exit
exec rm -rf -- "./$2" """


class FarBerth:
    """Held by a shell there; a cut line ends what it runs, and lets go of it."""

    def __init__(self, folder: str, hidden: str, tools: FarRun) -> None:
        self._folder, self._hidden, self._tools = folder, hidden, tools
        self._place = f"{folder}/{hidden}"
        self.path = f"{self._place}/{IMAGE}"
        self.inode = self.generation = 0
        self._shell: Shell | None = tools.take()
        try:
            self._done(tools("sh", "-c", _MAKE, "sh", folder, hidden), self._place)
            self._fd = self._shell.hold(self._place, "making", 1, folder=True)
            self._begin(_IMAGE)
        except BaseException:
            self.close()
            raise

    def run(
        self,
        *argv: str,
        input: bytes | str | Secret | None = None,  # noqa: A002 - as in Run
        env: Mapping[str, str | Secret] | None = None,
    ) -> Output:
        """Run a tool; while it is at work, another one runs beside it, and holds nothing."""
        if self._shell is not None:
            with self._shell.claimed() as mine:
                if mine:
                    return self._shell(*argv, input=input, env=env)
        return self._tools(*argv, input=input, env=env)

    def become_folder(self) -> None:
        """A folder in the file's place."""
        self._begin(_FOLDER)

    def sync(self) -> None:
        """Put the content on the disk."""
        out = self.run("sh", "-c", _SYNC, "sh", self._place, str(self.inode))
        if out.code == _OTHER:
            raise Busy(self.path, hint="somebody replaced it while it was being made")
        self._done(out, self.path)

    def publish(self, name: str, mode: int, owner: tuple[int, int]) -> None:
        """Give it its name, under the locks of whoever asks."""
        words = (self._folder, self._hidden, name, f"{mode & 0o7777:o}", owner_word(owner))
        out = self._tools("sh", "-c", _PUBLISH, "sh", *words)
        if out.code == _TAKEN:
            holder = f"something in {self._folder}"
            raise Exists("volume", name, holder=holder, hint="choose another name, or delete it")
        self._done(out, f"{self._folder}/{name}")

    def drop(self, name: str) -> None:
        """Remove it, also what has its name already."""
        words = (self._folder, self._hidden, name, str(self.inode))
        self._done(self._tools("sh", "-c", _DROP, "sh", *words), self._place)

    def close(self) -> None:
        """Let go of it."""
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.close()

    def _begin(self, script: str) -> None:
        words = self._done(self.run("sh", "-c", script + _TELL, "sh", self._place), self.path).text.split()
        self.inode = int(words[0])
        self.generation = int(words[1]) & 0xFFFFFFFF if len(words) > 1 else 0

    def _done(self, out: Output, path: str) -> Output:
        if out.code:
            error: VirtError = told(out, path)
            raise error
        return out
