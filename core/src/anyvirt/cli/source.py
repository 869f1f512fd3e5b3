"""Documents that commands read: files that are named on the command line, and what is stored."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyvirt.cli.paper import clean
from anyvirt.errors import Denied, Invalid, NotFound
from anyvirt.model.choices import Which

if TYPE_CHECKING:
    from anyvirt.cli.invocation import Invocation
    from anyvirt.client._generated_sync import Domain
    from anyvirt.document import Document

LARGEST: Final = 64 << 20


def read(name: str) -> bytes:
    """The content of a file; ``-`` is what is piped in.

    :raises NotFound: where there is no such file.
    :raises Invalid: where it is no file, or too large.
    :raises Denied: where it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(LARGEST)
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(name, "file", hint="correct the path; - reads what is piped in") from None
    except IsADirectoryError:
        raise Invalid(f"{name} is a folder", hint="name the files in it, such as FOLDER/*.xml") from None
    except OSError as error:
        raise Denied(f"{name} cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(data) > LARGEST:
        raise Invalid(f"{name} is larger than {LARGEST >> 20} MiB, which no document is")
    return data


def given(name: str, form: str = "", kind: str = "domain") -> Any:
    """A document of a file, in any form: XML as it stands, of JSON and YAML the model.

    :param form: ``xml``, ``json`` or ``yaml``; told from the content without it.
    :param kind: tag of the root element that is wanted; ``""`` for any.
    :raises Invalid: what is no JSON or YAML, or another kind of document.
    """
    from anyvirt.model.written import form_of, model_of

    data = read(name)
    form = checked(form) or form_of(data)
    if form == "xml":
        return data
    model = model_of(data, form, kind or "domain")
    found = type(model)._tag  # noqa: SLF001 - what its root element is
    if kind and found != kind:
        raise Invalid(f"the document is a <{found}>, not a <{kind}>", hint=f"give a {kind}")
    return model


def checked(form: str) -> str:
    """The name of a form, or nothing.

    :raises Usage: where there is no such form.
    """
    if form in {"", "xml", "json", "yaml"}:
        return form
    from anyvirt.cli.usage import Usage

    raise Usage(f"--format {form!r} is none", hint="write xml, json or yaml")


def show(cli: Invocation, schema: str, form: str, document: Document[Any], **about: Any) -> None:
    """Print a document in a form, and its notes beside it; with ``--json`` both are fields of the object."""
    if document.notes:
        about["notes"] = list(document.notes)
    for note in document.notes:
        cli.note(f"note: {clean(note)}")
    if checked(form) in {"", "xml"}:
        if not cli.json(schema, **about, xml=document.text):
            cli.document(document.text)
        return
    from anyvirt.model.written import plain_of, text_of

    text = text_of(document.model, form)
    if not cli.json(schema, **about, **{form: text if form == "yaml" else plain_of(document.model)}):
        cli.document(text)


def part(cli: Invocation, schema: str, document: Document[Any], xpath: str, *, wrap: bool, **about: Any) -> None:
    """Print the parts of a document that an XPath names.

    :param wrap: as one document, with ``<nodes>`` around them.
    :raises Invalid: it names none, or is no XPath.
    """
    from anyvirt.model.xml import selected

    found = selected(document.text, xpath)
    if cli.json(schema, **about, nodes=found):
        return
    if not found:
        raise Invalid(f"{xpath!r} fits nothing in the document", hint="without it, all of the document is printed")
    for text in ("<nodes>", *found, "</nodes>") if wrap else found:
        cli.document(text)


def stored(cli: Invocation, one: Domain) -> Document[Any]:
    """The next boot's definition; with its passwords, wherever the connection gives them, so that none is lost."""
    session = cli.connection.session
    return one.config(Which.CONFIG, not session.readonly and "domain_config.secure" in session.supports)
