from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyvirt.auth import Secret
from anyvirt.errors import Denied, Invalid, Unreachable, VirtError
from anyvirt.settings import Settings
from anyvirt.transport.ssh import SshRun, quoted
from anyvirt.uri import Uri
from hypothesis import given
from hypothesis import strategies as st

# Stands for ssh: keeps its words, and has a control socket in the shape of a file.
SCRIPT = """#!/bin/sh
printf '%s\\0' "$@" >>"$HOME/words"; printf '\\0' >>"$HOME/words"
case " $* " in
*' -N '*)
    for word; do case $word in ControlPath=*) : >"${word#ControlPath=}" ;; esac; done
    cat "$HOME/says" >&2; exit "$(cat "$HOME/status")" ;;
*) for word; do last=$word; done; exec sh -c "$last" ;;
esac
"""


class Ssh:
    """A program in place of ssh, what it was called with, and what it is to say."""

    def __init__(self, home: Path, runtime: Path) -> None:
        self._home = home
        program = home / "ssh"
        program.write_text(SCRIPT)
        program.chmod(0o700)
        self.says("", 0)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
        self.settings = Settings.read(env | {"ANYVIRT_SSH": str(program)})

    def says(self, text: str, status: int = 255) -> None:
        (self._home / "says").write_text(text)
        (self._home / "status").write_text(str(status))

    @property
    def calls(self) -> list[list[str]]:
        text = (self._home / "words").read_bytes().decode("utf-8", "surrogateescape")
        return [call.split("\0") for call in text.split("\0\0")[:-1]]


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        yield Ssh(tmp_path, Path(runtime))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_a_quoted_word_comes_back_from_a_shell(word: str) -> None:
    argv = ["sh", "-c", f"printf '%s' {quoted(word)}"]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == word.encode()


def test_the_host_comes_after_a_double_dash_and_before_the_command(ssh: Ssh) -> None:
    SshRun(Uri.of("xen+ssh://root@example.com:2222/"), ssh.settings)("echo", "a b").ok()
    for call in ssh.calls:
        end = call.index("--")
        assert call[end + 1] == "example.com"
        assert call[call.index("-l") + 1] == "root"
        assert call[call.index("-p") + 1] == "2222"
    assert ssh.calls[-1][-1] == "exec env LC_ALL=C echo 'a b'"


def test_host_keys_are_never_trusted_by_a_word_of_ours(ssh: Ssh) -> None:
    SshRun(Uri.of("xen+ssh://h/?known_hosts_verify=ignore&no_verify=1"), ssh.settings)("true").ok()
    assert "StrictHostKeyChecking" not in str(ssh.calls)
    assert all("BatchMode=yes" in call for call in ssh.calls)


def test_the_uris_files_are_single_words(ssh: Ssh) -> None:
    uri = Uri.of("xen+ssh://h/?ssh_config=/a%20b&keyfile=/k%20-o%20x&known_hosts=/h%25h")
    SshRun(uri, ssh.settings)("true").ok()
    for call in ssh.calls:
        assert call[call.index("-F") + 1] == "/a b"
        assert 'IdentityFile="/k -o x"' in call
        assert "UserKnownHostsFile=/h%%h" in call


@pytest.mark.parametrize("query", ["keyfile=relative", "keyfile=-oX", "known_hosts=/a%22b", "known_hosts=/a%5Cb"])
def test_a_file_that_ssh_could_misread_is_refused(ssh: Ssh, query: str) -> None:
    with pytest.raises(Invalid, match="cannot be passed to ssh"):
        SshRun(Uri.of(f"xen+ssh://h/?{query}"), ssh.settings)("true")


def test_a_secret_is_in_no_command_and_no_variable_of_ssh(ssh: Ssh) -> None:
    run = SshRun(Uri.of("xen+ssh://h/"), ssh.settings)
    out = run(
        "sh", "-c", 'printf "%s,%s," "$PW" "$PLAIN"; cat', env={"PW": Secret("hunter2"), "PLAIN": "x"}, input="rest"
    )
    assert out.ok().text == "hunter2,x,rest"
    assert "hunter2" not in str(ssh.calls)


@pytest.mark.parametrize("env", [{"A B": Secret("x")}, {"A": Secret("two\nlines")}, {"é": Secret("x")}])
def test_a_secret_variable_that_cannot_travel_is_refused(ssh: Ssh, env: dict[str, Secret]) -> None:
    with pytest.raises(Invalid, match="secret variable"):
        SshRun(Uri.of("xen+ssh://h/"), ssh.settings)("true", env=env)


@pytest.mark.parametrize("tool", ["a=b", "-x", ""])
def test_a_name_that_env_would_misread_is_refused(ssh: Ssh, tool: str) -> None:
    with pytest.raises(Invalid):
        SshRun(Uri.of("xen+ssh://h/"), ssh.settings)(tool)


@pytest.mark.parametrize(
    ("text", "kind", "stage"),
    [
        ("ssh: Could not resolve hostname h: Name or service not known\n", Unreachable, "resolve"),
        ("ssh: connect to host h port 22: Connection refused\n", Unreachable, "connect"),
        ("ssh: connect to host h port 22: No route to host\n", Unreachable, "connect"),
        ("ssh: connect to host h port 22: Connection timed out\n", Unreachable, "connect"),
        ("Connection timed out during banner exchange\n", Unreachable, "greeting"),
        ("kex_exchange_identification: Connection closed by remote host\n", Unreachable, "greeting"),
        ("No ED25519 host key is known for h.\nHost key verification failed.\n", Unreachable, "host-key"),
        ("/a: line 1: Bad configuration option: x\n", Unreachable, "configuration"),
        ("something new\n", Unreachable, "log-on"),
        ("root@h: Permission denied (publickey).\n", Denied, None),
    ],
)
def test_what_ssh_says_tells_how_far_it_got(ssh: Ssh, text: str, kind: type[VirtError], stage: str | None) -> None:
    ssh.says(text)
    with pytest.raises(kind) as caught:
        SshRun(Uri.of("xen+ssh://root@h/"), ssh.settings)("true")
    assert getattr(caught.value, "stage", None) == stage
    assert caught.value.details["stderr"] == text.strip()
    assert caught.value.hint


def test_nothing_is_connected_before_the_first_call(ssh: Ssh, tmp_path: Path) -> None:
    run = SshRun(Uri.of("xen+ssh://h/"), ssh.settings)
    run.close()
    assert not (tmp_path / "words").exists()
    assert repr(run) == "SshRun('xen+ssh://h/')"


def test_a_folder_that_others_can_enter_holds_no_control_socket(ssh: Ssh) -> None:
    assert ssh.settings.runtime_dir
    wide = ssh.settings.runtime_dir / "anyvirt"
    wide.mkdir()
    wide.chmod(0o755)
    run = SshRun(Uri.of("xen+ssh://h/"), ssh.settings)
    run("true").ok()
    assert os.listdir(wide) == []
    run.close()
