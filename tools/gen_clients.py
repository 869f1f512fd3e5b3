"""Write the sync and the asyncio client from the specs and the derived functions.

``python tools/gen_clients.py`` writes both files; ``--check`` fails where one is stale.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import anyvirt.client.derived as derived_module
from anyvirt.hooks.spec import Spec
from anyvirt.hooks.table import OPENERS, SPECS

CLIENT: Final = Path(derived_module.__file__).parent
HOOKS: Final = CLIENT.parent / "hooks"

# hooks that only core calls
INTERNAL: Final = {*OPENERS, "connect_ready", "connect_close", "job_recover", "events_follow"}

# kind of a ref -> (handle, its sentence)
HANDLES: Final = {
    "domain": ("Domain", "One domain (guest) of a connection."),
    "pool": ("Pool", "One storage pool of a connection."),
    "volume": ("Volume", "One volume of a storage pool."),
    "secret": ("KeptSecret", "One secret that the host keeps."),
    "network": ("Network", "One virtual network of a connection."),
    "interface": ("Interface", "One interface of the host."),
}

# models whose root element has another name
ROOTS: Final = {"CpuSpec": "cpu", "KeptSecret": "secret", "PoolSource": "source"}
MODELS: Final = {
    "Domain": "DomainModel",
    "KeptSecret": "KeptSecretModel",
    "Pool": "PoolModel",
    "Volume": "VolumeModel",
}

HEADER: Final = '''"""{what} client, generated from the specs by tools/gen_clients.py: do not edit."""

from __future__ import annotations

from collections.abc import {abc}
from typing import TYPE_CHECKING, Any

from anyvirt.client import derived
from anyvirt.client.link import {link}, Handle, admitted, ref_of, refs_of, statuses
{plain}

if TYPE_CHECKING:
{checking}
'''


@dataclass(frozen=True)
class Parameter:
    """One parameter of a client method, and what is handed to the hook for it."""

    name: str
    annotation: str
    default: str
    hand_over: str

    @property
    def text(self) -> str:
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default else "")


KEEP_UNKNOWN: Final = Parameter("keep_unknown", "bool", "False", "keep_unknown")
KEEP_UNKNOWN_DOC: Final = "    :param keep_unknown: let elements and attributes through that anyvirt does not know."


class Writer:
    """Writes one of the two clients."""

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.a = "Async" if asynchronous else ""
        self.define = "async def" if asynchronous else "def"
        self.wait = "await " if asynchronous else ""
        self.handle = {kind: self.a + name for kind, (name, _) in HANDLES.items()}
        self.connection: list[str] = []
        self.handles: dict[str, list[str]] = {kind: [] for kind in HANDLES}

    def write(self) -> str:
        for spec in SPECS.values():
            if spec.name not in INTERNAL:
                self._hook(spec)
        for name, function in derived_functions():
            self._derived(name, function)
        for kind in HANDLES:
            self._maker(kind)
        out = [
            self._class(
                "Connection",
                f"{self.a or 'Sync'}Link",
                "One connection to a hypervisor.",
                self._enter() + self.connection,
            )
        ]
        for kind, (name, sentence) in HANDLES.items():
            slots = ["__slots__ = ()", f"connection: {self.a}Connection"]
            out.append(self._class(name, "Handle", sentence, ["\n".join(slots), *self.handles[kind]]))
        body = "\n\n\n".join(out) + "\n"
        return self._header(body) + "\n\n" + body

    # -- one hook ---------------------------------------------------------------------------

    def _hook(self, spec: Spec) -> None:
        function = spec.function
        parameters = [self._parameter(spec, name) for name in spec.parameters]
        returns = str(function.__annotations__["return"])
        given = self._returned(spec, returns)
        names = ", ".join(f'"{p.name}": {p.hand_over}' for p in parameters)
        text = doc(function)
        if any("admitted(" in p.hand_over for p in parameters):
            parameters.append(KEEP_UNKNOWN)
            text = with_line(text, KEEP_UNKNOWN_DOC)
        stream = "_stream" if self.asynchronous else "_call"
        call = {"call": "_call", "bulk": "_bulk", "job": "_job", "stream": stream}[spec.kind]
        wait = "" if spec.kind == "job" else self.wait
        define = "def" if spec.kind == "job" else self.define
        value = f'{wait}self.{call}("{spec.name}", {{{names}}}, timeout)'
        body = self._wrapped(spec, returns, value)
        default = "None" if spec.kind == "job" else "..."
        self.connection.append(self._method(define, spec.name, parameters, given, body, text, default))
        self._on_handle(spec, parameters, given, returns, default)

    def _on_handle(self, spec: Spec, parameters: list[Parameter], given: str, returns: str, default: str) -> None:
        if not parameters or parameters[0].name not in {"ref", "refs"}:
            return
        kind = spec.name.partition("_")[0]
        name = spec.name.partition("_")[2]
        if kind == "stats":
            kind, name = "domain", spec.name
        rest = parameters[1:]
        passed = "".join(f", {p.name}" for p in rest)
        define = "def" if spec.kind == "job" else self.define
        wait = "" if spec.kind == "job" else self.wait
        if parameters[0].name == "refs":
            if spec.name == "stats_collect":
                return
            given = self._answer(returns)
            body = (
                f"return ({self.wait}self.connection.{spec.name}((self.ref,){passed}, timeout=timeout))[self.ref].get()"
            )
        else:
            back = "" if given == "None" else "return "
            body = f"{back}{wait}self.connection.{spec.name}(self.ref{passed}, timeout=timeout)"
        self.handles[kind].append(self._method(define, name, rest, given, body, doc(spec.function), default))

    def _parameter(self, spec: Spec, name: str) -> Parameter:
        annotation = str(spec.function.__annotations__[name])
        default = repr(spec.defaults[name]) if name in spec.defaults else ""
        default = re.sub(r"<(\w+)\.(\w+): .*>", r"\1.\2", default)
        if annotation == "Ref":
            kind = name if name in HANDLES else spec.name.partition("_")[0]
            return Parameter(name, f"{self.handle[kind]} | Ref", default, f"ref_of({name})")
        if annotation == "Sequence[Ref]":
            return Parameter(name, "Iterable[Handle | Ref]", default, f"refs_of({name})")
        if found := re.fullmatch(r"(Sequence\[)?Document\[(\w+)\]\]?( \| None)?", annotation):
            model, root = model_name(found[2]), ROOTS.get(found[2], found[2].lower())
            given = f"Document[{model}] | {model} | str | bytes"
            if found[1]:
                over = f'[admitted(one, "{root}", keep_unknown=keep_unknown) for one in {name}]'
                return Parameter(name, f"Sequence[{given}]", default, over)
            over = f'admitted({name}, "{root}", keep_unknown=keep_unknown)'
            if found[3]:
                given, over = f"{given} | None", f"None if {name} is None else {over}"
            return Parameter(name, given, default, over)
        return Parameter(name, annotation, default, name)

    def _answer(self, returns: str) -> str:
        """What one answer of a bulk hook holds."""
        inner = re.fullmatch(r"Iterator\[tuple\[Ref, Answer\[(.*)\]\]\]", returns)
        assert inner, returns
        return "Status" if inner[1] == "State | Status" else documents(inner[1])

    def _returned(self, spec: Spec, returns: str) -> str:
        if spec.kind == "bulk":
            return f"dict[Ref, Answer[{self._answer(returns)}]]"
        if spec.kind == "job":
            inner = re.fullmatch(r"Generator\[Progress, None, (.*)\]", returns)
            assert inner, returns
            return f"{self.a}Job[{inner[1]}]"
        if spec.kind == "stream":
            return f"{self.a}{returns}"
        if spec.all:
            return f"dict[str, Answer[{documents(returns)}]]"
        if returns in {"Iterator[Ref]", "Sequence[Ref]"}:
            return f"tuple[{self.handle[spec.gives]}, ...]"
        return self.handle[spec.gives] if returns == "Ref" else documents(returns)

    def _wrapped(self, spec: Spec, returns: str, value: str) -> str:
        if spec.kind == "bulk" and "State | Status" in returns:
            return f"return statuses({value})"
        if spec.kind == "call" and not spec.all and returns in {"Iterator[Ref]", "Sequence[Ref]"}:
            return f"return tuple({self.handle[spec.gives]}(self, ref) for ref in {value})"
        if spec.kind == "call" and returns == "Ref":
            return f"return {self.handle[spec.gives]}(self, {value})"
        if returns == "None":
            return value
        typed = self._returned(spec, returns)
        return f"result: {typed} = {value}\nreturn result"

    # -- derived functions --------------------------------------------------------------------

    def _derived(self, name: str, function: FunctionType) -> None:
        parameters = []
        for one in list(inspect.signature(function).parameters.values())[1:]:
            default = "" if one.default is one.empty else ("GROUPS" if one.name == "groups" else repr(one.default))
            annotation = str(one.annotation)
            over = one.name
            if annotation == "Ref":
                kind = one.name if one.name in HANDLES else "domain"
                annotation, over = f"{self.handle[kind]} | Ref", f"ref_of({one.name})"
            elif annotation.startswith("Sequence[Ref]"):
                annotation = "Iterable[Handle | Ref] | None"
                over = f"None if {one.name} is None else refs_of({one.name})"
            parameters.append(Parameter(one.name, annotation, default, over))
        returns = str(function.__annotations__["return"])
        if job := re.fullmatch(r"Generator\[Progress, None, (.*)\]", returns):
            self._derived_job(name, function, parameters, f"{self.a}Job[{job[1]}]")
            return
        kind = name.partition("_")[2] or "domain"
        passed = "".join(f", {p.hand_over}" for p in parameters)
        value = f"{self.wait}self._derive(derived.{name}, timeout{passed})"
        given = self.handle[kind] if returns == "Ref" else documents(returns)
        body = f"return {self.handle[kind]}(self, {value})" if returns == "Ref" else f"return {value}"
        self.connection.append(self._method(self.define, name, parameters, given, body, doc(function), "..."))
        if parameters and parameters[0].name == "ref":
            rest = parameters[1:]
            passed = "".join(f", {p.name}" for p in rest)
            body = f"return {self.wait}self.connection.{name}(self.ref{passed}, timeout=timeout)"
            short = {"block_info": "disk_info"}.get(name, name)
            self.handles["domain"].append(self._method(self.define, short, rest, given, body, doc(function), "..."))
        elif parameters and parameters[0].name in HANDLES:
            kind, rest = parameters[0].name, parameters[1:]
            passed = "".join(f", {p.name}" for p in rest)
            body = f"return {self.wait}self.connection.{name}(self.ref{passed}, timeout=timeout)"
            short = name.removeprefix(f"{kind}_")
            self.handles[kind].append(self._method(self.define, short, rest, given, body, doc(function), "..."))

    def _derived_job(self, name: str, function: FunctionType, parameters: list[Parameter], given: str) -> None:
        passed = "".join(f", {p.hand_over}" for p in parameters)
        body = f"return self._work(derived.{name}, timeout{passed})"
        self.connection.append(self._method("def", name, parameters, given, body, doc(function), "None"))
        kind, rest = parameters[0].name, parameters[1:]
        passed = "".join(f", {p.name}" for p in rest)
        body = f"return self.connection.{name}(self.ref{passed}, timeout=timeout)"
        short = name.removeprefix(f"{kind}_")
        self.handles[kind].append(self._method("def", short, rest, given, body, doc(function), "None"))

    # -- text ---------------------------------------------------------------------------------

    def _enter(self) -> list[str]:
        name = "__aenter__" if self.asynchronous else "__enter__"
        return [f"{self.define} {name}(self) -> {self.a}Connection:\n    return self"]

    def _maker(self, kind: str) -> None:
        name = self.handle[kind]
        body = f'"""A handle of a {kind} that is known already; nothing is asked."""\nreturn {name}(self, ref)'
        self.connection.append(f"def {kind}(self, ref: Ref) -> {name}:\n{textwrap.indent(body, '    ')}")

    def _method(
        self, define: str, name: str, parameters: list[Parameter], given: str, body: str, text: str, default: str
    ) -> str:
        listed = ", ".join(["self", *(p.text for p in parameters), "*", f"timeout: Timeout = {default}"])
        return f'{define} {name}({listed}) -> {given}:\n    """{text}"""\n{textwrap.indent(body, "    ")}'

    def _class(self, name: str, base: str, sentence: str, members: list[str]) -> str:
        body = "\n\n".join([f'"""{sentence}"""', *members])
        return f"class {self.a}{name}({base}):\n{textwrap.indent(body, '    ')}"

    def _header(self, body: str) -> str:
        words = set(re.findall(r"\b[A-Za-z_]\w*\b", re.sub(r'""".*?"""', "", body, flags=re.DOTALL)))
        known = names()
        runtime = {"Which", "GROUPS"}
        plain: list[str] = []
        checking: list[str] = []
        for module in sorted({known[word] for word in words if word in known}):
            wanted = sorted(word for word in words if known.get(word) == module)
            wanted = [f"{old} as {new}" for old, new in MODELS.items() if new in wanted] + [
                word for word in wanted if word not in MODELS.values()
            ]
            line = f"from {module} import {', '.join(wanted)}"
            (plain if set(wanted) & runtime else checking).append(line)
        abc = ", ".join(sorted(words & {"Collection", "Iterable", "Iterator", "Mapping", "Sequence"})) or "Iterable"
        abc += ", Set as AbstractSet" if "AbstractSet" in words else ""
        return HEADER.format(
            what="The asyncio" if self.asynchronous else "The sync",
            abc=abc,
            link=f"{self.a or 'Sync'}Link",
            plain="\n".join(plain),
            checking=textwrap.indent("\n".join(checking), "    "),
        )


def model_name(name: str) -> str:
    """Model classes have their handles' names; in the clients they are called ...Model."""
    return MODELS.get(name, name)


