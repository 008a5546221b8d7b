# SPDX-License-Identifier: Apache-2.0
"""HLS with GMAC in a plain context: keys prove who both ends are, and protect nothing else."""

from dataclasses import replace

import pytest

from dlmskeys import SUITE_0, SUITE_1, keys
from openami.cosem.classes.measurement import Register
from openami.cosem.refusals import AssociationError, AuthenticationError
from openami.dlms.hls import Mechanism
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from playbooks.demo_meter import ENERGY, MANAGER, Link
from playbooks.secure_meter import SecureMeter, secure_link

LN_PLAIN, LN_CIPHERED = bytes.fromhex("60857405080101"), bytes.fromhex("60857405080103")


def link(suite: SecuritySuite = SUITE_0, *, server: bool = True, client: bool = True) -> Link:
    meter = SecureMeter(suite)
    meter.associations[MANAGER] = replace(meter.associations[MANAGER], plain_context=server)
    return secure_link(suite, meter=meter, plain_context=client)


@pytest.mark.parametrize("suite", [SUITE_0, SUITE_1])
def test_services_go_in_the_clear_behind_a_proof(suite: SecuritySuite) -> None:
    joined = link(suite)
    joined.run(joined.client.associate())
    assert joined.run(joined.client.get(Register.value, at=ENERGY)) == 123_456
    joined.run(joined.client.release())
    crossed = b"".join(joined.wire)
    assert LN_PLAIN in crossed
    assert LN_CIPHERED not in crossed
    assert {apdu[0] for apdu in joined.wire} == {0x60, 0x61, 0xC3, 0xC7, 0xC0, 0xC4, 0x62, 0x63}
    assert Mechanism.HLS_GMAC.oid in crossed


def test_another_key_proves_nothing() -> None:
    joined = link()
    other = KeySet(encryption_key=bytes(16), authentication_key=keys(SUITE_0).authentication_key)
    joined.client.parameters = replace(joined.client.parameters, cipher=Cipher(other))
    with pytest.raises(AuthenticationError):
        joined.run(joined.client.associate())


def test_both_ends_must_mean_the_same_context() -> None:
    for server, client in ((True, False), (False, True)):
        joined = link(server=server, client=client)
        with pytest.raises(AssociationError, match="application-context-name-not-supported"):
            joined.run(joined.client.associate())


def test_a_proof_counts_up_and_is_never_used_twice() -> None:
    joined = link()
    counters = []
    for _ in range(3):
        joined.run(joined.client.associate())
        proof = next(apdu for apdu in reversed(joined.wire) if apdu[0] == 0xC3)
        counters.append(proof[-16:-12])
        joined.run(joined.client.release())
    assert counters == sorted(set(counters))
