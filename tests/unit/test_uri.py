from __future__ import annotations

import pickle

import pytest
from anyvirt.errors import Invalid
from anyvirt.uri import Uri
from hypothesis import given
from hypothesis import strategies as st

LIBVIRT = """
qemu:///system qemu:///session qemu:///embed?root=/srv/x xen:///system xen:/// lxc:///system bhyve:///system
vbox:///session vz:///system parallels:///system vmwarefusion:///session esx://root@esx.example.com:443/
gsx://host:8333/ vpx://user@vcenter:443/folder/dc/cluster/server?transport=http&no_verify=1&proxy=socks5://p:1080
hyperv://admin@host:5986/?transport=https phyp://hscroot@hmc/system-9 test:///default test:///srv/node.xml
network:///system qemu+ssh://root@host/system?keyfile=/root/.ssh/id&socket=/run/x qemu+tls://host/system
"""


@pytest.mark.parametrize("text", LIBVIRT.split())
def test_every_uri_that_libvirt_documents_comes_back_as_it_was(text: str) -> None:
    assert str(Uri.of(text)) == text


def test_the_parts_are_found() -> None:
    uri = Uri.of("qemu+ssh://root@example.com:2222/system?keyfile=/k&x=1&x=2;y")
    assert uri == Uri(
        "qemu", "ssh", "root", "example.com", 2222, "system", (("keyfile", "/k"), ("x", "1"), ("x", "2"), ("y", ""))
    )
    assert (uri.param("x"), uri.params("x"), uri.param("y"), uri.param("z")) == ("1", ("1", "2"), "", None)
    assert uri.without("x", "y").query == (("keyfile", "/k"),)


def test_a_path_has_no_leading_slash_and_the_file_has() -> None:
    assert Uri.of("qemu:///session").path == "session"
    assert Uri.of("test:///srv/node.xml").file == "/srv/node.xml"
    assert Uri.of("xen:///").path == ""


def test_no_host_is_local() -> None:
    uri = Uri.of("qemu:///system")
    assert uri.local
    assert (uri.host, uri.user, uri.port, uri.transport) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("esx://[::1]/", "::1", None),
        ("esx://[fe80::1%25eth0]:443/", "fe80::1%eth0", 443),
        ("esx://u@[2001:db8::2]:1/", "2001:db8::2", 1),
    ],
)
def test_ipv6_hosts_stand_in_brackets(text: str, host: str, port: int | None) -> None:
    uri = Uri.of(text)
    assert (uri.host, uri.port) == (host, port)
    assert str(uri) == text


def test_percent_encoding_is_undone_once() -> None:
    uri = Uri.of("vpx://root%40vsphere.local@vc/a%2520b/c%C3%A9?auth=%26%3D%23")
    assert (uri.user, uri.path, uri.param("auth")) == ("root@vsphere.local", "a%20b/cé", "&=#")
    assert Uri.of(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "qemu",
        "qemu:system",
        "://host/",
        "9p:///x",
        "q€mu:///x",
        "qemu+:///x",
        "qemu+s sh://h/",
        "qemu://-oProxyCommand=x/",
        "qemu+ssh://-l@host/",
        "qemu+ssh://%2Dl@host/",
        "qemu+ssh://%2DoProxyCommand/",
        "qemu+ssh://@host/",
        "qemu+ssh://host:-1/",
        "qemu+ssh://host:0/",
        "qemu+ssh://host:65536/",
        "qemu+ssh://host:22x/",
        "qemu+ssh://user@/system",
        "qemu://:22/system",
        "esx://::1/",
        "esx://[::1/",
        "esx://[::1]x/",
        "esx://a%3Ab/",
        "esx://a b/",
        "esx://$(id)/",
        "esx://`id`/",
        "test:///a%00b",
        "test:///a\nb",
        "test:///a%0Ab",
        "test:///%zz",
        "test:///%1",
        "test:///%FF",
        "test:///x?a=%00",
        "test:///x#part",
        "test:///" + "a" * 9000,
    ],
)
def test_what_is_no_uri_is_refused_with_its_code(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Uri.of(text)
    assert caught.value.code == "connect.invalid-uri"
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["esx://root:hunter2@host/", "esx://host/?password=hunter2", "esx://host/?x=1&Secret=hunter2"]
)
def test_a_password_in_a_uri_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Uri.of(text)
    error = caught.value
    assert "hunter2" not in f"{error!r}{error}{error.hint}{error.details}{error.problems}"
    assert "password" in str(error) or "secret" in str(error)


@pytest.mark.parametrize(
    "parts", [{"host": "-x"}, {"host": "h", "user": "-x"}, {"host": "h", "port": 0}, {"path": "\0"}]
)
def test_a_uri_made_of_parts_is_checked_too(parts: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        Uri("qemu", **parts)  # type: ignore[arg-type]


def test_a_uri_is_a_value() -> None:
    uri = Uri.of("qemu:///system?a=b")
    assert pickle.loads(pickle.dumps(uri)) == uri
    assert len({uri, Uri.of("QEMU:///system?a=b")}) == 1
    assert repr(uri) == "Uri('qemu:///system?a=b')"


printable = st.text(st.characters(exclude_categories=("C", "Z")))


@given(
    printable, st.lists(st.tuples(printable.filter(bool), printable), max_size=3), st.none() | printable.filter(bool)
)
def test_any_uri_survives_being_written(path: str, query: list[tuple[str, str]], user: str | None) -> None:
    try:
        uri = Uri("test", "x", user, "host", 5, path, tuple(query))
    except Invalid:
        return
    assert Uri.of(str(uri)) == uri
