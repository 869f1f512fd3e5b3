from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from anyvirt.auth import Ask, Auth, Keyring, Login, Question, Secret
from anyvirt.errors import AuthNeeded, Denied, Invalid, NotFound
from anyvirt.settings import Settings
from anyvirt.uri import Uri

CONF = """\
# as libvirt writes them
[credentials-lab]
username=admin
password = swordfish=1

[credentials-rest]
username=guest
password=plain

[auth-esx-esx.example.com]
credentials=lab

[auth-esx-default]
credentials=rest
"""


def nothing(service: str, user: str) -> str | None:
    return None


def auth(uri: str, tmp_path: Path, keyring: Keyring = nothing, ask: Ask | None = None, **env: str) -> Auth:
    settings = Settings.read({"HOME": str(tmp_path), **env})
    return Auth(Uri.of(uri), settings, ask, keyring=keyring)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "auth.conf"
    path.write_text(CONF)
    return path


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("from file\nand more\n")
    path.chmod(0o600)
    return path


class Person:
    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, questions: Sequence[Question]) -> Mapping[str, str]:
        self.asked += [question.name for question in questions]
        return self.answers


def test_an_auth_file_answers_for_its_host(tmp_path: Path, conf: Path) -> None:
    found = auth(f"esx://esx.example.com/?authfile={conf}", tmp_path).login("esx")
    assert found == Login("admin", Secret("swordfish=1"))


def test_an_auth_file_has_a_section_for_the_rest(tmp_path: Path, conf: Path) -> None:
    found = auth("esx://other/", tmp_path, LIBVIRT_AUTH_FILE=str(conf)).login("esx")
    assert found == Login("guest", Secret("plain"))


def test_the_uri_names_its_file_before_the_environment_does(tmp_path: Path, conf: Path) -> None:
    found = auth(f"esx://other/?authfile={conf}", tmp_path, ANYVIRT_AUTH_FILE="/nonexistent").login("esx")
    assert found.user == "guest"


def test_the_users_own_auth_file_is_found(tmp_path: Path, conf: Path) -> None:
    folder = tmp_path / ".config/libvirt"
    folder.mkdir(parents=True)
    conf.rename(folder / "auth.conf")
    assert auth("esx://other/", tmp_path).login("esx").user == "guest"


def test_another_users_password_is_not_sent(tmp_path: Path, conf: Path) -> None:
    with pytest.raises(AuthNeeded):
        auth(f"esx://root@esx.example.com/?authfile={conf}", tmp_path).login("esx")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nonexistent"):
        auth("esx://h/?authfile=/nonexistent", tmp_path).login("esx")


@pytest.mark.parametrize("text", ["hunter2\n", "[a]\nhunter2\n", "[auth-esx-h]\ncredentials=gone\n#hunter2"])
def test_a_damaged_auth_file_is_named_but_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(Invalid, match="bad") as caught:
        auth(f"esx://h/?authfile={path}", tmp_path).login("esx")
    assert "hunter2" not in str(caught.value)


def test_a_password_file_comes_after_the_auth_file(tmp_path: Path, conf: Path, password_file: Path) -> None:
    for uri, password in (("esx://h/", "plain"), ("esx://root@h/", "from file")):
        both = auth(uri, tmp_path, ANYVIRT_AUTH_FILE=str(conf), ANYVIRT_PASSWORD_FILE=str(password_file))
        assert both.login("esx").password == Secret(password)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_password_file_that_others_may_read_is_refused(tmp_path: Path, password_file: Path, mode: int) -> None:
    password_file.chmod(mode)
    with pytest.raises(Denied, match=f"{mode:04o}") as caught:
        auth("esx://root@h/", tmp_path, ANYVIRT_PASSWORD_FILE=str(password_file)).login("esx")
    assert caught.value.hint == f"chmod 0600 {password_file}"


def test_a_password_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Denied, match="no regular file"):
        auth("esx://root@h/", tmp_path, ANYVIRT_PASSWORD_FILE=str(tmp_path)).login("esx")
    with pytest.raises(NotFound):
        auth("esx://root@h/", tmp_path, ANYVIRT_PASSWORD_FILE="/nonexistent").login("esx")


def test_the_keyring_is_asked_for_the_user_at_the_host(tmp_path: Path) -> None:
    def keyring(service: str, user: str) -> str | None:
        return "kept" if (service, user) == ("anyvirt:esx://h", "root") else None

    assert auth("esx://root@h/", tmp_path, keyring).login("esx").password == Secret("kept")


def test_a_person_is_asked_last_and_once(tmp_path: Path) -> None:
    person = Person(username="root", password="typed")
    credentials = auth("esx://h/", tmp_path, ask=person)
    assert credentials.login("esx") == credentials.login("esx") == Login("root", Secret("typed"))
    assert person.asked == ["username", "password"]


def test_what_the_peer_refused_is_asked_again(tmp_path: Path) -> None:
    person = Person(password="typed")
    credentials = auth("esx://root@h/", tmp_path, ask=person)
    credentials.login("esx")
    credentials.forget("esx")
    credentials.login("esx")
    assert person.asked == ["password", "password"]


def test_a_drivers_own_default_user_is_not_asked_for(tmp_path: Path) -> None:
    person = Person(password="typed")
    assert auth("esx://h/", tmp_path, ask=person).login("esx", user="root").user == "root"
    assert person.asked == ["password"]


def test_without_anybody_to_ask_the_questions_are_raised(tmp_path: Path) -> None:
    with pytest.raises(AuthNeeded) as caught:
        auth("esx://h/", tmp_path).login("esx")
    assert [(question.name, question.secret) for question in caught.value.questions] == [
        ("username", False),
        ("password", True),
    ]


def test_a_question_that_stays_open_is_raised_alone(tmp_path: Path) -> None:
    with pytest.raises(AuthNeeded) as caught:
        auth("esx://h/", tmp_path, ask=Person(username="root")).login("esx")
    assert [question.name for question in caught.value.questions] == ["password"]


def test_a_secret_never_shows(tmp_path: Path) -> None:
    secret = Secret("hunter2")
    login = Login("root", secret)
    credentials = auth("esx://root@h/", tmp_path, ask=Person(password="hunter2"))
    credentials.login("esx")
    shown = f"{secret} {secret!r} {secret:>9} {secret!s} {login} {login!r} {[secret]} {credentials!r} %s" % secret
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"


def test_a_secret_is_not_written_down() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
