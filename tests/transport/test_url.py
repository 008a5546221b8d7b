# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.runtime.errors import ExitCode, UserError
from openami.transport.url import ALL_SCHEMES, Url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("tls://127.0.0.1:24060", Url("tls", "127.0.0.1", 24060)),
        ("TCP://meter-1.example.org:4059/", Url("tcp", "meter-1.example.org", 4059)),
        ("tls://[::1]:0", Url("tls", "::1", 0)),
        (" tcp://localhost:4059 ", Url("tcp", "localhost", 4059)),
    ],
)
def test_an_address_is_read(text: str, url: Url) -> None:
    assert Url.parse(text) == url
    assert Url.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("127.0.0.1:4059", "is not an address"),
        ("http://127.0.0.1:4059", "unknown scheme http"),
        ("tls://127.0.0.1", "names no port"),
        ("tls://127.0.0.1:65536", "above 65535"),
        ("tls://:4059", "is not an address"),
        ("tls://user@host:1", "is not an address"),
        ("tls://::1:4059", "is not an address"),
        ("", "is not an address"),
        ("tls://a..b:4059", "has a host that is no name"),
        (f"tls://{'a' * 64}:4059", "has a host that is no name"),
    ],
)
def test_anything_else_is_refused_with_place_value_and_remedy(text: str, problem: str) -> None:
    with pytest.raises(UserError) as refusal:
        Url.parse(text, "[uplink] url")

    sentence = str(refusal.value)
    assert sentence.startswith(f"[uplink] url {text!r}")
    assert problem in sentence
    assert "tls://HOST:PORT" in sentence
    assert refusal.value.exit_code is ExitCode.ASKED_WRONGLY


def test_tools_are_told_all_that_they_could_write() -> None:
    for text in ("tcp://127.0.0.1", "http://127.0.0.1:1", "/dev/ttyUSB0"):
        with pytest.raises(UserError, match=r"coaps, dtls, hdlc\+tcp, tcp, tls, udp.*/dev/ttyUSB0"):
            Url.parse(text, schemes=ALL_SCHEMES)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        url = Url.parse(text)
    except UserError:
        return
    assert Url.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("hdlc+tcp://127.0.0.1:4060", Url("hdlc+tcp", "127.0.0.1", 4060)),
        ("UDP://meter:4059", Url("udp", "meter", 4059)),
        ("hdlc+serial:///dev/ttyUSB0", Url("hdlc+serial", "", 0, "/dev/ttyUSB0")),
        ("HDLC+serial:///tmp/a-b/line", Url.serial("/tmp/a-b/line")),  # noqa: S108  a name only
    ],
)
def test_tools_read_more_addresses(text: str, url: Url) -> None:
    assert Url.parse(text, schemes=ALL_SCHEMES) == url
    assert Url.parse(str(url), schemes=ALL_SCHEMES) == url
    with pytest.raises(UserError):
        Url.parse(text)


@pytest.mark.parametrize("text", ["hdlc+serial://", "hdlc+serial:///", "hdlc+serial://dev:9"])
def test_a_serial_line_needs_a_device(text: str) -> None:
    with pytest.raises(UserError, match=r"names no device: write hdlc\+serial:///dev/ttyUSB0"):
        Url.parse(text, schemes=ALL_SCHEMES)


@given(st.sampled_from(sorted(ALL_SCHEMES)), st.text(max_size=30))
def test_any_text_behind_a_scheme_is_an_address_or_refused(scheme: str, text: str) -> None:
    try:
        url = Url.parse(f"{scheme}://{text}", schemes=ALL_SCHEMES)
    except UserError:
        return
    assert Url.parse(str(url), schemes=ALL_SCHEMES) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("dtls://meter.example:4059", Url("dtls", "meter.example", 4059)),
        ("coap://[::1]", Url("coap", "::1", 5683)),
        ("coaps://192.0.2.1/", Url("coaps", "192.0.2.1", 5684)),
        ("COAP://192.0.2.1:61616/dlms/1", Url("coap", "192.0.2.1", 61616, "/dlms/1")),
    ],
)
def test_addresses_on_datagrams(text: str, url: Url) -> None:
    assert Url.parse(text, schemes=ALL_SCHEMES) == url
    assert Url.parse(str(url), schemes=ALL_SCHEMES) == url
    assert url.encrypted == (url.scheme in {"dtls", "coaps"})


@pytest.mark.parametrize(
    "text", ["dtls://host", "dtls://host:1/d", "udp://host:1/d", "tcp://h:1/d"]
)
def test_addresses_with_a_path_or_without_a_port(text: str) -> None:
    with pytest.raises(UserError, match=r"is not an address|names no port"):
        Url.parse(text, schemes=ALL_SCHEMES)
