# SPDX-License-Identifier: Apache-2.0
"""What long work tells of its progress."""

import pytest

from cli.runs import Run
from cli.served_meter import TCP, ServedMeter
from openami.cli.progress import counted
from openami.dlms.conversation import Conversation
from playbooks.demo_meter import PASSWORD


def conversation() -> Conversation[bytes]:
    answers = [(yield b"first")]
    try:
        answers.append((yield b"second"))
    except TimeoutError:
        answers.append((yield b"second again"))
    return b"".join(answers)


def test_answers_are_counted_and_the_conversation_is_the_same() -> None:
    told: list[int] = []
    script = counted(conversation(), told.append)
    assert next(script) == b"first"
    assert script.send(b"123") == b"second"
    assert script.throw(TimeoutError()) == b"second again"
    with pytest.raises(StopIteration) as ended:
        script.send(b"4567")
    assert ended.value.value == b"1234567"
    assert told == [0, 3, 7]


def test_who_ends_it_ends_the_conversation() -> None:
    inner = conversation()
    script = counted(inner, lambda _octets: None)
    next(script)
    script.close()
    with pytest.raises(StopIteration):
        next(inner)


def test_a_read_shows_on_a_terminal_what_it_is_at(
    openami: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = ("--client", 32, "--secret", PASSWORD.decode(), "1.0.99.1.0.255")
    with ServedMeter(TCP) as served:
        silent = openami("read", served.url, *how)
        monkeypatch.setenv("FORCE_COLOR", "1")
        outcome = openami("read", served.url, *how)
    assert outcome.status == 0, outcome.err
    assert "1.0.99.1.0.255  " in outcome.err
    assert "octets" in outcome.err
    assert silent.err == ""
    assert outcome.out == silent.out
