"""The pytest plug-in: fixtures of the contract suite, the ledger, and the record of what was proven."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from anyvirt.client._generated_sync import Connection
    from anyvirt.model.state import State
    from anyvirt.ref import Ref
    from anyvirt.testing.guests import Force, Guests, GuestXml, Watch

pytest.register_assert_rewrite("anyvirt.testing.contract", "anyvirt.testing.guests")

Ledger = Mapping[str, tuple[Literal["unsupported", "regression", "later"], str]]
_KINDS = ("unsupported", "regression", "later")
_claim: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
_proven: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("anyvirt")
    group.addoption(
        "--coverage-json",
        metavar="FILE",
        type=Path,
        help="write which hooks of the driver the contract suite has proven, and on what",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_proven] = []
    for mark in ("anyvirt_needs", "anyvirt_proves"):
        config.addinivalue_line("markers", f"{mark}(*hooks): hooks that a contract test stands on")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    claim = item.stash.get(_claim, None)
    if claim is not None and report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
        item.config.stash[_proven].append(claim)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("--coverage-json")
    if path is not None:
        from anyvirt.testing.coverage import written

        proven = session.config.stash[_proven]
        written(path, proven)


@pytest.fixture
def connection_uri() -> str:
    """URI of the driver under test; the one fixture that an author has to give."""
    pytest.fail("give a fixture connection_uri that returns the URI of your driver")


@pytest.fixture
def driver() -> object | None:
    """A driver's session object, for a driver that is not installed; None opens the installed one."""
    return None


@pytest.fixture
def proven_on() -> str:
    """What the driver talks to in this run: ``real``, ``simulator``, ``recording`` or ``stand-in``."""
    return "real"


@pytest.fixture
def ledger() -> Ledger:
    """Tests that the driver fails for now: name -> (unsupported | regression | later, a sentence); strict."""
    return {}


@pytest.fixture
def shared() -> bool:
    """Whether another connection to the same URI, also of another process, sees the same guests."""
    return False


@pytest.fixture
def patience() -> float:
    """Seconds that an event, or the end of a short job, may take."""
    return 10.0


@pytest.fixture
def force_state() -> Force | None:
    """``force_state(connection, ref, state)``: bring a running guest into a state that no operation leads to."""
    return None


@pytest.fixture
def stick() -> Callable[[Connection, Ref], Connection] | None:
    """``stick(connection, ref)``: make that running guest stop answering; gives the connection to ask through."""
    return None


@pytest.fixture
def blocked() -> str:
    """The definition of a guest that this host cannot start."""
    pytest.skip("no fixture blocked: there is no definition that this host cannot start")


@pytest.fixture
def echoes() -> bytes | None:
    """What the guest prints on its console when ``echo mark-one`` is typed; None where nobody answers."""
    return None


@pytest.fixture
def importable() -> Callable[[str], Path] | None:
    """``importable(xml)``: put a definition where the driver looks for libvirt's."""
    return None


@pytest.fixture
def litter() -> Callable[[], Callable[[], bool]] | None:
    """``litter()``: leave behind what a killed process would; what it gives says whether that is gone."""
    return None


@pytest.fixture
def observe(connection: Connection) -> Callable[[Ref], State]:
    """``observe(ref)``: the guest's state as the hypervisor's own tools tell it; without, as the driver says."""
    return lambda ref: connection.domain_state([ref])[ref].get().state


@pytest.fixture
def guest_xml(connection_uri: str) -> GuestXml:
    """``guest_xml(name, **wishes)``: the definition of a small guest; see ``anyvirt.testing.guests.GuestXml``."""
    from anyvirt.testing.documents import plain_guest

    kind = connection_uri.partition(":")[0].partition("+")[0]
    return lambda name, **wishes: plain_guest(kind, name, **wishes)


@pytest.fixture
def cannot() -> Mapping[str, str]:
    """What the driver can, and the pool of ``pool_xml`` cannot: ``hook`` or ``hook.parameter`` -> why.

    Tests that stand on it are skipped. Formats of volumes are ``volume_create.config=qcow2`` and so on; what stands in
    the pool from the beginning is used where it cannot have ``volume_create``.
    """
    return {}


@pytest.fixture
def volume_name() -> Callable[[int], str]:
    """``volume_name(1)``: what the first volume of the pool may be called, and so on."""
    return lambda number: f"volume-{number}"


