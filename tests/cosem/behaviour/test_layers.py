# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmskeys import SUITE_0, SUITES, credentials, keys
from openami.cosem.behaviour.layers import LayerKeys, bits_of, envelop, put_on, take_off
from openami.cosem.classes.protection import (
    AgreedKey,
    IdentifiedKey,
    KeyInfo,
    ProtectionOptions,
    ProtectionParameters,
    ProtectionType,
    WrappedKeyInfo,
)
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import DecodeError, DlmsError, ReplayError, SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED, SecuritySuite

METER, CENTRE = b"METER001", b"CENTRE01"
BOTH = ProtectionType.AUTHENTICATION_AND_ENCRYPTION
KEY_INFOS: list[KeyInfo] = [
    IdentifiedKey(0),
    WrappedKeyInfo(0, b""),
    AgreedKey(b"\x01", b""),
    AgreedKey(b"\x02", b""),
]


def ends(suite: SecuritySuite = SUITES[0]) -> tuple[LayerKeys, LayerKeys]:
    known = (
        (None, None) if suite is SUITE_0 else (credentials(suite, 1, 2), credentials(suite, 2, 1))
    )
    titles = (METER, CENTRE)
    return (
        LayerKeys(
            own_title=titles[0],
            peer_title=titles[1],
            cipher=Cipher(keys(suite)),
            counters=CounterBlock(1, 1000),
            credentials=known[0],
        ),
        LayerKeys(
            own_title=titles[1],
            peer_title=titles[0],
            cipher=Cipher(keys(suite)),
            counters=CounterBlock(1, 1000),
            credentials=known[1],
        ),
    )


def layer(
    kind: ProtectionType,
    key_info: KeyInfo = KEY_INFOS[0],
    transaction_id: bytes = b"",
    other: bytes = b"",
) -> ProtectionParameters:
    options = ProtectionOptions(transaction_id, b"", b"", other, key_info)
    return ProtectionParameters(kind, options)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SUITES),
    st.lists(
        st.builds(
            layer,
            st.sampled_from(ProtectionType),
            st.sampled_from(KEY_INFOS),
            st.just(b""),
            st.binary(max_size=3),
        ),
        max_size=3,
    ).map(tuple),
    st.binary(max_size=40),
)
def test_taking_off_inverts_putting_on(
    suite: SecuritySuite, layers: tuple[ProtectionParameters, ...], octets: bytes
) -> None:
    meter, centre = ends(suite)
    told, protected = put_on(meter, layers, octets)
    assert len(told) == len(layers)
    assert take_off(centre, told, protected) == octets
    if layers:
        with pytest.raises(SecurityError):
            take_off(centre, told, protected)  # once only


def test_what_layers_give_together() -> None:
    assert bits_of(()) == 0
    assert bits_of([layer(ProtectionType.AUTHENTICATION)]) == AUTHENTICATED
    assert bits_of([layer(ProtectionType.ENCRYPTION)]) == ENCRYPTED
    signed = layer(ProtectionType.DIGITAL_SIGNATURE)
    assert bits_of([signed, layer(BOTH)]) == SIGNED | AUTHENTICATED | ENCRYPTED
    with pytest.raises(SecurityError, match="protection type 9 does not exist"):
        bits_of([signed._replace(protection_type=9)])


def test_a_pushed_apdu_gets_whole_envelopes() -> None:
    meter, centre = ends()
    layers = (layer(ProtectionType.DIGITAL_SIGNATURE), layer(BOTH, transaction_id=b"12"))
    octets = envelop(meter, layers, b"\x0f apdu")
    envelope = decode_envelope(octets)
    inner, protection = open_envelope(centre.cipher, envelope)
    assert protection.system_title == METER
    assert protection.transaction_id == b"12"
    signed = GeneralSigning.decode(inner)
    centre.held().verify(signed.signature, signed.signed_octets(), "push")
    assert signed.content == b"\x0f apdu"


def test_altered_octets_do_not_open() -> None:
    meter, centre = ends()
    told, protected = put_on(meter, (layer(ProtectionType.DIGITAL_SIGNATURE), layer(BOTH)), b"data")
    for index in range(len(protected)):
        bad = bytearray(protected)
        bad[index] ^= 1
        with pytest.raises(DlmsError):
            take_off(centre, told, bytes(bad))
    for size in range(len(protected)):
        with pytest.raises((SecurityError, DecodeError)):
            take_off(centre, told, protected[:size])
    assert take_off(centre, told, protected) == b"data"


def test_parameters_that_lie() -> None:
    meter, centre = ends()
    told, protected = put_on(meter, (layer(BOTH),), b"data")
    options = told[0].protection_options
    for changed in (
        told[0]._replace(protection_type=ProtectionType.ENCRYPTION),
        told[0]._replace(protection_options=options._replace(originator_system_title=b"OTHER001")),
        told[0]._replace(protection_options=options._replace(recipient_system_title=METER)),
        told[0]._replace(protection_options=options._replace(other_information=b"x")),
        told[0]._replace(protection_options=options._replace(key_info=IdentifiedKey(7))),
    ):
        with pytest.raises(SecurityError):
            take_off(centre, (changed,), protected)
    assert take_off(centre, told, protected) == b"data"


@pytest.mark.parametrize(
    "changes",
    [
        {"originator_system_title": b"OTHER001"},
        {"recipient_system_title": b"OTHER001"},
        {"key_info": AgreedKey(b"\x03", b"")},
        {"key_info": IdentifiedKey(9)},
        {"key_info": IdentifiedKey(1)},  # there is no broadcast key
    ],
)
def test_layers_that_cannot_be_put_on(changes: dict[str, object]) -> None:
    meter, _ = ends()
    asked = layer(BOTH)
    options = asked.protection_options._replace(**changes)
    with pytest.raises(SecurityError):
        put_on(meter, (asked._replace(protection_options=options),), b"")


def test_without_credentials_only_the_global_keys_serve() -> None:
    meter, centre = ends(SUITE_0)
    told, protected = put_on(meter, (layer(BOTH),), b"data")
    assert take_off(centre, told, protected) == b"data"
    with pytest.raises(ReplayError):
        take_off(centre, told, protected)
    with pytest.raises(SecurityError, match="need credentials"):
        put_on(meter, (layer(ProtectionType.DIGITAL_SIGNATURE),), b"data")


def test_each_kind_of_key_has_its_own_window() -> None:
    meter, centre = ends()
    for key_info, window in ((KEY_INFOS[0], "global"), (KEY_INFOS[1], "travelling")):
        told, protected = put_on(meter, (layer(BOTH, key_info),), b"data")
        before = centre.window.expected, centre.windows.travelling.expected
        take_off(centre, told, protected)
        after = centre.window.expected, centre.windows.travelling.expected
        moved = [now != then for now, then in zip(after, before, strict=True)]
        assert moved == [window == "global", window == "travelling"]
    told, protected = put_on(meter, (layer(ProtectionType.DIGITAL_SIGNATURE),), b"data")
    before = centre.window.expected, centre.windows.travelling.expected
    take_off(centre, told, protected)
    assert (centre.window.expected, centre.windows.travelling.expected) == before
    assert centre.windows.transaction > 0
