# SPDX-License-Identifier: Apache-2.0
"""Each habit of the field: told by place, accepted by name, read as far as it goes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.ciphered import GeneralCiphering, GeneralGloCiphering
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.mbus import MbusFrame, cut
from openami.dlms.recordings.habits import BY_NAME, HABITS, INVERTED_DEVIATION, LENIENT
from openami.dlms.recordings.translate import Translation, TranslationKeys, describe
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from vectors import vectors

PUSH = bytes.fromhex(
    "0f00000001000202020309060100010800ff0600000005020 20f00161e0600000007".replace(" ", "")
)
GUEK, GAK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"OAM\x00\x00\x00\x00\x01"
KEYS = TranslationKeys(encryption_key=GUEK, authentication_key=GAK, system_title=TITLE)


def ui(apdu: bytes, kind: Kind = Kind.UI) -> bytes:
    return Frame(Address(16), Address(1), control(kind), apdu).encode()


def sealed(prefix: bytes = b"") -> bytes:
    cipher = Cipher(KeySet(encryption_key=GUEK, authentication_key=GAK))
    what = SecurityControl.of(SecuritySuite.AES_GCM_128)
    return cipher.seal(what, 7, TITLE, PUSH, aad_prefix=prefix)


def changed(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + bytes((value,)) + octets[place + 1 or len(octets) :]


def telegram(name: str) -> bytes:
    rows = vectors("dlms/telegrams.toml")
    return next(bytes(row["octets"]) for row in rows if row["name"] == name)


GENERAL = GeneralCiphering(
    transaction_id=b"1",
    originator_system_title=TITLE,
    recipient_system_title=b"",
    key_info=None,
    ciphered_service=sealed(),
)
HDLC = ui(b"\xe6\xe7\x00" + PUSH)
(MBUS,) = (frame.encode() for frame in cut(Sap(1), Sap(103), PUSH))

# Octets, a word of the sentence, and how many readings are there all the same.
EXAMPLES = {
    "typed-date-time": (telegram("hdlc_kaifa_ma304h3e"), "tag of a type", 13),
    "untyped-descriptor": (telegram("raw_egd_example"), "without the tags", 27),
    "swapped-tag": (PUSH.replace(b"\x09\x06", b"\x06\x09"), "behind its length", 1),
    "short-list": (PUSH[:-5], "announces 2 elements, 1 follow", 1),
    "trailing-octets": (PUSH + b"\x00\x01", "2 octets stand behind the end", 1),
    "missing-llc": (ui(PUSH, Kind.I), "no LLC header", 1),
    "bad-fcs": (changed(HDLC, len(HDLC) - 2, 0x55), "FCS is wrong", 1),
    "missing-flags": (HDLC[1:], "no flag opens", 1),
    "bad-checksum": (changed(MBUS, len(MBUS) - 2, 0x55), "checksum is 55", 1),
    "wrong-length": (changed(MBUS, 2, 0x55), "and then 85", 1),
    "missing-segment": (
        MbusFrame(Sap(1), Sap(103), b"\x00", 2).encode() + MBUS,
        "segment 2 comes where 0",
        1,
    ),
    "octets-outside": (HDLC[20:] + HDLC, "outside of a frame", 1),
    "truncated-end": (HDLC[:-6], "the last frame is cut off", 1),
    "header-not-authenticated": (GENERAL.encode(), "does not cover the header", 1),
    "tag-not-checked": (
        GeneralGloCiphering(system_title=TITLE, ciphered_service=sealed()).encode(),
        "no authentication key is known",
        1,
    ),
}


def read(name: str, octets: bytes, accept: frozenset[str]) -> Translation:
    keys = KEYS
    if name == "tag-not-checked":
        keys = TranslationKeys(encryption_key=GUEK)
    return describe(octets, keys=keys, accept=accept)


def test_every_habit_has_an_example() -> None:
    assert EXAMPLES.keys() | {INVERTED_DEVIATION} == BY_NAME.keys()
    assert EXAMPLES.keys() == LENIENT
    assert all(habit.sentence and habit.clause for habit in HABITS)


def test_the_page_tells_every_habit() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/decoding.md").read_text(encoding="utf-8")

    rows = [f"| `{habit.name}` | {habit.sentence} |" for habit in HABITS]
    assert [row for row in rows if row not in page] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_strict_is_the_default_and_lenient_reads_the_same(name: str) -> None:
    octets, words, count = EXAMPLES[name]
    strict, lenient = read(name, octets, frozenset()), read(name, octets, LENIENT)

    assert any(words in finding for finding in strict.findings)
    assert not strict.complete
    assert lenient.findings == ()
    assert any(f"accepted as {name}" in note for note in lenient.notes)
    assert len(strict.readings) == count
    assert strict.readings == lenient.readings


@pytest.mark.parametrize("name", EXAMPLES)
def test_another_habit_does_not_do(name: str) -> None:
    octets, words, _ = EXAMPLES[name]

    assert any(words in finding for finding in read(name, octets, LENIENT - {name}).findings)


def test_an_octet_string_may_begin_with_its_length_of_a_date_time() -> None:
    clock = bytes.fromhex("07ea0b16ff0713000080000f")
    typed = PUSH[:5] + b"\x19" + clock + PUSH[6:]
    translation = describe(typed, accept={"typed-date-time"})

    assert translation.findings == ()
    assert translation.moment == clock
    assert len(translation.readings) == 1


def test_a_wrong_key_is_no_habit() -> None:
    wrong = TranslationKeys(encryption_key=bytes(16))
    octets = GeneralGloCiphering(system_title=TITLE, ciphered_service=sealed()).encode()
    translation = describe(octets, keys=wrong, accept=LENIENT)

    assert translation.readings == ()
    assert "no authentication key" in translation.findings[0]


@given(st.integers(1, len(HDLC) - 1))
def test_a_recording_may_end_anywhere(end: int) -> None:
    translation = describe(HDLC[:end], accept=LENIENT)

    assert not translation.complete or end == len(HDLC) - 1
    assert all(reading.value in {5, 7} for reading in translation.readings)


@given(st.integers(6, len(PUSH) - 1))
def test_each_truncation_of_a_push_is_told(end: int) -> None:
    strict = describe(PUSH[:end])

    assert strict.findings
    assert describe(PUSH[:end], accept=LENIENT).findings == ()


@given(st.binary(max_size=60), st.sampled_from([b"\x0f\x00\x00\x00\x01", b"\xc4\x01\xc1\x00", b""]))
def test_any_octets_are_read(octets: bytes, head: bytes) -> None:
    assert describe(head + octets, accept=LENIENT).tree or not octets


@pytest.mark.parametrize("octets", [b"~", b"~~", b"~\xff\xff~"])
def test_a_recording_of_nothing_says_so(octets: bytes) -> None:
    for accept in (frozenset[str](), LENIENT):
        (finding,) = describe(octets, accept=accept).findings
        assert f"no frame stands in these {len(octets)} octets" in finding


@pytest.mark.parametrize("missing", [1, 12, 13, 20])
def test_a_sealed_push_that_is_cut_off_is_read_as_far_as_it_goes(missing: int) -> None:
    whole = GeneralGloCiphering(system_title=TITLE, ciphered_service=sealed()).encode()
    strict, lenient = (
        describe(whole[:-missing], keys=KEYS, accept=accept) for accept in (frozenset(), LENIENT)
    )

    assert any("cut off before its tag" in finding for finding in strict.findings)
    assert lenient.findings == ()
    assert (strict.complete, lenient.complete) == (False, False)
    assert [reading.value for reading in strict.readings] == [5]
    assert strict.seals[0].opened
    assert not strict.seals[0].tag_checked
    wrong = TranslationKeys(encryption_key=bytes(16), authentication_key=GAK)
    assert describe(whole[:-missing], keys=wrong).readings == ()


def test_a_push_that_keeps_the_rules_has_neither() -> None:
    translation = describe(HDLC)

    assert translation.findings == translation.notes == ()
    assert translation.complete
    assert DataNotification.decode(PUSH).encode() == PUSH
