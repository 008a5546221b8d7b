# SPDX-License-Identifier: Apache-2.0
"""Errors say where and why, and travel between processes."""

import pickle

import pytest

from openami.dlms.errors import (
    DecodeError,
    DlmsError,
    LocalProtocolError,
    RemoteProtocolError,
    ReplayError,
    SecurityError,
)

ERRORS = [
    DlmsError("refused"),
    DecodeError("tag is wrong", b"\x01\x02\x03", 1, "9.5"),
    DecodeError(problem="tag is wrong", octets=b"\x01", offset=0, clause="9.5"),
    LocalProtocolError("GET", "IDLE"),
    RemoteProtocolError(apdu="GET", state="IDLE"),
    SecurityError("tag is wrong", "glo-get-response", "9.2"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_survives_a_process_boundary(error: DlmsError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)


def test_a_decode_error_shows_the_octets_around_the_place() -> None:
    error = DecodeError("tag is wrong", bytes(range(16)), 8, "9.5")

    assert str(error) == "tag is wrong, at octet 8 of 16 [04 05 06 07 08 09 0a 0b] (9.5)"


def test_a_replay_is_a_security_error() -> None:
    assert issubclass(ReplayError, SecurityError)