@pytest.fixture
def volume_xml() -> Callable[..., str]:
    """``volume_xml(name, size=8)``: the description of a small volume; its size in MiB.

    With ``format=`` it is not raw, ``allocation=`` says its bytes, ``below=(path, format)`` its backing file.
    """

    def made(
        name: str,
        size: int = 8,
        format: str = "raw",  # noqa: A002 - libvirt's word
        allocation: int | None = None,
        below: tuple[str, str] | None = None,
    ) -> str:
        parts = [f"<name>{name}</name>", f"<capacity unit='MiB'>{size}</capacity>"]
        parts += [f"<allocation>{allocation}</allocation>"] if allocation is not None else []
        parts.append(f"<target><format type='{format}'/></target>")
        if below:
            path, kind = below
            parts.append(f"<backingStore><path>{path}</path><format type='{kind}'/></backingStore>")
        return f"<volume>{''.join(parts)}</volume>"

    return made


@pytest.fixture
def pool_xml(tmp_path: Path) -> Callable[[str], str]:
    """``pool_xml(name)``: the definition of a pool that can be started."""
    place = tmp_path / "pool"
    place.mkdir()
    return lambda name: f"<pool type='dir'><name>{name}</name><target><path>{place}</path></target></pool>"


@pytest.fixture
def disk_image(tmp_path: Path) -> tuple[Path, int]:
    """A raw image that a guest may have as its disk, and how many bytes the guest sees."""
    path = tmp_path / "disk.img"
    path.touch(mode=0o600)
    with path.open("r+b") as file:
        file.truncate(8 << 20)
    return path, 8 << 20


@pytest.fixture
def open_connection(connection_uri: str, driver: object | None) -> Iterator[Callable[..., Connection]]:
    """``open_connection(uri=None, readonly=, timeout=, wrappers=)``: as often as a test likes; all are closed."""
    from anyvirt.opening import open as opened
    from anyvirt.testing.connected import connected

    made: list[Connection] = []

    def connect(uri: str | None = None, **rest: Any) -> Connection:
        where = uri or connection_uri
        made.append(opened(where, **rest) if driver is None else connected(driver, where, **rest))
        return made[-1]

    yield connect
    for connection in reversed(made):
        connection.close()


@pytest.fixture
def connection(open_connection: Callable[..., Connection]) -> Connection:
    """A connection to the driver under test."""
    return open_connection()


@pytest.fixture
def guests(connection: Connection, guest_xml: GuestXml, force_state: Force | None) -> Iterator[Guests]:
    """Guests that are removed when the test has ended."""
    from anyvirt.testing.guests import Guests as Made

    made = Made(connection, guest_xml, force_state)
    yield made
    made.remove()


@pytest.fixture
def watch(connection: Connection, patience: float) -> Iterator[Callable[..., Watch]]:
    """``watch(after=None)``: what happens from now on."""
    from anyvirt.testing.guests import Watch as Made

    made: list[Watch] = []

    def begin(after: str | None = None) -> Watch:
        made.append(Made(connection.events(after), patience))
        return made[-1]

    yield begin
    for one in made:
        one.feed.close()


@pytest.fixture
def anyvirt_ready(request: pytest.FixtureRequest, ledger: Ledger, proven_on: str, cannot: Mapping[str, str]) -> None:
    """Skips a contract test whose hooks are lacking, and makes one of the ledger a strict expected failure."""
    from anyvirt.testing.marks import NEEDS, PROVES, claims

    connection: Connection = request.getfixturevalue("connection")
    proves, needs = claims(request.node, PROVES), claims(request.node, NEEDS)
    for hook in [*proves, *needs]:
        if hook not in connection.supports:
            pytest.skip(f"the driver has no {hook}")
        if hook in cannot or hook.partition(".")[0] in cannot:
            pytest.skip(f"no {hook}: {cannot.get(hook) or cannot[hook.partition('.')[0]]}")
    _expect(request.node, ledger)
    driver = type(connection.session.driver.plugin)
    request.node.stash[_claim] = {
        "driver": connection.uri.scheme,
        "proves": [one for one in proves if hasattr(driver, one.partition(".")[0])],  # those of services are theirs
        "test": request.node.name,
        "on": proven_on,
    }


def _expect(item: pytest.Item, ledger: Ledger) -> None:
    from anyvirt.testing import contract

    strange = {name.partition("[")[0] for name in ledger} - set(contract.__all__)
    if strange:
        pytest.fail(f"the ledger names tests that there are not: {', '.join(sorted(strange))}")
    entry = ledger.get(item.name) or ledger.get(item.name.partition("[")[0])
    if entry is not None:
        kind, sentence = entry
        assert kind in _KINDS, f"{kind!r} is none of {', '.join(_KINDS)}"
        item.add_marker(pytest.mark.xfail(reason=f"{kind}: {sentence}", strict=True))
