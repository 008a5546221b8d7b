# SPDX-License-Identifier: Apache-2.0
"""SNRM and UA: what is proposed, what is settled."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.parameters import DEFAULTS, GENEROUS, LinkParameters

sizes = st.integers(1, 2030)
windows = st.integers(1, 7)
parameters = st.builds(
    LinkParameters,
    max_information_transmit_octets=sizes,
    max_information_receive_octets=sizes,
    window_transmit=windows,
    window_receive=windows,
    user_data=st.binary(max_size=10),
)

RECORDED = {
    # gurux-dlms and jDLMS, of vectors/dlms/hdlc/frames.toml
    "81801205018006018007040000000108040000000 1": DEFAULTS,
    "81801205018006013e070400000001080400000001": LinkParameters(max_information_receive_octets=62),
    "8180140502007406020074070400000001080400000001": LinkParameters(
        max_information_transmit_octets=116, max_information_receive_octets=116
    ),
    "": DEFAULTS,
    "818000": DEFAULTS,
    "818007050200000601 00".replace(" ", ""): DEFAULTS,
    "81f0414243": LinkParameters(user_data=b"ABC"),
    "81800308010 3".replace(" ", ""): LinkParameters(window_receive=3),
}


@pytest.mark.parametrize("octets", RECORDED)
def test_recorded(octets: str) -> None:
    assert LinkParameters.decode(bytes.fromhex(octets.replace(" ", ""))) == RECORDED[octets]


def test_the_defaults_in_full() -> None:
    assert DEFAULTS.encode().hex() == "818012050180060180070400000001080400000001"
    assert DEFAULTS.is_default
    assert not GENEROUS.is_default


def test_sizes_above_an_octet_take_two_and_windows_always_four() -> None:
    octets = LinkParameters.symmetric(2030, 4).encode().hex()

    assert octets == "818014050207ee060207ee070400000004080400000004"


@given(parameters)
def test_decode_inverts_encode(proposal: LinkParameters) -> None:
    assert LinkParameters.decode(proposal.encode()) == proposal


@given(parameters.filter(lambda each: not each.user_data), st.data())
def test_every_truncation_is_refused(proposal: LinkParameters, data: st.DataObject) -> None:
    octets = proposal.encode()
    cut = data.draw(st.integers(2, len(octets) - 1))

    with pytest.raises(DecodeError):
        LinkParameters.decode(octets[:cut])


@given(st.binary(max_size=30))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        LinkParameters.decode(b"\x81\x80" + octets)


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("80", "format identifier is 80, not 81, at octet 0"),
        ("8181", "group identifier is 81, not F0, at octet 1"),
        ("818003090101", "parameter 09 does not exist, at octet 3"),
        ("818003050201", "parameter 05 needs 2 octets"),
        ("8180040501", "parameters needs 4 octets"),
    ],
)
def test_a_fault_is_named_by_its_place(octets: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        LinkParameters.decode(bytes.fromhex(octets))


@given(parameters, parameters)
def test_both_ends_settle_on_the_same(client: LinkParameters, server: LinkParameters) -> None:
    at_server = server.settled_with(client)
    at_client = client.settled_with(LinkParameters.decode(at_server.encode()))

    assert at_client.max_information_transmit_octets == at_server.max_information_receive_octets
    assert at_client.max_information_receive_octets == at_server.max_information_transmit_octets
    assert at_client.window_transmit == at_server.window_receive
    assert at_client.window_receive == at_server.window_transmit


@pytest.mark.parametrize(("size", "window"), [(0, 1), (2031, 1), (128, 0), (128, 8)])
def test_what_no_link_can_do(size: int, window: int) -> None:
    with pytest.raises(ValueError, match="is 1 to"):
        LinkParameters.symmetric(size, window)
