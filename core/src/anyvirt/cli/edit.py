"""``edit``: a definition in an editor, stored when it is right."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from anyvirt.cli.complaint import print_error
from anyvirt.cli.declare import command, domain, opt
from anyvirt.cli.invocation import Invocation
from anyvirt.cli.prompt import confirm
from anyvirt.cli.source import stored
from anyvirt.errors import Failed, NotFound, VirtError

NO_PROGRAM: Final = 127  # what spawning says where the program cannot be run


@command("edit", examples=("anyvirt edit web", "EDITOR=nano anyvirt edit web"))
def edit(
    cli: Invocation,
    domain: Annotated[str, domain()],
    keep_unknown: Annotated[
        bool, opt("--keep-unknown", help="Take over elements and attributes that anyvirt does not know.")
    ] = False,
) -> None:
    """Change a domain's stored definition in an editor.

    VISUAL or EDITOR says which editor; vi without them. What is wrong is listed, and the
    editor opens again if you want. Nothing is stored where nothing was changed, or where
    somebody else changed the definition meanwhile. The text is kept in a file when it
    could not be stored. A running domain has the change from its next boot.
    """
    one = cli.connection.lookup(domain)
    changed = edited(
        cli,
        one.name,
        lambda: stored(cli, one).text,
        lambda text: cli.connection.domain_define(text, keep_unknown=keep_unknown),
    )
    if not cli.json("edit/1", domain={"name": one.name, "uuid": one.uuid, "changed": changed}):
        cli.line(f"Domain '{one.name}' XML configuration {'edited' if changed else 'not changed'}.")


def edited(cli: Invocation, name: str, read: Callable[[], str], store: Callable[[str], object]) -> bool:
    """Have a person change a document; whether it was changed.

    :param name: of the object that the document is of.
    :param read: gives the document as it is stored now.
    :param store: stores another one.
    """
    before = read()
    handle, file = tempfile.mkstemp(prefix=f"anyvirt-{os.getpid()}-", suffix=".xml")
    path = Path(file)
    with os.fdopen(handle, "w", encoding="utf-8") as text:
        text.write(before)
    keep = True
    try:
        changed = _edited(cli, _Stored(name, read, store), before, path)
        keep = False
    finally:
        if keep and path.exists() and path.read_bytes() != before.encode():
            cli.note(f"your text is kept in {path}")
        else:
            path.unlink(missing_ok=True)
    return changed


class _Stored(NamedTuple):
    """An object whose document is edited."""

    name: str
    read: Callable[[], str]
    store: Callable[[str], object]


def _edited(cli: Invocation, one: _Stored, before: str, path: Path) -> bool:
    editor = cli.settings.editor or ("vi",)
    while True:
        code = os.spawnvp(os.P_WAIT, editor[0], [*editor, str(path)])  # noqa: S606 - a program, no shell
        if code != 0:
            raise _no_edit(editor[0], code)
        text = path.read_text(encoding="utf-8")
        if text == before:
            return False
        try:
            _store(one, before, text)
        except VirtError as error:
            if not (sys.stdin.isatty() and error.code != "resource.busy"):
                raise
            print_error(cli, error)
            if not confirm("Edit it again?"):
                raise Failed("the definition was not stored") from None
        else:
            return True


def _no_edit(editor: str, code: int) -> VirtError:
    if code == NO_PROGRAM:
        return NotFound(editor, "program", hint="set EDITOR or VISUAL to an editor that is there")
    return Failed(f"the editor {editor!r} ended with status {code}", hint="nothing was stored; edit it again")


def _store(one: _Stored, before: str, text: str) -> None:
    if one.read() != before:
        raise VirtError(
            f"somebody else changed the definition of {one.name!r} meanwhile",
            code="resource.busy",
            hint="edit it again from what is stored now",
        )
    one.store(text)
