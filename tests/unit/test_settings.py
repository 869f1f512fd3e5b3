from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from anyvirt.errors import Invalid
from anyvirt.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.read({})
    assert (settings.uri, settings.state_dir, settings.ssh, settings.timeout) == (None, None, ("ssh",), 30.0)
    assert (settings.auth_files, settings.password_file, settings.color, settings.columns) == ((), None, True, None)
    assert settings.home == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_every_variable_is_read() -> None:
    settings = Settings.read(
        {
            "ANYVIRT_URI": "test:///default",
            "ANYVIRT_STATE_DIR": "/srv/state",
            "ANYVIRT_SSH": "ssh -J 'a host' -v",
            "ANYVIRT_AUTH_FILE": "/a",
            "LIBVIRT_AUTH_FILE": "/b",
            "ANYVIRT_PASSWORD_FILE": "/p",
            "ANYVIRT_TIMEOUT": "2.5",
            "NO_COLOR": "1",
            "COLUMNS": "132",
            "VISUAL": "vi -n",
            "TERM": "xterm",
            "HOME": "/home/u",
            "XDG_RUNTIME_DIR": "/run/user/7",
        }
    )
    assert settings.uri == "test:///default"
    assert settings.state_dir == Path("/srv/state")
    assert settings.ssh == ("ssh", "-J", "a host", "-v")
    assert settings.auth_files == (Path("/a"), Path("/b"))
    assert settings.password_file == Path("/p")
    assert settings.timeout == 2.5
    assert not settings.color
    assert (settings.columns, settings.editor, settings.term) == (132, ("vi", "-n"), "xterm")
    assert settings.home == Path("/home/u")
    assert settings.runtime_dir == Path("/run/user/7")


def test_no_limit_can_be_asked_for() -> None:
    assert Settings.read({"ANYVIRT_TIMEOUT": "none"}).timeout is None


@pytest.mark.parametrize(
    "env",
    [
        {"ANYVIRT_TIMEOUT": "0"},
        {"ANYVIRT_TIMEOUT": "-1"},
        {"ANYVIRT_TIMEOUT": "nan"},
        {"ANYVIRT_TIMEOUT": "inf"},
        {"ANYVIRT_TIMEOUT": "soon"},
        {"ANYVIRT_STATE_DIR": "here"},
        {"ANYVIRT_SSH": "ssh 'open"},
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(env: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=next(iter(env))):
        Settings.read(env)


def test_only_its_own_variable_moves_the_state() -> None:
    plain = Settings.read({"HOME": "/home/u"})
    moved = Settings.read({"HOME": "/home/u", "XDG_STATE_HOME": "/elsewhere", "XDG_RUNTIME_DIR": "/run/user/7"})
    assert plain.user_state_dir == moved.user_state_dir == Path("/home/u/.local/state/anyvirt")


def test_caches_and_configuration_follow_xdg_where_it_is_absolute() -> None:
    env = {"HOME": "/home/u", "XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "relative"}
    assert Settings.read(env).user_cache_dir == Path("/c/anyvirt")
    assert Settings.read(env).user_config_dir == Path("/home/u/.config")


def test_programs_see_little_of_the_environment() -> None:
    env = {
        "PATH": "/bin:relative::/opt/x",
        "ANYVIRT_PASSWORD_FILE": "/p",
        "AWS_TOKEN": "t",
        "LANG": "de_DE.UTF-8",
        "HOME": "/h",
    }
    assert Settings.read(env).child_env == {
        "PATH": "/bin:/opt/x:/usr/local/sbin:/usr/sbin:/sbin",
        "HOME": "/h",
        "LC_ALL": "C",
    }
