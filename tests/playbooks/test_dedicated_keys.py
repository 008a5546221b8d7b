# SPDX-License-Identifier: Apache-2.0
"""Dedicated keys: what the conformance tests ask of a server (SYMSEC, DedKey and FraCount)."""

from typing import Any

import pytest

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, keys
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AssociationError
from openami.dlms.apdu.initiate import InitiateRequest
from openami.dlms.association import State
from openami.dlms.errors import SecurityError
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.suites import NO_PROTECTION, SecurityControl, SecuritySuite
from playbooks.demo_meter import LDN, MANAGER, NAME, Link, aarq
from playbooks.secure_meter import SecureMeter, associated, secure_link

SUITES = (SUITE_0, SUITE_1, SUITE_2)
NOT_DECIPHERED = bytes.fromhex("d80105")
GET_NAME = bytes.fromhex("c001c1000100002a0000ff0200")


def dedicated_key(suite: SecuritySuite, seed: int = 0x40) -> bytes:
    return bytes(range(seed, seed + suite.key_octets))


def channel_of(link: Link) -> SecureChannel:
    assert link.client.channel is not None
    return link.client.channel


@pytest.mark.parametrize("suite", SUITES)
def test_services_travel_under_it(suite: SecuritySuite) -> None:
    link = associated(suite, dedicated_key=dedicated_key(suite))

    assert link.run(link.client.get(Data.value, at=LDN)) == NAME
    assert (link.wire[-2][0], link.wire[-1][0]) == (0xD0, 0xD4)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("length", [0, 15, 17, 31, 33])
def test_a_wrong_length_rejects_the_association(suite: SecuritySuite, length: int) -> None:
    link = secure_link(suite)
    initiate = InitiateRequest(
        dedicated_key=bytes(length),
        proposed_conformance=link.client.parameters.conformance,
        client_max_receive_pdu_size=1024,
    )
    sealed = Cipher(keys(suite)).seal(
        SecurityControl.of(suite), 0, link.client.parameters.system_title, initiate.encode()
    )

    rejected(link, b"\x21" + bytes((len(sealed),)) + sealed)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("control", [None, {"authenticated": False}, {"encrypted": False}])
def test_it_must_come_authenticated_and_encrypted(
    suite: SecuritySuite, control: dict[str, bool] | None
) -> None:
    link = secure_link(suite, meter=SecureMeter(suite, policy=NO_PROTECTION))
    initiate = InitiateRequest(
        dedicated_key=dedicated_key(suite),
        proposed_conformance=link.client.parameters.conformance,
        client_max_receive_pdu_size=1024,
    ).encode()
    if control is not None:
        title = link.client.parameters.system_title
        sealed = Cipher(keys(suite)).seal(SecurityControl.of(suite, **control), 0, title, initiate)
        initiate = b"\x21" + bytes((len(sealed),)) + sealed

    rejected(link, initiate)


def rejected(link: Link, user_information: bytes) -> None:
    """Send an AARQ with this InitiateRequest; the server must reject it."""
    parameters = link.client.parameters
    fields: dict[str, Any] = {
        "application_context_name": parameters.application_context.oid,
        "calling_ap_title": parameters.system_title,
        "mechanism_name": parameters.mechanism.oid,
        "calling_authentication_value": bytes(16),
        "user_information": user_information,
    }
    steps = link.client._opened(aarq(**fields).encode())
    with pytest.raises(AssociationError):
        link.run(steps)
    assert link.server.state(MANAGER) is State.IDLE


@pytest.mark.parametrize("suite", SUITES)
def test_ded_without_one_is_refused(suite: SecuritySuite) -> None:
    link = associated(suite)
    channel_of(link).use_dedicated_key(dedicated_key(suite))

    assert link.send(channel_of(link).protect(GET_NAME)) == NOT_DECIPHERED


@pytest.mark.parametrize("suite", SUITES)
def test_an_old_one_is_refused_in_a_new_association(suite: SecuritySuite) -> None:
    link = associated(suite, dedicated_key=dedicated_key(suite))
    old = channel_of(link)
    link.run(link.client.release())
    new = secure_link(
        suite,
        meter=link.meter,
        dedicated_key=dedicated_key(suite, 0x50),
        first_counter=old.counters.following,
    )
    new.run(new.client.associate())

    assert new.send(old.protect(GET_NAME)) == NOT_DECIPHERED
    assert new.run(new.client.get(Data.value, at=LDN)) == NAME


@pytest.mark.parametrize("suite", SUITES)
def test_ded_under_the_global_key_is_refused(suite: SecuritySuite) -> None:
    link = associated(suite, dedicated_key=dedicated_key(suite))
    channel = channel_of(link)
    channel.use_dedicated_key(keys(suite).encryption_key)

    assert link.send(channel.protect(GET_NAME)) == NOT_DECIPHERED


@pytest.mark.parametrize("suite", SUITES)
def test_the_same_counter_twice_is_refused_under_either_key(suite: SecuritySuite) -> None:
    link = associated(suite, dedicated_key=dedicated_key(suite))
    link.run(link.client.get(Data.value, at=LDN))
    assert link.send(link.wire[-2])[:3] == bytes.fromhex("d80106")

    link = associated(suite)
    link.run(link.client.get(Data.value, at=LDN))
    assert link.send(link.wire[-2])[:3] == bytes.fromhex("d80106")


def test_compression_is_refused_with_a_sentence() -> None:
    link = associated(SUITE_1)
    sealed = bytearray(channel_of(link).protect(GET_NAME))
    sealed[2] |= 0x80

    assert link.send(bytes(sealed)) == NOT_DECIPHERED
    with pytest.raises(SecurityError, match=r"V\.44 is not offered here, so switch compression"):
        SecurityControl(sealed[2])
