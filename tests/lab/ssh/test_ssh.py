from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest
from anyvirt.auth import Auth, Question, Secret
from anyvirt.deadline import Deadline, within
from anyvirt.errors import AuthNeeded, Denied, Failed, Interrupted, Invalid, NotFound, Unreachable, Unsupported
from anyvirt.settings import Settings
from anyvirt.transport.files import FarFiles, Kind
from anyvirt.transport.ssh import SshRun
from anyvirt.uri import Uri

HOSTILE = [
    "",
    " ",
    "-n",
    "--",
    "~",
    "a=b",
    "$(id)",
    "`id`",
    "it's",
    "''",
    '"',
    "\\",
    "\\\\'",
    "!!",
    "*",
    "{a,b}",
    "a;b&c|d<e>f",
    "#x",
    "%h %%",
    "\n",
    "line\nline\n",
    "\r\t",
    "é\u202e",
    "$'\\x41'",
]

Connect = Callable[..., SshRun]


class Server(Protocol):
    folder: Path
    port: int

    def uri(self, key: str = "key", known: str = "known", **more: str) -> Uri: ...


def echoed(run: SshRun, *words: str) -> list[str]:
    return run("printf", "%s\\0", *words).ok().text.split("\0")[:-1]


def test_every_byte_but_nul_survives_the_far_shell(run: SshRun) -> None:
    whole = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
    words = [whole, *whole, *(f"a{byte}b" for byte in whole)]
    assert echoed(run, *words) == words


def test_hostile_words_survive_the_far_shell(run: SshRun) -> None:
    assert echoed(run, *HOSTILE) == HOSTILE


def test_random_words_survive_the_far_shell(run: SshRun) -> None:
    seed = random.randrange(1 << 32)
    source = random.Random(seed)
    words = [source.randbytes(20).replace(b"\0", b"'").decode("utf-8", "surrogateescape") for _ in range(200)]
    assert echoed(run, *words) == words, f"seed {seed}"


def test_variables_survive_and_the_language_is_c(run: SshRun) -> None:
    whole = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
    out = run("sh", "-c", 'printf "%s" "$ODD$LC_ALL"', env={"ODD": whole}).ok()
    assert out.text == whole + "C"


def test_input_and_output_are_binary(run: SshRun) -> None:
    data = os.urandom(2_000_000) + bytes(range(256))
    assert run("cat", input=data).ok().out == data
    assert run("cat").ok().out == b""


def test_status_output_and_error_come_apart(run: SshRun) -> None:
    out = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (out.code, out.out, out.err, out.tool) == (3, b"out\n", b"err\n", "sh")
    with pytest.raises(Failed, match="sh ended with status 3: err"):
        out.ok()


def test_a_far_status_of_255_is_the_programs_own(run: SshRun) -> None:
    assert run("sh", "-c", "exit 255").code == 255


def test_a_program_that_is_missing_there_is_unsupported(run: SshRun) -> None:
    with pytest.raises(Unsupported, match="no-such-tool") as caught:
        run("no-such-tool")
    assert "install" in caught.value.hint


