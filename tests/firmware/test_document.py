# SPDX-License-Identifier: Apache-2.0
"""The page on firmware says what the tables of the code say."""

import re
from pathlib import Path

import pytest

from openami.firmware.bank import M2351, Bank
from openami.firmware.errors import Reason
from openami.firmware.state import AT_BOOT, CALLS, Call, UpdateState
from openami.firmware.tlv import RULES, TlvType
from openami.firmware.verify import COMPRESSION

PAGE = Path(__file__).resolve().parents[2] / "docs" / "firmware.md"
TEXT = PAGE.read_text(encoding="utf-8")
DRAWN = re.findall(r"^  ([A-Z]+) --> ([A-Z]+): (.+)$", TEXT, re.MULTILINE)
REFUSED = {(UpdateState.WRITING, UpdateState.FAILED, "finish")}
"""A refused image is no call of its own."""


def test_the_drawing_shows_every_change_of_state_and_no_other() -> None:
    drawn = set()
    for before, after, words in DRAWN:
        for word in re.sub(r"\(.*?\)", "", words).split(","):
            drawn.add((UpdateState[before], UpdateState[after], word.strip()))
    calls = {(before, after, call.value) for (before, call), after in CALLS.items()}
    starts = {(before, after, "restart") for before, after in AT_BOOT.items()}
    assert drawn == calls | starts | REFUSED
    assert {call.value for call in Call} <= {word for _, _, word in drawn}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.word)
def test_every_reason_is_named(reason: Reason) -> None:
    assert f"`{reason.word}`" in TEXT


@pytest.mark.parametrize("number", [n for n in RULES if n not in COMPRESSION])
def test_every_type_is_named(number: TlvType) -> None:
    unsupported = {TlvType.ENC_RSA2048, TlvType.ENC_KW, TlvType.ENC_X25519_SHA512}
    if number not in unsupported:
        assert re.search(rf"\| [^|]*\b{number:02X}\b[^|]* \| (un)?protected", TEXT)


def test_the_map_is_drawn() -> None:
    for bank in Bank:
        slot = M2351.slot(bank)
        assert re.search(
            rf"^{slot.offset:05x}  slot {bank.name} +{slot.octets // 1024} Ki", TEXT, re.MULTILINE
        )
    assert re.search(rf"^{M2351.state.offset:05x}  boot's state +4 Ki", TEXT, re.MULTILINE)
    assert re.search(rf"^{M2351.scratch.offset:05x}  scratch page +2 Ki", TEXT, re.MULTILINE)
    assert f"image up to {M2351.room // 1024} Ki" in TEXT
