# SPDX-License-Identifier: Apache-2.0
"""The gateway header: inverse, truncations, any octets."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.gateway import GatewayRequest, GatewayResponse

KINDS = st.sampled_from([GatewayRequest, GatewayResponse])
pdus = KINDS.flatmap(
    lambda kind: st.builds(
        kind,
        network_id=st.integers(0, 255),
        physical_address=st.binary(max_size=255),
        apdu=st.binary(min_size=1, max_size=50),
    )
)


def test_octets() -> None:
    title = b"OAM\x00\x00\x00\x00\x01"
    request = GatewayRequest(physical_address=title, apdu=b"\xc0\x01")
    response = GatewayResponse(physical_address=title, apdu=b"\xd8\x01\x01")

    assert request.encode().hex() == "e600084f414d0000000001c001"
    assert response.encode().hex() == "e700084f414d0000000001d80101"
    with pytest.raises(DecodeError, match="gateway tag is E6, not E7"):
        GatewayResponse.decode(request.encode())


@given(pdus)
def test_decode_inverts_encode(pdu: GatewayRequest) -> None:
    assert type(pdu).decode(pdu.encode()) == pdu


@given(pdus, st.data())
def test_every_truncation_of_the_header_is_refused(
    pdu: GatewayRequest, data: st.DataObject
) -> None:
    header = len(pdu.encode()) - len(pdu.apdu)
    cut = data.draw(st.integers(0, header))

    with pytest.raises(DecodeError) as caught:
        type(pdu).decode(pdu.encode()[:cut])

    assert caught.value.offset <= cut


@given(KINDS, st.binary(max_size=40))
def test_any_octets_decode_or_raise_decode_error(kind: type[GatewayRequest], found: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert kind.decode(found).encode() == found