def test_a_program_that_may_not_be_run_there_is_denied(run: SshRun, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    with pytest.raises(Denied, match="tool"):
        run(str(tmp_path / "tool"))


def test_calls_share_one_connection(run: SshRun) -> None:
    first = run("sh", "-c", "echo $SSH_CONNECTION").ok().text
    assert first
    assert {run("sh", "-c", "echo $SSH_CONNECTION").ok().text for _ in range(3)} == {first}


def test_threads_may_call_at_once(run: SshRun) -> None:
    with ThreadPoolExecutor(16) as pool:  # more than the ten sessions that sshd gives one connection
        found = list(pool.map(lambda number: echoed(run, str(number)), range(24)))
    assert found == [[str(number)] for number in range(24)]


def test_closing_ends_the_connection_and_leaves_nothing(run: SshRun, settings: Settings) -> None:
    run("true").ok()
    assert settings.runtime_dir
    folder = settings.runtime_dir / "anyvirt"
    assert len(os.listdir(folder)) == 1
    assert folder.stat().st_mode & 0o777 == 0o700
    run.close()
    run.close()
    assert os.listdir(folder) == []
    assert run("echo", "again").ok().text == "again\n"


def test_a_call_is_over_at_its_deadline_and_the_next_one_works(run: SshRun) -> None:
    run("true").ok()
    began = time.monotonic()
    with pytest.raises(Interrupted) as caught, within(Deadline(1)):
        run("sleep", "6")  # it is not ended by the line's end; it goes by itself
    assert caught.value.code == "interrupted.deadline"
    assert 0.9 < time.monotonic() - began < 1.6
    assert run("echo", "still here").ok().text == "still here\n"


def test_a_line_that_is_lost_says_so_and_is_made_again(run: SshRun) -> None:
    with pytest.raises(Interrupted) as caught:
        run("sh", "-c", "kill -KILL $PPID")
    assert caught.value.code == "interrupted.lost"
    assert run("echo", "back").ok().text == "back\n"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_a_peer_that_never_answers_ends_at_the_deadline(server: Server, connect: Connect, silent: int) -> None:
    began = time.monotonic()
    with pytest.raises((Interrupted, Unreachable)), within(Deadline(1)):
        connect(Uri("xen", "ssh", None, "127.0.0.1", silent, query=server.uri().query))("true")
    assert time.monotonic() - began < 1.7


def test_nobody_there_is_unreachable_with_sshs_own_words(server: Server, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    with pytest.raises(Unreachable) as caught:
        connect(Uri("xen", "ssh", None, "127.0.0.1", port, query=server.uri().query))("true")
    assert caught.value.stage == "connect"
    assert "refused" in caught.value.details["stderr"]


def test_a_name_that_nobody_knows_is_unreachable(server: Server, connect: Connect) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(Uri("xen", "ssh", None, "nobody.invalid", None, query=server.uri().query))("true")
    assert caught.value.stage == "resolve"


def test_a_host_key_that_is_not_known_is_refused(server: Server, connect: Connect) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(server.uri(known="unknown"))("true")
    assert caught.value.stage == "host-key"
    assert (server.folder / "unknown").read_text() == ""


def test_a_key_that_is_not_let_in_is_denied(server: Server, connect: Connect) -> None:
    with pytest.raises(Denied, match="log-on refused"):
        connect(server.uri(key="stranger"))("true")


class Person:
    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, questions: Sequence[Question]) -> dict[str, str]:
        self.asked += [question.name for question in questions]
        return {"password": self.answer}


def test_a_passphrase_is_asked_for_and_shown_nowhere(server: Server, connect: Connect, settings: Settings) -> None:
    uri, person = server.uri(key="locked"), Person("open sesame")
    run = connect(uri, Auth(uri, settings, person, keyring=lambda *_: None))
    assert run("echo", "in").ok().text == "in\n"
    assert person.asked == ["password"]
    assert settings.runtime_dir
    assert not [name for name in os.listdir(settings.runtime_dir / "anyvirt") if name.startswith("ask")]
    everything = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert not [line for line in everything if b"open sesame" in line]


def test_a_wrong_passphrase_is_denied_and_asked_again(server: Server, connect: Connect, settings: Settings) -> None:
    uri, person = server.uri(key="locked"), Person("wrong")
    run = connect(uri, Auth(uri, settings, person, keyring=lambda *_: None))
    with pytest.raises(Denied) as caught:
        run("true")
    assert "wrong" not in f"{caught.value}{caught.value.details}"
    person.answer = "open sesame"
    assert run("echo", "in").ok().text == "in\n"


def test_without_anybody_to_ask_the_question_is_raised(server: Server, connect: Connect, settings: Settings) -> None:
    uri = server.uri(key="locked")
    with pytest.raises(AuthNeeded) as caught:
        connect(uri, Auth(uri, settings, keyring=lambda *_: None))("true")
    assert [question.name for question in caught.value.questions] == ["password"]


def test_an_answer_is_not_given_to_another_question(server: Server, connect: Connect, settings: Settings) -> None:
    uri, person = server.uri(known="unknown"), Person("yes")
    with pytest.raises(Unreachable):
        connect(uri, Auth(uri, settings, person, keyring=lambda *_: None))("true")
    assert person.asked == []


def test_a_secret_travels_as_input_and_never_in_a_command(run: SshRun) -> None:
    secret = Secret("hunter2 'x'")
    script = 'printf "%s|" "$PW"; cat; cat /proc/self/cmdline /proc/$PPID/cmdline'
    out = run("sh", "-c", script, env={"PW": secret}, input=b"the input\n").ok().text
    assert out.startswith("hunter2 'x'|the input\n")
    assert out.count("hunter2") == 1
    assert run("cat", input=secret).ok().text == "hunter2 'x'"
    with pytest.raises(Failed) as caught:
        run("sh", "-c", 'echo "bad: $PW" >&2; exit 1', env={"PW": secret}).ok()
    assert "hunter2" not in f"{caught.value}{caught.value.details}"
    with pytest.raises(Invalid):
        run("echo", secret)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "parts", [{"host": "-oProxyCommand=x"}, {"host": "h", "user": "-x"}, {"host": "h", "user": "a;b"}]
)
def test_what_ssh_could_take_for_an_option_is_refused(parts: dict[str, Any], settings: Settings) -> None:
    with pytest.raises(Invalid) as caught:
        SshRun(Uri("xen", "ssh", **parts), settings)
    assert caught.value.code == "connect.invalid-uri"


