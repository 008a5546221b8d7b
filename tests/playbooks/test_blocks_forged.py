# SPDX-License-Identifier: Apache-2.0
"""Blocks of a service that a meter sends or acknowledges wrongly: the client stops, and says so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.classes.measurement import Data, ProfileGeneric
from openami.cosem.refusals import UnexpectedAnswerError
from openami.cosem.rights import FULL_ACCESS
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import OctetString
from playbooks.demo_meter import DISCONNECT, LOAD_PROFILE, NOTE, READER, DemoMeter, Link

CONFORMANCE = ALL_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER
LONG = OctetString(bytes(5000))


class Forging(Link):
    """The answers are changed on their way."""

    def __init__(self, forge: Callable[[bytes], bytes]) -> None:
        meter = DemoMeter(100)
        meter.associations[READER] = replace(meter.associations[READER], grants=FULL_ACCESS)
        super().__init__(meter, READER, conformance=CONFORMANCE, max_receive_pdu_octets=200)
        self.run(self.client.associate())
        self.forge = forge

    def send(self, apdu: bytes) -> bytes:
        answer = super().send(apdu)
        return self.forge(answer) if hasattr(self, "forge") else answer


def test_blocks_without_end_and_content() -> None:
    link = Forging(lambda answer: answer)
    steps = link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)
    head = link.send(next(steps))[:3]

    def go_on() -> None:
        for number in range(1, 100):
            steps.send(head + b"\0" + number.to_bytes(4) + b"\0\0")

    with pytest.raises(UnexpectedAnswerError, match="0 octets came in 17 blocks"):
        go_on()


def off_by_one(answer: bytes) -> bytes:
    """Acknowledge the block before, and leave the rest alone."""
    if answer[:2] in (b"\xc5\x02", b"\xc7\x04"):
        return answer[:3] + (int.from_bytes(answer[3:7]) - 1).to_bytes(4)
    return answer


def of_another_request(answer: bytes) -> bytes:
    if answer[:2] in (b"\xc5\x02", b"\xc7\x04"):
        return answer[:2] + bytes((answer[2] ^ 1,)) + answer[3:]
    return answer


@pytest.mark.parametrize(
    ("forge", "sentence"),
    [
        (off_by_one, "block 0 is acknowledged, not 1"),
        (of_another_request, "it answers the request with invoke-id"),
    ],
)
def test_another_block_is_acknowledged(forge: Callable[[bytes], bytes], sentence: str) -> None:
    talks: list[Callable[[Any], Any]] = [
        lambda client: client.set(Data.value, LONG, at=NOTE),
        lambda client: client.act_data(70, DISCONNECT, 1, LONG),
    ]
    for talk in talks:
        link = Forging(forge)
        with pytest.raises(UnexpectedAnswerError, match=sentence):
            link.run(talk(link.client))
