"""Write the front of the storage service: its hooks, each of which fetches the service itself when it is first called.

``python tools/gen_front.py`` writes it; ``--check`` fails where it is stale. Every command of a local hypervisor opens
the service, and few call it: what it takes to list guests must not grow with what storage can do.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from anyvirt import api
from anyvirt_host.storage import service

TARGET: Final = Path(service.__file__).with_name("front.py")
SKIPPED: Final = {"connect_close"}
ABSTRACT: Final = ("Generator", "Iterator", "Mapping", "Sequence")

TEMPLATE: Final = '''"""The storage service as a connection opens it; written by tools/gen_front.py: do not edit.

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

    from anyvirt_host.storage.service import Service
    from anyvirt_host.storage.site import Site


class Front:
    """The hooks of ``Service``."""

    def __init__(self, opened: Callable[[], Site]) -> None:
        self._opened = opened

    @cached_property
    def whole(self) -> Service:
        """The service itself."""
        from anyvirt_host.storage.service import Service

        return Service(self._opened)
{methods}'''

METHOD: Final = """
    @impl{accepts}
    def {name}({parameters}) -> {returns}:{excuse}
        return self.whole.{name}({arguments})
"""


def hooks() -> Iterator[tuple[str, Callable[..., Any]]]:
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


def text() -> str:
    """The file."""
    methods = "".join(method(name, function) for name, function in hooks())
    words = set(re.findall(r"\b[A-Z]\w+", methods))
    names = ", ".join(sorted(words & set(api.__all__)))
    abstract = ", ".join(word for word in ABSTRACT if word in words)
    return TEMPLATE.format(abstract=abstract, names=names, methods=methods)


def main() -> int:
    """Write the file, or see that it is up to date."""
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    made = subprocess.run(ruff, input=text(), capture_output=True, text=True, check=True).stdout
    if "--check" not in sys.argv:
        TARGET.write_text(made, "utf-8")
    elif not TARGET.exists() or TARGET.read_text("utf-8") != made:
        print(f"{TARGET} is stale: run python tools/gen_front.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