@pytest.mark.parametrize("name", ["keyfile", "known_hosts"])
def test_a_path_for_ssh_stays_one_word(server: Server, connect: Connect, name: str) -> None:
    uri = server.uri()
    odd = server.folder / "a b%h -o x=y"
    odd.write_bytes(Path(uri.param(name) or "").read_bytes())
    odd.chmod(0o600)
    query = dict(uri.query) | {name: str(odd)}
    run = connect(Uri("xen", "ssh", uri.user, uri.host, uri.port, query=tuple(query.items())))
    assert run("echo", "in").ok().text == "in\n"


def test_another_ssh_can_be_named(server: Server, settings: Settings, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "my ssh").write_text(f'#!/bin/sh\necho called >>{trace}\nexec ssh "$@"\n')
    (tmp_path / "my ssh").chmod(0o700)
    named = Settings.read(dict(settings.child_env) | {"ANYVIRT_SSH": f"'{tmp_path}/my ssh' -v"})
    run = SshRun(server.uri(), named)
    try:
        assert run("echo", "in").ok().text == "in\n"
    finally:
        run.close()
    assert trace.read_text().startswith("called\n")


def test_an_option_of_the_users_configuration_does_not_spoil_programs(
    server: Server, connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "Host *\n  RemoteCommand id\n  RequestTTY force\n  ControlPath /nonexistent/x\n  EscapeChar ~\n"
    )
    run = connect(server.uri(ssh_config=str(tmp_path / "config")))
    data = b"~.\n~?\n" + bytes(range(256))
    assert run("cat", input=data).ok().out == data


def test_a_far_file_is_written_whole_or_not_at_all(run: SshRun, tmp_path: Path) -> None:
    tree, path = FarFiles(run), f"{tmp_path}/it's a $(file)\n*"
    data = os.urandom(1_000_000) + bytes(range(256))
    tree.write(path, data, 0o640)
    assert tree.read(path) == data
    assert tree.list(str(tmp_path)) == (f"{Path(path).name}",)
    assert (tree.stat(path).kind, tree.stat(path).mode, tree.stat(path).size) == (Kind.FILE, 0o640, len(data))
    with pytest.raises(Interrupted), within(Deadline(0.5)):
        tree.write(path, b"x" * 300_000_000)
    for _ in range(50):  # the far shell sees its line cut and cleans up
        if len(os.listdir(tmp_path)) == 1:
            break
        time.sleep(0.1)
    assert Path(path).read_bytes() == data
    assert tree.list(str(tmp_path)) == (f"{Path(path).name}",)
    tree.remove(path)
    with pytest.raises(NotFound):
        tree.read(path)


def test_a_connection_that_nobody_closes_ends_by_itself(server: Server, settings: Settings) -> None:
    SshRun(server.uri(), settings, linger=1)("true").ok()
    assert settings.runtime_dir
    folder = settings.runtime_dir / "anyvirt"
    assert len(os.listdir(folder)) == 1
    for _ in range(100):
        if not os.listdir(folder):
            return
        time.sleep(0.1)
    pytest.fail("the control socket is still there")
