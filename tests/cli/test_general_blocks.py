# SPDX-License-Identifier: Apache-2.0
"""The tools and general block transfer: whether, in how long APDUs, how many blocks in one go."""

from dataclasses import dataclass, field

import pytest

from cli.runs import Run
from cli.served_meter import ADDRESS, HDLC, TCP, ServedMeter
from openami.dlms.apdu.block import GeneralBlockTransfer
from openami.dlms.data import OctetString
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, KEYS, NOTE

WHO = (
    *("--guek", KEYS.encryption_key.hex(), "--gak", KEYS.authentication_key.hex()),
    *("--title", CLIENT_TITLE.hex(), *ADDRESS),
)
PUBLIC = ADDRESS
OBJECT_LIST = "0.0.40.0.0.255"
BLOCK = bytes((GeneralBlockTransfer.TAG,))
GET_RESPONSE_WITH_DATABLOCK = bytes.fromhex("C402")
GENERAL = ("--general-blocks", "yes")
LONG = "x" * 600


@dataclass
class Heard:
    """What a meter answered."""

    answers: list[bytes] = field(default_factory=list)

    def __call__(self, answer: bytes) -> bytes:
        self.answers.append(answer)
        return answer

    @property
    def blocks(self) -> list[GeneralBlockTransfer]:
        return [GeneralBlockTransfer.decode(each) for each in self.answers if each[:1] == BLOCK]

    @property
    def in_one_go(self) -> int:
        """The most blocks that came without a pause, of those that carry data."""
        most = run = 0
        for block in self.blocks:
            run += 1
            most = max(most, run)
            run = run if block.streaming else 0
        return most


@pytest.mark.parametrize("window", [1, 3, 63])
def test_as_many_blocks_come_in_one_go_as_we_take(window: int, openami: Run) -> None:
    heard = Heard()
    with ServedMeter(TCP, spoil=heard) as meter:
        options = ("--max-pdu", 100, *GENERAL, "--block-window", window)
        outcome = openami("read", meter.url, *PUBLIC, *options, OBJECT_LIST)
    assert outcome.status == 0, outcome.err
    with ServedMeter(TCP) as meter:
        assert openami("read", meter.url, *PUBLIC, OBJECT_LIST).out == outcome.out
    assert all(len(each) <= 100 for each in heard.answers)
    last = max(block.block_number for block in heard.blocks)
    assert last > 3
    assert heard.in_one_go == min(window, last)


def test_without_general_blocks_each_service_has_its_own(openami: Run) -> None:
    heard = Heard()
    with ServedMeter(TCP, spoil=heard) as meter:
        options = ("--max-pdu", 100)
        outcome = openami("read", meter.url, *PUBLIC, *options, OBJECT_LIST)
    assert outcome.status == 0, outcome.err
    assert heard.blocks == []
    assert sum(each[:2] == GET_RESPONSE_WITH_DATABLOCK for each in heard.answers) > 3


@pytest.mark.parametrize("url", [TCP, HDLC], ids=["tcp", "hdlc"])
def test_what_is_read_and_written_under_keys_comes_in_blocks(url: Url, openami: Run) -> None:
    options = ("--max-pdu", 128, *GENERAL, "--block-window", 4)
    with ServedMeter(url) as meter:
        outcome = openami("write", meter.url, *WHO, *options, "--verify", NOTE, LONG)
        assert outcome.status == 0, outcome.err
        outcome = openami("read", meter.url, *WHO, *options, "--json", NOTE)
        assert LONG in outcome.out
        assert meter.meter[NOTE].values[2] == OctetString(LONG.encode())
        outcome = openami("profile", meter.url, *WHO, *options, "--entries", "1-", "--csv")
        assert outcome.status == 0, outcome.err
        held = outcome.out
        outcome = openami("profile", meter.url, *WHO, "--entries", "1-", "--csv")
        assert outcome.out == held


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--block-window", "0", "must be 1 to 63 blocks"),
        ("--block-window", "64", "must be 1 to 63 blocks"),
        ("--block-window", "many", "must be a whole number"),
        ("--max-pdu", "63", "must be 64 to 65535 octets"),
        ("--max-pdu", "65536", "must be 64 to 65535 octets"),
        ("--general-blocks", "perhaps", "must be yes or no"),
    ],
)
def test_what_is_asked_wrongly_is_said(option: str, value: str, problem: str, openami: Run) -> None:
    outcome = openami("read", "tcp://127.0.0.1:9", option, value, OBJECT_LIST)
    assert outcome.status == 2
    assert outcome.sentence.startswith(f"openami: {option} {value!r} {problem}")


def test_a_window_without_general_blocks_is_said(openami: Run) -> None:
    outcome = openami("read", "tcp://127.0.0.1:9", "--block-window", "4", OBJECT_LIST)
    assert outcome.status == 2
    assert outcome.sentence.endswith("none is asked for: give --general-blocks yes")
