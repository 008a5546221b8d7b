# SPDX-License-Identifier: Apache-2.0
"""Cookies and the limit on failures."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.web.sessions import Cookies, FailureLimit, Session


@pytest.fixture
def cookies() -> Cookies:
    return Cookies(b"k" * 32)


@given(st.text(max_size=64), st.integers(0, 2**31))
def test_a_cookie_holds_its_session(login: str, epoch: int) -> None:
    session = Session.begin(login, epoch)
    cookies = Cookies(b"k" * 32)
    assert cookies.open(cookies.seal(session)) == session


def test_a_cookie_of_another_key_is_refused(cookies: Cookies) -> None:
    assert cookies.open(Cookies(b"j" * 32).seal(Session.begin("utility"))) is None


@given(st.text(max_size=120))
def test_any_text_is_a_session_or_nothing(text: str) -> None:
    assert Cookies(b"k" * 32).open(text) is None


def test_a_changed_cookie_is_refused(cookies: Cookies) -> None:
    cookie = cookies.seal(Session.begin("home-001"))
    for place in range(len(cookie)):
        changed = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
        opened = cookies.open(changed)
        assert opened is None or opened == cookies.open(cookie)


def test_a_cookie_grows_old(cookies: Cookies, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = cookies.seal(Session.begin("utility"))
    monkeypatch.setattr("openami.web.sessions.SESSION_S", -1)
    assert cookies.open(cookie) is None


def test_a_token_proves_its_own_session_only() -> None:
    here, there = Session.begin("utility"), Session.begin("utility")
    assert here.proves(here.token)
    assert not here.proves(there.token)
    assert not here.proves(None)
    assert not here.proves("")


def limit(times: Iterator[float]) -> FailureLimit:
    return FailureLimit(most=2, window_s=10.0, monotonic_s=lambda: next(times), keys=3)


def test_failures_within_the_window_make_wait() -> None:
    clock = iter([0.0, 1.0, 4.0, 4.0, 10.5])
    limited = limit(clock)
    limited.failed("a")
    limited.failed("a")
    assert limited.wait_s("a") == 6.0
    assert limited.wait_s("b") == 0.0
    limited.failed("b")
    assert limited.wait_s("a") == 0.0, "the first failure has left the window"


def test_success_forgets() -> None:
    limited = limit(iter([0.0, 0.0]))
    limited.failed("a")
    limited.failed("a")
    limited.succeeded("a")
    assert limited.wait_s("a") == 0.0


def test_the_table_is_bounded() -> None:
    limited = limit(iter([0.0] * 100))
    for number in range(20):
        limited.failed(str(number))
    assert len(limited._failures) == 3
