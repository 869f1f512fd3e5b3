from __future__ import annotations

import pytest
from anyvirt.api import Invalid, Unsupported, Uri
from anyvirt_esx.address import Address, Proxy, unescaped


def address(text: str) -> Address:
    return Address.of(Uri.of(text))


def test_a_host_has_the_usual_port_and_is_checked() -> None:
    found = address("esx://root@esx1.example.com/")
    assert (found.host, found.port, found.secure, found.verify, found.place) == (
        "esx1.example.com",
        443,
        True,
        True,
        (),
    )


def test_the_path_of_a_vcenter_is_a_place_and_that_of_a_host_is_not() -> None:
    assert address("vpx://vc/folder1/dc1/c1/esx1").place == ("folder1", "dc1", "c1", "esx1")
    assert address("esx://h/whatever").place == ()


def test_a_name_with_a_slash_is_typed_with_an_escaped_escape() -> None:
    assert address("vpx://vc/a%252fb/100%2525").place == ("a/b", "100%")


def test_only_the_three_escapes_of_the_server_are_undone() -> None:
    assert unescaped("a%2Fb%5cc%25d%20e%") == "a/b\\c%d%20e%"
    assert unescaped("%252f") == "%2f"


def test_a_thumbprint_is_taken_with_colons_and_in_capitals() -> None:
    assert address(f"esx://h/?thumbprint={':'.join(['AB'] * 32)}").thumbprint == "ab" * 32


@pytest.mark.parametrize(
    ("text", "found"),
    [("p", Proxy("p", 1080)), ("http://p:3128", Proxy("p", 3128)), ("http://[::1]:8080", Proxy("::1", 8080))],
)
def test_a_proxy_is_a_host_and_a_port(text: str, found: Proxy) -> None:
    assert address(f"esx://h/?proxy={text}").proxy == found


@pytest.mark.parametrize(
    "query",
    [
        *("no_verify=yes", "thumbprint=zz", "transport=ftp", "nonsense=1", "proxy=ftp://p", "auto_answer=2"),
        *("no_verify=1&cacert=/ca", f"cacert=/ca&thumbprint={'0' * 64}"),
    ],
)
def test_what_a_parameter_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(Invalid) as refusal:
        address(f"esx://h/?{query}")
    assert refusal.value.hint


@pytest.mark.parametrize(
    "text", ["gsx://h/", "esx://h/?proxy=socks5://p", "esx://h/?transport=http", "esx://h/?auto_answer=1"]
)
def test_what_cannot_be_had_is_unsupported_with_a_way_out(text: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        address(text)
    assert refusal.value.hint


def test_a_server_is_needed() -> None:
    with pytest.raises(Invalid, match="no server"):
        address("esx:///")
