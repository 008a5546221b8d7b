# SPDX-License-Identifier: Apache-2.0
"""Mode E: the messages, and both ends of an opening."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.mode_e import (
    BAUD_RATES,
    ClientOpening,
    IdentificationMessage,
    OptionSelect,
    RequestMessage,
    ServerOpening,
)

letters = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=20)
METER = IdentificationMessage(manufacturer="OAM", baud="6", identification="METER7")


@pytest.mark.parametrize(
    ("message", "octets"),
    [
        (RequestMessage(), b"/?!\r\n"),
        (RequestMessage("12345678"), b"/?12345678!\r\n"),
        (METER, b"/OAM6\\2METER7\r\n"),
        (OptionSelect("5"), b"\x06252\r\n"),
    ],
)
def test_octets(message: RequestMessage, octets: bytes) -> None:
    assert message.encode() == octets
    assert type(message).decode(octets) == message


@given(
    st.builds(
        IdentificationMessage,
        manufacturer=st.text("ABCxyz", min_size=3, max_size=3),
        baud=st.sampled_from(list(BAUD_RATES)),
        modes=st.sampled_from(["", "\\2", "\\B\\2"]),
        identification=letters,
    )
)
def test_decode_inverts_encode(message: IdentificationMessage) -> None:
    assert IdentificationMessage.decode(message.encode()) == message


@given(letters)
def test_every_truncation_of_a_request_is_refused(address: str) -> None:
    octets = RequestMessage(address).encode()
    for cut in range(len(octets)):
        with pytest.raises(DecodeError):
            RequestMessage.decode(octets[:cut])


@given(st.binary(max_size=40), st.sampled_from([b"/?", b"/", b"\x06"]))
def test_any_octets_decode_or_raise_decode_error(octets: bytes, start: bytes) -> None:
    for kind in (RequestMessage, IdentificationMessage, OptionSelect):
        with contextlib.suppress(DecodeError):
            kind.decode(start + octets + b"\r\n")


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"/OAM\r\n", "baud rate identification '' is not 0 to 9"),
        (b"/OAMX\\2\r\n", "baud rate identification 'X'"),
        (b"/O1M5\\2\r\n", "maker's id is not three letters"),
        (b"OAM5\\2\r\n", "does not begin with '/'"),
        (b"/OAM5\\2\n", "does not end with CR LF"),
    ],
)
def test_a_fault_is_told(octets: bytes, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        IdentificationMessage.decode(octets)


@pytest.mark.parametrize(
    ("fastest", "baud"), [(115200, 19200), (19200, 19200), (10000, 9600), (300, 300)]
)
def test_both_ends_settle_on_a_speed(fastest: int, baud: int) -> None:
    client, server = ClientOpening(fastest=fastest), ServerOpening(METER)

    identification, no_speed = server.receive(client.request())
    assert no_speed is None
    found = client.receive(identification)
    assert found is not None
    select, speed = found
    assert speed == baud
    assert server.receive(select) == (select, baud)
    assert client.identification == METER


def test_noise_echo_and_parity_do_not_matter() -> None:
    client = ClientOpening()

    assert client.receive(b"\xff\x00" + client.request()) is None
    with_parity = bytes(octet | 0x80 * (octet.bit_count() % 2) for octet in METER.encode())
    for octet in with_parity[:-1]:
        assert client.receive(bytes((octet,))) is None
    assert client.receive(with_parity[-1:]) == (b"\x06262\r\n", 19200)


def test_a_meter_without_mode_e_is_told() -> None:
    with pytest.raises(DecodeError, match="meter ABC 'X1' offers no mode E"):
        ClientOpening().receive(b"/ABC5X1\r\n")


@pytest.mark.parametrize(
    ("address", "answered"),
    [("", True), ("0007", True), ("7", True), ("8", False)],
)
def test_a_request_for_another_meter_is_not_answered(address: str, *, answered: bool) -> None:
    server = ServerOpening(METER, address="7")

    said, _ = server.receive(RequestMessage(address).encode())

    assert bool(said) is answered


@pytest.mark.parametrize("octets", [b"\x06050\r\n", b"\x06292\r\n", b"\x0625\r\n", b"/?" + b"\r\n"])
def test_what_a_meter_cannot_do_is_not_answered(octets: bytes) -> None:
    assert ServerOpening(METER).receive(octets) == (b"", None)


def test_a_lower_case_third_letter_announces_a_quick_meter() -> None:
    assert METER.reaction_s == 0.2
    assert IdentificationMessage(manufacturer="OAm").reaction_s == 0.02


@given(st.binary(max_size=300))
def test_any_octets_at_either_end(octets: bytes) -> None:
    ServerOpening(METER).receive(octets)
    with contextlib.suppress(DecodeError):
        ClientOpening().receive(octets)


@pytest.mark.parametrize("address", ["é", "a!", "x" * 33])
def test_an_address_that_cannot_be_sent(address: str) -> None:
    with pytest.raises(ValueError, match="a device address has at most 32"):
        RequestMessage(address).encode()
