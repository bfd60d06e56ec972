"""Socket addresses."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.errors import FormatError
from formats.sockets import bind, bind_all, format_address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:80", ("localhost", 80)),
        (":8080", ("0.0.0.0", 8080)),
        ("[::1]:443", ("::1", 443)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "localhost", "x:", "x:65536", "x:-1", "x:http", "::1:80", "[::1]", "x:٣"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="allowed: HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(("text", "address"), [("web", ("web", 80)), ("[::1]", ("::1", 80)), ("web:81", ("web", 81))])
def test_a_default_port_makes_the_port_optional(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, default_port=80) == address


@given(st.sampled_from(["a.example", "10.0.0.1", "::1", "fe80::1"]), st.integers(0, 65535))
def test_a_formatted_address_parses_to_the_same(host: str, port: int) -> None:
    assert parse_address(format_address(host, port)) == (host, port)


def test_sockets_are_bound_and_have_a_named_protocol() -> None:
    for bound in (bind("127.0.0.1", 0), *bind_all("127.0.0.1", 0)):
        with bound:
            assert bound.getsockname()[1] > 0
            assert bound.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])
