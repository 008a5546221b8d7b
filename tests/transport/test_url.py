# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.runtime.errors import ExitCode, UserError
from openami.transport.url import Url


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


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        url = Url.parse(text)
    except UserError:
        return
    assert Url.parse(str(url)) == url
