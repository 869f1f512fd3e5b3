"""Write the reference pages of the documentation from the code: errors, hooks, XML fields, support.

``python tools/gen_reference.py DIR`` writes them there; the documentation's ``conf.py`` calls ``write``.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Final

import qemu_pages
from anyvirt.errors import CODES
from anyvirt.hooks.spec import Spec
from anyvirt.hooks.table import AREAS, SPECS
from anyvirt.model.reference import Entry
from rst import table, title

KINDS: Final = {
    "call": "gives one value",
    "bulk": "yields an answer for each ref",
    "job": "long work with progress",
    "stream": "goes on giving",
}


def write(folder: Path) -> None:
    """Write every page below ``folder``; a page that says the same already is left alone."""
    pages = {
        "hooks.rst": hooks(),
        "errors/index.rst": errors(),
        **{f"errors/{code}.rst": error(code) for code in CODES},
        "xml.rst": xml(),
        "support.rst": support(),
        "qemu-support.rst": qemu_pages.support(),
        "qemu-equivalence.rst": qemu_pages.equivalence(),
        "boots.rst": qemu_pages.boots(),
        "figures.txt": figures(),
        "cli.rst": cli(),
    }
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for stale in (folder / "errors").glob("*.rst"):
        if f"errors/{stale.name}" not in pages:
            stale.unlink()


def errors() -> str:
    """The index of error codes."""
    rows = [
        (f":doc:`{code} <{code}>`", meaning.meaning, str(meaning.libvirt) if meaning.libvirt is not None else "")
        for code, meaning in sorted(CODES.items())
    ]
    toc = "\n".join(f"   {code}" for code in sorted(CODES))
    return (
        title("Errors")
        + "Codes are stable and never reused. The number is libvirt's for the same thing.\n\n"
        + table(("code", "meaning", "libvirt"), rows, "30 60 10")
        + f".. toctree::\n   :hidden:\n\n{toc}\n"
    )


def error(code: str) -> str:
    """The page of one code."""
    found = CODES[code]
    number = f"Libvirt's number for it is {found.libvirt}.\n\n" if found.libvirt is not None else ""
    return (
        title(code)
        + f"**What happened:** {found.meaning}.\n\n**What to do:** {found.way_out}.\n\n{number}"
        + f".. code-block:: text\n\n   error[{code}]: ...\n\n"
        + f"In Python: ``except VirtError as error`` with ``error.code == {code!r}``.\n"
    )


def hooks() -> str:
    """Every hook with its exact parameters."""
    out = [title("Hooks"), "What a driver may implement. Each is called by keyword; take the parameters you need.\n\n"]
    for area in AREAS:
        out.append(title(area.__name__.removesuffix("Spec"), "-"))
        out.append(f"{inspect.cleandoc(area.__doc__ or '')}\n\n")
        out.extend(hook(spec) for spec in SPECS.values() if spec.name in vars(area))
    return "".join(out)


def hook(spec: Spec) -> str:
    """One hook."""
    signature = str(inspect.signature(spec.function)).replace("(self, ", "(").replace("(self)", "()")
    signature = signature.replace("'", "")
    facts = [KINDS[spec.kind], spec.access]
    facts += ["every plug-in of the connection answers"] if spec.all else []
    facts += ["asked again when the line was lost"] if spec.idempotent else []
    covers = ", ".join(f"``{name}``" for name in spec.covers)
    text = inspect.cleandoc(spec.function.__doc__ or "")
    body = "\n".join(f"   {line}".rstrip() for line in text.splitlines())
    stands = f"\n   Stands for {covers}.\n" if covers else ""
    return (
        f".. py:function:: {spec.name}{signature}\n\n   *{'; '.join(facts)}; since {spec.since}*\n\n{body}\n{stands}\n"
    )


def xml() -> str:
    """Every field of the documents that have models, once: where an element first stands."""
    from anyvirt.model.reference import reference
    from anyvirt.model.roots import ROOTS, classes_of

    about = "Elements and attributes that anyvirt knows; everything else is kept as it is."
    out = [title("XML"), f"{about} What an element has in it is listed where the element first stands.\n\n"]
    out.append("The source is a page of libvirt's documentation, with the part of it, or a schema of libvirt's.\n\n")
    seen: set[str] = set()
    for tag in sorted(ROOTS):
        for number, cls in enumerate(classes_of(tag)):
            root = f"host {tag}" if number else tag
            fields: dict[str, Entry] = {}
            for row in reference(cls):
                if row.field not in seen:
                    fields.setdefault(row.field, row)
            seen |= fields.keys()
            if fields:
                head = ("path", "type", "values", "meaning", "source")
                text = table(head, [_field(root, row) for row in fields.values()], "28 12 16 30 14")
                out += [title(f"<{tag}> of a host" if number else f"<{tag}>", "-"), text]
    return "".join(out)


def _field(root: str, row: Entry) -> tuple[str, ...]:
    from anyvirt.model.origins import source_of

    many = ", many" if row.many else ""
    return f"``{row.path}``", f"{row.type}{many}", ", ".join(row.values), row.doc, source_of(root, row.path)


def support() -> str:
    """What each installed driver implements, and on what each hook was proven."""
    from anyvirt.coverage import installed, proofs

    drivers = list(installed())
    about = "What each driver implements, from its code, and what the contract suite proved it on."
    out = [title("Support"), f"{about} An empty cell: not supported.\n\n"]
    rows = []
    for name in SPECS:
        cells = [proofs(driver, name) for driver in drivers]
        rows.append((f"``{name}``", *cells))
    out.append(table(("hook", *(driver.name for driver in drivers)), rows))
    return "".join(out)


def figures() -> str:
    """What ``nox -s outside`` measured last, with the date."""
    found = json.loads((Path(__file__).parents[1] / "tests/outside/figures.json").read_text("utf-8"))
    rows = [(row["about"], _share(row["done"], row["total"])) for row in found["figures"].values()]
    return table((f"measured on {found['date']}", ""), rows, "70 30")


def _share(done: int, total: int | None) -> str:
    return f"{done}" if total is None else f"{done} of {total} ({done / (total or 1):.2%})"


def cli() -> str:
    """The help of every command."""
    from anyvirt.cli.reference import commands

    out = [title("Commands")]
    for name, text in commands():
        block = "\n".join(f"   {line}".rstrip() for line in text.rstrip().splitlines())
        out.append(title(name, "-") + f".. code-block:: text\n\n{block}\n\n")
    return "".join(out)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