def documents(annotation: str) -> str:
    """An annotation with the model's name in ``Document[...]``."""
    return re.sub(r"Document\[(\w+)\]", lambda found: f"Document[{model_name(found[1])}]", annotation)


def doc(function: Any) -> str:
    """The docstring as it stands in a method."""
    text = inspect.cleandoc(function.__doc__ or "")
    return textwrap.indent(text, "    ").strip() + ("\n    " if "\n" in text else "")


def with_line(text: str, line: str) -> str:
    """A docstring with one more field, before the others."""
    lines = text.split("\n")
    at = next((number for number, one in enumerate(lines) if one.strip().startswith(":")), None)
    if at is None:
        return f"{text.rstrip()}\n\n{line}\n    "
    return "\n".join([*lines[:at], line, *lines[at:]])


def derived_functions() -> Iterator[tuple[str, FunctionType]]:
    """Functions of ``client/derived.py`` that are marked, in order."""
    for name, member in vars(derived_module).items():
        if hasattr(member, "anyvirt_derived"):
            yield name, member


def names() -> dict[str, str]:
    """Where the names in annotations come from: read off the imports of the hooks and of derived.py."""
    found = {"Timeout": "anyvirt.session", "Job": "anyvirt.jobs", "Ref": "anyvirt.ref", "Answer": "anyvirt.ref"}
    for path in [*HOOKS.glob("*.py"), CLIENT / "derived.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("anyvirt."):
                for alias in node.names:
                    found[MODELS.get(alias.name, alias.name)] = node.module
    found["Overview"] = "anyvirt.client.derived"
    found |= dict.fromkeys(("AsyncJob", "AsyncStream"), "anyvirt.client.awaiting")
    for name in ("Connection", "Domain", "Pool", "Volume", "KeptSecret", "Network", "Interface"):
        found.pop(name, None)
    return found


def formatted(text: str) -> str:
    """Through the formatter, so that the committed file reads like any other."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "120", "-"],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def main() -> int:
    """Write or check both files."""
    stale = []
    for asynchronous, name in ((False, "_generated_sync.py"), (True, "_generated_async.py")):
        text = formatted(Writer(asynchronous=asynchronous).write())
        path = CLIENT / name
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path))
        else:
            path.write_text(text)
    for place in stale:
        print(f"{place} is stale: run python tools/gen_clients.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
