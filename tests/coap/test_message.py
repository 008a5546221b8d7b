# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.coap.errors import MessageFormatError
from openami.coap.message import Message, path_options, uint
from openami.coap.numbers import (
    OPTIONS,
    Code,
    Format,
    OptionNumber,
    Type,
    code_text,
    is_critical,
    is_request,
    is_response,
)

# Figures 16 to 18 of RFC 7252, appendix A.
TEMPERATURE = path_options("/temperature")
VECTORS = [
    (
        "40017d34bb74656d7065726174757265",
        Message(type=Type.CON, code=Code.GET, message_id=0x7D34, options=TEMPERATURE),
    ),
    (
        "60457d34ff32322e332043",
        Message(type=Type.ACK, code=Code.CONTENT, message_id=0x7D34, payload=b"22.3 C"),
    ),
    (
        "41017d3520bb74656d7065726174757265",
        Message(type=Type.CON, code=Code.GET, message_id=0x7D35, token=b" ", options=TEMPERATURE),
    ),
    ("60007d38", Message(type=Type.ACK, code=0, message_id=0x7D38)),
]

options = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=6).map(
    lambda rows: tuple(sorted(rows, key=lambda row: row[0]))
)
messages = st.builds(
    Message,
    type=st.sampled_from(Type),
    code=st.sampled_from([code for code in Code if code]),
    message_id=st.integers(0, 0xFFFF),
    token=st.binary(max_size=8),
    options=options,
    payload=st.binary(max_size=50),
)


@pytest.mark.parametrize(("octets", "message"), VECTORS)
def test_the_figures_of_the_standard(octets: str, message: Message) -> None:
    assert Message.decode(bytes.fromhex(octets)) == message
    assert message.encode().hex() == octets


@given(messages)
def test_decode_inverts_encode(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(st.binary(max_size=80))
def test_any_octets_decode_or_are_refused_by_place(octets: bytes) -> None:
    try:
        message = Message.decode(octets)
    except MessageFormatError as error:
        assert 0 <= error.offset <= len(octets)  # noqa: PT017
        assert f"of {len(octets)}" in str(error)  # noqa: PT017
    else:
        # Lengths may be written longer than they need be; what they say is the same.
        assert Message.decode(message.encode()) == message


@given(messages.filter(lambda message: not message.payload))
def test_a_message_without_payload_that_is_cut_is_refused(message: Message) -> None:
    octets = message.encode()
    for end in range(len(octets)):
        try:
            cut = Message.decode(octets[:end])
        except MessageFormatError as error:
            assert error.offset <= end  # noqa: PT017
        else:
            assert cut.options == message.options[: len(cut.options)], "whole options only"


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("", "4 octets at least, at octet 0"),
        ("400100", "4 octets at least, at octet 3"),
        ("00010000", "version is 0, not 1"),
        ("49010000", "token length 9 is reserved"),
        ("40200000", "code class 1 is reserved"),
        ("40c00000", "code class 6 is reserved"),
        ("40e00000", "code class 7 is reserved"),
        ("40000000ff", "an empty message has nothing behind its header"),
        ("4101 0000", "token needs 1 octets"),
        ("40010000ff", "no payload stands behind"),
        ("40010000f0", "option delta 15 is reserved"),
        ("400100000f", "option length 15 is reserved"),
        ("40010000d0", "option delta needs 1 more octets"),
        ("40010000e000", "option delta needs 2 more octets"),
        ("400100000d", "option length needs 1 more octets"),
        ("40010000b161b2", "the value of option 22 needs 2 octets"),
        ("40010000e0ffff", "option number 65804 is above 65535"),
    ],
)
def test_what_is_refused(octets: str, problem: str) -> None:
    with pytest.raises(MessageFormatError, match=problem):
        Message.decode(bytes.fromhex(octets))


@pytest.mark.parametrize("size", [0, 12, 13, 268, 269, 1000])
def test_each_size_of_length_and_delta(size: int) -> None:
    options = ((size, b"x"), (size + 13, bytes(size)))
    message = Message(type=Type.NON, code=Code.POST, message_id=1, options=options)
    assert Message.decode(message.encode()) == message


def test_options_are_sent_in_the_order_of_their_numbers() -> None:
    options = ((12, b"*"), (11, b"b"), (3, b"h"), (11, b"a"))
    message = Message(type=Type.CON, code=Code.POST, message_id=0, options=options)
    sent = Message.decode(message.encode())
    assert sent.options == ((3, b"h"), (11, b"b"), (11, b"a"), (12, b"*"))
    assert sent.path == "/b/a"
    assert sent.uint(12) == 42
    assert sent.uint(17) is None


@given(st.integers(0, 0xFFFFFFFF))
def test_uints_have_no_leading_zero(value: int) -> None:
    octets = uint(value)
    assert int.from_bytes(octets) == value
    assert octets[:1] != b"\x00"


@pytest.mark.parametrize("number", OPTIONS)
def test_critical_options_that_are_misshapen_are_not_understood(number: int) -> None:
    row = OPTIONS[number]
    for size in range(300):
        fits = row.shortest <= size <= row.longest
        message = Message(
            type=Type.CON, code=Code.GET, message_id=0, options=((number, bytes(size)),)
        )
        assert message.not_understood() == ([] if fits or not is_critical(number) else [number])
    assert row.form is not Format.EMPTY or row.longest == 0
    twice = Message(
        type=Type.CON, code=Code.GET, message_id=0, options=((number, bytes(row.longest)),) * 2
    )
    refused = is_critical(number) and not row.repeatable
    assert twice.not_understood() == ([number] if refused else [])


def test_unknown_options() -> None:
    options = ((2050, b""), (2051, b""))
    message = Message(type=Type.CON, code=Code.GET, message_id=0, options=options)
    assert message.not_understood() == [2051]


@pytest.mark.parametrize("code", Code)
def test_every_code_has_one_meaning(code: Code) -> None:
    assert [code == 0, is_request(code), is_response(code)].count(True) == 1
    if is_request(code):
        assert code_text(code) == code.name
    else:
        assert code_text(code).startswith(f"{code >> 5}.{code & 31:02}")


def test_codes_as_they_are_printed() -> None:
    assert code_text(Code.CHANGED) == "2.04 changed"
    assert code_text(Code.METHOD_NOT_ALLOWED) == "4.05 method not allowed"
    assert code_text(0x99) == "4.25"


def test_every_option_number_is_that_of_the_registry() -> None:
    assert OptionNumber.URI_PATH == 11
    assert {int(number) for number in OPTIONS} <= {int(number) for number in OptionNumber}


def test_a_token_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="up to 8 octets, not 9"):
        Message(type=Type.CON, code=1, message_id=0, token=bytes(9)).encode()
