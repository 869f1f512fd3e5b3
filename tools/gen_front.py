"""Write the front of each service: its hooks, each of which fetches the service itself when it is first called.

``python tools/gen_front.py`` writes them; ``--check`` fails where one is stale. Every command of a local hypervisor
opens the services, and few call them: what it takes to list guests must not grow with what storage can do.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from anyvirt import api
from anyvirt_host.secret import service as secret
from anyvirt_host.storage import service as storage

SERVICES: Final = {"storage": storage, "secret": secret}
SKIPPED: Final = {"connect_close"}
ABSTRACT: Final = ("Generator", "Iterator", "Mapping", "Sequence")

TEMPLATE: Final = '''"""The {service} service as a connection opens it; written by tools/gen_front.py: do not edit.

Nothing of what it can do is loaded before somebody wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from anyvirt.api import impl

if TYPE_CHECKING:
    from collections.abc import {abstract}

    from anyvirt.api import {names}

    from anyvirt_host.{service}.service import Service
    from anyvirt_host.{service}.site import Site


class Front:
    """The hooks of ``Service``."""

    def __init__(self, opened: Callable[[], Site]) -> None:
        self._opened = opened

    @cached_property
    def whole(self) -> Service:
        """The service itself."""
        from anyvirt_host.{service}.service import Service

        return Service(self._opened)
{methods}'''

METHOD: Final = """
    @impl{accepts}
    def {name}({parameters}) -> {returns}:{excuse}
        return self.whole.{name}({arguments})
"""


def hooks(service: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each hook of the service, by name."""
    for name in sorted(dir(service.Service)):
        function = inspect.getattr_static(service.Service, name)
        if hasattr(function, "anyvirt_accepts") and name not in SKIPPED:
            yield name, function


def method(name: str, function: Callable[..., Any]) -> str:
    """One method of the front."""
    signature = inspect.signature(function)
    given = list(signature.parameters)[1:]
    accepts = {key: sorted(values) for key, values in function.anyvirt_accepts.items()}  # type: ignore[attr-defined]
    shown = ", ".join(f"{key!r}: {set(values)!r}" for key, values in accepts.items())
    parameters = ", ".join(str(parameter) for parameter in signature.parameters.values())
    return METHOD.format(
        accepts=f"(accepts={{{shown}}})" if shown else "",
        name=name,
        parameters=parameters.replace("'", ""),
        returns=signature.return_annotation,
        excuse="  # noqa: A002 - libvirt's word" if "type" in given else "",
        arguments=", ".join(given),
    )


def text(name: str, service: ModuleType) -> str:
    """The file of one service."""
    methods = "".join(method(hook, function) for hook, function in hooks(service))
    words = set(re.findall(r"\b[A-Z]\w+", methods))
    names = ", ".join(sorted(words & set(api.__all__)))
    abstract = ", ".join(word for word in ABSTRACT if word in words)
    return TEMPLATE.format(service=name, abstract=abstract, names=names, methods=methods)


def main() -> int:
    """Write the files, or see that they are up to date."""
    stale = 0
    for name, service in SERVICES.items():
        target = Path(str(service.__file__)).with_name("front.py")
        ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(target), "-"]
        made = subprocess.run(ruff, input=text(name, service), capture_output=True, text=True, check=True).stdout
        if "--check" not in sys.argv:
            target.write_text(made, "utf-8")
        elif not target.exists() or target.read_text("utf-8") != made:
            print(f"{target} is stale: run python tools/gen_front.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
